//! Graphs in batches and in dense tensors: what networks compute on them does not depend on how they are held.

#![cfg(feature = "flex")]

use burn::tensor::{Bool, DType, Device, Tensor, TensorData};
use equi_core::action::space::permute;
use equi_core::group::Permutation;
use equi_core::ops::{Segments, segment_max, segment_mean, segment_softmax, segment_sum};
use equi_layers::LayerError;
use equi_layers::graph::{
    Aggregation, EdgeList, Egnn, EgnnConfig, Graph, Normalization, Padding, PeriodicCell, Points,
};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

const FEATURES: usize = 3;
const ATTRIBUTES: usize = 2;
const EDGE_FEATURES: usize = 2;

/// A few hundred roundings in sums of another order.
const TOLERANCE: f64 = 1e-12;

fn tensor<const D: usize>(values: &[f64], shape: [usize; D], device: &Device) -> Tensor<D> {
    Tensor::from_data(TensorData::new(values.to_vec(), shape), (device, DType::F64))
}

fn mask<const D: usize>(values: &[bool], shape: [usize; D]) -> Tensor<D, Bool> {
    Tensor::from_data(TensorData::new(values.to_vec(), shape), &Device::flex())
}

fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f64> {
    tensor.into_data().convert::<f64>().try_into_vec().unwrap()
}

fn random(rng: &mut ChaCha8Rng, count: usize) -> Vec<f64> {
    (0..count).map(|_| rng.random_range(-1.0..1.0)).collect()
}

fn assert_close(what: &str, a: &[f64], b: &[f64]) {
    assert_eq!(a.len(), b.len(), "{what}");
    let scale = a.iter().fold(1.0_f64, |scale, x| scale.max(x.abs()));
    for (a, b) in a.iter().zip(b) {
        assert!((a - b).abs() <= TOLERANCE * scale, "{what}: {a} and {b} differ");
    }
}

/// A graph with all that a network can be given.
#[derive(Clone)]
struct Sample {
    edges: EdgeList,
    features: Vec<f64>,
    positions: Vec<f64>,
    velocities: Vec<f64>,
    attributes: Vec<f64>,
    edge_features: Vec<f64>,
}

impl Sample {
    fn with_edges(edges: EdgeList, rng: &mut ChaCha8Rng) -> Self {
        let nodes = edges.nodes();
        let mut positions = random(rng, nodes * 3);
        // Some nodes share a place.
        if nodes > 1 && rng.random_bool(0.2) {
            positions.copy_within(0..3, 3 * (nodes - 1));
        }
        Self {
            features: random(rng, nodes * FEATURES),
            positions,
            velocities: random(rng, nodes * 3),
            attributes: random(rng, nodes * ATTRIBUTES),
            edge_features: random(rng, edges.len() * EDGE_FEATURES),
            edges,
        }
    }

    /// Up to 8 nodes, up to 20 edges in any order, many of them twice; sometimes no nodes or edges.
    fn random(rng: &mut ChaCha8Rng) -> Self {
        let nodes = rng.random_range(0..=8);
        let count = if nodes < 2 { 0 } else { rng.random_range(0..=20_usize).saturating_sub(2) };
        let pairs = (0..count).map(|_| {
            let receiver = rng.random_range(0..nodes);
            (receiver, (receiver + rng.random_range(1..nodes)) % nodes)
        });
        let (receivers, senders) = pairs.unzip();
        Self::with_edges(EdgeList::new(nodes, receivers, senders).unwrap(), rng)
    }

    /// The same with the edges in another order.
    fn reordered(&self, order: &[usize]) -> Self {
        let pick = |ends: &[usize]| order.iter().map(|&edge| ends[edge]).collect();
        let edges =
            EdgeList::new(self.edges.nodes(), pick(self.edges.receivers()), pick(self.edges.senders())).unwrap();
        let rows = order.iter().flat_map(|&edge| &self.edge_features[edge * EDGE_FEATURES..][..EDGE_FEATURES]);
        Self { edges, edge_features: rows.copied().collect(), ..self.clone() }
    }
}

