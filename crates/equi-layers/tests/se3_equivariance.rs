//! Every option of the SE(3)-Transformer commutes with rotations, translations and permutations, and with reflections where it says so:
//! outputs and input gradients, on every device and in every precision. Devices agree with one another, weight gradients included. What
//! padded tensors and edge lists say of the same graph is the same.

#[path = "common/devices.rs"]
mod devices;
#[path = "common/se3_transformer.rs"]
mod se3_transformer;

use burn::tensor::{Bool, DType, Device, Int, Tensor, TensorData};
use devices::{Setting, settings};
use equi_core::action::space::PointField;
use equi_core::check::points::{self, Motion, PointFeature, PointFn, Trials, probe};
use equi_core::group::Permutation;
use equi_core::o3::Irrep;
use equi_layers::LayerError;
use equi_layers::graph::{EdgeList, Graph};
use equi_layers::se3_transformer::{
    AttentionScope, DenseInputs, Fibre, FibreFeatures, Keys, SE3Inputs, SE3Transformer, SE3TransformerConfig, Skip,
};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use se3_transformer::{float, host, largest_difference, stirred, uniform, weight_gradients};

/// Sizes of the graphs: one has no edges, one has no nodes.
const GRAPHS: [usize; 4] = [5, 1, 0, 6];
const NODES: usize = 12;
const EDGE_FEATURES: usize = 3;
const TOKENS: usize = 4;
const PLACES: usize = 9;
const HOPS: usize = 2;
const GLOBAL: usize = 3;

fn whole(values: &[usize], device: &Device) -> Tensor<1, Int> {
    let values: Vec<i64> = values.iter().map(|&value| value as i64).collect();
    let shape = [values.len()];
    Tensor::from_data(TensorData::new(values, shape), device)
}

/// What belongs to nodes, edges and graphs and does not move.
struct Surroundings {
    /// Receivers and senders; node 7 receives nothing, and two edges are double.
    pairs: Vec<(usize, usize)>,
    edges: Vec<f64>,
    edge_tokens: Vec<usize>,
    hops: Vec<usize>,
    tokens: Vec<usize>,
    sequence: Vec<usize>,
    global: Vec<f64>,
}

impl Surroundings {
    fn new(rng: &mut ChaCha8Rng) -> Self {
        let (mut pairs, mut first) = (Vec::new(), 0);
        for nodes in GRAPHS {
            for (i, j) in (0..nodes).flat_map(|i| (0..nodes).map(move |j| (first + i, first + j))) {
                if i != j && i != 7 && rng.random_bool(0.6) {
                    pairs.push((i, j));
                }
            }
            first += nodes;
        }
        pairs.extend_from_within(..2);
        let count = pairs.len();
        let mut draw =
            |count: usize, below: usize| -> Vec<usize> { (0..count).map(|_| rng.random_range(0..below)).collect() };
        let (edge_tokens, hops) = (draw(count, TOKENS), draw(count, HOPS + 1));
        let (tokens, sequence) = (draw(NODES, TOKENS), draw(NODES, PLACES));
        Self {
            pairs,
            edges: uniform(rng, count * EDGE_FEATURES),
            edge_tokens,
            hops,
            tokens,
            sequence,
            global: uniform(rng, GRAPHS.len() * 2 * GLOBAL),
        }
    }

    /// The batch with the nodes of every graph in another order.
    fn graph(&self, order: &Permutation, device: &Device) -> Graph {
        let mut first = 0;
        let graphs: Vec<EdgeList> = GRAPHS
            .iter()
            .map(|&nodes| {
                let here = first..first + nodes;
                let ends = self.pairs.iter().filter(|(i, _)| here.contains(i));
                let ends = ends.map(|&(i, j)| (order.image(i) - first, order.image(j) - first));
                let (receivers, senders) = ends.unzip();
                first += nodes;
                EdgeList::new(nodes, receivers, senders).unwrap()
            })
            .collect();
        Graph::batch(&graphs, device).unwrap()
    }

