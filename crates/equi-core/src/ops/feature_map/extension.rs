//! The operations as an extension of Burn's backends.

#![cfg_attr(feature = "ndarray", allow(deprecated))] // Burn recommends flex; users ask for ndarray nevertheless.

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, backend_extension};

use super::{BatchNorm, PoolWindow, composed};

/// Pointwise functions and maxima of feature maps. The defaults are composed of the backend's own operations; flex has kernels,
/// and so have GPUs for what is not pointwise (`cube/`).
#[backend_extension(
    Flex: cfg(feature = "flex"),
    NdArray: cfg(feature = "ndarray"),
    Cube: cfg(any(feature = "wgpu", feature = "cuda", feature = "rocm")),
    Fusion: cfg(any(feature = "wgpu", feature = "cuda", feature = "rocm")),
    Autodiff,
)]
pub trait FeatureMapOps: Backend {
    /// `x` where positive, else `alpha (exp(x) - 1)`.
    #[fusion(default)]
    fn elu(x: FloatTensor<Self>, alpha: f64) -> FloatTensor<Self> {
        composed::elu::<Self>(x, alpha)
    }

    /// The gradient of [`elu`](Self::elu).
    #[fusion(default)]
    fn elu_gradient(x: FloatTensor<Self>, alpha: f64, gradient: FloatTensor<Self>) -> FloatTensor<Self> {
        composed::elu_gradient::<Self>(x, alpha, gradient)
    }

    /// The maximum over windows of `x [batch, channels, height, width]`. There is a channel and a sample at least.
    #[fusion(default)]
    fn maximum_over_windows(x: FloatTensor<Self>, window: PoolWindow) -> FloatTensor<Self> {
        composed::maximum_over_windows::<Self>(x, window)
    }

    /// The gradient of [`maximum_over_windows`](Self::maximum_over_windows).
    #[fusion(dtype = x, shape = x)]
    fn maximum_over_windows_gradient(
        x: FloatTensor<Self>,
        window: PoolWindow,
        gradient: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        composed::maximum_over_windows_gradient::<Self>(x, window, gradient)
    }

    /// Mean and variance over batch and space, `[2, channels]`, of `x [batch, channels, height, width]`. Nothing is empty.
    #[fusion(dtype = x, shape = [2, x[1]].into())]
    fn channel_moments(x: FloatTensor<Self>) -> FloatTensor<Self> {
        composed::channel_moments::<Self>(x)
    }

    /// The gradient of [`channel_moments`](Self::channel_moments), which gave `moments`.
    #[fusion(default)]
    fn channel_moments_gradient(
        x: FloatTensor<Self>,
        moments: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        composed::channel_moments_gradient::<Self>(x, moments, gradient)
    }

    /// `scale_c (x_c - mean_c) + shift_c`, for `x [batch, channels, height, width]` and `[channels]` each. Nothing is empty.
    #[fusion(default)]
    fn channel_affine(
        x: FloatTensor<Self>,
        mean: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        shift: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        composed::channel_affine::<Self>(x, mean, scale, shift)
    }

    /// The gradients of [`channel_affine`](Self::channel_affine) by `x`, and in one `[2, channels]` by the scale and by the shift.
    #[fusion(meta = |x, mean, _scale, _gradient| {
        let both = [2, mean.shape[0]].into();
        (x.clone(), burn::backend::fusion::custom::TensorSpec::new(both, x.dtype))
    })]
    fn channel_affine_gradient(
        x: FloatTensor<Self>,
        mean: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        composed::channel_affine_gradient::<Self>(x, mean, scale, gradient)
    }

    /// `f(gamma_b (x - mean_b) / sqrt(variance_b + epsilon) + beta_b)` for every block `b` of channels, with its moments `[2, blocks]`, which are those of
    /// `x`, and `gamma, beta [blocks]`. Nothing is empty.
    #[fusion(default)]
    fn normalise_blocks(
        x: FloatTensor<Self>,
        moments: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        norm: BatchNorm,
    ) -> FloatTensor<Self> {
        composed::batch_norm::<Self>(x, moments, gamma, beta, norm)
    }

    /// The gradients of [`normalise_blocks`](Self::normalise_blocks) by `x`, through the moments, too, and in one `[2, blocks]` by `gamma` and by `beta`.
    #[fusion(default)]
    fn normalise_blocks_gradient(
        x: FloatTensor<Self>,
        moments: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        norm: BatchNorm,
        gradient: FloatTensor<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        composed::batch_norm_gradient::<Self>(x, moments, gamma, beta, norm, gradient)
    }
}

#[cfg(feature = "ndarray")]
impl FeatureMapOps for burn::backend::NdArray {}
