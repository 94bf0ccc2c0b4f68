//! Trained weights of e3nn load by the names of its state dicts.
#![cfg(feature = "flex")]

#[path = "../../../tests/golden/mod.rs"]
mod golden;
#[path = "common/irreps.rs"]
mod rows;

use std::path::PathBuf;

use burn::module::{Module, Param};
use burn::store::{ModuleSnapshot, SafetensorsStore};
use burn::tensor::{DType, Device, Tensor};
use equi_layers::o3::{IrrepsLinear, IrrepsLinearConfig, RadialMlpConfig, TensorProduct, TensorProductConfig};
use equi_layers::planar::Nonlinearity;
use golden::Tensors;
use rows::{assert_close, host, irreps, tensor};

const F64: DType = DType::F64;

/// A file of e3nn's, which holds other tensors beside the weights, as state dicts do.
fn store(name: &str) -> SafetensorsStore {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/e3nn");
    SafetensorsStore::from_file(folder.join(format!("{name}.safetensors")))
}

fn stored(tensors: &Tensors, name: &str) -> Tensor<2> {
    let array = tensors.tensor(name);
    tensor(&array.values, [array.shape[0], array.shape[1]], &Device::flex(), F64)
}

#[test]
fn linear_maps_and_products() {
    let options = (&Device::flex(), F64);
    let config = IrrepsLinearConfig::new(irreps("4x0e+2x1o+3x0e+1x0o"), irreps("3x0e+2x1o+2x0o+1x3o"));
    let mut linear = config.with_biases().with_unreached_outputs().init(options).unwrap();
    let result = linear.load_from(&mut store("linear_bias")).unwrap();
    assert!(result.missing.is_empty() && result.applied.len() == 2, "{result}");
    let tensors = Tensors::open("e3nn/linear_bias.safetensors");
    assert_close("linear", &tensors.tensor("y").values, &host(&linear.forward(stored(&tensors, "x"))), 1e-10);

    let [in1, in2, out] = ["3x0e+2x1o+1x2e", "2x0e+1x1o", "4x0e+3x1o+2x2e+1x1e"].map(irreps);
    let mut product = TensorProductConfig::fully_connected(in1, in2, out).init(options).unwrap();
    let result = product.load_from(&mut store("fctp_basic")).unwrap();
    assert!(result.missing.is_empty() && result.applied.len() == 1, "{result}");
    let tensors = Tensors::open("e3nn/fctp_basic.safetensors");
    let z = product.forward(stored(&tensors, "x1"), stored(&tensors, "x2"));
    assert_close("product", &tensors.tensor("out").values, &host(&z), 1e-10);
}

#[test]
fn radial_networks() {
    let mut radial = RadialMlpConfig::new([4, 8, 8, 5], Nonlinearity::Silu).init((&Device::flex(), F64)).unwrap();
    let mut store = store("fully_connected_net").with_key_remapping(r"^param\.layer(\d+)\.weight", "layers.$1");
    let result = radial.load_from(&mut store).unwrap();
    assert!(result.missing.is_empty() && result.applied.len() == 3, "{result}");
    let tensors = Tensors::open("e3nn/fully_connected_net.safetensors");
    assert_close("radial", &tensors.tensor("y").values, &host(&radial.forward(stored(&tensors, "x"))), 1e-10);
}

/// A module as a user writes it, with the names of the fields of the one in Python.
#[derive(Module, Debug)]
struct Convolution {
    linear: IrrepsLinear,
    tp: TensorProduct,
}

#[test]
fn modules_keep_names_and_weights_of_other_sizes_are_refused() {
    let build = |copies: usize| {
        let [a, b] = [format!("{copies}x0e+2x1o"), "0e+1o".into()].map(|text| irreps(&text));
        Convolution {
            linear: IrrepsLinearConfig::new(a.clone(), a.clone()).init(&Device::flex()).unwrap(),
            tp: TensorProductConfig::fully_connected(a.clone(), b, a).init(&Device::flex()).unwrap(),
        }
    };
    let file = tempfile::NamedTempFile::new().unwrap();
    let mut written = build(3);
    written.linear.weight = written.linear.weight.map(|weight: Param<Tensor<1>>| weight.map(|w| w * 2.0));
    written.save_into(&mut SafetensorsStore::from_file(file.path()).overwrite(true)).unwrap();
    let names: Vec<String> = {
        let bytes = std::fs::read(file.path()).unwrap();
        let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        let mut names: Vec<String> = tensors.names().into_iter().map(|name| name.to_string()).collect();
        names.sort();
        names
    };
    assert_eq!(names, ["linear.weight", "tp.weight"]);
    let mut read = build(3);
    read.load_from(&mut SafetensorsStore::from_file(file.path())).unwrap();
    let weights = |module: &Convolution| {
        [&module.linear.weight, &module.tp.weight].map(|weight| host(&weight.as_ref().unwrap().val()))
    };
    assert_eq!(weights(&read), weights(&written));
    assert!(build(4).load_from(&mut SafetensorsStore::from_file(file.path())).is_err());
}
