//! Forces along the lines between the points, and nothing else.

use burn::module::Module;
use burn::tensor::{Tensor, TensorCreationOptions};
use equi_core::ops::segment_mean;
use serde::{Deserialize, Serialize};

use super::points::check;
use super::{Graph, Points, ScalarMlp};
use crate::error::{LayerError, Result};
use crate::length::root;
use crate::weights::Weights;

/// Configuration of [`RadialField`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RadialFieldConfig {
    /// Features between the layers of `phi` and `phi_v`.
    pub hidden: usize,
    /// Features of an edge.
    pub edge_features: usize,
    /// Number of layers.
    pub layers: usize,
    /// Seed of the weights; none for the random numbers of the device.
    pub seed: Option<u64>,
}

impl RadialFieldConfig {
    /// Four layers.
    pub fn new(hidden: usize) -> Self {
        Self { hidden, edge_features: 0, layers: 4, seed: None }
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
    /// [`LayerError::InvalidConfig`] for a width or a number of layers of zero.
    pub fn init(&self, options: impl Into<TensorCreationOptions>) -> Result<RadialField> {
        for (name, value) in [("hidden", self.hidden), ("layers", self.layers)] {
            if value == 0 {
                return Err(LayerError::InvalidConfig(format!("{name} is 0 and must be at least 1")));
            }
        }
        let mut weights = Weights::new(self.seed, options);
        let (hidden, inputs) = (self.hidden, 1 + self.edge_features);
        let layers = (0..self.layers)
            .map(|_| RadialFieldLayer {
                force: ScalarMlp {
                    input: weights.linear(inputs, hidden, inputs, true),
                    output: weights.glorot(hidden, 1, 0.001),
                },
                velocity: ScalarMlp {
                    input: weights.linear(1, hidden, 1, true),
                    output: weights.linear(hidden, 1, hidden, true),
                },
            })
            .collect();
        Ok(RadialField { layers, edge_channels: self.edge_features })
    }
}

/// The radial field of Koehler, Klein and Noe (2019), as the EGNN's authors compare with it: E(n)-equivariant, without features
/// of nodes.
///
/// ```text
/// x_i' = x_i + mean_j (x_i - x_j) tanh phi(|x_i - x_j|, a_ij) + v_i phi_v(|v_i|)
/// ```
#[derive(Module, Debug)]
pub struct RadialField {
    /// The layers, in order.
    pub layers: Vec<RadialFieldLayer>,
    edge_channels: usize,
}

/// One layer of a [`RadialField`].
#[derive(Module, Debug)]
pub struct RadialFieldLayer {
    /// `phi`.
    pub force: ScalarMlp,
    /// `phi_v`.
    pub velocity: ScalarMlp,
}

impl RadialField {
    /// The new positions. `edges` are the features of the edges in the order of the graph.
    ///
    /// # Shapes
    /// - `edges`: `[edges, edge_features]`
    /// - output: `[nodes, dimensions]`
    ///
    /// # Panics
    /// If a shape is not the one that the options and the graph ask for.
    pub fn positions(&self, graph: &Graph, points: Points, edges: Option<Tensor<2>>) -> Tensor<2> {
        let [nodes, dimensions] = points.positions.dims();
        check("positions", Some(&points.positions), graph.nodes(), dimensions);
        check("velocities", points.velocities.as_ref(), nodes, dimensions);
        check("features of edges", edges.as_ref(), graph.edges(), self.edge_channels);
        let velocities = points.velocities.expect("checked above");
        let speed = length(velocities.clone());
        let next = |positions, layer: &RadialFieldLayer| {
            layer.moved(graph, positions, velocities.clone(), speed.clone(), edges.as_ref())
        };
        self.layers.iter().fold(points.positions, next)
    }
}

impl RadialFieldLayer {
    /// The positions after this layer.
    ///
    /// # Shapes
    /// - `positions`, `velocities`, output: `[nodes, dimensions]`
    /// - `edges`: `[edges, edge_features]`, in the order of the graph
    pub fn forward(
        &self,
        graph: &Graph,
        positions: Tensor<2>,
        velocities: Tensor<2>,
        edges: Option<&Tensor<2>>,
    ) -> Tensor<2> {
        let speed = length(velocities.clone());
        self.moved(graph, positions, velocities, speed, edges)
    }

    /// The same where the speeds are known.
    fn moved(
        &self,
        graph: &Graph,
        positions: Tensor<2>,
        velocities: Tensor<2>,
        speed: Tensor<2>,
        edges: Option<&Tensor<2>>,
    ) -> Tensor<2> {
        let differences = graph.displacements(positions.clone());
        let distance = length(differences.clone());
        let input = match edges {
            Some(edges) => Tensor::cat(vec![distance, edges.clone()], 1),
            None => distance,
        };
        let shifts = differences * self.force.forward(input).tanh();
        positions + segment_mean(shifts, graph.receivers()) + velocities * self.velocity.forward(speed)
    }
}

/// `|v|`, `[rows, 1]`, with gradient zero where it is zero.
fn length(vectors: Tensor<2>) -> Tensor<2> {
    root(vectors.powi_scalar(2).sum_dim(1))
}
