//! Batch normalisation of irreps, `x_c -> w_c (x_c - mean_c) / sqrt(var_c + epsilon) + b_c` for every copy `c`.
//!
//! Only even scalars have a mean and a shift: that of everything else over the group is zero. The variance is that of the norm of a copy,
//! which no isometry changes.

use burn::module::{Content, DisplaySettings, Flag, Module, ModuleDisplay, Param, RunningState};
use burn::tensor::{Tensor, TensorCreationOptions};
use equi_core::o3::{Irrep, Irreps, MulIrrep, Normalization};

use super::copies::{check_columns, check_features};
use crate::error::{LayerError, Result};
use crate::planar::batch_norm::{is_training, update};
use crate::planar::init::resolve;

/// What becomes of the squared norms of several samples of one element of the batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reduction {
    /// Their mean.
    Mean,
    /// The largest.
    Max,
}

/// Configuration of an [`IrrepsBatchNorm`].
#[derive(Clone, Debug)]
pub struct IrrepsBatchNormConfig {
    irreps: Irreps,
    normalization: Normalization,
    reduction: Reduction,
    instance: bool,
    affine: bool,
    momentum: f64,
    epsilon: f64,
}

impl IrrepsBatchNormConfig {
    /// Components of variance one over the batch, means over samples, learned scales and shifts, momentum 0.1 and epsilon 1e-5.
    pub fn new(irreps: &Irreps) -> Self {
        Self {
            irreps: irreps.clone(),
            normalization: Normalization::Component,
            reduction: Reduction::Mean,
            instance: false,
            affine: true,
            momentum: 0.1,
            epsilon: 1e-5,
        }
    }

    /// What is to have mean square one: the components of a copy, or its norm.
    pub fn with_normalization(mut self, normalization: Normalization) -> Self {
        self.normalization = normalization;
        self
    }

    /// What becomes of the samples of an element of the batch.
    pub fn with_reduction(mut self, reduction: Reduction) -> Self {
        self.reduction = reduction;
        self
    }

    /// Whether every element of the batch is normalised by itself, over its samples, in evaluation as in training.
    pub fn with_instance(mut self, instance: bool) -> Self {
        self.instance = instance;
        self
    }

    /// Whether scales and shifts are learned.
    pub fn with_affine(mut self, affine: bool) -> Self {
        self.affine = affine;
        self
    }

    /// The weight of the newest batch in the running statistics.
    pub fn with_momentum(mut self, momentum: f64) -> Self {
        self.momentum = momentum;
        self
    }

    /// What is added to the variances.
    pub fn with_epsilon(mut self, epsilon: f64) -> Self {
        self.epsilon = epsilon;
        self
    }

    /// Builds the layer.
    ///
    /// # Errors
    /// [`LayerError::InvalidConfig`] for a momentum outside of `[0, 1]`, an epsilon that is not positive, the normalization `Integral`, and
    /// irreps without columns.
    pub fn init(&self, options: impl Into<TensorCreationOptions>) -> Result<IrrepsBatchNorm> {
        check_columns("IrrepsBatchNorm", &self.irreps)?;
        let Self { momentum, epsilon, .. } = *self;
        if !(0.0..=1.0).contains(&momentum) {
            return Err(LayerError::InvalidConfig(format!(
                "IrrepsBatchNorm: the momentum is the weight of the newest batch in the running statistics and lies between 0 and 1, but \
                 it is {momentum}; 0.1 is usual"
            )));
        }
        if !(epsilon.is_finite() && epsilon > 0.0) {
            return Err(LayerError::InvalidConfig(format!(
                "IrrepsBatchNorm: epsilon keeps the variance of a constant from being zero and must be positive, but it is {epsilon}; 1e-5 \
                 is usual"
            )));
        }
        if self.normalization == Normalization::Integral {
            return Err(LayerError::InvalidConfig(
                "IrrepsBatchNorm normalizes components or norms, and Integral is neither: use Component or Norm"
                    .to_owned(),
            ));
        }
        let (device, dtype) = resolve(options);
        let copies = self.irreps.copies();
        let scalars = self.irreps.count(Irrep::even(0));
        let ones = |count| Tensor::ones([count], (&device, dtype));
        let zeros = |count| Tensor::zeros([count], (&device, dtype));
        let running = !self.instance;
        Ok(IrrepsBatchNorm {
            weight: self.affine.then(|| Param::from_tensor(ones(copies))),
            bias: (self.affine && scalars > 0).then(|| Param::from_tensor(zeros(scalars))),
            training: Param::from_bool(true),
            running_mean: (running && scalars > 0).then(|| RunningState::new(zeros(scalars))),
            running_var: running.then(|| RunningState::new(ones(copies))),
            config: self.clone(),
        })
    }
}

