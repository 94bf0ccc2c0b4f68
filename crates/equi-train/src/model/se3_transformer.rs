//! Where particles will be, by an SE(3)-Transformer:
//!
//! ```text
//! x_i' = x_i + f(q, v, q_i q_j, x_i - x_j)_i
//! ```
//!
//! with charges `q` as features of degree 0, velocities `v` of degree 1, and products of charges as features of edges. `f` gives every
//! particle a vector.
//!
//! Isometries and permutations commute with it where the network is built
//! [`with_reflections`](SE3TransformerConfig::with_reflections), rotations, translations and permutations otherwise.
//!
//! Fuchs, Worrall, Fischer and Welling: SE(3)-Transformers, NeurIPS 2020; on these particles Satorras et al., ICML 2021.

use burn::Tensor;
use burn::module::Module;
use equi_core::check::points::{NamedPointLayer, PointFeature};
use equi_layers::se3_transformer::{Fibre, FibreFeatures, Keys, SE3Inputs, SE3Transformer, SE3TransformerConfig, Skip};

use crate::cost::linear_flops;
use crate::data::nbody::MotionBatch;
use crate::fit::Dynamics;

use super::dynamics::faint;
use super::stages::{POSITIONS, Stages, blocks};

/// Channels of a feed-forward block for one of the fibre.
const WIDER: usize = 4;

/// `x + f(...)` with an [`SE3Transformer`] `f`; see the [module documentation](self).
#[derive(Module, Debug)]
pub struct SE3TransformerMotion {
    /// From a charge and a velocity to a shift of the position.
    pub network: SE3Transformer,
}

impl SE3TransformerMotion {
    /// What the network takes for a particle: its charge and its velocity.
    pub fn fibre_in() -> Fibre {
        Fibre::new([(0, 1), (1, 1)])
    }

    /// What it gives: a vector.
    pub fn fibre_out() -> Fibre {
        Fibre::new([(1, 1)])
    }

    /// With a network whose last layer is scaled so that particles start where they are.
    pub fn new(mut network: SE3Transformer) -> Self {
        network.output = network.output.map(|mut output| {
            for radial in &mut output.radial {
                radial.output = faint(radial.output.clone());
            }
            output.self_interaction = faint(output.self_interaction);
            output
        });
        Self { network }
    }
}

impl Dynamics for SE3TransformerMotion {
    fn forward(&self, batch: &MotionBatch) -> Tensor<2> {
        let points = batch.points.clone();
        let velocities = points.velocities.expect("motions have velocities");
        let nodes = FibreFeatures::scalars(batch.charges.clone()).with_degree(1, velocities.unsqueeze_dim(1));
        let products = batch.edges.clone().narrow(1, 0, 1);
        let inputs = SE3Inputs::new(nodes, points.positions.clone()).with_edges(products);
        points.positions + self.network.forward(&batch.graph, inputs).into_irreps()
    }

    fn node_layers<'a>(&'a self, batch: &'a MotionBatch) -> Vec<NamedPointLayer<'a>> {
        let layers = self.network.layers();
        let last = layers.len() - 1;
        let mut stages = Stages::of_motions(batch);
        let mut before = Self::fibre_in();
        for (place, (name, after)) in layers.into_iter().enumerate() {
            let carried = if place == last {
                vec![POSITIONS]
            } else {
                [vec![POSITIONS], PointFeature::of_irreps(&after.irreps())].concat()
            };
            let fibre = std::mem::replace(&mut before, after.clone());
            stages = stages.then(name, carried, move |graph, edges, x| {
                // In the beginning speeds, positions, velocities and charges; positions and features block by block after that.
                let (positions, features) = match (place, x) {
                    (0, [_, positions, velocities, charges]) => (positions, vec![charges.clone(), velocities.clone()]),
                    (_, [positions, features @ ..]) => (positions, features.to_vec()),
                    _ => unreachable!("a layer is given what it says"),
                };
                let nodes = FibreFeatures::from_irreps(Tensor::cat(features, 1), &fibre);
                let products = edges.expect("edges of motions have features").clone().narrow(1, 0, 1);
                let inputs = SE3Inputs::new(nodes, positions.clone()).with_edges(products);
                let features = self.network.forward_layer(place, graph, inputs).into_irreps();
                if place == last {
                    return vec![positions.clone() + features];
                }
                [vec![positions.clone()], blocks(&features, &after.irreps())].concat()
            });
        }
        stages.finish()
    }
}