    /// The pairs in the order of the graphs they are in.
    fn edge_order(&self) -> Vec<usize> {
        let graph_of = |node: usize| {
            GRAPHS
                .iter()
                .scan(0, |end, n| {
                    *end += n;
                    Some(*end)
                })
                .position(|end| node < end)
        };
        let mut order: Vec<usize> = (0..self.pairs.len()).collect();
        order.sort_by_key(|&edge| graph_of(self.pairs[edge].0));
        order
    }

    fn inputs(
        &self,
        config: &SE3TransformerConfig,
        graph: &Graph,
        inputs: &[Tensor<2>],
        order: &Permutation,
    ) -> SE3Inputs {
        let (device, dtype) = (inputs[0].device(), inputs[0].dtype());
        let positions = inputs[0].clone();
        let of_nodes = |values: &[usize]| -> Vec<usize> {
            let mut moved = vec![0; NODES];
            values.iter().enumerate().for_each(|(node, &value)| moved[order.image(node)] = value);
            moved
        };
        let edge_order = self.edge_order();
        let arranged = |values: &[f64], columns: usize| {
            let values: Vec<f64> =
                edge_order.iter().flat_map(|&edge| &values[edge * columns..][..columns]).copied().collect();
            graph.arrange(float(&values, [self.pairs.len(), columns], &device, dtype))
        };
        let of_edges = |values: &[usize]| {
            let values: Vec<f64> = values.iter().map(|&value| value as f64).collect();
            arranged(&values, 1).without_autodiff().squeeze_dim::<1>(1).round().int()
        };
        let mut given = if config.num_tokens.is_some() {
            SE3Inputs::new(whole(&of_nodes(&self.tokens), &device), positions)
        } else {
            let parts = config.fibre_in().iter().zip(&inputs[1..]).fold(
                FibreFeatures::default(),
                |features, ((degree, channels), input)| {
                    features.with_degree(degree, input.clone().reshape([NODES, channels, 2 * degree + 1]))
                },
            );
            SE3Inputs::new(parts, positions)
        };
        if config.num_edge_tokens.is_some() {
            given = given.with_edges(of_edges(&self.edge_tokens));
        } else if config.edge_dim > 0 {
            given = given.with_edges(arranged(&self.edges, EDGE_FEATURES));
        }
        if config.adj_dim > 0 {
            given = given.with_hops(of_edges(&self.hops));
        }
        if config.num_positions.is_some() || config.rotary_position {
            given = given.with_sequence(whole(&of_nodes(&self.sequence), &device));
        }
        if config.global_feats_dim.is_some() {
            given = given.with_global(float(&self.global, [GRAPHS.len(), 2, GLOBAL], &device, dtype));
        }
        given
    }
}

/// A fibre with channels of its own for every degree; often without some degree.
fn fibre(rng: &mut ChaCha8Rng, scalars: bool) -> Fibre {
    let highest = rng.random_range(0..4);
    let drawn: Vec<usize> = (0..=highest).map(|_| rng.random_range(0..4)).collect();
    let first = if scalars || highest == 0 { 1 } else { 0 };
    Fibre::new(drawn.into_iter().enumerate().map(|(degree, channels)| {
        let least = if degree == highest {
            1
        } else if degree == 0 {
            first
        } else {
            0
        };
        (degree, channels.max(least))
    }))
}

