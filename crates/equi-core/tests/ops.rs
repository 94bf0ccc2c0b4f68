//! The operations of `equi_core::ops` against their definitions, and their gradients against differences.

#![cfg(any(feature = "flex", feature = "wgpu"))]

use burn::tensor::{DType, Device, IndexingUpdateOp, Tensor, TensorData, activation};
use equi_core::ops::{
    RadialLayer, Segments, bias_silu, edge_differences, edge_silu, gate, gather, gelu, head_products, head_sums,
    norm_gelu, radial_network, radial_product, segment_max, segment_mean, segment_softmax, segment_sum, silu,
};

/// A device, a precision, and the relative error that rounding may cause there in sums of hundreds of numbers.
struct Setting {
    name: &'static str,
    device: Device,
    dtype: DType,
    tolerance: f64,
    /// Numbers of channels to try: every kind of remainder for the vectors of flex; few where every shape compiles kernels.
    channels: &'static [usize],
}

impl Setting {
    /// Whether every case is tried: on a GPU, where each takes seconds to compile, if `EQUI_EVERY_CASE` asks for it.
    fn every_case(&self) -> bool {
        self.name.starts_with("flex") || std::env::var_os("EQUI_EVERY_CASE").is_some()
    }

    /// Of cases with products of matrices all, or those at `few` where every shape of a product is compiled in several ways, to find out which is the
    /// fastest.
    fn cases<T: Copy>(&self, all: &[T], few: &[usize]) -> Vec<T> {
        if self.every_case() { all.to_vec() } else { few.iter().map(|&place| all[place]).collect() }
    }
}

/// Flex in f32 and f64; wgpu in f32 (WGSL has no f64).
fn settings() -> Vec<Setting> {
    vec![
        #[cfg(feature = "flex")]
        Setting {
            name: "flex f32",
            device: Device::flex(),
            dtype: DType::F32,
            tolerance: 5e-6,
            channels: &[1, 2, 3, 64, 65],
        },
        #[cfg(feature = "flex")]
        Setting {
            name: "flex f64",
            device: Device::flex(),
            dtype: DType::F64,
            tolerance: 1e-14,
            channels: &[1, 2, 3, 64, 65],
        },
        #[cfg(feature = "wgpu")]
        Setting {
            name: "wgpu f32",
            device: Device::wgpu(burn::tensor::DeviceKind::DefaultDevice),
            dtype: DType::F32,
            tolerance: 1e-5,
            channels: &[3],
        },
    ]
}

/// Numbers without a pattern, the same on every device.
fn numbers<const D: usize>(shape: [usize; D], seed: u64, setting: &Setting, device: &Device) -> Tensor<D> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let values: Vec<f64> = (0..shape.iter().product::<usize>())
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 11) as f64 / (1u64 << 53) as f64 * 8.0 - 4.0
        })
        .collect();
    Tensor::from_data(TensorData::new(values, shape).convert_dtype(setting.dtype), (device, setting.dtype))
}

fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f64> {
    tensor.into_data().iter::<f64>().collect()
}

/// Asserts that two tensors agree up to rounding, relative to the largest number.
fn assert_close<const D: usize>(what: &str, setting: &Setting, given: Tensor<D>, wanted: Tensor<D>) {
    assert_eq!(given.dims(), wanted.dims(), "{what} on {}: shapes", setting.name);
    let (given, wanted) = (values(given), values(wanted));
    let scale = wanted.iter().fold(1e-30, |scale: f64, value| scale.max(value.abs()));
    for (place, (given, wanted)) in given.iter().zip(&wanted).enumerate() {
        let error = (given - wanted).abs() / scale;
        assert!(error <= setting.tolerance, "{what} on {}, number {place}: {given} for {wanted}", setting.name);
    }
}

/// The sum of the outputs with weights that have no pattern, so that no two gradients cancel.
fn weighted(output: Tensor<2>, setting: &Setting) -> Tensor<1> {
    let weights = numbers(output.dims(), 77, setting, &output.device());
    (output * weights).sum()
}

/// The gradients of [`weighted`] by all inputs.
fn gradients(
    inputs: &[Tensor<2>],
    setting: &Setting,
    operation: &impl Fn(&[Tensor<2>]) -> Tensor<2>,
) -> Vec<Option<Tensor<2>>> {
    let device = setting.device.clone().autodiff();
    let tracked: Vec<Tensor<2>> = inputs
        .iter()
        .map(|input| Tensor::from_data(input.to_data(), (&device, setting.dtype)).require_grad())
        .collect();
    let gradients = weighted(operation(&tracked), setting).backward();
    tracked.iter().map(|input| input.grad(&gradients)).collect()
}

