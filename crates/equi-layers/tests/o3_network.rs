//! Convolutions of points and tensor field networks: known values, equivariance of all options, outputs and gradients where geometry
//! degenerates, and what cannot be built.

#![cfg(feature = "flex")]

#[path = "common/devices.rs"]
mod devices;
#[path = "common/irreps.rs"]
mod rows;

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{DType, Device, Gradients, Tensor};
use devices::settings;
use equi_core::action::space::PointField;
use equi_core::assert_point_equivariant;
use equi_core::check::points::{PointFeature, PointFn};
use equi_core::group::Permutation;
use equi_core::o3::{Irreps, SphericalHarmonics};
use equi_core::ops::{CoupledPath, Couplings, HarmonicCouplings, MessageForm};
use equi_layers::graph::{EdgeList, Graph, PeriodicCell};
use equi_layers::o3::{EdgeEmbedding, PointConvolutionConfig, TensorFieldNetwork, TensorFieldNetworkConfig};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rows::{assert_close, blocks, features, host, irreps, joined, noise, tensor};
use std::sync::Arc;

const NODES: usize = 11;

/// Edges between the nodes of two graphs of 6 and 5; node 4 receives nothing, one edge is double, and one leads from a node to itself.
fn pairs(rng: &mut ChaCha8Rng) -> Vec<(usize, usize)> {
    let mut pairs = vec![(2, 2)];
    for graph in [0..6, 6..NODES] {
        for (i, j) in graph.clone().flat_map(|i| graph.clone().map(move |j| (i, j))) {
            if i != j && i != 4 && rng.random_bool(0.5) {
                pairs.push((i, j));
            }
        }
    }
    pairs.push(pairs[1]);
    pairs
}

fn graph(pairs: &[(usize, usize)], order: &Permutation, device: &Device) -> Graph {
    let (receivers, senders) = pairs.iter().map(|&(i, j)| (order.image(i), order.image(j))).unzip();
    Graph::new(&EdgeList::with_self_loops(NODES, receivers, senders).unwrap(), device).unwrap()
}

/// A network with every option drawn.
fn options(rng: &mut ChaCha8Rng) -> TensorFieldNetworkConfig {
    let mut pick = |texts: &[&str]| irreps(texts[rng.random_range(0..texts.len())]);
    let input = pick(&["2x0e+1x1o", "1x1o+1x0e+1x2e", "1x0o+1x1e", "1x0o"]);
    let hidden = pick(&["4x0e+2x1o+1x2e", "2x2e+3x0e+2x0o+2x1o+2x1e", "3x0o+3x0e+1x1e+1x1o"]);
    let attributes = pick(&["", "2x0e", "1x0e+1x1o"]);
    TensorFieldNetworkConfig::new(input, hidden, Irreps::default(), rng.random_range(3.0..6.0), 3.0)
        .with_node_attributes(attributes)
        .with_layers(rng.random_range(1..4))
        .with_lmax(rng.random_range(1..4))
        .with_radial(rng.random_range(3..6), vec![8; rng.random_range(0..3)])
        .with_seed(rng.random())
}

#[test]
fn every_option_is_equivariant() {
    for setting in settings() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        for _ in 0..12 {
            let config = options(&mut rng);
            let pairs = pairs(&mut rng);
            // Whatever it can give.
            let outputs = ["2x0e", "1x0o", "1x1o", "1x1e", "1x2e", "1x2o", "2x3o"].map(irreps);
            let networks = outputs.into_iter().filter_map(|irreps_out| {
                let config = TensorFieldNetworkConfig { irreps_out, ..config.clone() };
                match config.init((&setting.device, setting.dtype)) {
                    Ok(network) => Some(network),
                    Err(error) => {
                        let message = error.to_string();
                        let known = ["nothing reaches", "no product of", "reaches none"];
                        assert!(known.iter().any(|part| message.contains(part)), "{config:?}: {message}");
                        None
                    }
                }
            });
            let networks: Vec<TensorFieldNetwork> = networks.collect();
            assert!(!networks.is_empty(), "{config:?}");
            let (input, attributes) = (&config.irreps_in, &config.node_attributes);
            let inputs =
                [vec![PointFeature::per_node(PointField::Position, 1)], features(input), features(attributes)].concat();
            let outputs =
                networks.iter().flat_map(|network| features(&network.config().irreps_out)).collect::<Vec<_>>();
            let map = PointFn::new(&[6, 5], &inputs, &outputs, &setting.device, setting.dtype, |x, order| {
                let graph = graph(&pairs, order, &x[0].device());
                let (input, attributes) = x[1..].split_at(input.blocks().len());
                let attributes = (!attributes.is_empty()).then(|| joined(attributes));
                let run = |network: &TensorFieldNetwork| {
                    let y = network.forward(&graph, joined(input), x[0].clone(), attributes.clone());
                    blocks(&network.config().irreps_out, y)
                };
                networks.iter().flat_map(run).collect()
            });
            println!("{}: {config:?}", setting.name);
            // Some hundred roundings, of positions seen from a few spreads away.
            assert_point_equivariant!(map, 30.0 * setting.tolerance);
        }
    }
}

