//! A step of Adam on flex.

use burn::backend::flex::FlexTensor;

use super::float::Float;
use super::memory::{contiguous, numbers, own_numbers};
use super::simd::kernel;

kernel! {
    fn step<'a, F | S>(
        parameter: &'a mut [F],
        gradient: &'a [F],
        moment_1: &'a mut [F],
        moment_2: &'a mut [F],
        factors: [F; 7],
    ) {
        let [beta_1, rest_1, beta_2, rest_2, correction, epsilon, rate] = factors;
        let moments = moment_1.iter_mut().zip(moment_2);
        for ((parameter, &gradient), (moment_1, moment_2)) in parameter.iter_mut().zip(gradient).zip(moments) {
            *moment_1 = beta_1 * *moment_1 + rest_1 * gradient;
            *moment_2 = beta_2 * *moment_2 + rest_2 * (gradient * gradient);
            let step = correction * *moment_1 / (moment_2.square_root() + epsilon);
            *parameter = *parameter - rate * step;
        }
    }
}

pub(super) fn adam_step<F: Float>(
    tensors: [FlexTensor; 4],
    factors: [f64; 6],
    rate: f64,
) -> (FlexTensor, FlexTensor, FlexTensor) {
    let [mut parameter, gradient, mut moment_1, mut moment_2] = tensors.map(contiguous);
    let [a, b, c, d, e, f] = factors.map(F::from_elem);
    step::<F>(
        own_numbers(&mut parameter),
        numbers(&gradient),
        own_numbers(&mut moment_1),
        own_numbers(&mut moment_2),
        [a, b, c, d, e, f, F::from_elem(rate)],
    );
    (parameter, moment_1, moment_2)
}