/// A configuration with every option drawn.
fn options(rng: &mut ChaCha8Rng) -> SE3TransformerConfig {
    loop {
        let mut half = |probability: f64| rng.random_bool(probability);
        let mut config = SE3TransformerConfig::new(3)
            .with_dim_head(4)
            .with_radial_hidden(8)
            .with_egnn_hidden_dim(6)
            .with_differentiable_coors(half(0.7))
            .with_fourier_encode_dist(half(0.4))
            .with_attend_self(half(0.6))
            .with_use_null_kv(half(0.4))
            .with_one_headed_key_values(half(0.3))
            .with_rotary_position(half(0.2))
            .with_rotary_rel_dist(half(0.2))
            .with_feed_forward(half(0.7))
            .with_norm_gated_scale(half(0.3))
            .with_norm_out(half(0.3))
            .with_reduce_dim_out(half(0.2))
            .with_use_egnn(half(0.25))
            .with_egnn_feedforward(half(0.5))
            .with_reflections(half(0.5));
        if half(0.3) {
            config = config.with_skip(Skip::Cat);
        }
        if half(0.3) {
            config = config.with_attention_scope(AttentionScope::AllDegrees);
        }
        if half(0.3) {
            config = config.with_num_tokens(Some(TOKENS));
        }
        if half(0.2) {
            config = config.with_num_positions(Some(PLACES));
        }
        if half(0.4) {
            config = config.with_edge_dim(EDGE_FEATURES);
            if half(0.5) {
                config = config.with_num_edge_tokens(Some(TOKENS));
            }
        }
        if half(0.3) {
            config = config.with_num_adj_degrees(Some(HOPS)).with_adj_dim(2);
        }
        if half(0.3) {
            config = config.with_global_feats_dim(Some(GLOBAL));
        }
        if half(0.5) {
            config = config.with_egnn_weights_clamp_value(Some(0.5));
        }
        let (own_input, own_hidden, own_output) = (half(0.3), half(0.3), half(0.3));
        config = config
            .with_heads(rng.random_range(1..4))
            .with_depth(rng.random_range(0..3))
            .with_num_conv_layers(rng.random_range(0..2))
            .with_input_degrees(rng.random_range(1..4))
            .with_num_degrees(rng.random_range(1..4))
            .with_output_degrees(rng.random_range(1..4))
            .with_keys([Keys::Convolved, Keys::Linear, Keys::Tied][rng.random_range(0..3_usize)])
            .with_dim_in(Some(rng.random_range(1..4)))
            .with_dim_out(Some(rng.random_range(1..4)))
            .with_seed(Some(rng.random()));
        if own_input {
            config = config.with_input_fibre(Some(fibre(rng, false)));
        }
        if own_hidden {
            let scalars = config.use_egnn;
            config = config.with_hidden_fibre(Some(fibre(rng, scalars)));
        }
        if own_output {
            config = config.with_output_fibre(Some(fibre(rng, false)));
        }
        if config.num_tokens.is_some() {
            config = config.with_input_fibre(Some(Fibre::new([(0, 3)])));
        }
        // Options that would have no use are refused: they are what they are by default.
        let plain = SE3TransformerConfig::new(config.dim);
        let of_input = config.input_fibre.is_some();
        let of_output = config.output_fibre.is_some() || config.use_egnn;
        if of_input {
            (config.dim_in, config.input_degrees) = (None, plain.input_degrees);
        }
        if of_output {
            (config.dim_out, config.output_degrees) = (None, plain.output_degrees);
        }
        if config.hidden_fibre.is_some() {
            config.num_degrees = plain.num_degrees;
        }
        if config.use_egnn {
            (config.use_null_kv, config.keys, config.one_headed_key_values) = (false, plain.keys, false);
            (config.attend_self, config.feed_forward) = (true, true);
            (config.attention_scope, config.skip) = (plain.attention_scope, plain.skip);
            config.norm_out &= config.output_fibre.is_some();
            (config.rotary_position, config.rotary_rel_dist, config.global_feats_dim) = (false, false, None);
        } else {
            (config.egnn_feedforward, config.egnn_weights_clamp_value) = (false, None);
        }
        // Some draws exclude each other, and the configuration says so.
        match config.init(&Device::default()) {
            Ok(_) => return config,
            Err(error) => assert!(matches!(error, LayerError::InvalidConfig(_)), "{config:?}: {error}"),
        }
    }
}

/// A fibre as features of the checks, one for every degree.
fn features(fibre: &Fibre) -> Vec<PointFeature> {
    let feature =
        |(degree, channels)| PointFeature::per_node(PointField::Irrep(Irrep::spherical_harmonic(degree)), channels);
    fibre.iter().map(feature).collect()
}

fn inputs_of(config: &SE3TransformerConfig) -> Vec<PointFeature> {
    let mut inputs = vec![PointFeature::per_node(PointField::Position, 1)];
    if config.num_tokens.is_none() {
        inputs.extend(features(&config.fibre_in()));
    }
    inputs
}

