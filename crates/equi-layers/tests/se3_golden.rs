//! The SE(3)-Transformer against se3-transformer-pytorch 0.9.0, in f64.

#![cfg(feature = "flex")]

#[path = "../../../tests/golden/mod.rs"]
mod golden;

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::{Bool, DType, Device, Gradients, Tensor, TensorData};
use equi_layers::import::{SE3Checkpoint, StateDict};
use equi_layers::se3_transformer::{DenseInputs, Keys, SE3Transformer, SE3TransformerConfig};
use golden::{Array, Tensors};
use std::path::PathBuf;

/// The reference rounds its bases to f32 (1e-8 relative), whatever the precision of the run.
const TOLERANCE: f64 = 2e-7;

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/se3_transformer")
}

fn case(name: &str) -> SE3TransformerConfig {
    match name {
        "deg2_depth1" => SE3TransformerConfig::new(8)
            .with_heads(2)
            .with_dim_head(4)
            .with_depth(1)
            .with_num_degrees(2)
            .with_output_degrees(2)
            .with_num_neighbors(Some(9)),
        "deg3_depth2_small_radial" => SE3TransformerConfig::new(8)
            .with_heads(2)
            .with_dim_head(4)
            .with_depth(2)
            .with_num_degrees(3)
            .with_output_degrees(2)
            .with_num_neighbors(Some(6))
            .with_valid_radius(2.5)
            .with_radial_hidden(16),
        "deg2_masked_edges" => SE3TransformerConfig::new(6)
            .with_heads(2)
            .with_dim_head(4)
            .with_depth(1)
            .with_num_degrees(2)
            .with_output_degrees(2)
            .with_num_neighbors(Some(5))
            .with_attend_self(false)
            .with_edge_dim(3)
            .with_reduce_dim_out(true)
            .with_radial_hidden(16),
        _ => panic!("no case {name}"),
    }
}

fn model(name: &str, device: &Device) -> SE3Transformer {
    let checkpoint =
        SE3Checkpoint::open(folder().join(format!("{name}.state.safetensors")), folder().join("basis_Q.safetensors"));
    checkpoint.unwrap().to_model(&case(name), (device, DType::F64)).unwrap()
}

fn upload<const D: usize>(array: &Array, device: &Device) -> Tensor<D> {
    Tensor::from_data(TensorData::new(array.values.clone(), array.shape.clone()), (device, DType::F64))
}

/// Puts the gradient of every parameter in its place.
struct Derivatives<'a>(&'a Gradients);

impl ModuleMapper for Derivatives<'_> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let value = param.val();
        let gradient = value.grad(self.0).unwrap_or_else(|| value.inner().zeros_like());
        Param::initialized(param.id, gradient)
    }
}

#[test]
fn outputs_and_gradients_of_all_weights_are_those_of_the_reference() {
    let manifest = golden::manifest("se3_transformer/manifest.json");
    for name in ["deg2_depth1", "deg3_depth2_small_radial", "deg2_masked_edges"] {
        let device = Device::flex().autodiff();
        let io = Tensors::open(&format!("se3_transformer/{name}.io.safetensors"));
        let mut inputs = DenseInputs::new(upload(&io.tensor("feats"), &device), upload(&io.tensor("coors"), &device));
        let mask = io.get("mask");
        if let Some(mask) = &mask {
            inputs = inputs.with_mask(upload::<2>(mask, &device).greater_elem(0.5));
            // The reference takes the nearest of all places, and then leaves out those without a node: nodes beside padding have fewer
            // neighbours there. Ours takes the nearest nodes, unless it is told who they are.
            inputs = inputs.with_neighbour_mask(nearest(&io.tensor("coors"), 5, &device));
        }
        if let Some(edges) = io.get("edges") {
            inputs = inputs.with_edges(upload(&edges, &device));
        }
        let model = model(name, &device);
        let output = model.forward_dense(inputs).unwrap();
        let mut loss = Tensor::<1>::zeros([1], (&device, DType::F64));
        for degree in 0..2 {
            let wanted = io.tensor(&format!("out.{degree}"));
            let given = output.degree(degree).unwrap();
            // The reference computes on where there is no node; ours is zero there.
            let real = |values: Vec<f64>| -> Vec<f64> {
                let Some(mask) = &mask else { return values };
                let each = values.len() / mask.values.len();
                values
                    .chunks(each)
                    .zip(&mask.values)
                    .filter(|(_, real)| **real > 0.5)
                    .flat_map(|(v, _)| v.to_vec())
                    .collect()
            };
            let given_values = real(given.to_data().iter().collect());
            let wanted = Array { shape: Vec::new(), values: real(wanted.values) };
            let error = wanted.relative_error(&given_values);
            assert!(error < TOLERANCE, "{name}, degree {degree}: {error:e}");
            let cotangent = upload::<1>(&flat(io.tensor(&format!("cotangent.{degree}"))), &device);
            let shape = given.dims();
            let cotangent: Tensor<4> = cotangent.reshape(shape);
            loss = loss + (given * cotangent).sum();
        }
        if mask.is_some() {
            // Cotangents of the reference reach places without a node, whose outputs are none of ours.
            continue;
        }
        let gradients = model.map(&mut Derivatives(&loss.backward()));
        let ours = SE3Checkpoint::of_model(&gradients, bases()).unwrap();
        let case = manifest["cases"].as_array().unwrap().iter().find(|case| case["name"] == name).unwrap();
        let names = golden::strings(&case["config"]["parameter_names_for_grad_norms"]);
        let theirs = io.tensor("param_grad_norms").values;
        let largest = theirs.iter().fold(0.0_f64, |a, &b| a.max(b));
        assert_eq!(ours.state_dict().names().count(), names.len(), "{name}: parameters");
        for (key, wanted) in names.iter().zip(theirs) {
            let gradient = ours.state_dict().get(key).unwrap_or_else(|| panic!("{name}: no {key}"));
            let norm = gradient.iter::<f64>().map(|x| x * x).sum::<f64>().sqrt();
            let error = (norm - wanted).abs();
            assert!(error < 1e-6 * wanted + 1e-9 * largest, "{name}, {key}: the norm {norm} is not {wanted}");
        }
    }
}