/// Operations of an [`SE3Transformer`] that attends to neighbours and nodes themselves, for a graph of `nodes` and `edges`.
///
/// A linear map multiplies every component of a degree. A convolution, from every degree to every degree, with `p` and `q` components,
/// `i` and `o` channels, `F` kernels and `h` hidden values of the radial network:
///
/// ```text
/// edge    (inputs + h) h        two layers of the radial network
/// node    p i (h + 1) F o       the last one, multiplied with the features; its bias is a hidden value
/// edge    (h + 1) p F o         summed over hidden values
/// edge    q p F o               and turned by the angular kernels
/// ```
///
/// An inner product takes `q` multiply-adds a channel and so does a weighted value. The angular kernels themselves, as the distances, are
/// not counted.
///
/// # Panics
/// For blocks of an EGNN, convolutions before the blocks, places of rest and features of whole graphs, which it does not count.
pub fn se3_transformer_flops(config: &SE3TransformerConfig, nodes: usize, edges: usize) -> u64 {
    assert!(
        !config.use_egnn && !config.use_null_kv && config.global_feats_dim.is_none() && config.num_conv_layers == 0,
        "blocks of an EGNN, convolutions before the blocks, places of rest and features of whole graphs are not counted"
    );
    let (nodes, edges) = (nodes as u64, edges as u64);
    let linear = |from: &Fibre, to: &Fibre| -> u64 {
        nodes * from.iter().map(|(l, channels)| components(l) * linear_flops(channels, to.channels(l))).sum::<u64>()
    };
    let (h, inputs) = (config.radial_hidden, radial_inputs(config));
    let convolution = |from: &Fibre, to: &Fibre| -> u64 {
        let pairs = from.iter().flat_map(|from| to.iter().map(move |to| (from, to)));
        let of_pair = |((l_in, i), (l_out, o)): ((usize, usize), (usize, usize))| {
            let (p, q) = (components(l_in), components(l_out));
            let columns = kernels(l_in, l_out, config.reflections) * o;
            let of_edge = linear_flops(inputs, h) + linear_flops(h, h) + p * linear_flops(h + 1, columns);
            nodes * p * linear_flops(i, (h + 1) * columns) + edges * (of_edge + q * p * linear_flops(1, columns))
        };
        pairs.map(of_pair).sum()
    };
    let (input, hidden, output) = (config.fibre_in(), config.fibre_hidden(), config.fibre_out());
    let with_channels = |channels: usize| Fibre::new(hidden.iter().map(|(l, _)| (l, channels)));
    let heads = with_channels(config.heads * config.dim_head);
    let shared = if config.one_headed_key_values { with_channels(config.dim_head) } else { heads.clone() };
    let attended = match config.skip {
        Skip::Sum => heads.clone(),
        Skip::Cat => Fibre::new(heads.iter().map(|(l, channels)| (l, channels + hidden.channels(l)))),
    };
    let keys = match config.keys {
        Keys::Convolved => convolution(&hidden, &shared),
        Keys::Linear => linear(&hidden, &shared),
        Keys::Tied => 0,
    };
    let itself = if config.attend_self { 1 } else { 0 };
    let attention = linear(&hidden, &heads)
        + convolution(&hidden, &shared)
        + keys
        + itself * 2 * linear(&hidden, &shared)
        + (edges + itself * nodes) * 2 * linear_flops(heads.irreps().dim(), 1)
        + linear(&attended, &hidden);
    let wider = Fibre::new(hidden.iter().map(|(l, channels)| (l, WIDER * channels)));
    let feed_forward = if config.feed_forward { linear(&hidden, &wider) + linear(&wider, &hidden) } else { 0 };
    convolution(&input, &hidden)
        + linear(&input, &hidden)
        + config.depth as u64 * (attention + feed_forward)
        + convolution(&hidden, &output)
        + linear(&hidden, &output)
}