fn rows(features: &FibreFeatures) -> Vec<Tensor<2>> {
    let fibre = features.fibre();
    let degree = |(degree, channels): (usize, usize)| {
        let features = features.degree(degree).unwrap();
        let rows = features.dims()[0];
        features.reshape([rows, channels * (2 * degree + 1)])
    };
    fibre.iter().map(degree).collect()
}

fn forward(
    network: &SE3Transformer,
    surroundings: &Surroundings,
    inputs: &[Tensor<2>],
    order: &Permutation,
) -> Vec<Tensor<2>> {
    let graph = surroundings.graph(order, &inputs[0].device());
    let given = surroundings.inputs(network.config(), &graph, inputs, order);
    rows(&network.forward(&graph, given))
}

fn claims(config: &SE3TransformerConfig) -> &'static [Motion] {
    if config.reflections { &Motion::ALL } else { &Motion::PROPER }
}

#[test]
fn every_option_is_equivariant() {
    for Setting { name, device, dtype, tolerance } in settings() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        // Few where every shape compiles kernels.
        let draws = if name.starts_with("wgpu") { 2 } else { 60 };
        for _ in 0..draws {
            let (config, surroundings) = (options(&mut rng), Surroundings::new(&mut rng));
            let network = stirred(&config, &device, dtype);
            let outputs = features(&config.fibre_out());
            let map = PointFn::new(&GRAPHS, &inputs_of(&config), &outputs, &device, dtype, |inputs, order| {
                forward(&network, &surroundings, inputs, order)
            });
            let map = map.claiming(claims(&config));
            println!("{name}: {config:?}");
            // Layers of norms and softmaxes: some hundred roundings. 1e-4 in f32, 1e-10 in f64.
            let tolerance = if dtype == DType::F64 { 1e-10 } else { 10.0 * tolerance };
            let inputs = probe(&map, 0);
            points::outputs(&map, &inputs, &Trials::default()).assert_within("outputs", tolerance);
            if config.differentiable_coors || config.num_tokens.is_none() {
                points::gradients(&map, &inputs, &Trials::default()).assert_within("input gradients", tolerance);
            }
        }
    }
}

#[test]
fn only_with_reflections_is_a_mirror_image_the_mirror_image() {
    let (device, dtype) = (Device::default(), DType::F32);
    let mut rng = ChaCha8Rng::seed_from_u64(4);
    let surroundings = Surroundings::new(&mut rng);
    for reflections in [false, true] {
        let config = SE3TransformerConfig::new(4)
            .with_heads(2)
            .with_dim_head(4)
            .with_num_degrees(3)
            .with_output_degrees(2)
            .with_radial_hidden(8)
            .with_reflections(reflections)
            .with_seed(Some(5));
        let network = stirred(&config, &device, dtype);
        let out = features(&config.fibre_out());
        let map = PointFn::new(&GRAPHS, &inputs_of(&config), &out, &device, dtype, |inputs, order| {
            forward(&network, &surroundings, inputs, order)
        });
        let report = points::outputs(&map, &probe(&map, 0), &Trials::default());
        let error = report.error_of(Motion::Reflection).unwrap();
        assert!(if reflections { error < 1e-4 } else { error > 1e-2 }, "{reflections}: {error:e}");
    }
}