fn bases() -> StateDict {
    StateDict::open(folder().join("basis_Q.safetensors")).unwrap()
}

#[test]
fn what_is_read_is_written() {
    for name in ["deg2_depth1", "deg3_depth2_small_radial", "deg2_masked_edges"] {
        let dict = StateDict::open(folder().join(format!("{name}.state.safetensors"))).unwrap();
        let model = SE3Checkpoint::new(dict.clone(), bases()).to_model(&case(name), &Device::flex()).unwrap();
        assert!(SE3Checkpoint::of_model(&model, bases()).unwrap().state_dict() == &dict, "{name}");
    }
}

#[test]
fn what_is_written_is_read() {
    let device = Device::flex();
    let config = || SE3TransformerConfig::new(3).with_heads(2).with_dim_head(2).with_radial_hidden(4);
    for config in [
        config().with_use_null_kv(true).with_norm_gated_scale(true).with_norm_out(true).with_num_conv_layers(1),
        config().with_one_headed_key_values(true).with_use_null_kv(true).with_global_feats_dim(Some(2)),
        config().with_keys(Keys::Linear).with_num_tokens(Some(4)).with_num_positions(Some(5)).with_reduce_dim_out(true),
        config().with_use_egnn(true).with_egnn_feedforward(true).with_num_edge_tokens(Some(3)).with_edge_dim(2),
    ] {
        let checkpoint = SE3Checkpoint::of_model(&config.init(&device).unwrap(), bases()).unwrap();
        let again = SE3Checkpoint::of_model(&checkpoint.to_model(&config, &device).unwrap(), bases()).unwrap();
        assert!(again.state_dict() == checkpoint.state_dict(), "{config}");
    }
}

/// True for the nearest places of every place.
fn nearest(positions: &Array, count: usize, device: &Device) -> Tensor<3, Bool> {
    let [batch, places] = [positions.shape[0], positions.shape[1]];
    let mut chosen = vec![false; batch * places * places];
    for graph in 0..batch {
        let at = |place: usize| &positions.values[(graph * places + place) * 3..][..3];
        for i in 0..places {
            let square = |j: usize| -> f64 { at(i).iter().zip(at(j)).map(|(a, b)| (a - b).powi(2)).sum() };
            let mut others: Vec<usize> = (0..places).filter(|&j| j != i).collect();
            others.sort_by(|&a, &b| square(a).total_cmp(&square(b)));
            others.truncate(count);
            others.into_iter().for_each(|j| chosen[(graph * places + i) * places + j] = true);
        }
    }
    Tensor::from_data(TensorData::new(chosen, [batch, places, places]), device)
}

fn flat(array: Array) -> Array {
    Array { shape: vec![array.values.len()], values: array.values }
}

#[test]
fn what_does_not_fit_is_listed() {
    let open = || {
        SE3Checkpoint::open(folder().join("deg2_masked_edges.state.safetensors"), folder().join("basis_Q.safetensors"))
            .unwrap()
    };
    let device = Device::flex();
    let error = open().to_model(&case("deg2_masked_edges").with_edge_dim(2), &device).unwrap_err().to_string();
    assert!(
        error.contains("misshaped  conv_in.kernel_unary.(0,0).rp.net.0.weight: expected [16, 3], found [16, 4]"),
        "{error}"
    );
    let error = open().to_model(&case("deg2_masked_edges").with_use_null_kv(true), &device).unwrap_err().to_string();
    assert!(error.contains("missing    net.blocks.0.0.attn.null_keys.0 [2, 4, 1]"), "{error}");
    let error =
        open().to_model(&case("deg2_masked_edges").with_rotary_position(true), &device).unwrap_err().to_string();
    assert!(error.contains("no rotation"), "{error}");
    let error = open().to_model(&case("deg2_masked_edges").with_num_degrees(5), &device).unwrap_err().to_string();
    assert!(error.contains("export all up to the highest degree"), "{error}");
}
