//! SiLU on flex.

use std::mem::MaybeUninit;

use burn::backend::flex::FlexTensor;
use rayon::prelude::*;

use super::float::Float;
use super::memory::{contiguous, dims, filled, is_large, numbers, own_numbers, tensor};
use super::simd::kernel;

/// Numbers in one piece of work where no row has to stay whole.
const PIECE: usize = 1 << 13;

/// Rows in one piece of work. A constant, so that sums over pieces are the same with any number of threads.
const ROWS: usize = 128;

kernel! {
    fn swish_piece<'a, F | S>(x: &'a [F], output: &'a mut [MaybeUninit<F>]) {
        for (output, x) in output.iter_mut().zip(x) {
            output.write(x.swish::<S>());
        }
    }
}

kernel! {
    fn swish_gradient_piece<'a, F | S>(x: &'a [F], gradient: &'a mut [F]) {
        for (gradient, x) in gradient.iter_mut().zip(x) {
            *gradient *= x.swish_slope::<S>();
        }
    }
}

kernel! {
    fn bias_swish_rows<'a, F | S>(x: &'a [F], bias: &'a [F], output: &'a mut [MaybeUninit<F>]) {
        let channels = bias.len();
        for (x, output) in x.chunks_exact(channels).zip(output.chunks_exact_mut(channels)) {
            for ((output, &x), &bias) in output.iter_mut().zip(x).zip(bias) {
                output.write((x + bias).swish::<S>());
            }
        }
    }
}

kernel! {
    fn bias_swish_gradient_rows<'a, F | S>(x: &'a [F], bias: &'a [F], gradient: &'a mut [F], sum: &'a mut [F]) {
        let channels = bias.len();
        for (x, gradient) in x.chunks_exact(channels).zip(gradient.chunks_exact_mut(channels)) {
            for (((x, &bias), gradient), sum) in x.iter().zip(bias).zip(gradient).zip(sum.iter_mut()) {
                let by_x = *gradient * (*x + bias).swish_slope::<S>();
                *gradient = by_x;
                *sum += by_x;
            }
        }
    }
}

kernel! {
    /// Adds the rows to `sum`, in their order.
    fn add_rows<'a, F | S>(rows: &'a [F], sum: &'a mut [F]) {
        for row in rows.chunks_exact(sum.len()) {
            for (sum, &value) in sum.iter_mut().zip(row) {
                *sum += value;
            }
        }
    }
}

pub(super) fn swish<F: Float>(x: FlexTensor) -> FlexTensor {
    let shape = x.layout().shape().clone();
    let x = contiguous(x);
    let values = numbers::<F>(&x);
    let fill = |output: &mut [MaybeUninit<F>]| {
        if is_large(values.len()) {
            output.par_chunks_mut(PIECE).zip(values.par_chunks(PIECE)).for_each(|(output, x)| swish_piece(x, output));
        } else {
            swish_piece(values, output);
        }
    };
    // There are as many numbers in the input as in the output, and one is written for each.
    let output = filled::<F>([values.len(), 1], fill);
    output.reshape(shape)
}

pub(super) fn swish_gradient<F: Float>(x: FlexTensor, gradient: FlexTensor) -> FlexTensor {
    let (x, mut gradient) = (contiguous(x), contiguous(gradient));
    let values = own_numbers::<F>(&mut gradient);
    let x = numbers::<F>(&x);
    if is_large(x.len()) {
        values
            .par_chunks_mut(PIECE)
            .zip(x.par_chunks(PIECE))
            .for_each(|(gradient, x)| swish_gradient_piece(x, gradient));
    } else {
        swish_gradient_piece(x, values);
    }
    gradient
}

pub(super) fn bias_swish<F: Float>(x: FlexTensor, bias: FlexTensor) -> FlexTensor {
    let (x, bias) = (contiguous(x), contiguous(bias));
    let shape = dims(&x);
    let (values, bias) = (numbers::<F>(&x), numbers::<F>(&bias));
    assert_eq!(bias.len(), shape[1], "a bias for every channel");
    let piece = ROWS * bias.len();
    let fill = |output: &mut [MaybeUninit<F>]| {
        if is_large(values.len()) {
            let work = output.par_chunks_mut(piece).zip(values.par_chunks(piece));
            work.for_each(|(output, x)| bias_swish_rows(x, bias, output));
        } else if !output.is_empty() {
            bias_swish_rows(values, bias, output);
        }
    };
    // Input and output have the same rows, of as many channels as the bias, and every row is written.
    filled::<F>(shape, fill)
}

pub(super) fn bias_swish_gradient<F: Float>(
    x: FlexTensor,
    bias: FlexTensor,
    gradient: FlexTensor,
) -> (FlexTensor, FlexTensor) {
    let (x, bias, mut gradient) = (contiguous(x), contiguous(bias), contiguous(gradient));
    let [rows, channels] = dims(&x);
    let mut sum = vec![F::ZERO; channels];
    if rows * channels > 0 {
        let (x, bias) = (numbers::<F>(&x), numbers::<F>(&bias));
        let values = own_numbers::<F>(&mut gradient);
        let piece = ROWS * channels;
        // Every piece adds up its rows, then the pieces are added up in their order.
        let mut sums = vec![F::ZERO; rows.div_ceil(ROWS) * channels];
        let work =
            |((x, gradient), sum): ((&[F], &mut [F]), &mut [F])| bias_swish_gradient_rows(x, bias, gradient, sum);
        if is_large(x.len()) {
            x.par_chunks(piece).zip(values.par_chunks_mut(piece)).zip(sums.par_chunks_mut(channels)).for_each(work);
        } else {
            x.chunks(piece).zip(values.chunks_mut(piece)).zip(sums.chunks_mut(channels)).for_each(work);
        }
        add_rows(&sums, &mut sum);
    }
    (gradient, tensor(sum, [channels]))
}