/// Options of every kind.
fn config(rng: &mut ChaCha8Rng) -> EgnnConfig {
    let mut yes = || rng.random_bool(0.5);
    let aggregation = |mean: bool| if mean { Aggregation::Mean } else { Aggregation::Sum };
    let mut config = EgnnConfig::new(FEATURES, 5)
        .with_layers(2)
        .with_attention(yes())
        .with_tanh(yes())
        .with_residual(yes())
        .with_message_aggregation(aggregation(yes()))
        .with_coordinate_aggregation(aggregation(yes()));
    config.velocity = yes();
    config.update_positions = config.velocity || yes();
    config.coordinate_clamp = yes().then_some(0.5);
    config.edge_features = if yes() { EDGE_FEATURES } else { 0 };
    config.node_attributes = if yes() { ATTRIBUTES } else { 0 };
    config.out_features = yes().then_some(2);
    config.normalization = match (yes(), yes()) {
        (true, _) => Normalization::None,
        (false, true) => Normalization::Unit,
        (false, false) => Normalization::Shifted,
    };
    config.with_seed(rng.random())
}

/// What a network gives for a graph: features and positions, and the gradients of a number made of them to everything it
/// was given.
type Outcome = Vec<(&'static str, Vec<f64>)>;

/// Runs a network on a batch of graphs; the outcome of every graph by itself.
fn run(egnn: &Egnn, samples: &[&Sample]) -> Vec<Outcome> {
    let device = Device::flex().autodiff();
    let graph = Graph::batch(samples.iter().map(|sample| &sample.edges), &device).unwrap();
    let all = |part: fn(&Sample) -> &[f64], rows: usize, width: usize| {
        let values: Vec<f64> = samples.iter().flat_map(|sample| part(sample)).copied().collect();
        tensor(&values, [rows, width], &device).require_grad()
    };
    let (nodes, edges, config) = (graph.nodes(), graph.edges(), egnn.config());
    let features = all(|s| &s.features, nodes, FEATURES);
    let positions = all(|s| &s.positions, nodes, 3);
    let velocities = all(|s| &s.velocities, nodes, 3);
    let attributes = all(|s| &s.attributes, nodes, ATTRIBUTES);
    let edge_features = all(|s| &s.edge_features, edges, EDGE_FEATURES);

    let mut points = Points::new(features.clone(), positions.clone());
    if config.velocity {
        points = points.with_velocities(velocities.clone());
    }
    if config.node_attributes > 0 {
        points = points.with_attributes(attributes.clone());
    }
    let arranged = (config.edge_features > 0).then(|| graph.arrange(edge_features.clone()));
    let (h, x) = egnn.forward(&graph, points, arranged);
    let loss = h.clone().powi_scalar(2).sum() + x.clone().powi_scalar(2).sum() + h.clone().sum();
    let gradients = loss.backward();
    let gradient = |input: &Tensor<2>| match input.grad(&gradients) {
        Some(gradient) => gradient,
        None => input.clone().inner().zeros_like(),
    };

    let of_nodes = [
        ("features", h.inner()),
        ("positions", x.inner()),
        ("gradient of features", gradient(&features)),
        ("gradient of positions", gradient(&positions)),
        ("gradient of velocities", gradient(&velocities)),
        ("gradient of attributes", gradient(&attributes)),
    ];
    let mut outcomes = vec![Outcome::new(); samples.len()];
    for (name, rows) in of_nodes {
        for (outcome, part) in outcomes.iter_mut().zip(graph.split(rows)) {
            outcome.push((name, values(part)));
        }
    }
    let of_edges = values(gradient(&edge_features));
    let mut rest = &of_edges[..];
    for (outcome, sample) in outcomes.iter_mut().zip(samples) {
        let (part, others) = rest.split_at(sample.edge_features.len());
        outcome.push(("gradient of features of edges", part.to_vec()));
        rest = others;
    }
    outcomes
}

fn assert_same(a: &Outcome, b: &Outcome) {
    for ((name, a), (_, b)) in a.iter().zip(b) {
        assert_close(name, a, b);
    }
}

fn assert_finite(outcome: &Outcome) {
    for (name, values) in outcome {
        assert!(values.iter().all(|x| x.is_finite()), "{name}: {values:?}");
    }
}

fn egnn(rng: &mut ChaCha8Rng) -> Egnn {
    config(rng).init((&Device::flex().autodiff(), DType::F64)).unwrap()
}

proptest! {
    // The same draws in every run: in one of some ten thousand a network makes roundings larger by a million, and a run should not hang on it.
    #![proptest_config(ProptestConfig { rng_seed: RngSeed::Fixed(1), ..ProptestConfig::with_cases(48) })]

    #[test]
    fn a_graph_is_the_same_alone_and_among_a_hundred(seed: u64) {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let egnn = egnn(&mut rng);
        let samples: Vec<Sample> = (0..100).map(|_| Sample::random(&mut rng)).collect();
        let together = run(&egnn, &samples.iter().collect::<Vec<_>>());
        for (sample, among) in samples.iter().zip(&together) {
            let alone = run(&egnn, &[sample]).remove(0);
            assert_finite(&alone);
            assert_same(&alone, among);
        }
    }

    #[test]
    fn the_order_of_edges_changes_nothing(seed: u64) {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let (egnn, sample) = (egnn(&mut rng), Sample::random(&mut rng));
        let mut order: Vec<(u64, usize)> = (0..sample.edges.len()).map(|edge| (rng.random(), edge)).collect();
        order.sort();
        let order: Vec<usize> = order.into_iter().map(|(_, edge)| edge).collect();
        let before = run(&egnn, &[&sample.reordered(&order)]).remove(0);
        let mut after = run(&egnn, &[&sample]).remove(0);
        let (_, gradient) = after.last_mut().unwrap();
        *gradient = order.iter().flat_map(|&edge| gradient[edge * EDGE_FEATURES..][..EDGE_FEATURES].to_vec()).collect();
        assert_same(&before, &after);
    }

    #[test]
    fn what_masked_places_hold_changes_nothing(seed: u64) {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let egnn = egnn(&mut rng);
        let (batch, places) = (rng.random_range(1..=4), rng.random_range(1..=5));
        let real: Vec<bool> = (0..batch * places).map(|_| rng.random_bool(0.6)).collect();
        let joined: Vec<bool> = (0..batch * places * places)
            .map(|entry| entry / places % places != entry % places && rng.random_bool(0.7))
            .collect();
        let features = Dense::random([batch, places], FEATURES, &real, &mut rng);
        let positions = Dense::random([batch, places], 3, &real, &mut rng);
        let velocities = Dense::random([batch, places], 3, &real, &mut rng);
        let attributes = Dense::random([batch, places], ATTRIBUTES, &real, &mut rng);
        let taking_part: Vec<bool> = (0..joined.len())
            .map(|entry| {
                let (graph, i, j) = (entry / places / places, entry / places % places, entry % places);
                joined[entry] && real[graph * places + i] && real[graph * places + j]
            })
            .collect();
        let edge_features = Dense::random([batch * places, places], EDGE_FEATURES, &taking_part, &mut rng);

        // The same graphs without padding.
        let samples: Vec<Sample> = (0..batch)
            .map(|graph| {
                let nodes: Vec<usize> = (0..places).filter(|place| real[graph * places + place]).collect();
                let entry = |i: usize, j: usize| (graph * places + nodes[i]) * places + nodes[j];
                let pairs = (0..nodes.len()).flat_map(|i| (0..nodes.len()).map(move |j| (i, j)));
                let pairs: Vec<_> = pairs.filter(|&(i, j)| joined[entry(i, j)]).collect();
                let (receivers, senders) = pairs.iter().copied().unzip();
                let rows = |dense: &Dense| nodes.iter().flat_map(|place| dense.row(graph * places + place)).copied().collect();
                Sample {
                    edges: EdgeList::new(nodes.len(), receivers, senders).unwrap(),
                    features: rows(&features),
                    positions: rows(&positions),
                    velocities: rows(&velocities),
                    attributes: rows(&attributes),
                    edge_features: pairs.iter().flat_map(|&(i, j)| edge_features.row(entry(i, j))).copied().collect(),
                }
            })
            .collect();
        let packed = run(&egnn, &samples.iter().collect::<Vec<_>>());

        let padding = Padding::adjacent(mask(&real, [batch, places]), mask(&joined, [batch, places, places])).unwrap();
        let device = Device::flex().autodiff();
        let inputs = [&features, &positions, &velocities, &attributes]
            .map(|dense| tensor(&dense.values, [batch, places, dense.width], &device).require_grad());
        let edges = tensor(&edge_features.values, [batch, places, places, EDGE_FEATURES], &device).require_grad();
        let [h, x, v, c] = inputs.clone().map(|dense| padding.pack(dense));
        let points = Points {
            features: h,
            positions: x,
            velocities: egnn.config().velocity.then_some(v),
            attributes: (egnn.config().node_attributes > 0).then_some(c),
        };
        let arranged = (egnn.config().edge_features > 0).then(|| padding.pack_edges(edges.clone()));
        let (h, x) = egnn.forward(padding.graph(), points, arranged);
        let (h, x) = (padding.pad(h), padding.pad(x));
        let loss = h.clone().powi_scalar(2).sum() + x.clone().powi_scalar(2).sum() + h.clone().sum();
        let gradients = loss.backward();
        let gradient = |input: &Tensor<3>| match input.grad(&gradients) {
            Some(gradient) => gradient,
            None => input.clone().inner().zeros_like(),
        };
        let dense: Vec<Tensor<3>> = [h.inner(), x.inner()].into_iter().chain(inputs.iter().map(gradient)).collect();

        for (number, dense) in dense.into_iter().enumerate() {
            let width = dense.dims()[2];
            let values = values(dense);
            let (real_rows, masked): (Vec<_>, Vec<_>) = values.chunks(width).zip(&real).partition(|&(_, &real)| real);
            assert!(masked.iter().all(|(row, _)| row.iter().all(|&x| x == 0.0)), "{masked:?}");
            let rows: Vec<f64> = real_rows.iter().flat_map(|(row, _)| *row).copied().collect();
            let expected: Vec<f64> = packed.iter().flat_map(|outcome| &outcome[number].1).copied().collect();
            assert_close(packed[0][number].0, &rows, &expected);
        }
        if let Some(gradient) = edges.grad(&gradients) {
            for (row, takes_part) in values(gradient).chunks(EDGE_FEATURES).zip(&taking_part) {
                assert!(row.iter().all(|&x| if *takes_part { x.is_finite() } else { x == 0.0 }), "{row:?}");
            }
        }
    }

    #[test]
    fn segments_are_reduced_as_in_a_loop(seed: u64, rows in 0..30_usize, count in 1..8_usize, channels in 1..4_usize) {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        // A few values only, so that many are equal; large ones, which overflow without care.
        let x: Vec<f64> = (0..rows * channels).map(|_| [-800.0, -1.0, 0.0, 0.5, 800.0][rng.random_range(0..5)]).collect();
        let ids: Vec<usize> = (0..rows).map(|_| rng.random_range(0..count)).collect();
        let segments = Segments::new(ids.clone(), count, &Device::flex()).unwrap();
        let given = || tensor(&x, [rows, channels], &Device::flex());
        let of = |segment: usize, channel: usize| -> Vec<f64> {
            (0..rows).filter(|&row| ids[row] == segment).map(|row| x[row * channels + channel]).collect()
        };
        let loop_over = |reduce: fn(Vec<f64>) -> f64| -> Vec<f64> {
            (0..count * channels).map(|entry| reduce(of(entry / channels, entry % channels))).collect()
        };
        assert_close("sum", &values(segment_sum(given(), &segments)), &loop_over(|x| x.iter().sum()));
        let mean = |x: Vec<f64>| x.iter().sum::<f64>() / x.len().max(1) as f64;
        assert_close("mean", &values(segment_mean(given(), &segments)), &loop_over(mean));
        let max = |x: Vec<f64>| x.into_iter().reduce(f64::max).unwrap_or(0.0);
        assert_close("max", &values(segment_max(given(), &segments)), &loop_over(max));
        let softmax = segment_softmax(given(), &segments);
        assert_close("softmax", &values(segment_sum(softmax.clone(), &segments)), &loop_over(|x| f64::from(!x.is_empty())));
        let by_hand: Vec<f64> = (0..rows * channels)
            .map(|entry| 1.0 / of(ids[entry / channels], entry % channels).iter().map(|y| (y - x[entry]).exp()).sum::<f64>())
            .collect();
        assert_close("softmax", &values(softmax), &by_hand);
    }
}

/// Rows of a dense tensor: numbers where they count, and whatever hurts elsewhere.
struct Dense {
    values: Vec<f64>,
    width: usize,
}

impl Dense {
    fn random([batch, places]: [usize; 2], width: usize, real: &[bool], rng: &mut ChaCha8Rng) -> Self {
        let garbage = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e300, 0.0];
        let entries = (0..batch * places * width).map(|entry| match real[entry / width] {
            true => rng.random_range(-1.0..1.0),
            false => garbage[rng.random_range(0..garbage.len())],
        });
        Self { values: entries.collect(), width }
    }

    fn row(&self, row: usize) -> &[f64] {
        &self.values[row * self.width..][..self.width]
    }
}

