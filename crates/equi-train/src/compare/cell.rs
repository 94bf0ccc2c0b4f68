//! Training one cell, the same way for every task.

use burn::tensor::Device;

use super::results::{Cell, CellStatus, EquivarianceError, LayerError, Metric, Poses, TurnedAnswer};
use super::{CellPlan, CompareError, Plan};
use crate::fit::{Epoch, Event, Outcome, Problem, Session, fit};
use crate::memory::peak_rss_mib;

/// A cell at work.
pub(super) struct Work<'a> {
    /// The cell.
    pub cell: &'a CellPlan,
    /// What it is part of.
    pub plan: &'a Plan,
    /// Where it is trained.
    pub device: &'a Device,
    /// Its checkpoints, and who may stop it.
    pub session: &'a Session,
    /// Hears of every optimiser step, counted from 1.
    pub progress: &'a mut dyn FnMut(usize),
}

/// What a trained network is worth.
pub(super) struct Tested {
    /// Its metric on the test set.
    pub metric: Metric,
    /// How equivariant it is.
    pub equivariance_error: EquivarianceError,
    /// Its metric in three poses.
    pub poses: Poses,
    /// Which of its layers are equivariant.
    pub layers: Vec<LayerError>,
    /// What it says of test samples as they are turned.
    pub turning: Vec<TurnedAnswer>,
}

/// Trains `model` on `problem` as the recipe says, and gives the network of the best epoch to `test`, which gives none if it
/// was stopped; a trial is not tested.
///
/// # Errors
///
/// When the cell was stopped or its checkpoint is unusable. A diverging cell is no error. Panics are left to the caller.
pub(super) fn train_cell<P: Problem>(
    problem: &P,
    model: P::Model,
    work: Work<'_>,
    test: impl FnOnce(&P::Model) -> Option<Tested>,
) -> Result<Cell, CompareError> {
    let Work { cell, plan, device, session, progress } = work;
    let config = plan.recipe.fit(cell);
    let failed = |source| CompareError::Fit { cell: cell.to_string(), source };
    let outcome = fit(problem, model, &config, device, session, |event| {
        if let Event::Step { step, .. } = event {
            progress(step);
        }
    })
    .map_err(failed)?;

    let curve = |history: &[Epoch]| history.iter().map(|epoch| epoch.validation.metric).collect();
    let throughput = |steps: usize, seconds: f64| (steps * config.batch_size) as f64 / seconds.max(f64::EPSILON);
    Ok(match outcome {
        Outcome::Trained(fitted) => {
            let steps = fitted.history.last().map_or(0, |epoch| epoch.step);
            let validation = fitted.best_epoch.checked_sub(1).map(|best| fitted.history[best].validation);
            let trained = Cell {
                validation_curve: curve(&fitted.history),
                validation,
                best_epoch: fitted.best_epoch,
                train_seconds: fitted.seconds,
                steps,
                samples_per_second: throughput(steps, fitted.seconds),
                ..Cell::begun(cell)
            };
            if cell.trial.is_some() {
                return Ok(trained);
            }
            // The last checkpoint holds the trained network, so a resumed run begins here.
            let tested = test(&fitted.model).ok_or_else(|| failed(session.interrupted(fitted.history.len())))?;
            Cell {
                metric: Some(tested.metric),
                equivariance_error: Some(tested.equivariance_error),
                poses: Some(tested.poses),
                layers: tested.layers,
                turning: tested.turning,
                peak_rss_mib: peak_rss_mib(),
                ..trained
            }
        }
        Outcome::Diverged { step, message, history, seconds } => Cell {
            status: CellStatus::Diverged,
            validation_curve: curve(&history),
            train_seconds: seconds,
            steps: step,
            samples_per_second: throughput(step, seconds),
            peak_rss_mib: peak_rss_mib(),
            message: Some(message),
            ..Cell::begun(cell)
        },
    })
}
