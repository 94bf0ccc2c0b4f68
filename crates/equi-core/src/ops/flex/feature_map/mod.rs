//! The operations on feature maps on flex, in single and double precision.

mod batch_norm;
pub(super) mod channels;
mod elu;
mod max_pool;

use burn::backend::Flex;
use burn::backend::tensor::FloatTensor;
use burn::tensor::DType;

use super::in_precision;
use crate::ops::feature_map::{BatchNorm, FeatureMapOps, PoolWindow, composed};

impl FeatureMapOps for Flex {
    fn elu(x: FloatTensor<Self>, alpha: f64) -> FloatTensor<Self> {
        in_precision!(x, elu::elu(x, alpha), composed::elu::<Self>(x, alpha))
    }

    fn elu_gradient(x: FloatTensor<Self>, alpha: f64, gradient: FloatTensor<Self>) -> FloatTensor<Self> {
        in_precision!(x, elu::gradient(x, alpha, gradient), composed::elu_gradient::<Self>(x, alpha, gradient))
    }

    fn maximum_over_windows(x: FloatTensor<Self>, window: PoolWindow) -> FloatTensor<Self> {
        in_precision!(x, max_pool::maximum(x, window), composed::maximum_over_windows::<Self>(x, window))
    }

    fn maximum_over_windows_gradient(
        x: FloatTensor<Self>,
        window: PoolWindow,
        gradient: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        in_precision!(
            x,
            max_pool::gradient(x, window, gradient),
            composed::maximum_over_windows_gradient::<Self>(x, window, gradient)
        )
    }

    fn channel_moments(x: FloatTensor<Self>) -> FloatTensor<Self> {
        in_precision!(x, channels::moments(x), composed::channel_moments::<Self>(x))
    }

    fn channel_moments_gradient(
        x: FloatTensor<Self>,
        moments: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        in_precision!(
            x,
            channels::moments_gradient(x, moments, gradient),
            composed::channel_moments_gradient::<Self>(x, moments, gradient)
        )
    }

    fn channel_affine(
        x: FloatTensor<Self>,
        mean: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        shift: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        in_precision!(
            x,
            channels::affine(x, [mean, scale, shift]),
            composed::channel_affine::<Self>(x, mean, scale, shift)
        )
    }

    fn channel_affine_gradient(
        x: FloatTensor<Self>,
        mean: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        in_precision!(
            x,
            channels::affine_gradient(x, [mean, scale], gradient),
            composed::channel_affine_gradient::<Self>(x, mean, scale, gradient)
        )
    }

    fn normalise_blocks(
        x: FloatTensor<Self>,
        moments: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        norm: BatchNorm,
    ) -> FloatTensor<Self> {
        in_precision!(
            x,
            batch_norm::forward(x, [moments, gamma, beta], norm),
            composed::batch_norm::<Self>(x, moments, gamma, beta, norm)
        )
    }

    fn normalise_blocks_gradient(
        x: FloatTensor<Self>,
        moments: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        norm: BatchNorm,
        gradient: FloatTensor<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        in_precision!(
            x,
            batch_norm::gradient(x, [moments, gamma, beta], norm, gradient),
            composed::batch_norm_gradient::<Self>(x, moments, gamma, beta, norm, gradient)
        )
    }
}
