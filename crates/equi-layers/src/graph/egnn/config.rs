//! The options of an EGNN.

use std::sync::Arc;

use burn::tensor::TensorCreationOptions;
use serde::{Deserialize, Serialize};

use super::{Egnn, EgnnLayer};
use crate::error::{LayerError, Result};
use crate::weights::Weights;

/// What is done with what arrives at a node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Aggregation {
    /// The sum.
    #[default]
    Sum,
    /// The mean; nothing for a node without edges.
    Mean,
}

/// What the difference of two positions is divided by before it is weighted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Normalization {
    /// Nothing.
    #[default]
    None,
    /// `|x_i - x_j| + 1e-8`, through which no gradient flows: the `normalize` of `egnn_clean`.
    Unit,
    /// `|x_i - x_j| + 1`, differentiated: the `norm_diff` of the velocity form.
    Shifted,
}

/// Configuration of [`Egnn`]. The defaults are those of the reference implementation's `egnn_clean`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EgnnConfig {
    /// Features of a node.
    pub in_features: usize,
    /// Features of a node between the layers, and of a message.
    pub hidden: usize,
    /// Features of a node in the output; none to be given the hidden ones.
    pub out_features: Option<usize>,
    /// Features of an edge, `a_ij`.
    pub edge_features: usize,
    /// Features of a node that every layer is shown afresh, `c_i`.
    pub node_attributes: usize,
    /// Number of layers.
    pub layers: usize,
    /// Whether messages are weighted by `sigmoid(w m_ij + b)`.
    pub attention: bool,
    /// What differences of positions are divided by.
    pub normalization: Normalization,
    /// Whether `phi_x` ends in a tanh.
    pub tanh: bool,
    /// What is done with the messages that arrive at a node.
    pub message_aggregation: Aggregation,
    /// What is done with the shifts of position that arrive at a node.
    pub coordinate_aggregation: Aggregation,
    /// Whether features are added to those of the layer before.
    pub residual: bool,
    /// Whether positions also move along the velocities, by `v_i phi_v(h_i)`.
    pub velocity: bool,
    /// The largest coordinate of a shift of position from one node.
    pub coordinate_clamp: Option<f64>,
    /// Whether positions move at all. Where they do not, the network is invariant.
    pub update_positions: bool,
    /// Seed of the weights; none for the random numbers of the device.
    pub seed: Option<u64>,
}

impl EgnnConfig {
    /// Four layers between `in_features` and `hidden` features, without any option.
    pub fn new(in_features: usize, hidden: usize) -> Self {
        Self {
            in_features,
            hidden,
            out_features: None,
            edge_features: 0,
            node_attributes: 0,
            layers: 4,
            attention: false,
            normalization: Normalization::None,
            tanh: false,
            message_aggregation: Aggregation::Sum,
            coordinate_aggregation: Aggregation::Mean,
            residual: true,
            velocity: false,
            coordinate_clamp: None,
            update_positions: true,
            seed: None,
        }
    }

    /// The network of the charged-particle experiment, `EGNN_vel`: velocities, and shifts of at most 100.
    pub fn with_velocity(mut self) -> Self {
        self.velocity = true;
        self.coordinate_clamp = Some(100.0);
        self
    }

    /// The same with features of the output.
    pub fn with_out_features(mut self, out_features: usize) -> Self {
        self.out_features = Some(out_features);
        self
    }

    /// The same with features of edges.
    pub fn with_edge_features(mut self, edge_features: usize) -> Self {
        self.edge_features = edge_features;
        self
    }

    /// The same with attributes of nodes.
    pub fn with_node_attributes(mut self, node_attributes: usize) -> Self {
        self.node_attributes = node_attributes;
        self
    }

    /// The same with another number of layers.
    pub fn with_layers(mut self, layers: usize) -> Self {
        self.layers = layers;
        self
    }

    /// The same with or without attention.
    pub fn with_attention(mut self, attention: bool) -> Self {
        self.attention = attention;
        self
    }

    /// The same with differences of positions divided by their length.
    pub fn with_normalization(mut self, normalization: Normalization) -> Self {
        self.normalization = normalization;
        self
    }

    /// The same with or without the tanh at the end of `phi_x`.
    pub fn with_tanh(mut self, tanh: bool) -> Self {
        self.tanh = tanh;
        self
    }

    /// The same with another aggregation of messages.
    pub fn with_message_aggregation(mut self, aggregation: Aggregation) -> Self {
        self.message_aggregation = aggregation;
        self
    }

    /// The same with another aggregation of shifts of position.
    pub fn with_coordinate_aggregation(mut self, aggregation: Aggregation) -> Self {
        self.coordinate_aggregation = aggregation;
        self
    }

    /// The same with or without residual connections between the features.
    pub fn with_residual(mut self, residual: bool) -> Self {
        self.residual = residual;
        self
    }

    /// The same with a bound on the coordinates of a shift, or without.
    pub fn with_coordinate_clamp(mut self, clamp: Option<f64>) -> Self {
        self.coordinate_clamp = clamp;
        self
    }

    /// The same with positions that stay: an invariant network, as for QM9.
    pub fn invariant(mut self) -> Self {
        self.update_positions = false;
        self
    }

    /// The same with weights that depend on nothing but the seed.
    pub fn with_seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Builds the network.
    ///
    /// Weights start as PyTorch's do, uniform in `+-1 / sqrt(fan_in)`; the last layer of `phi_x` by Glorot's rule with gain 0.001,
    /// as in the reference, so that positions hardly move at first.
    ///
    /// # Errors
    /// [`LayerError::InvalidConfig`] for a width or a number of layers of zero, options that exclude each other, or a clamp
    /// that is not positive.
    pub fn init(&self, options: impl Into<TensorCreationOptions>) -> Result<Egnn> {
        self.check()?;
        let mut weights = Weights::new(self.seed, options);
        Ok(Egnn {
            embedding: weights.linear(self.in_features, self.hidden, self.in_features, true),
            layers: (0..self.layers).map(|_| EgnnLayer::new(self, self.hidden, &mut weights)).collect(),
            readout: self.out_features.map(|out| weights.linear(self.hidden, out, self.hidden, true)),
            config: Arc::new(self.clone()),
        })
    }

    /// Builds one layer for nodes of `features` features, to be used alone.
    ///
    /// # Errors
    /// As [`init`](Self::init).
    pub fn init_layer(&self, features: usize, options: impl Into<TensorCreationOptions>) -> Result<EgnnLayer> {
        Self { in_features: features, ..self.clone() }.check()?;
        Ok(EgnnLayer::new(self, features, &mut Weights::new(self.seed, options)))
    }

    fn check(&self) -> Result<()> {
        let invalid = |message: String| Err(LayerError::InvalidConfig(message));
        for (name, value) in [
            ("in_features", self.in_features),
            ("hidden", self.hidden),
            ("layers", self.layers),
            ("out_features", self.out_features.unwrap_or(1)),
        ] {
            if value == 0 {
                return invalid(format!("{name} is 0 and must be at least 1"));
            }
        }
        if let Some(clamp) = self.coordinate_clamp
            && !(clamp.is_finite() && clamp > 0.0)
        {
            return invalid(format!("coordinate_clamp is {clamp} and must be positive and finite; none for no bound"));
        }
        if !self.update_positions && self.velocity {
            return invalid("velocity moves positions, which update_positions = false keeps: choose one".to_string());
        }
        Ok(())
    }
}
