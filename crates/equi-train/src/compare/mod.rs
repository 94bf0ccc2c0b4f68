//! The comparison study: the same data, the same budget, different ways to know a symmetry.
//!
//! A *cell* is one arm, trained on one number of samples with one seed. A [`Plan`] lists the cells, [`compare`] runs
//! them: every finished cell is a file of its own under `OUT/cells`, so a run that is stopped or killed loses what the cell at
//! work did since its newest checkpoint, an epoch or a fortieth of its epochs, and nothing else.
//!
//! A new arm is one entry in [`ARMS`]; a new task is one file in `tasks/` and one entry in [`TASKS`]. A task brings its arms, its
//! networks, its metric and its symmetry; what it trains goes through `train_cell`, so that all tasks record alike, and what it
//! shows its networks goes through `view`.

pub mod probe;
pub mod results;
pub mod stats;
pub mod tuning;

mod arm;
mod cell;
mod check;
mod error;
mod folder;
mod hyperparameters;
mod jobs;
mod matching;
mod plan;
mod recipe;
mod request;
mod run;
mod study_file;
mod symmetry;
mod task;
mod tasks;
pub(crate) mod turning;
mod view;

pub use arm::{ARMS, Arm, Network, View, nearest_width};
pub use check::{CheckRequest, Checked, CheckedParts, check};
pub use error::CompareError;
pub use hyperparameters::Hyperparameters;
pub use plan::{CellPlan, MatchBy, Plan, Setting, Symmetry};
pub use recipe::{Growth, Recipe};
pub use request::{Preset, Request};
pub use run::{Study, compare, compare_on};
pub use task::{TASKS, Task, Trials, task};
pub use tasks::{OwnArm, OwnImages, OwnPointArm, OwnPoints};
