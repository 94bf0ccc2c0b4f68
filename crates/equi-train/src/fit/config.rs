//! How a model is trained.

use burn::grad_clipping::GradientClippingConfig;
use burn::optim::{AdamWConfig, ModuleOptimizer};
use equi_core::ops::Adam;
use serde::{Deserialize, Serialize};

use super::{FitError, Schedule};

/// Everything that decides the result of a training run besides the model and the data.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FitConfig {
    /// Seed of the data order, the augmentation and dropout.
    pub seed: u64,
    /// Optimiser steps in all.
    pub steps: usize,
    /// Optimiser steps between two validations.
    pub steps_per_epoch: usize,
    /// Samples a step.
    pub batch_size: usize,
    /// The optimiser.
    pub optimizer: Optimizer,
    /// Peak learning rate.
    pub learning_rate: f64,
    /// How the learning rate falls.
    pub schedule: Schedule,
    /// Steps over which the learning rate rises to its peak.
    pub warmup_steps: usize,
    /// Largest L2 norm of the gradient of one parameter tensor.
    pub clip_norm: Option<f32>,
    /// Epochs between two checkpoints. The last epoch is always one.
    pub epochs_per_checkpoint: usize,
    /// Decay of the exponential moving average of the weights, which is then what is validated and kept; none for the weights
    /// themselves. An average over many steps of a high learning rate often generalises better than its last step.
    #[serde(default)]
    pub weight_average: Option<f64>,
    /// Stop after this many epochs without a better validation score.
    pub patience: Option<usize>,
}

/// Which rule turns gradients into steps. Moments 0.9 and 0.999, epsilon 1e-8.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Optimizer {
    /// Adam.
    Adam,
    /// Adam with decoupled weight decay.
    AdamW {
        /// Decay per step as a fraction of the learning rate.
        weight_decay: f32,
    },
}

impl FitConfig {
    /// AdamW with weight decay 1e-4, batches of 64, peak rate 5e-3, a cosine to zero, a warm-up over a twentieth of the
    /// steps, and 20 epochs.
    pub fn new(seed: u64, steps: usize) -> Self {
        Self {
            seed,
            steps,
            steps_per_epoch: steps.div_ceil(20).max(1),
            batch_size: 64,
            optimizer: Optimizer::AdamW { weight_decay: 1e-4 },
            learning_rate: 5e-3,
            schedule: Schedule::Cosine { floor: 0.0 },
            warmup_steps: steps / 20,
            clip_norm: None,
            epochs_per_checkpoint: 1,
            weight_average: None,
            patience: None,
        }
    }

    /// Learning rate at `step`, from 0.
    pub fn rate(&self, step: usize) -> f64 {
        self.learning_rate * self.schedule.factor(step, self.warmup_steps, self.steps)
    }

    pub(crate) fn check(&self, train_len: usize) -> Result<(), FitError> {
        let invalid = |message: String| Err(FitError::Config { message });
        for (name, value) in [
            ("steps", self.steps),
            ("steps_per_epoch", self.steps_per_epoch),
            ("batch_size", self.batch_size),
            ("epochs_per_checkpoint", self.epochs_per_checkpoint),
            ("the number of training samples", train_len),
        ] {
            if value == 0 {
                return invalid(format!("{name} is 0 and must be at least 1"));
            }
        }
        if !(self.learning_rate.is_finite() && self.learning_rate > 0.0) {
            return invalid(format!("learning_rate is {} and must be finite and positive", self.learning_rate));
        }
        if let Some(decay) = self.weight_average
            && !(decay > 0.0 && decay < 1.0)
        {
            return invalid(format!("weight_average is {decay} and must be between 0 and 1, such as 0.999"));
        }
        if let Some(norm) = self.clip_norm
            && !(norm.is_finite() && norm > 0.0)
        {
            return invalid(format!("clip_norm is {norm} and must be finite and positive; leave it out not to clip"));
        }
        Ok(())
    }

    pub(crate) fn optimizer(&self) -> ModuleOptimizer {
        let clipping = self.clip_norm.map(GradientClippingConfig::Norm);
        match self.optimizer {
            Optimizer::Adam => match clipping {
                Some(clipping) => Adam::new().init().with_grad_clipping(clipping.init()),
                None => Adam::new().init(),
            },
            Optimizer::AdamW { weight_decay } => AdamWConfig::new()
                .with_epsilon(1e-8)
                .with_weight_decay(weight_decay)
                .with_grad_clipping(clipping)
                .init(),
        }
    }
}
