//! Our networks, losses, augmentations and data in [`burn_train`]: its terminal dashboard, its metrics and its strategies for several devices.
//!
//! [`fit`](crate::fit::fit) is the loop of this crate: it stops and goes on bit for bit, and `equi compare` runs on it. This module is for those who want Burn's
//! `SupervisedTraining` around the same steps:
//!
//! * [`ImageSteps`] and [`MotionSteps`] make a [`Classifier`](crate::fit::Classifier) and a [`Dynamics`](crate::fit::Dynamics) what burn-train trains. Their losses
//!   are those of [`Classification`](crate::fit::Classification) and [`Prediction`](crate::fit::Prediction), and so is their augmentation: a function of `(seed, step)`.
//! * [`Batches`] loads samples in the order of `fit`, and [`learner`] makes a `Learner` with the optimiser and the rates of a [`FitConfig`]. On one device
//!   the weights after an epoch are those of `fit`, bit for bit.
//! * [`EquivarianceErrorMetric`] shows the exact equivariance error of every validation beside accuracy and loss.
//! * [`PlainLog`] prints a line an epoch, for output that is not a terminal.
//!
//! # Several devices, with Burn 0.22.1
//!
//! **`ExecutionStrategy::multi`** runs on every backend, also on several backends at once (flex and lavapipe), and with several workers on one device. It gives every
//! device a part of the loader and **adds** the gradients of all devices; it does not average them. With Burn's own loaders every device takes a full batch, so `n` devices
//! take steps of an `n`-fold gradient on `n`-fold batches, and plain gradient descent needs a rate `n` times smaller, and clipping a norm `n` times larger (Adam does not
//! see the factor). [`Batches`] avoids both: the parts share the samples of a step, and the steps weigh gradients with [`Step::share`], so the sum is the
//! gradient of the mean loss of one full batch, and rates, schedules and clipping stay as they are on one device. What differs is which samples meet in a step, the
//! random draws, and batch norm, which sees the samples of its own device; its running statistics are averaged over the devices, in no fixed
//! order: a network with batch norm does not repeat bit for bit on several workers.
//!
//! **`ExecutionStrategy::ddp`** needs collective operations between devices, which Burn has for CUDA and for remote devices. On flex and ndarray it panics before the first step:
//! `Distributed operations are not supported for device Flex(Cpu)`. wgpu, Vulkan, Metal and ROCm are refused at the first gradient, which
//! `has no transport between its devices`. Where it runs, choose `ReduceOperation::Sum`: the shares above are meant to be added, and `Mean` divides by the number of
//! devices once more. This module has not been tried with it.
//!
//! **Which devices.** Flex is one device, whatever one asks for: `vec![device.clone(), device]` are two workers on it. So is ndarray. CUDA and ROCm devices have an
//! index. `Device::wgpu` numbers discrete, integrated and virtual GPUs; of adapters on the CPU, such as lavapipe, it takes the first, but `DeviceKind::Cpu` and
//! `DeviceKind::DefaultDevice` are two devices even where they are the same adapter.
//!
//! Burn resumes from a checkpoint with weights, optimiser and rates; [`Batches::after`] resumes the order of the samples and the augmentation.

pub use burn_train;

mod batches;
mod images;
mod log;
mod metric;
mod motions;

pub use batches::{Batches, Samples, Step};
pub use images::{ImageInput, ImageOutput, ImageSamples, ImageSteps, NothingExact};
pub use log::PlainLog;
pub use metric::{EquivarianceErrorInput, EquivarianceErrorMetric};
pub use motions::{MotionInput, MotionOutput, MotionSamples, MotionSteps};

use burn::lr_scheduler::{LrScheduler, LrSchedulerRecord};
use burn::tensor::Device;
use burn_train::{Learner, LearnerModel};
use rand::Rng;

use crate::fit::{FitConfig, FitError};
use crate::seed::{Purpose, stream};

/// A learner of `model` with the optimiser, the clipping and the learning rates of `config`.
///
/// # Errors
///
/// [`FitError::Config`] for what burn-train does not do: averaged weights, and patience (use
/// [`SupervisedTraining::early_stopping`](burn_train::SupervisedTraining::early_stopping)).
pub fn learner<M: LearnerModel>(model: M, config: &FitConfig) -> Result<Learner<M>, FitError> {
    let unsupported = |message: &str| Err(FitError::Config { message: message.to_string() });
    if config.weight_average.is_some() {
        return unsupported("burn-train does not average weights: leave weight_average out, or train with fit");
    }
    if config.patience.is_some() {
        return unsupported("burn-train has no patience: leave it out, and give SupervisedTraining an early_stopping");
    }
    Ok(Learner::new(model.valid().train(), config.optimizer(), Rates { config: config.clone(), step: 0 }))
}

/// The learning rates of a configuration, one after the other.
#[derive(Clone, Debug)]
struct Rates {
    config: FitConfig,
    /// Steps done.
    step: usize,
}

/// The name of the step in a checkpoint.
const STEP: &str = "step";

impl LrScheduler for Rates {
    fn step(&mut self) -> f64 {
        self.step += 1;
        self.config.rate(self.step - 1)
    }

    fn to_record(&self) -> LrSchedulerRecord {
        LrSchedulerRecord::new().with_scalar(STEP, self.step as u64)
    }

    fn load_record(&mut self, record: LrSchedulerRecord) {
        self.step = record.scalar::<u64>(STEP).map_or(self.step, |step| step as usize);
    }
}

/// Seeds what layers draw on the device in a step, such as dropout. Workers that share a device share its generator, so they draw in no fixed order.
fn seed_layers(device: &Device, step: Step) {
    device.seed(stream(step.seed, Purpose::Layers, step.step as u64).next_u64());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rates_go_on_where_a_checkpoint_was() {
        let rates = || Rates { config: FitConfig { warmup_steps: 3, ..FitConfig::new(0, 10) }, step: 0 };
        let mut whole = rates();
        let all: Vec<f64> = (0..10).map(|_| whole.step()).collect();
        assert_eq!(all, (0..10).map(|step| rates().config.rate(step)).collect::<Vec<_>>());
        let mut first = rates();
        for _ in 0..4 {
            first.step();
        }
        let mut resumed = rates();
        resumed.load_record(first.to_record());
        assert_eq!((0..6).map(|_| resumed.step()).collect::<Vec<_>>(), all[4..]);
    }
}
