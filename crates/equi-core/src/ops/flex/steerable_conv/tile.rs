//! The convolution of a tile of pixels.

#![allow(unsafe_code)] // Matrices are pointers to the parts of one buffer.

use std::mem::MaybeUninit;

use pulp::{Arch, Simd, WithSimd};

use super::buffer::with_scratch;
use super::butterfly::{Collect, Collecting, NOWHERE, Spread, Spreading};
use super::gemm::{Left, gemm};
use super::lanes::Lanes;
use super::pack::{Frame, SQUARE, packed_channels, transposed};
use super::shared::Shared;
use super::weights::Layout;
use crate::ops::steerable_conv::orbits::leading;
use crate::ops::steerable_conv::plan::{Block, COMPONENTS, Plan, ROWS};
use crate::ops::steerable_conv::symmetry::Transform;

/// Pixels in a tile: a multiple of the rows of a product's tile where registers are many.
pub(super) const PIXELS: usize = 112;

/// Rows of the matrices of a tile, where products of whole tiles end.
const ROOM: usize = 126;

/// From the components of a pixel to those of the next: no power of two, and room for a vector beyond the rows of a block.
const STRIDE: usize = ROWS + 16;

/// Pixels whose channels are put down at a time.
const GROUP: usize = 16;

/// The pixels that a convolution is computed at.
#[derive(Clone, Copy, Debug)]
pub(super) struct Grid {
    /// Rows and columns of the output.
    pub size: [usize; 2],
    /// Rows and columns of the frame from one pixel to the next.
    pub stride: usize,
    /// And from one point of the kernel to the next.
    pub dilation: usize,
    /// The frame of the packed input.
    pub frame: Frame,
}

impl Grid {
    /// Of a sample.
    pub(super) fn pixels(&self) -> usize {
        self.size[0] * self.size[1]
    }

    /// The first number of the patch of every pixel.
    fn patches(&self, first: usize, count: usize, channels: usize) -> Vec<usize> {
        let [height, width] = self.size;
        let place = |pixel: usize| {
            let (sample, row, column) = (pixel / (height * width), pixel / width % height, pixel % width);
            (sample * self.frame.pixels() + (row * self.frame.size[1] + column) * self.stride) * channels
        };
        (first..first + count).map(place).collect()
    }
}

/// What is done with the patches of a tile.
pub(super) struct Job<'a, F> {
    plan: &'a Plan,
    layout: &'a Layout,
    grid: Grid,
    samples: usize,
    /// The packed input.
    image: &'a [F],
    /// For every block of the plan.
    spreads: Vec<Vec<Spread<F>>>,
    pub product: Option<ToImage<'a, F>>,
    pub gradient: Option<Cotangent<'a, F>>,
}

/// The convolution itself.
pub(super) struct ToImage<'a, F> {
    /// See [`Layout`].
    pub matrices: &'a [F],
    /// Of every channel of the feature map.
    pub bias: &'a [F],
    /// `[batch, channels, height, width]`
    pub output: Shared<'a, MaybeUninit<F>>,
    channels: Vec<(usize, F)>,
    collects: Vec<Collect<F>>,
}

/// The gradient by the matrices.
pub(super) struct Cotangent<'a, F> {
    /// The gradient by the output, packed without a margin.
    pub image: &'a [F],
    spreads: Vec<Spread<F>>,
}

/// The matrices of output components in a tile: `[ROOM, width]` each.
struct Outputs {
    starts: Vec<usize>,
    widths: Vec<usize>,
    length: usize,
}

impl Outputs {
    fn new(plan: &Plan, layout: &Layout) -> Self {
        let widths: Vec<usize> =
            (0..plan.transform.outputs()).map(|matrix| layout.widths[plan.transform.irrep(matrix)]).collect();
        let mut length = 0;
        let starts = widths
            .iter()
            .map(|width| {
                let start = length;
                length += ROOM * width;
                start
            })
            .collect();
        Self { starts, widths, length }
    }

