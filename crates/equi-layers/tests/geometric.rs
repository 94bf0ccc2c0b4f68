//! What networks on points can tell apart, and what no network of their kind can: the facts of Joshi et al., On the Expressive Power of
//! Geometric Graph Neural Networks (ICML 2023), and of Pozdnyakov et al., Incompleteness of Atomic Structure Representations (PRL 2020).
//!
//! A difference is relative, in f64. Where theory says that there is none, roundings are left; where it says that there is one, random
//! weights show it.

#![cfg(feature = "flex")]

#[path = "common/irreps.rs"]
mod rows;

use std::f64::consts::TAU;

use burn::module::Module;
use burn::optim::{AdamConfig, GradientsParams};
use burn::tensor::activation::log_softmax;
use burn::tensor::{DType, Device, Int, Tensor};
use equi_core::group::Isometry;
use equi_core::o3::{Irrep, Irreps, SphericalHarmonics};
use equi_core::ops::{segment_mean, segment_sum};
use equi_layers::graph::{EdgeList, Graph};
use equi_layers::o3::{
    EdgeEmbedding, IrrepsNorm, PointConvolutionConfig, TensorFieldNetwork, TensorFieldNetworkConfig,
    TensorProductConfig,
};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rows::{host, irreps, tensor};

type Points = Vec<[f64; 3]>;

/// What roundings leave of nothing.
const NOTHING: f64 = 1e-13;
/// What is certainly there.
const SOMETHING: f64 = 1e-6;

fn device() -> Device {
    Device::flex()
}

fn positions(points: &[[f64; 3]]) -> Tensor<2> {
    tensor(&points.concat(), [points.len(), 3], &device(), DType::F64)
}

fn moved(g: &Isometry, points: &[[f64; 3]]) -> Points {
    points.iter().map(|&p| g.act(p)).collect()
}

/// The largest difference, relative to the largest value.
fn difference(a: &[f64], b: &[f64]) -> f64 {
    let scale = a.iter().chain(b).fold(1e-300_f64, |largest, value| largest.max(value.abs()));
    a.iter().zip(b).fold(0.0, |largest: f64, (a, b)| largest.max((a - b).abs())) / scale
}

/// Asserts that two lists are equal, or that they certainly are not.
fn assert_told(what: &str, expected: bool, [a, b]: [&[f64]; 2]) {
    let difference = difference(a, b);
    assert!(
        if expected { difference > SOMETHING } else { difference < NOTHING },
        "{what}: the difference is {difference:e}"
    );
}

/// The sum over all neighbours of the first point of functions of the distance times harmonics of the direction, `channels` of every
/// degree: what one convolution knows.
fn neighbourhood(lmax: usize, channels: usize, points: &[[f64; 3]]) -> Tensor<2> {
    let count = points.len();
    let edges = EdgeList::new(count, vec![0; count - 1], (1..count).collect()).unwrap();
    let graph = Graph::new(&edges, &device()).unwrap();
    let embedding = EdgeEmbedding::new(lmax, 8, 12.0).unwrap();
    let output = embedding.irreps().blocks().iter().map(|block| (channels, block.irrep)).collect();
    let convolution = PointConvolutionConfig::new(irreps("4x0e"), embedding.irreps(), output, 8).with_seed(1);
    let convolution = convolution.without_self_connection().init((&device(), DType::F64)).unwrap();
    let ones = Tensor::ones([count, 4], (&device(), DType::F64));
    let edges = embedding.forward(&graph, positions(points));
    convolution.forward(&graph, ones, None, &edges).narrow(0, 0, 1)
}

#[test]
fn a_layer_sees_how_an_l_fold_star_is_turned_exactly_if_its_degree_reaches_l() {
    for fold in [2, 3, 5, 10] {
        let spokes = (0..fold).map(|spoke| TAU * spoke as f64 / fold as f64);
        let star: Points =
            std::iter::once([0.0; 3]).chain(spokes.map(|angle| [angle.cos(), angle.sin(), 0.0])).collect();
        // By a part of the angle between spokes that is not close to zero or one.
        for part in [0.5, 0.31] {
            let turned = moved(&Isometry::rotation([0.0, 0.0, 1.0], part * TAU / fold as f64).unwrap(), &star);
            for lmax in 0..=(fold + 1).min(11) {
                let features = [&star, &turned].map(|points| host(&neighbourhood(lmax, 2, points)));
                let what = format!("{fold}-fold star, degrees up to {lmax}");
                assert_told(&what, lmax >= fold, [&features[0], &features[1]]);
            }
        }
    }
}

