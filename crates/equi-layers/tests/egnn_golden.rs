//! Every golden case of the reference implementation of EGNN: outputs, and the gradients of all inputs and parameters.
//!
//! Weights come through the importer, and gradients go back through it: a network whose weights are the gradients is written as the
//! reference's state dict, so that they are compared under the reference's keys.
#![cfg(feature = "flex")]

#[path = "../../../tests/golden/mod.rs"]
mod golden;

use std::collections::BTreeMap;
use std::path::PathBuf;

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::{DType, Device, Gradients, Tensor, TensorData};
use equi_layers::graph::{EdgeList, Graph, Points};
use equi_layers::import::{EgnnCheckpoint, EgnnOptions, StateDict};
use golden::{Array, Tensors, cases};
use serde_json::Value;

/// Precisions, with the largest error relative to the largest value of a tensor.
const PRECISIONS: [(DType, f64); 2] = [(DType::F64, 1e-10), (DType::F32, 1e-5)];

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden").join(name)
}

/// The network whose weights are the gradients of the loss.
struct Differentiate<'a>(&'a Gradients);

impl ModuleMapper for Differentiate<'_> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let value = param.val();
        let gradient = value.grad(self.0).unwrap_or_else(|| value.zeros_like());
        Param::initialized(param.id, gradient)
    }
}

/// Inputs and results of a case.
struct Case {
    /// The reference's.
    io: Tensors,
    names: Vec<String>,
    dtype: DType,
    device: Device,
    inputs: BTreeMap<String, Tensor<2>>,
    /// Ours, under the reference's names.
    results: BTreeMap<String, Vec<f64>>,
}

impl Case {
    fn open(file: &str, dtype: DType) -> Self {
        let names = StateDict::open(path(file)).unwrap().names().map(str::to_owned).collect();
        let device = Device::flex().autodiff();
        Self { io: Tensors::open(file), names, dtype, device, inputs: BTreeMap::new(), results: BTreeMap::new() }
    }

    fn tensor(&self, Array { values, shape }: Array) -> Tensor<2> {
        let data = TensorData::new(values, shape).convert_dtype(self.dtype);
        Tensor::from_data(data, (&self.device, self.dtype))
    }

    /// An input of the reference, to be differentiated by.
    fn input(&mut self, name: &str) -> Option<Tensor<2>> {
        let tensor = self.tensor(self.io.get(name)?).require_grad();
        self.inputs.insert(name.to_owned(), tensor.clone());
        Some(tensor)
    }

    /// Receivers and senders.
    fn ends(&self) -> (Vec<usize>, Vec<usize>) {
        let index: Vec<usize> = self.io.tensor("in.edge_index").values.iter().map(|value| *value as usize).collect();
        let (receivers, senders) = index.split_at(index.len() / 2);
        (receivers.to_vec(), senders.to_vec())
    }

    fn record(&mut self, name: &str, value: Vec<f64>) {
        assert!(self.results.insert(name.to_owned(), value).is_none(), "{name} twice");
    }

    /// Largest error of all results, and of which; every result of the reference must be among ours.
    fn worst(&self) -> (f64, &str) {
        let results = |name: &&String| name.starts_with("out") || name.starts_with("grad.") || *name == "loss";
        let errors = self.names.iter().filter(results).map(|name| {
            let ours = self.results.get(name).unwrap_or_else(|| panic!("we have no {name}"));
            (self.io.tensor(name).relative_error(ours), name.as_str())
        });
        errors.max_by(|a, b| a.0.total_cmp(&b.0)).expect("there are results")
    }

    fn record_gradients(&mut self, gradients: &Gradients, parameters: &StateDict) {
        for (name, input) in self.inputs.clone() {
            let gradient = input.grad(gradients).unwrap_or_else(|| input.zeros_like());
            self.record(&format!("grad.{name}"), values(gradient));
        }
        for (key, data) in parameters.iter() {
            self.record(&format!("grad.param.{key}"), data.iter().collect());
        }
    }
}

fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f64> {
    tensor.into_data().iter().collect()
}

/// The options as a case states them, and the reference's defaults elsewhere.
fn options(config: &Value, velocity: bool) -> EgnnOptions {
    let stated = |option: &str| config.get(option).map(|value| value == true);
    EgnnOptions {
        residual: if velocity { Some(stated("recurrent") == Some(true)) } else { stated("residual") },
        normalize: stated(if velocity { "norm_diff" } else { "normalize" }) == Some(true),
        tanh: stated("tanh") == Some(true),
        sum_coordinates: config.get("coords_agg").is_some_and(|value| value == "sum"),
        silu: false,
    }
}

