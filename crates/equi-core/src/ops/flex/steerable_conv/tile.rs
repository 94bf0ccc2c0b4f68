//! The convolution of a tile of pixels.

#![allow(unsafe_code)] // Matrices are pointers to the parts of one buffer.

use pulp::{Arch, Simd, WithSimd};

use super::butterfly::{Collect, Collecting, Spread, Spreading};
use super::gemm::{Left, Right, gemm};
use super::grid::Grid;
use super::lanes::Lanes;
use super::pack::{SQUARE, packed_channels, transposed};
use super::places::{Outputs, PITCH, PIXELS, Patches, STRIDE, collect, component_size, output_spread};
use super::planes::{CollectingPlanes, SpreadingPlanes, dispatch};
use super::project::{Projecting, Projection};
use super::shared::Shared;
use super::weights::Layout;
use crate::ops::flex::pool::with_scratch;
use crate::ops::steerable_conv::plan::{COMPONENTS, Plan, Side};

/// Pixels whose channels are put down at a time.
const GROUP: usize = 16;

/// What is done with the patches of a tile.
pub(super) struct Job<'a, F> {
    plan: &'a Plan,
    layout: &'a Layout,
    grid: Grid,
    samples: usize,
    /// The packed input.
    image: &'a [F],
    projection: Option<Projection<F>>,
    /// For every block of the plan.
    patches: Vec<Patches<F>>,
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
    pub output: Shared<'a, F>,
    channels: Vec<(usize, F)>,
    collects: Vec<Collect<F>>,
}

/// The gradient by the matrices.
pub(super) struct Cotangent<'a, F> {
    /// The gradient by the output, packed without a margin.
    pub image: &'a [F],
    spreads: Vec<Spread<F>>,
}

impl<'a, F: Lanes> Job<'a, F> {
    pub(super) fn new(plan: &'a Plan, layout: &'a Layout, grid: Grid, samples: usize, image: &'a [F]) -> Self {
        let patches = plan.blocks.iter().map(|block| Patches::new(plan, block, &grid)).collect();
        let functions = plan.functions.as_ref();
        let projection = functions.map(|functions| Projection::new(functions, &grid, plan.input_channels()));
        Self { plan, layout, grid, samples, image, projection, patches, product: None, gradient: None }
    }

    /// Pixels of all samples.
    fn pixels(&self) -> usize {
        self.samples * self.grid.pixels()
    }

    pub(super) fn tiles(&self) -> usize {
        self.pixels().div_ceil(PIXELS)
    }

    /// The output, `[batch, channels, height, width]`, is filled when all tiles have run.
    pub(super) fn with_product(mut self, matrices: &'a [F], bias: &'a [F], output: &'a mut [F]) -> Self {
        let (plan, outputs) = (self.plan, Outputs::new(self.plan, self.layout, self.grid.side));
        assert_eq!(output.len(), self.samples * plan.output_channels() * self.grid.size[0] * self.grid.size[1]);
        let collects = (0..plan.output.len()).map(|kind| collect(plan, &outputs, kind)).collect();
        let channels = packed_channels(&plan.output);
        self.product = Some(ToImage { matrices, bias, output: Shared::new(output), channels, collects });
        self
    }

    /// `image` has a place for every pixel of the grid, and zeros beyond the ends of rows.
    pub(super) fn with_gradient(mut self, image: &'a [F]) -> Self {
        let (plan, outputs) = (self.plan, Outputs::new(self.plan, self.layout, Side::Channels));
        let spreads = (0..plan.output.len()).map(|kind| output_spread(plan, &outputs, kind)).collect();
        self.gradient = Some(Cotangent { image, spreads });
        self
    }

