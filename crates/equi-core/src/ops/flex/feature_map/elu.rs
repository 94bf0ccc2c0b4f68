//! ELU on flex.

use std::mem::MaybeUninit;

use burn::backend::flex::FlexTensor;
use rayon::prelude::*;

use crate::ops::flex::float::Float;
use crate::ops::flex::memory::{contiguous, filled, is_large, numbers, own_numbers};
use crate::ops::flex::simd::kernel;

/// Numbers in one piece of work.
const PIECE: usize = 1 << 13;

kernel! {
    fn elu_piece<'a, F | S>(x: &'a [F], alpha: F, output: &'a mut [MaybeUninit<F>]) {
        for (output, &x) in output.iter_mut().zip(x) {
            // What is not a number passes through.
            let below = if x > F::ZERO { F::ZERO } else { x };
            let curve = alpha * ((-below).exp_neg::<S>() - F::ONE);
            output.write(if x > F::ZERO { x } else { curve });
        }
    }
}

kernel! {
    fn gradient_piece<'a, F | S>(x: &'a [F], alpha: F, gradient: &'a mut [F]) {
        for (gradient, &x) in gradient.iter_mut().zip(x) {
            let below = if x > F::ZERO { F::ZERO } else { x };
            let slope = alpha * (-below).exp_neg::<S>();
            let slope = if x < F::VANISHING { F::ZERO } else { slope };
            *gradient *= if x > F::ZERO { F::ONE } else { slope };
        }
    }
}

pub(super) fn elu<F: Float>(x: FlexTensor, alpha: f64) -> FlexTensor {
    let shape = x.layout().shape().clone();
    let (x, alpha) = (contiguous(x), F::from_elem(alpha));
    let values = numbers::<F>(&x);
    let fill = |output: &mut [MaybeUninit<F>]| {
        if is_large(values.len()) {
            let pieces = output.par_chunks_mut(PIECE).zip(values.par_chunks(PIECE));
            pieces.for_each(|(output, x)| elu_piece(x, alpha, output));
        } else {
            elu_piece(values, alpha, output);
        }
    };
    // SAFETY: there are as many numbers in the input as in the output, and one is written for each.
    #[allow(unsafe_code)]
    let output = unsafe { filled::<F>([1, values.len()], fill) };
    output.reshape(shape)
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
