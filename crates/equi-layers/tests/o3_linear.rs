//! Linear maps between features of O(3): every golden case of e3nn's `Linear`, rotations and reflections, and what cannot be built.
#![cfg(feature = "flex")]

#[path = "common/devices.rs"]
mod devices;

#[path = "../../../tests/golden/mod.rs"]
mod golden;
#[path = "common/irreps.rs"]
mod rows;

use burn::module::{Module, Param};
use burn::tensor::{DType, Device, Tensor, TensorData};
use devices::settings;
use equi_core::assert_point_equivariant;
use equi_core::o3::{Irrep, Irreps, MulIrrep, Parity};
use equi_layers::o3::{IrrepsLinear, IrrepsLinearConfig, PathNormalization};
use golden::{Array, Tensors};
use proptest::prelude::*;
use rows::{host, irreps, noise, row_map};
use serde_json::Value;

/// Precisions, with the largest error relative to the largest value of a tensor.
const PRECISIONS: [(DType, f64); 2] = [(DType::F64, 1e-10), (DType::F32, 1e-5)];

fn upload<const D: usize>(array: Array, dtype: DType, device: &Device) -> Tensor<D> {
    Tensor::from_data(TensorData::new(array.values, array.shape).convert_dtype(dtype), (device, dtype))
}

fn config(case: &Value) -> IrrepsLinearConfig {
    let config = &case["config"];
    let text = |key: &str| irreps(config[key].as_str().unwrap());
    let mut ours = IrrepsLinearConfig::new(text("irreps_in"), text("irreps_out")).with_unreached_outputs();
    if case["call"].as_str().unwrap().contains("'instructions'") {
        let pairs = config["instructions"].as_array().unwrap().iter();
        let number = |pair: &Value, key: &str| pair[key].as_u64().unwrap() as usize;
        ours = ours.with_instructions(pairs.map(|p| (number(p, "i_in"), number(p, "i_out"))).collect::<Vec<_>>());
    }
    if config["biases"] == true {
        ours = ours.with_biases();
    }
    if config["path_normalization"] == "path" {
        ours = ours.with_path_normalization(PathNormalization::Path);
    }
    if config["shared_weights"] == false {
        ours = ours.without_weights();
    }
    ours
}

#[test]
fn outputs_and_gradients_are_those_of_e3nn() {
    let cases = golden::cases("e3nn/manifest.json", |c| c["name"].as_str().unwrap().starts_with("linear_"));
    assert_eq!(cases.len(), 5);
    for (case, (dtype, tolerance)) in cases.iter().flat_map(|case| PRECISIONS.map(|p| (case, p))) {
        let name = case["name"].as_str().unwrap();
        let tensors = Tensors::open(&format!("e3nn/{name}.safetensors"));
        let device = Device::flex().autodiff();
        let close = |key: &str, actual: Vec<f64>| {
            let error = tensors.tensor(key).relative_error(&actual);
            assert!(error < tolerance, "{name}, {dtype:?}, {key}: relative error {error:.1e}");
        };
        let mut linear = config(case).init((&device, dtype)).unwrap();
        assert_eq!(linear.weight_numel() as u64, case["config"]["weight_numel"].as_u64().unwrap(), "{name}");
        let x = upload::<2>(tensors.tensor("x"), dtype, &device).require_grad();
        let given = tensors.tensor("weight");
        let (y, weight) = if case["config"]["shared_weights"] == false {
            let weight = upload::<2>(given, dtype, &device).require_grad();
            (linear.forward_with(x.clone(), weight.clone()), Ok(weight))
        } else {
            linear.weight = Some(Param::from_tensor(upload::<1>(given, dtype, &device)));
            linear.bias = tensors.get("bias").map(|bias| Param::from_tensor(upload::<1>(bias, dtype, &device)));
            (linear.forward(x.clone()), Err(linear.weight.as_ref().unwrap().val()))
        };
        close("y", host(&y));
        if let Some(mask) = tensors.get("output_mask") {
            assert_eq!(mask.values.iter().map(|&one| one == 1.0).collect::<Vec<_>>(), linear.output_mask(), "{name}");
        }
        let gradients = (y * upload(tensors.tensor("cotangent"), dtype, &device)).sum().backward();
        close("grad.x", host(&x.grad(&gradients).unwrap()));
        close(
            "grad.weight",
            match weight {
                Ok(weight) => host(&weight.grad(&gradients).unwrap()),
                Err(weight) => host(&weight.grad(&gradients).unwrap()),
            },
        );
        if let Some(bias) = &linear.bias {
            close("grad.bias", host(&bias.val().grad(&gradients).unwrap()));
        }
    }
}

