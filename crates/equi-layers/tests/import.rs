//! Checkpoints of the reference implementation: read, recognised, refused, and computed with.
#![cfg(feature = "flex")]

#[path = "../../../tests/golden/mod.rs"]
mod golden;

use std::fs;
use std::path::PathBuf;

use burn::tensor::{DType, Device, Tensor, TensorData};
use equi_layers::graph::{Aggregation, EdgeList, Egnn, EgnnConfig, Graph, Normalization, Points};
use equi_layers::import::{Difference, EgnnCheckpoint, EgnnOptions, ImportError, Qm9Egnn, StateDict, Variant, inspect};
use golden::{Array, Tensors, cases};
use proptest::prelude::*;
use serde_json::Value;

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden").join(name)
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

/// The cases with a state dict.
fn models() -> Vec<Value> {
    cases("egnn/manifest.json", |case| {
        case["files"].as_object().unwrap().keys().any(|file| file.ends_with(".state.pt"))
    })
}

fn name(case: &Value) -> &str {
    case["name"].as_str().unwrap()
}

fn checkpoint(case: &Value) -> EgnnCheckpoint {
    EgnnCheckpoint::open(path(&format!("egnn/{}.state.pt", name(case)))).unwrap()
}

/// The options as the case states them, and the reference's defaults elsewhere.
fn options(case: &Value) -> EgnnOptions {
    let stated = |option: &str| case["config"].get(option).map(|value| value == true);
    let velocity = name(case).starts_with("vel");
    let residual = if velocity { Some(stated("recurrent") == Some(true)) } else { stated("residual") };
    let normalize = stated(if velocity { "norm_diff" } else { "normalize" });
    EgnnOptions {
        residual,
        normalize: normalize == Some(true),
        tanh: stated("tanh") == Some(true),
        sum_coordinates: case["config"].get("coords_agg").is_some_and(|value| value == "sum"),
        silu: false,
    }
}

fn tensor(array: &Array, dtype: DType, device: &Device) -> Tensor<2> {
    let data = TensorData::new(array.values.clone(), array.shape.clone()).convert_dtype(dtype);
    Tensor::from_data(data, (device, dtype))
}

fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f64> {
    tensor.into_data().iter().collect()
}

/// Inputs of a case in a precision.
struct Inputs {
    io: Tensors,
    dtype: DType,
    device: Device,
}

impl Inputs {
    fn new(file: &str, dtype: DType) -> Self {
        Self { io: Tensors::open(file), dtype, device: Device::flex() }
    }

    fn tensor(&self, key: &str) -> Option<Tensor<2>> {
        self.io.get(key).map(|array| tensor(&array, self.dtype, &self.device))
    }

    /// Graphs of the given numbers of nodes; edges are numbered through all of them.
    fn graph(&self, sizes: &[usize]) -> Graph {
        let index = self.io.tensor("in.edge_index");
        let ends: Vec<usize> = index.values.iter().map(|value| *value as usize).collect();
        let (receivers, senders) = ends.split_at(ends.len() / 2);
        let mut first = 0;
        let lists: Vec<_> = sizes
            .iter()
            .map(|nodes| {
                let inside = receivers.iter().zip(senders).filter(|(i, _)| (first..first + nodes).contains(*i));
                let (receivers, senders) = inside.map(|(i, j)| (i - first, j - first)).unzip();
                first += nodes;
                EdgeList::new(*nodes, receivers, senders).unwrap()
            })
            .collect();
        Graph::batch(&lists, &self.device).unwrap()
    }

    fn run(&self, egnn: &Egnn) -> (Vec<f64>, Vec<f64>) {
        let positions = self.tensor("in.x").unwrap();
        let graph = self.graph(&[positions.dims()[0]]);
        let mut points = Points::new(self.tensor("in.h").unwrap(), positions);
        points.velocities = self.tensor("in.vel");
        let edges = self.tensor("in.edge_attr").map(|edges| graph.arrange(edges));
        let (features, positions) = egnn.forward(&graph, points, edges);
        (values(features), values(positions))
    }

    /// Largest relative error of the outputs that the reference has.
    fn error(&self, egnn: &Egnn) -> f64 {
        let (features, positions) = self.run(egnn);
        let error = |key: &str, ours: &[f64]| self.io.get(key).map_or(0.0, |array| array.relative_error(ours));
        assert!(self.io.get("out.x").is_some());
        error("out.h", &features).max(error("out.x", &positions))
    }
}

