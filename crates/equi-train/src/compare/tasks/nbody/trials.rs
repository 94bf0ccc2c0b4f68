//! The simulations in memory, and what is done with them.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::Path;
use std::rc::Rc;

use burn::tensor::Device;
use equi_core::check::points::PointLayerReports;
use equi_layers::graph::LinearMotion;

use super::super::points::{self, Asked, PointTrials, augmentation, far, weights_seed};
use super::networks::{Config, Use};
use super::{PARTICLES, TASK_SEED};
use crate::augment::PointAugmentation;
use crate::compare::cell::{Work, train_cell};
use crate::compare::check::with_weights;
use crate::compare::probe::motion::{TRANSLATION, layers};
use crate::compare::results::{Cell, DataSymmetry, Turning};
use crate::compare::symmetry::{self, features};
use crate::compare::view::motion::{mean_squared_error, shown};
use crate::compare::{Arm, CellPlan, Checked, CompareError, Plan, Trials, tuning};
use crate::data::nbody::{Motion, MotionBatch, NBody};
use crate::fit::{Dynamics, Prediction, Session, positions};
use crate::memory::peak_rss_mib;
use crate::stop::Stop;

/// How far motions are moved that are out of range: systems are some units wide.
pub(super) const FAR: f64 = 10.0;

/// The simulations in memory.
pub(super) struct Systems {
    source: NBody,
    test: Vec<Motion>,
    validation: Vec<Motion>,
    /// The training motions of a seed, as many as the largest cell needs.
    training: RefCell<BTreeMap<u64, Rc<[Motion]>>>,
    plan: Plan,
    device: Device,
}

impl Trials for Systems {
    fn data_symmetry(&self) -> Result<Option<DataSymmetry>, CompareError> {
        let motions = self.largest(0)?;
        let features = |place: usize, moved| features::motion(&motions[place], place, moved);
        Ok(symmetry::score("rotations and reflections", motions.len(), features))
    }

    fn check(&self, arm: &Arm, weights: Option<&Path>) -> Result<Checked, CompareError> {
        struct Check<'a>(&'a Systems, &'a CellPlan, Option<&'a Path>);
        impl Use for Check<'_> {
            type Output = Result<Checked, CompareError>;

            fn with<M: Dynamics + 'static>(self, model: M) -> Self::Output {
                let Self(systems, cell, weights) = self;
                let model = with_weights(model.valid(), weights)?;
                Ok(systems.asked(&model, cell).checked(weights))
            }
        }
        let hyperparameters = tuning::beside(weights, arm)?.unwrap_or(self.plan.recipe.hyperparameters(arm));
        let cell = self.plan.recipe.cell(*arm, 0, 0);
        match Config::of(arm, &self.plan.setting, &hyperparameters, &self.device) {
            Some(config) => config.build(weights_seed(&cell), &self.device, Check(self, &cell, weights)),
            None => Err(CompareError::Request(format!("--arm: {} has no layers that this can tell apart", arm.name))),
        }
    }

    fn turning(&self) -> Option<Turning> {
        Turning::of_points(&self.test)
    }

    fn run(&self, cell: &CellPlan, session: &Session, progress: &mut dyn FnMut(usize)) -> Result<Cell, CompareError> {
        struct Train<'a>(&'a Systems, Work<'a>);
        impl Use for Train<'_> {
            type Output = Result<Cell, CompareError>;

            fn with<M: Dynamics + 'static>(self, model: M) -> Self::Output {
                let Self(systems, work) = self;
                systems.train(model, work)
            }
        }
        let work = Work { cell, plan: &self.plan, device: &self.device, session, progress };
        match Config::of(&cell.arm, &self.plan.setting, &cell.hyperparameters, &self.device) {
            Some(config) => config.build(weights_seed(cell), &self.device, Train(self, work)),
            None => self.fit_line(cell),
        }
    }
}

impl PointTrials for Systems {
    type Sample = Motion;

    fn plan(&self) -> &Plan {
        &self.plan
    }

    fn device(&self) -> &Device {
        &self.device
    }

    fn test(&self) -> &[Motion] {
        &self.test
    }

