//! The convolution and its gradients, tile by tile.

use rayon::prelude::*;

use super::grid::{Grid, row};
use super::lanes::Lanes;
use super::pack::{Frame, pack, packed_channels};
use super::project::{expand_filter, pitch, project_filter};
use super::tile::Job;
use super::weights::{Addressing, Layout, filter_gradient, matrices};
use crate::ops::flex::pool::Buffer;
use crate::ops::steerable_conv::plan::{Plan, Side};

/// Pieces that the tiles are cut into for a gradient by the filter: a constant, so that sums over pieces are the same with any number of threads.
const PIECES: usize = 16;

/// Bytes of packed images that are worked on at a time: they stay in the second level of the cache.
const GROUP: usize = 512 << 10;

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
    /// What lies side by side; where nothing is said, what is cheaper.
    pub side: Option<Side>,
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

    fn side_of<F: Lanes>(&self, plan: &Plan, [_, width]: [usize; 2]) -> Side {
        self.side.unwrap_or_else(|| plan.side(row::<F>(width) as f64 / width as f64))
    }

    /// The pixels of the output, in a frame of the input.
    fn grid<F: Lanes>(&self, plan: &Plan) -> Grid {
        let frame =
            Frame { size: self.input.map(|side| side + 2 * self.padding), margin: self.padding as isize, spacing: 1 };
        Grid::new::<F>(self.side_of::<F>(plan, self.output()), self.output(), self.stride, self.dilation, frame)
    }

    /// The pixels of the input, in a frame of the output.
    fn adjoint_grid<F: Lanes>(&self, adjoint: &Plan) -> Grid {
        let frame = Frame {
            size: self.input.map(|side| side + self.extent()),
            margin: self.extent() as isize - self.padding as isize,
            spacing: self.stride,
        };
        Grid::new::<F>(self.side_of::<F>(adjoint, self.input), self.input, 1, self.dilation, frame)
    }
}

/// `y = K * x + b`, `[batch, output channels, height', width']`.
pub(super) fn forward<F: Lanes>(plan: &Plan, geometry: Geometry, x: &[F], filter: &[F], bias: &[F]) -> Buffer {
    let grid = geometry.grid::<F>(plan);
    let layout = Layout::new::<F>(plan);
    let weights = prepared(plan, &layout, Addressing::forward::<F>(plan), filter);
    let (from, to) = (packed_channels(&plan.input), plan.output_channels() * pixels(grid.size));
    let group = samples::<F>(grid.packed() * from.len(), geometry.batch);
    let mut output = Buffer::any::<F>(geometry.batch * to);
    let room = &mut output.numbers_mut()[..geometry.batch * to];
    let images = x.par_chunks((group * from.len() * pixels(geometry.input)).max(1));
    images.zip(room.par_chunks_mut((group * to).max(1))).for_each(|(x, output)| {
        let image = grid.pack(x, geometry.input, &from);
        let samples = output.len() / to;
        let job = Job::new(plan, &layout, grid, samples, image.numbers()).with_product(weights.numbers(), bias, output);
        (0..job.tiles()).into_par_iter().for_each(|tile| job.run(tile, &mut []));
    });
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
) -> [Option<Buffer>; 2] {
    let arguments = Arguments { geometry, x, filter, gradient };
    // The filter's gradient shares its patches with the convolution where both have a patch for every pixel of the input.
    let shared = needed == [true, true]
        && geometry.stride == 1
        && plan.shares_patches(adjoint, geometry.adjoint_grid::<F>(adjoint).side);
    let (by_x, shared_by_filter) = if needed[0] { arguments.by_input(adjoint, shared) } else { Default::default() };
    let by_filter = if needed[1] && !shared { arguments.by_filter(plan) } else { shared_by_filter };
    [by_x, by_filter]
}

/// What [`backward`] is given.
struct Arguments<'a, F> {
    geometry: Geometry,
    x: &'a [F],
    filter: &'a [F],
    gradient: &'a [F],
}