    /// For every component: its matrix, and its copy within the irrep.
    fn strides(&self, transform: Transform) -> [usize; COMPONENTS] {
        let mut strides = [0; COMPONENTS];
        for (component, stride) in strides.iter_mut().enumerate().take(transform.patches()) {
            *stride = self.widths[output_matrix(transform, component)];
        }
        strides
    }
}

/// The matrix of output components that component `component` of an orbit belongs to.
fn output_matrix(transform: Transform, component: usize) -> usize {
    if transform == Transform::Dihedral && component >= 4 { 4 + (component - 4) / 2 } else { component }
}

impl<'a, F: Lanes> Job<'a, F> {
    pub(super) fn new(plan: &'a Plan, layout: &'a Layout, grid: Grid, samples: usize, image: &'a [F]) -> Self {
        let spreads = plan.blocks.iter().map(|block| patch_spreads(plan, block, &grid)).collect();
        Self { plan, layout, grid, samples, image, spreads, product: None, gradient: None }
    }

    /// Pixels of all samples.
    fn pixels(&self) -> usize {
        self.samples * self.grid.pixels()
    }

    pub(super) fn tiles(&self) -> usize {
        self.pixels().div_ceil(PIXELS)
    }

    /// The output, `[batch, channels, height, width]`, is filled when all tiles have run.
    pub(super) fn with_product(mut self, matrices: &'a [F], bias: &'a [F], output: &'a mut [MaybeUninit<F>]) -> Self {
        let (plan, outputs) = (self.plan, Outputs::new(self.plan, self.layout));
        assert_eq!(output.len(), self.pixels() * plan.output_channels());
        let collects = (0..plan.output.len()).map(|kind| collect(plan, &outputs, kind)).collect();
        let channels = packed_channels(&plan.output);
        self.product = Some(ToImage { matrices, bias, output: Shared::new(output), channels, collects });
        self
    }

    pub(super) fn with_gradient(mut self, image: &'a [F]) -> Self {
        let (plan, outputs) = (self.plan, Outputs::new(self.plan, self.layout));
        let spreads = (0..plan.output.len()).map(|kind| output_spread(plan, &outputs, kind)).collect();
        self.gradient = Some(Cotangent { image, spreads });
        self
    }

    /// Computes one tile; the gradient by the matrices is added to `by_matrices`.
    pub(super) fn run(&self, tile: usize, by_matrices: &mut [F]) {
        let (plan, arch) = (self.plan, Arch::new());
        let transform = plan.transform;
        let first = tile * PIXELS;
        let count = PIXELS.min(self.pixels() - first);
        let patches = self.grid.patches(first, count, plan.input_channels());
        let outputs = Outputs::new(plan, self.layout);
        let row = plan.output_channels() + F::MOST;
        let sizes = [transform.patches() * ROOM * STRIDE, outputs.length, outputs.length, GROUP * row];
        with_scratch::<F, _>(sizes.iter().sum::<usize>() + F::MOST, |scratch| {
            let (components, scratch) = scratch.split_at_mut(sizes[0]);
            let (sums, scratch) = scratch.split_at_mut(sizes[1]);
            let (cotangents, channels) = scratch.split_at_mut(sizes[2]);
            if let Some(gradient) = &self.gradient {
                let size = plan.output_channels();
                if self.layout.widths != plan.widths {
                    // The columns of zeros.
                    cotangents.fill(F::zeroed());
                }
                arch.dispatch(Spreading {
                    transform,
                    parts: &gradient.spreads,
                    image: gradient.image,
                    pixels: &(first..first + count).map(|pixel| pixel * size).collect::<Vec<_>>(),
                    to: cotangents,
                    strides: outputs.strides(transform),
                });
            }
            let mut written = [false; COMPONENTS];
            for (number, block) in plan.blocks.iter().enumerate() {
                let parts = &self.spreads[number];
                dispatch(
                    parts.iter().all(|part| part.count <= F::MOST / 2),
                    Spreading {
                        transform,
                        parts,
                        image: self.image,
                        pixels: &patches,
                        to: components,
                        strides: [STRIDE; COMPONENTS],
                    },
                );
                for product in transform.products() {
                    let depth = block.rows[transform.slot(product.weight)];
                    let width = outputs.widths[product.output];
                    if depth == 0 || width == 0 {
                        continue;
                    }
                    let start = self.layout.starts[number][product.weight];
                    let place = outputs.starts[product.output]..outputs.starts[product.output] + ROOM * width;
                    let patches = &components[product.patch * ROOM * STRIDE..][..ROOM * STRIDE];
                    let narrow = !width.is_multiple_of(F::MOST);
                    if let Some(to) = &self.product {
                        let matrix = &to.matrices[start..start + depth * width];
                        let add = std::mem::replace(&mut written[product.output], true);
                        let sums = &mut sums[place.clone()];
                        dispatch(narrow, Forward { shape: [count, depth, width], patches, matrix, sums, add });
                    }
                    if self.gradient.is_some() {
                        let cotangents = &cotangents[place];
                        let sums = &mut by_matrices[start..start + depth * width];
                        dispatch(narrow, Backward { shape: [depth, count, width], patches, cotangents, sums });
                    }
                }
            }
            if let Some(product) = &self.product {
                for (matrix, _) in written[..transform.outputs()].iter().enumerate().filter(|(_, written)| !**written) {
                    sums[outputs.starts[matrix]..][..ROOM * outputs.widths[matrix]].fill(F::zeroed());
                }
                self.put_down(product, first, count, sums, channels, row, outputs.strides(transform));
            }
        });
    }

