//! Every option of EGNN commutes with rotations, reflections, translations and permutations: outputs and input gradients, on every
//! device and in every precision. Devices agree with one another, weight gradients included.

#[path = "common/devices.rs"]
mod devices;

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{DType, Device, Tensor, TensorData};
use devices::settings;
use equi_core::action::space::PointField;
use equi_core::assert_point_equivariant;
use equi_core::check::points::{PointFeature, PointFn, Trials, outputs, probe};
use equi_core::group::Permutation;
use equi_layers::graph::{
    Aggregation, EdgeList, Egnn, EgnnConfig, Graph, LinearMotion, Normalization, Points, RadialFieldConfig,
    RawGnnConfig,
};
use equi_layers::import::{EgnnCheckpoint, EgnnOptions};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Sizes of the graphs: one has no edges, one has no nodes.
const GRAPHS: [usize; 4] = [5, 1, 0, 7];
const NODES: usize = 13;
const FEATURES: usize = 2;
const ATTRIBUTES: usize = 2;
const EDGE_FEATURES: usize = 3;

const INPUTS: [PointFeature; 4] = [
    PointFeature::per_node(PointField::Scalar, FEATURES),
    PointFeature::per_node(PointField::Position, 1),
    PointFeature::per_node(PointField::Vector, 1),
    PointFeature::per_node(PointField::Scalar, ATTRIBUTES),
];
const POSITION: PointFeature = PointFeature::per_node(PointField::Position, 1);

/// Edges of the batch as pairs of nodes, with features; node 6 receives nothing, and two edges are double.
struct Edges {
    pairs: Vec<(usize, usize)>,
    features: Vec<f64>,
}

impl Edges {
    fn new(rng: &mut ChaCha8Rng) -> Self {
        let mut pairs = Vec::new();
        let mut first = 0;
        for nodes in GRAPHS {
            for (i, j) in (0..nodes).flat_map(|i| (0..nodes).map(move |j| (first + i, first + j))) {
                if i != j && i != 6 && rng.random_bool(0.6) {
                    pairs.push((i, j));
                }
            }
            first += nodes;
        }
        pairs.extend_from_within(..2);
        let features = (0..pairs.len() * EDGE_FEATURES).map(|_| rng.random_range(-1.0..1.0)).collect();
        Self { pairs, features }
    }

    /// The graph with its nodes in another order, and the features of its edges.
    fn graph(&self, order: &Permutation, device: &Device, dtype: DType) -> (Graph, Tensor<2>) {
        let (receivers, senders) = self.pairs.iter().map(|&(i, j)| (order.image(i), order.image(j))).unzip();
        let list = EdgeList::new(NODES, receivers, senders).unwrap();
        let graph = Graph::new(&list, device).unwrap();
        let data = TensorData::new(self.features.clone(), [self.pairs.len(), EDGE_FEATURES]).convert_dtype(dtype);
        let features = graph.arrange(Tensor::from_data(data, (device, dtype)));
        (graph, features)
    }
}

/// A configuration with every option drawn.
fn options(rng: &mut ChaCha8Rng) -> EgnnConfig {
    let aggregation = |mean| if mean { Aggregation::Mean } else { Aggregation::Sum };
    let moving = rng.random_bool(0.8);
    let mut config = EgnnConfig::new(FEATURES, rng.random_range(3..12))
        .with_layers(rng.random_range(1..4))
        .with_attention(rng.random_bool(0.5))
        .with_tanh(rng.random_bool(0.5))
        .with_residual(rng.random_bool(0.5))
        .with_message_aggregation(aggregation(rng.random_bool(0.5)))
        .with_coordinate_aggregation(aggregation(rng.random_bool(0.5)))
        .with_seed(rng.random());
    config.normalization =
        [Normalization::None, Normalization::Unit, Normalization::Shifted][rng.random_range(0..3_usize)];
    if rng.random_bool(0.5) {
        config = config.with_edge_features(EDGE_FEATURES);
    }
    if rng.random_bool(0.5) {
        config = config.with_node_attributes(ATTRIBUTES);
    }
    if rng.random_bool(0.5) {
        config = config.with_out_features(3);
    }
    match moving {
        true if rng.random_bool(0.5) => config.with_velocity(),
        true => config,
        false => config.invariant(),
    }
}

/// The network with positions that move far enough to be seen: the reference starts them near zero.
fn stirred(config: &EgnnConfig, device: &Device, dtype: DType) -> Egnn {
    let mut egnn = config.init((device, dtype)).unwrap();
    for coordinates in egnn.layers.iter_mut().filter_map(|layer| layer.coordinates.as_mut()) {
        let weight = &mut coordinates.output.weight;
        *weight = Param::from_tensor((weight.val() * 300.0).detach());
    }
    egnn
}