fn io(case: &Value) -> String {
    format!("egnn/{}.io.safetensors", name(case))
}

#[test]
fn both_formats_hold_the_same() {
    for case in models() {
        let file = |format: &str| StateDict::open(path(&format!("egnn/{}.state.{format}", name(&case)))).unwrap();
        let [pt, safetensors] = [file("pt"), file("safetensors")];
        assert_eq!(pt, safetensors, "{}", name(&case));
        assert!(pt.len() >= 11);
    }
}

/// zip 9.8.1 on `clean_normalize.state.pt`: `Invalid Central Directory header`.
#[test]
fn an_archive_whose_first_entry_is_as_long_as_its_zip64_records_is_read() {
    let bytes = fs::read(path("egnn/clean_normalize.state.pt")).unwrap();
    let records = bytes.len() - 98;
    assert!(bytes[records..].starts_with(b"PK\x06\x06"), "written by PyTorch, with ZIP64 records");
    let directory = bytes.windows(4).position(|window| window == b"PK\x01\x02").unwrap();
    assert!(bytes[directory + 76..].starts_with(b"PK\x01\x02"), "the second entry is 76 bytes after the first");
    assert!(StateDict::open(path("egnn/clean_normalize.state.pt")).is_ok());
    // Whatever else is wrong with it is still told, under its own name.
    let folder = folder();
    let file = folder.path().join("broken.pt");
    for (place, value) in [(directory, b'X'), (directory / 2, 0xff), (records, b'X')] {
        let mut broken = bytes.clone();
        broken[place] = value;
        fs::write(&file, broken).unwrap();
        let message = StateDict::open(&file).unwrap_err().to_string();
        assert!(message.contains("broken.pt is damaged"), "{message}");
    }
}

#[test]
fn keys_and_shapes_tell_the_options() {
    for case in models() {
        let architecture = *checkpoint(&case).architecture();
        let number = |option: &str| case["config"].get(option).and_then(Value::as_u64).map(|value| value as usize);
        let variant = match name(&case) {
            name if name.starts_with("clean") => Variant::Clean,
            name if name.starts_with("vel") => Variant::Velocity,
            _ => Variant::Layer,
        };
        assert_eq!(architecture.variant, variant);
        assert_eq!(architecture.layers, number("n_layers").unwrap_or(1));
        assert_eq!(Some(architecture.hidden), number("hidden_nf"));
        assert_eq!(Some(architecture.in_features), number("in_node_nf").or(number("input_nf")));
        assert_eq!(architecture.out_features, number("out_node_nf").or(number("output_nf")));
        assert_eq!(Some(architecture.edge_features), number("in_edge_nf").or(number("edges_in_d")));
        assert_eq!(architecture.node_attributes, 0);
        assert_eq!(architecture.attention, case["config"].get("attention").is_some_and(|value| value == true));
        let values: usize = checkpoint(&case).state_dict().iter().map(|(_, data)| data.num_elements()).sum();
        assert_eq!(architecture.parameters(), values);
    }
}

/// Round-off of a few matrix products, in units of the last place: the networks have up to 4 layers of width 32.
const F64: f64 = 1e-12;
const F32: f64 = 1e-5;

#[test]
fn outputs_are_the_reference_s() {
    for case in models() {
        let checkpoint = checkpoint(&case);
        let config = checkpoint.config(&options(&case)).unwrap();
        let precision = [(DType::F64, F64), (DType::F32, F32)];
        for (dtype, tolerance) in precision {
            // This case was computed in f32.
            let tolerance = if name(&case).ends_with("f32") { F32 } else { tolerance };
            let inputs = Inputs::new(&io(&case), dtype);
            let egnn = checkpoint.to_egnn(&config, (&inputs.device, dtype)).unwrap();
            let error = inputs.error(&egnn);
            assert!(error < tolerance, "{} {dtype:?}: {error:e}", name(&case));
        }
    }
}