#[test]
fn graphs_of_nobody_and_nothing_are_safe() {
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    let none = Sample::with_edges(EdgeList::complete(0).unwrap(), &mut rng);
    let single = Sample::with_edges(EdgeList::complete(1).unwrap(), &mut rng);
    let isolated = Sample::with_edges(EdgeList::new(4, vec![0], vec![1]).unwrap(), &mut rng);
    let edgeless = Sample::with_edges(EdgeList::new(3, vec![], vec![]).unwrap(), &mut rng);
    let pair = Sample::with_edges(EdgeList::complete(2).unwrap(), &mut rng);
    let mut coincident = pair.clone();
    coincident.positions = vec![0.5; 6];
    let batches: [&[&Sample]; 7] = [
        &[],
        &[&none],
        &[&none, &none],
        &[&single],
        &[&edgeless],
        &[&coincident],
        &[&none, &single, &isolated, &none, &edgeless, &coincident, &pair, &none],
    ];
    for _ in 0..32 {
        let egnn = egnn(&mut rng);
        for batch in batches {
            run(&egnn, batch).iter().for_each(assert_finite);
        }
    }
}

#[test]
fn two_edges_between_the_same_nodes_count_twice() {
    let mut rng = ChaCha8Rng::seed_from_u64(4);
    let once = Sample::with_edges(EdgeList::new(3, vec![0, 0, 1], vec![1, 2, 2]).unwrap(), &mut rng);
    let twice = once.reordered(&[2, 0, 1, 0, 1, 2]);
    for aggregation in [Aggregation::Sum, Aggregation::Mean] {
        let config = EgnnConfig::new(FEATURES, 5).with_layers(1).with_edge_features(EDGE_FEATURES).with_seed(5);
        let config = config.with_message_aggregation(Aggregation::Mean).with_coordinate_aggregation(aggregation);
        let egnn = config.init((&Device::flex().autodiff(), DType::F64)).unwrap();
        let moved = |sample: &Sample| -> Vec<f64> {
            let positions = &run(&egnn, &[sample])[0][1].1;
            positions.iter().zip(&sample.positions).map(|(after, before)| after - before).collect()
        };
        let factor = if aggregation == Aggregation::Sum { 2.0 } else { 1.0 };
        let expected: Vec<f64> = moved(&once).iter().map(|shift| factor * shift).collect();
        assert!(expected.iter().any(|shift| shift.abs() > 1e-6), "nothing moves");
        assert_close("shifts", &moved(&twice), &expected);
    }
}

