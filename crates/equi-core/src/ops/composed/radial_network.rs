//! `radial_network`, and its gradient from the input alone.

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, TensorMetadata};
use burn::tensor::Slice;

use super::row;
use crate::ops::extension::RowOps;

/// Weight, bias, scale and shift.
type Layer<B> = [FloatTensor<B>; 4];

pub(in crate::ops) fn radial_network<B: RowOps>(
    x: FloatTensor<B>,
    layers: [Layer<B>; 2],
    epsilon: f64,
) -> FloatTensor<B> {
    let values = layers
        .into_iter()
        .fold(x, |x, [weight, bias, scale, shift]| B::norm_gelu(linear::<B>(x, weight, bias), scale, shift, epsilon));
    let rows = values.shape()[0];
    let ones = B::float_ones([rows, 1].into(), &values.device(), values.dtype().into());
    B::float_cat(vec![values, ones], 1)
}

/// The gradients by `x`, if it is needed, and by the two layers.
pub(in crate::ops) fn radial_network_gradient<B: RowOps>(
    x: FloatTensor<B>,
    layers: [Layer<B>; 2],
    epsilon: f64,
    gradient: FloatTensor<B>,
    by_x: bool,
) -> (Option<FloatTensor<B>>, [Layer<B>; 2]) {
    let [first, second] = layers;
    let [weight, bias, scale, shift] = first.clone();
    let sums = linear::<B>(x.clone(), weight, bias);
    let between = B::norm_gelu(sums.clone(), scale, shift, epsilon);
    let [rows, channels] = [gradient.shape()[0], gradient.shape()[1] - 1];
    let through = [Slice::from(0..rows), Slice::from(0..channels)];
    let gradient = B::float_slice(gradient, &through);
    let again = linear::<B>(between.clone(), second[0].clone(), second[1].clone());
    let (by_between, second) = layer_gradient::<B>(between, again, second, epsilon, gradient, true);
    let (by_x, first) = layer_gradient::<B>(x, sums, first, epsilon, by_between.expect("what was asked for"), by_x);
    (by_x, [first, second])
}

/// The gradients by the input, if it is needed, and by the layer, which made `sums` of the input before the normalisation.
fn layer_gradient<B: RowOps>(
    x: FloatTensor<B>,
    sums: FloatTensor<B>,
    [weight, bias, scale, shift]: Layer<B>,
    epsilon: f64,
    gradient: FloatTensor<B>,
    by_x: bool,
) -> (Option<FloatTensor<B>>, Layer<B>) {
    let (by_sums, by_scale, by_shift) = B::norm_gelu_gradient(sums, scale, shift, epsilon, gradient);
    let by_bias = B::float_reshape(B::float_sum_dim(by_sums.clone(), 0), bias.shape());
    let by_weight = B::float_matmul(B::float_transpose(x), by_sums.clone());
    let by_x = by_x.then(|| B::float_matmul(by_sums, B::float_transpose(weight)));
    (by_x, [by_weight, by_bias, by_scale, by_shift])
}

fn linear<B: Backend>(x: FloatTensor<B>, weight: FloatTensor<B>, bias: FloatTensor<B>) -> FloatTensor<B> {
    B::float_add(B::float_matmul(x, weight), row::<B>(bias))
}