#[test]
fn wrong_options_give_other_outputs() {
    // Otherwise the agreement above would say little.
    let all = models();
    let case = all.iter().find(|case| name(case) == "clean_all_noresidual").unwrap();
    let checkpoint = checkpoint(case);
    let inputs = Inputs::new(&io(case), DType::F64);
    let right = options(case);
    for wrong in [
        right.with_residual(true),
        right.with_normalize(false),
        right.with_tanh(false),
        right.with_sum_coordinates(true),
    ] {
        let config = checkpoint.config(&wrong).unwrap();
        let egnn = checkpoint.to_egnn(&config, (&inputs.device, DType::F64)).unwrap();
        assert!(inputs.error(&egnn) > 1e-3, "{wrong:?}");
    }
}

#[test]
fn positions_without_velocities() {
    let checkpoint = EgnnCheckpoint::open(path("egnn_import/positions.state.pt")).unwrap();
    assert_eq!(checkpoint.architecture().variant, Variant::Positions);
    let unstated = checkpoint.config(&EgnnOptions::new()).unwrap_err().to_string();
    assert!(unstated.contains("LeakyReLU(0.2)"), "{unstated}");
    let config = checkpoint.config(&EgnnOptions::new().with_silu(true)).unwrap();
    let inputs = Inputs::new("egnn_import/positions.io.safetensors", DType::F64);
    let egnn = checkpoint.to_egnn(&config, (&inputs.device, DType::F64)).unwrap();
    let error = inputs.error(&egnn);
    assert!(error < F64, "{error:e}");
}

#[test]
fn qm9_graphs_give_the_reference_s_numbers() {
    for name in ["qm9_attention", "qm9_node_attr"] {
        let checkpoint = EgnnCheckpoint::open(path(&format!("egnn_import/{name}.state.pt"))).unwrap();
        let config = checkpoint.config(&EgnnOptions::new()).unwrap();
        assert!(!config.update_positions);
        let file = format!("egnn_import/{name}.io.safetensors");
        for (dtype, tolerance) in [(DType::F64, F64), (DType::F32, F32)] {
            let inputs = Inputs::new(&file, dtype);
            let model = checkpoint.to_qm9(&config, (&inputs.device, dtype)).unwrap();
            let sizes: Vec<usize> = inputs.io.tensor("in.sizes").values.iter().map(|value| *value as usize).collect();
            let graph = inputs.graph(&sizes);
            let edges = inputs.tensor("in.edge_attr").map(|edges| graph.arrange(edges));
            let forward = |model: &Qm9Egnn| {
                let (features, positions) = (inputs.tensor("in.h").unwrap(), inputs.tensor("in.x").unwrap());
                values(model.forward(&graph, features, positions, edges.clone()))
            };
            let error = inputs.io.tensor("out").relative_error(&forward(&model));
            assert!(error < tolerance, "{name} {dtype:?}: {error:e}");

            let file = folder();
            let file = file.path().join("model.safetensors");
            model.save(&file).unwrap();
            let loaded = Qm9Egnn::load(&file, &inputs.device).unwrap();
            assert_eq!(forward(&loaded), forward(&model));
            let refused = Egnn::load(&file, &inputs.device).unwrap_err().to_string();
            assert!(refused.contains("Qm9Egnn::load"), "{refused}");
        }
        let refused = checkpoint.to_egnn(&config, &Device::flex()).unwrap_err();
        assert!(matches!(refused, ImportError::Unsupported(_)), "{refused}");
    }
}

#[test]
fn every_weight_comes_back_bit_for_bit() {
    for case in models() {
        let checkpoint = checkpoint(&case);
        let config = checkpoint.config(&options(&case)).unwrap();
        let egnn = checkpoint.to_egnn(&config, (&Device::flex(), checkpoint.dtype())).unwrap();
        assert_eq!(&checkpoint.architecture().state_dict(&egnn), checkpoint.state_dict(), "{}", name(&case));
    }
}

