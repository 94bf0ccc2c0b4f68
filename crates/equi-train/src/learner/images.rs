//! Images: a classifier, its loss and its augmentation.

use std::ops::Range;
use std::sync::Arc;

use burn::Tensor;
use burn::module::{Module, ModuleDisplay};
use burn::tensor::activation::log_softmax;
use burn::tensor::{Device, ExecutionError, Int};
use burn_train::metric::{AccuracyInput, Adaptor, ConfusionStatsInput, LossInput, PerplexityInput, TopKAccuracyInput};
use burn_train::{ClassificationOutput, InferenceStep, ItemLazy, TrainOutput, TrainStep};
use equi_core::group::Group;

use super::{EquivarianceErrorInput, Samples, Step, seed_layers};
use crate::augment::Augmentation;
use crate::compare::probe;
use crate::data::Images;
use crate::fit::{Classifier, cross_entropy};

/// Labelled images to train or to validate on.
#[derive(Clone, Debug)]
pub struct ImageSamples {
    images: Arc<Images>,
    positions: Vec<usize>,
    augmentation: Augmentation,
    label_smoothing: f64,
    probe: Option<Group>,
}

/// A group under which no error is exact.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{group} has neither a quarter turn, nor a half turn, nor a flip, and everything else resamples the image, so its error is not exact: \
     probe a group that has one, such as C4"
)]
pub struct NothingExact {
    /// The group.
    pub group: Group,
}

impl ImageSamples {
    /// The images at `positions`, without augmentation and label smoothing.
    pub fn new(images: impl Into<Arc<Images>>, positions: impl IntoIterator<Item = usize>) -> Self {
        Self {
            images: images.into(),
            positions: positions.into_iter().collect(),
            augmentation: Augmentation::none(),
            label_smoothing: 0.0,
            probe: None,
        }
    }

    /// The same, augmented while training.
    pub fn with_augmentation(mut self, augmentation: Augmentation) -> Self {
        self.augmentation = augmentation;
        self
    }

    /// The same with smoothed labels while training.
    pub fn with_label_smoothing(mut self, label_smoothing: f64) -> Self {
        self.label_smoothing = label_smoothing;
        self
    }

    /// The same, with the equivariance error under the quarter turns and flips in `group` while validating.
    ///
    /// # Errors
    ///
    /// [`NothingExact`] if there are none.
    pub fn with_probe(mut self, group: Group) -> Result<Self, NothingExact> {
        if group.grid_symmetries().len() < 2 {
            return Err(NothingExact { group });
        }
        self.probe = Some(group);
        Ok(self)
    }

    fn upload(&self, positions: &[usize], device: &Device) -> (Tensor<4>, Tensor<1, Int>) {
        self.images.batch(positions, device)
    }
}

/// Images for one step, as they are: [`ImageSteps`] augments them.
#[derive(Clone, Debug)]
pub struct ImageInput {
    /// `[batch, channels, height, width]`, without autodiff.
    pub images: Tensor<4>,
    /// `[batch]`
    pub labels: Tensor<1, Int>,
    /// How the images are varied.
    pub augmentation: Augmentation,
    /// Probability mass moved from the label to all classes alike.
    pub label_smoothing: f64,
    /// The step they are for.
    pub step: Step,
    /// The group whose error is to be measured.
    pub probe: Option<Group>,
}

impl Samples for ImageSamples {
    type Input = ImageInput;

    fn len(&self) -> usize {
        self.positions.len()
    }

    fn training(&self, samples: &[usize], step: Step, device: &Device) -> ImageInput {
        let positions: Vec<usize> = samples.iter().map(|&sample| self.positions[sample]).collect();
        let (images, labels) = self.upload(&positions, device);
        let Self { augmentation, label_smoothing, .. } = *self;
        ImageInput { images, labels, augmentation, label_smoothing, step, probe: None }
    }

    fn validation(&self, samples: Range<usize>, probe: bool, device: &Device) -> ImageInput {
        let (images, labels) = self.upload(&self.positions[samples], device);
        ImageInput {
            images,
            labels,
            augmentation: Augmentation::none(),
            label_smoothing: 0.0,
            step: Step { seed: 0, step: 0, share: 1.0 },
            probe: self.probe.filter(|_| probe),
        }
    }
}

/// A classifier with the steps of burn-train: cross-entropy on augmented images, as in [`Classification`](crate::fit::Classification).
#[derive(Module, Debug)]
pub struct ImageSteps<M: Module + ModuleDisplay> {
    network: M,
}

impl<M: Classifier + ModuleDisplay> ImageSteps<M> {
    /// The steps of `network`.
    pub fn new(network: M) -> Self {
        Self { network }
    }

    /// The network.
    pub fn into_network(self) -> M {
        self.network
    }
}

/// What a step knows about its images: what burn-train's metrics of classifiers take, and the equivariance error.
pub struct ImageOutput {
    /// Loss (the mean of the batch while training, each sample's while validating), logits and labels.
    pub classification: ClassificationOutput,
    /// The equivariance error, where it was asked for.
    pub equivariance: EquivarianceErrorInput,
}

impl ItemLazy for ImageOutput {
    fn sync(self) -> Result<Self, ExecutionError> {
        Ok(Self { classification: self.classification.sync()?, ..self })
    }
}

/// [`ImageOutput`] has for a metric what Burn's own output has.
macro_rules! adapt_as_classification {
    ($($input:ty),*) => {$(
        impl Adaptor<$input> for ImageOutput {
            fn adapt(&self) -> $input {
                self.classification.adapt()
            }
        }
    )*};
}

adapt_as_classification!(LossInput, AccuracyInput, TopKAccuracyInput, PerplexityInput, ConfusionStatsInput);

impl Adaptor<EquivarianceErrorInput> for ImageOutput {
    fn adapt(&self) -> EquivarianceErrorInput {
        self.equivariance
    }
}

impl<M: Classifier + ModuleDisplay> TrainStep for ImageSteps<M> {
    type Input = ImageInput;
    type Output = ImageOutput;

    fn step(&self, input: ImageInput) -> TrainOutput<ImageOutput> {
        let ImageInput { images, labels, augmentation, label_smoothing, step, .. } = input;
        seed_layers(&images.device(), step);
        let images = augmentation.apply(images, step.seed, step.step);
        let logits = self.network.forward(images.autodiff());
        let loss = cross_entropy(logits.clone(), labels.clone().autodiff(), label_smoothing);
        let output = ImageOutput {
            classification: ClassificationOutput::new(loss.clone().inner(), logits.inner(), labels),
            equivariance: EquivarianceErrorInput { error: None },
        };
        TrainOutput::new(self, (loss * step.share).backward(), output)
    }
}

impl<M: Classifier + ModuleDisplay> InferenceStep for ImageSteps<M> {
    type Input = ImageInput;
    type Output = ImageOutput;

    fn step(&self, input: ImageInput) -> ImageOutput {
        let ImageInput { images, labels, probe, .. } = input;
        // Running statistics may be where the last worker left them.
        let network = self.network.clone().to_device(&images.device());
        let error = probe.and_then(|group| probe::image::exact_error(|x| network.forward(x), group, &images));
        let logits = network.forward(images);
        let picked = log_softmax(logits.clone(), 1).gather(1, labels.clone().unsqueeze_dim::<2>(1));
        // The loss of every sample, so that a smaller last batch counts for less.
        let losses = picked.squeeze_dim::<1>(1).neg();
        ImageOutput {
            classification: ClassificationOutput::new(losses, logits, labels),
            equivariance: EquivarianceErrorInput { error },
        }
    }
}
