//! The reference's network for properties of molecules.

use burn::module::Module;
use burn::nn::Linear;
use burn::tensor::{DType, Tensor, TensorCreationOptions};
use equi_core::ops::segment_sum;

use super::mapping::{Counterpart, parameter};
use crate::graph::activated::two_layers;
use crate::graph::{Egnn, EgnnConfig, Graph, Points};

/// One number for every graph, `G(sum_i N(h_i))`, from the features `h` of an [`Egnn`] whose positions stay: `EGNN` of the reference's
/// `qm9/models.py`. `N` and `G` have one hidden layer each. No motion of the positions changes it, nor a new order of the nodes.
#[derive(Module, Debug)]
pub struct Qm9Egnn {
    /// The network on the nodes.
    pub egnn: Egnn,
    /// First layer of `N`.
    pub node_input: Linear,
    /// Second layer of `N`.
    pub node_output: Linear,
    /// First layer of `G`.
    pub graph_input: Linear,
    /// Second layer of `G`.
    pub graph_output: Linear,
}

impl Qm9Egnn {
    /// A readout with weights of zero around `egnn`.
    pub(super) fn around(egnn: Egnn, options: &TensorCreationOptions) -> Self {
        let hidden = egnn.config().hidden;
        let dtype = egnn.embedding.weight.val().dtype();
        let linear = |input: usize, output: usize| {
            let zeros = |shape: &[usize]| burn::tensor::TensorData::zeros::<f32, _>(shape.to_vec());
            Linear {
                weight: parameter(zeros(&[input, output]), &options.device, dtype),
                bias: Some(parameter(zeros(&[output]), &options.device, dtype)),
            }
        };
        Self {
            egnn,
            node_input: linear(hidden, hidden),
            node_output: linear(hidden, hidden),
            graph_input: linear(hidden, hidden),
            graph_output: linear(hidden, 1),
        }
    }

    /// The options of the network on the nodes.
    pub fn config(&self) -> &EgnnConfig {
        self.egnn.config()
    }

    /// The number of every graph. Where the network takes attributes of nodes, these are their features, as in the reference.
    ///
    /// # Shapes
    /// - `features`: `[nodes, in_features]`
    /// - `positions`: `[nodes, dimensions]`
    /// - `edges`: `[edges, edge_features]`, in the order of the graph
    /// - output: `[graphs, 1]`
    ///
    /// # Panics
    /// If a shape is not the one that the options and the graph ask for.
    pub fn forward(
        &self,
        graph: &Graph,
        features: Tensor<2>,
        positions: Tensor<2>,
        edges: Option<Tensor<2>>,
    ) -> Tensor<2> {
        let mut points = Points::new(features.clone(), positions);
        if self.config().node_attributes > 0 {
            points = points.with_attributes(features);
        }
        let (features, _) = self.egnn.forward(graph, points, edges);
        let nodes = two_layers(vec![(&self.node_input, features)], &self.node_output, false);
        let sums = segment_sum(nodes, graph.members());
        two_layers(vec![(&self.graph_input, sums)], &self.graph_output, false)
    }

    pub(super) fn dtype(&self) -> DType {
        self.egnn.embedding.weight.val().dtype()
    }

    /// The readout, beside the reference's.
    pub(super) fn decoders(&mut self) -> Vec<Counterpart<'_>> {
        vec![
            Counterpart::whole("node_dec.0", &mut self.node_input),
            Counterpart::whole("node_dec.2", &mut self.node_output),
            Counterpart::whole("graph_dec.0", &mut self.graph_input),
            Counterpart::whole("graph_dec.2", &mut self.graph_output),
        ]
    }
}
