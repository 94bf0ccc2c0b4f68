//! EGNN: finite where others are not, and what it refuses. See `egnn_golden.rs` and `egnn_equivariance.rs` for the rest.

#![cfg(feature = "flex")]

use burn::tensor::{DType, Device, Tensor, TensorData};
use equi_layers::LayerError;
use equi_layers::graph::{
    EdgeList, Egnn, EgnnConfig, Graph, LinearMotion, Normalization, Points, RadialFieldConfig, RawGnnConfig,
};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

fn normal(shape: [usize; 2], seed: u64, device: &Device, dtype: DType) -> Tensor<2> {
    let values: Vec<f64> =
        StandardNormal.sample_iter(ChaCha8Rng::seed_from_u64(seed)).take(shape.iter().product()).collect();
    Tensor::from_data(TensorData::new(values, shape).convert_dtype(dtype), (device, dtype))
}

/// Largest absolute value of outputs and input gradients; infinite if one is not finite.
fn largest(tensors: impl IntoIterator<Item = Tensor<2>>) -> f64 {
    let values = tensors.into_iter().flat_map(|tensor| tensor.into_data().iter::<f64>().collect::<Vec<_>>());
    values.fold(0.0, |largest: f64, value| if value.is_finite() { largest.max(value.abs()) } else { f64::INFINITY })
}

/// Outputs and gradients of the inputs.
fn run(egnn: &Egnn, graph: &Graph, features: Tensor<2>, positions: Tensor<2>) -> Vec<Tensor<2>> {
    let (features, positions) = (features.require_grad(), positions.require_grad());
    let (h, x) = egnn.forward(graph, Points::new(features.clone(), positions.clone()), None);
    let gradients = (h.clone().powi_scalar(2).sum() + x.clone().powi_scalar(2).sum()).backward();
    let gradient = |input: &Tensor<2>| input.grad(&gradients).expect("every input has a gradient");
    vec![h, x, gradient(&features), gradient(&positions)]
}

const NORMALIZATIONS: [Normalization; 3] = [Normalization::None, Normalization::Unit, Normalization::Shifted];

#[test]
fn thirty_two_layers_stay_finite() {
    let device = Device::flex().autodiff();
    for normalization in NORMALIZATIONS {
        for (nodes, attention) in [(5, false), (30, true)] {
            let graph = Graph::new(&EdgeList::complete(nodes).unwrap(), &device).unwrap();
            let config = EgnnConfig::new(3, 32)
                .with_layers(32)
                .with_out_features(2)
                .with_attention(attention)
                .with_normalization(normalization)
                .with_seed(1);
            let egnn = config.init(&device).unwrap();
            let inputs = [normal([nodes, 3], 2, &device, DType::F32), normal([nodes, 3], 3, &device, DType::F32)];
            let [features, positions] = inputs;
            let largest = largest(run(&egnn, &graph, features, positions));
            assert!(largest < 1e6, "{normalization:?}, {nodes} nodes: {largest}");
        }
    }
}

#[test]
fn coincident_nodes_have_finite_gradients_and_do_not_push_each_other() {
    let device = Device::flex().autodiff();
    for normalization in NORMALIZATIONS {
        let graph = Graph::new(&EdgeList::complete(4).unwrap(), &device).unwrap();
        let egnn = EgnnConfig::new(1, 8).with_normalization(normalization).with_seed(0).init(&device).unwrap();
        let same = normal([1, 3], 1, &device, DType::F32).repeat_dim(0, 4);
        let outputs = run(&egnn, &graph, normal([4, 1], 2, &device, DType::F32), same.clone());
        assert!(largest(outputs.clone()) < 1e3, "{normalization:?}");
        let moved = largest([outputs[1].clone() - same]);
        assert_eq!(moved, 0.0, "{normalization:?}: all differences are zero, so nothing moves");
    }
}

#[test]
fn options_that_mean_nothing_are_refused() {
    let device = Device::flex();
    let message = |config: EgnnConfig| match config.init(&device) {
        Err(LayerError::InvalidConfig(message)) => message,
        other => panic!("{other:?}"),
    };
    assert!(message(EgnnConfig::new(0, 8)).contains("in_features"));
    assert!(message(EgnnConfig::new(1, 0)).contains("hidden"));
    assert!(message(EgnnConfig::new(1, 8).with_layers(0)).contains("layers"));
    assert!(message(EgnnConfig::new(1, 8).with_out_features(0)).contains("out_features"));
    assert!(message(EgnnConfig::new(1, 8).with_coordinate_clamp(Some(-1.0))).contains("coordinate_clamp"));
    assert!(message(EgnnConfig::new(1, 8).with_velocity().invariant()).contains("velocity"));
    assert!(RawGnnConfig::new(1, 0).init(&device).is_err());
    assert!(RadialFieldConfig::new(8).with_layers(0).init(&device).is_err());
}

/// Points that are not in a line, with velocities.
fn moving(device: &Device) -> (Graph, Points) {
    let graph = Graph::batch(&[EdgeList::complete(3).unwrap(), EdgeList::complete(2).unwrap()], device).unwrap();
    let numbers = |seed: usize| -> Tensor<2> {
        let values: Vec<f32> = (0..15).map(|i| ((i * i * 7 + seed * i + seed) % 101) as f32 / 50.0 - 1.0).collect();
        Tensor::from_data(TensorData::new(values, [5, 3]), device)
    };
    (graph, Points::new(Tensor::ones([5, 1], device), numbers(3)).with_velocities(numbers(4)))
}