/// Asserts that `operation` gives what `reference`, made of tensor operations, gives: outputs and gradients by every input,
/// and, in double precision, that its gradients are the limits of differences.
fn assert_operation(
    setting: &Setting,
    what: &str,
    shapes: &[[usize; 2]],
    operation: impl Fn(&[Tensor<2>]) -> Tensor<2>,
    reference: impl Fn(&[Tensor<2>]) -> Tensor<2>,
) {
    let inputs: Vec<Tensor<2>> =
        (0..).zip(shapes).map(|(seed, &s)| numbers(s, seed, setting, &setting.device)).collect();
    assert_close(what, setting, operation(&inputs), reference(&inputs));
    // The same numbers in another layout.
    let turned: Vec<Tensor<2>> = inputs
        .iter()
        .map(|input| {
            let stored = input.clone().transpose();
            Tensor::from_data(stored.to_data(), (&setting.device, setting.dtype)).transpose()
        })
        .collect();
    assert_close(&format!("{what}, transposed"), setting, operation(&turned), reference(&inputs));

    let given = gradients(&inputs, setting, &operation);
    let wanted = gradients(&inputs, setting, &reference);
    for (place, (given, wanted)) in given.iter().zip(wanted).enumerate() {
        let given = given.clone().expect("a gradient by every input");
        assert_close(&format!("gradient {place} of {what}"), setting, given, wanted.expect("a gradient"));
    }
    if setting.dtype == DType::F64 {
        for (place, gradient) in given.into_iter().enumerate() {
            assert_differences(what, setting, &inputs, place, values(gradient.expect("a gradient")), &operation);
        }
    }
}

/// Central differences of [`weighted`] by up to 25 numbers of one input. The step balances the error of the difference, its square,
/// against that of rounding, its inverse.
fn assert_differences(
    what: &str,
    setting: &Setting,
    inputs: &[Tensor<2>],
    place: usize,
    gradient: Vec<f64>,
    operation: &impl Fn(&[Tensor<2>]) -> Tensor<2>,
) {
    const STEP: f64 = 1e-5;
    let shape = inputs[place].dims();
    let at = values(inputs[place].clone());
    let moved = |number: usize, by: f64| {
        let mut numbers = at.clone();
        numbers[number] += by;
        let mut inputs = inputs.to_vec();
        inputs[place] = Tensor::from_data(TensorData::new(numbers, shape), (&setting.device, setting.dtype));
        values(weighted(operation(&inputs), setting))[0]
    };
    let scale = gradient.iter().fold(1.0, |scale: f64, value| scale.max(value.abs()));
    for number in (0..at.len()).step_by(at.len().div_ceil(25).max(1)) {
        let difference = (moved(number, STEP) - moved(number, -STEP)) / (2.0 * STEP);
        let error = (gradient[number] - difference).abs() / scale;
        assert!(error < 1e-6, "gradient {place} of {what}, number {number}: {} for {difference}", gradient[number]);
    }
}

/// Sizes around those of vectors and pieces of work, and none.
const SIZES: [[usize; 2]; 8] = [[0, 5], [1, 1], [7, 3], [5, 64], [3, 65], [300, 1], [257, 64], [700, 63]];

#[test]
fn silu_is_its_formula() {
    for (setting, shape) in settings().iter().flat_map(|setting| SIZES.map(|shape| (setting, shape))) {
        assert_operation(
            setting,
            &format!("silu of {shape:?}"),
            &[shape],
            |inputs| silu(inputs[0].clone()),
            |inputs| inputs[0].clone() * activation::sigmoid(inputs[0].clone()),
        );
    }
}

#[test]
fn bias_silu_is_its_formula() {
    for (setting, shape) in settings().iter().flat_map(|setting| SIZES.map(|shape| (setting, shape))) {
        assert_operation(
            setting,
            &format!("bias_silu of {shape:?}"),
            &[shape, [1, shape[1]]],
            |inputs| bias_silu(inputs[0].clone(), inputs[1].clone().squeeze_dim(0)),
            |inputs| activation::silu(inputs[0].clone() + inputs[1].clone()),
        );
    }
}

#[test]
fn gate_is_its_formula() {
    for (setting, shape) in settings().iter().flat_map(|setting| SIZES.map(|shape| (setting, shape))) {
        if shape.contains(&0) {
            let none = || Tensor::zeros(shape, (&setting.device, setting.dtype));
            let weight = numbers([shape[1], 1], 1, setting, &setting.device);
            assert_close(
                "gate of no rows",
                setting,
                gate(none(), weight, numbers([1], 2, setting, &setting.device)),
                none(),
            );
            continue;
        }
        assert_operation(
            setting,
            &format!("gate of {shape:?}"),
            // Weights of the size that keeps the gate neither open nor shut.
            &[shape, [shape[1], 1], [1, 1]],
            |inputs| gate(inputs[0].clone(), inputs[1].clone() * 0.1, inputs[2].clone().squeeze_dim(0)),
            |inputs| {
                let sum = inputs[0].clone().matmul(inputs[1].clone() * 0.1) + inputs[2].clone();
                inputs[0].clone() * activation::sigmoid(sum)
            },
        );
    }
}

/// Of Burn's own the gradient is off by a thousandth on wgpu.
#[test]
fn gelu_is_its_formula() {
    for (setting, shape) in settings().iter().flat_map(|setting| SIZES.map(|shape| (setting, shape))) {
        assert_operation(
            setting,
            &format!("gelu of {shape:?}"),
            &[shape],
            |inputs| gelu(inputs[0].clone()),
            |inputs| {
                let x = inputs[0].clone();
                x.clone() * ((x * std::f64::consts::FRAC_1_SQRT_2).erf() + 1.0) * 0.5
            },
        );
    }
}

