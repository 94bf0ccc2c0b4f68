//! Convolutions from fibres to fibres.

use std::collections::BTreeMap;

use burn::module::{Module, Param};
use burn::nn::Linear;
use burn::tensor::Tensor;
use equi_core::ops::{RadialLayer, radial_network, radial_product, segment_mean};

use super::angular::couplings;
use super::fibre::{Fibre, FibreFeatures};
use super::linear::FibreLinear;
use crate::graph::Graph;
use crate::weights::Weights;

/// Keeps a layer normalisation of equal values finite, as in PyTorch.
const EPSILON: f64 = 1e-5;

/// What the layers see beside features.
#[derive(Clone, Debug)]
pub(super) struct Surroundings<'a> {
    pub graph: &'a Graph,
    /// None where there is no edge: then nothing is computed for edges, since operations on tensors of no numbers are not safe on all backends (with
    /// fusion on wgpu they write into others).
    pub edges: Option<Edges>,
}

/// What the layers see of the edges.
#[derive(Clone, Debug)]
pub(super) struct Edges {
    /// `|x_i - x_j|`, `[edges, 1]`.
    pub distances: Tensor<2>,
    /// What the radial networks take, `[edges, inputs]`: distances, and features of the edges.
    pub radial: Tensor<2>,
    /// Features of the edges, `[edges, features]`.
    pub features: Option<Tensor<2>>,
    /// From and to every degree, `[edges, 2 l_out + 1, (2 l_in + 1) * F]`.
    pub angular: BTreeMap<(usize, usize), Tensor<3>>,
}

/// From a degree to a degree: a network of the distance decides how much of every angular kernel there is.
#[derive(Module, Debug)]
pub struct RadialNetwork {
    /// First layer.
    pub input: Linear,
    /// Scales of its normalisation.
    pub input_scale: Param<Tensor<1>>,
    /// Shifts of its normalisation.
    pub input_shift: Param<Tensor<1>>,
    /// Second layer.
    pub hidden: Linear,
    /// Scales of its normalisation.
    pub hidden_scale: Param<Tensor<1>>,
    /// Shifts of its normalisation.
    pub hidden_shift: Param<Tensor<1>>,
    /// Last layer: `[channels in, (hidden + 1) * F * channels out]`. The last hidden value is 1, so its share is the bias.
    pub output: Param<Tensor<2>>,
    from: usize,
    to: usize,
}

impl RadialNetwork {
    fn new(
        (from, inputs): (usize, usize),
        (to, outputs): (usize, usize),
        options: &ConvolutionOptions,
        weights: &mut Weights,
    ) -> Self {
        let width = options.radial_hidden;
        let kernels = couplings(from, to, options.reflections).count();
        let bound = 1.0 / (width as f64).sqrt();
        Self {
            input: weights.linear(options.radial_inputs, width, options.radial_inputs, true),
            input_scale: weights.full([width], 1.0),
            input_shift: weights.full([width], 0.0),
            hidden: weights.linear(width, width, width, true),
            hidden_scale: weights.full([width], 1.0),
            hidden_shift: weights.full([width], 0.0),
            output: weights.uniform([inputs, (width + 1) * kernels * outputs], bound),
            from,
            to,
        }
    }

    /// The hidden values and 1, `[edges, hidden + 1]`.
    fn values(&self, radial: Tensor<2>) -> Tensor<2> {
        let layer = |linear: &Linear, scale: &Param<Tensor<1>>, shift: &Param<Tensor<1>>| RadialLayer {
            weight: linear.weight.val(),
            bias: linear.bias.as_ref().expect("built with one").val(),
            scale: scale.val(),
            shift: shift.val(),
        };
        let first = layer(&self.input, &self.input_scale, &self.input_shift);
        let second = layer(&self.hidden, &self.hidden_scale, &self.hidden_shift);
        radial_network(radial, [first, second], EPSILON)
    }
}

/// What all convolutions of a network have in common.
#[derive(Clone, Copy, Debug)]
pub(super) struct ConvolutionOptions {
    pub radial_inputs: usize,
    pub radial_hidden: usize,
    pub reflections: bool,
}

/// Messages from neighbours, of all degrees to all degrees:
///
/// ```text
/// m_ij^q = sum over p, J of R_J^pq(|x_i - x_j|, e_ij) B_J^pq((x_i - x_j) / |x_i - x_j|) h_j^p
/// ```
///
/// with angular kernels `B` and a network `R` of the distance and the features of the edge for every pair of degrees (Thomas et al. 2018).
/// The kernel of an edge is never made: see [`radial_product`].
#[derive(Module, Debug)]
pub struct FibreConvolution {
    /// One for every pair of degrees, by the degree that goes out, then the one that comes in.
    pub radial: Vec<RadialNetwork>,
    /// What a node does to itself, added to the mean over its neighbours.
    pub self_interaction: Option<FibreLinear>,
    #[module(skip)]
    output: Fibre,
}

impl FibreConvolution {
    pub(super) fn new(
        input: &Fibre,
        output: &Fibre,
        self_interaction: bool,
        options: &ConvolutionOptions,
        weights: &mut Weights,
    ) -> Self {
        let pairs = output.iter().flat_map(|to| input.iter().map(move |from| (from, to)));
        Self {
            radial: pairs.map(|(from, to)| RadialNetwork::new(from, to, options, weights)).collect(),
            self_interaction: self_interaction.then(|| FibreLinear::new(input, output, weights)),
            output: output.clone(),
        }
    }

    /// The messages, one row for every edge of the graph.
    pub(super) fn messages(&self, features: &FibreFeatures, graph: &Graph, edges: &Edges) -> FibreFeatures {
        let mut messages: BTreeMap<usize, Tensor<3>> = BTreeMap::new();
        for radial in &self.radial {
            let (from, to) = (radial.from, radial.to);
            let features = features.degrees.get(&from).unwrap_or_else(|| panic!("features of degree {from}"));
            let message = radial_product(
                features.clone(),
                radial.values(edges.radial.clone()),
                edges.angular[&(from, to)].clone(),
                radial.output.val(),
                graph.senders(),
            );
            let sum = match messages.remove(&to) {
                Some(sum) => sum + message,
                None => message,
            };
            messages.insert(to, sum);
        }
        FibreFeatures { degrees: messages }
    }

    /// The mean of the messages to every node, and what it does to itself.
    pub(super) fn forward(&self, features: &FibreFeatures, surroundings: &Surroundings) -> FibreFeatures {
        let graph = surroundings.graph;
        let mean = match &surroundings.edges {
            Some(edges) => {
                self.messages(features, graph, edges).mapped_rows(|rows| segment_mean(rows, graph.receivers()))
            }
            None => FibreFeatures::zeros(&self.output, graph.nodes(), &self.radial[0].output.val()),
        };
        match &self.self_interaction {
            Some(linear) => mean.plus(&linear.forward(features)),
            None => mean,
        }
    }
}
