//! The options of an SE(3)-Transformer.

use burn::config::Config;
use burn::nn::EmbeddingConfig;
use burn::tensor::TensorCreationOptions;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

use super::angular::AngularKernels;
use super::attention::AttentionBlock;
use super::convolution::{ConvolutionOptions, FibreConvolution};
use super::egnn::EgnnBlock;
use super::feed_forward::FeedForwardBlock;
use super::fibre::Fibre;
use super::linear::FibreLinear;
use super::norm::FibreNorm;
use super::{PreConvolution, SE3Transformer, TransformerBlock};
use crate::error::{LayerError, Result};
use crate::weights::Weights;

/// Where the keys of attention come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Keys {
    /// From a convolution of their own.
    #[default]
    Convolved,
    /// From a linear map of the neighbour's features, whatever the geometry (`linear_proj_keys`).
    Linear,
    /// They are the values (`tie_key_values`).
    Tied,
}

/// How a block keeps what it was given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Skip {
    /// `x + W z`.
    #[default]
    Sum,
    /// `W [z, x]`, as Fuchs et al. have it.
    Cat,
}

/// What shares a softmax.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum AttentionScope {
    /// Every degree has its own attention.
    #[default]
    EachDegree,
    /// One attention for all degrees, from the inner products of whole fibres, divided by the square root of their size, as Fuchs et al.
    /// have it.
    AllDegrees,
}

/// The options of an [`SE3Transformer`], by the names of the PyTorch implementation of P. Wang (`se3-transformer-pytorch`) where they mean the same.
///
/// ```
/// # #[cfg(feature = "flex")] {
/// use burn::tensor::Device;
/// use equi_layers::se3_transformer::SE3TransformerConfig;
///
/// let config = SE3TransformerConfig::new(16).with_depth(1).with_num_degrees(3).with_num_neighbors(Some(8));
/// let transformer = config.init(&Device::flex())?;
/// # }
/// # Ok::<(), equi_layers::LayerError>(())
/// ```
#[derive(Config, Debug)]
pub struct SE3TransformerConfig {
    /// Channels of every degree, where no fibre says otherwise.
    pub dim: usize,
    /// Heads of the attention.
    #[config(default = 8)]
    pub heads: usize,
    /// Channels of a head.
    #[config(default = 24)]
    pub dim_head: usize,
    /// Blocks of attention, or of an EGNN.
    #[config(default = 2)]
    pub depth: usize,

    /// Degrees of the input, from 0 on.
    #[config(default = 1)]
    pub input_degrees: usize,
    /// Degrees of the hidden features, from 0 on.
    #[config(default = 2)]
    pub num_degrees: usize,
    /// Degrees of the output, from 0 on.
    #[config(default = 1)]
    pub output_degrees: usize,
    /// Channels of the input; `dim` if none.
    pub dim_in: Option<usize>,
    /// Channels of the output; `dim` if none.
    pub dim_out: Option<usize>,
    /// The input, degree by degree, instead of `dim_in` and `input_degrees`.
    pub input_fibre: Option<Fibre>,
    /// The hidden features, degree by degree, instead of `dim` and `num_degrees` (`hidden_fiber_dict`).
    pub hidden_fibre: Option<Fibre>,
    /// The output, degree by degree, instead of `dim_out` and `output_degrees` (`out_fiber_dict`).
    pub output_fibre: Option<Fibre>,

    /// Nodes are given as one of so many tokens.
    pub num_tokens: Option<usize>,
    /// Nodes are told their place in a sequence of at most so many.
    pub num_positions: Option<usize>,
    /// Edges are given as one of so many tokens, which become `edge_dim` features.
    pub num_edge_tokens: Option<usize>,
    /// Features of every edge.
    #[config(default = 0)]
    pub edge_dim: usize,
    /// Features of whole graphs, to which every node attends.
    pub global_feats_dim: Option<usize>,

    /// Nodes farther apart are no neighbours, unless bonds are attended to.
    #[config(default = 1e5)]
    pub valid_radius: f64,
    /// At most so many nearest neighbours, beside bonded ones; all if none.
    pub num_neighbors: Option<usize>,
    /// Bonded nodes are neighbours, however far apart.
    #[config(default = false)]
    pub attend_sparse_neighbors: bool,
    /// At most so many bonded neighbours: the fewest bonds away, then the nearest; all if none.
    pub max_sparse_neighbors: Option<usize>,
    /// Nodes up to so many bonds away count as bonded; 1 if none.
    pub num_adj_degrees: Option<usize>,
    /// Features that say how many bonds away a neighbour is.
    #[config(default = 0)]
    pub adj_dim: usize,
    /// Nodes see only those before them.
    #[config(default = false)]
    pub causal: bool,