#[test]
fn devices_and_precisions_agree_on_outputs_and_weight_gradients() {
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    for draw in 0..if cfg!(feature = "wgpu") { 2 } else { 5 } {
        let (config, surroundings) = (options(&mut rng), Surroundings::new(&mut rng));
        let results: Vec<_> = settings()
            .into_iter()
            .map(|setting| {
                let device = setting.device.autodiff();
                let network = stirred(&config, &device, setting.dtype);
                let mut rng = ChaCha8Rng::seed_from_u64(10 + draw);
                let inputs: Vec<Tensor<2>> = inputs_of(&config)
                    .iter()
                    .map(|feature| {
                        let columns = feature.channels * feature.field.size();
                        float(&uniform(&mut rng, NODES * columns), [NODES, columns], &device, setting.dtype)
                    })
                    .collect();
                let outputs = forward(&network, &surroundings, &inputs, &Permutation::identity(NODES));
                let loss = outputs.iter().map(|x| x.clone().powi_scalar(2).sum()).reduce(|a, b| a + b).unwrap();
                let values: Vec<Vec<f64>> = outputs.iter().map(|x| x.clone().into_data().iter().collect()).collect();
                (setting.name, [values, weight_gradients(&network, &loss.backward())].concat())
            })
            .collect();
        let (_, reference) = results.iter().find(|(name, _)| *name == "flex f64").unwrap();
        for (name, tensors) in &results {
            assert_eq!(tensors.len(), reference.len(), "{name}");
            let all = reference.iter().flatten().fold(0.0_f64, |largest, value| largest.max(value.abs()));
            for (tensor, expected) in tensors.iter().zip(reference) {
                assert_eq!(tensor.len(), expected.len(), "{name}");
                // Gradients of deep weights are differences of larger numbers: what is left of them is known to a few roundings of these.
                let scale = expected.iter().fold(1e-4 * all, |largest, value| largest.max(value.abs()));
                for (a, b) in tensor.iter().zip(expected) {
                    // f32 keeps seven digits; a gradient is a sum of some thousand terms that may cancel.
                    assert!((a - b).abs() <= 5e-4 * scale, "{name}, {config:?}: {a} is not {b}");
                }
            }
        }
    }
}

/// Options for padded tensors, small and with all kinds of neighbours.
fn dense_options() -> SE3TransformerConfig {
    SE3TransformerConfig::new(4)
        .with_heads(2)
        .with_dim_head(4)
        .with_num_degrees(2)
        .with_output_degrees(2)
        .with_radial_hidden(8)
        .with_num_neighbors(Some(2))
        .with_attend_sparse_neighbors(true)
        .with_num_adj_degrees(Some(2))
        .with_adj_dim(2)
        .with_edge_dim(EDGE_FEATURES)
        .with_seed(Some(1))
}

/// A batch of two in six places.
struct Dense {
    features: Vec<f64>,
    positions: Vec<f64>,
    mask: [bool; 12],
    edges: Vec<f64>,
    bonds: Vec<bool>,
}

impl Dense {
    fn new() -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(8);
        let mut bonds = vec![false; 2 * 36];
        for (graph, i, j) in [(0, 0, 1), (0, 1, 3), (0, 3, 4), (1, 2, 5), (1, 5, 0)] {
            bonds[graph * 36 + i * 6 + j] = true;
            bonds[graph * 36 + j * 6 + i] = true;
        }
        let mask = [true, true, false, true, true, false, true, false, true, false, false, true];
        let [features, positions, edges] = [12 * 4, 12 * 3, 2 * 36 * EDGE_FEATURES].map(|n| uniform(&mut rng, n));
        Self { features, positions, mask, edges, bonds }
    }

    fn inputs(&self, device: &Device) -> DenseInputs {
        let bools = |values: &[bool], shape: &[usize]| TensorData::new(values.to_vec(), shape.to_vec());
        let adjacency: Tensor<3, Bool> = Tensor::from_data(bools(&self.bonds, &[2, 6, 6]), device);
        let mask: Tensor<2, Bool> = Tensor::from_data(bools(&self.mask, &[2, 6]), device);
        DenseInputs::new(
            float(&self.features, [2, 6, 4], device, DType::F64),
            float(&self.positions, [2, 6, 3], device, DType::F64),
        )
        .with_mask(mask)
        .with_adjacency(adjacency)
        .with_edges(float(&self.edges, [2, 6, 6, EDGE_FEATURES], device, DType::F64))
    }
}

