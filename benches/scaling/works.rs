//! What is measured.

use std::hint::black_box;
use std::time::Instant;

use burn::module::Module;
use burn::tensor::{Device, Distribution, Tensor};
use equi::core::FieldType;
use equi::core::group::C8;
use equi::core::o3::{Irrep, Irreps, MulIrrep, SphericalHarmonics};
use equi::layers::graph::{EdgeList, EgnnConfig, Graph, Points};
use equi::layers::o3::{
    ConnectionMode, EdgeFeatures, Instruction, PointConvolutionConfig, TensorProduct, TensorProductConfig,
};
use equi::layers::planar::R2ConvConfig;
use equi::layers::se3_transformer::{Fibre, FibreFeatures, NodeInput, SE3Inputs, SE3TransformerConfig};

use crate::cost::{self, Cost};
use crate::curve::Point;
use crate::machine::Machine;

/// A forward pass: its outputs, flat.
type Run = Box<dyn Fn() -> Vec<Tensor<1>>>;

/// A layer and its inputs at a size, on a device that may record gradients.
type Build = fn(usize, &Device) -> (Run, Cost);

pub struct Work {
    pub name: &'static str,
    pub shapes: &'static str,
    build: Build,
}

pub struct Plot {
    /// Of its file.
    pub name: &'static str,
    pub title: &'static str,
    pub axis: &'static str,
    pub sizes: &'static [usize],
    pub works: &'static [Work],
}

pub const PLOTS: [Plot; 4] = [
    Plot {
        name: "edges",
        title: "Edges",
        axis: "edges",
        sizes: &[1_000, 3_200, 10_000, 32_000, 100_000, 320_000, 1_000_000],
        works: &[
            Work { name: "EGNN layer", shapes: "64 features, 16 neighbours", build: egnn },
            Work {
                name: "PointConvolution",
                shapes: "8x0e+8x1o, harmonics 0e+1o, 8 radial functions, 64 hidden, 16 neighbours",
                build: point_convolution,
            },
        ],
    },
    Plot {
        name: "channels",
        title: "Channels",
        axis: "channels",
        sizes: &[8, 16, 32, 64, 128, 256],
        works: &[
            Work {
                name: "R2Conv of C8",
                shapes: "regular fields, kernel 5, 4 images of 28 x 28; operations of the dense convolution",
                build: convolution_of_channels,
            },
            Work {
                name: "tensor product",
                shapes: "uvu, channels x(0e+1o+2e) with 0e+1o+2e, 2,000 edges with weights for each",
                build: product_of_channels,
            },
        ],
    },
    Plot {
        name: "degrees",
        title: "Degrees",
        axis: "number of degrees, from 0 on",
        sizes: &[1, 2, 3, 4, 5, 6, 7],
        works: &[
            Work { name: "spherical harmonics", shapes: "100,000 points", build: harmonics },
            Work {
                name: "tensor product",
                shapes: "uvu, 8 channels of every degree with harmonics of every degree into every degree, 500 edges with weights for each",
                build: product_of_degrees,
            },
            Work {
                name: "two SE(3) convolutions",
                shapes: "`SE3Transformer` of depth 0: 4 channels of every degree, 32 hidden radial values, 64 nodes of 8 neighbours",
                build: se3_convolutions,
            },
        ],
    },
    Plot {
        name: "image",
        title: "Image size",
        axis: "pixels of a side",
        sizes: &[16, 32, 64, 128],
        works: &[Work {
            name: "R2Conv of C8",
            shapes: "4 -> 4 regular fields, kernel 5, 4 images; operations of the dense convolution",
            build: convolution_of_size,
        }],
    },
];