    /// Radial networks see `sin(r / 2^f)` and `cos(r / 2^f)` beside the distance `r`.
    #[config(default = false)]
    pub fourier_encode_dist: bool,
    /// For so many `f`, from 0 on.
    #[config(default = 4)]
    pub rel_dist_num_fourier_features: usize,
    /// Whether gradients flow to positions: all of them or, by default, none, which is cheaper.
    #[config(default = false)]
    pub differentiable_coors: bool,

    /// Nodes attend to themselves, too.
    #[config(default = true)]
    pub attend_self: bool,
    /// There is a place of rest to attend to: learned in degree 0, zero in all others.
    #[config(default = false)]
    pub use_null_kv: bool,
    /// Where keys come from: `Keys::Linear` is `linear_proj_keys`, `Keys::Tied` is `tie_key_values`.
    #[config(default = "Keys::Convolved")]
    pub keys: Keys,
    /// All heads share their keys and values.
    #[config(default = false)]
    pub one_headed_key_values: bool,
    /// Scalars are rotated by the place in the sequence.
    #[config(default = false)]
    pub rotary_position: bool,
    /// Scalars are rotated by the distance.
    #[config(default = false)]
    pub rotary_rel_dist: bool,
    /// What shares a softmax.
    #[config(default = "AttentionScope::EachDegree")]
    pub attention_scope: AttentionScope,
    /// How blocks keep what they were given.
    #[config(default = "Skip::Sum")]
    pub skip: Skip,
    /// A feed-forward block follows every block of attention.
    #[config(default = true)]
    pub feed_forward: bool,

    /// Norms before blocks are scaled by all norms of their degree.
    #[config(default = false)]
    pub norm_gated_scale: bool,
    /// The output is scaled by a last norm layer.
    #[config(default = false)]
    pub norm_out: bool,
    /// Every degree of the output has one channel.
    #[config(default = false)]
    pub reduce_dim_out: bool,
    /// Convolutions before the blocks.
    #[config(default = 0)]
    pub num_conv_layers: usize,

    /// Blocks of an EGNN instead of attention. The output are then the hidden features, unless there is an `output_fibre`.
    #[config(default = false)]
    pub use_egnn: bool,
    /// Width of its messages.
    #[config(default = 32)]
    pub egnn_hidden_dim: usize,
    /// Bound of its weights.
    pub egnn_weights_clamp_value: Option<f64>,
    /// A feed-forward block follows each of its blocks.
    #[config(default = false)]
    pub egnn_feedforward: bool,

    /// Only kernels that commute with reflections, too, where degree `l` has parity `(-1)^l`: then the network commutes with all of O(3),
    /// and cannot tell left from right.
    #[config(default = false)]
    pub reflections: bool,
    /// Width of the radial networks.
    #[config(default = 128)]
    pub radial_hidden: usize,
    /// Weights that depend on nothing but this; from the random numbers of the device if none.
    pub seed: Option<u64>,
}

impl SE3TransformerConfig {
    /// What the nodes carry at first.
    pub fn fibre_in(&self) -> Fibre {
        let uniform = || Fibre::uniform(self.input_degrees, self.dim_in.unwrap_or(self.dim));
        self.input_fibre.clone().unwrap_or_else(uniform)
    }

    /// What they carry in between.
    pub fn fibre_hidden(&self) -> Fibre {
        self.hidden_fibre.clone().unwrap_or_else(|| Fibre::uniform(self.num_degrees, self.dim))
    }

    /// What they carry in the end.
    pub fn fibre_out(&self) -> Fibre {
        let fibre = self.fibre_unreduced();
        if self.reduce_dim_out { fibre.map(|_| 1) } else { fibre }
    }

    /// What they carry before `reduce_dim_out`: the output of the last convolution, or the hidden features where there is none.
    pub(crate) fn fibre_unreduced(&self) -> Fibre {
        match (&self.output_fibre, self.use_egnn) {
            (Some(fibre), _) => fibre.clone(),
            (None, true) => self.fibre_hidden(),
            (None, false) => Fibre::uniform(self.output_degrees, self.dim_out.unwrap_or(self.dim)),
        }
    }

    /// Features of an edge, with those that say how many bonds it spans.
    pub(super) fn edge_features(&self) -> usize {
        self.edge_dim + self.adj_dim
    }