    /// Takes the components of the output back to channels, and puts them where they belong.
    #[allow(clippy::too_many_arguments)]
    fn put_down(
        &self,
        product: &ToImage<F>,
        first: usize,
        count: usize,
        sums: &[F],
        channels: &mut [F],
        row: usize,
        strides: [usize; COMPONENTS],
    ) {
        let size = self.grid.pixels();
        let mut done = 0;
        while done < count {
            let pixel = first + done;
            // Of one sample.
            let group = GROUP.min(count - done).min(size - pixel % size);
            Arch::new().dispatch(Collecting {
                transform: self.plan.transform,
                parts: &product.collects,
                from: sums,
                first: done,
                strides,
                pixels: group,
                to: channels,
                row,
            });
            Arch::new().dispatch(PutDown {
                product,
                from: channels,
                row,
                size,
                sample: pixel / size,
                pixel: pixel % size,
                group,
            });
            done += group;
        }
    }
}

/// Some pixels of one sample.
struct PutDown<'a, 'b, F> {
    product: &'a ToImage<'b, F>,
    /// `[group, row]`
    from: &'a [F],
    row: usize,
    /// Pixels of a sample.
    size: usize,
    sample: usize,
    pixel: usize,
    group: usize,
}

impl<F: Lanes> WithSimd for PutDown<'_, '_, F> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { product, from, row, size, sample, pixel, group } = self;
        let first = sample * product.channels.len() * size + pixel;
        for (block, channels) in product.channels.chunks(SQUARE).enumerate() {
            for start in (0..group).step_by(SQUARE) {
                let count = SQUARE.min(group - start);
                // What lies beyond the pixels or the channels is not put down.
                let mut square = [[F::zeroed(); SQUARE]; SQUARE];
                for (pixel, numbers) in square.iter_mut().enumerate().take(count) {
                    numbers.copy_from_slice(&from[(start + pixel) * row + block * SQUARE..][..SQUARE]);
                }
                for (numbers, &(channel, sign)) in transposed(square).iter().zip(channels) {
                    let bias = product.bias[channel];
                    // SAFETY: a pixel belongs to one tile, and tiles to one thread.
                    let to = unsafe { product.output.slice(first + channel * size + start, count) };
                    if let Ok(to) = <&mut [MaybeUninit<F>; SQUARE]>::try_from(&mut *to) {
                        for (to, &number) in to.iter_mut().zip(numbers) {
                            to.write(number * sign + bias);
                        }
                    } else {
                        for (to, &number) in to.iter_mut().zip(numbers) {
                            to.write(number * sign + bias);
                        }
                    }
                }
            }
        }
    }
}

