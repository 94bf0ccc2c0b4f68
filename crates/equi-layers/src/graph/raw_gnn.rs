//! A graph network that takes coordinates for features.

use burn::module::Module;
use burn::nn::Linear;
use burn::tensor::{Tensor, TensorCreationOptions};
use equi_core::ops::{edge_silu, segment_sum};
use serde::{Deserialize, Serialize};

use super::activated::{linear_silu, with_bias};
use super::points::check;
use super::{Graph, Points};
use crate::error::{LayerError, Result};
use crate::weights::Weights;

/// Configuration of [`RawGnn`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawGnnConfig {
    /// Invariant features of a node, beside its position and velocity.
    pub in_features: usize,
    /// Features of a node between the layers, and of a message.
    pub hidden: usize,
    /// Features of an edge.
    pub edge_features: usize,
    /// Number of layers.
    pub layers: usize,
    /// Coordinates of a position and of a velocity.
    pub dimensions: usize,
    /// Whether nodes have velocities.
    #[serde(default = "given")]
    pub velocities: bool,
    /// Features of a node in the output; none for a shift of its position.
    #[serde(default)]
    pub out_features: Option<usize>,
    /// Seed of the weights; none for the random numbers of the device.
    pub seed: Option<u64>,
}

/// What configurations without the field mean.
fn given() -> bool {
    true
}

impl RawGnnConfig {
    /// Four layers in three dimensions, for nodes with velocities whose positions it shifts.
    pub fn new(in_features: usize, hidden: usize) -> Self {
        Self {
            in_features,
            hidden,
            edge_features: 0,
            layers: 4,
            dimensions: 3,
            velocities: true,
            out_features: None,
            seed: None,
        }
    }

    /// The same for nodes without velocities.
    pub fn without_velocities(mut self) -> Self {
        self.velocities = false;
        self
    }

    /// The same with features of nodes as its output, which no position is added to.
    pub fn with_out_features(mut self, out_features: usize) -> Self {
        self.out_features = Some(out_features);
        self
    }

    /// What a node is embedded from.
    pub fn inputs(&self) -> usize {
        self.in_features + self.dimensions * if self.velocities { 2 } else { 1 }
    }

    /// Numbers of a node in the output.
    pub fn outputs(&self) -> usize {
        self.out_features.unwrap_or(self.dimensions)
    }

    /// The same with features of edges.
    pub fn with_edge_features(mut self, edge_features: usize) -> Self {
        self.edge_features = edge_features;
        self
    }

    /// The same with another number of layers.
    pub fn with_layers(mut self, layers: usize) -> Self {
        self.layers = layers;
        self
    }

    /// The same with weights that depend on nothing but the seed.
    pub fn with_seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Builds the network.
    ///
    /// # Errors
    /// [`LayerError::InvalidConfig`] for a width, a number of layers, of dimensions or of features of the output of zero.
    pub fn init(&self, options: impl Into<TensorCreationOptions>) -> Result<RawGnn> {
        for (name, value) in [
            ("hidden", self.hidden),
            ("layers", self.layers),
            ("dimensions", self.dimensions),
            ("out_features", self.outputs()),
        ] {
            if value == 0 {
                return Err(LayerError::InvalidConfig(format!("{name} is 0 and must be at least 1")));
            }
        }
        let mut weights = Weights::new(self.seed, options);
        let (hidden, inputs) = (self.hidden, self.inputs());
        let edge_inputs = 2 * hidden + self.edge_features;
        let embedding = weights.linear(inputs, hidden, inputs, true);
        let layers = (0..self.layers)
            .map(|_| RawGnnLayer {
                edge_receiver: weights.linear(hidden, hidden, edge_inputs, true),
                edge_sender: weights.linear(hidden, hidden, edge_inputs, false),
                edge_features: (self.edge_features > 0)
                    .then(|| weights.linear(self.edge_features, hidden, edge_inputs, false)),
                edge_output: weights.linear(hidden, hidden, hidden, true),
                node_features: weights.linear(hidden, hidden, 2 * hidden, true),
                node_messages: weights.linear(hidden, hidden, 2 * hidden, false),
                node_output: weights.linear(hidden, hidden, hidden, true),
            })
            .collect();
        Ok(RawGnn {
            embedding,
            layers,
            decoder_input: weights.linear(hidden, hidden, hidden, true),
            decoder_output: weights.linear(hidden, self.outputs(), hidden, true),
            in_features: self.in_features,
            edge_channels: self.edge_features,
            dimensions: self.dimensions,
            velocities: self.velocities,
        })
    }
}

