//! Samples of the user's in memory: how an arm is trained, tested and checked on them.

use std::path::Path;
use std::sync::Arc;

use burn::tensor::Device;
use equi_core::check::points::PointLayerReports;
use rand::seq::SliceRandom;

use super::super::own::{FEWEST, OwnArms, Trains};
use super::super::points::{self, Asked, PointTrials, augmentation, far, weights_seed};
use super::shape::Shape;
use crate::augment::PointAugmentation;
use crate::compare::cell::{Work, train_cell};
use crate::compare::check::{trained_on, with_weights};
use crate::compare::probe::motion::point_layers;
use crate::compare::results::{Cell, DataSymmetry, Turning};
use crate::compare::symmetry::{self, features};
use crate::compare::view::motion::shown;
use crate::compare::{Arm, CellPlan, Checked, CompareError, Network, Plan, Trials, tuning};
use crate::data::points::{PointSystem, PointTarget, Units};
use crate::data::spatial::{Answer, Sample};
use crate::fit::{PointModel, PointRegression, Session, point_answers};
use crate::seed::{Purpose, stream};

/// How far samples are moved that are out of range, in their radii.
const FAR: f64 = 10.0;

/// Samples in memory.
pub(super) struct OwnTrials {
    pub train: Arc<[PointSystem]>,
    pub test: Vec<PointSystem>,
    pub shape: Shape,
    pub arms: OwnArms<Self>,
    pub plan: Plan,
    pub device: Device,
}

impl Trials for OwnTrials {
    fn data_symmetry(&self) -> Result<Option<DataSymmetry>, CompareError> {
        let most = self.plan.recipe.sizes.iter().copied().max().unwrap_or(0).min(symmetry::MOST);
        let systems = self.chosen(0, most);
        let features = |place: usize, moved| features::system(&systems[place], place, moved);
        Ok(symmetry::score("rotations and reflections", systems.len(), features))
    }

    fn turning(&self) -> Option<Turning> {
        Turning::of_points(&self.test)
    }

    fn check(&self, arm: &Arm, weights: Option<&Path>) -> Result<Checked, CompareError> {
        let hyperparameters = tuning::beside(weights, arm)?.unwrap_or(self.plan.recipe.hyperparameters(arm));
        let cell = self.plan.recipe.cell(*arm, 0, 0);
        let (seed, device) = (weights_seed(&cell), &self.device);
        match arm.network {
            Network::Equivariant => self.checked(self.shape.built_egnn(&hyperparameters, seed, device), &cell, weights),
            Network::Plain => {
                let config = self.shape.plain(&self.plan.setting, &hyperparameters, device);
                self.checked(self.shape.built_plain(config, seed, device), &cell, weights)
            }
            Network::Linear | Network::Own(_) => {
                Err(CompareError::Request(format!("--arm: {} has no layers that this can tell apart", arm.name)))
            }
        }
    }

    fn run(&self, cell: &CellPlan, session: &Session, progress: &mut dyn FnMut(usize)) -> Result<Cell, CompareError> {
        let work = Work { cell, plan: &self.plan, device: &self.device, session, progress };
        if let Some(own) = self.arms.own(&cell.arm) {
            return own.train(self, work);
        }
        let (seed, device) = (weights_seed(cell), &self.device);
        if cell.arm.network == Network::Equivariant {
            self.train(self.shape.built_egnn(&cell.hyperparameters, seed, device), work)
        } else {
            let config = self.shape.plain(&self.plan.setting, &cell.hyperparameters, device);
            self.train(self.shape.built_plain(config, seed, device), work)
        }
    }
}

impl PointTrials for OwnTrials {
    type Sample = PointSystem;

    fn plan(&self) -> &Plan {
        &self.plan
    }

    fn device(&self) -> &Device {
        &self.device
    }

    fn test(&self) -> &[PointSystem] {
        &self.test
    }