    fn metric(&self) -> &'static str {
        "test MSE"
    }

    fn error(&self, answers: &[Vec<[f64; 3]>], motions: &[Motion]) -> f64 {
        mean_squared_error(answers, motions)
    }

    fn outside(&self, motions: &[Motion]) -> Vec<Motion> {
        outside(motions)
    }

    fn everywhere(&self) -> PointAugmentation {
        PointAugmentation::default()
    }

    fn translation(&self) -> f64 {
        TRANSLATION
    }
}

/// A network on a device.
struct OnDevice<'a, M>(&'a M, &'a Device);

impl<M: Dynamics> points::Network<Motion> for OnDevice<'_, M> {
    fn answers(&self, motions: &[Motion]) -> Vec<Vec<[f64; 3]>> {
        positions(self.0, motions, self.1)
    }

    fn layers(&self, motions: &[Motion]) -> PointLayerReports {
        layers(self.0, motions, self.1)
    }
}

impl Systems {
    pub fn new(plan: &Plan, device: &Device) -> Result<Self, CompareError> {
        let source = NBody::new(TASK_SEED);
        Ok(Self {
            test: source.test(plan.recipe.test_size)?,
            validation: source.validation(plan.recipe.validation_size)?,
            training: RefCell::default(),
            source,
            plan: plan.clone(),
            device: device.clone(),
        })
    }

    fn asked<'a, M: Dynamics>(&'a self, model: &'a M, cell: &'a CellPlan) -> Asked<'a, Self, OnDevice<'a, M>> {
        Asked { trials: self, cell, network: OnDevice(model, &self.device) }
    }

    fn train<M: Dynamics>(&self, model: M, work: Work<'_>) -> Result<Cell, CompareError> {
        let Work { cell, session, .. } = work;
        let training = shown(cell.arm.view, &self.training(cell)?);
        let validation = shown(cell.arm.view, &self.validation);
        let augmentation = augmentation(&cell.arm, self.everywhere(), &cell.hyperparameters);
        let problem = Prediction::new(&training, &validation, cell.seed).with_augmentation(augmentation);
        let exact_untrained = self.asked(&model.valid(), cell).exact_error();
        train_cell(&problem, model, work, |trained| self.asked(trained, cell).tested(exact_untrained, &session.stop))
    }

    /// `x + t v`, with the time that fits the training motions best.
    fn fit_line(&self, cell: &CellPlan) -> Result<Cell, CompareError> {
        let motions = self.training(cell)?;
        let graph = MotionBatch::graph(motions.len(), PARTICLES, &self.device);
        let MotionBatch { points, targets, .. } = MotionBatch::new(&*motions, &graph, &self.device);
        let velocities = points.velocities.expect("motions have velocities");
        let exact_untrained = self.asked(&LinearMotion::new(1.0, &self.device), cell).exact_error();
        let fitted = LinearMotion::fit(points.positions, velocities, targets);
        let tested = self.asked(&fitted, cell).tested(exact_untrained, &Stop::new()).expect("nobody stops it");
        Ok(Cell {
            metric: Some(tested.metric),
            equivariance_error: Some(tested.equivariance_error),
            poses: Some(tested.poses),
            turning: tested.turning,
            peak_rss_mib: peak_rss_mib(),
            ..Cell::begun(cell)
        })
    }

    /// The training motions of a cell.
    fn training(&self, cell: &CellPlan) -> Result<Rc<[Motion]>, CompareError> {
        Ok(self.largest(cell.seed)?[..cell.train_size].into())
    }

    /// The training motions of the largest cell of a seed.
    fn largest(&self, seed: u64) -> Result<Rc<[Motion]>, CompareError> {
        if let Some(kept) = self.training.borrow().get(&seed) {
            return Ok(kept.clone());
        }
        let most = self.plan.recipe.sizes.iter().copied().max().unwrap_or(0);
        let all: Rc<[Motion]> = self.source.training(seed, most)?.into();
        self.training.borrow_mut().insert(seed, all.clone());
        Ok(all)
    }
}

/// Motions, each mirrored and moved far in a direction of its own.
pub(super) fn outside(motions: &[Motion]) -> Vec<Motion> {
    far(motions, FAR, |_| [0.0; 3])
}
