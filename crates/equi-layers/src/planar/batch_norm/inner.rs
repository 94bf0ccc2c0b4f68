//! Inner batch norm, `y = gamma (x - mean) / sqrt(var + epsilon) + beta` with one mean and one variance for each field, over
//! batch, space and the channels of the field.
//!
//! The group permutes the channels of a field, which changes neither its mean nor its variance. Normalises with the biased
//! and keeps the unbiased variance, as Ioffe and Szegedy: Batch Normalization, ICML 2015.

use burn::module::{Content, DisplaySettings, Flag, Module, ModuleDisplay, Param, RunningState};
use burn::tensor::{DType, Device, Tensor, TensorCreationOptions};
use equi_core::FieldType;
use equi_core::check::FieldMap;
use equi_core::ops::{BatchNorm, ChannelBlocks, batch_norm, channel_affine};

use super::{
    Blocks, Settings, batch_norm_config, batch_norm_traits, inverse_deviation, is_training, ones, samples, update,
    zeros,
};
use crate::error::Result;
use crate::planar::fields::require_permutations;
use crate::planar::init::resolve;
use crate::planar::nonlinearity::{Nonlinearity, Pointwise};

batch_norm_config!(
    /// Configuration of an [`InnerBatchNorm`].
    InnerBatchNormConfig
);

impl InnerBatchNormConfig {
    /// Builds the layer.
    ///
    /// # Errors
    /// If the group does not permute the channels of every field, or a number makes no sense.
    pub fn init(&self, options: impl Into<TensorCreationOptions>) -> Result<InnerBatchNorm> {
        let settings = self.0.clone();
        settings.check("InnerBatchNorm")?;
        require_permutations(
            "InnerBatchNorm",
            &settings.field_type,
            "averages over the channels of a field",
            "IidBatchNorm or GNormBatchNorm, or NormBatchNorm where no irrep is trivial",
        )?;
        let (device, dtype) = resolve(options);
        let sizes: Vec<usize> = settings.field_type.fields().iter().map(|f| f.size()).collect();
        let fields = sizes.len();
        Ok(InnerBatchNorm {
            gamma: ones(&settings, fields, &device, dtype),
            beta: zeros(&settings, fields, &device, dtype),
            training: Param::from_bool(true),
            running_mean: RunningState::new(Tensor::zeros([fields], (&device, dtype))),
            running_var: RunningState::new(Tensor::ones([fields], (&device, dtype))),
            fields: Blocks::new(&sizes, &device, dtype),
            blocks: ChannelBlocks::new(sizes),
            settings,
        })
    }
}

/// `y = gamma (x - mean) / sqrt(var + epsilon) + beta`, with one mean and one variance for each field, over batch, space and
/// the channels of the field; see [`InnerBatchNormConfig`]. For fields whose channels the group permutes.
///
/// On an autodiff device, unless frozen, it normalises with the biased variance of the batch and moves the running
/// statistics, whose variance is the unbiased one; otherwise it normalises with those.
#[derive(Module, Debug)]
#[module(custom_display)]
pub struct InnerBatchNorm {
    /// Scales, `[fields]`.
    pub gamma: Option<Param<Tensor<1>>>,
    /// Shifts, `[fields]`.
    pub beta: Option<Param<Tensor<1>>>,
    /// Whether it normalises with the batch on an autodiff device.
    pub training: Param<Flag>,
    /// `[fields]`.
    pub running_mean: RunningState<Tensor<1>>,
    /// `[fields]`.
    pub running_var: RunningState<Tensor<1>>,
    fields: Blocks,
    #[module(skip)]
    blocks: ChannelBlocks,
    #[module(skip)]
    settings: Settings,
}

impl InnerBatchNorm {
    /// Normalises.
    ///
    /// # Shapes
    /// - `features`: `[batch, field_type.size(), height, width]`
    /// - output: the same
    ///
    /// # Panics
    /// If the channels are not those of the field type.
    pub fn forward(&self, features: Tensor<4>) -> Tensor<4> {
        self.settings.field_type.assert_channels("InnerBatchNorm", features.dims()[1]);
        if is_training(&self.training, &features) {
            return self.train(features, None);
        }
        let (scale, shift) = self.folded();
        channel_affine(features, scale.zeros_like(), scale, shift)
    }

    /// Normalises, and applies a pointwise function: `activation.forward(norm.forward(features))`. In training an ELU takes no pass of its own over the
    /// features.
    ///
    /// # Shapes
    /// - `features`: `[batch, field_type.size(), height, width]`
    /// - output: the same
    ///
    /// # Panics
    /// If the channels are not those of the field types.
    pub fn forward_activated(&self, features: Tensor<4>, activation: &Pointwise) -> Tensor<4> {
        match activation.function() {
            Nonlinearity::Elu(alpha) if is_training(&self.training, &features) => {
                let channels = features.dims()[1];
                self.settings.field_type.assert_channels("InnerBatchNorm", channels);
                activation.assert_channels(channels);
                self.train(features, Some(alpha))
            }
            _ => activation.forward(self.forward(features)),
        }
    }

    /// The scale and the shift of every channel that the running statistics amount to, `[channels]` each: outside of
    /// training, `y = scale x + shift`.
    pub fn folded(&self) -> (Tensor<1>, Tensor<1>) {
        let Settings { epsilon, .. } = self.settings;
        let scale = inverse_deviation(&self.gamma, self.running_var.value_sync(), epsilon);
        let mean = self.running_mean.value_sync() * scale.clone();
        let shift = match &self.beta {
            Some(beta) => beta.val() - mean,
            None => mean.neg(),
        };
        (self.fields.spread(scale), self.fields.spread(shift))
    }

    /// With the statistics of the batch, which move the running ones, and perhaps followed by an ELU.
    fn train(&self, features: Tensor<4>, elu: Option<f64>) -> Tensor<4> {
        let Settings { epsilon, momentum, .. } = self.settings;
        let samples = samples(&features) as f64;
        let options = (&features.device(), features.dtype());
        let fields = self.blocks.sizes().len();
        let gamma = self.gamma.as_ref().map_or_else(|| Tensor::ones([fields], options), |gamma| gamma.val());
        let beta = self.beta.as_ref().map_or_else(|| Tensor::zeros([fields], options), |beta| beta.val());
        let norm = BatchNorm { blocks: self.blocks.clone(), epsilon, elu };
        let (output, [mean, variance]) = batch_norm(features, gamma, beta, &norm);

        let count = self.fields.sizes.clone() * samples;
        // A single number has no variance; it stays at zero.
        let unbiased = variance * ((count - 1.0).clamp_min(1.0).recip() + 1.0);
        update(&self.running_mean, mean, momentum);
        update(&self.running_var, unbiased, momentum);
        output
    }
}

batch_norm_traits!(InnerBatchNorm);
