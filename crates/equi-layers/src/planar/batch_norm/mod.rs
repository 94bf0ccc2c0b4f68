//! Batch normalisation of feature fields: the statistics are ones that the group leaves alone, so that subtracting the mean
//! and dividing by the deviation commute with it.
//!
//! | layer | fields | mean | variance |
//! |---|---|---|---|
//! | [`InnerBatchNorm`] | permutations | of each field | of each field |
//! | [`NormBatchNorm`] | without trivial irreps | zero | of each field, running |
//! | [`IidBatchNorm`] | any | of the trivial irreps | of each field |
//! | [`GNormBatchNorm`] | any | of the trivial irreps | of each irrep |
//!
//! Parameters and running statistics are numbered by field (or irrep), in the order of the channels. A layer trains on an
//! autodiff device unless frozen, and otherwise uses its running statistics, as Burn's batch norm does.

mod gnorm;
mod iid;
mod inner;
mod norm;

pub use gnorm::{GNormBatchNorm, GNormBatchNormConfig};
pub use iid::{IidBatchNorm, IidBatchNormConfig};
pub use inner::{InnerBatchNorm, InnerBatchNormConfig};
pub use norm::{NormBatchNorm, NormBatchNormConfig};

use burn::module::{Flag, Module, Param, RunningState};
use burn::tensor::{DType, Device, Tensor};
use equi_core::FieldType;
use equi_core::check::FieldMap;

use super::init::from_f64;
use crate::error::{LayerError, Result};

/// What every batch norm is told.
#[derive(Clone, Debug)]
struct Settings {
    field_type: FieldType,
    momentum: f64,
    epsilon: f64,
    affine: bool,
}

impl Settings {
    fn new(field_type: &FieldType) -> Self {
        Self { field_type: field_type.clone(), momentum: 0.1, epsilon: 1e-5, affine: true }
    }

    fn check(&self, layer: &str) -> Result<()> {
        let Self { momentum, epsilon, .. } = self;
        if !(0.0..=1.0).contains(momentum) {
            return Err(LayerError::InvalidConfig(format!(
                "{layer}: the momentum is the weight of the newest batch in the running statistics and lies between 0 and \
                 1, but it is {momentum}; 0.1 is usual"
            )));
        }
        if !(epsilon.is_finite() && *epsilon > 0.0) {
            return Err(LayerError::InvalidConfig(format!(
                "{layer}: epsilon keeps the variance of a constant field from being zero and must be positive, but it is \
                 {epsilon}; 1e-5 is usual"
            )));
        }
        Ok(())
    }
}

/// A batch norm that is an affine map of every channel once it is trained, so that it folds into the convolution before it.
pub trait Foldable: FieldMap {
    /// The scale and, if any, the shift of every channel in evaluation mode, `[channels]` each.
    fn affine(&self) -> (Tensor<1>, Option<Tensor<1>>);
}

impl Foldable for InnerBatchNorm {
    fn affine(&self) -> (Tensor<1>, Option<Tensor<1>>) {
        let (scale, shift) = self.folded();
        (scale, Some(shift))
    }
}

impl Foldable for NormBatchNorm {
    fn affine(&self) -> (Tensor<1>, Option<Tensor<1>>) {
        (self.folded(), None)
    }
}

impl Foldable for IidBatchNorm {
    fn affine(&self) -> (Tensor<1>, Option<Tensor<1>>) {
        self.folded()
    }
}

