//! Motions of points: a network that tells where particles will be, its loss and its augmentation.

use std::ops::Range;
use std::sync::Arc;

use burn::module::{Module, ModuleDisplay};
use burn::tensor::{Device, ExecutionError};
use burn_train::metric::{Adaptor, LossInput};
use burn_train::{InferenceStep, ItemLazy, RegressionOutput, TrainOutput, TrainStep};

use super::{EquivarianceErrorInput, Samples, Step, seed_layers};
use crate::augment::PointAugmentation;
use crate::compare::probe;
use crate::data::nbody::{Motion, MotionBatch};
use crate::fit::{Dynamics, positions};

/// Motions to train or to validate on. All have the same number of particles.
#[derive(Clone, Debug)]
pub struct MotionSamples {
    motions: Arc<Vec<Motion>>,
    augmentation: PointAugmentation,
    probe: bool,
}

impl MotionSamples {
    /// `motions`, without augmentation.
    pub fn new(motions: impl Into<Arc<Vec<Motion>>>) -> Self {
        Self { motions: motions.into(), augmentation: PointAugmentation::none(), probe: false }
    }

    /// The same, augmented while training.
    pub fn with_augmentation(mut self, augmentation: PointAugmentation) -> Self {
        self.augmentation = augmentation;
        self
    }

    /// The same, with the equivariance error under isometries and permutations while validating.
    pub fn with_probe(mut self) -> Self {
        self.probe = true;
        self
    }

    fn upload<'a>(&self, motions: impl ExactSizeIterator<Item = &'a Motion>, device: &Device) -> MotionBatch {
        let particles = self.motions.first().map_or(0, |motion| motion.start.charges.len());
        let graph = MotionBatch::graph(motions.len(), particles, device);
        MotionBatch::new(motions, &graph, device)
    }
}

/// Motions for one step, augmented on the host in f64: a few thousand operations.
#[derive(Clone, Debug)]
pub struct MotionInput {
    /// The motions, without autodiff.
    pub batch: MotionBatch,
    /// The step they are for.
    pub step: Step,
    /// The motions on which the error is to be measured.
    pub probe: Vec<Motion>,
}

impl Samples for MotionSamples {
    type Input = MotionInput;

    fn len(&self) -> usize {
        self.motions.len()
    }

    fn training(&self, samples: &[usize], step: Step, device: &Device) -> MotionInput {
        let motions = samples.iter().map(|&sample| &self.motions[sample]);
        let batch = if self.augmentation.is_none() {
            self.upload(motions, device)
        } else {
            let isometries = self.augmentation.draw(samples.len(), step.seed, step.step);
            let moved: Vec<Motion> = motions.zip(&isometries).map(|(motion, g)| motion.moved(g)).collect();
            self.upload(moved.iter(), device)
        };
        MotionInput { batch, step, probe: Vec::new() }
    }

    fn validation(&self, samples: Range<usize>, probe: bool, device: &Device) -> MotionInput {
        let motions = &self.motions[samples];
        MotionInput {
            batch: self.upload(motions.iter(), device),
            step: Step { seed: 0, step: 0, share: 1.0 },
            probe: if probe && self.probe { motions.to_vec() } else { Vec::new() },
        }
    }
}

/// A network of [`Dynamics`] with the steps of burn-train: the mean squared error of augmented motions, as in
/// [`Prediction`](crate::fit::Prediction).
#[derive(Module, Debug)]
pub struct MotionSteps<M: Module + ModuleDisplay> {
    network: M,
}

impl<M: Dynamics + ModuleDisplay> MotionSteps<M> {
    /// The steps of `network`.
    pub fn new(network: M) -> Self {
        Self { network }
    }

    /// The network.
    pub fn into_network(self) -> M {
        self.network
    }
}

/// What a step knows about its motions: what burn-train's metrics of regressions take, and the equivariance error.
pub struct MotionOutput {
    /// Loss (the mean of the batch while training, each particle's while validating), positions and targets.
    pub regression: RegressionOutput,
    /// The equivariance error, where it was asked for.
    pub equivariance: EquivarianceErrorInput,
}

impl ItemLazy for MotionOutput {
    fn sync(self) -> Result<Self, ExecutionError> {
        Ok(Self { regression: self.regression.sync()?, ..self })
    }
}

impl Adaptor<LossInput> for MotionOutput {
    fn adapt(&self) -> LossInput {
        self.regression.adapt()
    }
}

impl Adaptor<EquivarianceErrorInput> for MotionOutput {
    fn adapt(&self) -> EquivarianceErrorInput {
        self.equivariance
    }
}

impl<M: Dynamics + ModuleDisplay> TrainStep for MotionSteps<M> {
    type Input = MotionInput;
    type Output = MotionOutput;

    fn step(&self, input: MotionInput) -> TrainOutput<MotionOutput> {
        let MotionInput { batch, step, .. } = input;
        seed_layers(&batch.targets.device(), step);
        let batch = batch.autodiff();
        let found = self.network.forward(&batch);
        let loss = (found.clone() - batch.targets.clone()).powi_scalar(2).mean();
        let output = MotionOutput {
            regression: RegressionOutput::new(loss.clone().inner(), found.inner(), batch.targets.inner()),
            equivariance: EquivarianceErrorInput { error: None },
        };
        TrainOutput::new(self, (loss * step.share).backward(), output)
    }
}

impl<M: Dynamics + ModuleDisplay> InferenceStep for MotionSteps<M> {
    type Input = MotionInput;
    type Output = MotionOutput;

    fn step(&self, input: MotionInput) -> MotionOutput {
        let MotionInput { batch, probe, .. } = input;
        let device = batch.targets.device();
        // Running statistics may be where the last worker left them.
        let network = self.network.clone().to_device(&device);
        let error = probe::motion::exact_error(|motions| positions(&network, motions, &device), &probe);
        let found = network.forward(&batch);
        // The loss of every particle, so that a smaller last batch counts for less.
        let losses = (found.clone() - batch.targets.clone()).powi_scalar(2).mean_dim(1).squeeze_dim::<1>(1);
        MotionOutput {
            regression: RegressionOutput::new(losses, found, batch.targets),
            equivariance: EquivarianceErrorInput { error },
        }
    }
}