#[test]
fn a_vector_points_from_the_sender_to_the_receiver_and_messages_are_divided_by_the_root_of_the_neighbours() {
    let (device, dtype) = (Device::flex(), DType::F64);
    let embedding = EdgeEmbedding::new(1, 5, 3.0).unwrap();
    let config = PointConvolutionConfig::new(irreps("1x0e"), embedding.irreps(), irreps("1x1o"), 5)
        .with_radial_hidden([])
        .with_neighbours(4.0);
    let mut convolution = config.init((&device, dtype)).unwrap();
    assert!(convolution.self_connection.is_none());
    for linear in [&mut convolution.send, &mut convolution.receive] {
        linear.weight = linear.weight.clone().map(|weight| weight.map(|weight| weight.ones_like()));
    }
    let layer = &mut convolution.radial.layers[0];
    *layer = layer.clone().map(|weight| weight.ones_like());
    // Nodes 0 and 2 send to node 1.
    let graph = Graph::new(&EdgeList::new(3, vec![1, 1], vec![0, 2]).unwrap(), &device).unwrap();
    let positions = tensor(&[0.0, 0.0, 0.0, 1.0, 0.0, 1.0, 1.0, 2.0, 1.0], [3, 3], &device, dtype);
    let edges = embedding.forward(&graph, positions);
    let y = convolution.forward(&graph, tensor(&[0.7, 0.0, -2.0], [3, 1], &device, dtype), None, &edges);
    let weight = |edge: usize| host(&edges.radial.clone().narrow(0, edge, 1)).iter().sum::<f64>() / 5f64.sqrt();
    let (a, b) = (0.7 * weight(0) * 1.5f64.sqrt() / 2.0, -2.0 * weight(1) * 3f64.sqrt() / 2.0);
    assert_close("known values", &[0.0, 0.0, 0.0, a, -b, a, 0.0, 0.0, 0.0], &host(&y), 1e-14);
}

#[test]
fn periodic_cells_have_no_border() {
    let (device, dtype) = (Device::flex(), DType::F64);
    let cell = PeriodicCell::new([[3.0, 0.0, 0.0], [0.5, 3.2, 0.0], [0.0, 0.3, 2.9]], [true; 3]).unwrap();
    let network = TensorFieldNetworkConfig::new(irreps("1x0e"), irreps("4x0e+2x1o"), irreps("1x0e+1x1o"), 2.0, 8.0);
    let network = network.with_seed(3).init((&device, dtype)).unwrap();
    let points: Vec<[f64; 3]> = host(&noise(5, 3, 4, &device, dtype)).chunks(3).map(|x| [x[0], x[1], x[2]]).collect();
    let run = |points: &[[f64; 3]]| {
        let graph = Graph::new(&EdgeList::radius_periodic(points, 2.0, &cell).unwrap(), &device).unwrap();
        let positions = tensor(&points.concat(), [5, 3], &device, dtype);
        host(&network.forward(&graph, Tensor::ones([5, 1], (&device, dtype)), positions, None))
    };
    // One node taken across a border.
    let mut crossed = points.clone();
    for (coordinate, shift) in crossed[2].iter_mut().zip([0.5, 3.2, 0.0]) {
        *coordinate += shift;
    }
    assert_close("across a border", &run(&points), &run(&crossed), 1e-11);
}

/// All gradients of parameters, one after the other.
struct Collect<'a>(&'a Gradients, Vec<f64>);

impl ModuleVisitor for Collect<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        self.1.extend(param.val().grad(self.0).map(|gradient| host(&gradient)).unwrap_or_default());
    }
}