#[test]
fn a_crystal_is_the_same_in_a_cell_of_twice_the_size() {
    let mut rng = ChaCha8Rng::seed_from_u64(6);
    let vectors = [[1.9, 0.1, -0.2], [0.7, 2.1, 0.3], [-0.4, 0.2, 2.4]];
    let small = PeriodicCell::new(vectors, [true; 3]).unwrap();
    let large = PeriodicCell::new([vectors[0].map(|x| 2.0 * x), vectors[1], vectors[2]], [true; 3]).unwrap();
    let points: Vec<[f64; 3]> = (0..3).map(|_| std::array::from_fn(|_| rng.random_range(-3.0..3.0))).collect();
    let further = |point: &[f64; 3]| std::array::from_fn(|axis| point[axis] + vectors[0][axis]);
    let both: Vec<[f64; 3]> = points.iter().copied().chain(points.iter().map(further)).collect();
    let features = random(&mut rng, 3 * FEATURES);

    let egnn = EgnnConfig::new(FEATURES, 8).with_seed(7).init((&Device::flex(), DType::F64)).unwrap();
    let results = |points: &[[f64; 3]], edges: &EdgeList, copies: usize| {
        let graph = Graph::new(edges, &Device::flex()).unwrap();
        let flat: Vec<f64> = points.iter().flatten().copied().collect();
        let positions = tensor(&flat, [points.len(), 3], &Device::flex());
        let given =
            Points::new(tensor(&features.repeat(copies), [points.len(), FEATURES], &Device::flex()), positions.clone());
        let (h, x) = egnn.forward(&graph, given, None);
        (values(h), values(x - positions))
    };
    for cutoff in [2.5, 4.0] {
        let in_small = EdgeList::radius_periodic(&points, cutoff, &small).unwrap();
        let in_large = EdgeList::radius_periodic(&both, cutoff, &large).unwrap();
        assert_eq!(2 * in_small.len(), in_large.len());
        let ((h, x), (hh, xx)) = (results(&points, &in_small, 1), results(&both, &in_large, 2));
        assert_close("features", &h.repeat(2), &hh);
        assert_close("shifts of position", &x.repeat(2), &xx);
    }
}

