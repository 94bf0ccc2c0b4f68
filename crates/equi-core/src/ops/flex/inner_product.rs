//! Inner products on flex.

use burn::backend::Flex;
use burn::backend::flex::FlexTensor;
use burn::backend::ops::FloatTensorOps;
use burn::backend::tensor::FloatTensor;
use burn::tensor::DType;
use rayon::prelude::*;

use super::float::Float;
use super::in_precision;
use super::memory::{contiguous, numbers, tensor};
use super::simd::kernel;
use crate::ops::InnerProductOps;
use crate::ops::inner_product::composed;

/// Numbers in one piece of work. A constant, so that sums over pieces are the same with any number of threads.
const PIECE: usize = 1 << 14;

/// Sums that are kept apart, so that no number waits for the one before it.
const SUMS: usize = 64;

impl InnerProductOps for Flex {
    fn inner_product(x: FloatTensor<Self>, y: FloatTensor<Self>) -> FloatTensor<Self> {
        in_precision!(x, self::product(x, y), composed::inner_product::<Self>(x, y))
    }

    fn inner_product_gradient(x: FloatTensor<Self>, gradient: FloatTensor<Self>) -> FloatTensor<Self> {
        in_precision!(x, self::scaled(x, gradient), composed::inner_product_gradient::<Self>(x, gradient))
    }
}

kernel! {
    fn piece<'a, F | S>(x: &'a [F], y: &'a [F], sum: &'a mut F) {
        let (x, x_rest) = x.as_chunks::<SUMS>();
        let (y, y_rest) = y.as_chunks::<SUMS>();
        let mut sums = [F::ZERO; SUMS];
        for (x, y) in x.iter().zip(y) {
            for ((sum, &x), &y) in sums.iter_mut().zip(x).zip(y) {
                *sum = x.mul_add::<S>(y, *sum);
            }
        }
        for ((sum, &x), &y) in sums.iter_mut().zip(x_rest).zip(y_rest) {
            *sum = x.mul_add::<S>(y, *sum);
        }
        for sum_of_one in sums {
            *sum += sum_of_one;
        }
    }
}

fn product<F: Float>(x: FlexTensor, y: FlexTensor) -> FlexTensor {
    let (x, y) = (contiguous(x), contiguous(y));
    let sum_of = |(x, y): (&[F], &[F])| {
        let mut sum = F::ZERO;
        piece(x, y, &mut sum);
        sum.to_f64()
    };
    let (x, y) = (numbers::<F>(&x), numbers::<F>(&y));
    let sums: Vec<f64> = if x.len() > 4 * PIECE {
        x.par_chunks(PIECE).zip(y.par_chunks(PIECE)).map(sum_of).collect()
    } else {
        x.chunks(PIECE).zip(y.chunks(PIECE)).map(sum_of).collect()
    };
    tensor(vec![F::from_elem(sums.iter().sum::<f64>())], [1])
}

fn scaled<F: Float>(x: FlexTensor, factor: FlexTensor) -> FlexTensor {
    let factor = contiguous(factor);
    match numbers::<F>(&factor)[0] {
        one if one == F::ONE => x,
        factor => Flex::float_mul_scalar(x, factor.to_f64().into()),
    }
}
