//! Norm batch norm, `y = gamma x / sqrt(var + epsilon)` with `var` the running mean of `|x|^2 / size` of each field.
//!
//! Fields without a trivial irrep have mean zero over the group, so nothing is subtracted, and an orthogonal representation
//! keeps `|x|`. As in escnn, the *running* variance, updated with the batch, normalises in training too, and no gradient
//! flows into it.
//!
//! Weiler and Cesa: General E(2)-Equivariant Steerable CNNs, NeurIPS 2019.

use burn::module::{Content, DisplaySettings, Flag, Module, ModuleDisplay, Param, RunningState};
use burn::tensor::{DType, Device, Tensor, TensorCreationOptions};
use equi_core::FieldType;
use equi_core::check::FieldMap;

use super::{
    Blocks, Settings, batch_norm_config, batch_norm_traits, bessel, channel_mean, inverse_deviation, is_training, ones,
    per_channel, samples, update,
};
use crate::error::{LayerError, Result};
use crate::planar::init::resolve;

batch_norm_config!(
    /// Configuration of a [`NormBatchNorm`].
    NormBatchNormConfig
);

impl NormBatchNormConfig {
    /// Builds the layer.
    ///
    /// # Errors
    /// If a field contains a trivial irrep, whose mean is not zero, or a number makes no sense.
    pub fn init(&self, options: impl Into<TensorCreationOptions>) -> Result<NormBatchNorm> {
        let settings = self.0.clone();
        settings.check("NormBatchNorm")?;
        let fields = settings.field_type.fields();
        if let Some(field) = fields.iter().find(|f| f.irreps().iter().any(|i| i.is_trivial())) {
            return Err(LayerError::Unsupported(format!(
                "NormBatchNorm takes the mean of every field to be zero, but {field:?} contains a trivial irrep, whose mean \
                 is not: use IidBatchNorm or GNormBatchNorm"
            )));
        }
        let (device, dtype) = resolve(options);
        let sizes: Vec<usize> = fields.iter().map(|f| f.size()).collect();
        Ok(NormBatchNorm {
            gamma: ones(&settings, sizes.len(), &device, dtype),
            training: Param::from_bool(true),
            running_var: RunningState::new(Tensor::ones([sizes.len()], (&device, dtype))),
            fields: Blocks::new(&sizes, &device, dtype),
            settings,
        })
    }
}

/// `y = gamma x / sqrt(var + epsilon)` with `var` the running mean of `|x|^2 / size` of each field; see
/// [`NormBatchNormConfig`]. For fields without trivial irreps, whose mean over the group is zero.
///
/// On an autodiff device, unless frozen, it first moves the running variance. As in escnn, that one normalises in training
/// too, and no gradient flows into it.
#[derive(Module, Debug)]
#[module(custom_display)]
pub struct NormBatchNorm {
    /// Scales, `[fields]`.
    pub gamma: Option<Param<Tensor<1>>>,
    /// Whether it learns from the batch on an autodiff device.
    pub training: Param<Flag>,
    /// `[fields]`.
    pub running_var: RunningState<Tensor<1>>,
    fields: Blocks,
    #[module(skip)]
    settings: Settings,
}

impl NormBatchNorm {
    /// Normalises.
    ///
    /// # Shapes
    /// - `features`: `[batch, field_type.size(), height, width]`
    /// - output: the same
    ///
    /// # Panics
    /// If the channels are not those of the field type.
    pub fn forward(&self, features: Tensor<4>) -> Tensor<4> {
        self.settings.field_type.assert_channels("NormBatchNorm", features.dims()[1]);
        if !is_training(&self.training, &features) {
            return features * per_channel(self.folded());
        }
        let fixed = features.clone().without_autodiff();
        let variance = self.fields.mean(channel_mean(fixed.clone() * fixed)) * bessel(samples(&features));
        let variance = update(&self.running_var, variance, self.settings.momentum);
        features * per_channel(self.scale(variance))
    }

    /// The scale of every channel that the running variance amounts to, `[channels]`.
    pub fn folded(&self) -> Tensor<1> {
        self.scale(self.running_var.value_sync())
    }

    fn scale(&self, variance: Tensor<1>) -> Tensor<1> {
        self.fields.spread(inverse_deviation(&self.gamma, variance, self.settings.epsilon))
    }
}

batch_norm_traits!(NormBatchNorm);
