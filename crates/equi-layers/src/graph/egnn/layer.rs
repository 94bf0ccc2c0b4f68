//! One layer of an EGNN.

use burn::module::{Module, Param};
use burn::nn::Linear;
use burn::tensor::Tensor;
use burn::tensor::activation::sigmoid;
use equi_core::ops::{
    MessageNetwork, Segments, ShiftNetwork, edge_silu, gate, message_network, segment_mean, segment_sum,
};

use super::{Aggregation, EgnnConfig, Normalization};
use crate::graph::activated::{apply, linear_silu, two_layers};
use crate::graph::points::check;
use crate::graph::{Graph, Points};
use crate::length::root;
use crate::weights::Weights;

/// Keeps the quotient of the reference's `normalize` finite.
const EPSILON: f64 = 1e-8;

/// One layer of an [`Egnn`](super::Egnn).
///
/// Linear maps of concatenated inputs are kept in parts, one for each input: `W [h_i, h_j, r, a] = W_i h_i + W_j h_j + w r + W_a a`. So the
/// features are multiplied once for every node rather than once for every edge.
#[derive(Module, Debug)]
pub struct EgnnLayer {
    /// First layer of `phi_e`: the receiver's features, and the bias.
    pub edge_receiver: Linear,
    /// First layer of `phi_e`: the sender's features.
    pub edge_sender: Linear,
    /// First layer of `phi_e`: the squared distance, `[1, hidden]`.
    pub edge_distance: Param<Tensor<2>>,
    /// First layer of `phi_e`: the features of the edge.
    pub edge_features: Option<Linear>,
    /// Second layer of `phi_e`.
    pub edge_output: Linear,
    /// The weight of a message.
    pub attention: Option<Linear>,
    /// First layer of `phi_h`: the features, and the bias.
    pub node_features: Linear,
    /// First layer of `phi_h`: the messages.
    pub node_messages: Linear,
    /// First layer of `phi_h`: the attributes.
    pub node_attributes: Option<Linear>,
    /// Second layer of `phi_h`.
    pub node_output: Linear,
    /// `phi_x`; none where positions stay.
    pub coordinates: Option<ScalarMlp>,
    /// `phi_v`.
    pub velocity: Option<ScalarMlp>,
    tanh: bool,
    residual: bool,
    clamp: Option<f64>,
    #[module(skip)]
    normalization: Normalization,
    #[module(skip)]
    message_aggregation: Aggregation,
    #[module(skip)]
    coordinate_aggregation: Aggregation,
}

/// `W_2 silu(W_1 x + b_1) + b_2`, one number.
#[derive(Module, Debug)]
pub struct ScalarMlp {
    /// First layer.
    pub input: Linear,
    /// Second layer.
    pub output: Linear,
}

impl ScalarMlp {
    /// `[rows, inputs]` to `[rows, 1]`.
    pub fn forward(&self, features: Tensor<2>) -> Tensor<2> {
        two_layers(vec![(&self.input, features)], &self.output, false)
    }
}

impl EgnnLayer {
    /// A layer for nodes of `features` features.
    pub(super) fn new(config: &EgnnConfig, features: usize, weights: &mut Weights) -> Self {
        let EgnnConfig { hidden, edge_features, node_attributes, .. } = *config;
        let edge_inputs = 2 * features + 1 + edge_features;
        let node_inputs = features + hidden + node_attributes;
        Self {
            edge_receiver: weights.linear(features, hidden, edge_inputs, true),
            edge_sender: weights.linear(features, hidden, edge_inputs, false),
            edge_distance: weights.uniform([1, hidden], 1.0 / (edge_inputs as f64).sqrt()),
            edge_features: (edge_features > 0).then(|| weights.linear(edge_features, hidden, edge_inputs, false)),
            edge_output: weights.linear(hidden, hidden, hidden, true),
            attention: config.attention.then(|| weights.linear(hidden, 1, hidden, true)),
            node_features: weights.linear(features, hidden, node_inputs, true),
            node_messages: weights.linear(hidden, hidden, node_inputs, false),
            node_attributes: (node_attributes > 0).then(|| weights.linear(node_attributes, hidden, node_inputs, false)),
            node_output: weights.linear(hidden, features, hidden, true),
            coordinates: config.update_positions.then(|| ScalarMlp {
                input: weights.linear(hidden, hidden, hidden, true),
                output: weights.glorot(hidden, 1, 0.001),
            }),
            velocity: config.velocity.then(|| ScalarMlp {
                input: weights.linear(features, hidden, features, true),
                output: weights.linear(hidden, 1, hidden, true),
            }),
            tanh: config.tanh,
            residual: config.residual,
            clamp: config.coordinate_clamp,
            normalization: config.normalization,
            message_aggregation: config.message_aggregation,
            coordinate_aggregation: config.coordinate_aggregation,
        }
    }

