//! Every option of se3-transformer-pytorch 0.9.0 whose meaning is the same here, against its outputs in f64.

#![cfg(feature = "flex")]

use std::path::PathBuf;

use burn::tensor::{Bool, DType, Device, Int, Tensor, TensorData};
use equi_layers::graph::{EdgeList, Graph};
use equi_layers::import::{SE3Checkpoint, StateDict};
use equi_layers::se3_transformer::{DenseInputs, Fibre, Keys, NodeInput, SE3Inputs, SE3TransformerConfig};

/// The reference rounds its bases to f32 (1e-8 relative), whatever the precision of the run; layers of norms add some of it up.
const TOLERANCE: f64 = 1e-6;

fn cases() -> Vec<(&'static str, SE3TransformerConfig)> {
    let base = || SE3TransformerConfig::new(3).with_heads(2).with_dim_head(2).with_depth(1).with_radial_hidden(4);
    let plain = || base().with_num_degrees(2).with_output_degrees(2);
    let bonds = || plain().with_attend_sparse_neighbors(true);
    let egnn = || base().with_num_degrees(2).with_use_egnn(true);
    vec![
        ("plain", plain().with_num_degrees(3).with_depth(2)),
        ("one_head", plain().with_heads(1).with_dim_head(3)),
        (
            "fibres",
            base()
                .with_hidden_fibre(Some(Fibre::new([(0, 4), (1, 3), (2, 2)])))
                .with_output_fibre(Some(Fibre::new([(0, 3), (2, 2)])))
                .with_input_fibre(Some(Fibre::new([(0, 3), (1, 2)]))),
        ),
        (
            "norms",
            plain().with_norm_out(true).with_reduce_dim_out(true).with_num_conv_layers(2).with_norm_gated_scale(true),
        ),
        ("radius", plain().with_valid_radius(1.5)),
        ("nearest", plain().with_num_neighbors(Some(3))),
        ("causal", plain().with_causal(true)),
        ("mask", plain()),
        ("neighbor_mask", plain().with_num_neighbors(Some(6))),
        ("bonds", bonds().with_num_neighbors(Some(0)).with_num_adj_degrees(Some(2)).with_adj_dim(2)),
        (
            "bonds_and_nearest",
            bonds().with_num_neighbors(Some(2)).with_num_adj_degrees(Some(1)).with_adj_dim(2).with_edge_dim(2),
        ),
        ("tokens", plain().with_num_tokens(Some(5)).with_num_positions(Some(9))),
        ("edge_tokens", plain().with_num_edge_tokens(Some(4)).with_edge_dim(2)),
        ("fourier", plain().with_edge_dim(2).with_fourier_encode_dist(true).with_rel_dist_num_fourier_features(3)),
        ("null", plain().with_use_null_kv(true)),
        ("global", plain().with_global_feats_dim(Some(3)).with_use_null_kv(true)),
        ("linear_keys", plain().with_keys(Keys::Linear)),
        ("tied_keys", plain().with_keys(Keys::Tied)),
        ("one_key", plain().with_one_headed_key_values(true).with_use_null_kv(true).with_global_feats_dim(Some(3))),
        ("one_linear_key", plain().with_one_headed_key_values(true).with_keys(Keys::Linear)),
        (
            "egnn",
            egnn()
                .with_egnn_feedforward(true)
                .with_egnn_weights_clamp_value(Some(0.5))
                .with_edge_dim(2)
                .with_num_degrees(3)
                .with_depth(2),
        ),
        (
            "egnn_out",
            egnn().with_egnn_hidden_dim(5).with_output_fibre(Some(Fibre::new([(0, 2), (1, 3)]))).with_norm_out(true),
        ),
    ]
}

/// The inputs of a case.
struct Inputs {
    tensors: StateDict,
    device: Device,
}

impl Inputs {
    fn float<const D: usize>(&self, name: &str) -> Option<Tensor<D>> {
        Some(Tensor::from_data(self.tensors.get(name)?.clone().convert_dtype(DType::F64), (&self.device, DType::F64)))
    }

    fn bool<const D: usize>(&self, name: &str) -> Option<Tensor<D, Bool>> {
        Some(self.float(name)?.greater_scalar(0.5))
    }

    fn int<const D: usize>(&self, name: &str) -> Option<Tensor<D, Int>> {
        let data = self.tensors.get(name)?;
        let values: Vec<i64> = data.iter().collect();
        Some(Tensor::from_data(TensorData::new(values, data.shape().clone()), &self.device))
    }

    fn dense(&self) -> DenseInputs {
        let coors = self.float("coors").unwrap();
        let mut dense = match self.int("tokens") {
            Some(tokens) => DenseInputs::of_tokens(tokens, coors),
            None => DenseInputs::new(self.float("feats").unwrap(), coors),
        };
        dense.features.extend(self.float("vectors").map(|vectors| (1, vectors)));
        dense.mask = self.bool("mask");
        dense.adjacency = self.bool("adj_mat");
        dense.edges = self.float("edges");
        dense.edge_tokens = self.int("edge_tokens");
        dense.neighbour_mask = self.bool("neighbor_mask");
        dense.global = self.float("global_feats");
        dense
    }
}

