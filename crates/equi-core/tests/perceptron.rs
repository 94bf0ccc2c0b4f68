//! `ops::linear` and `ops::perceptron` against their formulas, and their gradients against differences.

#![cfg(any(feature = "flex", feature = "wgpu"))]

use std::ops::Range;

use burn::tensor::{DType, Device, Tensor, TensorData, activation};
use equi_core::ops::{Perceptron, linear, perceptron};

/// A device, a precision, and the relative error that rounding may cause there in sums of a few hundred numbers.
struct Setting {
    name: &'static str,
    device: Device,
    dtype: DType,
    tolerance: f64,
    /// Which of [`SIZES`]: few where every shape compiles kernels.
    sizes: Range<usize>,
}

/// Flex in f32 and f64; wgpu in f32 (WGSL has no f64).
fn settings() -> Vec<Setting> {
    vec![
        #[cfg(feature = "flex")]
        Setting { name: "flex f32", device: Device::flex(), dtype: DType::F32, tolerance: 2e-5, sizes: 0..6 },
        #[cfg(feature = "flex")]
        Setting { name: "flex f64", device: Device::flex(), dtype: DType::F64, tolerance: 1e-13, sizes: 0..6 },
        #[cfg(feature = "wgpu")]
        Setting {
            name: "wgpu f32",
            device: Device::wgpu(burn::tensor::DeviceKind::DefaultDevice),
            dtype: DType::F32,
            tolerance: 4e-5,
            sizes: 1..2,
        },
    ]
}

/// Numbers between -1 and 1 without a pattern.
fn numbers(shape: [usize; 2], seed: u64) -> Vec<f64> {
    let mut state = (seed + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let next = |_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 11) as f64 / (1_u64 << 53) as f64 * 2.0 - 1.0
    };
    (0..shape[0] * shape[1]).map(next).collect()
}

fn values(tensor: Tensor<2>) -> Vec<f64> {
    tensor.into_data().iter::<f64>().collect()
}

fn assert_close(what: &str, setting: &Setting, given: Tensor<2>, wanted: Tensor<2>) {
    assert_eq!(given.dims(), wanted.dims(), "{what} on {}: shapes", setting.name);
    let (given, wanted) = (values(given), values(wanted));
    let scale = wanted.iter().fold(1e-30, |scale: f64, value| scale.max(value.abs()));
    for (place, (given, wanted)) in given.iter().zip(&wanted).enumerate() {
        let error = (given - wanted).abs() / scale;
        assert!(error <= setting.tolerance, "{what} on {}, number {place}: {given} for {wanted}", setting.name);
    }
}

/// Asserts that `operation` gives what `reference` gives, with gradients by every argument, and that these are the limits of differences.
fn assert_operation(
    setting: &Setting,
    what: &str,
    shapes: &[[usize; 2]],
    operation: impl Fn(&[Tensor<2>]) -> Tensor<2>,
    reference: impl Fn(&[Tensor<2>]) -> Tensor<2>,
) {
    const STEP: f64 = 1e-5;
    let inputs: Vec<Vec<f64>> = (0..).zip(shapes).map(|(seed, &shape)| numbers(shape, seed)).collect();
    let tensors = |inputs: &[Vec<f64>], device: &Device| -> Vec<Tensor<2>> {
        let tensor = |(values, &shape): (&Vec<f64>, &[usize; 2])| {
            let data = TensorData::new(values.clone(), shape).convert_dtype(setting.dtype);
            Tensor::from_data(data, (device, setting.dtype))
        };
        inputs.iter().zip(shapes).map(tensor).collect()
    };
    let plain = tensors(&inputs, &setting.device);
    let wanted = reference(&plain);
    assert_close(what, setting, operation(&plain), wanted.clone());

    let weights = numbers(wanted.dims(), 77);
    let weighted = |output: Tensor<2>| {
        let data = TensorData::new(weights.clone(), output.dims()).convert_dtype(setting.dtype);
        (output.clone() * Tensor::from_data(data, (&output.device(), setting.dtype))).sum()
    };
    let gradients = |of: &dyn Fn(&[Tensor<2>]) -> Tensor<2>| -> Vec<Tensor<2>> {
        let tracked = tensors(&inputs, &setting.device.clone().autodiff());
        let tracked: Vec<_> = tracked.into_iter().map(Tensor::require_grad).collect();
        let gradients = weighted(of(&tracked)).backward();
        tracked.iter().map(|input| input.grad(&gradients).expect("a gradient by every input")).collect()
    };
    let given = gradients(&operation);
    for (place, (given, wanted)) in given.iter().zip(gradients(&reference)).enumerate() {
        assert_close(&format!("gradient {place} of {what}"), setting, given.clone(), wanted);
    }
    if setting.dtype != DType::F64 {
        return;
    }
    for (place, gradient) in given.into_iter().map(values).enumerate() {
        let scale = gradient.iter().fold(1.0, |scale: f64, value| scale.max(value.abs()));
        for number in (0..gradient.len()).step_by(gradient.len().div_ceil(8)) {
            let moved = |by: f64| {
                let mut inputs = inputs.clone();
                inputs[place][number] += by;
                weighted(operation(&tensors(&inputs, &setting.device))).into_scalar::<f64>()
            };
            // The step balances the error of the difference, its square, against that of rounding, its inverse.
            let difference = (moved(STEP) - moved(-STEP)) / (2.0 * STEP);
            let error = (gradient[number] - difference).abs() / scale;
            assert!(error < 1e-6, "gradient {place} of {what}, number {number}: {} for {difference}", gradient[number]);
        }
    }
}

