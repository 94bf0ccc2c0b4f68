//! What may be chosen for an arm by itself.

use serde::{Deserialize, Serialize};

/// How the cells of an arm are trained, where that may differ from arm to arm: as the recipe says, or as [tuning](super::tuning) found best.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Hyperparameters {
    /// Peak learning rate.
    pub learning_rate: f64,
    /// Weight decay of AdamW, per step as a fraction of the learning rate; with none, that is Adam.
    pub weight_decay: f32,
    /// Width of the layers as a fraction of that of the matched network: at most 1, so that no arm costs more than it may.
    pub width: f64,
    /// The probability that a training sample is moved, as a fraction of what the augmentation of the arm has.
    pub augmentation: f64,
}

impl Hyperparameters {
    /// Those of the networks that are matched, which nobody trains.
    pub(super) const MATCHED: Self = Self { learning_rate: 1.0, weight_decay: 0.0, width: 1.0, augmentation: 1.0 };

    /// A number of channels, `full` in the matched network.
    pub fn channels(&self, full: usize) -> usize {
        ((self.width * full as f64).round() as usize).max(1)
    }
}
