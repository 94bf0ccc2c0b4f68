//! Segments to rows, and rows to segments.

use burn::backend::TensorMetadata;
use burn_cubecl::CubeBackend;
use burn_cubecl::cubecl::{self, prelude::*};
use burn_cubecl::tensor::CubeTensor;

use super::total::cubes;
use super::{addresses, contiguous, grid, index_type, unwritten, vector_size};
use crate::ops::BackendSegments;

#[allow(unsafe_code)]
pub(super) fn gather(values: CubeTensor, segments: BackendSegments<CubeBackend>) -> CubeTensor {
    let [values] = contiguous([values]);
    let (rows, channels) = (segments.host.rows(), values.shape()[1]);
    let output = unwritten(&values, [rows, channels]);
    let size = vector_size(&values, channels);
    let units = rows * channels / size;
    if units == 0 {
        return output;
    }
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

/// Rows of a segment on average, from which a cube of threads shares its sum.
const LONG: usize = 128;

/// Threads that share a sum.
const UNITS: usize = 256;

pub(super) fn sum(values: CubeTensor, segments: BackendSegments<CubeBackend>) -> CubeTensor {
    let [values] = contiguous([values]);
    let (count, channels) = (segments.host.count(), values.shape()[1]);
    if count * channels == 0 {
        return unwritten(&values, [count, channels]);
    }
    match segments.host.rows() >= LONG * segments.host.count() {
        true => long_sum(values, segments),
        false => short_sum(values, segments),
    }
}

/// A thread for every vector of every segment.
#[allow(unsafe_code)]
fn short_sum(values: CubeTensor, segments: BackendSegments<CubeBackend>) -> CubeTensor {
    let (count, channels) = (segments.host.count(), values.shape()[1]);
    let output = unwritten(&values, [count, channels]);
    let size = vector_size(&values, channels);
    let units = count * channels / size;
    let (cubes, dim) = grid(&values, units);
    let (addresses, index) = (addresses([&values, &output, &segments.order]), index_type(&segments));
    // SAFETY: threads beyond `units`, the vectors of the output, end at once; offsets are at most the number of rows, and rows in `order` below it.
    unsafe {
        short_sum_kernel::launch_unchecked(
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
fn short_sum_kernel<I: Int, N: Size>(
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

/// A cube of threads for every segment and some of its vectors: side by side for each vector, one after the other in the rows.
#[allow(unsafe_code)]
fn long_sum(values: CubeTensor, segments: BackendSegments<CubeBackend>) -> CubeTensor {
    let (count, channels) = (segments.host.count(), values.shape()[1]);
    let output = unwritten(&values, [count, channels]);
    let size = vector_size(&values, channels);
    let vectors = channels / size;
    let side = vectors.next_power_of_two().min(32);
    let blocks = vectors.div_ceil(side);
    let (cubes, dim) = cubes(&values, count * blocks, UNITS as u32);
    let (addresses, index) = (addresses([&values, &output, &segments.order]), index_type(&segments));
    // SAFETY: cubes beyond the blocks of all segments end at once; offsets are at most the number of rows, and rows in `order` below it.
    unsafe {
        long_sum_kernel::launch_unchecked(
            &output.client,
            cubes,
            dim,
            addresses,
            size,
            values.into_buffer_arg(),
            segments.offsets.into_buffer_arg(),
            segments.order.into_buffer_arg(),
            output.clone().into_buffer_arg(),
            vectors,
            blocks,
            count * blocks,
            side,
            segments.host.sorted,
            index,
        )
    };
    output
}

#[cube(launch_unchecked, address_type = "dynamic")]
#[allow(clippy::too_many_arguments)]
fn long_sum_kernel<I: Int, N: Size>(
    values: &[Vector<f32, N>],
    offsets: &[I],
    order: &[I],
    output: &mut [Vector<f32, N>],
    vectors: usize,
    blocks: usize,
    cubes: usize,
    #[comptime] side: usize,
    #[comptime] sorted: bool,
    #[define(I)] _index: ElemType,
) {
    if CUBE_POS >= cubes {
        terminate!();
    }
    let unit = UNIT_POS as usize;
    let (segment, vector) = (CUBE_POS / blocks, CUBE_POS % blocks * side + unit % side);
    let (begin, end) = (usize::cast_from(offsets[segment]), usize::cast_from(offsets[segment + 1]));
    let mut sum = Vector::<f32, N>::new(0.0f32);
    if vector < vectors {
        let mut place = begin + unit / side;
        while place < end {
            sum += values[row_at::<I>(order, place, sorted) * vectors + vector];
            place += comptime!(UNITS / side);
        }
    }
    let mut sums = Shared::<[Vector<f32, N>]>::new_slice(comptime!(UNITS));
    sums[unit] = sum;
    sync_cube();
    #[unroll]
    for step in 0..comptime!((UNITS / side).ilog2()) {
        let half = comptime!(UNITS >> (step + 1));
        if unit < half {
            let other = sums[unit + half];
            sums[unit] += other;
        }
        sync_cube();
    }
    if unit < side && vector < vectors {
        output[segment * vectors + vector] = sums[unit];
    }
}

/// The row at a place of the order by segments.
#[cube]
pub(super) fn row_at<I: Int>(order: &[I], place: usize, #[comptime] sorted: bool) -> usize {
    if comptime!(sorted) { place } else { usize::cast_from(order[place]) }
}