/// Two environments of a point at the origin that are not the same, up to isometries.
struct Pair {
    name: &'static str,
    /// The order from which invariants differ: the number of neighbours that they compare.
    order: usize,
    points: [Points; 2],
}

/// One pair for every order up to 4.
fn pairs() -> [Pair; 3] {
    let with = |common: &[[f64; 3]], last: [f64; 3]| [&[[0.0; 3]], common, &[last]].concat();
    // A triangle above and its mirror image, turned, below. Its sides are different: with two equal ones, half a turn about an axis
    // between them would take the one environment to the other, and nothing could tell them apart.
    let turn = Isometry::rotation([0.0, 1.0, 0.0], TAU / 10.0).unwrap();
    let upper = [[3.0, 2.0, -4.0], [0.0, 2.0, 5.0], [-4.0, 2.0, -3.0]];
    let lower = moved(&turn, &upper.map(|[x, y, z]| [x, -y, z]));
    let prism = [upper.to_vec(), lower].concat();
    let fan = [[5.0, 0.0, 5.0], [5.0, 5.0, 5.0], [-5.0, -5.0, 5.0]];
    [
        Pair {
            name: "equal distances",
            order: 2,
            points: [with(&[[5.0, 0.0, 0.0]], [3.0, 0.0, 4.0]), with(&[[5.0, 0.0, 0.0]], [-5.0, 0.0, 0.0])],
        },
        Pair {
            name: "equal distances and angles",
            order: 3,
            points: [with(&fan, [0.0, 5.0, 5.0]), with(&fan, [0.0, -5.0, 5.0])],
        },
        Pair {
            name: "equal distances, angles and triples",
            order: 4,
            points: [with(&prism, [0.0, 5.0, 0.0]), with(&prism, [0.0, -5.0, 0.0])],
        },
    ]
}

/// Both parities of every degree up to `lmax`.
fn full(lmax: usize, channels: usize) -> Irreps {
    (0..=lmax).flat_map(|l| [Irrep::odd(l), Irrep::even(l)]).map(|irrep| (channels, irrep)).collect()
}

#[test]
fn products_of_as_many_neighbours_as_needed_complete_what_fewer_leave_incomplete() {
    let (lmax, channels, dtype) = (3, 3, DType::F64);
    let one: Irreps = SphericalHarmonics::up_to(lmax).irreps().blocks().iter().map(|b| (channels, b.irrep)).collect();
    let features = full(lmax, channels);
    let scalars = features.slices()[1].clone();
    assert_eq!(features.blocks()[1].irrep, Irrep::even(0));
    for Pair { name, order, points } in pairs() {
        let neighbourhoods = points.map(|points| neighbourhood(lmax, channels, &points));
        let first = |a: &Tensor<2>| host(&a.clone().narrow(1, 0, channels));
        assert_told(&format!("{name}: order 1"), false, [&first(&neighbourhoods[0]), &first(&neighbourhoods[1])]);
        let mut products = neighbourhoods.clone();
        let mut irreps = one.clone();
        for current in 2..=4 {
            let product = TensorProductConfig::fully_connected(irreps.clone(), one.clone(), features.clone());
            let product = product.with_unreached_outputs().with_seed(current as u64).init((&device(), dtype)).unwrap();
            products = std::array::from_fn(|i| product.forward(products[i].clone(), neighbourhoods[i].clone()));
            irreps = features.clone();
            let [a, b] = [0, 1].map(|i| host(&products[i].clone().narrow(1, scalars.start, scalars.len())));
            assert_told(&format!("{name}: order {current}"), current >= order, [&a, &b]);
        }
    }
}

/// A network with scalars of either parity in the output, summed over the nodes of every graph.
fn network(hidden: &str, out: &str, layers: usize, cutoff: f64, seed: u64) -> TensorFieldNetwork {
    TensorFieldNetworkConfig::new(irreps("1x0e"), irreps(hidden), irreps(out), cutoff, 2.0)
        .with_layers(layers)
        .with_seed(seed)
        .init((&device(), DType::F64))
        .unwrap()
}