fn forward(egnn: &Egnn, edges: &Edges, inputs: &[Tensor<2>], order: &Permutation) -> Vec<Tensor<2>> {
    let config = egnn.config();
    let (graph, features) = edges.graph(order, &inputs[0].device(), inputs[0].dtype());
    let mut points = Points::new(inputs[0].clone(), inputs[1].clone());
    if config.velocity {
        points = points.with_velocities(inputs[2].clone());
    }
    if config.node_attributes > 0 {
        points = points.with_attributes(inputs[3].clone());
    }
    let (h, x) = egnn.forward(&graph, points, (config.edge_features > 0).then_some(features));
    vec![h, x]
}

#[test]
fn every_option_is_equivariant() {
    for setting in settings() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let draws = if setting.name.starts_with("wgpu") { 3 } else { 40 };
        for _ in 0..draws {
            let (config, edges) = (options(&mut rng), Edges::new(&mut rng));
            let egnn = stirred(&config, &setting.device, setting.dtype);
            let width = config.out_features.unwrap_or(config.hidden);
            let outputs = [PointFeature::per_node(PointField::Scalar, width), POSITION];
            let map = PointFn::new(&GRAPHS, &INPUTS, &outputs, &setting.device, setting.dtype, |inputs, order| {
                forward(&egnn, &edges, inputs, order)
            });
            // Three layers of sums over neighbours, seen at a distance of several spreads: some hundred roundings.
            println!("{}: {config:?}", setting.name);
            assert_point_equivariant!(map, 10.0 * setting.tolerance);
        }
    }
}

#[test]
fn the_baselines_are_what_they_claim() {
    for setting in settings() {
        let mut rng = ChaCha8Rng::seed_from_u64(2);
        let edges = Edges::new(&mut rng);
        let options = (&setting.device, setting.dtype);
        let radial = RadialFieldConfig::new(8).with_edge_features(EDGE_FEATURES).with_seed(1).init(options).unwrap();
        let raw = RawGnnConfig::new(FEATURES, 8).with_edge_features(EDGE_FEATURES).with_seed(1).init(options).unwrap();
        let linear = LinearMotion::new(0.3, options);
        let moving =
            |inputs: &[Tensor<2>]| Points::new(inputs[0].clone(), inputs[1].clone()).with_velocities(inputs[2].clone());
        let graph = |inputs: &[Tensor<2>], order: &Permutation| {
            let (graph, features) = edges.graph(order, &inputs[0].device(), setting.dtype);
            (graph, Some(features))
        };
        let map = PointFn::new(&GRAPHS, &INPUTS, &[POSITION], &setting.device, setting.dtype, |inputs, order| {
            let (graph, features) = graph(inputs, order);
            vec![radial.positions(&graph, moving(inputs), features)]
        });
        assert_point_equivariant!(map, 10.0 * setting.tolerance);
        let map = PointFn::new(&GRAPHS, &INPUTS, &[POSITION], &setting.device, setting.dtype, |inputs, _| {
            vec![linear.positions(moving(inputs))]
        });
        assert_point_equivariant!(map, 10.0 * setting.tolerance);

        let map = PointFn::new(&GRAPHS, &INPUTS, &[POSITION], &setting.device, setting.dtype, |inputs, order| {
            let (graph, features) = graph(inputs, order);
            vec![raw.positions(&graph, moving(inputs), features)]
        });
        let report = outputs(&map, &probe(&map, 0), &Trials::default());
        for error in &report.errors {
            let permutes = format!("{}", error.motion) == "permutation";
            assert_eq!(error.relative_l2 < 10.0 * setting.tolerance, permutes, "raw coordinates: {report}");
        }
    }
}

/// Gradients of all parameters, in order.
fn weight_gradients(egnn: &Egnn, loss: Tensor<1>) -> Vec<Vec<f64>> {
    struct Collect<'a>(&'a burn::tensor::Gradients, Vec<Vec<f64>>);
    impl ModuleVisitor for Collect<'_> {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            let gradient = param.val().grad(self.0);
            self.1.push(gradient.map(|gradient| gradient.into_data().iter().collect()).unwrap_or_default());
        }
    }
    let gradients = loss.backward();
    let mut collect = Collect(&gradients, Vec::new());
    egnn.visit(&mut collect);
    collect.1
}

