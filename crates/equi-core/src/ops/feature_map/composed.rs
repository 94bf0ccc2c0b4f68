//! The operations, composed of what every backend has: for backends and precisions without kernels of ours.

use burn::backend::Backend;
use burn::backend::ops::ModuleOps;
use burn::backend::tensor::FloatTensor;
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
