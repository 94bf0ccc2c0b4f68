//! Blocks that move features of all degrees by their differences.

use std::collections::BTreeMap;

use burn::module::{Module, Param};
use burn::nn::{LayerNorm, LayerNormConfig, Linear};
use burn::tensor::Tensor;
use burn::tensor::activation::sigmoid;
use equi_core::ops::{edge_differences, gather, segment_sum, silu};

use super::convolution::{Edges, Surroundings};
use super::feed_forward::FeedForwardBlock;
use super::fibre::{Fibre, FibreFeatures};
use crate::graph::Graph;
use crate::weights::Weights;

/// Deviation of the weights at the start: the block hardly changes anything.
const DEVIATION: f64 = 1e-3;

/// Scale and offset of differences at the start.
const START: f64 = 1e-2;

/// An EGNN whose positions are features of all degrees `l > 0`, with `h` the features of degree 0:
///
/// ```text
/// m_ij = phi_e(h_i, h_j, |t_i - t_j|, |x_i - x_j|, e_ij)
/// t_i += sum over j of phi_t(m_ij) (t_i - t_j) / |t_i - t_j| (s |t_i - t_j| + b)
/// h_i += phi_h(norm(h_i), sum over j of m_ij)      then      t_i *= sigmoid(W h_i)
/// ```
///
/// where a node is also a neighbour of itself.
#[derive(Module, Debug)]
pub struct EgnnBlock {
    /// First layer of `phi_e`.
    pub edge_input: Linear,
    /// Second layer of `phi_e`.
    pub edge_output: Linear,
    /// First layer of `phi_t`.
    pub shift_input: Linear,
    /// Second layer of `phi_t`.
    pub shift_output: Linear,
    /// Before `phi_h`.
    pub node_norm: LayerNorm,
    /// First layer of `phi_h`.
    pub node_input: Linear,
    /// Second layer of `phi_h`.
    pub node_output: Linear,
    /// `s` for every degree above 0, `[1, channels]`.
    pub scales: Vec<Param<Tensor<2>>>,
    /// `b` for every degree above 0, `[1, channels]`.
    pub offsets: Vec<Param<Tensor<2>>>,
    /// `W` for every degree above 0.
    pub gates: Vec<Linear>,
    /// Afterwards.
    pub feed_forward: Option<FeedForwardBlock>,
    clamp: Option<f64>,
    #[module(skip)]
    degrees: Vec<usize>,
}

impl EgnnBlock {
    pub(super) fn new(
        fibre: &Fibre,
        hidden: usize,
        edge_features: usize,
        clamp: Option<f64>,
        feed_forward: bool,
        weights: &mut Weights,
    ) -> Self {
        let scalars = fibre.channels(0);
        let higher: Vec<_> = fibre.iter().filter(|&(degree, _)| degree > 0).collect();
        let shifted: usize = higher.iter().map(|(_, channels)| channels).sum();
        let inputs = 2 * scalars + shifted + edge_features + 1;
        let mut linear = |input: usize, output: usize| {
            let weight = weights.normal_with([input, output], DEVIATION);
            Linear { weight, bias: Some(weights.uniform([output], 1.0 / (input as f64).sqrt())) }
        };
        let (edge_input, edge_output) = (linear(inputs, 2 * inputs), linear(2 * inputs, hidden));
        let (shift_input, shift_output) = (linear(hidden, 4 * hidden), linear(4 * hidden, shifted));
        let (node_input, node_output) = (linear(scalars + hidden, 2 * scalars), linear(2 * scalars, scalars));
        let gates = higher.iter().map(|&(_, channels)| linear(scalars, channels)).collect();
        let start =
            |weights: &mut Weights| higher.iter().map(|&(_, channels)| weights.full([1, channels], START)).collect();
        let (scales, offsets) = (start(weights), start(weights));
        let mut node_norm = LayerNormConfig::new(scalars).init(weights.device());
        node_norm.gamma = weights.full([scalars], 1.0);
        node_norm.beta = Some(weights.full([scalars], 0.0));
        Self {
            edge_input,
            edge_output,
            shift_input,
            shift_output,
            node_norm,
            node_input,
            node_output,
            scales,
            offsets,
            gates,
            feed_forward: feed_forward.then(|| FeedForwardBlock::new(fibre, false, weights)),
            clamp,
            degrees: higher.into_iter().map(|(degree, _)| degree).collect(),
        }
    }