#[test]
fn saved_models_load_bit_for_bit() {
    let folder = folder();
    for case in models() {
        let checkpoint = checkpoint(&case);
        let config = checkpoint.config(&options(&case)).unwrap();
        let egnn = checkpoint.to_egnn(&config, (&Device::flex(), checkpoint.dtype())).unwrap();
        let file = folder.path().join(format!("{}.safetensors", name(&case)));
        egnn.save(&file).unwrap();
        let bytes = fs::read(&file).unwrap();
        let loaded = Egnn::load(&file, &Device::flex()).unwrap();
        assert_eq!(loaded.config(), &config);
        assert_eq!(inspect(&file).unwrap().config, config);
        let architecture = checkpoint.architecture();
        assert_eq!(architecture.state_dict(&loaded), architecture.state_dict(&egnn));
        let inputs = Inputs::new(&io(&case), checkpoint.dtype());
        assert_eq!(inputs.run(&loaded), inputs.run(&egnn));

        loaded.save(&file).unwrap();
        assert_eq!(fs::read(&file).unwrap(), bytes, "equal models give equal files");
        let refused = loaded.save_new(&file).unwrap_err();
        assert!(matches!(refused, ImportError::Write { .. }), "{refused}");
        assert!(matches!(EgnnCheckpoint::open(&file), Err(ImportError::Unsupported(_))));
    }
    // Nothing unfinished is left behind.
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), models().len());
}

#[test]
fn a_model_loads_in_another_precision() {
    let case = &models()[0];
    let checkpoint = checkpoint(case);
    let config = checkpoint.config(&options(case)).unwrap();
    let folder = folder();
    let file = folder.path().join("model.safetensors");
    checkpoint.to_egnn(&config, (&Device::flex(), DType::F64)).unwrap().save(&file).unwrap();
    let inputs = Inputs::new(&io(case), DType::F32);
    let egnn = Egnn::load(&file, (&inputs.device, DType::F32)).unwrap();
    assert_eq!(egnn.embedding.weight.val().dtype(), DType::F32);
    assert!(inputs.error(&egnn) < F32);
}

#[test]
fn training_goes_on_from_a_loaded_model() {
    let case = &models()[0];
    let checkpoint = checkpoint(case);
    let config = checkpoint.config(&options(case)).unwrap();
    let folder = folder();
    let file = folder.path().join("model.safetensors");
    checkpoint.to_egnn(&config, (&Device::flex(), DType::F64)).unwrap().save(&file).unwrap();
    let mut inputs = Inputs::new(&io(case), DType::F64);
    inputs.device = Device::flex().autodiff();
    let imported = checkpoint.to_egnn(&config, (&inputs.device, DType::F64)).unwrap();
    for egnn in [imported, Egnn::load(&file, &inputs.device).unwrap()] {
        let (h, x) = (inputs.tensor("in.h").unwrap(), inputs.tensor("in.x").unwrap());
        let graph = inputs.graph(&[x.dims()[0]]);
        let (features, positions) = egnn.forward(&graph, Points::new(h, x), None);
        let gradients = (features.sum() + positions.powi_scalar(2).sum()).backward();
        let ours = egnn.layers[1].edge_output.weight.val().grad(&gradients).expect("a gradient");
        let theirs = inputs.io.tensor("grad.param.gcl_1.edge_mlp.2.weight");
        let error = theirs.relative_error(&values(ours.transpose()));
        assert!(error < 1e-10, "{error:e}");
    }
}

/// What a file of `egnn_import` holds, once the prefix is gone.
fn imported(name: &str) -> StateDict {
    EgnnCheckpoint::open(path(&format!("egnn_import/{name}"))).unwrap().state_dict().clone()
}

#[test]
fn whatever_torch_save_wrote_is_read() {
    let expected = imported("data_parallel.safetensors");
    assert_eq!(expected.len(), 32);
    for name in ["data_parallel.pt", "legacy.pt", "whole_module.pt", "strided.pt"] {
        assert_eq!(imported(name), expected, "{name}");
    }
    // Relative distances of the numbers of each format.
    for (name, distance) in [("bfloat16.pt", 2f64.powi(-8)), ("float16.pt", 2f64.powi(-11))] {
        let rounded = imported(name);
        assert!(rounded.names().eq(expected.names()));
        for (key, data) in rounded.iter() {
            let exact = expected.get(key).unwrap();
            assert_eq!(data.shape(), exact.shape());
            for (a, b) in data.iter::<f64>().zip(exact.iter::<f64>()) {
                assert!((a - b).abs() <= distance * b.abs() + 1e-7, "{name} {key}: {a} for {b}");
            }
        }
        let checkpoint = EgnnCheckpoint::open(path(&format!("egnn_import/{name}"))).unwrap();
        assert_eq!(checkpoint.dtype(), DType::F32);
    }
}