#[test]
fn norm_gelu_is_its_formula() {
    let all = settings();
    let sizes = all.iter().flat_map(|setting| SIZES.map(|shape| (setting, shape)));
    // Large enough for several threads.
    let large = all.iter().filter(|setting| setting.name.starts_with("flex")).map(|setting| (setting, [1100, 64]));
    for (setting, shape) in sizes.chain(large) {
        // Epsilon as large as a variance, so that its place shows; a row of one channel is its own mean.
        let epsilon = 0.7;
        assert_operation(
            setting,
            &format!("norm_gelu of {shape:?}"),
            &[shape, [1, shape[1]], [1, shape[1]]],
            |inputs| {
                let [scale, shift] = [1, 2].map(|place: usize| inputs[place].clone().squeeze_dim(0));
                norm_gelu(inputs[0].clone(), scale, shift, epsilon)
            },
            |inputs| {
                let centred = inputs[0].clone() - inputs[0].clone().mean_dim(1);
                let variance = centred.clone().powi_scalar(2).mean_dim(1);
                let normal = centred / (variance + epsilon).sqrt();
                gelu(normal * inputs[1].clone() + inputs[2].clone())
            },
        );
    }
}

#[test]
fn radial_network_is_its_layers() {
    let all = settings();
    let sizes = all.iter().flat_map(|setting| setting.cases(&SIZES, &[1, 4, 7]).into_iter().map(move |s| (setting, s)));
    for (setting, [rows, width]) in sizes.filter(|(_, [rows, _])| *rows > 0) {
        let (inputs, epsilon) = (3, 0.3);
        let vector = [1, width];
        let layer = |weight: &Tensor<2>, vectors: &[Tensor<2>]| {
            let [bias, scale, shift] = [0, 1, 2].map(|place: usize| vectors[place].clone().squeeze_dim(0));
            RadialLayer { weight: weight.clone(), bias, scale, shift }
        };
        assert_operation(
            setting,
            &format!("radial_network of {:?}", [rows, width]),
            &[[rows, inputs], [inputs, width], vector, vector, vector, [width, width], vector, vector, vector],
            |given| {
                let layers = [layer(&given[1], &given[2..5]), layer(&given[5], &given[6..9])];
                radial_network(given[0].clone(), layers, epsilon)
            },
            |given| {
                let apply = |x: Tensor<2>, weight: &Tensor<2>, vectors: &[Tensor<2>]| {
                    let sums = x.matmul(weight.clone()) + vectors[0].clone();
                    let centred = sums.clone() - sums.mean_dim(1);
                    let variance = centred.clone().powi_scalar(2).mean_dim(1);
                    let normal = centred / (variance + epsilon).sqrt();
                    gelu(normal * vectors[1].clone() + vectors[2].clone())
                };
                let values = apply(given[0].clone(), &given[1], &given[2..5]);
                let values = apply(values, &given[5], &given[6..9]);
                let ones = Tensor::ones([rows, 1], (&values.device(), values.dtype()));
                Tensor::cat(vec![values, ones], 1)
            },
        );
    }
}

#[test]
fn radial_network_of_no_rows_has_none() {
    for setting in &settings() {
        let zeros = |shape: [usize; 2]| Tensor::<2>::zeros(shape, (&setting.device, setting.dtype));
        let vector = || Tensor::<1>::ones([5], (&setting.device, setting.dtype));
        let layer = |weight| RadialLayer { weight, bias: vector(), scale: vector(), shift: vector() };
        let output = radial_network(zeros([0, 3]), [layer(zeros([3, 5])), layer(zeros([5, 5]))], 1e-5);
        assert_eq!(output.dims(), [0, 6]);
    }
}

#[test]
#[should_panic(expected = "takes a weight [3, channels] and a bias, scale and shift [channels]; it was given [2, 4]")]
fn radial_network_names_shapes_that_do_not_fit() {
    let setting = &settings()[0];
    let matrix = |shape: [usize; 2]| numbers::<2>(shape, 1, setting, &setting.device);
    let vector = || numbers::<1>([4], 1, setting, &setting.device);
    let layer = |weight| RadialLayer { weight, bias: vector(), scale: vector(), shift: vector() };
    radial_network(matrix([5, 3]), [layer(matrix([2, 4])), layer(matrix([4, 4]))], 1e-5);
}

/// Sizes `[p, i, h, F, q, o]` of a radial product: small ones, odd ones, and one of several blocks.
const PRODUCTS: [[usize; 6]; 4] = [[1, 1, 1, 1, 1, 1], [3, 2, 5, 3, 3, 4], [1, 3, 19, 1, 5, 7], [5, 9, 33, 5, 5, 24]];

#[test]
fn radial_product_is_its_formula() {
    for setting in &settings() {
        for (name, senders) in segments(setting) {
            let (nodes, edges) = (senders.count(), senders.rows());
            for [p, i, h, kernels, q, o] in setting.cases(&PRODUCTS, &[1, 3]) {
                // The large segments with the large sizes only take time.
                if edges == 0 || (edges > 100 && h > 19) {
                    continue;
                }
                let operation = |given: &[Tensor<2>]| {
                    let features = given[0].clone().reshape([nodes, p, i]);
                    let angular = given[2].clone().reshape([edges, q, p * kernels]);
                    radial_product(features, given[1].clone(), angular, given[3].clone(), &senders)
                        .reshape([edges, q * o])
                };
                // With the kernel of every edge.
                let reference = |given: &[Tensor<2>]| {
                    let features = gather(given[0].clone(), &senders).reshape([edges, p, i]);
                    let weight = given[3].clone().reshape([i, h, kernels * o]).swap_dims(0, 1);
                    let radial = given[1].clone().matmul(weight.reshape([h, i * kernels * o]));
                    let sums = features.matmul(radial.reshape([edges, i, kernels * o]));
                    let angular = given[2].clone().reshape([edges, q, p * kernels]);
                    angular.matmul(sums.reshape([edges, p * kernels, o])).reshape([edges, q * o])
                };
                let shapes = [[nodes, p * i], [edges, h], [edges, q * p * kernels], [i, h * kernels * o]];
                let what = format!("radial_product, {name}, {:?}", [p, i, h, kernels, q, o]);
                assert_operation(setting, &what, &shapes, operation, reference);
            }
        }
    }
}

