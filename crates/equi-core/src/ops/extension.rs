//! The operations as an extension of Burn's backends.
//!
//! Every method has a default in terms of the backend's own operations, so a backend needs no more than an empty `impl`. Flex has
//! kernels of its own (`flex/`); gradients are written by hand for all backends (`autodiff.rs`).

use std::sync::Arc;

use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::backend::{Backend, ExtensionType, TensorMetadata, backend_extension};
use burn::tensor::IndexingUpdateOp;

use super::segments::Rows;

/// [`Segments`](super::Segments) as a backend sees them: on its device, and on the host.
#[derive(Clone, Debug, ExtensionType)]
pub struct BackendSegments<B: Backend> {
    /// The segment of every row, `[rows]`.
    pub ids: IntTensor<B>,
    /// Where the rows of every segment begin in `order`, and where the last ends, `[segments + 1]`.
    pub offsets: IntTensor<B>,
    /// The rows, segment by segment, `[rows]`.
    pub order: IntTensor<B>,
    /// The same on the host.
    pub host: Arc<Rows>,
}

/// What the networks on graphs spend their time in.
///
/// Methods ending in `_gradient` give the gradients of the method they are named after.
#[backend_extension(
    Flex: cfg(feature = "flex"),
    NdArray: cfg(feature = "ndarray"),
    Cube: cfg(any(feature = "wgpu", feature = "cuda", feature = "rocm")),
    Autodiff,
)]
pub trait RowOps: Backend {
    /// `x sigmoid(x)`.
    fn swish(x: FloatTensor<Self>) -> FloatTensor<Self> {
        Self::float_mul(x.clone(), Self::sigmoid(x))
    }

    /// The gradient of [`swish`](Self::swish): `g s (1 + x (1 - s))` with `s = sigmoid(x)`.
    fn swish_gradient(x: FloatTensor<Self>, gradient: FloatTensor<Self>) -> FloatTensor<Self> {
        let sigmoid = Self::sigmoid(x.clone());
        let rest = Self::float_add_scalar(Self::float_neg(sigmoid.clone()), 1.0.into());
        let slope = Self::float_add_scalar(Self::float_mul(x, rest), 1.0.into());
        Self::float_mul(gradient, Self::float_mul(sigmoid, slope))
    }

    /// `swish(x + b)` for `x [rows, channels]`, `b [channels]`.
    fn bias_swish(x: FloatTensor<Self>, bias: FloatTensor<Self>) -> FloatTensor<Self> {
        Self::swish(Self::float_add(x, row::<Self>(bias)))
    }

    /// The gradients of [`bias_swish`](Self::bias_swish) by `x` and by `b`.
    fn bias_swish_gradient(
        x: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        let shape = bias.shape();
        let by_x = Self::swish_gradient(Self::float_add(x, row::<Self>(bias)), gradient);
        let by_bias = Self::float_reshape(Self::float_sum_dim(by_x.clone(), 0), shape);
        (by_x, by_bias)
    }

    /// `y_r = x_(segment of r)` for `x [segments, channels]`.
    fn gather_rows(values: FloatTensor<Self>, #[extension_type] segments: BackendSegments<Self>) -> FloatTensor<Self> {
        let shape = [segments.host.rows(), values.shape()[1]];
        if shape.contains(&0) || segments.host.count() == 0 {
            return Self::float_zeros(shape.into(), &values.device(), values.dtype().into());
        }
        Self::float_gather(0, values, spread::<Self>(segments.ids, shape))
    }

    /// `y_s = sum over rows r of s of x_r` for `x [rows, channels]`.
    fn sum_rows(values: FloatTensor<Self>, #[extension_type] segments: BackendSegments<Self>) -> FloatTensor<Self> {
        let [rows, channels] = [segments.host.rows(), values.shape()[1]];
        let shape = [segments.host.count(), channels];
        let zeros = Self::float_zeros(shape.into(), &values.device(), values.dtype().into());
        if rows * channels == 0 {
            return zeros;
        }
        Self::float_scatter(0, zeros, spread::<Self>(segments.ids, [rows, channels]), values, IndexingUpdateOp::Add)
    }
}

#[cfg(feature = "ndarray")]
#[allow(deprecated)] // Burn recommends flex; users ask for ndarray nevertheless.
impl RowOps for burn::backend::NdArray {}

#[cfg(any(feature = "wgpu", feature = "cuda", feature = "rocm"))]
impl RowOps for burn::backend::Cube {}

/// `[channels]` as `[1, channels]`.
fn row<B: Backend>(vector: FloatTensor<B>) -> FloatTensor<B> {
    let channels = vector.shape()[0];
    B::float_reshape(vector, [1, channels].into())
}

/// One index a row for all of its channels.
fn spread<B: Backend>(ids: IntTensor<B>, [rows, channels]: [usize; 2]) -> IntTensor<B> {
    B::int_expand(B::int_reshape(ids, [rows, 1].into()), [rows, channels].into())
}