#[test]
fn coincident_points_lone_nodes_and_empty_graphs_stay_finite() {
    for setting in settings() {
        let device = setting.device.clone().autodiff();
        let config =
            TensorFieldNetworkConfig::new(irreps("1x0e+1x1o"), irreps("4x0e+4x1o+2x2e"), irreps("1x0e+1x1o"), 2.0, 3.0);
        let network = config.with_seed(1).init((&device, setting.dtype)).unwrap();
        let all = EdgeList::complete(4).unwrap();
        let lone = EdgeList::new(2, vec![], vec![]).unwrap();
        let nobody = EdgeList::new(0, vec![], vec![]).unwrap();
        let far = [[0.0; 3], [0.0; 3], [1.0, 0.0, 0.0], [50.0, 0.0, 0.0]];
        for (graphs, points) in [
            (vec![&all], far.to_vec()),
            (vec![&all], vec![[1.0; 3]; 4]),
            (vec![&all, &lone, &nobody], [far.to_vec(), vec![[0.0; 3]; 2]].concat()),
            (vec![&lone], vec![[0.0; 3]; 2]),
            (vec![&nobody], vec![]),
        ] {
            let graph = Graph::batch(graphs, &device).unwrap();
            let nodes = graph.nodes();
            let positions = tensor::<2>(&points.concat(), [nodes, 3], &device, setting.dtype).require_grad();
            let features = noise(nodes, 4, 2, &device, setting.dtype).require_grad();
            let y = network.forward(&graph, features.clone(), positions.clone(), None);
            assert_eq!(y.dims(), [nodes, 4]);
            let gradients = y.clone().sum().backward();
            // Where all have neighbours, all are moved by what they hear.
            assert!(points.len() != 4 || positions.grad(&gradients).is_some());
            let gradient = |x: &Tensor<2>| x.grad(&gradients).map_or(vec![], |gradient| host(&gradient));
            let mut weights = Collect(&gradients, Vec::new());
            network.visit(&mut weights);
            assert!(nodes == 0 || !weights.1.is_empty());
            for value in [host(&y), gradient(&positions), gradient(&features), weights.1].concat() {
                assert!(value.is_finite(), "{}: {points:?}", setting.name);
            }
        }
    }
}

#[test]
fn the_same_seed_gives_the_same_network_and_a_cutoff_is_smooth() {
    let (device, dtype) = (Device::flex(), DType::F64);
    let config =
        TensorFieldNetworkConfig::new(irreps("1x0e"), irreps("4x0e+2x1o"), irreps("1x0e"), 1.5, 2.0).with_seed(5);
    let [a, b] = [0, 1].map(|_| config.init((&device, dtype)).unwrap());
    let other = config.clone().with_seed(6).init((&device, dtype)).unwrap();
    let graph = Graph::new(&EdgeList::complete(2).unwrap(), &device).unwrap();
    let at = |network: &TensorFieldNetwork, distance: f64| {
        let positions = tensor(&[0.0, 0.0, 0.0, distance, 0.0, 0.0], [2, 3], &device, dtype);
        host(&network.forward(&graph, Tensor::ones([2, 1], (&device, dtype)), positions, None))
    };
    assert_eq!(at(&a, 1.0), at(&b, 1.0));
    assert_ne!(at(&a, 1.0), at(&other, 1.0));
    // Beyond the cut-off there is nobody; just before it, almost nobody.
    assert_eq!(at(&a, 1.5), at(&a, 7.0));
    assert_close("at the cut-off", &at(&a, 7.0), &at(&a, 1.499), 1e-12);
    assert_ne!(at(&a, 1.0), at(&a, 7.0));
}