    /// Builds the network.
    ///
    /// Linear maps start normal with variance `1 / channels in`, radial networks as PyTorch's linear layers do.
    ///
    /// # Errors
    /// [`LayerError::InvalidConfig`] for options that make no sense or exclude each other; [`LayerError::Core`] for degrees too high
    /// for tables of Clebsch-Gordan coefficients.
    pub fn init(&self, options: impl Into<TensorCreationOptions>) -> Result<SE3Transformer> {
        self.check()?;
        let mut weights = Weights::new(self.seed, options);
        let (input, hidden, output) = (self.fibre_in(), self.fibre_hidden(), self.fibre_unreduced());
        let distances = if self.fourier_encode_dist { 2 * self.rel_dist_num_fourier_features + 1 } else { 1 };
        let convolution = ConvolutionOptions {
            radial_inputs: distances + self.edge_features(),
            radial_hidden: self.radial_hidden,
            reflections: self.reflections,
        };
        let has_output = !self.use_egnn || self.output_fibre.is_some();
        let mut pairs = vec![(&input, &hidden)];
        if self.num_conv_layers > 0 || !self.use_egnn {
            pairs.push((&hidden, &hidden));
        }
        if has_output {
            pairs.push((&hidden, &output));
        }
        let angular = AngularKernels::new(&pairs, self.reflections, &weights)?;
        let embedding = |count: Option<usize>, dim: usize, weights: &mut Weights| {
            count.map(|count| {
                let mut embedding = EmbeddingConfig::new(1, 1).init(weights.device());
                embedding.weight = weights.normal([count, dim]);
                embedding
            })
        };
        let scalars = input.channels(0);
        Ok(SE3Transformer {
            token_embedding: embedding(self.num_tokens, scalars, &mut weights),
            position_embedding: embedding(self.num_positions, scalars, &mut weights),
            edge_embedding: embedding(self.num_edge_tokens, self.edge_dim, &mut weights),
            hop_embedding: embedding(
                (self.adj_dim > 0).then(|| self.num_adj_degrees.unwrap_or(1) + 1),
                self.adj_dim,
                &mut weights,
            ),
            input: FibreConvolution::new(&input, &hidden, true, &convolution, &mut weights),
            pre_convolutions: (0..self.num_conv_layers)
                .map(|_| PreConvolution {
                    norm: FibreNorm::new(&hidden, self.norm_gated_scale, &mut weights),
                    convolution: FibreConvolution::new(&hidden, &hidden, true, &convolution, &mut weights),
                })
                .collect(),
            blocks: (0..if self.use_egnn { 0 } else { self.depth })
                .map(|_| TransformerBlock {
                    attention: AttentionBlock::new(&hidden, self, &convolution, &mut weights),
                    feed_forward: self
                        .feed_forward
                        .then(|| FeedForwardBlock::new(&hidden, self.norm_gated_scale, &mut weights)),
                })
                .collect(),
            egnn: (0..if self.use_egnn { self.depth } else { 0 })
                .map(|_| {
                    EgnnBlock::new(
                        &hidden,
                        self.egnn_hidden_dim,
                        self.edge_features(),
                        self.egnn_weights_clamp_value,
                        self.egnn_feedforward,
                        &mut weights,
                    )
                })
                .collect(),
            output: has_output.then(|| FibreConvolution::new(&hidden, &output, true, &convolution, &mut weights)),
            norm: (self.norm_out && has_output)
                .then(|| FibreNorm::new(&output, self.norm_gated_scale, &mut weights).without_activation()),
            reduction: self.reduce_dim_out.then(|| FibreLinear::new(&output, &output.map(|_| 1), &mut weights)),
            angular,
            config: Arc::new(self.clone()),
        })
    }

