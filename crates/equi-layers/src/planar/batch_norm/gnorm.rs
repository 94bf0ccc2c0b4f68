//! Group-norm batch norm, `y = Q D Q^T (x - V mean) + V beta` with `D = gamma / sqrt(var + epsilon)` one number for each irrep.
//!
//! `Q` is the change of basis of the representation and `V` its columns that belong to trivial irreps. Scaling every irrep by
//! a number commutes with the group (Schur), and so does shifting the trivial ones. As in escnn, no gradient flows into mean
//! and variance.
//!
//! Weiler and Cesa: General E(2)-Equivariant Steerable CNNs, NeurIPS 2019.

use burn::module::{Content, DisplaySettings, Flag, Module, ModuleDisplay, Param, RunningState};
use burn::tensor::{DType, Device, Tensor, TensorCreationOptions};
use equi_core::FieldType;
use equi_core::check::FieldMap;

use super::{
    Blocks, Settings, batch_norm_config, batch_norm_traits, bessel, channel_mean, combine, inverse_deviation,
    is_training, ones, per_channel, project, samples, update, zeros,
};
use crate::error::Result;
use crate::planar::init::{bias_expansion, from_f64, resolve};

batch_norm_config!(
    /// Configuration of a [`GNormBatchNorm`].
    GNormBatchNormConfig
);

impl GNormBatchNormConfig {
    /// Builds the layer.
    ///
    /// # Errors
    /// If a number makes no sense.
    pub fn init(&self, options: impl Into<TensorCreationOptions>) -> Result<GNormBatchNorm> {
        let settings = self.0.clone();
        settings.check("GNormBatchNorm")?;
        let (device, dtype) = resolve(options);
        let group = settings.field_type.group();
        let irreps: Vec<usize> =
            settings.field_type.fields().iter().flat_map(|f| f.irreps()).map(|i| i.size(group)).collect();
        let invariants = bias_expansion(&settings.field_type, &device, dtype);
        let trivials = invariants.as_ref().map(|v| v.dims()[1]);
        Ok(GNormBatchNorm {
            gamma: ones(&settings, irreps.len(), &device, dtype),
            beta: trivials.and_then(|count| zeros(&settings, count, &device, dtype)),
            training: Param::from_bool(true),
            running_mean: trivials.map(|count| RunningState::new(Tensor::zeros([count], (&device, dtype)))),
            running_var: RunningState::new(Tensor::ones([irreps.len()], (&device, dtype))),
            invariants,
            change_of_basis: change_of_basis(&settings.field_type, &device, dtype),
            irreps: Blocks::new(&irreps, &device, dtype),
            settings,
        })
    }
}

/// `y = Q D Q^T (x - V mean) + V beta` with `D = gamma / sqrt(var + epsilon)` one number for each irrep, `Q` the change of basis
/// and `V` its columns of trivial irreps; see [`GNormBatchNormConfig`]. For all fields.
///
/// On an autodiff device, unless frozen, it normalises with the statistics of the batch and moves the running ones;
/// otherwise it normalises with those. As in escnn, no gradient flows into mean and variance.
#[derive(Module, Debug)]
#[module(custom_display)]
pub struct GNormBatchNorm {
    /// Scales, `[irreps]`: those of the first field, then of the second, and so on.
    pub gamma: Option<Param<Tensor<1>>>,
    /// Shifts along the trivial irreps, `[trivials]`.
    pub beta: Option<Param<Tensor<1>>>,
    /// Whether it normalises with the batch on an autodiff device.
    pub training: Param<Flag>,
    /// Along the trivial irreps, `[trivials]`.
    pub running_mean: Option<RunningState<Tensor<1>>>,
    /// `[irreps]`.
    pub running_var: RunningState<Tensor<1>>,
    /// From the trivial irreps to the channels, `[channels, trivials]`.
    invariants: Option<Tensor<2>>,
    /// From the irreps to the channels, `[channels, channels]`; none if they are the same.
    change_of_basis: Option<Tensor<2>>,
    irreps: Blocks,
    #[module(skip)]
    settings: Settings,
}

impl GNormBatchNorm {
    /// Normalises.
    ///
    /// # Shapes
    /// - `features`: `[batch, field_type.size(), height, width]`
    /// - output: the same
    ///
    /// # Panics
    /// If the channels are not those of the field type.
    pub fn forward(&self, features: Tensor<4>) -> Tensor<4> {
        self.settings.field_type.assert_channels("GNormBatchNorm", features.dims()[1]);
        let (mean, variance) = match is_training(&self.training, &features) {
            true => self.learn(features.clone().without_autodiff()),
            false => (self.running_mean.as_ref().map(RunningState::value_sync), self.running_var.value_sync()),
        };
        let scale = self.irreps.spread(inverse_deviation(&self.gamma, variance, self.settings.epsilon));
        let centred = self.centred(features, mean);
        let scaled = match &self.change_of_basis {
            None => centred * per_channel(scale),
            Some(q) => {
                let [channels] = scale.dims();
                mix(q.clone().mul(scale.reshape([1, channels])).matmul(q.clone().transpose()), centred)
            }
        };
        match (&self.invariants, &self.beta) {
            (Some(invariants), Some(beta)) => scaled + per_channel(combine(invariants, beta.val())),
            _ => scaled,
        }
    }

    fn centred(&self, features: Tensor<4>, mean: Option<Tensor<1>>) -> Tensor<4> {
        match (&self.invariants, mean) {
            (Some(invariants), Some(mean)) => features - per_channel(combine(invariants, mean)),
            _ => features,
        }
    }

    /// Mean and variance of this batch, after the running ones took note of them.
    fn learn(&self, features: Tensor<4>) -> (Option<Tensor<1>>, Tensor<1>) {
        let momentum = self.settings.momentum;
        let bessel = bessel(samples(&features));
        let mean = self.invariants.as_ref().zip(self.running_mean.as_ref()).map(|(invariants, running)| {
            let mean = project(invariants, channel_mean(features.clone()));
            update(running, mean.clone(), momentum);
            mean
        });
        let mut centred = self.centred(features, mean.clone());
        if let Some(q) = &self.change_of_basis {
            centred = mix(q.clone().transpose(), centred);
        }
        let variance = self.irreps.mean(channel_mean(centred.clone() * centred)) * bessel;
        update(&self.running_var, variance.clone(), momentum);
        (mean, variance)
    }
}

/// Applies a matrix to the channels, `[channels, channels]` and `[batch, channels, height, width]`.
fn mix(matrix: Tensor<2>, features: Tensor<4>) -> Tensor<4> {
    let [batch, channels, height, width] = features.dims();
    let mixed = matrix.unsqueeze::<3>().matmul(features.reshape([batch, channels, height * width]));
    mixed.reshape([batch, channels, height, width])
}

/// The changes of basis of all fields, in blocks; none if every one is the identity.
fn change_of_basis(field_type: &FieldType, device: &Device, dtype: DType) -> Option<Tensor<2>> {
    let channels = field_type.size();
    if field_type.fields().iter().all(|f| f.change_of_basis().is_identity(0.0)) {
        return None;
    }
    let mut values = vec![0.0; channels * channels];
    for (start, field) in field_type.offsets() {
        let q = field.change_of_basis();
        for i in 0..field.size() {
            for j in 0..field.size() {
                values[(start + i) * channels + start + j] = q[(i, j)];
            }
        }
    }
    Some(from_f64(values, device, dtype).reshape([channels, channels]))
}

batch_norm_traits!(GNormBatchNorm);