#[test]
fn what_cannot_be_reached_is_named() {
    let device = Device::flex();
    let message = |config: PointConvolutionConfig| config.init(&device).map(|_| ()).unwrap_err().to_string();
    let config =
        |input: &str, edge: &str, out: &str| PointConvolutionConfig::new(irreps(input), irreps(edge), irreps(out), 4);
    assert!(
        message(config("2x0e", "0e+1o", "1x2e"))
            .contains("no product of 2x0e with the harmonics 1x0e+1x1o contains any of 1x2e")
    );
    assert!(message(config("2x0e", "0e+1o", "1x0e+1x1e")).contains("nothing reaches 1x1e of the output"));
    assert!(message(config("", "0e", "1x0e")).contains("no product of"));
    let neighbours = config("1x0e", "0e", "1x0e").with_neighbours(0.0);
    assert!(message(neighbours).contains("0 neighbours in the mean"));
    let attributes = config("1x0e", "0e", "1x0e").with_node_attributes(irreps("1x0e")).without_self_connection();
    assert!(message(attributes).contains("there is none"));

    let network = |input: &str, hidden: &str, out: &str| {
        TensorFieldNetworkConfig::new(irreps(input), irreps(hidden), irreps(out), 2.0, 3.0)
    };
    let message = |config: TensorFieldNetworkConfig| config.init(&device).map(|_| ()).unwrap_err().to_string();
    assert!(message(network("1x0e", "4x0e", "1x0e").with_layers(0)).contains("at least 1"));
    assert!(
        message(network("1x0e", "4x1e", "1x0e")).contains("layer 1 reaches none of the hidden irreps 4x1e from 1x0e")
    );
    assert!(message(network("1x0e", "4x0e+2x1o", "1x0o").with_layers(1)).contains("any of 1x0o"));
    for cutoff in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        let config = TensorFieldNetworkConfig { cutoff, ..network("1x0e", "4x0e", "1x0e") };
        assert!(message(config).contains("cut-off"), "{cutoff}");
    }
    assert!(message(network("1x0e", "4x0e", "1x0e").with_radial(0, [8])).contains("at least one function"));
}

#[test]
#[should_panic(expected = "PointConvolution takes features of nodes [3, 1] on this graph; it was given [3, 2]")]
fn features_of_other_shapes_are_named() {
    let device = Device::flex();
    let network = TensorFieldNetworkConfig::new(irreps("1x0e"), irreps("2x0e"), irreps("1x0e"), 2.0, 3.0);
    let network = network.init(&device).unwrap();
    let graph = Graph::new(&EdgeList::complete(3).unwrap(), &device).unwrap();
    network.forward(&graph, Tensor::ones([3, 2], &device), Tensor::zeros([3, 3], &device), None);
}

/// With harmonics of high degree, messages are computed in the frames of the edges where directions are known, and are the same without.
#[test]
fn high_degrees_are_the_same_with_and_without_directions() {
    let features_of = irreps("2x0e+2x1o+2x2e+2x3o+2x4e+2x5o+2x6e");
    let embedding = EdgeEmbedding::new(6, 4, 5.0).unwrap();
    let config = PointConvolutionConfig::new(features_of.clone(), embedding.irreps(), features_of.clone(), 4);
    for setting in settings() {
        let (device, dtype) = (setting.device.clone().autodiff(), setting.dtype);
        let layer = config.clone().with_seed(3).init((&device, dtype)).unwrap();
        let paths = layer.product.paths().iter().map(|path| CoupledPath {
            first: path.instruction.in1,
            second: path.instruction.in2,
            out: path.instruction.out,
            coefficient: path.coefficient,
        });
        let paths: Vec<CoupledPath> = paths.collect();
        let couplings = Couplings::uvu(&features_of, &embedding.irreps(), layer.product.irreps_out(), &paths).unwrap();
        let couplings = HarmonicCouplings::new(Arc::new(couplings), &SphericalHarmonics::up_to(6)).unwrap();
        assert_eq!(couplings.form(), MessageForm::Aligned);

        let graph = graph(&pairs(&mut ChaCha8Rng::seed_from_u64(8)), &Permutation::identity(NODES), &device);
        let run = |directions: bool| {
            let x = noise(NODES, features_of.dim(), 9, &device, dtype).require_grad();
            let positions = noise(NODES, 3, 10, &device, dtype).require_grad();
            let mut edges = embedding.forward(&graph, positions.clone());
            edges.directions = edges.directions.filter(|_| directions);
            let output = layer.forward(&graph, x.clone(), None, &edges);
            let gradients = output.clone().square().sum().backward();
            [output.inner(), x.grad(&gradients).unwrap(), positions.grad(&gradients).unwrap()]
        };
        for (place, (given, wanted)) in run(true).iter().zip(run(false)).enumerate() {
            let what = format!("{}, output {place}", setting.name);
            assert_close(&what, &host(&wanted), &host(given), 10.0 * setting.tolerance);
        }
    }
}
