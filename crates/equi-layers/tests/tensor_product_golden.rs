//! Every golden case of e3nn's tensor products: coefficients, outputs, masks, and the gradients of inputs and weights.
#![cfg(feature = "flex")]

#[path = "../../../tests/golden/mod.rs"]
mod golden;

use burn::tensor::{DType, Device, Tensor, TensorData};
use equi_core::o3::Irreps;
use equi_layers::o3::{Instruction, IrrepNormalization, PathNormalization, TensorProductConfig};
use golden::{Array, Tensors};
use serde_json::Value;

/// Precisions, with the largest error relative to the largest value of a tensor.
const PRECISIONS: [(DType, f64); 2] = [(DType::F64, 1e-10), (DType::F32, 1e-5)];

fn irreps(value: &Value) -> Irreps {
    value.as_str().unwrap().parse().unwrap()
}

fn upload(array: Array, dtype: DType, device: &Device) -> Tensor<2> {
    // A flat weight is one row.
    let shape = match array.shape[..] {
        [columns] => [1, columns],
        [rows, columns] => [rows, columns],
        _ => panic!("{:?}", array.shape),
    };
    Tensor::from_data(TensorData::new(array.values, shape).convert_dtype(dtype), (device, dtype))
}

fn host<const D: usize>(tensor: Tensor<D>) -> Vec<f64> {
    tensor.into_data_as::<f64>().try_into_vec().unwrap()
}

/// The instructions that the reference made or was given; its path weights are in the call only.
fn instructions(case: &Value) -> Vec<Instruction> {
    let listed = case["config"]["instructions"].as_array().unwrap();
    let path_weights = match case["name"].as_str().unwrap() {
        "tp_mixed_vars" => vec![2.0, 0.5, 1.0, 1.5],
        _ => vec![1.0; listed.len()],
    };
    let number = |value: &Value| value.as_u64().unwrap() as usize;
    let read = |(listed, path_weight): (&Value, f64)| {
        let [in1, in2, out] = ["i_in1", "i_in2", "i_out"].map(|key| number(&listed[key]));
        let instruction = Instruction::new(in1, in2, out, listed["mode"].as_str().unwrap().parse().unwrap());
        let instruction = instruction.with_path_weight(path_weight);
        if listed["has_weight"] == true { instruction } else { instruction.without_weight() }
    };
    listed.iter().zip(path_weights).map(read).collect()
}

/// The product as its own constructor makes it.
fn config(case: &Value) -> TensorProductConfig {
    let config = &case["config"];
    let name = case["name"].as_str().unwrap();
    let [in1, in2, out] = ["irreps_in1", "irreps_in2", "irreps_out"].map(|key| match &config[key] {
        Value::Null => Irreps::default(),
        text => irreps(text),
    });
    let made = match name {
        "full_tp" => TensorProductConfig::full(&in1, &in2),
        "elementwise_tp" => {
            let text = |text: &str| text.parse::<Irreps>().unwrap();
            TensorProductConfig::elementwise(&text("3x0e+2x1o"), &text("2x1o+3x0e")).unwrap()
        }
        "tensor_square" => TensorProductConfig::square(&irreps(&config["irreps_in"]), IrrepNormalization::Component),
        "tensor_square_weighted" => {
            let input = irreps(&config["irreps_in"]);
            TensorProductConfig::square_onto(&input, &out, IrrepNormalization::Component)
        }
        _ if name.starts_with("fctp") => TensorProductConfig::fully_connected(in1, in2, out.clone()),
        _ => TensorProductConfig::new(in1, in2, out.clone(), instructions(case)),
    };
    assert_eq!(made.irreps_out, out, "{name}");
    let made = match name {
        "tp_mixed_vars" => made.with_in1_var([2.0, 0.5]).with_in2_var([1.0, 3.0]).with_out_var([1.0, 2.0, 0.25]),
        "fctp_norm_path" => {
            made.with_irrep_normalization(IrrepNormalization::Norm).with_path_normalization(PathNormalization::Path)
        }
        "fctp_none" => {
            made.with_irrep_normalization(IrrepNormalization::None).with_path_normalization(PathNormalization::None)
        }
        _ => made,
    };
    made.without_weights().with_unreached_outputs()
}

#[test]
fn outputs_and_gradients_are_those_of_e3nn() {
    let ours = |name: &str| {
        ["fctp", "tp_", "full_tp", "elementwise_tp", "tensor_square"].iter().any(|prefix| name.starts_with(prefix))
    };
    let cases = golden::cases("e3nn/manifest.json", |c| ours(c["name"].as_str().unwrap()));
    assert_eq!(cases.len(), 18);
    for (case, (dtype, tolerance)) in cases.iter().flat_map(|case| PRECISIONS.map(|p| (case, p))) {
        let name = case["name"].as_str().unwrap();
        let tensors = Tensors::open(&format!("e3nn/{name}.safetensors"));
        let device = Device::flex().autodiff();
        let close = |key: &str, actual: Vec<f64>| {
            let error = tensors.tensor(key).relative_error(&actual);
            assert!(error < tolerance, "{name}, {dtype:?}, {key}: relative error {error:.1e}");
        };
        let product = config(case).init((&device, dtype)).unwrap();

        let listed = case["config"]["instructions"].as_array().unwrap();
        assert_eq!(product.paths().len(), listed.len(), "{name}");
        for (path, (listed, given)) in product.paths().iter().zip(listed.iter().zip(instructions(case))) {
            let coefficient = listed["coeff"].as_f64().unwrap();
            assert!((path.coefficient - coefficient).abs() < 1e-12, "{name}: {path}: {coefficient}");
            let same = Instruction { path_weight: path.instruction.path_weight, ..given };
            assert_eq!(path.instruction, same, "{name}");
            let shape: Vec<_> = path.shape.iter().map(|&n| n as f64).collect();
            assert_eq!(shape, golden::numbers(&listed["path_shape"]), "{name}: {path}");
        }

        // A square has one input.
        let square = name.starts_with("tensor_square");
        let (x1, x2, out) = if square { ("x", "x", "y") } else { ("x1", "x2", "out") };
        let x1 = upload(tensors.tensor(x1), dtype, &device).require_grad();
        let x2 = if square { x1.clone() } else { upload(tensors.tensor(x2), dtype, &device).require_grad() };
        let weight = tensors.get("weight").map(|weight| upload(weight, dtype, &device).require_grad());
        assert_eq!(product.weight_numel(), weight.as_ref().map_or(0, |weight| weight.dims()[1]), "{name}");
        let z = match &weight {
            Some(weight) => product.forward_with(x1.clone(), x2.clone(), weight.clone()),
            None => product.forward(x1.clone(), x2.clone()),
        };
        close(out, host(z.clone()));
        if let Some(mask) = tensors.get("output_mask") {
            assert_eq!(mask.values.iter().map(|&one| one == 1.0).collect::<Vec<_>>(), product.output_mask(), "{name}");
        }
        if tensors.get("right").is_some() {
            close("right", host(product.right_with(x2.clone(), weight.clone().unwrap())));
        }
        let gradients = (z * upload(tensors.tensor("cotangent"), dtype, &device)).sum().backward();
        close(if square { "grad.x" } else { "grad.x1" }, host(x1.grad(&gradients).unwrap()));
        if !square {
            close("grad.x2", host(x2.grad(&gradients).unwrap()));
        }
        if let Some(weight) = weight {
            close("grad.weight", host(weight.grad(&gradients).unwrap()));
        }
    }
}
