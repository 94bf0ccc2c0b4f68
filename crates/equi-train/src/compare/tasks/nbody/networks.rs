//! The networks that are compared.

use burn::tensor::Device;
use equi_core::o3::{Irrep, Irreps, MulIrrep};
use equi_layers::graph::{EgnnConfig, RadialFieldConfig, RawGnnConfig};
use equi_layers::o3::TensorFieldNetworkConfig;
use equi_layers::se3_transformer::{AttentionScope, Keys, SE3TransformerConfig, Skip};

use super::{PAIRS, PARTICLES};
use crate::compare::matching::matched_width;
use crate::compare::{Arm, Hyperparameters, Network, Setting};
use crate::cost::parameters;
use crate::fit::Dynamics;
use crate::model::dynamics::{egnn_flops, radial_field_flops, raw_gnn_flops};
use crate::model::se3_transformer::{SE3TransformerMotion, se3_transformer_flops};
use crate::model::tensor_field::{TensorFieldMotion, tensor_field_flops};

/// Features of a node between the layers of the equivariant network, and its layers: those of the paper.
const HIDDEN: usize = 64;
const LAYERS: usize = 4;
/// Features of an edge: the product of the charges and the squared distance.
const EDGE_FEATURES: usize = 2;
/// Why configurations of this file can be built.
const VALID: &str = "widths and numbers of layers are positive";

/// The networks of all arms. A new equivariant one is one entry here and in `NBody::models`.
#[derive(Clone, Debug)]
pub(super) enum Config {
    Egnn(EgnnConfig),
    RadialField(RadialFieldConfig),
    SE3Transformer(Box<SE3TransformerConfig>),
    TensorField(Box<TensorFieldNetworkConfig>),
    Raw(RawGnnConfig),
}

/// What is done with a network, whichever it is.
pub(super) trait Use {
    type Output;

    fn with<M: Dynamics + 'static>(self, model: M) -> Self::Output;
}

impl Config {
    /// The network of `arm`; none where it has none.
    pub fn of(arm: &Arm, setting: &Setting, hyperparameters: &Hyperparameters, device: &Device) -> Option<Self> {
        match arm.network {
            Network::Equivariant => Some(Self::equivariant(setting, hyperparameters)),
            Network::Plain => Some(Self::Raw(plain(setting, hyperparameters, device))),
            Network::Linear => None,
            Network::Own(name) => unreachable!("nbody has no arm {name}"),
        }
    }

    /// The network that `--model` names, narrower if the hyperparameters say so.
    pub fn equivariant(setting: &Setting, hyperparameters: &Hyperparameters) -> Self {
        let hidden = hyperparameters.channels(HIDDEN);
        match setting.model.as_deref() {
            Some("radial-field") => {
                Self::RadialField(RadialFieldConfig::new(hidden).with_edge_features(EDGE_FEATURES).with_layers(LAYERS))
            }
            Some("se3-transformer") => Self::SE3Transformer(Box::new(se3_transformer(hyperparameters))),
            Some("tensor-field") => Self::TensorField(Box::new(tensor_field(hyperparameters))),
            _ => {
                let config = EgnnConfig::new(1, hidden).with_velocity();
                Self::Egnn(config.with_edge_features(EDGE_FEATURES).with_layers(LAYERS))
            }
        }
    }

    /// Builds the network, with the weights of a seed, for `user`.
    pub fn build<U: Use>(self, seed: u64, device: &Device, user: U) -> U::Output {
        match self {
            Self::Egnn(config) => user.with(config.with_seed(seed).init(device).expect(VALID)),
            Self::RadialField(config) => user.with(config.with_seed(seed).init(device).expect(VALID)),
            Self::SE3Transformer(config) => {
                user.with(SE3TransformerMotion::new(config.with_seed(Some(seed)).init(device).expect(VALID)))
            }
            Self::TensorField(config) => {
                user.with(TensorFieldMotion::new(config.with_seed(seed).init(device).expect(VALID)))
            }
            Self::Raw(config) => user.with(config.with_seed(seed).init(device).expect(VALID)),
        }
    }

