//! The operations on feature maps on flex, in single and double precision.

mod elu;
mod max_pool;

use burn::backend::Flex;
use burn::backend::tensor::FloatTensor;
use burn::tensor::DType;

use super::in_precision;
use crate::ops::feature_map::{FeatureMapOps, PoolWindow, composed};

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
}
