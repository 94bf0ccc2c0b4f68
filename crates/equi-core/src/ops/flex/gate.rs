//! Rows that decide their own weight, on flex.

use std::mem::MaybeUninit;

use burn::backend::flex::FlexTensor;
use rayon::prelude::*;

use super::activation::add_rows;
use super::float::{Float, dot};
use super::memory::{contiguous, dims, filled, is_large, numbers, own_numbers, tensor};
use super::simd::kernel;

/// Rows in one piece of work. A constant, so that sums over pieces are the same with any number of threads.
const ROWS: usize = 128;

kernel! {
    fn gate_rows<'a, F | S>(x: &'a [F], weight: &'a [F], bias: F, output: &'a mut [MaybeUninit<F>]) {
        let channels = weight.len();
        for (x, output) in x.chunks_exact(channels).zip(output.chunks_exact_mut(channels)) {
            let open = (dot::<F, S>(x, weight) + bias).sigmoid::<S>();
            for (output, &x) in output.iter_mut().zip(x) {
                output.write(x * open);
            }
        }
    }
}

kernel! {
    /// Makes the gradient one by `x`, and adds up that by `w` and, in the last place of `sum`, that by `b`.
    fn gate_gradient_rows<'a, F | S>(
        x: &'a [F],
        weight: &'a [F],
        bias: F,
        gradient: &'a mut [F],
        sum: &'a mut [F],
    ) {
        let channels = weight.len();
        let (by_weight, by_bias) = sum.split_at_mut(channels);
        for (x, gradient) in x.chunks_exact(channels).zip(gradient.chunks_exact_mut(channels)) {
            let open = (dot::<F, S>(x, weight) + bias).sigmoid::<S>();
            let by_sum = dot::<F, S>(x, gradient) * open * (F::ONE - open);
            for (by_weight, &x) in by_weight.iter_mut().zip(x) {
                *by_weight = by_sum.mul_add::<S>(x, *by_weight);
            }
            for (gradient, &weight) in gradient.iter_mut().zip(weight) {
                *gradient = by_sum.mul_add::<S>(weight, *gradient * open);
            }
            by_bias[0] += by_sum;
        }
    }
}

pub(super) fn gate<F: Float>(x: FlexTensor, weight: FlexTensor, bias: FlexTensor) -> FlexTensor {
    let (x, weight, bias) = (contiguous(x), contiguous(weight), contiguous(bias));
    let shape = dims(&x);
    let (values, weight, bias) = (numbers::<F>(&x), numbers::<F>(&weight), numbers::<F>(&bias)[0]);
    assert_eq!(weight.len(), shape[1], "a weight for every channel");
    let piece = ROWS * shape[1];
    let fill = |output: &mut [MaybeUninit<F>]| {
        if is_large(values.len()) {
            let work = output.par_chunks_mut(piece).zip(values.par_chunks(piece));
            work.for_each(|(output, x)| gate_rows(x, weight, bias, output));
        } else {
            gate_rows(values, weight, bias, output);
        }
    };
    // Input and output have the same rows, of as many channels as the weight, and every row is written.
    filled::<F>(shape, fill)
}

pub(super) fn gate_gradient<F: Float>(
    x: FlexTensor,
    weight: FlexTensor,
    bias: FlexTensor,
    gradient: FlexTensor,
) -> (FlexTensor, FlexTensor, FlexTensor) {
    let (x, weight, bias, mut gradient) = (contiguous(x), contiguous(weight), contiguous(bias), contiguous(gradient));
    let [rows, channels] = dims(&x);
    let (x, weight, bias) = (numbers::<F>(&x), numbers::<F>(&weight), numbers::<F>(&bias)[0]);
    let values = own_numbers::<F>(&mut gradient);
    let piece = ROWS * channels;
    let mut sums = vec![F::ZERO; rows.div_ceil(ROWS) * (channels + 1)];
    let work = |((x, gradient), sum): ((&[F], &mut [F]), &mut [F])| gate_gradient_rows(x, weight, bias, gradient, sum);
    if is_large(x.len()) {
        let places = x.par_chunks(piece).zip(values.par_chunks_mut(piece));
        places.zip(sums.par_chunks_mut(channels + 1)).for_each(work);
    } else {
        x.chunks(piece).zip(values.chunks_mut(piece)).zip(sums.chunks_mut(channels + 1)).for_each(work);
    }
    let mut sum = vec![F::ZERO; channels + 1];
    add_rows(&sums, &mut sum);
    let by_bias = sum.split_off(channels);
    (gradient, tensor(sum, [channels, 1]), tensor(by_bias, [1]))
}
