//! The operations, composed of what every backend has: for backends and precisions without kernels of ours.

use burn::backend::ops::ModuleOps;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, TensorMetadata};
use burn::tensor::IntDType;

use super::PoolWindow;

pub(in crate::ops) fn elu<B: Backend>(x: FloatTensor<B>, alpha: f64) -> FloatTensor<B> {
    let above = B::float_clamp_min(x.clone(), 0.0.into());
    let below = B::float_add_scalar(B::float_exp(B::float_clamp_max(x, 0.0.into())), (-1.0).into());
    B::float_add(above, B::float_mul_scalar(below, alpha.into()))
}

pub(in crate::ops) fn elu_gradient<B: Backend>(
    x: FloatTensor<B>,
    alpha: f64,
    gradient: FloatTensor<B>,
) -> FloatTensor<B> {
    let positive = B::float_sign(B::float_clamp_min(x.clone(), 0.0.into()));
    let other = B::float_add_scalar(B::float_neg(positive.clone()), 1.0.into());
    let below = B::float_mul_scalar(B::float_exp(B::float_clamp_max(x, 0.0.into())), alpha.into());
    B::float_mul(gradient, B::float_add(positive, B::float_mul(other, below)))
}

pub(in crate::ops) fn maximum_over_windows<B: Backend>(x: FloatTensor<B>, window: PoolWindow) -> FloatTensor<B> {
    let (size, stride, padding) = ([window.kernel_size; 2], [window.stride; 2], [window.padding; 2]);
    <B as ModuleOps<B>>::max_pool2d(x, size, stride, padding, [1; 2], false)
}

pub(in crate::ops) fn maximum_over_windows_gradient<B: Backend>(
    x: FloatTensor<B>,
    window: PoolWindow,
    gradient: FloatTensor<B>,
) -> FloatTensor<B> {
    let (size, stride, padding) = ([window.kernel_size; 2], [window.stride; 2], [window.padding; 2]);
    let dtype = IntDType::I32;
    let found =
        <B as ModuleOps<B>>::max_pool2d_with_indices(x.clone(), size, stride, padding, [1; 2], false, dtype).indices;
    <B as ModuleOps<B>>::max_pool2d_with_indices_backward(x, size, stride, padding, [1; 2], false, gradient, found)
        .x_grad
}

pub(in crate::ops) fn channel_moments<B: Backend>(x: FloatTensor<B>) -> FloatTensor<B> {
    let channels = x.shape()[1];
    let mean = mean_of_channels::<B>(x.clone());
    let centred = B::float_sub(x, mean.clone());
    let variance = mean_of_channels::<B>(B::float_mul(centred.clone(), centred));
    let row = |x| B::float_reshape(x, [1, channels].into());
    B::float_cat(vec![row(mean), row(variance)], 0)
}

pub(in crate::ops) fn channel_moments_gradient<B: Backend>(
    x: FloatTensor<B>,
    moments: FloatTensor<B>,
    gradient: FloatTensor<B>,
) -> FloatTensor<B> {
    let shape = x.shape();
    let samples = (shape[0] * shape[2] * shape[3]) as f64;
    let row = |x: &FloatTensor<B>, row: usize| per_channel::<B>(row_of::<B>(x.clone(), row));
    let centred = B::float_sub(x, row(&moments, 0));
    let by_variance = B::float_mul_scalar(row(&gradient, 1), (2.0 / samples).into());
    let by_mean = B::float_mul_scalar(row(&gradient, 0), samples.recip().into());
    B::float_add(B::float_mul(centred, by_variance), by_mean)
}

pub(in crate::ops) fn channel_affine<B: Backend>(
    x: FloatTensor<B>,
    mean: FloatTensor<B>,
    scale: FloatTensor<B>,
    shift: FloatTensor<B>,
) -> FloatTensor<B> {
    let centred = B::float_sub(x, per_channel::<B>(mean));
    B::float_add(B::float_mul(centred, per_channel::<B>(scale)), per_channel::<B>(shift))
}

pub(in crate::ops) fn channel_affine_gradient<B: Backend>(
    x: FloatTensor<B>,
    mean: FloatTensor<B>,
    scale: FloatTensor<B>,
    gradient: FloatTensor<B>,
) -> (FloatTensor<B>, FloatTensor<B>) {
    let channels = x.shape()[1];
    let sum = |x: FloatTensor<B>| {
        let sum = [3, 2, 0].into_iter().fold(x, |sum, dim| B::float_sum_dim(sum, dim));
        B::float_reshape(sum, [1, channels].into())
    };
    let centred = B::float_sub(x, per_channel::<B>(mean));
    let by_scale = sum(B::float_mul(centred, gradient.clone()));
    let by_both = B::float_cat(vec![by_scale, sum(gradient.clone())], 0);
    (B::float_mul(gradient, per_channel::<B>(scale)), by_both)
}

/// The mean over batch and space, `[1, channels, 1, 1]`: of means over rows first, whose sums are short.
fn mean_of_channels<B: Backend>(x: FloatTensor<B>) -> FloatTensor<B> {
    [3, 2, 0].into_iter().fold(x, |mean, dim| B::float_mean_dim(mean, dim))
}

/// `[channels]`, to be broadcast over a feature map.
fn per_channel<B: Backend>(vector: FloatTensor<B>) -> FloatTensor<B> {
    let channels = vector.shape()[0];
    B::float_reshape(vector, [1, channels, 1, 1].into())
}

/// A row of a matrix.
pub(in crate::ops) fn row_of<B: Backend>(matrix: FloatTensor<B>, row: usize) -> FloatTensor<B> {
    let columns = matrix.shape()[1];
    let part = B::float_slice(matrix, &[(row..row + 1).into(), (0..columns).into()]);
    B::float_reshape(part, [columns].into())
}