/// Runs a kernel with the best instruction set, or, where half of its vectors is all that is needed, with one of such vectors.
fn dispatch<O: WithSimd>(narrow: bool, operation: O) -> O::Output {
    #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
    if narrow && let Some(simd) = pulp::x86::V3::try_new() {
        return simd.vectorize(
            #[inline(always)]
            || operation.with_simd(simd),
        );
    }
    let _ = narrow;
    Arch::new().dispatch(operation)
}

/// Components of the output from those of the patches: `[pixels, depth] [depth, width]`.
struct Forward<'a, F> {
    shape: [usize; 3],
    /// `[ROOM, STRIDE]`
    patches: &'a [F],
    matrix: &'a [F],
    /// `[ROOM, width]`
    sums: &'a mut [F],
    add: bool,
}

impl<F: Lanes> WithSimd for Forward<'_, F> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { shape, patches, matrix, sums, add } = self;
        let left = Left { first: patches.as_ptr(), row: STRIDE, column: 1 };
        // SAFETY: the slices have the sizes of the matrices, with room for whole tiles of rows.
        unsafe { gemm::<F, S, true>(simd, shape, left, matrix.as_ptr(), sums.as_mut_ptr(), shape[2], add) };
    }
}

/// The gradient by a matrix: `[depth, pixels] [pixels, width]`.
struct Backward<'a, F> {
    shape: [usize; 3],
    /// `[ROOM, STRIDE]`
    patches: &'a [F],
    /// `[ROOM, width]`
    cotangents: &'a [F],
    sums: &'a mut [F],
}

impl<F: Lanes> WithSimd for Backward<'_, F> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { shape, patches, cotangents, sums } = self;
        let left = Left { first: patches.as_ptr(), row: 1, column: STRIDE };
        // SAFETY: the slices have the sizes of the matrices; the patches have as many rows as pixels, of more than `depth` columns.
        unsafe { gemm::<F, S, false>(simd, shape, left, cotangents.as_ptr(), sums.as_mut_ptr(), shape[2], true) };
    }
}

/// Where the components of the patches go.
fn patch_spreads<F: Lanes>(plan: &Plan, block: &Block, grid: &Grid) -> Vec<Spread<F>> {
    let (size, width) = (plan.size, grid.frame.size[1]);
    let channels = plan.input_channels();
    let spread = |part: &crate::ops::steerable_conv::plan::Part| {
        let orbit = &plan.orbits[part.orbit];
        let kind = &plan.input[orbit.kind];
        let mut spread = Spread {
            members: [NOWHERE; COMPONENTS],
            signs: [F::from_f64(1.0); COMPONENTS],
            targets: [NOWHERE; COMPONENTS],
            count: part.count,
            free: orbit.copies.free,
        };
        for (h, &(point, channel, minus)) in orbit.members.iter().enumerate() {
            let pixel = (point / size * width + point % size) * grid.dilation;
            spread.members[h] = pixel * channels + kind.start + channel * kind.count() + part.first;
            spread.signs[h] = F::from_f64(if minus { -1.0 } else { 1.0 });
        }
        let mut target = |component: usize, matrix: usize, row: usize| {
            spread.targets[component] = matrix * ROOM * STRIDE + row;
        };
        for irrep in 0..plan.transform.irreps() {
            for (copy, &columns) in orbit.copies.of(irrep).iter().enumerate() {
                let row = part.rows[irrep + copy];
                match (plan.transform, irrep) {
                    (Transform::Cyclic, 2) => (2..5).for_each(|component| target(component, component, row)),
                    (Transform::Dihedral, 4) => {
                        for matrix_row in 0..2 {
                            target(4 + 2 * matrix_row + leading(columns), 4 + 2 * matrix_row + copy, row);
                        }
                    }
                    _ => target(irrep, irrep, row),
                }
            }
        }
        spread
    };
    joined(block.parts.iter().map(spread))
}

