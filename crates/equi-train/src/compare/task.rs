//! What the arms compete in. A new task is one file in `tasks/` and one entry in [`TASKS`].

use std::path::Path;

use burn::tensor::Device;

use super::results::{ArmSummary, Cell, DataSymmetry, Domain, Turning};
use super::tasks::{MnistRot, NBody};
use super::{Arm, CellPlan, Checked, CompareError, Hyperparameters, Plan, Preset, Recipe, Setting, Symmetry};
use crate::fit::Session;

/// All tasks.
pub const TASKS: [&dyn Task; 2] = [&MnistRot, &NBody];

/// The task called `name`.
pub fn task(name: &str) -> Option<&'static dyn Task> {
    TASKS.into_iter().find(|task| task.name() == name)
}

/// A task: its data, its networks, and how long they are trained.
pub trait Task: Sync {
    /// As the command line and `results.json` name it.
    fn name(&self) -> &str;

    /// What it asks, in one line.
    fn about(&self) -> &str;

    /// What its samples are.
    fn domain(&self) -> Domain;

    /// The arms it has, in the order of the tables.
    fn arms(&self) -> &[Arm];

    /// The names of those that the presets `smoke` and `quick` have; `standard` and `paper` have all.
    fn quick_arms(&self) -> &[&'static str];

    /// What its data are, so that results tell which; none for the data of the repository, whose files are checked.
    fn data(&self) -> Option<String> {
        None
    }

    /// What the three poses are in which networks are tested: canonical, random within the group, out of range.
    fn poses(&self) -> [&'static str; 3];

    /// The networks that `--model` chooses the equivariant arm from, the default first; empty where there is no choice.
    fn models(&self) -> &'static [&'static str] {
        &[]
    }

    /// The symmetry of the task.
    fn symmetry(&self) -> Symmetry;

    /// Fewest and most training samples.
    fn train_sizes(&self) -> (usize, usize);

    /// How the cells of `preset` are trained, with `model`, one of [`models`](Self::models), as the equivariant arm.
    fn recipe(&self, preset: Preset, model: Option<&str>) -> Recipe;

    /// The network of `arm`, its cost, counted on the network as built on `device`, and its augmentation.
    ///
    /// # Errors
    ///
    /// When there is no network with this symmetry.
    fn contestant(
        &self,
        arm: &Arm,
        setting: &Setting,
        hyperparameters: &Hyperparameters,
        device: &Device,
    ) -> Result<ArmSummary, CompareError>;

    /// The width of the plain network whose training step takes as long as that of the equivariant one, measured on `device`.
    ///
    /// # Errors
    ///
    /// When there is no network with this symmetry.
    fn width_by_time(&self, setting: &Setting, device: &Device) -> Result<usize, CompareError>;

    /// Loads the data of `plan`, from the folder `data` or from where the task keeps it.
    ///
    /// # Errors
    ///
    /// When the data cannot be used.
    fn open(&self, plan: &Plan, data: Option<&Path>, device: &Device) -> Result<Box<dyn Trials>, CompareError>;
}

/// A task with its data in memory.
pub trait Trials {
    /// Whether the training samples show an orientation; none if they are too few to tell.
    ///
    /// # Errors
    ///
    /// When the samples cannot be had.
    fn data_symmetry(&self) -> Result<Option<DataSymmetry>, CompareError>;

    /// The test samples that are turned, of which cells have answers; none if cells have none.
    fn turning(&self) -> Option<Turning> {
        None
    }

    /// How equivariant the network of an arm is on the test samples, with the weights in a file or those that training begins with.
    ///
    /// # Errors
    ///
    /// When the weights cannot be used, or the task has no layers to tell apart.
    fn check(&self, arm: &Arm, _weights: Option<&Path>) -> Result<Checked, CompareError> {
        Err(CompareError::Request(format!(
            "the network of {} does not say what its layers are, so there is nothing to check layer by layer; its error is in the results of a study",
            arm.name
        )))
    }

    /// Trains and tests one cell. `progress` hears of every optimiser step, counted from 1.
    ///
    /// # Errors
    ///
    /// When the cell was stopped or its checkpoint is unusable. A diverging cell is no error.
    fn run(&self, cell: &CellPlan, session: &Session, progress: &mut dyn FnMut(usize)) -> Result<Cell, CompareError>;
}