    /// The points after this layer: features and positions are new, velocities and attributes pass through.
    ///
    /// `edges` are the features of the edges in the order of the graph (see [`Graph::arrange`]).
    ///
    /// # Panics
    /// If a shape is not the one that the options and the graph ask for.
    pub fn forward(&self, graph: &Graph, points: Points, edges: Option<&Tensor<2>>) -> Points {
        let (arrived, positions) = self.receive(graph, &points, edges);
        let features = self.update(&points, arrived);
        Points { features, positions, ..points }
    }

    /// The positions after this layer, without the features.
    ///
    /// Panics as [`forward`](Self::forward) does.
    pub fn positions(&self, graph: &Graph, points: &Points, edges: Option<&Tensor<2>>) -> Tensor<2> {
        self.receive(graph, points, edges).1
    }

    /// The points after this layer, and by how much it moves them, `[nodes, dimensions]`: nothing where positions stay, or no edge and no velocity moves them.
    ///
    /// The shift has no rounding of large coordinates. Panics as [`forward`](Self::forward) does.
    pub fn forward_shift(
        &self,
        graph: &Graph,
        points: Points,
        edges: Option<&Tensor<2>>,
    ) -> (Points, Option<Tensor<2>>) {
        let (arrived, moves) = self.arrivals(graph, &points, edges);
        let shift = moves.into_iter().flatten().reduce(|sum, shift| sum + shift);
        let features = self.update(&points, arrived);
        let positions = match &shift {
            Some(shift) => points.positions + shift.clone(),
            None => points.positions,
        };
        (Points { features, positions, ..points }, shift)
    }

    /// By how much this layer moves the nodes, without the features after it.
    pub(super) fn shift(&self, graph: &Graph, points: &Points, edges: Option<&Tensor<2>>) -> Option<Tensor<2>> {
        let (_, moves) = self.arrivals(graph, points, edges);
        moves.into_iter().flatten().reduce(|sum, shift| sum + shift)
    }

    /// The features after this layer.
    fn update(&self, points: &Points, arrived: Tensor<2>) -> Tensor<2> {
        let mut inputs = vec![(&self.node_features, points.features.clone()), (&self.node_messages, arrived)];
        if let (Some(linear), Some(attributes)) = (&self.node_attributes, &points.attributes) {
            inputs.push((linear, attributes.clone()));
        }
        two_layers(inputs, &self.node_output, self.residual)
    }

    /// What arrives of the messages at every node, and the new positions.
    fn receive(&self, graph: &Graph, points: &Points, edges: Option<&Tensor<2>>) -> (Tensor<2>, Tensor<2>) {
        let (arrived, moves) = self.arrivals(graph, points, edges);
        let positions =
            moves.into_iter().flatten().fold(points.positions.clone(), |positions, shift| positions + shift);
        (arrived, positions)
    }

    /// What arrives of the messages at every node, and what moves it: the shifts that arrive, and its velocity.
    fn arrivals(
        &self,
        graph: &Graph,
        points: &Points,
        edges: Option<&Tensor<2>>,
    ) -> (Tensor<2>, [Option<Tensor<2>>; 2]) {
        self.check(graph, points, edges);
        let Points { features, positions, velocities, .. } = points;
        let (arrived, shifts) = if graph.edges() == 0 {
            let hidden = self.edge_output.weight.dims()[1];
            (Tensor::zeros([graph.nodes(), hidden], (&features.device(), features.dtype())), None)
        } else {
            let differences = graph.displacements(positions.clone());
            let received = apply(&self.edge_receiver, features.clone());
            let sent = apply(&self.edge_sender, features.clone());
            match self.message_network(received.clone(), sent.clone(), differences.clone(), edges) {
                Some(network) => message_network(network, graph.receivers(), graph.senders()),
                None => self.aggregated(graph, received, sent, differences, edges),
            }
        };
        let drift = self.velocity.as_ref().zip(velocities.as_ref());
        (arrived, [shifts, drift.map(|(mlp, velocities)| velocities.clone() * mlp.forward(features.clone()))])
    }