/// Normalises irreps over a batch; e3nn's `nn.BatchNorm`. See [`IrrepsBatchNormConfig`].
///
/// It normalises with the statistics of the batch on an autodiff device, unless frozen, and otherwise with the running ones, as Burn's
/// batch norm does. Variances are biased.
#[derive(Module, Debug)]
#[module(custom_display)]
pub struct IrrepsBatchNorm {
    /// Scales, `[copies]`.
    pub weight: Option<Param<Tensor<1>>>,
    /// Shifts, `[copies of 0e]`.
    pub bias: Option<Param<Tensor<1>>>,
    /// Whether it normalises with the batch on an autodiff device.
    pub training: Param<Flag>,
    /// `[copies of 0e]`.
    pub running_mean: Option<RunningState<Tensor<1>>>,
    /// `[copies]`.
    pub running_var: Option<RunningState<Tensor<1>>>,
    #[module(skip)]
    config: IrrepsBatchNormConfig,
}

impl IrrepsBatchNorm {
    /// What it takes and gives.
    pub fn irreps(&self) -> &Irreps {
        &self.config.irreps
    }

    /// Normalises. An empty batch stays empty, and teaches nothing.
    ///
    /// # Shapes
    /// - `features`, output: `[batch, ..., irreps.dim()]`, with any number of dimensions for the samples of an element of the batch; for a
    ///   graph `[nodes, irreps.dim()]`
    ///
    /// # Panics
    /// If the columns are not those of the irreps.
    pub fn forward<const D: usize>(&self, features: Tensor<D>) -> Tensor<D> {
        check_features("IrrepsBatchNorm", &self.config.irreps, &features);
        let shape = features.dims();
        if shape.contains(&0) {
            return features;
        }
        let (batch, dim) = (if D > 1 { shape[0] } else { 1 }, shape[D - 1]);
        let samples = shape.iter().product::<usize>() / (batch * dim);
        let learning = is_training(&self.training, &features);
        let features = features.reshape([batch, samples, dim]);

        let (mut copy, mut scalar) = (0, 0);
        let (mut parts, mut means, mut variances) = (Vec::new(), Vec::new(), Vec::new());
        let irreps = &self.config.irreps;
        for (&MulIrrep { mul, irrep }, columns) in irreps.blocks().iter().zip(irreps.slices()) {
            if mul == 0 {
                continue;
            }
            let mut part =
                features.clone().narrow(2, columns.start, columns.len()).reshape([batch, samples, mul, irrep.dim()]);
            if irrep.is_scalar() {
                let mean = match &self.running_mean {
                    Some(running) if !learning => running.value_sync().narrow(0, scalar, mul).reshape([1, 1, mul, 1]),
                    running => {
                        let mean = part.clone().mean_dim(1);
                        let mean = if running.is_some() { mean.mean_dim(0) } else { mean };
                        means.push(mean.clone());
                        mean
                    }
                };
                part = part - mean;
            }
            let variance = match &self.running_var {
                Some(running) if !learning => running.value_sync().narrow(0, copy, mul).reshape([1, 1, mul, 1]),
                running => {
                    let variance = self.squares(part.clone());
                    let variance = if running.is_some() { variance.mean_dim(0) } else { variance };
                    variances.push(variance.clone());
                    variance
                }
            };
            let mut scale = (variance + self.config.epsilon).sqrt().recip();
            if let Some(weight) = &self.weight {
                scale = scale * weight.val().narrow(0, copy, mul).reshape([1, 1, mul, 1]);
            }
            part = part * scale;
            if let (true, Some(bias)) = (irrep.is_scalar(), &self.bias) {
                part = part + bias.val().narrow(0, scalar, mul).reshape([1, 1, mul, 1]);
            }
            copy += mul;
            scalar += if irrep.is_scalar() { mul } else { 0 };
            parts.push(part.reshape([batch, samples, columns.len()]));
        }
        if learning {
            self.learn(&self.running_mean, means);
            self.learn(&self.running_var, variances);
        }
        Tensor::cat(parts, 2).reshape(shape)
    }

    /// `[batch, samples, mul, size]` to `[batch, 1, mul, 1]`: the squared norm, or its mean over the components, reduced over samples.
    fn squares(&self, part: Tensor<4>) -> Tensor<4> {
        let squares = match self.config.normalization {
            Normalization::Component => part.square().mean_dim(3),
            Normalization::Norm | Normalization::Integral => part.square().sum_dim(3),
        };
        match self.config.reduction {
            Reduction::Mean => squares.mean_dim(1),
            Reduction::Max => squares.max_dim(1),
        }
    }

    /// Moves a running statistic towards those of the newest batch, `[1, 1, mul, 1]` each.
    fn learn(&self, running: &Option<RunningState<Tensor<1>>>, newest: Vec<Tensor<4>>) {
        if let Some(running) = running {
            let newest = newest.into_iter().map(|part| {
                let mul = part.dims()[2];
                part.reshape([mul])
            });
            update(running, Tensor::cat(newest.collect(), 0), self.config.momentum);
        }
    }
}

impl ModuleDisplay for IrrepsBatchNorm {
    fn custom_settings(&self) -> Option<DisplaySettings> {
        DisplaySettings::new().with_new_line_after_attribute(false).optional()
    }

    fn custom_content(&self, content: Content) -> Option<Content> {
        content.set_top_level_type(&format!("IrrepsBatchNorm({})", self.config.irreps)).optional()
    }
}
