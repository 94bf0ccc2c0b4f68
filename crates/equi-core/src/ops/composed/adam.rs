//! `adam_step`, composed of operations on numbers.

use burn::backend::Backend;
use burn::backend::tensor::FloatTensor;

pub(in crate::ops) fn adam_step<B: Backend>(
    parameter: FloatTensor<B>,
    gradient: FloatTensor<B>,
    moment_1: FloatTensor<B>,
    moment_2: FloatTensor<B>,
    [beta_1, rest_1, beta_2, rest_2, correction, epsilon]: [f64; 6],
    rate: f64,
) -> (FloatTensor<B>, FloatTensor<B>, FloatTensor<B>) {
    let square = B::float_mul(gradient.clone(), gradient.clone());
    let mix = |a, a_share: f64, b, b_share: f64| {
        B::float_add(B::float_mul_scalar(a, a_share.into()), B::float_mul_scalar(b, b_share.into()))
    };
    let moment_1 = mix(moment_1, beta_1, gradient, rest_1);
    let moment_2 = mix(moment_2, beta_2, square, rest_2);
    let root = B::float_add_scalar(B::float_sqrt(moment_2.clone()), epsilon.into());
    let step = B::float_div(B::float_mul_scalar(moment_1.clone(), correction.into()), root);
    (B::float_sub(parameter, B::float_mul_scalar(step, rate.into())), moment_1, moment_2)
}