    /// The messages as one operation, which knows all options but the division of differences, and the parameters that
    /// [`EgnnConfig`] makes.
    fn message_network(
        &self,
        received: Tensor<2>,
        sent: Tensor<2>,
        differences: Tensor<2>,
        edges: Option<&Tensor<2>>,
    ) -> Option<MessageNetwork> {
        let gate = match &self.attention {
            Some(attention) => Some((attention.weight.val(), attention.bias.as_ref()?.val())),
            None => None,
        };
        let shift = match &self.coordinates {
            Some(ScalarMlp { input, output: Linear { weight: output, bias: None } })
                if self.normalization == Normalization::None =>
            {
                let (weight, bias) = (input.weight.val(), input.bias.as_ref()?.val());
                Some(ShiftNetwork { weight, bias, output: output.val(), tanh: self.tanh, clamp: self.clamp })
            }
            Some(_) => return None,
            None => None,
        };
        let is_mean = |aggregation| aggregation == Aggregation::Mean;
        Some(MessageNetwork {
            received,
            sent,
            differences,
            distance: self.edge_distance.val(),
            edges: self.edge_features.as_ref().zip(edges).map(|(linear, edges)| (edges.clone(), linear.weight.val())),
            weight: self.edge_output.weight.val(),
            bias: self.edge_output.bias.as_ref()?.val(),
            gate,
            shift,
            mean: [is_mean(self.message_aggregation), is_mean(self.coordinate_aggregation)],
        })
    }

    /// The same step by step, with any option: what arrives of the messages and of the shifts.
    fn aggregated(
        &self,
        graph: &Graph,
        received: Tensor<2>,
        sent: Tensor<2>,
        differences: Tensor<2>,
        edges: Option<&Tensor<2>>,
    ) -> (Tensor<2>, Option<Tensor<2>>) {
        let squared = differences.clone().powi_scalar(2).sum_dim(1);
        let (inputs, weight) = match (&self.edge_features, edges) {
            (Some(linear), Some(edges)) => (
                Tensor::cat(vec![squared.clone(), edges.clone()], 1),
                Tensor::cat(vec![self.edge_distance.val(), linear.weight.val()], 0),
            ),
            _ => (squared.clone(), self.edge_distance.val()),
        };
        let first = edge_silu(received, sent, inputs, weight, graph.receivers(), graph.senders());
        let mut messages = linear_silu(&self.edge_output, first);
        if let Some(attention) = &self.attention {
            messages = match &attention.bias {
                Some(bias) => gate(messages, attention.weight.val(), bias.val()),
                None => messages.clone() * sigmoid(attention.forward(messages)),
            };
        }
        let shifts = self.coordinates.as_ref().map(|mlp| {
            let mut weights = mlp.forward(messages.clone());
            if self.tanh {
                weights = weights.tanh();
            }
            let mut shifts = self.normalized(differences, squared) * weights;
            if let Some(clamp) = self.clamp {
                shifts = shifts.clamp(-clamp, clamp);
            }
            aggregate(self.coordinate_aggregation, shifts, graph.receivers())
        });
        (aggregate(self.message_aggregation, messages, graph.receivers()), shifts)
    }

    /// Panics unless every input is there that the layer was built for, in the shape that the graph asks for, and no other.
    fn check(&self, graph: &Graph, points: &Points, edges: Option<&Tensor<2>>) {
        let (nodes, dimensions) = (graph.nodes(), points.positions.dims()[1]);
        let width = |linear: &Option<Linear>| linear.as_ref().map_or(0, |linear| linear.weight.dims()[0]);
        check("features of nodes", Some(&points.features), nodes, self.edge_receiver.weight.dims()[0]);
        check("positions", Some(&points.positions), nodes, dimensions);
        check("attributes of nodes", points.attributes.as_ref(), nodes, width(&self.node_attributes));
        check("features of edges", edges, graph.edges(), width(&self.edge_features));
        let velocities = if self.velocity.is_some() { dimensions } else { 0 };
        check("velocities", points.velocities.as_ref(), nodes, velocities);
    }

    /// Differences divided as the options say. Nodes in the same place have no direction: theirs is zero, with gradient
    /// zero through the length.
    fn normalized(&self, differences: Tensor<2>, squared: Tensor<2>) -> Tensor<2> {
        match self.normalization {
            Normalization::None => differences,
            Normalization::Unit => {
                let coincident = squared.clone().equal_scalar(0.0);
                let length = squared.detach().sqrt() + EPSILON;
                differences / length.mask_fill(coincident, 1.0)
            }
            Normalization::Shifted => differences / (root(squared) + 1.0),
        }
    }
}

fn aggregate(aggregation: Aggregation, values: Tensor<2>, segments: &Segments) -> Tensor<2> {
    match aggregation {
        Aggregation::Sum => segment_sum(values, segments),
        Aggregation::Mean => segment_mean(values, segments),
    }
}