fn size(tensor: Tensor<2>) -> f64 {
    largest([tensor])
}

#[test]
fn shifts_are_new_less_old_positions() {
    let device = Device::flex();
    let (graph, points) = moving(&device);
    let still = Points { velocities: None, ..points.clone() };
    let config = EgnnConfig::new(1, 8).with_layers(3).with_seed(1);
    for (config, points) in [(config.clone().with_velocity(), points.clone()), (config.clone(), still.clone())] {
        let egnn = config.init(&device).unwrap();
        let shifts = egnn.shifts(&graph, points.clone(), None);
        let moved = egnn.positions(&graph, points.clone(), None) - points.positions.clone();
        // Positions of size 1 are rounded to f32 in every layer.
        assert!(size(shifts.clone() - moved) < 1e-6 && size(shifts) > 1e-5);
        // Far away the shifts are those of the same differences, which are rounded to a millionth.
        let far = Points { positions: points.positions.clone() + 64.0, ..points.clone() };
        let (here, there) = (egnn.shifts(&graph, points, None), egnn.shifts(&graph, far, None));
        assert!(size(here.clone() - there) < 1e-4 * size(here));
    }
    let egnn = config.invariant().init(&device).unwrap();
    assert_eq!(size(egnn.shifts(&graph, still, None)), 0.0);
}

#[test]
fn a_network_on_coordinates_gives_features_and_does_without_velocities() {
    let device = Device::flex();
    let (graph, points) = moving(&device);
    let config = RawGnnConfig::new(1, 8).with_seed(1);
    let shift = config.init(&device).unwrap();
    let moved = shift.positions(&graph, points.clone(), None) - shift.forward(&graph, points.clone(), None);
    assert!(size(moved - points.positions.clone()) < 1e-6);
    let features = config.clone().with_out_features(2).without_velocities().init(&device).unwrap();
    let still = Points { velocities: None, ..points };
    assert_eq!(features.forward(&graph, still, None).dims(), [5, 2]);
    assert!(config.clone().with_out_features(0).init(&device).is_err());
    // Configurations from before there were these options.
    let old: RawGnnConfig = serde_json::from_str(
        r#"{"in_features": 1, "hidden": 8, "edge_features": 0, "layers": 4, "dimensions": 3, "seed": 1}"#,
    )
    .unwrap();
    assert_eq!(old, config);
}

#[test]
#[should_panic(expected = "this network takes features of edges [6, 2]; none were given")]
fn missing_edge_features_are_named() {
    let device = Device::flex();
    let graph = Graph::new(&EdgeList::complete(3).unwrap(), &device).unwrap();
    let egnn = EgnnConfig::new(1, 8).with_edge_features(2).init(&device).unwrap();
    egnn.forward(&graph, Points::new(Tensor::ones([3, 1], &device), Tensor::zeros([3, 3], &device)), None);
}

#[test]
#[should_panic(expected = "this network takes velocities [3, 3]; none were given")]
fn a_layer_used_alone_names_what_is_missing() {
    let device = Device::flex();
    let graph = Graph::new(&EdgeList::complete(3).unwrap(), &device).unwrap();
    let layer = EgnnConfig::new(4, 8).with_velocity().init_layer(4, &device).unwrap();
    layer.forward(&graph, Points::new(Tensor::ones([3, 4], &device), Tensor::zeros([3, 3], &device)), None);
}

#[test]
fn positions_alone_are_those_of_the_whole_forward_pass() {
    let device = Device::flex();
    let graph = Graph::new(&EdgeList::complete(5).unwrap(), &device).unwrap();
    let egnn = EgnnConfig::new(1, 8).with_velocity().with_seed(3).init(&device).unwrap();
    let points = Points::new(normal([5, 1], 1, &device, DType::F32), normal([5, 3], 2, &device, DType::F32))
        .with_velocities(normal([5, 3], 3, &device, DType::F32));
    let whole = egnn.forward(&graph, points.clone(), None).1;
    assert_eq!(largest([whole - egnn.positions(&graph, points, None)]), 0.0);
}

#[test]
fn linear_motion_finds_the_time_of_motion_without_forces() {
    let device = Device::flex();
    let positions = normal([50, 3], 1, &device, DType::F64);
    let velocities = normal([50, 3], 2, &device, DType::F64);
    let targets = positions.clone() + velocities.clone() * 0.7;
    let fitted = LinearMotion::fit(positions.clone(), velocities.clone(), targets.clone());
    assert!((fitted.time.val().into_scalar::<f64>() - 0.7).abs() < 1e-12);
    let points = Points::new(positions.clone(), positions.clone()).with_velocities(velocities);
    assert!(largest([fitted.positions(points) - targets]) < 1e-12);
    let still = LinearMotion::fit(positions.clone(), positions.zeros_like(), positions.clone());
    assert_eq!(still.time.val().into_scalar::<f64>(), 0.0);
}

#[test]
fn the_same_seed_gives_the_same_weights_in_both_precisions() {
    let device = Device::flex();
    let weights = |dtype| {
        let egnn = EgnnConfig::new(2, 8).with_seed(5).init((&device, dtype)).unwrap();
        egnn.layers[3].node_output.weight.val().into_data().iter::<f64>().collect::<Vec<_>>()
    };
    let (single, double) = (weights(DType::F32), weights(DType::F64));
    assert!(single.iter().zip(&double).all(|(a, b)| (a - b).abs() < 1e-7 && *a == f64::from(*b as f32)));
}
