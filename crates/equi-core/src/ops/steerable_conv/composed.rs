//! The convolution as every backend has it: for backends and precisions without kernels of ours.

use burn::backend::ops::ModuleOps;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, TensorMetadata};
use burn::tensor::ops::ConvOptions;

use super::ConvSteps;

impl ConvSteps {
    fn options(self) -> ConvOptions<2> {
        ConvOptions::new([self.stride; 2], [self.padding; 2], [self.dilation; 2], 1)
    }
}

pub(in crate::ops) fn steerable_conv2d<B: Backend>(
    input: FloatTensor<B>,
    filter: FloatTensor<B>,
    bias: FloatTensor<B>,
    steps: ConvSteps,
) -> FloatTensor<B> {
    <B as ModuleOps<B>>::conv2d(input, filter, Some(bias), steps.options())
}

pub(in crate::ops) fn steerable_conv2d_gradient<B: Backend>(
    input: FloatTensor<B>,
    filter: FloatTensor<B>,
    gradient: FloatTensor<B>,
    steps: ConvSteps,
    needed: [bool; 2],
) -> (Option<FloatTensor<B>>, Option<FloatTensor<B>>) {
    let by_input = needed[0].then(|| {
        let (input, filter, gradient) = (input.clone(), filter.clone(), gradient.clone());
        <B as ModuleOps<B>>::conv2d_x_backward(input, filter, gradient, steps.options())
    });
    let by_filter =
        needed[1].then(|| <B as ModuleOps<B>>::conv2d_weight_backward(input, filter, gradient, steps.options()));
    (by_input, by_filter)
}

pub(in crate::ops) fn sum_of_channels<B: Backend>(gradient: FloatTensor<B>) -> FloatTensor<B> {
    let channels = gradient.shape()[1];
    let sum = [3, 2, 0].into_iter().fold(gradient, B::float_sum_dim);
    B::float_reshape(sum, [channels].into())
}