/// Where the hidden values of all edges are combinations of few, there is a shorter way on flex, and nowhere else.
#[test]
fn radial_product_of_few_hidden_values_is_its_formula() {
    for setting in settings().iter().filter(|setting| setting.every_case()) {
        for (name, senders) in segments(setting) {
            let (nodes, edges) = (senders.count(), senders.rows());
            for ([p, i, h, kernels, q, o], rank) in
                [([3, 2, 19, 3, 3, 5], 1), ([1, 3, 24, 1, 5, 70], 3), ([5, 4, 33, 2, 1, 24], 6)]
            {
                if edges == 0 || (edges > 100 && p > 3) {
                    continue;
                }
                let operation = |given: &[Tensor<2>]| {
                    let features = given[0].clone().reshape([nodes, p, i]);
                    let hidden = given[1].clone().matmul(given[4].clone());
                    let angular = given[2].clone().reshape([edges, q, p * kernels]);
                    radial_product(features, hidden, angular, given[3].clone(), &senders).reshape([edges, q * o])
                };
                let reference = |given: &[Tensor<2>]| {
                    let features = gather(given[0].clone(), &senders).reshape([edges, p, i]);
                    let weight = given[3].clone().reshape([i, h, kernels * o]).swap_dims(0, 1);
                    let hidden = given[1].clone().matmul(given[4].clone());
                    let radial = hidden.matmul(weight.reshape([h, i * kernels * o]));
                    let sums = features.matmul(radial.reshape([edges, i, kernels * o]));
                    let angular = given[2].clone().reshape([edges, q, p * kernels]);
                    angular.matmul(sums.reshape([edges, p * kernels, o])).reshape([edges, q * o])
                };
                let shapes = [[nodes, p * i], [edges, rank], [edges, q * p * kernels], [i, h * kernels * o], [rank, h]];
                let what = format!("radial_product of {rank}, {name}, {:?}", [p, i, h, kernels, q, o]);
                assert_operation(setting, &what, &shapes, operation, reference);
            }
        }
    }
}

/// Sizes `[components, heads, channels]`.
const HEADS: [[usize; 3]; 4] = [[1, 1, 1], [3, 2, 5], [1, 8, 24], [5, 3, 16]];

#[test]
fn head_products_and_sums_are_their_formulas() {
    for setting in &settings() {
        for (name, segments) in segments(setting) {
            let (count, rows) = (segments.count(), segments.rows());
            for [components, heads, channels] in HEADS {
                if rows == 0 {
                    continue;
                }
                let width = heads * channels;
                let what = format!("{name}, {:?}", [components, heads, channels]);
                let gathered =
                    |values: &Tensor<2>| gather(values.clone(), &segments).reshape([rows, components, heads, channels]);
                assert_operation(
                    setting,
                    &format!("head_products, {what}"),
                    &[[count, components * width], [rows, components * width]],
                    |given| {
                        let of_segments = given[0].clone().reshape([count, components, width]);
                        head_products(
                            of_segments,
                            given[1].clone().reshape([rows, components, width]),
                            &segments,
                            heads,
                        )
                    },
                    |given| {
                        let products =
                            gathered(&given[0]) * given[1].clone().reshape([rows, components, heads, channels]);
                        products.sum_dim(3).sum_dim(1).reshape([rows, heads])
                    },
                );
                assert_operation(
                    setting,
                    &format!("head_sums, {what}"),
                    &[[rows, components * width], [rows, heads]],
                    |given| {
                        let values = given[0].clone().reshape([rows, components, width]);
                        head_sums(values, given[1].clone(), &segments).reshape([count, components * width])
                    },
                    |given| {
                        let values = given[0].clone().reshape([rows, components, heads, channels]);
                        let weighed = values * given[1].clone().reshape([rows, 1, heads, 1]);
                        segment_sum(weighed.reshape([rows, components * width]), &segments)
                    },
                );
            }
        }
    }
}

#[test]
fn heads_of_nothing_give_nothing() {
    for setting in &settings() {
        let none = Segments::new(Vec::new(), 3, &setting.device).expect("segments");
        let zeros = |shape: [usize; 3]| Tensor::<3>::zeros(shape, (&setting.device, setting.dtype));
        assert_eq!(head_products(zeros([3, 1, 4]), zeros([0, 1, 4]), &none, 2).dims(), [0, 2]);
        let weights = Tensor::<2>::zeros([0, 2], (&setting.device, setting.dtype));
        let sums = head_sums(zeros([0, 1, 4]), weights, &none);
        assert_eq!(sums.dims(), [3, 1, 4]);
        assert!(values(sums).iter().all(|&value| value == 0.0));
    }
}

