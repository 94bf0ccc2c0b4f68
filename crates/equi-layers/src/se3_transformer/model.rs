//! The network.

use std::sync::Arc;

use burn::module::Module;
use burn::nn::Embedding;
use burn::tensor::{Int, Tensor, TensorData};
use equi_core::ops::gather;

use super::SE3TransformerConfig;
use super::angular::AngularKernels;
use super::attention::{AttentionBlock, Context};
use super::convolution::{Edges, FibreConvolution, Surroundings};
use super::egnn::EgnnBlock;
use super::feed_forward::FeedForwardBlock;
use super::fibre::{Fibre, FibreFeatures};
use super::layers::{Kind, Layer};
use super::linear::FibreLinear;
use super::norm::FibreNorm;
use super::rotary::{Rotary, angles};
use crate::graph::Graph;
use crate::length::root;

/// How much distances count as positions of a rotary embedding.
const ROTARY_DISTANCE: f64 = 100.0;

/// SE(3)-Transformer of Fuchs, Worrall, Fischer and Welling (NeurIPS 2020), with the options that P. Wang's implementation added:
///
/// ```text
/// h = conv(x)      h = conv(norm(h)) ...      h += attention(norm(h)), h += feed_forward(norm(h)) ...      y = conv(h)
/// ```
///
/// Rotations, translations and permutations of the nodes commute with it up to rounding, reflections where
/// [`reflections`](SE3TransformerConfig::reflections) is set. By their purpose `num_positions`, `rotary_position` and `causal` depend on the order
/// of the nodes. Nodes in the same place, without neighbours or alone in their graph are safe, with their gradients.
#[derive(Module, Debug)]
pub struct SE3Transformer {
    /// Features of the tokens of nodes.
    pub token_embedding: Option<Embedding>,
    /// Features of the places in the sequence.
    pub position_embedding: Option<Embedding>,
    /// Features of the tokens of edges.
    pub edge_embedding: Option<Embedding>,
    /// Features that say how many bonds an edge spans.
    pub hop_embedding: Option<Embedding>,
    /// From the input to the hidden features.
    pub input: FibreConvolution,
    /// Convolutions before the blocks.
    pub pre_convolutions: Vec<PreConvolution>,
    /// Blocks of attention.
    pub blocks: Vec<TransformerBlock>,
    /// Blocks of an EGNN.
    pub egnn: Vec<EgnnBlock>,
    /// From the hidden features to the output.
    pub output: Option<FibreConvolution>,
    /// A last scale.
    pub norm: Option<FibreNorm>,
    /// To one channel of every degree.
    pub reduction: Option<FibreLinear>,
    pub(super) angular: AngularKernels,
    #[module(skip)]
    pub(super) config: Arc<SE3TransformerConfig>,
}

/// `conv(norm(x))`.
#[derive(Module, Debug)]
pub struct PreConvolution {
    /// Before the convolution.
    pub norm: FibreNorm,
    /// The convolution.
    pub convolution: FibreConvolution,
}

/// Attention, and a feed-forward block.
#[derive(Module, Debug)]
pub struct TransformerBlock {
    /// Attention.
    pub attention: AttentionBlock,
    /// Feed-forward block.
    pub feed_forward: Option<FeedForwardBlock>,
}

/// What nodes carry.
#[derive(Clone, Debug)]
#[allow(clippy::large_enum_variant)] // There is one of them in a forward pass.
pub enum NodeInput {
    /// Features of every degree of the input fibre.
    Features(FibreFeatures),
    /// One of `num_tokens`, `[nodes]`.
    Tokens(Tensor<1, Int>),
}

impl From<FibreFeatures> for NodeInput {
    fn from(features: FibreFeatures) -> Self {
        Self::Features(features)
    }
}

impl From<Tensor<2>> for NodeInput {
    fn from(scalars: Tensor<2>) -> Self {
        Self::Features(FibreFeatures::scalars(scalars))
    }
}

impl From<Tensor<1, Int>> for NodeInput {
    fn from(tokens: Tensor<1, Int>) -> Self {
        Self::Tokens(tokens)
    }
}

/// What edges carry, in the order of the graph.
#[derive(Clone, Debug)]
pub enum EdgeInput {
    /// Features, `[edges, edge_dim]`.
    Features(Tensor<2>),
    /// One of `num_edge_tokens`, `[edges]`.
    Tokens(Tensor<1, Int>),
}