    pub fn flops(&self, device: &Device) -> u64 {
        match self {
            Self::Egnn(config) => egnn_flops(config, PARTICLES, PAIRS),
            Self::RadialField(config) => radial_field_flops(config, PARTICLES, PAIRS),
            Self::SE3Transformer(config) => se3_transformer_flops(config, PARTICLES, PAIRS),
            Self::TensorField(config) => tensor_field_flops(&config.init(device).expect(VALID), PARTICLES, PAIRS),
            Self::Raw(config) => raw_gnn_flops(config, PARTICLES, PAIRS),
        }
    }

    pub fn parameters(&self, device: &Device) -> usize {
        struct Count;
        impl Use for Count {
            type Output = usize;

            fn with<M: Dynamics + 'static>(self, model: M) -> usize {
                parameters(&model)
            }
        }
        self.clone().build(0, device, Count)
    }

    pub fn describe(&self) -> String {
        match self {
            Self::Egnn(config) => format!("EGNN with velocities, {LAYERS} layers, {} features", config.hidden),
            Self::RadialField(config) => format!("radial field, {LAYERS} layers, {} features", config.hidden),
            Self::SE3Transformer(config) => {
                format!("SE(3)-Transformer, {} blocks of attention, fibre {}", config.depth, config.fibre_hidden())
            }
            Self::TensorField(config) => {
                format!("tensor field network, {} layers, {}", config.layers, config.irreps_hidden)
            }
            Self::Raw(config) => {
                format!("GNN on coordinates, {} layers, {} features", config.layers, config.hidden)
            }
        }
    }
}

/// Two blocks of attention as Fuchs et al. have them, but for keys that are the values: half the convolutions, and no larger errors.
///
/// Kernels that mirrors break are left out: the law has reflections, and the errors of equivariance are measured with them.
fn se3_transformer(hyperparameters: &Hyperparameters) -> SE3TransformerConfig {
    let heads = 4;
    let channels = hyperparameters.channels(16).next_multiple_of(heads);
    SE3TransformerConfig::new(channels)
        .with_input_fibre(Some(SE3TransformerMotion::fibre_in()))
        .with_output_fibre(Some(SE3TransformerMotion::fibre_out()))
        .with_edge_dim(1)
        .with_depth(2)
        .with_heads(heads)
        .with_dim_head(channels / heads)
        .with_radial_hidden(16)
        .with_keys(Keys::Tied)
        .with_attend_self(false)
        .with_attention_scope(AttentionScope::AllDegrees)
        .with_skip(Skip::Cat)
        .with_feed_forward(false)
        .with_reflections(true)
}

/// Three convolutions of scalars and vectors, which hear all but the farthest particles.
fn tensor_field(hyperparameters: &Hyperparameters) -> TensorFieldNetworkConfig {
    let channels = hyperparameters.channels(32);
    let hidden = [MulIrrep::new(channels, Irrep::even(0)), MulIrrep::new(channels, Irrep::odd(1))];
    let neighbours = (PARTICLES - 1) as f64;
    TensorFieldMotion::config(Irreps::new(hidden), 10.0, neighbours).with_lmax(2).with_radial(32, [64])
}

/// The plain network `width` features wide.
pub(super) fn raw(width: usize) -> RawGnnConfig {
    RawGnnConfig::new(1, width).with_edge_features(EDGE_FEATURES).with_layers(LAYERS)
}

/// The plain network whose cost is nearest to that of the equivariant one; narrower, if the hyperparameters say so.
pub(super) fn plain(setting: &Setting, hyperparameters: &Hyperparameters, device: &Device) -> RawGnnConfig {
    let equivariant = Config::equivariant(setting, &Hyperparameters::MATCHED);
    let width = matched_width(
        setting,
        (|| equivariant.flops(device), |width| raw_gnn_flops(&raw(width), PARTICLES, PAIRS)),
        (|| equivariant.parameters(device), |width| parameters(&raw(width).init(device).expect(VALID))),
    );
    raw(hyperparameters.channels(width))
}