/// What a network says of two graphs.
fn answers(network: &TensorFieldNetwork, edges: &EdgeList, points: [&[[f64; 3]]; 2]) -> [Vec<f64>; 2] {
    let graph = Graph::batch([edges, edges], &device()).unwrap();
    let ones = Tensor::ones([graph.nodes(), 1], (&device(), DType::F64));
    let output = network.forward(&graph, ones, positions(&points.concat()), None);
    let output = segment_sum(output, graph.members());
    [0, 1].map(|graph| host(&output.clone().narrow(0, graph, 1)))
}

/// A point in the middle, joined to all others both ways.
fn hub(count: usize) -> EdgeList {
    let (out, back) = ((1..count), (1..count));
    EdgeList::new(count, out.clone().chain(back.clone().map(|_| 0)).collect(), out.map(|_| 0).chain(back).collect())
        .unwrap()
}

#[test]
fn a_network_of_one_layer_compares_single_neighbours_and_fails_on_every_pair() {
    for Pair { name, points, .. } in pairs() {
        let edges = hub(points[0].len());
        for seed in 0..3 {
            let network = network("8x0e", "4x0e", 1, 12.0, seed);
            let [a, b] = answers(&network, &edges, [&points[0], &points[1]]);
            assert_told(&format!("{name}: one layer"), false, [&a, &b]);
        }
    }
}

#[test]
fn a_second_layer_sees_angles() {
    let [first, ..] = pairs();
    let edges = hub(3);
    for seed in 0..3 {
        let scalars = network("8x0e", "4x0e", 2, 12.0, seed);
        let [a, b] = answers(&scalars, &edges, [&first.points[0], &first.points[1]]);
        assert_told("two layers of scalars", false, [&a, &b]);
        let vectors = network("8x0e+4x1o+4x2e", "4x0e", 2, 12.0, seed);
        let [a, b] = answers(&vectors, &edges, [&first.points[0], &first.points[1]]);
        assert_told("two layers with vectors", true, [&a, &b]);
    }
}

#[test]
fn mirror_images_differ_in_pseudoscalars_only() {
    // Different lengths at right angles: no mirror maps them to themselves.
    let points = [[0.0; 3], [1.0, 0.0, 0.0], [0.0, 1.5, 0.0], [0.0, 0.0, 2.0]];
    let mirrored = points.map(|[x, y, z]| [-x, y, z]);
    let edges = EdgeList::complete(4).unwrap();
    for seed in 0..3 {
        let network = network("6x0e+6x0o+6x1o+6x1e+4x2e+4x2o", "3x0e+3x0o", 3, 5.0, seed);
        let [a, b] = answers(&network, &edges, [&points, &mirrored]);
        assert_told("scalars", false, [&a[..3], &b[..3]]);
        assert_told("pseudoscalars", true, [&a[3..], &b[3..]]);
        let negated: Vec<f64> = b[3..].iter().map(|value| -value).collect();
        // Odd sums cancel in part.
        assert!(difference(&a[3..], &negated) < 10.0 * NOTHING);
    }
}

/// `k` points in a row and one more at each end, on the same side of the row or on opposite sides; neighbours are joined.
fn chains(k: usize) -> (EdgeList, [Points; 2]) {
    let (receivers, senders) = (0..=k).flat_map(|i| [(i, i + 1), (i + 1, i)]).unzip();
    let points = [1.0, -1.0].map(|side| {
        let row = (0..k).map(|i| [0.0, i as f64, 0.0]);
        [[0.8, -0.6, 0.0]].into_iter().chain(row).chain([[0.8 * side, k as f64 - 0.4, 0.0]]).collect()
    });
    (EdgeList::new(k + 2, receivers, senders).unwrap(), points)
}

/// Asserts that networks tell the chains of 2 to 6 inner points apart exactly from this many layers on.
fn assert_needed_layers(needed: impl Fn(usize) -> usize, out: &str, read: impl Fn(Tensor<2>) -> Tensor<2>) {
    for k in 2..=6 {
        let (edges, points) = chains(k);
        let graph = Graph::batch([&edges, &edges], &device()).unwrap();
        let ones = Tensor::ones([graph.nodes(), 1], (&device(), DType::F64));
        for layers in 1..=needed(k) + 1 {
            let network = network("8x0e+8x1o", out, layers, 2.0, 1);
            let output = network.forward(&graph, ones.clone(), positions(&points.concat()), None);
            let output = segment_sum(read(output), graph.members());
            let difference = difference(&host(&output.clone().narrow(0, 0, 1)), &host(&output.narrow(0, 1, 1)));
            // Little of what is at one end comes to the other.
            let told = difference > 1e-9;
            assert!(told || difference < NOTHING, "k = {k}, {layers} layers: {difference:e}");
            assert_eq!(told, layers >= needed(k), "k = {k}, {layers} layers: {difference:e}");
        }
    }
}