#[test]
#[should_panic(expected = "head_products of 2 heads over 2 rows in 2 segments takes")]
fn head_products_names_shapes_that_do_not_fit() {
    let setting = &settings()[0];
    let segments = Segments::new(vec![0, 1], 2, &setting.device).expect("segments");
    let number = |shape: [usize; 3]| numbers::<3>(shape, 1, setting, &setting.device);
    head_products(number([2, 1, 3]), number([2, 1, 3]), &segments, 2);
}

#[test]
#[should_panic(expected = "head_sums over 2 rows takes")]
fn head_sums_names_shapes_that_do_not_fit() {
    let setting = &settings()[0];
    let segments = Segments::new(vec![0, 1], 2, &setting.device).expect("segments");
    let values = numbers::<3>([2, 1, 3], 1, setting, &setting.device);
    head_sums(values, numbers::<2>([2, 2], 1, setting, &setting.device), &segments);
}

#[test]
fn radial_product_of_nothing_is_empty_or_zero() {
    for setting in &settings() {
        let none = Segments::new(Vec::new(), 3, &setting.device).expect("segments");
        let zeros = |shape: [usize; 3]| Tensor::<3>::zeros(shape, (&setting.device, setting.dtype));
        let flat = |shape: [usize; 2]| Tensor::<2>::zeros(shape, (&setting.device, setting.dtype));
        let output = radial_product(zeros([3, 3, 2]), flat([0, 4]), zeros([0, 1, 3]), flat([2, 20]), &none);
        assert_eq!(output.dims(), [0, 1, 5]);
    }
}

#[test]
#[should_panic(expected = "it was given [2, 1, 3], [2, 4], [2, 1, 1] and [2, 8]")]
fn radial_product_names_shapes_that_do_not_fit() {
    let setting = &settings()[0];
    let senders = Segments::new(vec![0, 1], 2, &setting.device).expect("segments");
    let number = |shape: [usize; 2]| numbers::<2>(shape, 1, setting, &setting.device);
    let (features, angular) = (number([2, 3]).reshape([2, 1, 3]), number([2, 1]).reshape([2, 1, 1]));
    radial_product(features, number([2, 4]), angular, number([2, 8]), &senders);
}

#[test]
#[should_panic(expected = "bias_silu of 3 channels was given a bias of 2")]
fn bias_silu_names_channels_that_differ() {
    let setting = &settings()[0];
    bias_silu(numbers([4, 3], 1, setting, &setting.device), numbers([2], 1, setting, &setting.device));
}

/// Segments of every kind: sorted and not, empty ones at the start, in the middle and at the end, one that has all rows.
fn segments(setting: &Setting) -> Vec<(&'static str, Segments)> {
    let ids = |rows: usize, count: usize, step: usize| (0..rows).map(|row| (row * step + row / 3) % count).collect();
    let sorted = |mut ids: Vec<usize>| {
        ids.sort_unstable();
        ids
    };
    [
        ("sorted", sorted(ids(37, 11, 7)), 11),
        ("unsorted", ids(37, 11, 7), 11),
        ("with gaps", vec![5, 2, 2, 9, 5, 5, 2], 12),
        ("sorted with gaps", vec![1, 1, 4, 4, 4, 9], 12),
        ("one for all", vec![0; 20], 1),
        ("without rows", Vec::new(), 4),
        ("large", ids(700, 200, 31), 200),
        ("large and sorted", sorted(ids(700, 200, 31)), 200),
    ]
    .map(|(name, ids, count)| (name, Segments::new(ids, count, &setting.device).expect("segments")))
    .into()
}

#[test]
fn gather_and_segment_sum_are_their_definitions() {
    for setting in &settings() {
        for (name, segments) in segments(setting) {
            for &channels in setting.channels {
                let what = format!("{name}, {channels} channels");
                let ids = || segments.ids().clone().unsqueeze_dim::<2>(1).expand([segments.rows(), channels]);
                if segments.rows() == 0 {
                    let none = Tensor::zeros([0, channels], (&setting.device, setting.dtype));
                    let zeros = Tensor::zeros([segments.count(), channels], (&setting.device, setting.dtype));
                    assert_close(&what, setting, segment_sum(none.clone(), &segments), zeros.clone());
                    assert_close(&what, setting, gather(zeros, &segments), none);
                    continue;
                }
                assert_operation(
                    setting,
                    &format!("gather, {what}"),
                    &[[segments.count(), channels]],
                    |inputs| gather(inputs[0].clone(), &segments),
                    |inputs| inputs[0].clone().gather(0, ids()),
                );
                assert_operation(
                    setting,
                    &format!("segment_sum, {what}"),
                    &[[segments.rows(), channels]],
                    |inputs| segment_sum(inputs[0].clone(), &segments),
                    |inputs| {
                        let options = (&inputs[0].device(), setting.dtype);
                        let zeros = Tensor::zeros([segments.count(), channels], options);
                        zeros.scatter(0, ids(), inputs[0].clone(), IndexingUpdateOp::Add)
                    },
                );
            }
        }
    }
}

