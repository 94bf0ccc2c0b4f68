//! Batches of samples, in the order of [`fit`](crate::fit::fit).

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use burn::data::dataloader::{DataLoader, DataLoaderIterator, Progress};
use burn::data::dataset::DatasetError;
use burn::tensor::Device;
use rand::Rng;

use crate::fit::{FitConfig, FitError, batch_indices};
use crate::seed::{Purpose, stream};

/// Samples on the host, from which inputs of a step are made.
pub trait Samples: Send + Sync + 'static {
    /// What a step takes.
    type Input: Send + 'static;

    /// Number of samples.
    fn len(&self) -> usize;

    /// Whether there is no sample.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The samples at the positions `samples`, to train on, on a device without autodiff.
    fn training(&self, samples: &[usize], step: Step, device: &Device) -> Self::Input;

    /// The samples at the positions `samples`, to validate on, on a device without autodiff. `probe` asks for the equivariance error on them.
    fn validation(&self, samples: Range<usize>, probe: bool, device: &Device) -> Self::Input;
}

/// The optimiser step that a batch is for. Random draws are functions of `(seed, purpose, step)`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    /// Seed of the random draws.
    pub seed: u64,
    /// The step, counted from 0 over all epochs.
    pub step: usize,
    /// Share of this batch in the samples of the step: 1, or less where several devices take a part of the step each. Gradients are
    /// multiplied by it, so that their sum over the devices is the gradient of the mean loss.
    pub share: f64,
}

/// A loader of batches for [`SupervisedTraining`](burn_train::SupervisedTraining).
///
/// A loader for training walks through the same endless sequence of permutations as [`fit`](crate::fit::fit), a number of full batches an epoch; each time
/// it is asked for an iterator, it begins the next epoch. One for validation gives all samples in their order, and asks for the equivariance error
/// on its first batch.
///
/// Strategies with several devices split a loader. The parts of a loader for training share its samples, and the samples of every step; each part has a
/// seed of its own, so that no two draw the same random numbers.
pub struct Batches<S> {
    samples: Arc<S>,
    /// The samples of this part.
    range: Range<usize>,
    batch: usize,
    order: Order,
    device: Device,
}

enum Order {
    Training {
        seed: u64,
        share: f64,
        steps_per_epoch: usize,
        /// Epochs begun.
        epochs: AtomicUsize,
    },
    Validation,
}

impl<S: Samples> Batches<S> {
    /// Batches to train on: seed, batch size and steps of an epoch are those of `config`.
    ///
    /// # Errors
    ///
    /// [`FitError::Config`] if there are no samples, or nothing to do with them.
    pub fn training(samples: S, config: &FitConfig, device: &Device) -> Result<Self, FitError> {
        config.check(samples.len())?;
        let order = Order::Training {
            seed: config.seed,
            share: 1.0,
            steps_per_epoch: config.steps_per_epoch,
            epochs: AtomicUsize::new(0),
        };
        Ok(Self::new(samples, config.batch_size, order, device))
    }

    /// Batches to validate on, of `batch` samples, at least one.
    pub fn validation(samples: S, batch: usize, device: &Device) -> Self {
        Self::new(samples, batch.max(1), Order::Validation, device)
    }

    fn new(samples: S, batch: usize, order: Order, device: &Device) -> Self {
        let device = device.clone().without_autodiff();
        Self { range: 0..samples.len(), samples: Arc::new(samples), batch, order, device }
    }

    /// The same after `epochs` epochs: what a run needs that goes on from its checkpoint of that epoch.
    pub fn after(mut self, epochs: usize) -> Self {
        if let Order::Training { epochs: begun, .. } = &mut self.order {
            *begun = AtomicUsize::new(epochs);
        }
        self
    }

    /// Another view of the same samples.
    fn part(&self, range: Range<usize>, batch: usize, order: Order, device: &Device) -> Self {
        Self { samples: self.samples.clone(), range, batch, order, device: device.clone().without_autodiff() }
    }
}

impl Clone for Order {
    fn clone(&self) -> Self {
        match self {
            Self::Training { seed, share, steps_per_epoch, epochs } => Self::Training {
                seed: *seed,
                share: *share,
                steps_per_epoch: *steps_per_epoch,
                epochs: AtomicUsize::new(epochs.load(Ordering::Relaxed)),
            },
            Self::Validation => Self::Validation,
        }
    }
}

impl<S: Samples> DataLoader<S::Input> for Batches<S> {
    fn iter<'a>(&'a self) -> Box<dyn DataLoaderIterator<S::Input> + 'a> {
        let first = match &self.order {
            Order::Training { steps_per_epoch, epochs, .. } => epochs.fetch_add(1, Ordering::Relaxed) * steps_per_epoch,
            Order::Validation => 0,
        };
        Box::new(Epoch { batches: self, first, done: 0 })
    }

    fn num_items(&self) -> usize {
        match self.order {
            Order::Training { steps_per_epoch, .. } => steps_per_epoch * self.batch,
            Order::Validation => self.range.len(),
        }
    }

    fn to_device(&self, device: &Device) -> Arc<dyn DataLoader<S::Input>> {
        Arc::new(self.part(self.range.clone(), self.batch, self.order.clone(), device))
    }

    fn slice(&self, start: usize, end: usize) -> Arc<dyn DataLoader<S::Input>> {
        let items = self.num_items().max(1);
        let at = |item: usize| self.range.start + item * self.range.len() / items;
        let mut order = self.order.clone();
        let (mut range, mut batch) = (at(start)..at(end), self.batch);
        if let Order::Training { seed, share, .. } = &mut order {
            *seed = stream(*seed, Purpose::Part, start as u64).next_u64();
            *share *= (end - start) as f64 / items as f64;
            batch = (self.batch * (end - start) / items).max(1);
            range.end = range.end.max(range.start + 1);
        }
        Arc::new(self.part(range, batch, order, &self.device))
    }
}

/// One pass over the batches of an epoch.
struct Epoch<'a, S> {
    batches: &'a Batches<S>,
    /// The step of the first batch.
    first: usize,
    /// Batches given.
    done: usize,
}

impl<S: Samples> Iterator for Epoch<'_, S> {
    type Item = Result<S::Input, DatasetError>;

    fn next(&mut self) -> Option<Self::Item> {
        let Batches { samples, range, batch, order, device } = self.batches;
        let input = match order {
            Order::Training { steps_per_epoch, .. } if self.done == *steps_per_epoch => return None,
            Order::Training { seed, share, .. } => {
                let step = Step { seed: *seed, step: self.first + self.done, share: *share };
                let chosen = batch_indices(*seed, step.step, *batch, range.len());
                let chosen: Vec<usize> = chosen.into_iter().map(|sample| range.start + sample).collect();
                samples.training(&chosen, step, device)
            }
            Order::Validation => {
                let start = range.start + self.done * batch;
                if start >= range.end {
                    return None;
                }
                samples.validation(start..range.end.min(start + batch), self.done == 0, device)
            }
        };
        self.done += 1;
        Some(Ok(input))
    }
}

impl<S: Samples> DataLoaderIterator<S::Input> for Epoch<'_, S> {
    fn progress(&self) -> Progress {
        let total = self.batches.num_items();
        Progress::new(total.min(self.done * self.batches.batch), total, Some("items".to_string()))
    }
}