impl From<Tensor<2>> for EdgeInput {
    fn from(features: Tensor<2>) -> Self {
        Self::Features(features)
    }
}

impl From<Tensor<1, Int>> for EdgeInput {
    fn from(tokens: Tensor<1, Int>) -> Self {
        Self::Tokens(tokens)
    }
}

/// What an [`SE3Transformer`] is given: one row for every node, edge or graph.
#[derive(Clone, Debug)]
pub struct SE3Inputs {
    /// What nodes carry.
    pub nodes: NodeInput,
    /// Positions, `[nodes, 3]`.
    pub positions: Tensor<2>,
    /// What edges carry.
    pub edges: Option<EdgeInput>,
    /// How many bonds every edge spans, at most `num_adj_degrees`, 0 for more: `[edges]`.
    pub hops: Option<Tensor<1, Int>>,
    /// The place of every node in its sequence, `[nodes]`; its place among the nodes of its graph if none.
    pub sequence: Option<Tensor<1, Int>>,
    /// Features of whole graphs, `[graphs, any number, global_feats_dim]`.
    pub global: Option<Tensor<3>>,
}

impl SE3Inputs {
    /// Nodes with features or tokens, and positions.
    pub fn new(nodes: impl Into<NodeInput>, positions: Tensor<2>) -> Self {
        Self { nodes: nodes.into(), positions, edges: None, hops: None, sequence: None, global: None }
    }

    /// The same with features or tokens of the edges.
    pub fn with_edges(mut self, edges: impl Into<EdgeInput>) -> Self {
        self.edges = Some(edges.into());
        self
    }

    /// The same with the number of bonds that every edge spans.
    pub fn with_hops(mut self, hops: Tensor<1, Int>) -> Self {
        self.hops = Some(hops);
        self
    }

    /// The same with the place of every node in its sequence.
    pub fn with_sequence(mut self, sequence: Tensor<1, Int>) -> Self {
        self.sequence = Some(sequence);
        self
    }

    /// The same with features of whole graphs.
    pub fn with_global(mut self, global: Tensor<3>) -> Self {
        self.global = Some(global);
        self
    }
}

impl SE3Transformer {
    /// The options it was built with.
    pub fn config(&self) -> &SE3TransformerConfig {
        &self.config
    }

    /// The precision of the constants.
    pub(crate) fn angular_dtype(&self) -> burn::tensor::DType {
        self.angular.dtype()
    }

    /// The features of the nodes after the network, of the degrees of [`fibre_out`](SE3TransformerConfig::fibre_out).
    ///
    /// The neighbours are those of the graph, whatever the options say about radius, number, bonds and `causal`: make the graph with
    /// [`SE3TransformerConfig::neighbours`] to follow them. What belongs to edges comes in the order of the graph: bring yours into it with
    /// [`Graph::arrange`].
    ///
    /// # Panics
    /// If a shape is not the one that the options and the graph ask for, or something they ask for is missing or not asked for; if a graph has more
    /// nodes than `num_positions` and there is no `sequence`. Tokens, hops and places in a sequence must be below their numbers: some
    /// backends panic where they are not, others read what is not theirs.
    pub fn forward(&self, graph: &Graph, inputs: SE3Inputs) -> FibreFeatures {
        self.through(&self.all_layers(), graph, inputs)
    }

    /// The features after layers that follow one another.
    pub(super) fn through(&self, layers: &[Layer], graph: &Graph, inputs: SE3Inputs) -> FibreFeatures {
        let SE3Inputs { nodes, positions, edges, hops, sequence, global } = inputs;
        let config = &*self.config;
        assert!(
            hops.is_none() || config.adj_dim > 0,
            "this network has no adj_dim and takes no number of bonds of edges"
        );
        assert!(
            sequence.is_none() || config.num_positions.is_some() || config.rotary_position,
            "this network has no num_positions and no rotary_position, and takes no places in a sequence"
        );
        let embedding = self.token_embedding.as_ref().filter(|_| is_beginning(layers));
        let features = match (nodes, embedding) {
            (NodeInput::Features(features), None) => features,
            (NodeInput::Tokens(tokens), Some(embedding)) => FibreFeatures::scalars(embed(embedding, tokens)),
            (NodeInput::Features(_), Some(_)) => panic!("this network takes tokens of nodes, not features"),
            (NodeInput::Tokens(_), None) => panic!("this network takes features of nodes, not tokens"),
        };
        let edges = match (edges, &self.edge_embedding) {
            (Some(EdgeInput::Tokens(tokens)), Some(embedding)) => Some(embed(embedding, tokens)),
            (Some(EdgeInput::Features(features)), None) => Some(features),
            (None, None) => None,
            (_, Some(_)) => panic!("this network takes tokens of edges"),
            (Some(EdgeInput::Tokens(_)), None) => panic!("this network takes no tokens of edges"),
        };
        self.run(layers, graph, features, positions, edges, hops, sequence, global)
    }