#[test]
fn edge_differences_are_those_of_the_ends() {
    for setting in &settings() {
        for (name, receivers) in segments(setting) {
            let (nodes, edges) = (receivers.count(), receivers.rows());
            let ids = (0..edges).map(|edge| (edge * 5 + edge / 2) % nodes).collect();
            let senders = Segments::new(ids, nodes, &setting.device).expect("segments");
            for &channels in setting.channels {
                let what = format!("edge_differences, {name}, {channels} channels");
                if edges == 0 {
                    let values = numbers([nodes, channels], 3, setting, &setting.device);
                    assert_eq!(edge_differences(values, &receivers, &senders).dims(), [0, channels], "{what}");
                    continue;
                }
                assert_operation(
                    setting,
                    &what,
                    &[[nodes, channels]],
                    |inputs| edge_differences(inputs[0].clone(), &receivers, &senders),
                    |inputs| {
                        let end = |segments: &Segments| {
                            let ids = segments.ids().clone().unsqueeze_dim::<2>(1).expand([edges, channels]);
                            inputs[0].clone().gather(0, ids)
                        };
                        end(&receivers) - end(&senders)
                    },
                );
            }
        }
    }
}

#[test]
#[should_panic(expected = "was given senders of 3 nodes and 2 edges, and 4 rows")]
fn edge_differences_name_sizes_that_do_not_fit() {
    let setting = &settings()[0];
    let [receivers, senders] = [4, 3].map(|nodes| Segments::new(vec![0, 1], nodes, &setting.device).expect("segments"));
    edge_differences(numbers([4, 3], 1, setting, &setting.device), &receivers, &senders);
}

#[test]
fn edge_silu_is_its_formula() {
    for setting in &settings() {
        for (name, receivers) in segments(setting) {
            let (nodes, edges) = (receivers.count(), receivers.rows());
            let ids = (0..edges).map(|edge| (edge * 5 + edge / 2) % nodes).collect();
            let senders = Segments::new(ids, nodes, &setting.device).expect("segments");
            let silu_of_sum = |inputs: &[Tensor<2>]| {
                let ends = gather(inputs[0].clone(), &receivers) + gather(inputs[1].clone(), &senders);
                activation::silu(ends + inputs[2].clone().matmul(inputs[3].clone()))
            };
            for (inputs, channels) in setting.cases(&[(1, 64), (3, 64), (2, 1), (1, 3), (4, 65), (6, 17)], &[1, 4]) {
                let operation = |given: &[Tensor<2>]| {
                    let [received, sent, features, weight] = [0, 1, 2, 3].map(|place: usize| given[place].clone());
                    edge_silu(received, sent, features, weight, &receivers, &senders)
                };
                if edges == 0 {
                    let zeros = |rows, columns| Tensor::zeros([rows, columns], (&setting.device, setting.dtype));
                    let (node, edge, weight) = (zeros(nodes, channels), zeros(0, inputs), zeros(inputs, channels));
                    assert_eq!(operation(&[node.clone(), node, edge, weight]).dims(), [0, channels]);
                    continue;
                }
                let shapes = [[nodes, channels], [nodes, channels], [edges, inputs], [inputs, channels]];
                let what = format!("edge_silu, {name}, {inputs} inputs, {channels} channels");
                assert_operation(setting, &what, &shapes, operation, silu_of_sum);
            }
        }
    }
}

/// Gradients that nobody asks for are left out, and change nothing about the others.
#[test]
fn edge_silu_gives_the_gradients_that_are_tracked() {
    for setting in &settings() {
        let device = setting.device.clone().autodiff();
        let receivers = Segments::new(vec![0, 0, 1, 2], 3, &device).expect("segments");
        let senders = Segments::new(vec![1, 2, 0, 1], 3, &device).expect("segments");
        let inputs: [Tensor<2>; 4] = [(0, [3, 5]), (1, [3, 5]), (2, [4, 2]), (3, [2, 5])]
            .map(|(seed, shape)| numbers(shape, seed, setting, &device));
        let gradient = |tracked: [bool; 4], place: usize| {
            let inputs = inputs.clone().map(Tensor::detach);
            let mut numbered = inputs.into_iter().zip(tracked);
            let [received, sent, edges, weight] = std::array::from_fn(|_| {
                let (input, tracked) = numbered.next().expect("four inputs");
                if tracked { input.require_grad() } else { input }
            });
            let given = [received.clone(), sent.clone(), edges.clone(), weight.clone()];
            let output = edge_silu(received, sent, edges, weight, &receivers, &senders);
            given[place].grad(&weighted(output, setting).backward())
        };
        for place in 0..4 {
            let alone = std::array::from_fn(|other| other == place);
            let all = gradient([true; 4], place).expect("a gradient");
            assert_close("alone", setting, gradient(alone, place).expect("a gradient"), all);
            assert!(gradient(alone.map(|tracked| !tracked), place).is_none());
        }
    }
}

#[test]
fn edge_silu_without_inputs_is_the_silu_of_both_ends() {
    let setting = &settings()[0];
    let receivers = Segments::new(vec![0, 1, 1], 2, &setting.device).expect("segments");
    let senders = Segments::new(vec![1, 0, 0], 2, &setting.device).expect("segments");
    let [received, sent] = [1, 2].map(|seed| numbers::<2>([2, 4], seed, setting, &setting.device));
    let none = |rows, columns| Tensor::zeros([rows, columns], (&setting.device, setting.dtype));
    let given = edge_silu(received.clone(), sent.clone(), none(3, 0), none(0, 4), &receivers, &senders);
    assert_close("bare", setting, given, activation::silu(gather(received, &receivers) + gather(sent, &senders)));
}