impl<F: Lanes> Arguments<'_, F> {
    /// The gradient by the input, a convolution with the adjoint, and, if asked for, that by the filter.
    fn by_input(&self, adjoint: &Plan, filter: bool) -> (Option<Buffer>, Option<Buffer>) {
        let (geometry, grid) = (self.geometry, self.geometry.adjoint_grid::<F>(adjoint));
        let size = geometry.output();
        let layout = Layout::new::<F>(adjoint);
        let addressing = Addressing::adjoint::<F>(adjoint);
        let weights = prepared(adjoint, &layout, addressing, self.filter);
        let bias = vec![F::zeroed(); adjoint.output_channels()];
        let (from, to) = (packed_channels(&adjoint.input), packed_channels(&adjoint.output));
        let runs = Runs::new::<F>(grid.packed() * from.len() + grid.pixels() * to.len(), geometry.batch);
        let mut by_x = Buffer::any::<F>(self.x.len());
        let room = &mut by_x.numbers_mut()[..self.x.len()];
        let sample = [from.len() * pixels(size), to.len() * pixels(grid.size)];
        let sums: Vec<Vec<Buffer>> = runs
            .chunks(self.gradient, sample[0])
            .zip(runs.chunks(self.x, sample[1]).zip(runs.chunks_mut(room, sample[1])))
            .map(|(gradient, (x, by_x))| {
                let mut sums = Vec::new();
                let x = runs.groups(x, sample[1]);
                for (gradient, (x, by_x)) in
                    runs.groups(gradient, sample[0]).zip(x.zip(by_x.chunks_mut(runs.group * sample[1])))
                {
                    let image = grid.pack(gradient, size, &from);
                    let samples = by_x.len() / sample[1];
                    let job = Job::new(adjoint, &layout, grid, samples, image.numbers());
                    let job = job.with_product(weights.numbers(), &bias, by_x);
                    if filter {
                        let x = pack(x, geometry.input, &to, grid.cotangent_frame());
                        runs.add_gradients(&job.with_gradient(x.numbers()), &layout, &mut sums);
                    } else {
                        (0..job.tiles()).into_par_iter().for_each(|tile| job.run(tile, &mut []));
                    }
                }
                sums
            })
            .collect();
        let by_filter = filter.then(|| self.taken_back(adjoint, &layout, addressing, &sums));
        (Some(by_x), by_filter)
    }

    /// The gradient by the filter alone.
    fn by_filter(&self, plan: &Plan) -> Option<Buffer> {
        let (geometry, grid) = (self.geometry, self.geometry.grid::<F>(plan));
        let size = geometry.output();
        let layout = Layout::new::<F>(plan);
        let (from, to) = (packed_channels::<F>(&plan.input), packed_channels::<F>(&plan.output));
        let runs = Runs::new::<F>(grid.packed() * from.len() + grid.pixels() * to.len(), geometry.batch);
        let sample = [from.len() * pixels(geometry.input), to.len() * pixels(grid.size)];
        let sums: Vec<Vec<Buffer>> = runs
            .chunks(self.x, sample[0])
            .zip(runs.chunks(self.gradient, sample[1]))
            .map(|(x, gradient)| {
                let mut sums = Vec::new();
                for (x, gradient) in runs.groups(x, sample[0]).zip(runs.groups(gradient, sample[1])) {
                    let samples = gradient.len() / sample[1];
                    let image = grid.pack(x, geometry.input, &from);
                    let gradient = pack(gradient, size, &to, grid.cotangent_frame());
                    let job = Job::<F>::new(plan, &layout, grid, samples, image.numbers());
                    runs.add_gradients(&job.with_gradient(gradient.numbers()), &layout, &mut sums);
                }
                sums
            })
            .collect();
        Some(self.taken_back(plan, &layout, Addressing::forward::<F>(plan), &sums))
    }

    /// The gradient by the filter, from sums of those by its matrices.
    fn taken_back(&self, plan: &Plan, layout: &Layout, addressing: Addressing, sums: &[Vec<Buffer>]) -> Buffer {
        let mut total = vec![F::zeroed(); layout.length];
        total.par_chunks_mut(CHUNK).enumerate().for_each(|(chunk, total)| {
            for sum in sums.iter().flatten() {
                for (total, &sum) in total.iter_mut().zip(&sum.numbers::<F>()[chunk * CHUNK..]) {
                    *total += sum;
                }
            }
        });
        let length = self.filter.len();
        let Some(functions) = &plan.functions else {
            let mut by_filter = Buffer::zeros::<F>(length);
            filter_gradient(plan, layout, addressing, &total, &mut by_filter.numbers_mut()[..length]);
            return by_filter;
        };
        let projected = length / (plan.size * plan.size) * pitch::<F>(functions);
        let mut by_projected = Buffer::zeros::<F>(projected);
        filter_gradient(plan, layout, addressing, &total, &mut by_projected.numbers_mut()[..projected]);
        let mut by_filter = Buffer::any::<F>(length);
        expand_filter::<F>(functions, by_projected.numbers(), &mut by_filter.numbers_mut()[..length]);
        by_filter
    }
}