    /// With tokens embedded.
    #[allow(clippy::too_many_arguments)]
    pub(super) fn run(
        &self,
        layers: &[Layer],
        graph: &Graph,
        mut features: FibreFeatures,
        positions: Tensor<2>,
        edges: Option<Tensor<2>>,
        hops: Option<Tensor<1, Int>>,
        sequence: Option<Tensor<1, Int>>,
        global: Option<Tensor<3>>,
    ) -> FibreFeatures {
        let config = &*self.config;
        check_nodes(&layers[0].before, graph.nodes(), &features);
        self.check(graph, &positions, edges.as_ref(), hops.as_ref(), global.as_ref());
        let uses_sequence = config.num_positions.is_some() || config.rotary_position;
        match (&sequence, config.num_positions) {
            (Some(sequence), _) if uses_sequence => {
                let wanted = [graph.nodes()];
                assert_eq!(sequence.dims(), wanted, "this network takes places in a sequence {wanted:?} on this graph");
            }
            (None, Some(most)) => {
                let largest = (0..graph.graphs()).map(|member| graph.members().rows_of(member).len()).max();
                let largest = largest.unwrap_or(0);
                assert!(
                    largest <= most,
                    "a graph has {largest} nodes, and num_positions is {most}: raise it, or give the sequence"
                );
            }
            _ => {}
        }
        if graph.nodes() == 0 {
            return FibreFeatures::zeros(&layers[layers.len() - 1].after, 0, &positions).tied_to(self.parameter());
        }
        let sequence = uses_sequence.then(|| sequence.unwrap_or_else(|| places(graph, &positions)));
        let embedding = self.position_embedding.as_ref().filter(|_| is_beginning(layers));
        if let (Some(embedding), Some(sequence)) = (embedding, &sequence) {
            let places = FibreFeatures::scalars(embed(embedding, sequence.clone()));
            features = features.plus(&places);
        }
        let edges = match (&self.hop_embedding, hops) {
            (Some(embedding), Some(hops)) if graph.edges() > 0 => {
                let hops = embed(embedding, hops);
                Some(match edges {
                    Some(edges) => Tensor::cat(vec![edges, hops], 1),
                    None => hops,
                })
            }
            _ => edges,
        };
        let like = positions.clone();
        let edges = (graph.edges() > 0).then(|| self.edges(graph, positions, edges));
        let surroundings = Surroundings { graph, edges };
        let context = Context {
            rotary: self.rotary(&surroundings, sequence, &like),
            global: match global {
                Some(global) => (0..global.dims()[1])
                    .map(|place| gather(global.clone().narrow(1, place, 1).squeeze_dim(1), graph.members()))
                    .collect(),
                None => Vec::new(),
            },
        };

        let features = layers.iter().fold(features, |features, layer| layer.forward(features, &surroundings, &context));
        if graph.edges() == 0 { features.tied_to(self.parameter()) } else { features }
    }

    /// One that every network has.
    fn parameter(&self) -> Tensor<1> {
        self.input.radial[0].input_shift.val()
    }

    fn edges(&self, graph: &Graph, positions: Tensor<2>, features: Option<Tensor<2>>) -> Edges {
        let config = &*self.config;
        let positions = if config.differentiable_coors { positions } else { positions.detach() };
        let differences = graph.displacements(positions);
        let distances = root(differences.clone().powi_scalar(2).sum_dim(1));
        let mut radial = Vec::new();
        if config.fourier_encode_dist {
            let scales = (0..config.rel_dist_num_fourier_features).map(|f| 0.5_f64.powi(f as i32));
            let waves: Vec<_> = scales.map(|scale| distances.clone() * scale).collect();
            radial.extend(waves.iter().map(|wave| wave.clone().sin()));
            radial.extend(waves.into_iter().map(Tensor::cos));
        }
        radial.push(distances.clone());
        radial.extend(features.clone());
        Edges { distances, radial: Tensor::cat(radial, 1), features, angular: self.angular.along(differences) }
    }