#[test]
fn a_dictionary_is_opened_at_a_key() {
    let file = path("egnn_import/data_parallel.pt");
    assert_eq!(StateDict::open_at(&file, "state_dict").unwrap(), StateDict::open(&file).unwrap());
    let message = StateDict::open_at(&file, "ema").unwrap_err().to_string();
    for key in ["`ema`", "`args`", "`epoch`", "`optimizer`", "`state_dict`"] {
        assert!(message.contains(key), "no {key} in {message}");
    }
    assert_eq!(StateDict::open(&file).unwrap().part("module").unwrap(), imported("data_parallel.safetensors"));
}

/// The sound state dict that the following spoil.
fn sound() -> StateDict {
    imported("data_parallel.safetensors")
}

fn changed(change: impl Fn(&str, &TensorData) -> Option<(String, TensorData)>) -> StateDict {
    sound().iter().filter_map(|(key, data)| change(key, data)).collect()
}

fn differences(dict: StateDict) -> Vec<Difference> {
    match EgnnCheckpoint::new(dict) {
        Err(ImportError::Architecture(differences)) => differences.differences,
        Err(other) => panic!("{other}"),
        Ok(checkpoint) => panic!("accepted as {}", checkpoint.architecture()),
    }
}

/// Ways to spoil one tensor of a state dict.
#[derive(Clone, Copy, Debug)]
enum Fault {
    Drop,
    Rename,
    Reshape,
    Integers,
    NaN,
}

impl Fault {
    /// The spoiled tensor, and the differences that are to be found.
    fn apply(self, key: &str, data: &TensorData) -> (Option<(String, TensorData)>, Vec<Difference>) {
        let shape = data.shape().to_vec();
        let missing = || Difference::Missing { key: key.to_owned(), shape: shape.clone() };
        let kept = |data: TensorData| Some((key.to_owned(), data));
        match self {
            Self::Drop => (None, vec![missing()]),
            Self::Rename => {
                let renamed = format!("{key}_old");
                let unknown = Difference::Unknown { key: renamed.clone(), shape: shape.clone(), dtype: data.dtype() };
                (Some((renamed, data.clone())), vec![missing(), unknown])
            }
            Self::Reshape => {
                let found = [&shape[..], &[1]].concat();
                let data = TensorData::new(data.iter::<f32>().collect::<Vec<_>>(), found.clone());
                (kept(data), vec![Difference::Misshaped { key: key.to_owned(), expected: shape, found }])
            }
            Self::Integers => {
                let data = TensorData::new(vec![1i64; data.num_elements()], shape);
                (kept(data), vec![Difference::NotFloat { key: key.to_owned(), dtype: DType::I64 }])
            }
            Self::NaN => {
                let mut values: Vec<f32> = data.iter().collect();
                values[0] = f32::NAN;
                let of = values.len();
                (
                    kept(TensorData::new(values, shape)),
                    vec![Difference::NotFinite { key: key.to_owned(), values: 1, of }],
                )
            }
        }
    }
}

proptest! {
    /// Whatever is wrong with up to eight tensors, exactly that is reported, all at once.
    #[test]
    fn every_difference_is_found_and_no_other(
        faults in prop::collection::btree_map(
            0..32usize,
            prop::sample::select(vec![Fault::Drop, Fault::Rename, Fault::Reshape, Fault::Integers, Fault::NaN]),
            1..8,
        )
    ) {
        let (mut tensors, mut expected) = (Vec::new(), Vec::new());
        for (place, (key, data)) in sound().iter().enumerate() {
            match faults.get(&place) {
                None => tensors.push((key.to_owned(), data.clone())),
                Some(fault) => {
                    let (tensor, differences) = fault.apply(key, data);
                    tensors.extend(tensor);
                    expected.extend(differences);
                }
            }
        }
        let found = differences(tensors.into_iter().collect());
        prop_assert_eq!(found.len(), expected.len(), "{:?}", found);
        for difference in expected {
            // Where no layer has this weight, nothing tells how many features an edge has, nor its shape.
            let untold = |found: &Difference| match (found, &difference) {
                (Difference::Missing { key, .. }, Difference::Missing { key: expected, .. }) => {
                    key == expected && key.ends_with("edge_mlp.0.weight")
                }
                _ => false,
            };
            let is_found = found.contains(&difference) || found.iter().any(untold);
            prop_assert!(is_found, "{:?} is not in {:?}", difference, found);
        }
    }
}

