//! IID batch norm, `y = gamma (x - P mean) / sqrt(var + epsilon) + V beta` with one variance for each field.
//!
//! `V` spans the trivial irreps of the fields and `P = V V^T` projects onto them: the mean over the group is all of the
//! mean that the group leaves alone. The variance is the unbiased one of each channel, averaged over the field: the channels
//! are taken to be independent and identically distributed. As in escnn, no gradient flows into mean and variance.
//!
//! Cesa, Lang and Weiler: A Program to Build E(N)-Equivariant Steerable CNNs, ICLR 2022.

use burn::module::{Content, DisplaySettings, Flag, Module, ModuleDisplay, Param, RunningState};
use burn::tensor::{DType, Device, Tensor, TensorCreationOptions};
use equi_core::FieldType;
use equi_core::check::FieldMap;

use super::{
    Blocks, Settings, batch_norm_config, batch_norm_traits, bessel, channel_mean, combine, inverse_deviation,
    is_training, ones, per_channel, project, samples, update, zeros,
};
use crate::error::Result;
use crate::planar::init::{bias_expansion, resolve};

batch_norm_config!(
    /// Configuration of an [`IidBatchNorm`].
    IidBatchNormConfig
);

impl IidBatchNormConfig {
    /// Builds the layer.
    ///
    /// # Errors
    /// If a number makes no sense.
    pub fn init(&self, options: impl Into<TensorCreationOptions>) -> Result<IidBatchNorm> {
        let settings = self.0.clone();
        settings.check("IidBatchNorm")?;
        let (device, dtype) = resolve(options);
        let sizes: Vec<usize> = settings.field_type.fields().iter().map(|f| f.size()).collect();
        let invariants = bias_expansion(&settings.field_type, &device, dtype);
        let trivials = invariants.as_ref().map(|v| v.dims()[1]);
        Ok(IidBatchNorm {
            gamma: ones(&settings, sizes.len(), &device, dtype),
            beta: trivials.and_then(|count| zeros(&settings, count, &device, dtype)),
            training: Param::from_bool(true),
            running_mean: trivials.map(|count| RunningState::new(Tensor::zeros([count], (&device, dtype)))),
            running_var: RunningState::new(Tensor::ones([sizes.len()], (&device, dtype))),
            invariants,
            fields: Blocks::new(&sizes, &device, dtype),
            settings,
        })
    }
}

/// `y = gamma (x - P mean) / sqrt(var + epsilon) + V beta`, with one variance for each field, `V` the trivial irreps in it and
/// `P = V V^T`; see [`IidBatchNormConfig`]. For all fields.
///
/// On an autodiff device, unless frozen, it normalises with the statistics of the batch and moves the running ones;
/// otherwise it normalises with those. As in escnn, no gradient flows into mean and variance.
#[derive(Module, Debug)]
#[module(custom_display)]
pub struct IidBatchNorm {
    /// Scales, `[fields]`.
    pub gamma: Option<Param<Tensor<1>>>,
    /// Shifts along the trivial irreps, `[trivials]`.
    pub beta: Option<Param<Tensor<1>>>,
    /// Whether it normalises with the batch on an autodiff device.
    pub training: Param<Flag>,
    /// Along the trivial irreps, `[trivials]`.
    pub running_mean: Option<RunningState<Tensor<1>>>,
    /// `[fields]`.
    pub running_var: RunningState<Tensor<1>>,
    /// From the trivial irreps to the channels, `[channels, trivials]`.
    invariants: Option<Tensor<2>>,
    fields: Blocks,
    #[module(skip)]
    settings: Settings,
}

impl IidBatchNorm {
    /// Normalises.
    ///
    /// # Shapes
    /// - `features`: `[batch, field_type.size(), height, width]`
    /// - output: the same
    ///
    /// # Panics
    /// If the channels are not those of the field type.
    pub fn forward(&self, features: Tensor<4>) -> Tensor<4> {
        self.settings.field_type.assert_channels("IidBatchNorm", features.dims()[1]);
        let (scale, shift) = match is_training(&self.training, &features) {
            true => self.learn(features.clone().without_autodiff()),
            false => self.folded(),
        };
        let scaled = features * per_channel(scale);
        match shift {
            Some(shift) => scaled + per_channel(shift),
            None => scaled,
        }
    }

    /// The scale of every channel that the running statistics amount to, and its shift if any irrep is trivial,
    /// `[channels]` each.
    pub fn folded(&self) -> (Tensor<1>, Option<Tensor<1>>) {
        self.fold(self.running_mean.as_ref().map(RunningState::value_sync), self.running_var.value_sync())
    }

    fn fold(&self, mean: Option<Tensor<1>>, variance: Tensor<1>) -> (Tensor<1>, Option<Tensor<1>>) {
        let scale = self.fields.spread(inverse_deviation(&self.gamma, variance, self.settings.epsilon));
        let shift = self.invariants.as_ref().zip(mean).map(|(invariants, mean)| {
            let mean = combine(invariants, mean) * scale.clone();
            match &self.beta {
                Some(beta) => combine(invariants, beta.val()) - mean,
                None => mean.neg(),
            }
        });
        (scale, shift)
    }

    /// The scale and the shift for this batch, after the running statistics took note of it.
    fn learn(&self, features: Tensor<4>) -> (Tensor<1>, Option<Tensor<1>>) {
        let momentum = self.settings.momentum;
        let bessel = bessel(samples(&features));
        let means = channel_mean(features.clone());
        let centred = features - per_channel(means.clone());
        let variance = self.fields.mean(channel_mean(centred.clone() * centred)) * bessel;
        update(&self.running_var, variance.clone(), momentum);
        let mean = self.invariants.as_ref().zip(self.running_mean.as_ref()).map(|(invariants, running)| {
            let mean = project(invariants, means);
            update(running, mean.clone(), momentum);
            mean
        });
        self.fold(mean, variance)
    }
}

batch_norm_traits!(IidBatchNorm);