/// Numbers that are added up at a time.
const CHUNK: usize = 4096;

/// How a batch is cut: into runs, which are independent, and these into groups of samples, one after the other.
struct Runs {
    /// Samples of a run, and of a group.
    run: usize,
    group: usize,
    /// Pieces that the tiles of a group are cut into.
    pieces: usize,
}

impl Runs {
    /// For samples of so many packed numbers.
    fn new<F: Lanes>(numbers: usize, batch: usize) -> Self {
        let run = batch.div_ceil(PIECES).max(1);
        Self { run, group: samples::<F>(numbers, run), pieces: PIECES.div_ceil(batch.div_ceil(run).max(1)) }
    }

    fn chunks<'a, F: Lanes>(&self, numbers: &'a [F], sample: usize) -> impl IndexedParallelIterator<Item = &'a [F]> {
        numbers.par_chunks((self.run * sample).max(1))
    }

    fn chunks_mut<'a, T: Send>(
        &self,
        numbers: &'a mut [T],
        sample: usize,
    ) -> impl IndexedParallelIterator<Item = &'a mut [T]> {
        numbers.par_chunks_mut((self.run * sample).max(1))
    }

    fn groups<'a, F: Lanes>(&self, numbers: &'a [F], sample: usize) -> impl Iterator<Item = &'a [F]> {
        numbers.chunks(self.group * sample)
    }

    /// Adds the gradients by the matrices of a group, piece by piece.
    fn add_gradients<F: Lanes>(&self, job: &Job<F>, layout: &Layout, sums: &mut Vec<Buffer>) {
        let (tiles, pieces) = (job.tiles(), self.pieces);
        if sums.is_empty() {
            sums.extend((0..pieces.min(tiles)).map(|_| Buffer::zeros::<F>(layout.length)));
        }
        let pieces = sums.len();
        sums.par_iter_mut().enumerate().for_each(|(piece, sum)| {
            for tile in piece * tiles / pieces..(piece + 1) * tiles / pieces {
                job.run(tile, sum.numbers_mut());
            }
        });
    }
}

/// Samples of a group, of `numbers` packed numbers each, of `all`.
fn samples<F: Lanes>(numbers: usize, all: usize) -> usize {
    (GROUP / size_of::<F>() / numbers).clamp(1, all.max(1))
}

/// The matrices of a filter.
fn prepared<F: Lanes>(plan: &Plan, layout: &Layout, addressing: Addressing, filter: &[F]) -> Buffer {
    let mut weights = Buffer::zeros::<F>(layout.length); // Columns without an orbit stay zero.
    match &plan.functions {
        Some(functions) => {
            let projected = project_filter(functions, filter);
            matrices::<F>(plan, layout, addressing, projected.numbers(), weights.numbers_mut());
        }
        None => matrices(plan, layout, addressing, filter, weights.numbers_mut()),
    }
    weights
}

fn pixels([height, width]: [usize; 2]) -> usize {
    height * width
}