/// Runs a case of the manifest with the weights of a file.
fn run(case: &Value, weights: &str, dtype: DType) -> Case {
    let name = case["name"].as_str().unwrap();
    let mut results = Case::open(&format!("egnn/{name}.io.safetensors"), dtype);
    let checkpoint = EgnnCheckpoint::open(path(&format!("egnn/{weights}"))).unwrap();
    let config = checkpoint.config(&options(&case["config"], name.starts_with("vel"))).unwrap();
    let egnn = checkpoint.to_egnn(&config, (&results.device, dtype)).unwrap();

    let [features, positions] = ["in.h", "in.x"].map(|name| results.input(name).expect("an input"));
    let (receivers, senders) = results.ends();
    let graph = Graph::new(&EdgeList::new(positions.dims()[0], receivers, senders).unwrap(), &results.device).unwrap();
    let edges = results.input("in.edge_attr").map(|edges| graph.arrange(edges));
    let mut points = Points::new(features, positions);
    points.velocities = results.input("in.vel");
    let (features, positions) = egnn.forward(&graph, points, edges);

    let mut loss = positions.clone().powi_scalar(2).sum();
    if results.io.get("out.h").is_some() {
        loss = loss + features.clone().sum();
    }
    let gradients = loss.backward();
    let parameters = checkpoint.architecture().state_dict(&egnn.map(&mut Differentiate(&gradients)));
    results.record_gradients(&gradients, &parameters);
    results.record("out.h", values(features));
    results.record("out.x", values(positions));
    results.record("loss", values(loss));
    results
}

#[test]
fn outputs_and_all_gradients_are_the_reference_s() {
    let all = cases("egnn/manifest.json", |case| !case["name"].as_str().unwrap().starts_with("nbody"));
    let mut gradients = 0;
    for case in &all {
        let name = case["name"].as_str().unwrap();
        for format in ["safetensors", "pt"] {
            for (dtype, tolerance) in PRECISIONS {
                // The reference computed this one in f32, so no other precision is nearer to it.
                let tolerance = if case["config"]["dtype"] == "float32" { PRECISIONS[1].1 } else { tolerance };
                let results = run(case, &format!("{name}.state.{format}"), dtype);
                let (error, tensor) = results.worst();
                assert!(error < tolerance, "{name}, {format}, {dtype:?}, {tensor}: {error:e}");
                gradients += results.names.iter().filter(|name| name.starts_with("grad.")).count();
            }
        }
    }
    assert_eq!(all.len(), 10);
    // What the files hold, twice in each precision.
    assert_eq!(gradients, 4 * 331);
}

/// Rows of a tensor that a mask keeps.
fn kept(Array { values, shape }: Array, mask: &[bool]) -> Array {
    let rows = values.chunks(shape[1]).zip(mask).filter(|(_, keep)| **keep);
    let values: Vec<f64> = rows.flat_map(|(row, _)| row.to_vec()).collect();
    Array { shape: vec![values.len() / shape[1], shape[1]], values }
}

/// Padded molecules and masks in the reference; graphs of their own sizes here.
#[test]
fn molecules_without_padding_are_the_reference_s_with_padding() {
    // In f32 the gradient of the bias of an attention is 9e-6 off: one number, and its terms cancel.
    for (dtype, tolerance) in [(DType::F64, 1e-10), (DType::F32, 2e-5)] {
        let mut results = Case::open("egnn_qm9/masked.io.safetensors", dtype);
        let mask = |name| -> Vec<bool> { results.io.tensor(name).values.iter().map(|value| *value == 1.0).collect() };
        let (nodes, edges) = (mask("in.node_mask"), mask("in.edge_mask"));
        let molecules = results.io.tensor("out").values.len();
        let padded = nodes.len() / molecules;
        let (receivers, senders) = results.ends();
        let lists: Vec<_> = (0..molecules)
            .map(|molecule| {
                let rows = molecule * padded..(molecule + 1) * padded;
                // The number of a row among those of its molecule that are there.
                let number = |row: usize| nodes[rows.start..row].iter().filter(|there| **there).count();
                let ends = receivers.iter().zip(&senders).zip(&edges);
                let ours = ends.filter(|((receiver, _), there)| **there && rows.contains(receiver));
                let (receivers, senders) = ours.map(|((i, j), _)| (number(*i), number(*j))).unzip();
                EdgeList::new(number(rows.end), receivers, senders).unwrap()
            })
            .collect();
        let graph = Graph::batch(&lists, &results.device).unwrap();

        let checkpoint = EgnnCheckpoint::open(path("egnn_qm9/masked.state.safetensors")).unwrap();
        let config = checkpoint.config(&EgnnOptions::new()).unwrap();
        let model = checkpoint.to_qm9(&config, (&results.device, dtype)).unwrap();
        let [features, positions] =
            ["in.h", "in.x"].map(|name| results.tensor(kept(results.io.tensor(name), &nodes)).require_grad());
        let out = model.forward(&graph, features.clone(), positions.clone(), None);
        let loss = out.clone().powi_scalar(2).sum();
        let gradients = loss.backward();
        let parameters = checkpoint.architecture().qm9_state_dict(&model.map(&mut Differentiate(&gradients)));
        results.record_gradients(&gradients, &parameters);
        results.record("out", values(out));
        results.record("loss", values(loss));
        for (name, input) in [("grad.in.h", features), ("grad.in.x", positions)] {
            // Padding has gradient zero there.
            let ours = values(input.grad(&gradients).expect("a gradient"));
            let width = ours.len() / graph.nodes();
            let mut rows = ours.chunks(width);
            let padded =
                nodes.iter().flat_map(|there| if *there { rows.next().unwrap().to_vec() } else { vec![0.0; width] });
            results.record(name, padded.collect());
        }
        let (error, tensor) = results.worst();
        assert!(error < tolerance, "{dtype:?}, {tensor}: {error:e}");
    }
}