/// The configuration of a batch norm.
macro_rules! batch_norm_config {
    ($(#[$doc:meta])* $config:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug)]
        pub struct $config(Settings);

        impl $config {
            /// With momentum 0.1, epsilon 1e-5 and learned scales and shifts.
            pub fn new(field_type: &FieldType) -> Self {
                Self(Settings::new(field_type))
            }

            /// The weight of the newest batch in the running statistics.
            pub fn with_momentum(mut self, momentum: f64) -> Self {
                self.0.momentum = momentum;
                self
            }

            /// What is added to the variances.
            pub fn with_epsilon(mut self, epsilon: f64) -> Self {
                self.0.epsilon = epsilon;
                self
            }

            /// Whether scales and shifts are learned.
            pub fn with_affine(mut self, affine: bool) -> Self {
                self.0.affine = affine;
                self
            }
        }
    };
}
use batch_norm_config;

/// How it prints, and what the checks need to know.
macro_rules! batch_norm_traits {
    ($layer:ident) => {
        impl FieldMap for $layer {
            fn input_type(&self) -> FieldType {
                self.settings.field_type.clone()
            }

            fn output_type(&self) -> FieldType {
                self.settings.field_type.clone()
            }

            fn forward(&self, features: Tensor<4>) -> Tensor<4> {
                $layer::forward(self, features)
            }

            fn options(&self) -> (Device, DType) {
                let variance = self.running_var.value();
                (variance.device(), variance.dtype())
            }
        }

        impl ModuleDisplay for $layer {
            fn custom_settings(&self) -> Option<DisplaySettings> {
                DisplaySettings::new().with_new_line_after_attribute(false).optional()
            }

            fn custom_content(&self, content: Content) -> Option<Content> {
                let name = concat!(stringify!($layer), "({})");
                content.set_top_level_type(&name.replace("{}", &self.settings.field_type.to_string())).optional()
            }
        }
    };
}
use batch_norm_traits;

/// The channels in blocks of neighbours, fields or irreps: averages over each, and back.
#[derive(Module, Debug)]
struct Blocks {
    /// Channels of each block, `[blocks]`.
    sizes: Tensor<1>,
    /// 1 where the channel lies in the block, `[channels, blocks]`; none if all blocks have one size.
    members: Option<Tensor<2>>,
    channels: usize,
    count: usize,
}

impl Blocks {
    fn new(sizes: &[usize], device: &Device, dtype: DType) -> Self {
        let (channels, count) = (sizes.iter().sum(), sizes.len());
        let uniform = sizes.iter().all(|size| size == &sizes[0]);
        let members = (!uniform).then(|| {
            let row = |block: usize| (0..count).map(move |b| f64::from(u8::from(b == block)));
            let rows = sizes.iter().enumerate().flat_map(|(block, &size)| (0..size).flat_map(move |_| row(block)));
            from_f64(rows.collect(), device, dtype).reshape([channels, count])
        });
        let sizes = from_f64(sizes.iter().map(|&size| size as f64).collect(), device, dtype);
        Self { sizes, members, channels, count }
    }

    /// `[channels]` to `[blocks]`: the average over each block.
    fn mean(&self, values: Tensor<1>) -> Tensor<1> {
        match &self.members {
            None => values.reshape([self.count as i32, -1]).mean_dim(1).reshape([self.count]),
            Some(members) => {
                let sums = (values.reshape([self.channels, 1]) * members.clone()).sum_dim(0);
                sums.reshape([self.count]) / self.sizes.clone()
            }
        }
    }

    /// `[blocks]` to `[channels]`: the same number for every channel of a block.
    fn spread(&self, values: Tensor<1>) -> Tensor<1> {
        match &self.members {
            None => {
                let size = self.channels / self.count;
                values.reshape([self.count, 1]).expand([self.count, size]).reshape([self.channels])
            }
            Some(members) => (values.reshape([1, self.count]) * members.clone()).sum_dim(1).reshape([self.channels]),
        }
    }
}

/// `[batch, channels, height, width]` to `[channels]`: the average over batch and space.
fn channel_mean(features: Tensor<4>) -> Tensor<1> {
    let [batch, channels, height, width] = features.dims();
    features.reshape([batch, channels, height * width]).mean_dim(2).mean_dim(0).reshape([channels])
}

/// A number per channel, to be broadcast over a feature map.
fn per_channel(values: Tensor<1>) -> Tensor<4> {
    let [channels] = values.dims();
    values.reshape([1, channels, 1, 1])
}

/// How many pixels a batch has.
fn samples(features: &Tensor<4>) -> usize {
    let [batch, _, height, width] = features.dims();
    batch * height * width
}

/// What makes the variance of `n` numbers unbiased; a single number has none, and stays at zero.
fn bessel(n: usize) -> f64 {
    n as f64 / n.max(2).saturating_sub(1) as f64
}

/// Whether the layer is to use the statistics of the batch.
pub(crate) fn is_training<const D: usize>(training: &Param<Flag>, features: &Tensor<D>) -> bool {
    features.device().is_autodiff() && training.is_enabled()
}

/// Moves a running statistic towards that of the newest batch and gives the result.
pub(crate) fn update(running: &RunningState<Tensor<1>>, newest: Tensor<1>, momentum: f64) -> Tensor<1> {
    // Workers that share a running statistic take it to their devices.
    let old = running.value_sync().to_device(&newest.device());
    let newest = if old.is_autodiff() { newest.detach() } else { newest.without_autodiff() };
    let new = (old * (1.0 - momentum) + newest * momentum).detach();
    running.update(new.clone());
    new
}

/// `scale / sqrt(variance + epsilon)`.
fn inverse_deviation(scale: &Option<Param<Tensor<1>>>, variance: Tensor<1>, epsilon: f64) -> Tensor<1> {
    let deviation = (variance + epsilon).sqrt();
    match scale {
        Some(scale) => scale.val() / deviation,
        None => deviation.recip(),
    }
}

/// Scales at one, if they are learned.
fn ones(settings: &Settings, count: usize, device: &Device, dtype: DType) -> Option<Param<Tensor<1>>> {
    settings.affine.then(|| Param::from_tensor(Tensor::ones([count], (device, dtype))))
}

/// Shifts at zero, if they are learned.
fn zeros(settings: &Settings, count: usize, device: &Device, dtype: DType) -> Option<Param<Tensor<1>>> {
    settings.affine.then(|| Param::from_tensor(Tensor::zeros([count], (device, dtype))))
}

/// A combination of directions, `[channels, directions]` and `[directions]` to `[channels]`.
fn combine(directions: &Tensor<2>, coefficients: Tensor<1>) -> Tensor<1> {
    let [channels, count] = directions.dims();
    (directions.clone() * coefficients.reshape([1, count])).sum_dim(1).reshape([channels])
}

/// Scalar products with directions, `[channels, directions]` and `[channels]` to `[directions]`.
fn project(directions: &Tensor<2>, values: Tensor<1>) -> Tensor<1> {
    let [channels, count] = directions.dims();
    (directions.clone() * values.reshape([channels, 1])).sum_dim(0).reshape([count])
}