fn any_block() -> impl Strategy<Value = MulIrrep> {
    let parity = prop_oneof![Just(Parity::Even), Just(Parity::Odd)];
    (1..5usize, 0..4usize, parity).prop_map(|(mul, l, parity)| MulIrrep::new(mul, Irrep::new(l, parity)))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// Some blocks are in both, some in one only. Weights for every row are invariant features.
    #[test]
    fn maps_commute_with_rotations_and_reflections(
        both in prop::collection::vec(any_block(), 1..4), input in prop::collection::vec(any_block(), 0..3),
        output in prop::collection::vec(any_block(), 0..3), copies in 1..4usize, biased in any::<bool>(),
    ) {
        let input = Irreps::new(both.clone()) + Irreps::new(input);
        let more = both.iter().rev().map(|block| MulIrrep::new(copies, block.irrep));
        let output = Irreps::new(output) + more.collect::<Irreps>();
        let config = IrrepsLinearConfig::new(input.clone(), output.clone()).with_unreached_outputs();
        let biased = biased && output.count(Irrep::even(0)) > 0;
        let config = if biased { config.with_biases() } else { config };
        for setting in settings() {
            let mut linear = config.init((&setting.device, setting.dtype)).unwrap();
            linear.bias = linear.bias.map(|bias| bias.map(|zeros| zeros + 0.7));
            let map = row_map(&input, &output, &setting.device, setting.dtype, |x| linear.forward(x));
            assert_point_equivariant!(map, setting.tolerance);

            let (columns, numel) = (input.dim(), linear.weight_numel());
            let given = input.clone() + Irreps::from(MulIrrep::new(numel, Irrep::even(0)));
            let map = row_map(&given, &output, &setting.device, setting.dtype, |rows| {
                linear.forward_with(rows.clone().narrow(1, 0, columns), rows.narrow(1, columns, numel))
            });
            assert_point_equivariant!(map, setting.tolerance);
        }
    }

    /// Weights that are the same in every row are the same weights.
    #[test]
    fn rows_with_equal_weights_share_them(both in prop::collection::vec(any_block(), 1..4)) {
        let (irreps, device) = (Irreps::new(both), Device::flex());
        let linear = IrrepsLinearConfig::new(irreps.clone(), irreps.clone()).init((&device, DType::F64)).unwrap();
        let x = noise(4, irreps.dim(), 0, &device, DType::F64);
        let weight = linear.weight.as_ref().unwrap().val().unsqueeze::<2>();
        let given = linear.forward_with(x.clone(), weight.repeat_dim(0, 4));
        rows::assert_close("rows", &host(&linear.forward(x)), &host(&given), 1e-13);
    }
}

fn built(input: &str, output: &str) -> IrrepsLinear {
    IrrepsLinearConfig::new(irreps(input), irreps(output)).with_seed(3).init(&Device::flex()).unwrap()
}

#[test]
fn weights_come_from_the_seed_and_rows_may_be_none() {
    let device = Device::flex();
    let (a, b) = (built("2x0e+3x1o", "4x0e+2x1o"), built("2x0e+3x1o", "4x0e+2x1o"));
    assert_eq!(host(&a.weight.as_ref().unwrap().val()), host(&b.weight.unwrap().val()));
    assert_eq!(a.num_params(), a.weight_numel());
    assert_eq!(a.forward(Tensor::zeros([0, 11], &device)).dims(), [0, 10]);
    assert!(format!("{a}").starts_with("IrrepsLinear(2x0e+3x1o -> 4x0e+2x1o, 14 weights)"), "{a}");
}

/// With weights of variance 1, outputs have the variance of inputs: 4,000 rows know theirs to a few per cent, the weights of 64 copies
/// to about as much.
#[test]
fn variance_is_kept() {
    let linear = built("64x0e+64x1o", "64x0e+64x1o");
    let x = Tensor::random([4000, 256], burn::tensor::Distribution::Normal(0.0, 1.0), &Device::flex());
    let mean_square = host(&linear.forward(x).powi_scalar(2).mean())[0];
    assert!((mean_square - 1.0).abs() < 0.1, "{mean_square}");
}

#[test]
fn what_cannot_be_built_says_why() {
    let refused = |config: IrrepsLinearConfig, words: &[&str]| {
        let message = config.init(&Device::flex()).unwrap_err().to_string();
        assert!(words.iter().all(|word| message.contains(word)), "{message}");
    };
    let config = |input: &str, output: &str| IrrepsLinearConfig::new(irreps(input), irreps(output));
    refused(config("4x0e+1x1o", "4x0e+2x1e"), &["block 1 of the output, 2x1e", "4x0e+1x1o", "with_unreached_outputs"]);
    refused(config("4x1o", "4x1e").with_unreached_outputs(), &["no irrep of 4x1o is among 4x1e"]);
    refused(config("", "4x1e"), &["the input has no columns"]);
    refused(config("4x1e", "0x1e"), &["the output has no columns"]);
    refused(
        config("4x0e+1x1o", "4x0e").with_instructions([(1, 0)]),
        &["instruction 0", "1x1o to 4x0e", "equal irreps"],
    );
    refused(config("4x0e+1x1o", "4x0e").with_instructions([(0, 1)]), &["from block 0 to block 1", "has 1"]);
    refused(config("4x1o", "4x1o").with_biases(), &["0e", "4x1o has none"]);
}

#[test]
#[should_panic(expected = "takes 2x0e+3x1o, not [1, 10]")]
fn other_columns_panic() {
    built("2x0e+3x1o", "4x0e").forward(Tensor::zeros([1, 10], &Device::flex()));
}