    fn rotary(
        &self,
        Surroundings { graph, edges }: &Surroundings,
        sequence: Option<Tensor<1, Int>>,
        like: &Tensor<2>,
    ) -> Option<Rotary> {
        let config = &*self.config;
        let count = usize::from(config.rotary_position) + usize::from(config.rotary_rel_dist);
        let pairs = config.dim_head / (2 * count.max(1));
        let (mut of_nodes, mut of_edges) = (Vec::new(), Vec::new());
        if let Some(sequence) = sequence.filter(|_| config.rotary_position) {
            let places = sequence.float().cast(like.dtype()).unsqueeze_dim::<2>(1);
            let turns = angles(places, pairs);
            of_edges.extend(edges.as_ref().map(|_| gather(turns.clone(), graph.senders())));
            of_nodes.push(turns);
        }
        if config.rotary_rel_dist {
            of_nodes.push(Tensor::zeros([graph.nodes(), pairs], (&like.device(), like.dtype())));
            of_edges.extend(edges.as_ref().map(|edges| angles(edges.distances.clone() * ROTARY_DISTANCE, pairs)));
        }
        (count > 0).then(|| Rotary {
            nodes: Tensor::cat(of_nodes, 1),
            edges: edges.as_ref().map(|_| Tensor::cat(of_edges, 1)),
        })
    }

    fn check(
        &self,
        graph: &Graph,
        positions: &Tensor<2>,
        edges: Option<&Tensor<2>>,
        hops: Option<&Tensor<1, Int>>,
        global: Option<&Tensor<3>>,
    ) {
        let config = &*self.config;
        let nodes = graph.nodes();
        assert_eq!(positions.dims(), [nodes, 3], "this network takes positions [{nodes}, 3] on this graph");
        let rows = graph.edges();
        let edges = edges.map(|edges| edges.dims());
        let wanted = (config.edge_dim > 0).then_some([rows, config.edge_dim]);
        assert_eq!(edges, wanted, "this network takes features of edges {wanted:?} on this graph");
        let hops = hops.filter(|_| config.adj_dim > 0).map(|hops| hops.dims());
        let wanted = (config.adj_dim > 0).then_some([rows]);
        assert_eq!(hops, wanted, "this network takes the number of bonds of edges {wanted:?} on this graph");
        let global = global.map(|global| [global.dims()[0], global.dims()[2]]);
        let wanted = config.global_feats_dim.map(|dim| [graph.graphs(), dim]);
        assert_eq!(
            global, wanted,
            "this network takes features of whole graphs [graphs, any number, features] of {wanted:?}"
        );
    }
}

/// Panics unless every node carries what the first layer takes.
fn check_nodes(wanted: &Fibre, nodes: usize, features: &FibreFeatures) {
    let given = features.fibre();
    let rows: Vec<usize> = features.degrees.values().map(|features| features.dims()[0]).collect();
    assert!(
        given == *wanted && rows.iter().all(|&rows| rows == nodes),
        "this network takes a fibre {wanted} of {nodes} nodes on this graph; it was given {given} of {rows:?}"
    );
}

/// Whether they are the first layers, which are given what embeddings make of tokens and places.
fn is_beginning(layers: &[Layer]) -> bool {
    matches!(layers[0].kind, Kind::Input(_))
}

/// `[rows]` to `[rows, features]`.
pub(super) fn embed(embedding: &Embedding, tokens: Tensor<1, Int>) -> Tensor<2> {
    let rows = tokens.dims()[0];
    if rows == 0 {
        let weight = embedding.weight.val();
        return Tensor::zeros([0, weight.dims()[1]], (&weight.device(), weight.dtype()));
    }
    embedding.forward(tokens.unsqueeze_dim(0)).squeeze_dim(0)
}

/// The place of every node in its graph.
fn places(graph: &Graph, like: &Tensor<2>) -> Tensor<1, Int> {
    let sizes = (0..graph.graphs()).map(|member| graph.members().rows_of(member).len());
    let places: Vec<i64> = sizes.flat_map(|size| 0..size as i64).collect();
    let shape = [places.len()];
    Tensor::from_data(TensorData::new(places, shape), &like.device())
}
