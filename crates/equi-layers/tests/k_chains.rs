//! k-chains (Joshi et al., On the Expressive Power of Geometric Graph Neural Networks, ICML 2023): k points in a row, and one more at
//! each end, on the same side of the row or on opposite sides. All angles and distances between neighbours are equal, so a network
//! must bring what it knows of one end to the other before it can tell the two apart.

#![cfg(feature = "flex")]

use burn::module::Param;
use burn::optim::{AdamConfig, GradientsParams};
use burn::tensor::{DType, Device, Tensor, TensorData};
use equi_core::ops::segment_sum;
use equi_layers::graph::{EdgeList, Egnn, EgnnConfig, Graph, Points};

/// The two chains with `k` inner points: which points are neighbours, and where all of them are.
fn chains(k: usize) -> (EdgeList, [Vec<[f64; 3]>; 2]) {
    let spacing = 1.0;
    let pairs = (0..=k).flat_map(|i| [(i, i + 1), (i + 1, i)]);
    let (receivers, senders) = pairs.unzip();
    let positions = [1.0, -1.0].map(|side| {
        let row = (0..k).map(|i| [0.0, spacing * i as f64, 0.0]);
        let last = [0.8 * side, spacing * (k - 1) as f64 + 0.6, 0.0];
        [[0.8, -0.6, 0.0]].into_iter().chain(row).chain([last]).collect()
    });
    (EdgeList::new(k + 2, receivers, senders).unwrap(), positions)
}

/// Both chains, in one batch.
fn batch(k: usize, device: &Device, dtype: DType) -> (Graph, Points) {
    let (edges, positions) = chains(k);
    let graph = Graph::batch([&edges, &edges], device).unwrap();
    let flat: Vec<f64> = positions.into_iter().flatten().flatten().collect();
    let positions = Tensor::from_data(TensorData::new(flat, [graph.nodes(), 3]).convert_dtype(dtype), (device, dtype));
    (graph.clone(), Points::new(Tensor::ones([graph.nodes(), 1], (device, dtype)), positions))
}

/// What the network says of either chain: the sum of the features over its points.
fn answers(egnn: &Egnn, graph: &Graph, points: Points) -> Tensor<2> {
    segment_sum(egnn.forward(graph, points, None).0, graph.members())
}

/// A network whose positions move from the start, `stir` times as far as usual: what they bring must not be hidden.
fn network(layers: usize, seed: u64, stir: f64, device: &Device, dtype: DType) -> Egnn {
    let config = EgnnConfig::new(1, 16).with_out_features(1).with_layers(layers).with_seed(seed);
    let mut egnn = config.init((device, dtype)).unwrap();
    for layer in &mut egnn.layers {
        let weight = &mut layer.coordinates.as_mut().unwrap().output.weight;
        *weight = Param::from_tensor((weight.val() * stir).detach());
    }
    egnn
}

/// An end moves the point it hangs on off the row, that one the next: after `l` layers, `l` points on either side. When what is off
/// the row has come from both ends to one point or to two neighbours, the next layer sees it in a distance.
///
/// The bound for networks that send vectors, `k / 2 + 1`, is one less for odd `k`: they compare both ends at the point in the
/// middle, an EGNN only along an edge.
fn needed_depth(k: usize) -> usize {
    k.div_ceil(2) + 1
}

#[test]
fn an_egnn_cannot_tell_chains_apart_below_the_needed_depth_and_can_at_it() {
    let (device, dtype) = (Device::flex(), DType::F64);
    for k in 2..=6 {
        let (graph, points) = batch(k, &device, dtype);
        for layers in 1..=needed_depth(k) + 1 {
            let egnn = network(layers, 1, 2000.0, &device, dtype);
            let answers: Vec<f64> = answers(&egnn, &graph, points.clone()).into_data().iter().collect();
            let difference = (answers[0] - answers[1]).abs() / answers[0].abs();
            // Below, nothing but roundings; at it, what six small shifts leave of each other.
            let told = difference > 1e-12;
            assert!(told || difference < 1e-14, "k = {k}, {layers} layers: {difference:e}");
            assert_eq!(told, layers >= needed_depth(k), "k = {k}, {layers} layers: {difference:e}");
        }
    }
}

#[test]
fn a_trained_egnn_tells_chains_apart_above_the_needed_depth_and_learns_nothing_below() {
    let (k, dtype) = (4, DType::F32);
    let device = Device::flex().autodiff();
    let (graph, points) = batch(k, &device, dtype);
    let targets = Tensor::<2>::from_data([[1.0], [-1.0]], (&device, dtype));
    let trained = |layers, seed| {
        let mut egnn = network(layers, seed, 3000.0, &device, dtype);
        let mut adam = AdamConfig::new().init();
        let mut last = f64::INFINITY;
        for _ in 0..1000 {
            let loss = (answers(&egnn, &graph, points.clone()) - targets.clone()).powi_scalar(2).mean();
            last = loss.clone().into_scalar::<f64>();
            if last < 0.01 {
                break;
            }
            let gradients = GradientsParams::from_grads(loss.backward(), &egnn);
            egnn = adam.step(3e-3, egnn, gradients);
        }
        last
    };
    // Equal answers leave a loss of 1 at best.
    let below = trained(needed_depth(k) - 1, 0);
    assert!(below > 0.999, "{below}");
    // Little of one end arrives at the other, so training does not always find it: one success in a few attempts.
    assert!((0..8).any(|seed| trained(needed_depth(k) + 1, seed) < 0.01));
}
