//! The loop.

use std::path::PathBuf;
use std::time::Instant;

use burn::Tensor;
use burn::module::Module;
use burn::optim::GradientsParams;
use burn::tensor::Device;
use rand::Rng;
use serde::{Deserialize, Serialize};

use super::average::Average;
use super::checkpoint::State;
use super::{Checkpoints, FitConfig, Problem, Score, batch_indices};
use crate::seed::{Purpose, stream};
use crate::stop::Stop;

/// What accompanies a run without changing its result.
#[derive(Clone, Default)]
pub struct Session {
    /// Asks the run to stop.
    pub stop: Stop,
    /// Where to keep checkpoints; a run that finds one there goes on from it.
    pub checkpoints: Option<Checkpoints>,
}

impl Session {
    /// The error of a run that was asked to stop after `epoch` epochs.
    pub(crate) fn interrupted(&self, epoch: usize) -> FitError {
        let folder = self.checkpoints.as_ref().map(|checkpoints| checkpoints.folder().to_path_buf());
        FitError::Interrupted { epoch, folder }
    }
}

/// News from a run.
#[derive(Debug)]
pub enum Event<'a> {
    /// `step` of `total` steps are done.
    Step {
        /// Steps done.
        step: usize,
        /// Steps in all.
        total: usize,
    },
    /// An epoch is validated and saved.
    Epoch(&'a Epoch),
}

/// What is known after an epoch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Epoch {
    /// Optimiser steps done by its end.
    pub step: usize,
    /// Mean training loss over its steps.
    pub train_loss: f64,
    /// Score on the validation samples at its end.
    pub validation: Score,
}

/// How a run ended.
#[derive(Clone, Debug)]
pub enum Outcome<M> {
    /// Trained to the end, or until the patience was spent.
    Trained(Fitted<M>),
    /// The loss left the finite numbers.
    Diverged {
        /// Optimiser steps taken when it was noticed, at the end of an epoch.
        step: usize,
        /// What was not finite.
        message: String,
        /// Finite epochs before it.
        history: Vec<Epoch>,
        /// Seconds spent on optimiser steps, over all resumed parts.
        seconds: f64,
    },
}

/// A trained model.
#[derive(Clone, Debug)]
pub struct Fitted<M> {
    /// The weights of the best epoch, in validation mode.
    pub model: M,
    /// All epochs.
    pub history: Vec<Epoch>,
    /// The best epoch, from 1.
    pub best_epoch: usize,
    /// Seconds spent on optimiser steps, over all resumed parts.
    pub seconds: f64,
}

/// Why a run could not finish.
#[derive(Debug, thiserror::Error)]
pub enum FitError {
    /// Asked to stop.
    #[error("interrupted after epoch {epoch}{}", match folder {
        Some(folder) => format!("; its newest checkpoint is in {}: run the same command with `--resume`", folder.display()),
        None => "; this run keeps no checkpoints, so it starts from the beginning next time".to_string(),
    })]
    Interrupted {
        /// Epochs finished.
        epoch: usize,
        /// Folder of the checkpoints.
        folder: Option<PathBuf>,
    },
    /// A checkpoint could not be written or read.
    #[error("checkpoint {}: {message}; free or repair the disk, or remove the folder to train from the beginning", path.display())]
    Checkpoint {
        /// The checkpoint.
        path: PathBuf,
        /// What went wrong.
        message: String,
    },
    /// The checkpoint was written by a run with another configuration or version.
    #[error("checkpoint {} belongs to a run with other settings; remove it, or choose another folder", path.display())]
    OtherRun {
        /// The checkpoint.
        path: PathBuf,
    },
    /// The configuration cannot be trained with.
    #[error("training configuration: {message}")]
    Config {
        /// What is wrong, and what would be right.
        message: String,
    },
}

