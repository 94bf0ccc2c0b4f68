//! Kernels for GPUs, written once in CubeCL for every runtime: wgpu, CUDA, ROCm, Metal.
//!
//! They compute in f32; other precisions take the operations composed of Burn's. Where there is nothing to write, nothing runs. Every number has one thread, or one
//! group of threads of constant size, that adds up what it is made of in a constant order: there are no atomics, and results are the same every time.
//!
//! The kernels belong to `CubeBackend`, Burn's backend without fusion. With fusion an operation is registered as one that Burn does not look into,
//! and runs them when its turn comes.

mod edges;
mod feature_map;
mod heads;
mod o3;
mod segments;
#[cfg(all(test, feature = "flex", feature = "wgpu"))]
mod tests;
mod total;

use burn::backend::cubecl::dtype_to_storage_type;
use burn::backend::tensor::FloatTensor;
use burn::tensor::{DType, Shape};
use burn_cubecl::CubeBackend;
use burn_cubecl::cubecl::calculate_cube_count_elemwise;
use burn_cubecl::cubecl::ir::ElemType;
use burn_cubecl::cubecl::prelude::{AddressType, CubeCount, CubeDim};
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::ops::numeric::empty_device_contiguous_dtype;
use burn_cubecl::tensor::CubeTensor;

use super::composed;
use super::extension::{BackendSegments, RowOps};

impl RowOps for CubeBackend {
    fn gather_rows(values: FloatTensor<Self>, segments: BackendSegments<Self>) -> FloatTensor<Self> {
        if !applies([&values]) {
            return composed::gather_rows::<Self>(values, segments);
        }
        segments::gather(values, segments)
    }

    fn sum_rows(values: FloatTensor<Self>, segments: BackendSegments<Self>) -> FloatTensor<Self> {
        if !applies([&values]) || segments.host.rows() == 0 {
            return composed::sum_rows::<Self>(values, segments);
        }
        segments::sum(values, segments)
    }

    fn head_products(
        segment_values: FloatTensor<Self>,
        values: FloatTensor<Self>,
        segments: BackendSegments<Self>,
        heads: usize,
    ) -> FloatTensor<Self> {
        if !applies([&segment_values, &values]) {
            return composed::head_products::<Self>(segment_values, values, segments, heads);
        }
        heads::products(segment_values, values, segments, heads)
    }

    fn head_sums(
        values: FloatTensor<Self>,
        weights: FloatTensor<Self>,
        segments: BackendSegments<Self>,
    ) -> FloatTensor<Self> {
        if !applies([&values, &weights]) {
            return composed::head_sums::<Self>(values, weights, segments);
        }
        heads::sums(values, weights, segments)
    }

    fn head_spread(
        segment_values: FloatTensor<Self>,
        weights: FloatTensor<Self>,
        segments: BackendSegments<Self>,
    ) -> FloatTensor<Self> {
        if !applies([&segment_values, &weights]) {
            return composed::head_spread::<Self>(segment_values, weights, segments);
        }
        heads::spread(segment_values, weights, segments)
    }

    fn combine_edges(
        received: FloatTensor<Self>,
        sent: FloatTensor<Self>,
        edges: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        receivers: BackendSegments<Self>,
        senders: BackendSegments<Self>,
    ) -> FloatTensor<Self> {
        if !applies([&received, &sent, &edges, &weight]) {
            return composed::combine_edges::<Self>(received, sent, edges, weight, receivers, senders);
        }
        edges::combine([received, sent, edges, weight], [receivers, senders])
    }

    fn combine_edges_slope(
        received: FloatTensor<Self>,
        sent: FloatTensor<Self>,
        edges: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        receivers: BackendSegments<Self>,
        senders: BackendSegments<Self>,
        gradient: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        if !applies([&received, &sent, &edges, &weight, &gradient]) {
            return composed::combine_edges_slope::<Self>(received, sent, edges, weight, receivers, senders, gradient);
        }
        edges::slope([received, sent, edges, weight], [receivers, senders], gradient)
    }
}

/// Whether there are kernels for these tensors.
fn applies<const N: usize>(tensors: [&CubeTensor; N]) -> bool {
    tensors.iter().all(|tensor| tensor.dtype == DType::F32)
}

/// The tensors with their numbers side by side, in the order of their dimensions.
fn contiguous<const N: usize>(tensors: [CubeTensor; N]) -> [CubeTensor; N] {
    tensors.map(into_contiguous)
}

/// A tensor whose numbers a kernel is about to write, of the precision and on the device of `like`.
fn unwritten(like: &CubeTensor, shape: impl Into<Shape>) -> CubeTensor {
    empty_device_contiguous_dtype(like.client.clone(), like.device.clone(), shape.into(), like.dtype)
}

/// How many of `channels` a thread can take as one vector.
fn vector_size(like: &CubeTensor, channels: usize) -> usize {
    let sizes = like.client.io_optimized_vector_sizes(like.dtype.size());
    sizes.filter(|&size| channels.is_multiple_of(size)).max().unwrap_or(1)
}

/// Cubes for at least `units` threads.
fn grid(like: &CubeTensor, units: usize) -> (CubeCount, CubeDim) {
    let dim = CubeDim::new(&like.client, units);
    (calculate_cube_count_elemwise(&like.client, units, dim), dim)
}

/// The integers that reach all numbers of the tensors.
fn addresses<const N: usize>(tensors: [&CubeTensor; N]) -> AddressType {
    tensors.into_iter().map(CubeTensor::required_address_type).max().unwrap_or_default()
}

/// The precision of the indices of segments.
fn index_type(segments: &BackendSegments<CubeBackend>) -> ElemType {
    dtype_to_storage_type(segments.ids.dtype)
}
