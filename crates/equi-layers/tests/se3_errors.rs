//! An SE(3)-Transformer names what does not fit: options and tensors, with what to do about it.

#[path = "common/se3_transformer.rs"]
mod se3_transformer;

use burn::tensor::{DType, Device, Tensor};
use equi_layers::graph::{EdgeList, Graph};
use equi_layers::se3_transformer::{DenseInputs, Fibre, Keys, SE3Inputs, SE3TransformerConfig};
use se3_transformer::float;

#[test]
fn options_that_make_no_sense_are_named() {
    let plain = || SE3TransformerConfig::new(4);
    let message = |config: SE3TransformerConfig| config.init(&Device::default()).unwrap_err().to_string();
    for (config, parts) in [
        (SE3TransformerConfig::new(0), ["dim is 0", "at least 1"]),
        (plain().with_heads(0), ["heads is 0", "at least 1"]),
        (plain().with_num_degrees(0), ["hidden fibre is empty", "give it a channel"]),
        (plain().with_output_fibre(Some(Fibre::default())), ["output fibre is empty", "give it a channel"]),
        (plain().with_num_tokens(Some(3)).with_input_fibre(Some(Fibre::new([(1, 2)]))), ["num_tokens", "2x1"]),
        (plain().with_use_egnn(true).with_hidden_fibre(Some(Fibre::new([(1, 2)]))), ["use_egnn", "degree 0"]),
        (plain().with_use_egnn(true).with_rotary_position(true), ["do not attend", "leave out"]),
        (plain().with_dim_head(3).with_rotary_position(true), ["dim_head is 3", "multiple of 2"]),
        (
            plain().with_dim_head(6).with_rotary_position(true).with_rotary_rel_dist(true),
            ["dim_head is 6", "multiple of 4"],
        ),
        (plain().with_use_egnn(true).with_keys(Keys::Tied), ["keys has no use here", "leave it out"]),
        (plain().with_use_egnn(true).with_attend_self(false), ["attend_self has no use here", "leave it out"]),
        (plain().with_egnn_feedforward(true), ["egnn_feedforward has no use here", "leave it out"]),
        (
            plain().with_dim_in(Some(3)).with_input_fibre(Some(Fibre::new([(0, 2)]))),
            ["dim_in has no use here", "leave it out"],
        ),
        (plain().with_num_edge_tokens(Some(3)), ["num_edge_tokens", "edge_dim"]),
        (plain().with_num_adj_degrees(Some(2)), ["num_adj_degrees", "attend_sparse_neighbors"]),
        (plain().with_max_sparse_neighbors(Some(2)), ["max_sparse_neighbors", "attend_sparse_neighbors"]),
        (plain().with_num_neighbors(Some(0)), ["num_neighbors is 0", "attend_sparse_neighbors"]),
        (plain().with_valid_radius(-1.0), ["valid_radius is -1", "positive"]),
        (plain().with_valid_radius(f64::NAN), ["valid_radius is NaN", "positive"]),
        (
            plain().with_fourier_encode_dist(true).with_rel_dist_num_fourier_features(0),
            ["rel_dist_num_fourier_features", "at least 1"],
        ),
        (
            plain().with_use_egnn(true).with_egnn_weights_clamp_value(Some(-1.0)),
            ["egnn_weights_clamp_value is -1", "positive"],
        ),
    ] {
        let message = message(config);
        assert!(parts.iter().all(|part| message.contains(part)), "{message}");
    }
}

#[test]
fn tensors_that_do_not_fit_are_named() {
    let device = Device::default();
    let network = SE3TransformerConfig::new(4).init(&device).unwrap();
    let zeros = |shape: [usize; 3]| Tensor::<3>::zeros(shape, &device);
    let message = |inputs: DenseInputs| network.forward_dense(inputs).unwrap_err().to_string();
    assert!(message(DenseInputs::new(zeros([2, 5, 4]), zeros([2, 6, 3]))).contains("features must begin with [2, 6]"));
    assert!(message(DenseInputs::new(zeros([2, 5, 4]), zeros([2, 5, 2]))).contains("positions are [batch, places, 3]"));
    let fine = || DenseInputs::new(zeros([2, 5, 4]), zeros([2, 5, 3]));
    let mask = Tensor::<2>::ones([2, 4], &device).greater_elem(0.5);
    assert!(message(fine().with_mask(mask)).contains("the mask must begin with [2, 5]"));
    let unused = zeros([2, 5, 5]).greater_elem(0.5);
    assert!(message(fine().with_adjacency(unused)).contains("no option uses the adjacency"));
    let bonds = zeros([2, 5, 4]).greater_elem(0.5);
    assert!(message(fine().with_adjacency(bonds)).contains("the adjacency must begin with [2, 5, 5]"));
    for number in [f64::NAN, f64::INFINITY] {
        let positions = float(&[number; 30], [2, 5, 3], &device, DType::F32);
        assert!(message(DenseInputs::new(zeros([2, 5, 4]), positions)).contains("positions must be finite"));
    }
    let places = SE3TransformerConfig::new(4).with_num_positions(Some(4)).init(&device).unwrap();
    assert!(places.forward_dense(fine()).unwrap_err().to_string().contains("5 places, and num_positions is 4"));
    let sparse = SE3TransformerConfig::new(4).with_attend_sparse_neighbors(true).init(&device).unwrap();
    assert!(sparse.forward_dense(fine()).unwrap_err().to_string().contains("give the adjacency"));
}

#[test]
#[should_panic(expected = "a graph has 5 nodes, and num_positions is 4: raise it, or give the sequence")]
fn more_nodes_than_places_are_named() {
    let device = Device::default();
    let network = SE3TransformerConfig::new(4).with_num_positions(Some(4)).init(&device).unwrap();
    let graph = Graph::new(&EdgeList::complete(5).unwrap(), &device).unwrap();
    network.forward(&graph, SE3Inputs::new(Tensor::<2>::ones([5, 4], &device), Tensor::zeros([5, 3], &device)));
}

#[test]
#[should_panic(expected = "this network takes a fibre 4x0+2x1 of 3 nodes on this graph; it was given 4x0 of [3]")]
fn features_of_another_fibre_are_named() {
    let device = Device::default();
    let config = SE3TransformerConfig::new(4).with_input_fibre(Some(Fibre::new([(0, 4), (1, 2)])));
    let graph = Graph::new(&EdgeList::complete(3).unwrap(), &device).unwrap();
    let scalars = Tensor::<2>::ones([3, 4], &device);
    config.init(&device).unwrap().forward(&graph, SE3Inputs::new(scalars, Tensor::zeros([3, 3], &device)));
}