#[test]
fn displacements_cross_the_cell_in_every_precision() {
    let cell = PeriodicCell::new([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]], [true, false, false]).unwrap();
    let periodic = EdgeList::nearest_periodic(&[[0.1, 0.0, 0.0], [0.9, 0.0, 0.0]], 1, &cell).unwrap();
    let free = EdgeList::complete(2).unwrap();
    for device in [Device::flex(), Device::flex().autodiff()] {
        let graph = Graph::batch([&periodic, &free], &device).unwrap();
        for dtype in [DType::F32, DType::F64] {
            let x = [0.1, 0.0, 0.0, 0.9, 0.0, 0.0].repeat(2);
            let data = TensorData::new(x, [4, 3]).convert_dtype(dtype);
            let difference = graph.displacements(Tensor::from_data(data, (&device, dtype)));
            assert_eq!((difference.dtype(), difference.device().is_autodiff()), (dtype, device.is_autodiff()));
            let precision = if dtype == DType::F32 { 1e-7 } else { 1e-15 };
            for (difference, expected) in values(difference).iter().step_by(3).zip([0.2, -0.2, -0.8, 0.8]) {
                assert!((difference - expected).abs() < precision, "{difference} is not {expected}");
            }
        }
    }
}

#[test]
fn features_of_edges_go_into_the_order_of_the_graph_and_back() {
    let edges = EdgeList::new(3, vec![2, 0, 1, 0], vec![0, 2, 0, 1]).unwrap();
    let graph = Graph::batch([&edges, &EdgeList::complete(2).unwrap()], &Device::flex()).unwrap();
    let given = tensor(&[20.0, 2.0, 10.0, 1.0, 43.0, 34.0], [6, 1], &Device::flex());
    let arranged = graph.arrange(given.clone());
    assert_eq!(values(arranged.clone()), [2.0, 1.0, 10.0, 20.0, 43.0, 34.0]);
    assert_eq!(graph.senders().host_ids(), [2, 1, 0, 0, 4, 3]);
    assert_eq!(values(graph.restore(arranged)), values(given));
}