#[test]
fn padded_tensors_say_what_edge_lists_say_and_padding_says_nothing() {
    let device = Device::flex();
    let network = stirred(&dense_options(), &device, DType::F64);
    let dense = Dense::new();
    let output = network.forward_dense(dense.inputs(&device)).unwrap();
    let all: Vec<Vec<f64>> = (0..2).map(|degree| host(output.degree(degree).unwrap())).collect();

    // What stands where there is no node, and between such places, changes nothing; nodes without one stay zero.
    let mut padded = Dense::new();
    for place in (0..12).filter(|&place| !dense.mask[place]) {
        padded.features[place * 4..][..4].fill(1e3);
        padded.positions[place * 3..][..3].fill(f64::NAN);
        for other in 0..6 {
            let (graph, place) = (place / 6, place % 6);
            for pair in [place * 6 + other, other * 6 + place] {
                padded.edges[(graph * 36 + pair) * EDGE_FEATURES..][..EDGE_FEATURES].fill(7.0);
                padded.bonds[graph * 36 + pair] = true;
            }
        }
        for (degree, values) in all.iter().enumerate() {
            let each = 4 * (2 * degree + 1);
            assert!(values[place * each..][..each].iter().all(|&value| value == 0.0));
        }
    }
    let other = network.forward_dense(padded.inputs(&device)).unwrap();
    for (degree, values) in all.iter().enumerate() {
        assert_eq!(&host(other.degree(degree).unwrap()), values, "degree {degree}");
    }

    // The same from the graph and its rows.
    let (mut graphs, mut hops, mut edges, mut places) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for graph in 0..2 {
        let nodes: Vec<usize> = (0..6).filter(|place| dense.mask[graph * 6 + place]).collect();
        let at = |place: &usize| std::array::from_fn(|axis| dense.positions[(graph * 6 + place) * 3 + axis]);
        let points: Vec<[f64; 3]> = nodes.iter().map(at).collect();
        let pair = |i: usize, j: usize| graph * 36 + nodes[i] * 6 + nodes[j];
        let pairs = (0..nodes.len()).flat_map(|i| (0..nodes.len()).map(move |j| (i, j)));
        let (receivers, senders) = pairs.filter(|&(i, j)| dense.bonds[pair(i, j)]).unzip();
        let bonds = EdgeList::new(nodes.len(), receivers, senders).unwrap();
        let chosen = network.config().neighbours(&points, Some(&bonds), None).unwrap();
        for (&i, &j) in chosen.edges.receivers().iter().zip(chosen.edges.senders()) {
            edges.extend_from_slice(&dense.edges[pair(i, j) * EDGE_FEATURES..][..EDGE_FEATURES]);
        }
        hops.extend(chosen.hops);
        graphs.push(chosen.edges);
        places.extend(nodes.into_iter().map(|place| graph * 6 + place));
    }
    let graph = Graph::batch(&graphs, &device).unwrap();
    let of = |values: &[f64], columns: usize| {
        let rows: Vec<f64> = places.iter().flat_map(|place| &values[place * columns..][..columns]).copied().collect();
        float(&rows, [places.len(), columns], &device, DType::F64)
    };
    let edges = float(&edges, [hops.len(), EDGE_FEATURES], &device, DType::F64);
    let inputs = SE3Inputs::new(of(&dense.features, 4), of(&dense.positions, 3));
    let sparse = network.forward(&graph, inputs.with_edges(edges).with_hops(whole(&hops, &device)));
    for (a, b) in rows(&sparse).into_iter().zip(rows(output.rows())) {
        assert!(largest_difference(&host(a), &host(b)) < 1e-12);
    }
    let pooled = output.pooled();
    assert_eq!(pooled.degree(1).unwrap().dims(), [2, 4, 3]);
}

#[test]
fn a_batch_says_what_its_graphs_say_alone() {
    let device = Device::flex();
    let config = SE3TransformerConfig::new(4).with_heads(2).with_dim_head(4).with_num_neighbors(Some(3));
    let network = stirred(&config.with_seed(Some(2)), &device, DType::F64);
    let mut rng = ChaCha8Rng::seed_from_u64(2);
    let (features, positions) = (uniform(&mut rng, 2 * 5 * 4), uniform(&mut rng, 2 * 5 * 3));
    let run = |first: usize, count: usize| {
        let features = float(&features[first * 20..][..count * 20], [count, 5, 4], &device, DType::F64);
        let positions = float(&positions[first * 15..][..count * 15], [count, 5, 3], &device, DType::F64);
        host(network.forward_dense(DenseInputs::new(features, positions)).unwrap().scalars())
    };
    let alone = [run(0, 1), run(1, 1)].concat();
    assert!(largest_difference(&run(0, 2), &alone) < 1e-12);
}
