//! Tensor field networks: convolutions of points with gates between them,
//!
//! ```text
//! x^0 = input        x^(n+1) = gate(conv_n(x^n))        output = conv(x^(L-1))
//! ```
//!
//! Thomas et al.: Tensor field networks: Rotation- and translation-equivariant neural networks for 3D point clouds, 2018; with the gates
//! of Weiler et al.: 3D Steerable CNNs, NeurIPS 2018, and the layers of Batzner et al.: NequIP, Nature Communications 2022.

use burn::module::Module;
use burn::tensor::{Tensor, TensorCreationOptions};
use equi_core::o3::{Irrep, Irreps};
use serde::{Deserialize, Serialize};

use super::convolution::seeds;
use super::{EdgeEmbedding, EdgeFeatures, Gate, GateConfig, PointConvolution, PointConvolutionConfig};
use crate::error::{LayerError, Result};
use crate::graph::Graph;

/// Configuration of a [`TensorFieldNetwork`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TensorFieldNetworkConfig {
    /// Features of a node: vectors such as velocities are `1o`.
    pub irreps_in: Irreps,
    /// Features of a node between the layers. Each layer has those that it can reach.
    pub irreps_hidden: Irreps,
    /// Features of a node in the output.
    pub irreps_out: Irreps,
    /// Features of a node that every layer is shown afresh.
    pub node_attributes: Irreps,
    /// Highest degree of the harmonics of the edges.
    pub lmax: usize,
    /// Number of convolutions.
    pub layers: usize,
    /// Distance from which nothing is heard.
    pub cutoff: f64,
    /// Functions of the distance.
    pub radial_functions: usize,
    /// Hidden features between these functions and the weights of a convolution, layer by layer.
    pub radial_hidden: Vec<usize>,
    /// How many neighbours a node has in the mean.
    pub neighbours: f64,
    /// Seed of the weights; none for the random numbers of the device.
    pub seed: Option<u64>,
}

impl TensorFieldNetworkConfig {
    /// Three convolutions with harmonics up to the highest hidden degree, eight functions of the distance, 64 hidden features for the
    /// weights, and nodes with `neighbours` within `cutoff` in the mean.
    pub fn new(irreps_in: Irreps, irreps_hidden: Irreps, irreps_out: Irreps, cutoff: f64, neighbours: f64) -> Self {
        Self {
            lmax: irreps_hidden.lmax().unwrap_or(0),
            irreps_in,
            irreps_hidden,
            irreps_out,
            node_attributes: Irreps::default(),
            layers: 3,
            cutoff,
            radial_functions: 8,
            radial_hidden: vec![64],
            neighbours,
            seed: None,
        }
    }

    /// The same with attributes of nodes.
    pub fn with_node_attributes(mut self, attributes: Irreps) -> Self {
        self.node_attributes = attributes;
        self
    }

    /// The same with harmonics up to another degree.
    pub fn with_lmax(mut self, lmax: usize) -> Self {
        self.lmax = lmax;
        self
    }

    /// The same with another number of convolutions.
    pub fn with_layers(mut self, layers: usize) -> Self {
        self.layers = layers;
        self
    }