    /// Computes one tile; the gradient by the matrices is added to `by_matrices`.
    pub(super) fn run(&self, tile: usize, by_matrices: &mut [F]) {
        let (plan, arch) = (self.plan, Arch::new());
        let (transform, side) = (plan.transform, self.grid.side);
        let first = tile * PIXELS;
        let count = PIXELS.min(self.pixels() - first);
        let step = if side == Side::Channels { 1 } else { F::MOST / 2 };
        let patches: Vec<usize> =
            (first..first + count).step_by(step).map(|p| self.grid.patch(p, plan.input_channels())).collect();
        let outputs = Outputs::new(plan, self.layout, side);
        let cotangent_outputs = Outputs::new(plan, self.layout, Side::Channels);
        let row = plan.output_channels() + F::MOST;
        let component = component_size(side);
        let channels = plan.input.iter().map(|kind| kind.channels.len()).max().unwrap_or(0);
        let projecting = self.projection.as_ref().map_or(0, |projection| projection.scratch(channels));
        let sizes = [transform.patches() * component, outputs.length, cotangent_outputs.length, GROUP * row];
        with_scratch::<F, _>(projecting + sizes.iter().sum::<usize>() + F::MOST, |scratch| {
            let (projecting, scratch) = scratch.split_at_mut(projecting);
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
                    strides: cotangent_outputs.strides(transform),
                });
            }
            let mut written = [false; COMPONENTS];
            for (number, block) in plan.blocks.iter().enumerate() {
                self.spread(number, &patches, projecting, components);
                for product in transform.products() {
                    let depth = block.rows[transform.slot(product.weight)];
                    let width = cotangent_outputs.widths[product.output];
                    if depth == 0 || width == 0 {
                        continue;
                    }
                    let start = self.layout.starts[number][product.weight];
                    let patches = &components[product.patch * component..][..component];
                    if let Some(to) = &self.product {
                        let matrix = &to.matrices[start..start + depth * width];
                        let add = std::mem::replace(&mut written[product.output], true);
                        let sums = &mut sums[outputs.range(product.output)];
                        let columns = outputs.widths[product.output];
                        match side {
                            Side::Channels => dispatch(
                                !width.is_multiple_of(F::MOST),
                                Forward { shape: [count, depth, width], patches, matrix, sums, add },
                            ),
                            Side::Pixels => dispatch(
                                self.grid.halves::<F>(),
                                ForwardPlanes { shape: [columns, depth, count], width, patches, matrix, sums, add },
                            ),
                        }
                    }
                    if self.gradient.is_some() {
                        let cotangents = &cotangents[cotangent_outputs.range(product.output)];
                        let sums = &mut by_matrices[start..start + depth * width];
                        let shape = [depth, count, width];
                        dispatch(!width.is_multiple_of(F::MOST), Backward { shape, side, patches, cotangents, sums });
                    }
                }
            }
            if let Some(product) = &self.product {
                for (matrix, _) in written[..transform.outputs()].iter().enumerate().filter(|(_, written)| !**written) {
                    sums[outputs.range(matrix)].fill(F::zeroed());
                }
                match side {
                    Side::Channels => {
                        self.put_down(product, first, count, sums, channels, row, outputs.strides(transform));
                    }
                    Side::Pixels => dispatch(
                        self.grid.halves::<F>(),
                        CollectingPlanes {
                            transform,
                            parts: &product.collects,
                            from: sums,
                            grid: self.grid,
                            first,
                            count,
                            channels: &product.channels,
                            bias: product.bias,
                            output: &product.output,
                        },
                    ),
                }
            }
        });
    }

    /// Takes the patches to the components of a block.
    fn spread(&self, block: usize, patches: &[usize], scratch: &mut [F], to: &mut [F]) {
        let (transform, side, image) = (self.plan.transform, self.grid.side, self.image);
        let plane = self.grid.channel_step();
        match (&self.patches[block], &self.projection) {
            (Patches::Functions(chunks), Some(projection)) => {
                let narrow = match side {
                    Side::Channels => chunks.iter().all(|chunk| chunk.narrow()),
                    Side::Pixels => self.grid.halves::<F>(),
                };
                dispatch(
                    narrow,
                    Projecting { transform, side, projection, chunks, image, plane, patches, scratch, to },
                );
            }
            (Patches::Functions(_), None) => unreachable!("a plan by functions has a projection"),
            (Patches::Points(parts), _) => match side {
                Side::Channels => dispatch(
                    parts.iter().all(|part| part.count <= F::MOST / 2),
                    Spreading { transform, parts, image, pixels: patches, to, strides: [STRIDE; COMPONENTS] },
                ),
                Side::Pixels => {
                    dispatch(self.grid.halves::<F>(), SpreadingPlanes { transform, parts, image, plane, patches, to })
                }
            },
        }
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
                    if let Ok(to) = <&mut [F; SQUARE]>::try_from(&mut *to) {
                        for (to, &number) in to.iter_mut().zip(numbers) {
                            *to = number * sign + bias;
                        }
                    } else {
                        for (to, &number) in to.iter_mut().zip(numbers) {
                            *to = number * sign + bias;
                        }
                    }
                }
            }
        }
    }
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
        let right = Right { first: matrix.as_ptr(), row: shape[2] };
        // SAFETY: the slices have the sizes of the matrices, with room for whole tiles of rows.
        unsafe { gemm::<F, S, true>(simd, shape, left, right, sums.as_mut_ptr(), shape[2], add) };
    }
}

/// The same with pixels side by side: `[columns, depth] [depth, pixels]`.
struct ForwardPlanes<'a, F> {
    shape: [usize; 3],
    /// `[ROWS, PITCH]`
    patches: &'a [F],
    /// `[depth, width]`
    matrix: &'a [F],
    width: usize,
    /// `[columns, PITCH]`
    sums: &'a mut [F],
    add: bool,
}

impl<F: Lanes> WithSimd for ForwardPlanes<'_, F> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { shape, patches, matrix, width, sums, add } = self;
        let left = Left { first: matrix.as_ptr(), row: 1, column: width };
        let right = Right { first: patches.as_ptr(), row: PITCH };
        // SAFETY: the slices have the sizes of the matrices.
        unsafe { gemm::<F, S, false>(simd, shape, left, right, sums.as_mut_ptr(), PITCH, add) };
    }
}

/// The gradient by a matrix: `[depth, pixels] [pixels, width]`.
struct Backward<'a, F> {
    shape: [usize; 3],
    side: Side,
    /// `[ROOM, STRIDE]` or `[ROWS, PITCH]`
    patches: &'a [F],
    /// `[ROOM, width]`
    cotangents: &'a [F],
    sums: &'a mut [F],
}

impl<F: Lanes> WithSimd for Backward<'_, F> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { shape, side, patches, cotangents, sums } = self;
        let (row, column) = if side == Side::Channels { (1, STRIDE) } else { (PITCH, 1) };
        let left = Left { first: patches.as_ptr(), row, column };
        let right = Right { first: cotangents.as_ptr(), row: shape[2] };
        // SAFETY: the slices have the sizes of the matrices; the patches have `depth` components at least, for as many pixels.
        unsafe { gemm::<F, S, false>(simd, shape, left, right, sums.as_mut_ptr(), shape[2], true) };
    }
}
