//! What the loop trains on.

use burn::Tensor;
use burn::module::Module;
use burn::tensor::Device;
use serde::{Deserialize, Serialize};

use crate::stop::Stop;

/// A supervised problem: the loss of a batch, and the score of a model on samples held out.
pub trait Problem {
    /// The model that is trained.
    type Model: Module;

    /// Number of training samples.
    fn train_len(&self) -> usize;

    /// Mean loss of the training samples at the positions `samples`, each below [`train_len`](Self::train_len).
    ///
    /// `device` has autodiff enabled. Random draws, such as augmentation, take `step` as their position
    /// ([`crate::seed::stream`]).
    ///
    /// # Shapes
    ///
    /// - output: `[1]`
    fn loss(&self, model: &Self::Model, samples: &[usize], step: usize, device: &Device) -> Tensor<1>;

    /// Score on the validation samples; none if `stop` was raised on the way. `device` has no autodiff, and `model` is in
    /// validation mode.
    fn validate(&self, model: &Self::Model, device: &Device, stop: &Stop) -> Option<Score>;
}

/// How good a model is on the validation samples. Lower is better in both.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// The quantity the run is judged by, such as the error in percent.
    pub metric: f64,
    /// The mean loss, which decides between equal metrics.
    pub loss: f64,
}

impl Score {
    /// Whether this score beats `other`: by the metric, and by the loss where the metrics are equal.
    pub fn beats(&self, other: &Self) -> bool {
        (self.metric, self.loss) < (other.metric, other.loss)
    }

    /// Whether both numbers are finite.
    pub fn is_finite(&self) -> bool {
        self.metric.is_finite() && self.loss.is_finite()
    }
}
