//! Layer normalisation and GELU on flex.

use std::mem::MaybeUninit;

use burn::backend::flex::FlexTensor;
use rayon::prelude::*;

use super::activation::add_rows;
use super::float::{Float, dot};
use super::memory::{contiguous, dims, filled, is_large, numbers, own_numbers, tensor};
use super::simd::kernel;

/// Rows in one piece of work. A constant, so that sums over pieces are the same with any number of threads.
const ROWS: usize = 64;

/// The sum of the numbers, in 16 sums side by side.
#[inline(always)]
fn sum<F: Float>(numbers: &[F], term: impl Fn(F) -> F) -> F {
    let mut lanes = [F::ZERO; 16];
    let (chunks, rest) = numbers.as_chunks::<16>();
    for chunk in chunks {
        for lane in 0..16 {
            lanes[lane] += term(chunk[lane]);
        }
    }
    for (lane, &number) in lanes.iter_mut().zip(rest) {
        *lane += term(number);
    }
    let mut width = 8;
    while width > 0 {
        for lane in 0..width {
            lanes[lane] += lanes[lane + width];
        }
        width /= 2;
    }
    lanes[0]
}

/// The mean of a row, and one over its deviation.
#[inline(always)]
fn moments<F: Float>(row: &[F], epsilon: F, share: F) -> (F, F) {
    let mean = sum(row, |number| number) * share;
    let variance = sum(row, |number| (number - mean) * (number - mean)) * share;
    (mean, F::ONE / (variance + epsilon).square_root())
}

/// `(1 + erf(y / sqrt 2)) / 2`.
#[inline(always)]
fn distribution<F: Float, S: pulp::Simd>(y: F) -> F {
    let half = F::from_elem(0.5);
    half.mul_add::<S>((y * F::from_elem(std::f64::consts::FRAC_1_SQRT_2)).erf::<S>(), half)
}

kernel! {
    /// Rows of the output are `stride` apart.
    fn norm_gelu_rows<'a, F | S>(x: &'a [F], scale: &'a [F], shift: &'a [F], epsilon: F, output: &'a mut [MaybeUninit<F>], stride: usize) {
        let channels = scale.len();
        let share = F::ONE / F::from_elem(channels as f64);
        for (x, output) in x.chunks_exact(channels).zip(output.chunks_mut(stride)) {
            let (mean, inverse) = moments(x, epsilon, share);
            for (((output, &x), &scale), &shift) in output.iter_mut().zip(x).zip(scale).zip(shift) {
                let y = ((x - mean) * inverse).mul_add::<S>(scale, shift);
                output.write(y * distribution::<F, S>(y));
            }
        }
    }
}

kernel! {
    /// Makes the gradient one by `x`, and adds up those by the scales and the shifts.
    fn gradient_rows<'a, F | S>(
        x: &'a [F],
        scale: &'a [F],
        shift: &'a [F],
        epsilon: F,
        gradient: &'a mut [F],
        by_scale: &'a mut [F],
        by_shift: &'a mut [F],
    ) {
        let channels = scale.len();
        let share = F::ONE / F::from_elem(channels as f64);
        // 1 / sqrt(2 pi)
        let peak = F::from_elem(0.5 * std::f64::consts::FRAC_2_SQRT_PI * std::f64::consts::FRAC_1_SQRT_2);
        let half = F::from_elem(0.5);
        let mut normal = vec![F::ZERO; channels];
        for (x, gradient) in x.chunks_exact(channels).zip(gradient.chunks_exact_mut(channels)) {
            let (mean, inverse) = moments(x, epsilon, share);
            let parameters = scale.iter().zip(shift).zip(by_scale.iter_mut().zip(by_shift.iter_mut()));
            for ((((&scale, &shift), (by_scale, by_shift)), (gradient, normal)), &x) in
                parameters.zip(gradient.iter_mut().zip(normal.iter_mut())).zip(x)
            {
                *normal = (x - mean) * inverse;
                let y = normal.mul_add::<S>(scale, shift);
                let density = peak * (half * y * y).exp_neg::<S>();
                let by_y = *gradient * y.mul_add::<S>(density, distribution::<F, S>(y));
                *by_scale = by_y.mul_add::<S>(*normal, *by_scale);
                *by_shift += by_y;
                *gradient = by_y * scale;
            }
            let across = sum(gradient, |number| number) * share;
            let along = dot::<F, S>(gradient, &normal) * share;
            for (gradient, &normal) in gradient.iter_mut().zip(&normal) {
                *gradient = (*gradient - across - normal * along) * inverse;
            }
        }
    }
}

pub(super) fn norm_gelu<F: Float>(arguments: [FlexTensor; 3], epsilon: f64) -> FlexTensor {
    let arguments = arguments.map(contiguous);
    let [x, scale, shift] = arguments.each_ref().map(numbers::<F>);
    let shape = dims(&arguments[0]);
    assert!(scale.len() == shape[1] && shift.len() == shape[1], "a scale and a shift for every channel");
    let (piece, epsilon) = (ROWS * shape[1], F::from_elem(epsilon));
    let fill = |output: &mut [MaybeUninit<F>]| {
        if is_large(8 * x.len()) {
            let work = output.par_chunks_mut(piece).zip(x.par_chunks(piece));
            work.for_each(|(output, x)| norm_gelu_rows(x, scale, shift, epsilon, output, shape[1]));
        } else {
            norm_gelu_rows(x, scale, shift, epsilon, output, shape[1]);
        }
    };
    // Input and output have the same rows, of as many channels as there are scales, and every row is written.
    filled::<F>(shape, fill)
}

pub(super) fn gradient<F: Float>(
    arguments: [FlexTensor; 3],
    epsilon: f64,
    gradient: FlexTensor,
) -> (FlexTensor, FlexTensor, FlexTensor) {
    let arguments = arguments.map(contiguous);
    let [x, scale, shift] = arguments.each_ref().map(numbers::<F>);
    let [rows, channels] = dims(&arguments[0]);
    let mut gradient = contiguous(gradient);
    let values = own_numbers::<F>(&mut gradient);
    let (piece, epsilon) = (ROWS * channels, F::from_elem(epsilon));
    // Every piece adds up its rows, then the pieces are added up in their order: scales first, then shifts.
    let mut sums = vec![F::ZERO; rows.div_ceil(ROWS) * 2 * channels];
    let work = |((x, gradient), sums): ((&[F], &mut [F]), &mut [F])| {
        let (by_scale, by_shift) = sums.split_at_mut(channels);
        gradient_rows(x, scale, shift, epsilon, gradient, by_scale, by_shift);
    };
    if is_large(8 * x.len()) {
        x.par_chunks(piece).zip(values.par_chunks_mut(piece)).zip(sums.par_chunks_mut(2 * channels)).for_each(work);
    } else {
        x.chunks(piece).zip(values.chunks_mut(piece)).zip(sums.chunks_mut(2 * channels)).for_each(work);
    }
    let mut total = vec![F::ZERO; 2 * channels];
    add_rows(&sums, &mut total);
    let by_shift = total.split_off(channels);
    (gradient, tensor(total, [channels]), tensor(by_shift, [channels]))
}
