//! SiLU on flex.

use burn::backend::flex::FlexTensor;
use rayon::prelude::*;

use super::float::Float;
use super::memory::{contiguous, dims, is_large, numbers, own_numbers, tensor};
use super::simd::kernel;

/// Numbers in one piece of work where no row has to stay whole.
const PIECE: usize = 1 << 13;

/// Rows in one piece of work. A constant, so that sums over pieces are the same with any number of threads.
const ROWS: usize = 128;

kernel! {
    fn swish_piece<'a, F>(x: &'a mut [F]) {
        for x in x {
            *x = x.swish();
        }
    }
}

kernel! {
    fn swish_gradient_piece<'a, F>(x: &'a [F], gradient: &'a mut [F]) {
        for (gradient, x) in gradient.iter_mut().zip(x) {
            *gradient *= x.swish_slope();
        }
    }
}

kernel! {
    fn bias_swish_rows<'a, F>(x: &'a mut [F], bias: &'a [F]) {
        for row in x.chunks_exact_mut(bias.len()) {
            for (x, &bias) in row.iter_mut().zip(bias) {
                *x = (*x + bias).swish();
            }
        }
    }
}

kernel! {
    fn bias_swish_gradient_rows<'a, F>(x: &'a [F], bias: &'a [F], gradient: &'a mut [F], sum: &'a mut [F]) {
        let channels = bias.len();
        for (x, gradient) in x.chunks_exact(channels).zip(gradient.chunks_exact_mut(channels)) {
            for (((x, &bias), gradient), sum) in x.iter().zip(bias).zip(gradient).zip(sum.iter_mut()) {
                let by_x = *gradient * (*x + bias).swish_slope();
                *gradient = by_x;
                *sum += by_x;
            }
        }
    }
}

kernel! {
    fn add_rows<'a, F>(rows: &'a [F], sum: &'a mut [F]) {
        for row in rows.chunks_exact(sum.len()) {
            for (sum, &value) in sum.iter_mut().zip(row) {
                *sum += value;
            }
        }
    }
}

pub(super) fn swish<F: Float>(x: FlexTensor) -> FlexTensor {
    let mut x = contiguous(x);
    let values = own_numbers::<F>(&mut x);
    if is_large(values.len()) {
        values.par_chunks_mut(PIECE).for_each(swish_piece);
    } else {
        swish_piece(values);
    }
    x
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
    let (mut x, bias) = (contiguous(x), contiguous(bias));
    let bias = numbers::<F>(&bias);
    let values = own_numbers::<F>(&mut x);
    if values.is_empty() {
        return x;
    }
    if is_large(values.len()) {
        values.par_chunks_mut(ROWS * bias.len()).for_each(|x| bias_swish_rows(x, bias));
    } else {
        bias_swish_rows(values, bias);
    }
    x
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