    /// Options that are asked for and that nothing would ask.
    fn idle_options(&self) -> Vec<&'static str> {
        let plain = Self::new(self.dim);
        let attends = [
            ("use_null_kv", self.use_null_kv),
            ("keys", self.keys != plain.keys),
            ("one_headed_key_values", self.one_headed_key_values),
            ("attend_self", !self.attend_self),
            ("attention_scope", self.attention_scope != plain.attention_scope),
            ("skip", self.skip != plain.skip),
            ("feed_forward", !self.feed_forward),
            ("norm_out", self.norm_out && self.output_fibre.is_none()),
            ("output_degrees", self.output_degrees != plain.output_degrees),
            ("dim_out", self.dim_out.is_some()),
        ];
        let exchanges = [
            ("egnn_feedforward", self.egnn_feedforward),
            ("egnn_weights_clamp_value", self.egnn_weights_clamp_value.is_some()),
        ];
        let of_fibres = [
            ("dim_in", self.input_fibre.is_some() && self.dim_in.is_some()),
            ("input_degrees", self.input_fibre.is_some() && self.input_degrees != plain.input_degrees),
            ("dim_out", self.output_fibre.is_some() && self.dim_out.is_some()),
            ("output_degrees", self.output_fibre.is_some() && self.output_degrees != plain.output_degrees),
            ("num_degrees", self.hidden_fibre.is_some() && self.num_degrees != plain.num_degrees),
        ];
        let blocks: &[_] = if self.use_egnn { &attends } else { &exchanges };
        blocks.iter().chain(&of_fibres).filter(|(_, idle)| *idle).map(|(name, _)| *name).collect()
    }

    fn check(&self) -> Result<()> {
        let invalid = |message: String| Err(LayerError::InvalidConfig(message));
        for (name, value) in [
            ("dim", self.dim),
            ("heads", self.heads),
            ("dim_head", self.dim_head),
            ("radial_hidden", self.radial_hidden),
            ("egnn_hidden_dim", self.egnn_hidden_dim),
            ("num_tokens", self.num_tokens.unwrap_or(1)),
            ("num_positions", self.num_positions.unwrap_or(1)),
            ("num_edge_tokens", self.num_edge_tokens.unwrap_or(1)),
            ("global_feats_dim", self.global_feats_dim.unwrap_or(1)),
            ("num_adj_degrees", self.num_adj_degrees.unwrap_or(1)),
        ] {
            if value == 0 {
                return invalid(format!("{name} is 0 and must be at least 1"));
            }
        }
        let fibres = [("input", self.fibre_in()), ("hidden", self.fibre_hidden()), ("output", self.fibre_unreduced())];
        if let Some((name, _)) = fibres.iter().find(|(_, fibre)| fibre.highest().is_none()) {
            return invalid(format!("the {name} fibre is empty: give it a channel of some degree"));
        }
        let needs_scalars = |place: usize, reason: &str| {
            let (name, fibre) = &fibres[place];
            match fibre.channels(0) {
                0 => invalid(format!("{reason} needs channels of degree 0 in the {name} fibre, which is {fibre}")),
                _ => Ok(()),
            }
        };
        if self.num_tokens.is_some() {
            needs_scalars(0, "num_tokens")?;
        }
        if self.num_positions.is_some() {
            needs_scalars(0, "num_positions")?;
        }
        if self.global_feats_dim.is_some() {
            needs_scalars(1, "global_feats_dim")?;
        }
        if self.use_egnn {
            needs_scalars(1, "use_egnn")?;
            if self.global_feats_dim.is_some() || self.rotary_position || self.rotary_rel_dist {
                return invalid(
                    "blocks of an EGNN do not attend, so global_feats_dim and the rotary options have no use: leave out these or use_egnn"
                        .to_string(),
                );
            }
        }
        if let Some(name) = self.idle_options().first() {
            return invalid(format!(
                "{name} has no use here: attention is not asked for where use_egnn is, nor egnn_* where it is not, nor degrees and channels where there \
                 is a fibre; leave it out"
            ));
        }
        let rotaries = usize::from(self.rotary_position) + usize::from(self.rotary_rel_dist);
        if rotaries > 0 {
            needs_scalars(1, "a rotary embedding")?;
            if !self.dim_head.is_multiple_of(2 * rotaries) {
                return invalid(format!(
                    "rotary embeddings rotate pairs of channels: dim_head is {} and must be a multiple of {}",
                    self.dim_head,
                    2 * rotaries
                ));
            }
        }
        if self.num_edge_tokens.is_some() && self.edge_dim == 0 {
            return invalid("num_edge_tokens needs edge_dim, the number of features a token becomes".to_string());
        }
        if self.num_adj_degrees.is_some() && !self.attend_sparse_neighbors && self.adj_dim == 0 {
            return invalid(
                "num_adj_degrees has no use without attend_sparse_neighbors or adj_dim: set one of them".to_string(),
            );
        }
        if self.max_sparse_neighbors.is_some() && !self.attend_sparse_neighbors {
            return invalid("max_sparse_neighbors has no use without attend_sparse_neighbors".to_string());
        }
        if self.num_neighbors == Some(0) && !self.attend_sparse_neighbors {
            return invalid(
                "num_neighbors is 0, so nodes would have no neighbours: raise it, or set attend_sparse_neighbors"
                    .to_string(),
            );
        }
        if self.valid_radius.is_nan() || self.valid_radius <= 0.0 {
            return invalid(format!("valid_radius is {} and must be positive", self.valid_radius));
        }
        if self.fourier_encode_dist && self.rel_dist_num_fourier_features == 0 {
            return invalid("fourier_encode_dist needs rel_dist_num_fourier_features of at least 1".to_string());
        }
        if let Some(clamp) = self.egnn_weights_clamp_value
            && !(clamp.is_finite() && clamp > 0.0)
        {
            return invalid(format!("egnn_weights_clamp_value is {clamp} and must be positive and finite"));
        }
        Ok(())
    }
}
