//! What heads of attention compute for rows of segments.

use burn::backend::TensorMetadata;
use burn_cubecl::CubeBackend;
use burn_cubecl::cubecl::{self, prelude::*};
use burn_cubecl::tensor::CubeTensor;

use super::segments::row_at;
use super::{addresses, contiguous, grid, index_type, unwritten, vector_size};
use crate::ops::BackendSegments;

#[allow(unsafe_code)]
pub(super) fn products(
    segment_values: CubeTensor,
    values: CubeTensor,
    segments: BackendSegments<CubeBackend>,
    heads: usize,
) -> CubeTensor {
    let [segment_values, values] = contiguous([segment_values, values]);
    let [rows, components, width] = values.shape().dims();
    let output = unwritten(&values, [rows, heads]);
    let size = vector_size(&values, width / heads);
    let units = rows * heads;
    let (count, dim) = grid(&values, units);
    let (addresses, index) = (addresses([&values, &segment_values]), index_type(&segments));
    // SAFETY: threads beyond `units`, the numbers of the output, end at once, and ids are below the number of segments.
    unsafe {
        products_kernel::launch_unchecked(
            &output.client,
            count,
            dim,
            addresses,
            size,
            segment_values.into_buffer_arg(),
            values.into_buffer_arg(),
            segments.ids.into_buffer_arg(),
            output.clone().into_buffer_arg(),
            components,
            heads,
            width / heads / size,
            units,
            index,
        )
    };
    output
}

#[cube(launch_unchecked, address_type = "dynamic")]
#[allow(clippy::too_many_arguments)]
fn products_kernel<I: Int, N: Size>(
    segment_values: &[Vector<f32, N>],
    values: &[Vector<f32, N>],
    ids: &[I],
    output: &mut [f32],
    components: usize,
    heads: usize,
    vectors: usize,
    units: usize,
    #[define(I)] _index: ElemType,
) {
    if ABSOLUTE_POS >= units {
        terminate!();
    }
    let (row, head) = (ABSOLUTE_POS / heads, ABSOLUTE_POS % heads);
    let segment = usize::cast_from(ids[row]);
    let mut sum = Vector::<f32, N>::new(0.0f32);
    for component in 0..components {
        let theirs = ((segment * components + component) * heads + head) * vectors;
        let own = ((row * components + component) * heads + head) * vectors;
        for vector in 0..vectors {
            sum += segment_values[theirs + vector] * values[own + vector];
        }
    }
    output[ABSOLUTE_POS] = sum.vector_sum();
}

#[allow(unsafe_code)]
pub(super) fn sums(values: CubeTensor, weights: CubeTensor, segments: BackendSegments<CubeBackend>) -> CubeTensor {
    let [values, weights] = contiguous([values, weights]);
    let ([_, components, width], heads) = (values.shape().dims(), weights.shape()[1]);
    let count = segments.host.count();
    let output = unwritten(&values, [count, components, width]);
    let size = vector_size(&values, width / heads);
    let units = count * components * width / size;
    let (cubes, dim) = grid(&values, units);
    let (addresses, index) = (addresses([&values, &output, &segments.order]), index_type(&segments));
    // SAFETY: threads beyond `units`, the vectors of the output, end at once; offsets are at most the number of rows, and rows in `order` below it.
    unsafe {
        sums_kernel::launch_unchecked(
            &output.client,
            cubes,
            dim,
            addresses,
            size,
            values.into_buffer_arg(),
            weights.into_buffer_arg(),
            segments.offsets.into_buffer_arg(),
            segments.order.into_buffer_arg(),
            output.clone().into_buffer_arg(),
            components,
            heads,
            width / heads / size,
            units,
            segments.host.sorted,
            index,
        )
    };
    output
}

#[cube(launch_unchecked, address_type = "dynamic")]
#[allow(clippy::too_many_arguments)]
fn sums_kernel<I: Int, N: Size>(
    values: &[Vector<f32, N>],
    weights: &[f32],
    offsets: &[I],
    order: &[I],
    output: &mut [Vector<f32, N>],
    components: usize,
    heads: usize,
    vectors: usize,
    units: usize,
    #[comptime] sorted: bool,
    #[define(I)] _index: ElemType,
) {
    if ABSOLUTE_POS >= units {
        terminate!();
    }
    let width = components * heads * vectors;
    let (segment, place_in_row) = (ABSOLUTE_POS / width, ABSOLUTE_POS % width);
    let head = place_in_row / vectors % heads;
    let (begin, end) = (usize::cast_from(offsets[segment]), usize::cast_from(offsets[segment + 1]));
    let mut sum = Vector::<f32, N>::new(0.0f32);
    for place in begin..end {
        let row = row_at::<I>(order, place, sorted);
        sum += Vector::<f32, N>::new(weights[row * heads + head]) * values[row * width + place_in_row];
    }
    output[ABSOLUTE_POS] = sum;
}

#[allow(unsafe_code)]
pub(super) fn spread(
    segment_values: CubeTensor,
    weights: CubeTensor,
    segments: BackendSegments<CubeBackend>,
) -> CubeTensor {
    let [segment_values, weights] = contiguous([segment_values, weights]);
    let ([_, components, width], [rows, heads]) = (segment_values.shape().dims(), weights.shape().dims());
    let output = unwritten(&segment_values, [rows, components, width]);
    let size = vector_size(&segment_values, width / heads);
    let units = rows * components * width / size;
    let (count, dim) = grid(&segment_values, units);
    let (addresses, index) = (addresses([&segment_values, &output]), index_type(&segments));
    // SAFETY: threads beyond `units`, the vectors of the output, end at once, and ids are below the number of segments.
    unsafe {
        spread_kernel::launch_unchecked(
            &output.client,
            count,
            dim,
            addresses,
            size,
            segment_values.into_buffer_arg(),
            weights.into_buffer_arg(),
            segments.ids.into_buffer_arg(),
            output.clone().into_buffer_arg(),
            components,
            heads,
            width / heads / size,
            units,
            index,
        )
    };
    output
}

#[cube(launch_unchecked, address_type = "dynamic")]
#[allow(clippy::too_many_arguments)]
fn spread_kernel<I: Int, N: Size>(
    segment_values: &[Vector<f32, N>],
    weights: &[f32],
    ids: &[I],
    output: &mut [Vector<f32, N>],
    components: usize,
    heads: usize,
    vectors: usize,
    units: usize,
    #[define(I)] _index: ElemType,
) {
    if ABSOLUTE_POS >= units {
        terminate!();
    }
    let width = components * heads * vectors;
    let (row, place_in_row) = (ABSOLUTE_POS / width, ABSOLUTE_POS % width);
    let weight = weights[row * heads + place_in_row / vectors % heads];
    let segment = usize::cast_from(ids[row]);
    output[ABSOLUTE_POS] = Vector::<f32, N>::new(weight) * segment_values[segment * width + place_in_row];
}