/// The median time of a run in seconds, of as many as there is patience for, at least two after one that is not counted.
fn median(patience: f64, mut run: impl FnMut()) -> f64 {
    run();
    let (mut times, begin) = (Vec::new(), Instant::now());
    while times.len() < 2 || (times.len() < 50 && begin.elapsed().as_secs_f64() < patience) {
        let start = Instant::now();
        run();
        times.push(start.elapsed().as_secs_f64());
    }
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

impl Work {
    pub fn measure(&self, size: usize, machine: &Machine, patience: f64) -> Point {
        let device = Device::default();
        let sync = || device.sync().expect("the device computes");
        let (run, cost) = (self.build)(size, &device);
        for output in run() {
            let sum: f64 = output.sum().into_scalar();
            assert!(sum.is_finite(), "{} at {size}: {sum}", self.name);
        }
        let forward = median(patience, || {
            black_box(run());
            sync();
        });
        drop(run);
        let (run, _) = (self.build)(size, &device.clone().autodiff());
        let backward = median(patience, || {
            let sums = run().into_iter().map(Tensor::sum).reduce(|a, b| a + b);
            // Harmonics of degree 0 are constant.
            black_box(sums.filter(Tensor::is_tracked).map(|sum| sum.backward()));
            sync();
        });
        let (arithmetic, memory) = (cost.flops / machine.flops, cost.bytes / machine.bandwidth);
        Point {
            size,
            forward,
            backward,
            flops: cost.flops,
            bytes: cost.bytes,
            limit: arithmetic.max(memory),
            by_memory: memory > arithmetic,
        }
    }
}

fn normal<const D: usize>(shape: [usize; D], device: &Device) -> Tensor<D> {
    Tensor::random(shape, Distribution::Normal(0.0, 1.0), device)
}

/// An input, whose gradient is asked for where gradients are recorded.
fn leaf<const D: usize>(shape: [usize; D], device: &Device) -> Tensor<D> {
    let tensor = normal(shape, device);
    if device.is_autodiff() { tensor.require_grad() } else { tensor }
}

fn flat<const D: usize>(tensor: Tensor<D>) -> Tensor<1> {
    let count = tensor.shape().num_elements();
    tensor.reshape([count])
}

/// About so many edges, the same number to every node.
fn graph(edges: usize, neighbours: usize, device: &Device) -> Graph {
    let nodes = (edges / neighbours).max(2);
    let receivers: Vec<usize> = (0..nodes).flat_map(|node| std::iter::repeat_n(node, neighbours)).collect();
    // A stride that shares no factor with the number of nodes would be regular; this one wanders.
    let senders = receivers.iter().enumerate().map(|(edge, &node)| (node + 1 + edge * 7919 % (nodes - 1)) % nodes);
    let edges = EdgeList::new(nodes, receivers.clone(), senders.collect()).expect("no node sends to itself");
    Graph::new(&edges, device).expect("few edges")
}

fn egnn(edges: usize, device: &Device) -> (Run, Cost) {
    const FEATURES: usize = 64;
    let network = EgnnConfig::new(FEATURES, FEATURES).with_layers(1).with_seed(1).init(device).expect("valid options");
    let graph = graph(edges, 16, device);
    let (edges, nodes) = (graph.edges(), graph.nodes());
    let points = Points::new(leaf([nodes, FEATURES], device), leaf([nodes, 3], device));
    // Of a node: twice before the messages, three times after them; of an edge: the message and the length of its shift.
    let square = |rows| cost::linear(rows, FEATURES, FEATURES);
    let flops = 5 * square(nodes) + 2 * square(edges) + cost::linear(edges, FEATURES, 1);
    let cost = Cost::new(flops, 2 * nodes * (FEATURES + 3) + 2 * edges + 7 * FEATURES * FEATURES);
    let run = move || {
        let points = network.layers[0].forward(&graph, points.clone(), None);
        vec![flat(points.features), flat(points.positions)]
    };
    (Box::new(run), cost)
}

fn point_convolution(edges: usize, device: &Device) -> (Run, Cost) {
    const RADIAL: usize = 8;
    const HIDDEN: usize = 64;
    let features: Irreps = "8x0e+8x1o".parse().expect("irreps");
    let harmonics: Irreps = "0e+1o".parse().expect("irreps");
    let config = PointConvolutionConfig::new(features.clone(), harmonics.clone(), features.clone(), RADIAL)
        .with_radial_hidden([HIDDEN])
        .with_neighbours(16.0)
        .with_seed(1);
    let layer = config.init(device).expect("valid options");
    let graph = graph(edges, 16, device);
    let (edges, nodes, dim) = (graph.edges(), graph.nodes(), features.dim());
    let x = leaf([nodes, dim], device);
    let of_edges = EdgeFeatures::new(leaf([edges, harmonics.dim()], device), leaf([edges, RADIAL], device));
    let weights = layer.product.weight_numel();
    let maps = |irreps: &Irreps, rows: usize| {
        let of = |block: &MulIrrep| cost::linear(rows * block.irrep.dim(), block.mul, 8);
        irreps.blocks().iter().map(of).sum::<usize>()
    };
    let flops = 2 * maps(&features, nodes)
        + maps(layer.product.irreps_out(), nodes)
        + cost::linear(edges, RADIAL, HIDDEN)
        + cost::linear(edges, HIDDEN, weights)
        + cost::product(&layer.product, edges);
    let cost = Cost::new(flops, 2 * nodes * dim + edges * (harmonics.dim() + RADIAL + 2) + HIDDEN * (RADIAL + weights));
    (Box::new(move || vec![flat(layer.forward(&graph, x.clone(), None, &of_edges))]), cost)
}

fn convolution(channels: usize, side: usize, device: &Device) -> (Run, Cost) {
    const IMAGES: usize = 4;
    let regular = FieldType::regular(C8, channels / 8).expect("a finite group");
    let layer = R2ConvConfig::new(&regular, &regular, 5).with_same_padding().init(device).expect("a basis");
    let x = leaf([IMAGES, channels, side, side], device);
    let numbers = 2 * IMAGES * channels * side * side + layer.weights.dims()[0];
    let cost = Cost::new(IMAGES * layer.flops(side, side) as usize, numbers);
    (Box::new(move || vec![flat(layer.forward(x.clone()))]), cost)
}

fn convolution_of_channels(channels: usize, device: &Device) -> (Run, Cost) {
    convolution(channels, 28, device)
}

fn convolution_of_size(side: usize, device: &Device) -> (Run, Cost) {
    convolution(32, side, device)
}

/// Every path between these irreps, each to a block of its own, with a weight for every channel.
fn uvu(channels: usize, irreps: &[Irrep], device: &Device) -> TensorProduct {
    let all = |copies| irreps.iter().map(|&irrep| MulIrrep::new(copies, irrep)).collect::<Vec<_>>();
    let (mut blocks, mut instructions) = (Vec::new(), Vec::new());
    for (in1, a) in irreps.iter().enumerate() {
        for (in2, b) in irreps.iter().enumerate() {
            for irrep in a.product(*b).filter(|irrep| irreps.contains(irrep)) {
                instructions.push(Instruction::new(in1, in2, blocks.len(), ConnectionMode::Uvu));
                blocks.push(MulIrrep::new(channels, irrep));
            }
        }
    }
    TensorProductConfig::new(Irreps::new(all(channels)), Irreps::new(all(1)), Irreps::new(blocks), instructions)
        .without_weights()
        .init(device)
        .expect("a product")
}

fn product(channels: usize, irreps: &[Irrep], rows: usize, device: &Device) -> (Run, Cost) {
    let product = uvu(channels, irreps, device);
    let config = product.config();
    let columns = [config.irreps_in1.dim(), config.irreps_in2.dim(), product.weight_numel()];
    let inputs = columns.map(|columns| leaf([rows, columns], device));
    let numbers = rows * (columns.iter().sum::<usize>() + product.irreps_out().dim());
    let cost = Cost::new(cost::product(&product, rows), numbers);
    let run = move || {
        let [first, second, weights] = inputs.clone();
        vec![flat(product.forward_with(first, second, weights))]
    };
    (Box::new(run), cost)
}

fn product_of_channels(channels: usize, device: &Device) -> (Run, Cost) {
    let irreps: Irreps = "0e+1o+2e".parse().expect("irreps");
    product(channels, &irreps.blocks().iter().map(|block| block.irrep).collect::<Vec<_>>(), 2_000, device)
}

fn product_of_degrees(degrees: usize, device: &Device) -> (Run, Cost) {
    let harmonics = SphericalHarmonics::up_to(degrees - 1).irreps();
    product(8, &harmonics.blocks().iter().map(|block| block.irrep).collect::<Vec<_>>(), 500, device)
}

fn harmonics(degrees: usize, device: &Device) -> (Run, Cost) {
    const POINTS: usize = 100_000;
    let harmonics = SphericalHarmonics::up_to(degrees - 1);
    let (points, columns) = (leaf([POINTS, 3], device), degrees * degrees);
    // Of a point, its direction; of a component, the recursion of its degree and the factor of its order.
    let cost = Cost::new(POINTS * (9 + 5 * columns), POINTS * (3 + columns));
    (Box::new(move || vec![flat(harmonics.forward(points.clone()))]), cost)
}

fn se3_convolutions(degrees: usize, device: &Device) -> (Run, Cost) {
    const CHANNELS: usize = 4;
    const HIDDEN: usize = 32;
    let fibre = Fibre::uniform(degrees, CHANNELS);
    let config = SE3TransformerConfig::new(CHANNELS)
        .with_depth(0)
        .with_input_degrees(degrees)
        .with_num_degrees(degrees)
        .with_output_degrees(degrees)
        .with_radial_hidden(HIDDEN)
        .with_norm_out(false);
    let network = config.init(device).expect("valid options");
    let graph = graph(512, 8, device);
    let (edges, nodes, columns) = (graph.edges(), graph.nodes(), CHANNELS * degrees * degrees);
    let x = leaf([nodes, columns], device);
    let positions = normal([nodes, 3], device);
    let flops = 2 * cost::se3_convolution(degrees, CHANNELS, HIDDEN, nodes, edges);
    let parameters = network.num_params();
    let cost = Cost::new(flops, nodes * (2 * columns + 3) + 2 * edges + parameters);
    let run = move || {
        let features = NodeInput::Features(FibreFeatures::from_irreps(x.clone(), &fibre));
        vec![flat(network.forward(&graph, SE3Inputs::new(features, positions.clone())).into_irreps())]
    };
    (Box::new(run), cost)
}