    /// The same with another number of functions of the distance, and other hidden features between them and the weights.
    pub fn with_radial(mut self, functions: usize, hidden: impl Into<Vec<usize>>) -> Self {
        (self.radial_functions, self.radial_hidden) = (functions, hidden.into());
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
    /// [`LayerError::InvalidConfig`] for no layers, hidden irreps of which a layer reaches none, outputs that the last one does not reach,
    /// and numbers that are not positive.
    pub fn init(&self, options: impl Into<TensorCreationOptions>) -> Result<TensorFieldNetwork> {
        let options = options.into();
        if self.layers == 0 {
            return Err(LayerError::InvalidConfig(
                "a TensorFieldNetwork without layers hears nothing: layers must be at least 1".to_owned(),
            ));
        }
        let embedding = EdgeEmbedding::new(self.lmax, self.radial_functions, self.cutoff)?;
        let mut seed = seeds(self.seed);
        let mut convolution = |from: &Irreps, to: &Irreps| {
            let config =
                PointConvolutionConfig::new(from.clone(), embedding.irreps(), to.clone(), self.radial_functions)
                    .with_radial_hidden(self.radial_hidden.clone())
                    .with_neighbours(self.neighbours)
                    .with_node_attributes(self.node_attributes.clone());
            PointConvolutionConfig { seed: seed(), ..config }.init(options.clone())
        };
        let mut features = self.irreps_in.clone();
        let mut layers = Vec::with_capacity(self.layers - 1);
        for place in 1..self.layers {
            let reached = |irrep: Irrep| {
                let mut pairs = features.blocks().iter().flat_map(|a| (0..=self.lmax).map(move |l| (a, l)));
                pairs.any(|(a, l)| a.mul > 0 && a.irrep.product(Irrep::spherical_harmonic(l)).any(|i| i == irrep))
            };
            let hidden = self.irreps_hidden.filter(reached);
            if hidden.dim() == 0 {
                return Err(LayerError::InvalidConfig(format!(
                    "layer {place} reaches none of the hidden irreps {} from {features} with harmonics up to degree {}",
                    self.irreps_hidden, self.lmax
                )));
            }
            // Even gates, or odd ones where nothing even can be had.
            let gate = if reached(Irrep::even(0)) { Irrep::even(0) } else { Irrep::odd(0) };
            let gate = GateConfig::with_gates(&hidden, gate).init()?;
            let convolution = convolution(&features, gate.irreps_in())?;
            features = gate.irreps_out().clone();
            layers.push(TensorFieldLayer { convolution, gate });
        }
        let readout = convolution(&features, &self.irreps_out)?;
        Ok(TensorFieldNetwork { layers, readout, embedding, config: self.clone() })
    }
}

/// A network of convolutions with gates between them; see [`TensorFieldNetworkConfig`].
///
/// It commutes with rotations, reflections, translations and permutations of the nodes. What is read off whole graphs is a
/// `segment_mean` or `segment_sum` of the output over [`Graph::members`].
#[derive(Module, Debug)]
pub struct TensorFieldNetwork {
    /// All convolutions but the last, in order.
    pub layers: Vec<TensorFieldLayer>,
    /// The last convolution.
    pub readout: PointConvolution,
    #[module(skip)]
    embedding: EdgeEmbedding,
    #[module(skip)]
    config: TensorFieldNetworkConfig,
}

/// A convolution and a gate.
#[derive(Module, Debug)]
pub struct TensorFieldLayer {
    /// From the features of the layer before to the input of the gate.
    pub convolution: PointConvolution,
    /// From there to hidden features.
    pub gate: Gate,
}

impl TensorFieldNetwork {
    /// The options it was built with.
    pub fn config(&self) -> &TensorFieldNetworkConfig {
        &self.config
    }

    /// What all convolutions are told of the edges between nodes at these positions, `[nodes, 3]`.
    ///
    /// # Panics
    /// If there are not as many rows as nodes, or not three columns.
    pub fn edges(&self, graph: &Graph, positions: Tensor<2>) -> EdgeFeatures {
        self.embedding.forward(graph, positions)
    }

    /// The features of the nodes after the last convolution.
    ///
    /// # Shapes
    /// - `features`: `[nodes, irreps_in.dim()]`
    /// - `positions`: `[nodes, 3]`
    /// - `attributes`: `[nodes, node_attributes.dim()]`, or none
    /// - output: `[nodes, irreps_out.dim()]`
    ///
    /// # Panics
    /// If a shape is not the one that the options and the graph ask for.
    pub fn forward(
        &self,
        graph: &Graph,
        features: Tensor<2>,
        positions: Tensor<2>,
        attributes: Option<Tensor<2>>,
    ) -> Tensor<2> {
        let edges = self.edges(graph, positions);
        let features = self.layers.iter().fold(features, |features, layer| {
            layer.gate.forward(layer.convolution.forward(graph, features, attributes.clone(), &edges))
        });
        self.readout.forward(graph, features, attributes, &edges)
    }
}
