//! Inner products against sums in f64, and their gradients.

#![cfg(any(feature = "flex", feature = "wgpu"))]

mod common;

use burn::tensor::Tensor;
use equi_core::ops::inner_product;

use common::{assert_close, numbers, settings, upload, values};

/// One number, remainders of vectors, and several pieces of work.
const SHAPES: [[usize; 2]; 5] = [[1, 1], [3, 21], [5, 1000], [4, 1 << 14], [70_001, 3]];

#[test]
fn it_is_the_sum_of_products() {
    // 200,000 terms of size 16: relative to their sum, what f32 loses is a hundredth of that of one after the other.
    for setting in settings(2e-6, 1e-14, 1e-5) {
        for shape in SHAPES {
            let [x, y] = [1, 2].map(|seed| numbers(shape[0] * shape[1], seed));
            let [given_x, given_y] = [&x, &y].map(|x| upload(x, shape, &setting.device, setting.dtype));
            let wanted: f64 = x.iter().zip(&y).map(|(x, y)| x * y).sum();
            let size: f64 = x.iter().zip(&y).map(|(x, y)| (x * y).abs()).sum();
            let given = values(inner_product(given_x, given_y))[0];
            assert_close("share of the sum of sizes", &setting, &[given / size], &[wanted / size]);
        }
    }
}

#[test]
fn gradients_are_the_other_times_what_arrives() {
    for setting in settings(1e-6, 1e-15, 1e-6) {
        let device = setting.device.clone().autodiff();
        for shape in SHAPES {
            let [x, y] = [1, 2].map(|seed| numbers(shape[0] * shape[1], seed));
            for factor in [1.0, -2.5] {
                let [given_x, given_y] = [&x, &y].map(|x| upload(x, shape, &device, setting.dtype).require_grad());
                let gradients = (inner_product(given_x.clone(), given_y.clone()) * factor).backward();
                let times = |x: &[f64]| x.iter().map(|x| x * factor).collect::<Vec<_>>();
                assert_close("by x", &setting, &values(given_x.grad(&gradients).unwrap()), &times(&y));
                assert_close("by y", &setting, &values(given_y.grad(&gradients).unwrap()), &times(&x));
                // Only one of them is asked for.
                let given_y = given_y.detach();
                let gradients = (inner_product(given_x.clone(), given_y) * factor).backward();
                assert_close("by x alone", &setting, &values(given_x.grad(&gradients).unwrap()), &times(&y));
            }
        }
    }
}

#[test]
#[cfg(feature = "flex")]
fn gradients_are_limits_of_differences() {
    const STEP: f64 = 1e-4;
    let (device, dtype) = (burn::tensor::Device::flex(), burn::tensor::DType::F64);
    let inputs = [1, 2].map(|seed| numbers(40, seed));
    let recorded = device.clone().autodiff();
    let at = |inputs: &[Vec<f64>; 2], device| inputs.each_ref().map(|x| upload(x, [5, 8], device, dtype));
    let [x, y] = at(&inputs, &recorded).map(Tensor::require_grad);
    // Not linear, so that what arrives at the product is not one.
    let loss = |[x, y]: [Tensor<2>; 2]| inner_product(x, y).powi_scalar(2);
    let gradients = loss([x.clone(), y.clone()]).backward();
    for (place, gradient) in [x, y].map(|x| values(x.grad(&gradients).unwrap())).into_iter().enumerate() {
        let scale = gradient.iter().fold(1.0, |scale: f64, value| scale.max(value.abs()));
        for (number, &slope) in gradient.iter().enumerate() {
            let moved = |by: f64| {
                let mut inputs = inputs.clone();
                inputs[place][number] += by;
                values(loss(at(&inputs, &device)))[0]
            };
            let difference = (moved(STEP) - moved(-STEP)) / (2.0 * STEP);
            assert!((slope - difference).abs() / scale < 1e-8, "{place}, {number}: {slope} for {difference}");
        }
    }
}

#[test]
fn the_cotangent_is_not_overwritten_by_what_follows() {
    for setting in settings(1e-6, 1e-15, 1e-6) {
        let device = setting.device.clone().autodiff();
        let [x, y] = [1, 2].map(|seed| numbers(60, seed));
        let given = upload(&x, [60], &device, setting.dtype).require_grad();
        let cotangent = upload(&y, [60], &device, setting.dtype);
        for _ in 0..2 {
            let gradients = inner_product(given.clone().exp() * 0.5, cotangent.clone()).backward();
            let wanted: Vec<f64> = x.iter().zip(&y).map(|(x, y)| 0.5 * x.exp() * y).collect();
            assert_close("through other operations", &setting, &values(given.grad(&gradients).unwrap()), &wanted);
        }
        assert_close("the cotangent", &setting, &values(cotangent), &y);
    }
}

#[test]
fn transposed_tensors_are_read_in_their_order() {
    for setting in settings(1e-6, 1e-15, 1e-6) {
        let [x, y] = [1, 2].map(|seed| numbers(6, seed));
        let [given_x, given_y] =
            [(&x, [2, 3]), (&y, [3, 2])].map(|(x, shape)| upload(x, shape, &setting.device, setting.dtype));
        let wanted: f64 = (0..6).map(|i| x[i] * y[i % 3 * 2 + i / 3]).sum();
        assert_close("of a transpose", &setting, &values(inner_product(given_x, given_y.transpose())), &[wanted]);
    }
}

#[test]
fn nothing_sums_to_zero() {
    for setting in settings(0.0, 0.0, 0.0) {
        let empty = Tensor::<2>::zeros([0, 3], (&setting.device, setting.dtype));
        assert_eq!(values(inner_product(empty.clone(), empty)), [0.0]);
    }
}

#[test]
#[should_panic(expected = "two tensors of one shape")]
fn shapes_must_agree() {
    let setting = &settings(0.0, 0.0, 0.0)[0];
    let ones = |shape| Tensor::<2>::ones(shape, (&setting.device, setting.dtype));
    inner_product(ones([2, 3]), ones([3, 2]));
}