#[test]
fn the_message_names_everything_that_differs() {
    let dict = changed(|key, data| match key {
        "gcl_1.node_mlp.2.bias" => None,
        "gcl_0.coord_mlp.2.weight" => Some((key.to_owned(), TensorData::new(vec![0f32; 12], [2, 6]))),
        _ => Some((format!("module.{key}").replace("module.embedding", "embedding"), data.clone())),
    });
    let message = EgnnCheckpoint::new(dict).unwrap_err().to_string();
    for part in [
        "EGNN_vel of n_body_system/model.py",
        "missing    module.gcl_1.node_mlp.2.bias [6]",
        "unknown    gcl_0.coord_mlp.2.weight [2, 6] F32",
    ] {
        assert!(message.contains(part), "no `{part}` in:\n{message}");
    }
}

#[test]
fn one_wrong_width_is_blamed_on_its_own_tensor() {
    let dict = changed(|key, data| {
        let wide = TensorData::new(vec![0f32; 6 * 16], [6, 16]);
        Some((key.to_owned(), if key == "gcl_0.edge_mlp.0.weight" { wide } else { data.clone() }))
    });
    let expected =
        Difference::Misshaped { key: "gcl_0.edge_mlp.0.weight".into(), expected: vec![6, 15], found: vec![6, 16] };
    // With two layers there is no majority; the smaller of the widths counts.
    assert_eq!(differences(dict), [expected]);
}

#[test]
fn other_architectures_say_what_differs() {
    let message = |name: &str| EgnnCheckpoint::open(path(&format!("egnn_import/{name}"))).unwrap_err().to_string();
    let mlp = message("mlp.pt");
    for part in ["an EGNN, which has keys such as", "4 differences", "unknown    0.weight [5, 3] F32", "2.bias [2]"] {
        assert!(mlp.contains(part), "no `{part}` in:\n{mlp}");
    }
    let gnn = message("gnn.pt");
    for part in
        ["missing    embedding.weight", "unknown    decoder.0.weight", "GNN of n_body_system/model.py, which is not"]
    {
        assert!(gnn.contains(part), "no `{part}` in:\n{gnn}");
    }
}

#[test]
fn a_part_of_a_larger_model_is_taken_when_asked_for() {
    let mut tensors: Vec<_> = sound().iter().map(|(key, data)| (format!("encoder.{key}"), data.clone())).collect();
    tensors.push(("head.weight".into(), TensorData::new(vec![0f32; 4], [2, 2])));
    let dict: StateDict = tensors.into_iter().collect();
    let message = EgnnCheckpoint::new(dict.clone()).unwrap_err().to_string();
    for part in ["1 difference", "unknown    head.weight [2, 2] F32", "--part encoder"] {
        assert!(message.contains(part), "no `{part}` in:\n{message}");
    }
    assert!(EgnnCheckpoint::new(dict.part("encoder").unwrap()).is_ok());
    let message = dict.part("decoder").unwrap_err().to_string();
    assert!(message.contains("`decoder.`") && message.contains("`head`"), "{message}");

    let twice = ["a", "b"]
        .iter()
        .flat_map(|part| sound().iter().map(|(key, data)| (format!("{part}.{key}"), data.clone())).collect::<Vec<_>>());
    let message = EgnnCheckpoint::new(twice.collect()).unwrap_err().to_string();
    assert!(message.contains("several EGNNs, under `a`, `b`"), "{message}");
}

#[test]
fn what_no_state_dict_tells_has_to_be_stated() {
    let velocity = EgnnCheckpoint::new(sound()).unwrap();
    let message = velocity.config(&EgnnOptions::new()).unwrap_err();
    assert!(matches!(message, ImportError::Unstated(_)), "{message}");
    let residual = EgnnOptions::new().with_residual(true);
    let config = velocity.config(&residual).unwrap();
    assert!(config.residual && config.velocity && config.coordinate_clamp == Some(100.0));
    assert_eq!(velocity.config(&residual.with_normalize(true)).unwrap().normalization, Normalization::Shifted);
    assert!(velocity.config(&residual.with_sum_coordinates(true)).is_err());

    let clean = checkpoint(&models()[0]);
    let config = clean.config(&EgnnOptions::new()).unwrap();
    assert!(config.residual && !config.tanh && config.coordinate_clamp.is_none());
    assert_eq!(config.coordinate_aggregation, Aggregation::Mean);
    assert_eq!(config.normalization, Normalization::None);
    assert_eq!(clean.config(&EgnnOptions::new().with_normalize(true)).unwrap().normalization, Normalization::Unit);

    let other = EgnnConfig { layers: 9, ..config };
    let message = clean.to_egnn(&other, &Device::flex()).unwrap_err().to_string();
    assert!(message.contains("layers: 9"), "{message}");
}