#[test]
fn rows_are_split_by_graph() {
    let graphs = [2, 0, 1, 0].map(|nodes| EdgeList::complete(nodes).unwrap());
    let graph = Graph::batch(&graphs, &Device::flex()).unwrap();
    let parts = graph.split(tensor(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], [3, 2], &Device::flex()));
    assert_eq!(parts.iter().map(|part| part.dims()).collect::<Vec<_>>(), [[2, 2], [0, 2], [1, 2], [0, 2]]);
    assert_eq!(parts.into_iter().flat_map(values).collect::<Vec<_>>(), [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    assert_eq!(Graph::batch(&[], &Device::flex()).unwrap().split(Tensor::zeros([0, 2], &Device::flex())).len(), 0);
}

#[test]
fn batches_beyond_an_index_are_refused_before_memory_is_spent() {
    let message = EdgeList::complete(50_000).unwrap_err().to_string();
    assert!(message.contains("all pairs of 50000 nodes") && message.contains("EdgeList::radius"), "{message}");
    let huge = EdgeList::new(1 << 31, vec![], vec![]).unwrap();
    let refused = |graphs: &[&EdgeList]| Graph::batch(graphs.iter().copied(), &Device::flex()).unwrap_err().to_string();
    assert!(refused(&[&EdgeList::complete(2).unwrap(), &huge]).contains("split the batch"));
    let dense = mask(&vec![true; 50_000], [1, 50_000]);
    assert!(Padding::complete(dense).unwrap_err().to_string().contains("split the batch"));
}

#[test]
fn edges_that_lead_nowhere_are_named() {
    let says = |result: Result<EdgeList, LayerError>, words: &str| {
        let message = result.unwrap_err().to_string();
        assert!(message.contains(words), "`{message}` does not say `{words}`");
    };
    says(EdgeList::new(3, vec![0, 1], vec![1]), "2 receivers and 1 senders");
    says(EdgeList::new(3, vec![0, 3], vec![1, 2]), "the receiver of edge 1 is node 3");
    says(EdgeList::new(3, vec![0, 1], vec![1, 7]), "the sender of edge 1 is node 7");
    says(EdgeList::new(3, vec![0, 1], vec![1, 1]), "edge 1 joins node 1 to itself");
    EdgeList::with_self_loops(3, vec![0, 1], vec![1, 1]).unwrap();
}

#[test]
fn dense_tensors_and_rows() {
    let real = mask(&[true, false, true, false, false, false, false, true, false], [3, 3]);
    let padding = Padding::complete(real).unwrap();
    let graph = padding.graph();
    assert_eq!((graph.graphs(), graph.nodes(), graph.edges()), (3, 3, 2));
    assert_eq!((graph.receivers().host_ids(), graph.senders().host_ids()), (&[0, 1][..], &[1, 0][..]));
    assert_eq!(graph.members().host_ids(), [0, 0, 2]);
    let count = |shape: &[usize]| (0..shape.iter().product()).map(|x: usize| x as f64).collect::<Vec<_>>();
    let rows = padding.pack(tensor(&count(&[3, 3, 2]), [3, 3, 2], &Device::flex()));
    assert_eq!(values(rows.clone()), [0.0, 1.0, 4.0, 5.0, 14.0, 15.0]);
    let back = [0.0, 1.0, 0.0, 0.0, 4.0, 5.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 14.0, 15.0, 0.0, 0.0];
    assert_eq!(values(padding.pad(rows)), back);
    let edges = padding.pack_edges(tensor(&count(&[3, 3, 3, 1]), [3, 3, 3, 1], &Device::flex()));
    assert_eq!(values(edges), [2.0, 6.0]);
}

#[test]
fn masks_take_any_edges() {
    let real = || mask(&[false, true, true, true, false, true], [2, 3]);
    let lists = [EdgeList::new(2, vec![1], vec![0]).unwrap(), EdgeList::complete(2).unwrap()];
    let padding = Padding::new(real(), &lists).unwrap();
    let edges: Vec<f64> = (0..18).map(f64::from).collect();
    let edges = padding.pack_edges(tensor(&edges, [2, 3, 3, 1], &Device::flex()));
    assert_eq!(values(edges), [7.0, 11.0, 15.0]);
    let says = |result: Result<Padding, LayerError>, words: &str| {
        let message = result.unwrap_err().to_string();
        assert!(message.contains(words), "`{message}` does not say `{words}`");
    };
    says(Padding::new(real(), &lists[..1]), "2 graphs, and there are 1 edge lists");
    says(Padding::new(real(), &[lists[0].clone(), EdgeList::complete(3).unwrap()]), "graph 1 has 2 nodes");
    says(Padding::adjacent(real(), mask(&[false; 8], [2, 2, 2])), "must be [2, 3, 3]");
    says(Padding::adjacent(real(), mask(&[true; 18], [2, 3, 3])), "graph 0 joins place 1 to itself");
    // The diagonal of a masked place is nobody's.
    let mut joined = [false; 18];
    joined[0] = true;
    assert_eq!(Padding::adjacent(real(), mask(&joined, [2, 3, 3])).unwrap().graph().edges(), 0);
}

#[test]
fn empty_and_masked_batches_pass_through_a_network() {
    let egnn = EgnnConfig::new(FEATURES, 4).with_edge_features(1).init(&Device::flex().autodiff()).unwrap();
    for [batch, places] in [[0, 0], [0, 3], [2, 0], [2, 3]] {
        let padding = Padding::complete(mask(&vec![false; batch * places], [batch, places])).unwrap();
        let garbage = |width| Tensor::<3>::full([batch, places, width], f64::NAN, &Device::flex().autodiff());
        let points = Points::new(padding.pack(garbage(FEATURES)), padding.pack(garbage(3)));
        let edges = padding.pack_edges(Tensor::full([batch, places, places, 1], f64::NAN, &Device::flex()));
        let (h, x) = egnn.forward(padding.graph(), points, Some(edges));
        let (h, x) = (padding.pad(h), padding.pad(x));
        assert_eq!((h.dims(), x.dims()), ([batch, places, 4], [batch, places, 3]));
        // Nothing to learn from, but nothing to fail on.
        let loss = h.clone().sum() + x.clone().sum();
        let gradients = loss.backward();
        let gradient = egnn.layers[0].edge_output.weight.val().grad(&gradients);
        assert!(gradient.is_none_or(|gradient| values(gradient).iter().all(|&x| x == 0.0)));
        assert!(values(h).into_iter().chain(values(x)).all(|x| x == 0.0));
    }
}

#[test]
fn a_graph_follows_its_nodes_into_another_order() {
    let device = Device::flex();
    let cell = PeriodicCell::new([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]], [true, false, false]).unwrap();
    let periodic = EdgeList::nearest_periodic(&[[0.1, 0.0, 0.0], [0.9, 0.0, 0.0], [0.4, 0.5, 0.0]], 2, &cell).unwrap();
    let free = EdgeList::new(4, vec![3, 0, 1], vec![1, 2, 0]).unwrap();
    let graph = Graph::batch([&periodic, &free, &EdgeList::default()], &device).unwrap();
    let mut rng = ChaCha8Rng::seed_from_u64(8);
    let positions = tensor(&random(&mut rng, 21), [7, 3], &device);
    let attributes = tensor(&random(&mut rng, 2 * graph.edges()), [graph.edges(), 2], &device);
    for _ in 0..10 {
        let order = Permutation::random_within(&[3, 4, 0], &mut rng);
        let moved = graph.permuted(&order);
        assert_eq!((moved.nodes(), moved.edges(), moved.graphs()), (7, graph.edges(), 3));
        assert!(moved.receivers().is_sorted());
        let along = moved.displacements(permute(&order, positions.clone()));
        assert_eq!(values(along), values(moved.arrange(graph.displacements(positions.clone()))));
        // What arrives at a node is what arrived at it, in another order.
        let sums = |graph: &Graph, attributes: Tensor<2>| segment_sum(attributes, graph.receivers());
        let (there, here) = (sums(&moved, moved.arrange(attributes.clone())), sums(&graph, attributes.clone()));
        assert_close("sums", &values(there), &values(permute(&order, here)));
        assert_eq!(moved.members().host_ids(), graph.members().host_ids());
    }
}

#[test]
#[should_panic(expected = "leaves every node in its graph")]
fn nodes_do_not_change_their_graph() {
    let graph =
        Graph::batch([&EdgeList::complete(2).unwrap(), &EdgeList::complete(2).unwrap()], &Device::flex()).unwrap();
    graph.permuted(&Permutation::new(vec![0, 2, 1, 3]).unwrap());
}