#[test]
fn vectors_from_both_ends_of_a_chain_meet_after_half_its_length() {
    let norm = IrrepsNorm::new(&irreps("4x1o")).unwrap();
    assert_needed_layers(|k| k / 2 + 1, "4x1o", |vectors| norm.forward(vectors));
}

/// A convolution multiplies features by the directions of edges and not by one another: what comes from one end must go to the other to
/// meet its direction.
#[test]
fn scalars_know_both_ends_of_a_chain_after_its_whole_length() {
    assert_needed_layers(|k| k + 1, "4x0e", |scalars| scalars);
}

/// The eight pieces of Tetris, four cubes each; the first two are mirror images.
const PIECES: [[[f64; 3]; 4]; 8] = [
    [[0.0, 0.0, 0.0], [0.0, 0.0, 1.0], [1.0, 0.0, 0.0], [1.0, 1.0, 0.0]],
    [[0.0, 0.0, 0.0], [0.0, 0.0, 1.0], [1.0, 0.0, 0.0], [1.0, -1.0, 0.0]],
    [[0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [1.0, 1.0, 0.0]],
    [[0.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, 0.0, 2.0], [0.0, 0.0, 3.0]],
    [[0.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [1.0, 0.0, 0.0]],
    [[0.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, 0.0, 2.0], [0.0, 1.0, 0.0]],
    [[0.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, 0.0, 2.0], [0.0, 1.0, 1.0]],
    [[0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [1.0, 1.0, 0.0], [2.0, 1.0, 0.0]],
];

/// Eight scores for every piece: the first two from an even and an odd number, `e + o` and `e - o`.
fn scores(network: &TensorFieldNetwork, pieces: &[Points], device: &Device) -> Tensor<2> {
    let edges: Vec<EdgeList> = pieces.iter().map(|piece| EdgeList::radius(piece, 1.2).unwrap()).collect();
    let graph = Graph::batch(&edges, device).unwrap();
    let rows = pieces.concat();
    let ones = Tensor::ones([rows.len(), 1], device);
    let positions = tensor(&rows.concat(), [rows.len(), 3], device, DType::F32);
    let output = segment_mean(network.forward(&graph, ones, positions, None), graph.members());
    let (even, others, odd) = (output.clone().narrow(1, 0, 1), output.clone().narrow(1, 1, 6), output.narrow(1, 7, 1));
    Tensor::cat(vec![even.clone() + odd.clone(), even - odd, others], 1)
}

fn best(scores: Tensor<2>) -> Vec<f64> {
    host(&scores.argmax(1).float())
}

#[test]
fn tetris_is_learned_from_one_orientation_and_known_in_all() {
    let device = Device::flex().autodiff();
    let config = TensorFieldNetworkConfig::new(
        irreps("1x0e"),
        irreps("16x0e+8x0o+8x1o+8x1e+4x2e+4x2o"),
        irreps("7x0e+1x0o"),
        1.5,
        1.5,
    );
    let mut network = config.with_seed(0).init((&device, DType::F32)).unwrap();
    let pieces = PIECES.map(Vec::from).to_vec();
    let answers = Tensor::<1, Int>::arange(0..8, &device).unsqueeze_dim(1);
    let mut adam = AdamConfig::new().init();
    for _ in 0..60 {
        let loss = -log_softmax(scores(&network, &pieces, &device), 1).gather(1, answers.clone()).mean();
        let gradients = GradientsParams::from_grads(loss.backward(), &network);
        network = adam.step(5e-3, network, gradients);
    }
    let (network, device) = (network.valid(), Device::flex());
    let known: Vec<f64> = (0..8).map(f64::from).collect();
    let mirrored: Vec<f64> = [1, 0, 2, 3, 4, 5, 6, 7].map(f64::from).to_vec();
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    for _ in 0..100 {
        let g = Isometry::random_translation(3.0, &mut rng) * Isometry::random_rotation(&mut rng);
        let turned = |g: Isometry| pieces.iter().map(|piece| moved(&g, piece)).collect::<Vec<_>>();
        assert_eq!(best(scores(&network, &turned(g), &device)), known);
        assert_eq!(best(scores(&network, &turned(g * Isometry::INVERSION), &device)), mirrored);
    }
}