    fn metric(&self) -> &'static str {
        self.shape.metric()
    }

    fn error(&self, answers: &[PointTarget], systems: &[PointSystem]) -> f64 {
        mean_error(answers, systems)
    }

    fn outside(&self, systems: &[PointSystem]) -> Vec<PointSystem> {
        far(systems, FAR * self.shape.radius, Sample::centre)
    }

    fn everywhere(&self) -> PointAugmentation {
        self.shape.everywhere()
    }

    fn translation(&self) -> f64 {
        self.shape.radius
    }
}

/// A network, and the units in which it is given samples.
struct InUnits<'a, M> {
    model: &'a M,
    units: &'a Units,
    device: &'a Device,
}

impl<M: PointModel> points::Network<PointSystem> for InUnits<'_, M> {
    fn answers(&self, systems: &[PointSystem]) -> Vec<PointTarget> {
        point_answers(self.model, systems, self.units, self.device)
    }

    fn layers(&self, systems: &[PointSystem]) -> PointLayerReports {
        point_layers(self.model, systems, self.units, self.device)
    }
}

impl<M: PointModel> Trains<M> for OwnTrials {
    fn device(&self) -> &Device {
        &self.device
    }

    fn train(&self, model: M, work: Work<'_>) -> Result<Cell, CompareError> {
        let Work { cell, session, .. } = work;
        let systems = shown(cell.arm.view, &self.chosen(cell.seed, cell.train_size));
        let (training, validation) = self.parts(&systems);
        let units = Units::of(training, self.shape.species);
        let augmentation = augmentation(&cell.arm, self.everywhere(), &cell.hyperparameters);
        let problem = PointRegression::new(training, validation, &units, augmentation, cell.seed);
        let exact_untrained = self.asked(&model.valid(), &units, cell).exact_error();
        train_cell(&problem, model, work, |trained| {
            self.asked(trained, &units, cell).tested(exact_untrained, &session.stop)
        })
    }
}

impl OwnTrials {
    fn asked<'a, M: PointModel>(
        &'a self,
        model: &'a M,
        units: &'a Units,
        cell: &'a CellPlan,
    ) -> Asked<'a, Self, InUnits<'a, M>> {
        Asked { trials: self, cell, network: InUnits { model, units, device: &self.device } }
    }

    /// A network as it is, or with the weights of a file, in the units in which these were trained where its name says so; in those of all training samples otherwise.
    fn checked<M: PointModel>(
        &self,
        model: M,
        cell: &CellPlan,
        weights: Option<&Path>,
    ) -> Result<Checked, CompareError> {
        let model = with_weights(model.valid(), weights)?;
        let all = self.train.len();
        let named = weights.and_then(trained_on).filter(|(count, _)| (FEWEST..=all).contains(count));
        let (count, seed) = named.unwrap_or((all, 0));
        let systems = shown(cell.arm.view, &self.chosen(seed, count));
        let units = Units::of(self.parts(&systems).0, self.shape.species);
        let mut checked = self.asked(&model, &units, cell).checked(weights);
        checked.what += &format!("; in the units of {count} training samples of seed {seed}");
        Ok(checked)
    }

    /// The samples that are trained on, and those that choose the epoch.
    fn parts<'a>(&self, systems: &'a [PointSystem]) -> (&'a [PointSystem], &'a [PointSystem]) {
        systems.split_at(systems.len() - self.plan.recipe.validation(systems.len()))
    }

    /// The first `count` training samples in the order of a seed.
    pub fn chosen(&self, seed: u64, count: usize) -> Vec<PointSystem> {
        let mut order: Vec<usize> = (0..self.train.len()).collect();
        order.shuffle(&mut stream(seed, Purpose::Choice, 0));
        order[..count].iter().map(|&at| self.train[at].clone()).collect()
    }
}

/// The mean over all rows of answers, numbers of samples or vectors of points, of the length of the error.
pub(super) fn mean_error(predicted: &[PointTarget], systems: &[PointSystem]) -> f64 {
    let lengths = || {
        predicted.iter().zip(systems).flat_map(|(found, system)| {
            let width = found.width();
            let rows = found.numbers().chunks(width).zip(system.target.numbers().chunks(width));
            rows.map(|(a, b)| a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt())
        })
    };
    lengths().sum::<f64>() / lengths().count().max(1) as f64
}