/// Parts that go on where the last one ends, in the image and in the components, become one with it: without symmetry, the points of a row do.
fn joined<F: Lanes>(parts: impl Iterator<Item = Spread<F>>) -> Vec<Spread<F>> {
    let mut joined: Vec<Spread<F>> = Vec::new();
    for part in parts {
        if let Some(last) = joined.last_mut() {
            let follows = |(&next, &first): (&usize, &usize)| {
                next == first.wrapping_add(last.count) || next == NOWHERE && first == NOWHERE
            };
            let goes_on = last.free
                && part.free
                && part.members.iter().zip(&last.members).all(follows)
                && part.targets.iter().zip(&last.targets).all(follows);
            if goes_on {
                last.count += part.count;
                continue;
            }
        }
        joined.push(part);
    }
    joined
}

/// Where the components of a gradient by the output go: those of the three products of `C4` are `r + i`, `i`, `r`.
fn output_spread<F: Lanes>(plan: &Plan, outputs: &Outputs, kind: usize) -> Spread<F> {
    let orbits = &plan.output[kind];
    let mut spread = Spread {
        members: [0; COMPONENTS],
        signs: [F::from_f64(1.0); COMPONENTS],
        targets: [NOWHERE; COMPONENTS],
        count: orbits.count(),
        free: orbits.copies.free,
    };
    for (h, &(channel, minus)) in orbits.lift.iter().enumerate() {
        spread.members[h] = orbits.start + channel * orbits.count();
        spread.signs[h] = F::from_f64(if minus { -1.0 } else { 1.0 });
    }
    for irrep in 0..plan.transform.irreps() {
        let first = plan.columns(kind, irrep);
        for (copy, &columns) in orbits.copies.of(irrep).iter().enumerate() {
            let mut target = |component: usize, matrix: usize| {
                spread.targets[component] = outputs.starts[matrix] + first + copy * orbits.count();
            };
            match (plan.transform, irrep) {
                (Transform::Cyclic, 2) => {
                    [(2, 2), (3, 4), (4, 3)].into_iter().for_each(|(c, matrix)| target(c, matrix))
                }
                (Transform::Dihedral, 4) => (0..2).for_each(|row| target(4 + 2 * row + leading(columns), 4 + row)),
                _ => target(irrep, irrep),
            }
        }
    }
    spread
}

/// Where the components of the output come from.
fn collect<F: Lanes>(plan: &Plan, outputs: &Outputs, kind: usize) -> Collect<F> {
    let orbits = &plan.output[kind];
    let mut collect = Collect {
        sources: [NOWHERE; COMPONENTS],
        signs: [F::from_f64(1.0); COMPONENTS],
        leaders: (0..orbits.channels.len()).map(|channel| orbits.leader(channel)).collect(),
        start: orbits.start,
        count: orbits.count(),
        free: orbits.copies.free,
    };
    for irrep in 0..plan.transform.irreps() {
        let first = plan.columns(kind, irrep);
        for (copy, &columns) in orbits.copies.of(irrep).iter().enumerate() {
            let mut source = |component: usize, matrix: usize, sign: i8| {
                collect.sources[component] = outputs.starts[matrix] + first + copy * orbits.count();
                collect.signs[component] = F::from_f64(f64::from(sign));
            };
            match (plan.transform, irrep) {
                (Transform::Cyclic, 2) => (2..5).for_each(|component| source(component, component, 1)),
                (Transform::Dihedral, 4) => {
                    for row in 0..2 {
                        for (column, &factor) in columns.iter().enumerate().filter(|(_, factor)| **factor != 0) {
                            source(4 + 2 * row + column, 4 + row, factor);
                        }
                    }
                }
                _ => source(irrep, irrep, 1),
            }
        }
    }
    collect
}