/// Trains `model` on `problem`, on `device`, which may or may not have autodiff enabled.
///
/// Goes on from the newest checkpoint of `session` if there is one, and gives then what the uninterrupted run gives, bit
/// for bit, on a device whose operations are deterministic.
///
/// # Errors
///
/// [`FitError`]; a diverging loss is an [`Outcome`], not an error.
pub fn fit<P: Problem>(
    problem: &P,
    model: P::Model,
    config: &FitConfig,
    device: &Device,
    session: &Session,
    mut watch: impl FnMut(Event<'_>),
) -> Result<Outcome<P::Model>, FitError> {
    config.check(problem.train_len())?;
    let inference = device.clone().without_autodiff();
    let training = device.clone().autodiff();

    let restored = match &session.checkpoints {
        Some(checkpoints) => checkpoints.load(config, &model)?,
        None => None,
    };
    let average = |model: &P::Model| config.weight_average.map(|decay| Average::new(model, decay));
    let (mut state, mut model, mut average, mut best, mut optimizer) = match restored {
        Some(restored) => {
            let average = restored.average.as_ref().and_then(average);
            (restored.state, restored.model.train(), average, Some(restored.best), restored.optimizer)
        }
        None => {
            let model = model.valid();
            (State::new(config), model.clone().train(), average(&model), None, config.optimizer())
        }
    };

    loop {
        let begin = state.step();
        if let Some(best) = best.as_ref().filter(|_| state.is_over()) {
            return Ok(Outcome::Trained(Fitted {
                model: best.clone(),
                best_epoch: state.best,
                seconds: state.seconds,
                history: state.history,
            }));
        }

        let started = Instant::now();
        let end = config.steps.min(begin + config.steps_per_epoch);
        let mut losses: Option<Tensor<1>> = None;
        for step in begin..end {
            if session.stop.is_raised() {
                return Err(session.interrupted(state.history.len()));
            }
            training.seed(stream(config.seed, Purpose::Layers, step as u64).next_u64());
            let samples = batch_indices(config.seed, step, config.batch_size, problem.train_len());
            let loss = problem.loss(&model, &samples, step, &training);
            // Summed on the device: reading every loss would make a GPU wait at every step.
            let value = loss.clone().inner();
            losses = Some(match losses {
                Some(sum) => sum + value,
                None => value,
            });
            let gradients = GradientsParams::from_grads(loss.backward(), &model);
            model = optimizer.step(config.rate(step), model, gradients);
            if let Some(average) = &mut average {
                average.update(&model, step);
            }
            watch(Event::Step { step: step + 1, total: config.steps });
        }

        let train_loss = losses.map_or(0.0, |sum| sum.into_scalar::<f64>()) / (end - begin) as f64;
        state.seconds += started.elapsed().as_secs_f64();
        let current = model.valid();
        let averaged = average.as_ref().map(|average| average.put(model.valid()));
        let snapshot = averaged.as_ref().unwrap_or(&current);
        let validation = problem
            .validate(snapshot, &inference, &session.stop)
            .ok_or_else(|| session.interrupted(state.history.len()))?;
        if !train_loss.is_finite() || !validation.is_finite() {
            let quantity = if train_loss.is_finite() { "validation" } else { "training" };
            return Ok(Outcome::Diverged {
                step: end,
                message: format!(
                    "the {quantity} loss was not finite by step {end}: lower the learning rate (`--learning-rate` of \
                     `equi compare`) or clip the gradient"
                ),
                history: state.history,
                seconds: state.seconds,
            });
        }

        let improved = match state.best.checked_sub(1) {
            Some(best) => validation.beats(&state.history[best].validation),
            None => true,
        };
        state.history.push(Epoch { step: end, train_loss, validation });
        if improved {
            state.best = state.history.len();
        }
        let kept = match best.take() {
            Some(kept) if !improved => kept,
            _ => snapshot.clone(),
        };
        let due = state.is_over() || state.history.len().is_multiple_of(config.epochs_per_checkpoint);
        if let Some(checkpoints) = session.checkpoints.as_ref().filter(|_| due) {
            checkpoints.save(&state, &current, averaged.as_ref(), &kept, &optimizer)?;
        }
        best = Some(kept);
        watch(Event::Epoch(&state.history[state.history.len() - 1]));
    }
}
