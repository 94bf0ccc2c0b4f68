//! Segments to rows, and rows to segments.

use burn::backend::TensorMetadata;
use burn_cubecl::CubeBackend;
use burn_cubecl::cubecl::{self, prelude::*};
use burn_cubecl::tensor::CubeTensor;

use super::{addresses, contiguous, grid, index_type, unwritten, vector_size};
use crate::ops::BackendSegments;

#[allow(unsafe_code)]
pub(super) fn gather(values: CubeTensor, segments: BackendSegments<CubeBackend>) -> CubeTensor {
    let [values] = contiguous([values]);
    let (rows, channels) = (segments.host.rows(), values.shape()[1]);
    let output = unwritten(&values, [rows, channels]);
    let size = vector_size(&values, channels);
    let units = rows * channels / size;
    let (count, dim) = grid(&values, units);
    let (addresses, index) = (addresses([&values, &output, &segments.ids]), index_type(&segments));
    // SAFETY: threads beyond `units`, the vectors of the output, end at once, and ids are below the number of segments.
    unsafe {
        gather_kernel::launch_unchecked(
            &output.client,
            count,
            dim,
            addresses,
            size,
            values.into_buffer_arg(),
            segments.ids.into_buffer_arg(),
            output.clone().into_buffer_arg(),
            channels / size,
            units,
            index,
        )
    };
    output
}

#[cube(launch_unchecked, address_type = "dynamic")]
fn gather_kernel<I: Int, N: Size>(
    values: &[Vector<f32, N>],
    ids: &[I],
    output: &mut [Vector<f32, N>],
    vectors: usize,
    units: usize,
    #[define(I)] _index: ElemType,
) {
    if ABSOLUTE_POS >= units {
        terminate!();
    }
    let segment = usize::cast_from(ids[ABSOLUTE_POS / vectors]);
    output[ABSOLUTE_POS] = values[segment * vectors + ABSOLUTE_POS % vectors];
}

#[allow(unsafe_code)]
pub(super) fn sum(values: CubeTensor, segments: BackendSegments<CubeBackend>) -> CubeTensor {
    let [values] = contiguous([values]);
    let (count, channels) = (segments.host.count(), values.shape()[1]);
    let output = unwritten(&values, [count, channels]);
    let size = vector_size(&values, channels);
    let units = count * channels / size;
    let (cubes, dim) = grid(&values, units);
    let (addresses, index) = (addresses([&values, &output, &segments.order]), index_type(&segments));
    // SAFETY: threads beyond `units`, the vectors of the output, end at once; offsets are at most the number of rows, and rows in `order` below it.
    unsafe {
        sum_kernel::launch_unchecked(
            &output.client,
            cubes,
            dim,
            addresses,
            size,
            values.into_buffer_arg(),
            segments.offsets.into_buffer_arg(),
            segments.order.into_buffer_arg(),
            output.clone().into_buffer_arg(),
            channels / size,
            units,
            segments.host.sorted,
            index,
        )
    };
    output
}

#[cube(launch_unchecked, address_type = "dynamic")]
#[allow(clippy::too_many_arguments)]
fn sum_kernel<I: Int, N: Size>(
    values: &[Vector<f32, N>],
    offsets: &[I],
    order: &[I],
    output: &mut [Vector<f32, N>],
    vectors: usize,
    units: usize,
    #[comptime] sorted: bool,
    #[define(I)] _index: ElemType,
) {
    if ABSOLUTE_POS >= units {
        terminate!();
    }
    let (segment, vector) = (ABSOLUTE_POS / vectors, ABSOLUTE_POS % vectors);
    let (begin, end) = (usize::cast_from(offsets[segment]), usize::cast_from(offsets[segment + 1]));
    let mut sum = Vector::<f32, N>::new(0.0f32);
    for place in begin..end {
        sum += values[row_at::<I>(order, place, sorted) * vectors + vector];
    }
    output[ABSOLUTE_POS] = sum;
}

/// The row at a place of the order by segments.
#[cube]
pub(super) fn row_at<I: Int>(order: &[I], place: usize, #[comptime] sorted: bool) -> usize {
    if comptime!(sorted) { place } else { usize::cast_from(order[place]) }
}
