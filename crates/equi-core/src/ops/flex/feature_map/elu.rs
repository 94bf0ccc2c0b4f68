//! ELU on flex.

use burn::backend::flex::FlexTensor;
use pulp::Simd;
use rayon::prelude::*;

use crate::ops::flex::float::Float;
use crate::ops::flex::memory::{contiguous, is_large, numbers, own_numbers, written};
use crate::ops::flex::simd::kernel;

/// Numbers in one piece of work.
const PIECE: usize = 1 << 13;

/// Of one number.
#[inline(always)]
pub(super) fn of<F: Float, S: Simd>(x: F, alpha: F) -> F {
    // What is not a number passes through.
    let below = if x > F::ZERO { F::ZERO } else { x };
    let curve = alpha * ((-below).exp_neg::<S>() - F::ONE);
    if x > F::ZERO { x } else { curve }
}

/// The derivative.
#[inline(always)]
pub(super) fn slope<F: Float, S: Simd>(x: F, alpha: F) -> F {
    let below = if x > F::ZERO { F::ZERO } else { x };
    let slope = alpha * (-below).exp_neg::<S>();
    let slope = if x < F::VANISHING { F::ZERO } else { slope };
    if x > F::ZERO { F::ONE } else { slope }
}

kernel! {
    fn elu_piece<'a, F | S>(x: &'a [F], alpha: F, output: &'a mut [F]) {
        for (output, &x) in output.iter_mut().zip(x) {
            *output = of::<F, S>(x, alpha);
        }
    }
}

kernel! {
    fn gradient_piece<'a, F | S>(x: &'a [F], alpha: F, gradient: &'a mut [F]) {
        for (gradient, &x) in gradient.iter_mut().zip(x) {
            *gradient *= slope::<F, S>(x, alpha);
        }
    }
}

pub(super) fn elu<F: Float>(x: FlexTensor, alpha: f64) -> FlexTensor {
    let shape = x.layout().shape().clone();
    let (x, alpha) = (contiguous(x), F::from_elem(alpha));
    let values = numbers::<F>(&x);
    written(shape, |output| {
        if is_large(values.len()) {
            let pieces = output.par_chunks_mut(PIECE).zip(values.par_chunks(PIECE));
            pieces.for_each(|(output, x)| elu_piece(x, alpha, output));
        } else {
            elu_piece(values, alpha, output);
        }
    })
}

pub(super) fn gradient<F: Float>(x: FlexTensor, alpha: f64, gradient: FlexTensor) -> FlexTensor {
    let (x, mut gradient, alpha) = (contiguous(x), contiguous(gradient), F::from_elem(alpha));
    let (values, gradients) = (numbers::<F>(&x), own_numbers::<F>(&mut gradient));
    if is_large(values.len()) {
        let pieces = gradients.par_chunks_mut(PIECE).zip(values.par_chunks(PIECE));
        pieces.for_each(|(gradient, x)| gradient_piece(x, alpha, gradient));
    } else {
        gradient_piece(values, alpha, gradients);
    }
    gradient
}
