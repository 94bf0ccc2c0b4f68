//! `ops::message_network` against its formula, made of tensor operations, and its gradients against differences.

#![cfg(any(feature = "flex", feature = "wgpu"))]

mod common;

use burn::tensor::{DType, Device, Tensor, TensorData, activation};
use equi_core::ops::{MessageNetwork, Segments, ShiftNetwork, gather, message_network, segment_mean, segment_sum};

use common::{Setting, values};

/// What rounding may cause in sums of a few hundred numbers.
fn settings() -> Vec<Setting> {
    common::settings(2e-5, 1e-13, 4e-5)
}

/// The options of a network, and its sizes.
#[derive(Clone, Copy, Debug)]
struct Case {
    hidden: usize,
    channels: usize,
    inputs: usize,
    dimensions: usize,
    gate: bool,
    /// Width, tanh and clamp of the network of shifts.
    shift: Option<(usize, bool, Option<f64>)>,
    mean: [bool; 2],
}

/// Every option, and sizes around those of vectors and panels.
const CASES: [Case; 5] = [
    Case { hidden: 1, channels: 1, inputs: 0, dimensions: 3, gate: false, shift: None, mean: [false, false] },
    Case {
        hidden: 5,
        channels: 7,
        inputs: 2,
        dimensions: 3,
        gate: true,
        // Low enough for some shifts to be cut.
        shift: Some((3, true, Some(0.15))),
        mean: [false, true],
    },
    Case {
        hidden: 33,
        channels: 20,
        inputs: 1,
        dimensions: 2,
        gate: true,
        shift: Some((40, false, None)),
        mean: [true, false],
    },
    Case {
        hidden: 16,
        channels: 64,
        inputs: 3,
        dimensions: 1,
        gate: false,
        shift: Some((1, false, Some(0.4))),
        mean: [true, true],
    },
    Case { hidden: 64, channels: 65, inputs: 0, dimensions: 3, gate: true, shift: None, mean: [false, false] },
];

/// Numbers between -1 and 1 without a pattern, times `scale`.
fn numbers(shape: [usize; 2], scale: f64, seed: u64) -> Vec<f64> {
    let mut state = (seed + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let next = |_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        scale * ((state >> 11) as f64 / (1_u64 << 53) as f64 * 2.0 - 1.0)
    };
    (0..shape[0] * shape[1]).map(next).collect()
}

/// Shapes of the arguments, and the scale that keeps what they add up to around one: `p, q, d, w, W, b, e, W_e, w_g, b_g, W_x, b_x, w_x`.
fn arguments(case: &Case, nodes: usize, edges: usize) -> Vec<([usize; 2], f64)> {
    let Case { hidden, channels, inputs, dimensions, .. } = *case;
    let width = case.shift.map_or(1, |(width, ..)| width);
    let fan = |inputs: usize| 1.5 / (inputs as f64).sqrt();
    vec![
        ([nodes, hidden], 1.0),
        ([nodes, hidden], 1.0),
        ([edges, dimensions], 1.0),
        ([1, hidden], 0.5),
        ([hidden, channels], fan(hidden)),
        ([1, channels], 0.3),
        ([edges, inputs], 1.0),
        ([inputs, hidden], 0.5),
        ([channels, 1], fan(channels)),
        ([1, 1], 0.3),
        ([channels, width], fan(channels)),
        ([1, width], 0.3),
        ([width, 1], fan(width)),
    ]
}

/// The places of the arguments that the case has.
fn present(case: &Case) -> Vec<usize> {
    let there = |place: usize| match place {
        0..=5 => true,
        6 | 7 => case.inputs > 0,
        8 | 9 => case.gate,
        _ => case.shift.is_some(),
    };
    (0..13).filter(|&place| there(place)).collect()
}

fn joined((messages, shifts): (Tensor<2>, Option<Tensor<2>>)) -> Tensor<2> {
    match shifts {
        Some(shifts) => Tensor::cat(vec![messages, shifts], 1),
        None => messages,
    }
}

fn operation(case: &Case, given: &[Tensor<2>], receivers: &Segments, senders: &Segments) -> Tensor<2> {
    let at = |place: usize| given[place].clone();
    let vector = |place: usize| given[place].clone().squeeze_dim(0);
    let network = MessageNetwork {
        received: at(0),
        sent: at(1),
        differences: at(2),
        distance: at(3),
        weight: at(4),
        bias: vector(5),
        edges: (case.inputs > 0).then(|| (at(6), at(7))),
        gate: case.gate.then(|| (at(8), vector(9))),
        shift: case.shift.map(|(_, tanh, clamp)| ShiftNetwork {
            weight: at(10),
            bias: vector(11),
            output: at(12),
            tanh,
            clamp,
        }),
        mean: case.mean,
    };
    joined(message_network(network, receivers, senders))
}