/// A file with these bytes, opened.
fn opened(bytes: &[u8]) -> Result<StateDict, ImportError> {
    let folder = folder();
    let file = folder.path().join("weights.pt");
    fs::write(&file, bytes).unwrap();
    let _ = inspect(&file);
    StateDict::open(file)
}

fn refused(bytes: &[u8]) -> String {
    opened(bytes).expect_err("it is refused").to_string()
}

#[test]
fn files_of_another_kind_are_named() {
    assert!(refused(b"").contains("it is empty"));
    assert!(refused(b"version https://git-lfs.github.com/spec/v1\noid sha256:0").contains("git lfs pull"));
    assert!(refused(b"<!DOCTYPE html><html></html>").contains("web page"));
    assert!(refused(b"\x89PNG\r\n\x1a\n0000000000").contains("not a PyTorch checkpoint"));
    assert!(refused(b"{\"weights\": [1, 2, 3]}").contains("not a PyTorch checkpoint"));
    // `pickle.dumps({})` and `pickle.dumps([1])`.
    assert!(refused(b"\x80\x02}q\x00.").contains("no tensor in it"));
    assert!(refused(b"\x80\x02]q\x00K\x01a.").contains("dictionary"));
    let message = StateDict::open(std::env::temp_dir()).unwrap_err().to_string();
    assert!(message.contains("it is a folder"), "{message}");
    let message = StateDict::open("no/such/file.pt").unwrap_err().to_string();
    assert!(message.starts_with("cannot read no/such/file.pt"), "{message}");
    if cfg!(unix) {
        let message = StateDict::open("/dev/zero").unwrap_err().to_string();
        assert!(message.contains("not a regular file"), "{message}");
    }
}

fn with_header(header: &str, length: u64, data: &[u8]) -> Vec<u8> {
    [&length.to_le_bytes(), header.as_bytes(), data].concat()
}

#[test]
fn safetensors_that_contradict_themselves_are_damaged() {
    let file = |header: &str, data: &[u8]| with_header(header, header.len() as u64, data);
    let one = |dtype: &str, shape: &str, end: u64| {
        format!("{{\"a\":{{\"dtype\":\"{dtype}\",\"shape\":{shape},\"data_offsets\":[0,{end}]}}}}")
    };
    assert!(opened(&file(&one("F32", "[2]", 8), &[0; 8])).is_ok());
    for bytes in [
        file(&one("F32", "[2]", 8), &[0; 7]),
        file(&one("F32", "[2]", 8), &[0; 9]),
        file(&one("F32", "[3]", 8), &[0; 8]),
        file(&one("F32", "[4294967296, 4294967296, 4294967296]", 8), &[0; 8]),
        file(&one("F99", "[2]", 8), &[0; 8]),
        file("{\"a\":1}", &[]),
        with_header("{\"a\":1}", u64::MAX, &[]),
        with_header("{\"a\":1}", 99_999_999, &[]),
    ] {
        let message = refused(&bytes);
        assert!(message.contains("damaged"), "{message}");
    }
    let message = refused(&file(&one("C64", "[1]", 8), &[0; 8]));
    assert!(message.contains("`a`") && message.contains("float32"), "{message}");
    assert!(refused(&file("{}", &[])).contains("no tensor in it"));
    // An axis of any size, in a tensor without values, sizes no network.
    let shape = "[9223372036854775807, 0]";
    let keys = ["embedding.bias", "gcl_0.edge_mlp.2.weight", "gcl_0.edge_mlp.0.weight"];
    let entries = keys.map(|key| format!("\"{key}\":{{\"dtype\":\"F32\",\"shape\":{shape},\"data_offsets\":[0,0]}}"));
    let dict = opened(&file(&format!("{{{}}}", entries.join(",")), &[])).unwrap();
    assert!(matches!(EgnnCheckpoint::new(dict), Err(ImportError::Architecture(_))));
}