/// Rows, inputs and outputs around the sizes of vectors, tiles and pieces of work; the last large enough for several threads.
const SIZES: [[usize; 3]; 6] = [[1, 1, 1], [7, 3, 5], [129, 33, 1], [13, 64, 65], [257, 17, 32], [2100, 40, 33]];

#[test]
fn linear_is_its_formula() {
    for setting in &settings() {
        for &[rows, inputs, outputs] in &SIZES[setting.sizes.clone()] {
            let what = format!("linear {:?}", [rows, inputs, outputs]);
            let shapes = [[rows, inputs], [inputs, outputs], [1, outputs]];
            assert_operation(
                setting,
                &what,
                &shapes,
                |given| linear(given[0].clone(), given[1].clone(), Some(given[2].clone().squeeze_dim(0))),
                |given| given[0].clone().matmul(given[1].clone()) + given[2].clone(),
            );
            assert_operation(
                setting,
                &format!("{what} without a bias"),
                &shapes[..2],
                |given| linear(given[0].clone(), given[1].clone(), None),
                |given| given[0].clone().matmul(given[1].clone()),
            );
        }
    }
}

#[test]
fn perceptron_is_its_formula() {
    for setting in &settings() {
        for &[rows, inputs, hidden] in &SIZES[setting.sizes.clone()] {
            for (count, outputs, biased, residual) in
                [(1, 1, false, false), (2, inputs, true, true), (3, 7, true, false), (3, inputs, false, true)]
            {
                let widths = [inputs, 5, 2];
                let mut shapes = Vec::new();
                for width in &widths[..count] {
                    shapes.extend([[rows, *width], [*width, hidden]]);
                }
                shapes.extend([[1, hidden], [hidden, outputs]]);
                if biased {
                    shapes.push([1, outputs]);
                }
                let rest = 2 * count;
                assert_operation(
                    setting,
                    &format!("perceptron {:?}, {count} inputs, {outputs} outputs", [rows, inputs, hidden]),
                    &shapes,
                    |given| {
                        let vector = |place: usize| given[place].clone().squeeze_dim(0);
                        perceptron(Perceptron {
                            inputs: (0..count).map(|k| (given[2 * k].clone(), given[2 * k + 1].clone())).collect(),
                            bias: vector(rest),
                            output: given[rest + 1].clone(),
                            output_bias: biased.then(|| vector(rest + 2)),
                            residual,
                        })
                    },
                    |given| {
                        let products = (0..count).map(|k| given[2 * k].clone().matmul(given[2 * k + 1].clone()));
                        let sum = products.fold(given[rest].clone(), |sum, product| sum + product);
                        let mut y = activation::silu(sum).matmul(given[rest + 1].clone());
                        if biased {
                            y = y + given[rest + 2].clone();
                        }
                        if residual { given[0].clone() + y } else { y }
                    },
                );
            }
        }
    }
}