/// A graph network on raw coordinates: positions and velocities are features like any others, and the output is a shift of the
/// positions.
///
/// ```text
/// h_i = W [f_i, x_i, v_i];   m_ij = phi_e(h_i, h_j, a_ij);   h_i' = h_i + phi_h(h_i, sum_j m_ij);   x_i' = x_i + phi_x(h_i)
/// ```
///
/// Permutations of the nodes commute with it; rotations, reflections and translations do not. It is the network that the
/// EGNN's authors compare with ("GNN"), except that theirs gives the positions themselves.
#[derive(Module, Debug)]
pub struct RawGnn {
    /// From features, positions and velocities to the hidden features.
    pub embedding: Linear,
    /// The layers, in order.
    pub layers: Vec<RawGnnLayer>,
    /// First layer of `phi_x`.
    pub decoder_input: Linear,
    /// Second layer of `phi_x`.
    pub decoder_output: Linear,
    in_features: usize,
    edge_channels: usize,
    dimensions: usize,
    velocities: bool,
}

/// One layer of a [`RawGnn`], its linear maps in parts as in [`EgnnLayer`](super::EgnnLayer).
#[derive(Module, Debug)]
pub struct RawGnnLayer {
    /// First layer of `phi_e`: the receiver's features, and the bias.
    pub edge_receiver: Linear,
    /// First layer of `phi_e`: the sender's features.
    pub edge_sender: Linear,
    /// First layer of `phi_e`: the features of the edge.
    pub edge_features: Option<Linear>,
    /// Second layer of `phi_e`.
    pub edge_output: Linear,
    /// First layer of `phi_h`: the features, and the bias.
    pub node_features: Linear,
    /// First layer of `phi_h`: the messages.
    pub node_messages: Linear,
    /// Second layer of `phi_h`.
    pub node_output: Linear,
}

impl RawGnnLayer {
    /// The features after this layer.
    ///
    /// # Shapes
    /// - `features`, output: `[nodes, hidden]`
    /// - `edges`: `[edges, edge_features]`, in the order of the graph
    pub fn forward(&self, graph: &Graph, features: Tensor<2>, edges: Option<&Tensor<2>>) -> Tensor<2> {
        let (received, sent) =
            (self.edge_receiver.forward(features.clone()), self.edge_sender.forward(features.clone()));
        let (inputs, weight) = match (&self.edge_features, edges) {
            (Some(linear), Some(edges)) => (edges.clone(), linear.weight.val()),
            _ => {
                let (options, channels) = ((&received.device(), received.dtype()), received.dims()[1]);
                (Tensor::zeros([graph.edges(), 0], options), Tensor::zeros([0, channels], options))
            }
        };
        let first = edge_silu(received, sent, inputs, weight, graph.receivers(), graph.senders());
        let messages = linear_silu(&self.edge_output, first);
        let arrived = self.node_messages.forward(segment_sum(messages, graph.receivers()));
        let update = features.clone().matmul(self.node_features.weight.val()) + arrived;
        features + self.node_output.forward(with_bias(&self.node_features, update))
    }
}

impl RawGnn {
    /// The new positions, for a network whose output is a shift of them. `edges` are the features of the edges in the order of the graph.
    ///
    /// # Shapes
    /// - `edges`: `[edges, edge_features]`
    /// - output: `[nodes, dimensions]`
    ///
    /// # Panics
    /// If a shape is not the one that the options and the graph ask for.
    pub fn positions(&self, graph: &Graph, points: Points, edges: Option<Tensor<2>>) -> Tensor<2> {
        points.positions.clone() + self.forward(graph, points, edges)
    }

    /// The output by itself, `phi_x(h_i)`: features of the nodes, or the shifts of their positions.
    ///
    /// # Shapes
    /// - `edges`: `[edges, edge_features]`
    /// - output: `[nodes, out_features]`, or `[nodes, dimensions]`
    ///
    /// # Panics
    /// If a shape is not the one that the options and the graph ask for.
    pub fn forward(&self, graph: &Graph, points: Points, edges: Option<Tensor<2>>) -> Tensor<2> {
        check("positions", Some(&points.positions), graph.nodes(), self.dimensions);
        check("features of edges", edges.as_ref(), graph.edges(), self.edge_channels);
        let mut features = self.embed(points);
        for layer in &self.layers {
            features = layer.forward(graph, features, edges.as_ref());
        }
        self.decode(features)
    }

    /// The features before the first layer, `[nodes, hidden]`.
    ///
    /// # Panics
    /// If the points are not what the options ask for.
    pub fn embed(&self, points: Points) -> Tensor<2> {
        let [nodes, _] = points.positions.dims();
        check("features of nodes", Some(&points.features), nodes, self.in_features);
        check("positions", Some(&points.positions), nodes, self.dimensions);
        check("velocities", points.velocities.as_ref(), nodes, if self.velocities { self.dimensions } else { 0 });
        let input = [points.features, points.positions].into_iter().chain(points.velocities).collect();
        self.embedding.forward(Tensor::cat(input, 1))
    }

    /// The output, features of the nodes or shifts of their positions, from the features after the last layer.
    pub fn decode(&self, features: Tensor<2>) -> Tensor<2> {
        self.decoder_output.forward(linear_silu(&self.decoder_input, features))
    }
}