#[test]
fn every_option_is_that_of_the_reference() {
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/se3_options/cases.safetensors");
    let all = StateDict::open(file).unwrap();
    // Checkpointing computes again in the backward pass, and must not change the values.
    for device in [Device::flex(), Device::flex().autodiff().gradient_checkpointing()] {
        for (name, config) in cases() {
            let part = |what: &str| all.part(&format!("{name}.{what}")).unwrap();
            let checkpoint = SE3Checkpoint::new(part("state"), all.part("bases").unwrap());
            let model = checkpoint.to_model(&config, (&device, DType::F64)).unwrap_or_else(|e| panic!("{name}: {e}"));
            let inputs = Inputs { tensors: part("in"), device: device.clone() };
            let output = model.forward_dense(inputs.dense()).unwrap();
            // The reference computes on where there is no node; ours is zero there.
            let real: Option<Vec<f64>> = inputs.tensors.get("mask").map(|mask| mask.iter().collect());
            for (degree, _) in config.fibre_out().iter() {
                let pooled = output.pooled().degree(degree).unwrap().into_data();
                let nodes = output.degree(degree).unwrap().into_data();
                for (what, ours) in [("pooled", pooled), ("out", nodes)] {
                    let theirs: Vec<f64> = part(what).get(&degree.to_string()).unwrap().iter().collect();
                    let ours: Vec<f64> = ours.iter().collect();
                    assert_eq!(ours.len(), theirs.len(), "{name}, {what} of degree {degree}");
                    let masked = |at: usize| match &real {
                        Some(real) if what == "out" => real[at * real.len() / theirs.len()] == 0.0,
                        _ => false,
                    };
                    let pairs = ours.iter().zip(&theirs).enumerate().filter(|&(at, _)| !masked(at));
                    let (wrong, whole) = pairs.fold((0.0, 0.0), |(wrong, whole), (_, (ours, theirs))| {
                        (wrong + (ours - theirs).powi(2), whole + theirs * theirs)
                    });
                    let error = f64::sqrt(wrong / whole);
                    assert!(error < TOLERANCE, "{name}, {what} of degree {degree}: {error:e}");
                    println!("{name}, {what} of degree {degree}: {error:e}");
                }
            }
        }
    }
}

#[test]
fn the_layers_one_after_the_other_are_the_network() {
    let device = Device::flex();
    let graph = Graph::batch(&[EdgeList::complete(4).unwrap(), EdgeList::complete(2).unwrap()], &device).unwrap();
    let values = |count: usize, step: f64| (0..count).map(|i| (step * i as f64).sin()).collect::<Vec<f64>>();
    let float = |count: usize, columns: usize, step: f64| {
        let data = TensorData::new(values(count * columns, step), [count, columns]);
        Tensor::<2>::from_data(data, (&device, DType::F64))
    };
    let plain = SE3TransformerConfig::new(3)
        .with_heads(2)
        .with_dim_head(2)
        .with_depth(2)
        .with_num_degrees(2)
        .with_output_degrees(2)
        .with_radial_hidden(4)
        .with_seed(Some(3));
    let cases = [
        (plain.clone(), 6),
        (plain.clone().with_feed_forward(false).with_edge_dim(2), 4),
        (plain.clone().with_num_conv_layers(2).with_norm_out(true).with_reduce_dim_out(true), 10),
        (plain.clone().with_num_tokens(Some(5)).with_num_positions(Some(9)), 6),
        (plain.with_output_degrees(1).with_use_egnn(true), 3),
    ];
    for (config, count) in cases {
        let network = config.init((&device, DType::F64)).unwrap();
        let inputs = |nodes: NodeInput| {
            let inputs = SE3Inputs::new(nodes, float(6, 3, 0.7));
            if config.edge_dim > 0 { inputs.with_edges(float(graph.edges(), 2, 0.3)) } else { inputs }
        };
        let nodes: NodeInput = match config.num_tokens {
            Some(_) => Tensor::<1, Int>::from_data([0, 4, 1, 3, 2, 2], &device).into(),
            None => float(6, 3, 1.1).into(),
        };
        let layers = network.layers();
        assert_eq!(layers.len(), count, "{layers:?}");
        assert_eq!(layers[count - 1].1, config.fibre_out());
        let mut carried: NodeInput = nodes.clone();
        for (place, (name, fibre)) in layers.iter().enumerate() {
            let after = network.forward_layer(place, &graph, inputs(carried));
            assert_eq!(&after.fibre(), fibre, "{name}");
            carried = after.into();
        }
        let NodeInput::Features(end) = carried else { unreachable!("features come out of a layer") };
        let whole = network.forward(&graph, inputs(nodes));
        // The same operations on the same numbers.
        assert_eq!(end.into_irreps().into_data(), whole.into_irreps().into_data());
    }
}

#[test]
#[should_panic(expected = "there is no layer 9")]
fn layers_that_are_not_there_are_refused() {
    let device = Device::flex();
    let graph = Graph::new(&EdgeList::complete(2).unwrap(), &device).unwrap();
    let network = SE3TransformerConfig::new(2).with_heads(1).with_dim_head(2).with_depth(1).init(&device).unwrap();
    let inputs = SE3Inputs::new(Tensor::<2>::ones([2, 2], &device), Tensor::ones([2, 3], &device));
    network.forward_layer(9, &graph, inputs);
}