/// Cut out of the middle of a wider tensor, and at its end, surrounded by what is not a number: rows are read where they are, and nothing else may count.
#[test]
fn parts_of_other_tensors_are_themselves() {
    for setting in &settings() {
        for &[rows, inputs, hidden] in &SIZES[setting.sizes.clone()] {
            let surrounded = |values: &Tensor<2>, [above, below]: [usize; 2]| {
                let [rows, columns] = values.dims();
                let options = (&values.device(), values.dtype());
                let nothing = |rows, columns| Tensor::<2>::full([rows, columns], f64::NAN, options);
                let wide = Tensor::cat(vec![nothing(rows, 3), values.clone(), nothing(rows, below)], 1);
                let width = 3 + columns + below;
                let all = Tensor::cat(vec![nothing(above, width), wide, nothing(below, width)], 0);
                all.narrow(0, above, rows).narrow(1, 3, columns)
            };
            let network = |x: Tensor<2>, second: Tensor<2>, given: &[Tensor<2>]| {
                let map = linear(x.clone(), given[2].clone(), None);
                let network = perceptron(Perceptron {
                    inputs: vec![(x, given[2].clone()), (second, given[3].clone())],
                    bias: given[4].clone().squeeze_dim(0),
                    output: given[5].clone(),
                    output_bias: None,
                    residual: true,
                });
                Tensor::cat(vec![map, network], 1)
            };
            let shapes = [[rows, inputs], [rows, 5], [inputs, hidden], [5, hidden], [1, hidden], [hidden, inputs]];
            for place in [[0, 0], [2, 1]] {
                assert_operation(
                    setting,
                    &format!("parts of other tensors, {:?}", [rows, inputs, hidden]),
                    &shapes,
                    |given| network(surrounded(&given[0], place), surrounded(&given[1], place), given),
                    |given| network(given[0].clone(), given[1].clone(), given),
                );
            }
        }
    }
}

#[test]
fn what_is_empty_is_zero_or_the_rest() {
    for setting in &settings() {
        let ones = |shape: [usize; 2]| Tensor::<2>::ones(shape, (&setting.device, setting.dtype));
        let vector = |length: usize| Tensor::<1>::ones([length], (&setting.device, setting.dtype));
        assert_eq!(linear(ones([0, 3]), ones([3, 2]), None).dims(), [0, 2]);
        let network = |rows: usize, second: usize| {
            perceptron(Perceptron {
                inputs: vec![(ones([rows, 3]), ones([3, 4])), (ones([rows, second]), ones([second, 4]))],
                bias: vector(4),
                output: ones([4, 3]),
                output_bias: Some(vector(3)),
                residual: true,
            })
        };
        assert_eq!(network(0, 2).dims(), [0, 3]);
        let silu = 4.0 / (1.0 + (-4.0_f64).exp());
        let wanted = ones([2, 3]) * (4.0 * silu + 2.0);
        assert_close("an input without columns", setting, network(2, 0), wanted);
    }
}

#[test]
#[should_panic(expected = "was given rows of 3 and a bias of 5")]
fn linear_names_shapes_that_do_not_fit() {
    let setting = &settings()[0];
    let ones = |shape: [usize; 2]| Tensor::<2>::ones(shape, (&setting.device, setting.dtype));
    linear(ones([2, 3]), ones([4, 5]), None);
}

#[test]
#[should_panic(expected = "it was given inputs [([2, 3], [3, 4])], biases [5] and [3]")]
fn perceptron_names_shapes_that_do_not_fit() {
    let setting = &settings()[0];
    let ones = |shape: [usize; 2]| Tensor::<2>::ones(shape, (&setting.device, setting.dtype));
    perceptron(Perceptron {
        inputs: vec![(ones([2, 3]), ones([3, 4]))],
        bias: Tensor::ones([5], (&setting.device, setting.dtype)),
        output: ones([4, 3]),
        output_bias: None,
        residual: true,
    });
}
