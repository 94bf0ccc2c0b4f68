//! The training loop: the same seed on the same device gives the same bits, stopped and resumed or not.
//!
//! * Every random draw is a function of `(seed, purpose, step)` ([`crate::seed`]), so the position in the random streams
//!   is the step counter.
//! * An *epoch* is a fixed number of optimiser steps, whatever the size of the training set. After each one the model is
//!   validated and, unless the configuration says less often, a checkpoint is written: weights, running statistics, optimiser state, best weights and history.
//! * A loss that leaves the finite numbers ends the run as [`Outcome::Diverged`].
//!
//! [`fit`] trains any [`Problem`]; [`Classification`] is the problem of telling images apart, [`Prediction`] that
//! of telling where particles will be, [`PointRegression`] that of telling numbers of points and vectors at them.

mod average;
mod checkpoint;
mod classify;
mod config;
mod order;
mod points;
mod predict;
mod problem;
mod schedule;
mod train;

pub use checkpoint::Checkpoints;
#[cfg(feature = "burn-train")]
pub(crate) use classify::cross_entropy;
pub use classify::{Classification, Classifier, error_percent, wrong_labels};
pub use config::{FitConfig, Optimizer};
pub use order::batch_indices;
pub use points::{PointModel, PointRegression, point_answers};
pub use predict::{Dynamics, Prediction, mean_squared_error, positions};
pub use problem::{Problem, Score};
pub use schedule::Schedule;
pub use train::{Epoch, Event, FitError, Fitted, Outcome, Session, fit};

#[cfg(all(test, feature = "flex"))]
mod tests;
