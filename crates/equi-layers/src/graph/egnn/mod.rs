//! E(n)-equivariant graph networks.

mod config;
mod layer;

use std::sync::Arc;

use burn::module::Module;
use burn::nn::Linear;
use burn::tensor::Tensor;

use super::activated::apply;
use super::points::check;
use super::{Graph, Points};

pub use config::{Aggregation, EgnnConfig, Normalization};
pub use layer::{EgnnLayer, ScalarMlp};

/// E(n)-equivariant graph network of Satorras, Hoogeboom and Welling (ICML 2021): features that no motion changes, and
/// positions that move along. Each of its layers computes
///
/// ```text
/// m_ij = phi_e(h_i, h_j, |x_i - x_j|^2, a_ij)
/// x_i' = x_i + mean_j (x_i - x_j) phi_x(m_ij) + v_i phi_v(h_i)
/// h_i' = h_i + phi_h(h_i, sum_j m_ij, c_i)
/// ```
///
/// with the options of [`EgnnConfig`]. Translations, rotations, reflections and permutations of the nodes commute with it
/// exactly, up to rounding. Nodes in the same place, without edges or alone in their graph are safe, with their gradients.
#[derive(Module, Debug)]
pub struct Egnn {
    /// From the features of the nodes to the hidden ones.
    pub embedding: Linear,
    /// The layers, in order.
    pub layers: Vec<EgnnLayer>,
    /// From the hidden features to those of the output.
    pub readout: Option<Linear>,
    #[module(skip)]
    config: Arc<EgnnConfig>,
}

impl Egnn {
    /// The options it was built with.
    pub fn config(&self) -> &EgnnConfig {
        &self.config
    }

    /// The features and positions of the nodes after the last layer.
    ///
    /// `edges` are the features of the edges in the order of the graph: bring yours into it with [`Graph::arrange`]. In another order
    /// they would have the right shape and belong to the wrong edges.
    ///
    /// # Shapes
    /// - `edges`: `[edges, edge_features]`
    /// - output: `[nodes, out_features]`, or the hidden features where there is no readout, and `[nodes, dimensions]`
    ///
    /// # Panics
    /// If a shape is not the one that the options and the graph ask for.
    pub fn forward(&self, graph: &Graph, points: Points, edges: Option<Tensor<2>>) -> (Tensor<2>, Tensor<2>) {
        let points = self.before(self.layers.len(), graph, points, edges.as_ref());
        let features = match &self.readout {
            Some(readout) => apply(readout, points.features),
            None => points.features,
        };
        (features, points.positions)
    }

    /// The positions after the last layer, without the features, whose last update they do not need.
    ///
    /// Shapes and panics as for [`forward`](Self::forward).
    pub fn positions(&self, graph: &Graph, points: Points, edges: Option<Tensor<2>>) -> Tensor<2> {
        let last = self.layers.len() - 1;
        let points = self.before(last, graph, points, edges.as_ref());
        self.layers[last].positions(graph, &points, edges.as_ref())
    }

    /// By how much all layers together move the nodes: vectors that turn with the points, and that translations leave as they are.
    ///
    /// The same as new less old positions, without the rounding of large coordinates: the shifts are added by themselves. Zero where
    /// positions stay. Shapes and panics as for [`forward`](Self::forward).
    pub fn shifts(&self, graph: &Graph, points: Points, edges: Option<Tensor<2>>) -> Tensor<2> {
        let mut points = self.before(0, graph, points, edges.as_ref());
        let mut total = points.positions.zeros_like();
        let last = self.layers.len() - 1;
        for layer in &self.layers[..last] {
            let (after, shift) = layer.forward_shift(graph, points, edges.as_ref());
            points = after;
            total = shift.into_iter().fold(total, |total, shift| total + shift);
        }
        let shift = self.layers[last].shift(graph, &points, edges.as_ref());
        shift.into_iter().fold(total, |total, shift| total + shift)
    }

    /// The points that layer `layer` would be given.
    fn before(&self, layer: usize, graph: &Graph, points: Points, edges: Option<&Tensor<2>>) -> Points {
        check("features of nodes", Some(&points.features), graph.nodes(), self.config.in_features);
        let points = Points { features: apply(&self.embedding, points.features.clone()), ..points };
        self.layers[..layer].iter().fold(points, |points, layer| layer.forward(graph, points, edges))
    }
}