#[test]
fn segment_mean_divides_by_the_number_of_rows() {
    for setting in &settings() {
        let segments = Segments::new(vec![2, 0, 2, 2], 4, &setting.device).expect("segments");
        let data = TensorData::new(vec![3.0, 7.0, 4.0, 8.0], [4, 1]).convert_dtype(setting.dtype);
        let mean = segment_mean(Tensor::from_data(data, (&setting.device, setting.dtype)), &segments);
        assert_eq!(values(mean), [7.0, 0.0, 5.0, 0.0], "{}", setting.name);
    }
}

#[test]
fn segment_mean_maximum_and_softmax_are_their_definitions() {
    for setting in &settings() {
        for (name, segments) in segments(setting).into_iter().filter(|(_, segments)| segments.rows() > 0) {
            for &channels in setting.channels.iter().filter(|&&channels| channels < 4) {
                let options = (&setting.device, setting.dtype);
                // Segment after segment, through the operations of dense tensors.
                let each = |x: &Tensor<2>, reduce: &dyn Fn(Tensor<2>) -> Tensor<2>| {
                    let of = |segment: usize| {
                        let rows = segments.rows_of(segment);
                        if rows.is_empty() {
                            return Tensor::zeros([1, channels], (&x.device(), x.dtype()));
                        }
                        reduce(Tensor::cat(rows.iter().map(|&row| x.clone().narrow(0, row, 1)).collect(), 0))
                    };
                    Tensor::cat((0..segments.count()).map(of).collect(), 0)
                };
                let shapes = [[segments.rows(), channels]];
                assert_operation(
                    setting,
                    &format!("mean, {name}, {channels} channels"),
                    &shapes,
                    |inputs| segment_mean(inputs[0].clone(), &segments),
                    |inputs| each(&inputs[0], &|rows| rows.mean_dim(0)),
                );
                assert_operation(
                    setting,
                    &format!("maximum, {name}, {channels} channels"),
                    &shapes,
                    |inputs| segment_max(inputs[0].clone(), &segments),
                    |inputs| each(&inputs[0], &|rows| rows.max_dim(0)),
                );
                let mut ones = vec![0.0; segments.count() * segments.rows()];
                for segment in 0..segments.count() {
                    for &row in segments.rows_of(segment) {
                        ones[segment * segments.rows() + row] = 1.0;
                    }
                }
                let data = TensorData::new(ones, [segments.count(), segments.rows()]).convert_dtype(setting.dtype);
                let members = Tensor::<2>::from_data(data, options);
                assert_operation(
                    setting,
                    &format!("softmax, {name}, {channels} channels"),
                    &shapes,
                    |inputs| segment_softmax(inputs[0].clone(), &segments),
                    |inputs| {
                        let weights = inputs[0].clone().exp();
                        let members = Tensor::from_data(members.to_data(), (&inputs[0].device(), setting.dtype));
                        weights.clone() / members.clone().transpose().matmul(members.matmul(weights))
                    },
                );
            }
        }
    }
}

#[test]
fn equal_and_infinite_rows_have_a_maximum_and_a_softmax() {
    let low = f64::NEG_INFINITY;
    for setting in &settings() {
        let device = setting.device.clone().autodiff();
        let segments = Segments::new(vec![0, 0, 0, 1, 1, 2, 2, 4], 5, &setting.device).expect("segments");
        let x = vec![800.0, 800.0, 800.0, low, -3.0, low, low, 7.0];
        let input = || {
            let data = TensorData::new(x.clone(), [8, 1]).convert_dtype(setting.dtype);
            Tensor::<2>::from_data(data, (&device, setting.dtype)).require_grad()
        };
        let given = input();
        let maximum = segment_max(given.clone(), &segments);
        assert_eq!(values(maximum.clone()), [800.0, -3.0, low, 0.0, 7.0], "{}", setting.name);
        // Equal rows share the gradient.
        let gradient = values(given.grad(&maximum.mask_fill(input_is_low(&device), 0.0).sum().backward()).unwrap());
        let shared = [1.0 / 3.0, 1.0 / 3.0, 1.0 / 3.0, 0.0, 1.0, 0.0, 0.0, 1.0];
        assert!(gradient.iter().zip(shared).all(|(a, b)| (a - b).abs() < 1e-6), "{}: {gradient:?}", setting.name);

        let given = input();
        let softmax = segment_softmax(given.clone(), &segments);
        let found = values(softmax.clone());
        assert!(
            found
                .iter()
                .zip([1.0 / 3.0; 3].into_iter().chain([0.0, 1.0, 0.0, 0.0, 1.0]))
                .all(|(a, b)| (a - b).abs() < 1e-6)
        );
        let gradient = values(given.grad(&weighted(softmax, setting).backward()).unwrap());
        assert!(gradient.iter().all(|value| value.is_finite()), "{}: {gradient:?}", setting.name);
    }
}

/// Where the maxima of the test above are infinite.
fn input_is_low(device: &Device) -> Tensor<2, burn::tensor::Bool> {
    Tensor::from_data([[false], [false], [true], [false], [false]], device)
}