#[test]
fn devices_and_precisions_agree_on_outputs_and_weight_gradients() {
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    for draw in 0..4 {
        let (config, edges) = (options(&mut rng), Edges::new(&mut rng));
        let results: Vec<_> = settings()
            .into_iter()
            .map(|setting| {
                let device = setting.device.autodiff();
                let egnn = stirred(&config, &device, setting.dtype);
                let inputs: Vec<Tensor<2>> = INPUTS
                    .iter()
                    .enumerate()
                    .map(|(place, feature)| {
                        let shape = [NODES, feature.channels * feature.field.size()];
                        let mut rng = ChaCha8Rng::seed_from_u64(place as u64 + 10 * draw);
                        let values: Vec<f64> = (0..shape[0] * shape[1]).map(|_| rng.random_range(-1.0..1.0)).collect();
                        Tensor::from_data(
                            TensorData::new(values, shape).convert_dtype(setting.dtype),
                            (&device, setting.dtype),
                        )
                    })
                    .collect();
                let outputs = forward(&egnn, &edges, &inputs, &Permutation::identity(NODES));
                let loss = outputs.iter().map(|x| x.clone().powi_scalar(2).sum()).reduce(|a, b| a + b).unwrap();
                let values: Vec<Vec<f64>> = outputs.iter().map(|x| x.clone().into_data().iter().collect()).collect();
                (setting.name, [values, weight_gradients(&egnn, loss)].concat())
            })
            .collect();
        let (_, reference) = results.iter().find(|(name, _)| *name == "flex f64").unwrap();
        for (name, tensors) in &results {
            for (tensor, expected) in tensors.iter().zip(reference) {
                assert_eq!(tensor.len(), expected.len(), "{name}");
                let scale = expected.iter().fold(1e-3_f64, |largest, value| largest.max(value.abs()));
                for (a, b) in tensor.iter().zip(expected) {
                    // f32 keeps seven digits, and a gradient is a sum of some hundred terms that may cancel.
                    assert!((a - b).abs() <= 2e-4 * scale, "{name}, {config:?}: {a} is not {b}");
                }
            }
        }
    }
}

#[test]
fn the_network_for_molecules_is_invariant() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/egnn_import");
    let checkpoint = EgnnCheckpoint::open(folder.join("qm9_attention.state.pt")).unwrap();
    let config = checkpoint.config(&EgnnOptions::new()).unwrap();
    let sizes = [4, 1, 6];
    let pairs: Vec<(usize, usize)> = sizes
        .iter()
        .scan(0, |first, &nodes| {
            *first += nodes;
            Some((*first - nodes, *first))
        })
        .flat_map(|(first, end)| (first..end).flat_map(move |i| (first..end).map(move |j| (i, j))))
        .filter(|(i, j)| i != j)
        .collect();
    for setting in settings() {
        let model = checkpoint.to_qm9(&config, (&setting.device, setting.dtype)).unwrap();
        let inputs = [
            PointFeature::per_node(PointField::Scalar, config.in_features),
            PointFeature::per_node(PointField::Position, 1),
        ];
        let outputs = [PointFeature::per_graph(PointField::Scalar, 1)];
        let map = PointFn::new(&sizes, &inputs, &outputs, &setting.device, setting.dtype, |inputs, order| {
            let (mut receivers, mut senders) = (Vec::new(), Vec::new());
            for &(i, j) in &pairs {
                receivers.push(order.image(i));
                senders.push(order.image(j));
            }
            let list = EdgeList::new(sizes.iter().sum(), receivers, senders).unwrap();
            // The graphs of the batch, whose nodes keep their places among themselves.
            let graph = members(&list, &sizes, &setting.device);
            vec![model.forward(&graph, inputs[0].clone(), inputs[1].clone(), None)]
        });
        assert_point_equivariant!(map, 10.0 * setting.tolerance);
    }
}

/// The batch whose graphs have these sizes, from the edges of all.
fn members(all: &EdgeList, sizes: &[usize], device: &Device) -> Graph {
    let mut first = 0;
    let graphs: Vec<EdgeList> = sizes
        .iter()
        .map(|&nodes| {
            let here = first..first + nodes;
            let ends = all.receivers().iter().zip(all.senders()).filter(|(i, _)| here.contains(i));
            let (receivers, senders) = ends.map(|(&i, &j)| (i - first, j - first)).unzip();
            first += nodes;
            EdgeList::new(nodes, receivers, senders).unwrap()
        })
        .collect();
    Graph::batch(&graphs, device).unwrap()
}
