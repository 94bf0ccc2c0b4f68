//! The convolution and its gradients, tile by tile.

use rayon::prelude::*;

use super::buffer::Buffer;
use super::lanes::Lanes;
use super::pack::{Frame, pack, packed_channels};
use super::tile::{Grid, Job};
use super::weights::{Addressing, Layout, filter_gradient, matrices};
use crate::ops::steerable_conv::plan::Plan;

/// Pieces that the tiles are cut into for a gradient by the filter: a constant, so that sums over pieces are the same with any number of threads.
const PIECES: usize = 16;

/// How a convolution moves over its images.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Geometry {
    pub batch: usize,
    /// Rows and columns of the input.
    pub input: [usize; 2],
    pub kernel: usize,
    pub stride: usize,
    pub padding: usize,
    pub dilation: usize,
}

impl Geometry {
    /// Rows and columns from the first point of the kernel to the last.
    fn extent(&self) -> usize {
        self.dilation * (self.kernel - 1)
    }

    /// Rows and columns of the output of an input as large as the kernel.
    pub(super) fn output(&self) -> [usize; 2] {
        self.input.map(|side| (side + 2 * self.padding - self.extent() - 1) / self.stride + 1)
    }
}

/// `y = K * x + b`, `[batch, output channels, height', width']`.
pub(super) fn forward<F: Lanes>(plan: &Plan, geometry: Geometry, x: &[F], filter: &[F], bias: &[F]) -> Vec<F> {
    let size = geometry.output();
    let frame = Frame {
        size: geometry.input.map(|side| side + 2 * geometry.padding),
        margin: geometry.padding as isize,
        spacing: 1,
    };
    let grid = Grid { batch: geometry.batch, size, stride: geometry.stride, dilation: geometry.dilation, frame };
    let layout = Layout::new::<F>(plan);
    let weights = prepared(plan, &layout, Addressing::forward(plan), filter);
    let image = pack(x, geometry.input, &packed_channels(&plan.input), frame);
    let mut output = vec![F::zeroed(); grid.pixels() * plan.output_channels()];
    let job = Job::new(plan, &layout, grid, image.numbers()).with_product(weights.numbers(), bias, &mut output);
    (0..grid.tiles()).into_par_iter().for_each(|tile| job.run(tile, &mut []));
    drop(job);
    output
}

/// The gradients of [`forward`] that are `needed`, of those by `x` and the filter. The plan of the adjoint has input and output exchanged.
pub(super) fn backward<F: Lanes>(
    plan: &Plan,
    adjoint: &Plan,
    geometry: Geometry,
    x: &[F],
    filter: &[F],
    gradient: &[F],
    needed: [bool; 2],
) -> [Option<Vec<F>>; 2] {
    let size = geometry.output();
    // The filter's gradient shares its patches with the convolution where both have a patch for every pixel of the input.
    let shared = needed == [true, true] && geometry.stride == 1;
    let mut by_filter = needed[1].then(|| vec![F::zeroed(); filter.len()]);
    let by_x = needed[0].then(|| {
        let frame = Frame {
            size: geometry.input.map(|side| side + geometry.extent()),
            margin: geometry.extent() as isize - geometry.padding as isize,
            spacing: geometry.stride,
        };
        let grid = Grid { batch: geometry.batch, size: geometry.input, stride: 1, dilation: geometry.dilation, frame };
        let layout = Layout::new::<F>(adjoint);
        let addressing = Addressing::adjoint(adjoint);
        let weights = prepared(adjoint, &layout, addressing, filter);
        let image = pack(gradient, size, &packed_channels(&adjoint.input), frame);
        let bias = vec![F::zeroed(); adjoint.output_channels()];
        let mut by_x = vec![F::zeroed(); x.len()];
        let job = Job::new(adjoint, &layout, grid, image.numbers()).with_product(weights.numbers(), &bias, &mut by_x);
        if let Some(by_filter) = by_filter.as_mut().filter(|_| shared) {
            let x = pack(x, geometry.input, &packed_channels(&adjoint.output), Frame::tight(geometry.input));
            let sums = gradient_by_matrices(&job.with_gradient(x.numbers()), &layout, grid);
            filter_gradient(adjoint, &layout, addressing, &sums, by_filter);
        } else {
            (0..grid.tiles()).into_par_iter().for_each(|tile| job.run(tile, &mut []));
        }
        by_x
    });
    if let Some(by_filter) = by_filter.as_mut().filter(|_| !shared) {
        let frame = Frame {
            size: geometry.input.map(|side| side + 2 * geometry.padding),
            margin: geometry.padding as isize,
            spacing: 1,
        };
        let grid = Grid { batch: geometry.batch, size, stride: geometry.stride, dilation: geometry.dilation, frame };
        let layout = Layout::new::<F>(plan);
        let image = pack(x, geometry.input, &packed_channels(&plan.input), frame);
        let gradient = pack(gradient, size, &packed_channels(&plan.output), Frame::tight(size));
        let job = Job::new(plan, &layout, grid, image.numbers()).with_gradient(gradient.numbers());
        let sums = gradient_by_matrices(&job, &layout, grid);
        filter_gradient(plan, &layout, Addressing::forward(plan), &sums, by_filter);
    }
    [by_x, by_filter]
}

/// The sums of the gradients of all tiles by the matrices.
fn gradient_by_matrices<F: Lanes>(job: &Job<F>, layout: &Layout, grid: Grid) -> Vec<F> {
    let tiles = grid.tiles();
    let pieces = PIECES.min(tiles);
    let sums: Vec<Buffer> = (0..pieces)
        .into_par_iter()
        .map(|piece| {
            let mut sum = Buffer::zeros::<F>(layout.length);
            for tile in piece * tiles / pieces..(piece + 1) * tiles / pieces {
                job.run(tile, sum.numbers_mut());
            }
            sum
        })
        .collect();
    let mut total = vec![F::zeroed(); layout.length];
    total.par_chunks_mut(4096).enumerate().for_each(|(chunk, total)| {
        for sum in &sums {
            for (total, &sum) in total.iter_mut().zip(&sum.numbers::<F>()[chunk * 4096..]) {
                *total += sum;
            }
        }
    });
    total
}

/// The matrices of a filter.
fn prepared<F: Lanes>(plan: &Plan, layout: &Layout, addressing: Addressing, filter: &[F]) -> Buffer {
    let mut weights = Buffer::zeros::<F>(layout.length); // Columns without an orbit stay zero.
    matrices(plan, layout, addressing, filter, weights.numbers_mut());
    weights
}