/// Within 4 units in the last place everywhere, against the exponential of the standard library in double precision.
#[cfg(feature = "flex")]
#[test]
fn silu_is_accurate_from_underflow_to_overflow() {
    for setting in settings().iter().filter(|setting| setting.name.starts_with("flex")) {
        let single = setting.dtype == DType::F32;
        let epsilon = if single { f64::from(f32::EPSILON) } else { f64::EPSILON };
        // Below -87 (-708) the result is no normal number.
        let (low, high) = if single { (-86.0, 100.0) } else { (-700.0, 800.0) };
        let points: Vec<f64> = (0..=40_000).map(|place| low + (high - low) * f64::from(place) / 40_000.0).collect();
        let points: Vec<f64> = points.into_iter().map(|x| if single { f64::from(x as f32) } else { x }).collect();
        let shape = [points.len(), 1];
        let options = (&setting.device, setting.dtype);
        let given =
            silu(Tensor::<2>::from_data(TensorData::new(points.clone(), shape).convert_dtype(setting.dtype), options));
        for (&x, given) in points.iter().zip(values(given)) {
            let wanted = x / (1.0 + (-x).exp());
            let error = (given - wanted).abs();
            assert!(error <= 4.0 * epsilon * wanted.abs(), "silu({x}) on {}: {given} for {wanted}", setting.name);
        }
    }
}

#[cfg(feature = "flex")]
#[test]
fn silu_is_finite_wherever_its_limit_is() {
    for setting in settings().iter().filter(|setting| setting.name.starts_with("flex")) {
        let points = [f64::NEG_INFINITY, -1e38, -1e4, -0.0, 0.0, 1e4, 1e38, f64::INFINITY, f64::NAN];
        let input = |device: &Device| {
            let data = TensorData::new(points.to_vec(), [points.len(), 1]).convert_dtype(setting.dtype);
            Tensor::<2>::from_data(data, (device, setting.dtype))
        };
        let largest = values(input(&setting.device))[6];
        let output = values(silu(input(&setting.device)));
        assert_eq!(output[..8], [0.0, 0.0, 0.0, 0.0, 0.0, 1e4, largest, f64::INFINITY], "{}", setting.name);
        assert!(output[8].is_nan());

        let tracked = input(&setting.device.clone().autodiff()).require_grad();
        let gradients = silu(tracked.clone()).sum().backward();
        let slopes = values(tracked.grad(&gradients).expect("a gradient"));
        assert_eq!(slopes[..8], [0.0, 0.0, 0.0, 0.5, 0.5, 1.0, 1.0, 1.0], "{}", setting.name);
        assert!(slopes[8].is_nan());
    }
}

/// Sizes that several threads share: the same numbers as with one, and as from a small tensor.
#[cfg(feature = "flex")]
#[test]
fn threads_change_nothing() {
    for setting in settings().iter().filter(|setting| setting.name.starts_with("flex")) {
        let (nodes, edges, channels) = (1_000, 9_001, 64);
        let device = setting.device.clone().autodiff();
        let ids = |step: usize| (0..edges).map(|edge| (edge * step + edge / 3) % nodes).collect();
        let receivers = Segments::new(ids(7), nodes, &device).expect("segments");
        let senders = Segments::new(ids(31), nodes, &device).expect("segments");
        let radial = || {
            let (p, i, h, o) = (3, 8, 17, 8);
            let shapes = [
                [nodes, p * i],
                [edges, 3],
                [edges, 5 * p],
                [i, h * o],
                [3, h - 1],
                [1, h - 1],
                [h - 1, h - 1],
                [1, h - 1],
            ];
            let inputs = shapes.map(|shape| numbers(shape, shape[1] as u64, setting, &device).require_grad());
            let [features, distances, angular, weight, first, vector, second, other] = inputs.clone();
            let layer = |weight: Tensor<2>, vector: &Tensor<2>| {
                let vector: Tensor<1> = vector.clone().squeeze_dim(0);
                RadialLayer { weight, bias: vector.clone(), scale: vector.clone(), shift: vector }
            };
            let hidden = radial_network(distances, [layer(first, &vector), layer(second, &other)], 1e-5);
            let features = features.reshape([nodes, p, i]);
            let output = radial_product(features, hidden, angular.reshape([edges, 5, p]), weight, &senders);
            let output: Tensor<2> = output.reshape([edges, 5 * o]);
            let output = norm_gelu(
                output,
                Tensor::ones([5 * o], (&device, setting.dtype)),
                Tensor::zeros([5 * o], (&device, setting.dtype)),
                1e-5,
            );
            let gradients = weighted(output.clone(), setting).backward();
            let mut results = vec![values(output)];
            results.extend(inputs.iter().map(|input| values(input.grad(&gradients).expect("a gradient"))));
            results
        };
        let run = || {
            let inputs: [Tensor<2>; 5] =
                [[nodes, channels], [nodes, channels], [edges, 3], [3, channels], [1, channels]]
                    .map(|shape| numbers(shape, shape[0] as u64, setting, &device).require_grad());
            let [received, sent, features, weight, bias] = inputs.clone();
            let first = edge_silu(received, sent, features, weight, &receivers, &senders);
            let second = silu(bias_silu(first, bias.clone().squeeze_dim(0)));
            let second = gate(second, bias.transpose(), numbers([1], 5, setting, &device));
            let output = gather(segment_sum(second, &senders), &receivers);
            let gradients = weighted(output.clone(), setting).backward();
            let mut results = vec![values(output)];
            results.extend(inputs.iter().map(|input| values(input.grad(&gradients).expect("a gradient"))));
            results.extend(radial());
            results
        };
        let with =
            |threads| rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads").install(run);
        let alone = with(1);
        assert!(with(2) == alone && with(3) == alone, "{}", setting.name);
    }
}
