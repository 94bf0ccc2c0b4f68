//! Telling images apart: cross-entropy on augmented batches, error in percent on held-out images.

use std::marker::PhantomData;

use burn::Tensor;
use burn::module::Module;
use burn::tensor::activation::log_softmax;
use burn::tensor::{Device, Int};

use equi_core::check::NamedLayer;
use equi_core::group::Group;

use super::{Problem, Score};
use crate::augment::Augmentation;
use crate::data::Images;
use crate::stop::Stop;

/// A model that gives logits for images.
pub trait Classifier: Module {
    /// # Shapes
    ///
    /// - images: `[batch, channels, height, width]`
    /// - output: `[batch, classes]`
    fn forward(&self, images: Tensor<4>) -> Tensor<2>;

    /// The network as maps of feature fields of `group`, one after the other, for [`check::layers`](equi_core::check::layers): which of them breaks the
    /// symmetry? None where a network does not say.
    fn field_layers(&self, _group: Group) -> Vec<NamedLayer<'_>> {
        Vec::new()
    }
}

/// Images to train on, images to validate on, and how the former are varied.
#[derive(Clone, Debug)]
pub struct Classification<'a, M> {
    /// The images both parts come from.
    pub images: &'a Images,
    /// Positions of the training images.
    pub train: Vec<usize>,
    /// Positions of the validation images.
    pub validation: Vec<usize>,
    /// How training images are varied.
    pub augmentation: Augmentation,
    /// Seed of the augmentation.
    pub seed: u64,
    /// Probability mass moved from the label to all classes alike; 0 for none.
    pub label_smoothing: f64,
    /// Images a forward pass takes outside training.
    pub evaluation_batch: usize,
    model: PhantomData<fn() -> M>,
}

impl<'a, M: Classifier> Classification<'a, M> {
    /// Classification of `images` without augmentation or label smoothing.
    pub fn new(images: &'a Images, train: Vec<usize>, validation: Vec<usize>, seed: u64) -> Self {
        Self {
            images,
            train,
            validation,
            augmentation: Augmentation::none(),
            seed,
            label_smoothing: 0.0,
            evaluation_batch: 256,
            model: PhantomData,
        }
    }

    /// The same with augmented training images.
    pub fn with_augmentation(mut self, augmentation: Augmentation) -> Self {
        self.augmentation = augmentation;
        self
    }

    /// The same with smoothed labels.
    pub fn with_label_smoothing(mut self, label_smoothing: f64) -> Self {
        self.label_smoothing = label_smoothing;
        self
    }
}

impl<M: Classifier> Problem for Classification<'_, M> {
    type Model = M;

    fn train_len(&self) -> usize {
        self.train.len()
    }

    fn loss(&self, model: &M, samples: &[usize], step: usize, device: &Device) -> Tensor<1> {
        let inference = device.clone().without_autodiff();
        let positions: Vec<usize> = samples.iter().map(|&sample| self.train[sample]).collect();
        let (images, labels) = self.images.batch(&positions, &inference);
        let images = self.augmentation.apply(images, self.seed, step);
        cross_entropy(model.forward(images.autodiff()), labels.autodiff(), self.label_smoothing)
    }

    fn validate(&self, model: &M, device: &Device, stop: &Stop) -> Option<Score> {
        let mut loss = 0.0;
        let mut wrong = 0;
        for positions in self.validation.chunks(self.evaluation_batch) {
            if stop.is_raised() {
                return None;
            }
            let (images, labels) = self.images.batch(positions, device);
            let logits = model.forward(images);
            wrong += mistakes(logits.clone(), labels.clone());
            loss += cross_entropy(logits, labels, 0.0).into_scalar::<f64>() * positions.len() as f64;
        }
        let count = self.validation.len().max(1) as f64;
        Some(Score { metric: 100.0 * wrong as f64 / count, loss: loss / count })
    }
}

/// Mean cross-entropy between `logits` and `labels`, with `smoothing` of the probability mass spread over all classes.
pub(crate) fn cross_entropy(logits: Tensor<2>, labels: Tensor<1, Int>, smoothing: f64) -> Tensor<1> {
    let log_probabilities = log_softmax(logits, 1);
    let picked = log_probabilities.clone().gather(1, labels.unsqueeze_dim::<2>(1)).mean().neg();
    if smoothing == 0.0 {
        return picked;
    }
    picked * (1.0 - smoothing) + log_probabilities.mean().neg() * smoothing
}

fn mistakes(logits: Tensor<2>, labels: Tensor<1, Int>) -> usize {
    let predicted = logits.argmax(1).squeeze_dim::<1>(1);
    predicted.not_equal(labels).int().sum().into_scalar::<i64>() as usize
}

/// How many of the images at `positions` are labelled wrongly by logits that `forward` gives, `batch` images at a time; none if
/// `stop` was raised before the last batch.
pub fn wrong_labels(
    forward: impl Fn(Tensor<4>) -> Tensor<2>,
    images: &Images,
    positions: &[usize],
    batch: usize,
    device: &Device,
    stop: &Stop,
) -> Option<usize> {
    let mut wrong = 0;
    for chunk in positions.chunks(batch) {
        if stop.is_raised() {
            return None;
        }
        let (pixels, labels) = images.batch(chunk, device);
        wrong += mistakes(forward(pixels), labels);
    }
    Some(wrong)
}

/// Share of the images at `positions` that `model` labels wrongly, in percent.
pub fn error_percent<M: Classifier>(
    model: &M,
    images: &Images,
    positions: &[usize],
    batch: usize,
    device: &Device,
) -> f64 {
    let wrong = wrong_labels(|pixels| model.forward(pixels), images, positions, batch, device, &Stop::new())
        .unwrap_or_default();
    100.0 * wrong as f64 / positions.len().max(1) as f64
}