#[test]
fn saved_files_are_checked() {
    let case = &models()[0];
    let checkpoint = checkpoint(case);
    let config = checkpoint.config(&options(case)).unwrap();
    let folder = folder();
    let file = folder.path().join("model.safetensors");
    checkpoint.to_egnn(&config, (&Device::flex(), DType::F64)).unwrap().save(&file).unwrap();
    let bytes = fs::read(&file).unwrap();
    let (length, rest) = bytes.split_at(8);
    let length = u64::from_le_bytes(length.try_into().unwrap()) as usize;
    let (header, data) = rest.split_at(length);
    let header = String::from_utf8(header.to_vec()).unwrap();
    let reloaded = |from: &str, to: &str| {
        let header = header.replace(from, to);
        assert_ne!(header, String::from_utf8(rest[..length].to_vec()).unwrap(), "{from} is in the header");
        fs::write(&file, with_header(&header, header.len() as u64, data)).unwrap();
        Egnn::load(&file, &Device::flex()).unwrap_err().to_string()
    };
    for (from, to, words) in [
        ("\\\"format\\\":1", "\\\"format\\\":7", "format 7"),
        ("\\\"hidden\\\":16", "\\\"hidden\\\":1000000000", "more parameters"),
        ("\\\"layers\\\":2", "\\\"layers\\\":1", "unknown    layers.1.edge_output.weight [16, 16] F64"),
        ("\\\"hidden\\\":16", "\\\"hidden\\\":\\\"x\\\"", "the entry `equi` of its header"),
        ("\\\"tanh\\\":false", "\\\"tanh\\\":false,\\\"new\\\":1", "unknown field `new`"),
        ("\"equi\"", "\"else\"", "equi convert"),
        ("layers.0.edge_distance", "layers.0.edge_Distance", "missing    layers.0.edge_distance [1, 16]"),
    ] {
        let message = reloaded(from, to);
        assert!(message.contains(words), "no `{words}` in: {message}");
    }
}

/// Files to damage: of every container and format.
fn specimens() -> Vec<Vec<u8>> {
    [
        "egnn_import/data_parallel.pt",
        "egnn_import/legacy.pt",
        "egnn_import/whole_module.pt",
        "egnn_import/data_parallel.safetensors",
    ]
    .map(|name| fs::read(path(name)).unwrap())
    .to_vec()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// A file that was cut off, or of which bytes were changed, is read or refused; nothing panics.
    #[test]
    fn damage_never_panics(
        specimen in 0..4usize,
        cut in prop::option::of(0.0..1.0f64),
        changes in prop::collection::vec((0.0..1.0f64, any::<u8>()), 0..24),
        head in any::<bool>(),
    ) {
        let mut bytes = specimens().swap_remove(specimen);
        if let Some(cut) = cut {
            bytes.truncate((bytes.len() as f64 * cut) as usize);
        }
        // Headers and pickles are where the decisions are.
        let reach = if head { bytes.len().min(2048) } else { bytes.len() };
        for (place, value) in changes {
            if reach > 0 {
                bytes[(reach as f64 * place) as usize] = value;
            }
        }
        if let Ok(dict) = opened(&bytes) {
            let _ = EgnnCheckpoint::new(dict);
        }
    }

    /// Nor do bytes that never were a file, however they begin.
    #[test]
    fn noise_never_panics(start in 0..5usize, noise in prop::collection::vec(any::<u8>(), 0..512)) {
        let starts: [&[u8]; 5] = [b"", b"PK\x03\x04", b"\x80\x02", b"\x20\0\0\0\0\0\0\0{", b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."];
        if let Ok(dict) = opened(&[starts[start], &noise].concat()) {
            let _ = EgnnCheckpoint::new(dict);
        }
    }
}

#[test]
fn no_truncation_is_accepted() {
    for bytes in specimens() {
        for length in (0..bytes.len()).step_by(97) {
            assert!(opened(&bytes[..length]).is_err(), "{length} of {} bytes", bytes.len());
        }
    }
}