    pub(super) fn forward(&self, features: FibreFeatures, surroundings: &Surroundings) -> FibreFeatures {
        let nodes = features.clone().into_scalars();
        // A node is its own neighbour in the same place: it does not move itself, but it hears itself.
        let own = nodes.clone();
        let rest = self.edge_input.weight.dims()[0] - 2 * nodes.dims()[1];
        let nothing = Tensor::zeros([own.dims()[0], rest], (&own.device(), own.dtype()));
        let own = self.message(Tensor::cat(vec![own.clone(), own, nothing], 1));

        let (mut moved, heard) = match &surroundings.edges {
            Some(edges) => {
                let (moved, heard) = self.exchange(&features, &nodes, surroundings.graph, edges);
                (moved, heard + own)
            }
            None => (features.degrees, own),
        };
        let inputs = Tensor::cat(vec![self.node_norm.forward(nodes.clone()), heard], 1);
        let nodes = nodes + self.node_output.forward(silu(self.node_input.forward(inputs)));
        for (degree, gate) in self.degrees.iter().zip(&self.gates) {
            let open: Tensor<3> = sigmoid(gate.forward(nodes.clone())).unsqueeze_dim(1);
            let features = moved.remove(degree).expect("every degree has moved");
            moved.insert(*degree, features * open);
        }
        moved.insert(0, nodes.unsqueeze_dim(1));
        let features = FibreFeatures { degrees: moved };
        match &self.feed_forward {
            Some(feed_forward) => feed_forward.forward(features),
            None => features,
        }
    }

    /// What neighbours do to the degrees above 0, and the sum of the messages to every node.
    fn exchange(
        &self,
        features: &FibreFeatures,
        nodes: &Tensor<2>,
        graph: &Graph,
        edges: &Edges,
    ) -> (BTreeMap<usize, Tensor<3>>, Tensor<2>) {
        let (receivers, senders) = (graph.receivers(), graph.senders());
        let differences: Vec<Tensor<3>> = self
            .degrees
            .iter()
            .map(|degree| {
                let features = &features.degrees[degree];
                let [rows, components, channels] = features.dims();
                let flat = features.clone().reshape([rows, components * channels]);
                let difference = edge_differences(flat, receivers, senders);
                let rows = difference.dims()[0];
                difference.reshape([rows, components, channels])
            })
            .collect();
        let lengths: Vec<(Tensor<2>, Tensor<2>)> = differences.iter().map(lengths).collect();

        let mut inputs = vec![gather(nodes.clone(), receivers), gather(nodes.clone(), senders)];
        inputs.extend(lengths.iter().map(|(length, _)| length.clone()));
        inputs.push(edges.distances.clone());
        inputs.extend(edges.features.clone());
        let messages = self.message(Tensor::cat(inputs, 1));

        let mut moved = BTreeMap::new();
        if !self.degrees.is_empty() {
            let mut weights = self.shift_output.forward(silu(self.shift_input.forward(messages.clone())));
            if let Some(clamp) = self.clamp {
                weights = weights.clamp(-clamp, clamp);
            }
            let mut start = 0;
            let parts = differences.into_iter().zip(lengths).zip(self.scales.iter().zip(&self.offsets));
            for (degree, ((difference, (length, divisor)), (scale, offset))) in self.degrees.iter().zip(parts) {
                let [rows, components, channels] = difference.dims();
                let weight = weights.clone().narrow(1, start, channels);
                start += channels;
                let factor = weight * (length * scale.val() + offset.val()) / divisor;
                let shifts = (difference * factor.unsqueeze_dim(1)).reshape([rows, components * channels]);
                let sum = segment_sum(shifts, receivers);
                let features = features.degrees[degree].clone();
                let shape = features.dims();
                moved.insert(*degree, features + sum.reshape(shape));
            }
        }
        (moved, segment_sum(messages, receivers))
    }

    fn message(&self, inputs: Tensor<2>) -> Tensor<2> {
        silu(self.edge_output.forward(silu(self.edge_input.forward(inputs))))
    }
}

/// The norms `[edges, channels]`, and what to divide by for the direction: 1 where there is none.
fn lengths(difference: &Tensor<3>) -> (Tensor<2>, Tensor<2>) {
    let squares: Tensor<2> = difference.clone().powi_scalar(2).sum_dim(1).squeeze_dim(1);
    let zero = squares.clone().equal_scalar(0.0);
    let divisor = squares.mask_fill(zero.clone(), 1.0).sqrt();
    (divisor.clone().mask_fill(zero, 0.0), divisor)
}