/// `2 l + 1`.
fn components(l: usize) -> u64 {
    2 * l as u64 + 1
}

/// How many angular kernels lead from a degree to a degree.
fn kernels(from: usize, to: usize, reflections: bool) -> usize {
    let least = from.min(to);
    if reflections { least + 1 } else { 2 * least + 1 }
}

/// What a radial network takes: the distance, its waves, and the features of the edge.
fn radial_inputs(config: &SE3TransformerConfig) -> usize {
    let waves = if config.fourier_encode_dist { 2 * config.rel_dist_num_fourier_features } else { 0 };
    1 + waves + config.edge_dim + config.adj_dim
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use super::*;
    use crate::cost::parameters;
    use burn::tensor::Device;

    /// With degree 0 only, all that is not a weight used once is written out.
    #[test]
    fn one_node_and_one_edge_use_every_weight_once() {
        let device = Device::flex();
        let (dim, heads, width, h, depth) = (6, 2, 4, 5, 3);
        let scalar = |channels| Some(Fibre::new([(0, channels)]));
        let plain = SE3TransformerConfig::new(dim)
            .with_heads(heads)
            .with_dim_head(width)
            .with_depth(depth)
            .with_num_degrees(1)
            .with_input_fibre(scalar(2))
            .with_output_fibre(scalar(1))
            .with_edge_dim(1)
            .with_radial_hidden(h);
        for config in [
            plain.clone(),
            plain.clone().with_skip(Skip::Cat).with_attend_self(false).with_feed_forward(false),
            plain.clone().with_keys(Keys::Linear).with_one_headed_key_values(true).with_fourier_encode_dist(true),
            plain.with_keys(Keys::Tied),
        ] {
            let weights = parameters(&config.init(&device).unwrap());
            let shared = if config.one_headed_key_values { width } else { heads * width };
            let of_block = if config.keys == Keys::Convolved { 2 } else { 1 };
            // Every radial network has two biases and two normalisations, every norm a scale for each channel.
            let radial_networks = 2 + depth * of_block;
            let norms = depth * (dim + if config.feed_forward { dim + WIDER * dim } else { 0 });
            let unused = radial_networks * 6 * h + norms;
            // Sums over the hidden values, and a turn by the only kernel.
            let messages = (h + 2) * (dim + depth * of_block * shared + 1);
            let slots = if config.attend_self { 2 } else { 1 };
            let attention = depth * slots * 2 * heads * width;
            let expected = weights - unused + messages + attention;
            assert_eq!(se3_transformer_flops(&config, 1, 1), 2 * expected as u64, "{config}");
        }
    }

    #[test]
    fn vectors_have_three_components_and_more_kernels_than_scalars() {
        let (nodes, edges, h) = (5, 20, 7);
        let vectors = Some(Fibre::new([(1, 1)]));
        let config = SE3TransformerConfig::new(1)
            .with_input_fibre(vectors.clone())
            .with_hidden_fibre(vectors.clone())
            .with_output_fibre(vectors)
            .with_depth(0)
            .with_radial_hidden(h);
        let network = nodes * 3 + edges * (h + h * h);
        let kernel = nodes * 3 * (h + 1) + edges * (3 * (h + 1) + 9);
        for (config, kernels) in [(config.clone(), 3), (config.with_reflections(true), 2)] {
            let expected = 2 * 2 * (network + kernels * kernel);
            assert_eq!(se3_transformer_flops(&config, nodes, edges), expected as u64);
        }
    }
}