fn reference(case: &Case, given: &[Tensor<2>], receivers: &Segments, senders: &Segments) -> Tensor<2> {
    let at = |place: usize| given[place].clone();
    let squared = at(2).powi_scalar(2).sum_dim(1);
    let mut sums = gather(at(0), receivers) + gather(at(1), senders) + squared.matmul(at(3));
    if case.inputs > 0 {
        sums = sums + at(6).matmul(at(7));
    }
    let mut messages = activation::silu(activation::silu(sums).matmul(at(4)) + at(5));
    if case.gate {
        messages = messages.clone() * activation::sigmoid(messages.matmul(at(8)) + at(9));
    }
    let aggregate = |mean: bool, rows| if mean { segment_mean(rows, receivers) } else { segment_sum(rows, receivers) };
    let shifts = case.shift.map(|(_, tanh, clamp)| {
        let weights = activation::silu(messages.clone().matmul(at(10)) + at(11)).matmul(at(12));
        let shifts = at(2) * if tanh { weights.tanh() } else { weights };
        let shifts = match clamp {
            Some(clamp) => shifts.clamp(-clamp, clamp),
            None => shifts,
        };
        aggregate(case.mean[1], shifts)
    });
    joined((aggregate(case.mean[0], messages), shifts))
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

/// Receivers and senders of every kind: one edge; graphs that are complete; nodes without edges; nodes whose edges are in several pieces of work; many
/// pieces; more edges than layers are kept for; edges in no order.
fn graphs(device: &Device) -> Vec<(&'static str, [Segments; 2])> {
    let complete = |nodes: usize, size: usize| {
        let pairs = (0..nodes).flat_map(move |i| (i / size * size..(i / size + 1) * size).map(move |j| (i, j)));
        pairs.filter(|(i, j)| i != j).collect::<Vec<_>>()
    };
    [
        ("one edge", 4, vec![(2, 0)]),
        ("complete", 12, complete(8, 4)),
        ("long", 9, (0..700).map(|edge| (edge / 300 * 2 + 1, (edge * 31 + edge / 7) % 9)).collect()),
        ("many pieces", 1720, (0..128 * 40 + 5).map(|edge| (edge / 3, edge * 31 % 1709)).collect()),
        ("not kept", 1720, (0..128 * 100 + 5).map(|edge| (edge / 8, edge * 31 % 1709)).collect()),
        ("unsorted", 11, (0..200).map(|edge| (edge * 7 % 10, edge * edge % 11)).collect()),
    ]
    .map(|(name, nodes, edges)| {
        let (receivers, senders) = edges.into_iter().unzip();
        (name, [receivers, senders].map(|ids| Segments::new(ids, nodes, device).expect("segments")))
    })
    .into()
}

#[test]
fn message_network_is_its_formula() {
    for setting in &settings() {
        for (name, [receivers, senders]) in graphs(&setting.device) {
            let (nodes, edges) = (receivers.count(), receivers.rows());
            for case in CASES {
                // The large graph with the large sizes only takes time.
                if edges > 1000 && case.hidden > 33 {
                    continue;
                }
                // The one whose layers are long enough, in the precision in which sums of so many numbers are known well.
                if name == "not kept" && !(case.hidden == 33 && setting.dtype == DType::F64) {
                    continue;
                }
                // Kernels are compiled for every case there: the one with all parts, on edges in no order.
                if setting.name.starts_with("wgpu") && !(name == "unsorted" && case.hidden == 5) {
                    continue;
                }
                let what = format!("{case:?}, {name}");
                let shapes = arguments(&case, nodes, edges);
                let inputs: Vec<Vec<f64>> =
                    (0..).zip(&shapes).map(|(seed, &(shape, scale))| numbers(shape, scale, seed)).collect();
                let tensors = |inputs: &[Vec<f64>], device: &Device| -> Vec<Tensor<2>> {
                    let tensor = |(values, (shape, _)): (&Vec<f64>, &([usize; 2], f64))| {
                        let data = TensorData::new(values.clone(), *shape).convert_dtype(setting.dtype);
                        Tensor::from_data(data, (device, setting.dtype))
                    };
                    inputs.iter().zip(&shapes).map(tensor).collect()
                };
                let plain = tensors(&inputs, &setting.device);
                let wanted = reference(&case, &plain, &receivers, &senders);
                let weights = numbers(wanted.dims(), 1.0, 77);
                assert_close(&what, setting, operation(&case, &plain, &receivers, &senders), wanted.clone());

                let weighted = |output: Tensor<2>| {
                    let data = TensorData::new(weights.clone(), output.dims()).convert_dtype(setting.dtype);
                    (output.clone() * Tensor::from_data(data, (&output.device(), setting.dtype))).sum()
                };
                let gradients = |of: &dyn Fn(&[Tensor<2>]) -> Tensor<2>| -> Vec<Tensor<2>> {
                    let tracked: Vec<_> = tensors(&inputs, &setting.device.clone().autodiff())
                        .into_iter()
                        .map(Tensor::require_grad)
                        .collect();
                    let gradients = weighted(of(&tracked)).backward();
                    let places = present(&case).into_iter();
                    places.map(|place| tracked[place].grad(&gradients).expect("a gradient")).collect()
                };
                let given = gradients(&|inputs| operation(&case, inputs, &receivers, &senders));
                let wanted = gradients(&|inputs| reference(&case, inputs, &receivers, &senders));
                for ((place, given), wanted) in present(&case).into_iter().zip(given.clone()).zip(wanted) {
                    assert_close(&format!("gradient {place} of {what}"), setting, given, wanted);
                }
                if setting.dtype == DType::F64 && edges < 1000 {
                    let value = |inputs: &[Vec<f64>]| {
                        let output = operation(&case, &tensors(inputs, &setting.device), &receivers, &senders);
                        weighted(output).into_scalar::<f64>()
                    };
                    for (place, gradient) in present(&case).into_iter().zip(given) {
                        assert_differences(&format!("gradient {place} of {what}"), &inputs, place, gradient, &value);
                    }
                }
            }
        }
    }
}

/// Central differences by up to 8 numbers of one argument. The step balances the error of the difference, its square, against that of rounding, its
/// inverse.
fn assert_differences(
    what: &str,
    inputs: &[Vec<f64>],
    place: usize,
    gradient: Tensor<2>,
    value: &impl Fn(&[Vec<f64>]) -> f64,
) {
    const STEP: f64 = 1e-5;
    let gradient = values(gradient);
    let scale = gradient.iter().fold(1.0, |scale: f64, value| scale.max(value.abs()));
    for number in (0..gradient.len()).step_by(gradient.len().div_ceil(8)) {
        let moved = |by: f64| {
            let mut inputs = inputs.to_vec();
            inputs[place][number] += by;
            value(&inputs)
        };
        let difference = (moved(STEP) - moved(-STEP)) / (2.0 * STEP);
        let error = (gradient[number] - difference).abs() / scale;
        assert!(error < 1e-6, "{what}, number {number}: {} for {difference}", gradient[number]);
    }
}

/// What is computed must not depend on who computes it.
#[test]
#[cfg(feature = "flex")]
fn threads_change_nothing() {
    let setting = &settings()[0];
    let (_, [receivers, senders]) = graphs(&setting.device).swap_remove(3);
    let case = CASES[2];
    let shapes = arguments(&case, receivers.count(), receivers.rows());
    let run = || {
        let device = setting.device.clone().autodiff();
        let inputs: Vec<Tensor<2>> = (0..)
            .zip(&shapes)
            .map(|(seed, &(shape, scale))| {
                let data = TensorData::new(numbers(shape, scale, seed), shape).convert_dtype(DType::F32);
                Tensor::from_data(data, &device).require_grad()
            })
            .collect();
        let output = operation(&case, &inputs, &receivers, &senders);
        let gradients = output.clone().powi_scalar(2).sum().backward();
        let places = present(&case).into_iter();
        let mut all: Vec<_> = places.map(|place| inputs[place].grad(&gradients).expect("a gradient")).collect();
        all.push(output.inner());
        all.into_iter().flat_map(values).collect::<Vec<f64>>()
    };
    let with = |threads| rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads").install(run);
    let alone = with(1);
    for threads in [2, 3, 2, 3] {
        assert!(with(threads) == alone, "the same bits with {threads} threads");
    }
}

#[test]
fn message_network_of_no_edges_is_zero() {
    for setting in &settings() {
        let none = Segments::new(Vec::new(), 3, &setting.device).expect("segments");
        for case in CASES {
            let inputs: Vec<Tensor<2>> = arguments(&case, 3, 0)
                .into_iter()
                .map(|(shape, _)| Tensor::ones(shape, (&setting.device, setting.dtype)))
                .collect();
            let output = operation(&case, &inputs, &none, &none);
            let columns = case.channels + if case.shift.is_some() { case.dimensions } else { 0 };
            assert_close("no edges", setting, output, Tensor::zeros([3, columns], (&setting.device, setting.dtype)));
        }
    }
}

#[test]
#[should_panic(expected = "takes bias [4]; it was given [3]")]
fn message_network_names_shapes_that_do_not_fit() {
    let setting = &settings()[0];
    let segments = Segments::new(vec![0, 1], 2, &setting.device).expect("segments");
    let zeros = |shape: [usize; 2]| Tensor::<2>::zeros(shape, (&setting.device, setting.dtype));
    let network = MessageNetwork {
        received: zeros([2, 5]),
        sent: zeros([2, 5]),
        differences: zeros([2, 3]),
        distance: zeros([1, 5]),
        edges: None,
        weight: zeros([5, 4]),
        bias: Tensor::zeros([3], (&setting.device, setting.dtype)),
        gate: None,
        shift: None,
        mean: [false; 2],
    };
    message_network(network, &segments, &segments);
}
