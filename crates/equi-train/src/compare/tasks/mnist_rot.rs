//! `mnist-rot`: which digit is it, in any orientation?

use std::collections::BTreeMap;
use std::path::Path;

use burn::tensor::Device;

use crate::augment::Augmentation;
use crate::compare::cell::{Tested, Work, train_cell};
use crate::compare::results::{ArmSummary, Cell, Domain, Metric};
use crate::compare::{
    ARMS, Arm, CellPlan, CompareError, Growth, MatchBy, Network, Plan, Preset, Recipe, Setting, Symmetry, Task, Trials,
    nearest_width, probe,
};
use crate::cost::parameters;
use crate::data::Images;
use crate::data::mnist;
use crate::data::rotated::{Pose, RotatedMnist, Side, TEST, TRAINING};
use crate::fit::{Classification, Classifier, Schedule, Session, wrong_labels};
use crate::model::{PlainCnnConfig, SteerableCnn, SteerableCnnConfig};
use equi_core::group::{C8, Group};

/// Seed of the orientations and of the choice of digits: part of the task, whatever the seeds of a run are. Networks and
/// recipe were chosen under seed 0, so these test images have chosen nothing.
const TASK_SEED: u64 = 1;
/// Digits.
const CLASSES: usize = 10;
/// Odd, so that pooling by 2 keeps the symmetry.
const SIDE: Side = Side::Odd;
/// Test images on which invariance is measured.
const PROBE: usize = 64;
/// Images a forward pass takes outside training.
const EVALUATION_BATCH: usize = 250;

/// Rotated MNIST: which digit is it, in any orientation?
#[derive(Clone, Copy, Debug)]
pub struct MnistRot;

/// What is built into the equivariant network, and the probability of flips in the augmentation.
///
/// # Panics
///
/// For a symmetry of another space: [`MnistRot::symmetry`] is of the plane.
fn planar(symmetry: Symmetry) -> (Group, f64) {
    match symmetry {
        Symmetry::Planar { group, flips } => (group, flips),
        Symmetry::Euclidean => unreachable!("images have symmetries of the plane"),
    }
}

/// What `augmented` does to its training images: rotations by any angle, and flips where the user asks for them.
fn augmentation(arm: &Arm, flips: f64) -> Augmentation {
    if arm.augmented {
        Augmentation { horizontal_flip: flips, vertical_flip: flips, ..Augmentation::default() }
    } else {
        Augmentation::none()
    }
}

impl Task for MnistRot {
    fn name(&self) -> &'static str {
        "mnist-rot"
    }

    fn about(&self) -> &'static str {
        "which digit is it, in any orientation? (12,000 training and 50,000 test digits, 29 x 29)"
    }

    fn domain(&self) -> Domain {
        Domain::Images
    }

    fn arms(&self) -> &'static [Arm] {
        &ARMS[..3]
    }

    /// Rotations, and no flips: a mirrored 2 is no digit.
    fn symmetry(&self) -> Symmetry {
        Symmetry::Planar { group: C8, flips: 0.0 }
    }

    fn train_sizes(&self) -> (usize, usize) {
        (20, TRAINING)
    }

    fn recipe(&self, preset: Preset, _model: Option<&str>) -> Recipe {
        let recipe = Recipe {
            sizes: vec![100, 400, 1600],
            seeds: 2,
            test_size: 2000,
            steps_per_100: 120,
            growth: Growth::SquareRoot,
            epochs: 10,
            batch_size: 32,
            learning_rate: 2e-2,
            arm_rates: BTreeMap::new(),
            schedule: Schedule::default(),
            weight_decay: 1e-4,
            clip_norm: None,
            weight_average: None,
            validation_one_in: 5,
            validation_size: 0,
        };
        match preset {
            Preset::Smoke => Recipe {
                sizes: vec![50],
                seeds: 1,
                test_size: 100,
                steps_per_100: 17,
                epochs: 4,
                batch_size: 8,
                ..recipe
            },
            Preset::Quick => recipe,
            Preset::Standard => Recipe {
                sizes: vec![100, 400, 1600, 6400],
                seeds: 5,
                test_size: 10_000,
                steps_per_100: 300,
                epochs: 20,
                batch_size: 64,
                ..recipe
            },
            Preset::Paper => Recipe {
                sizes: vec![100, 400, 1600, 6400, 12_000],
                seeds: 5,
                test_size: TEST,
                steps_per_100: 1000,
                epochs: 40,
                batch_size: 64,
                ..recipe
            },
        }
    }

    fn contestant(&self, arm: &Arm, setting: &Setting, device: &Device) -> Result<ArmSummary, CompareError> {
        let (group, flips) = planar(setting.symmetry);
        let (steerable, plain) = networks(group, setting.matched_by, device)?;
        let side = SIDE.pixels();
        let (model, parameters, flops_per_sample) = if arm.network == Network::Equivariant {
            let built = built(steerable, 0, device)?;
            (steerable.to_string(), parameters(&built), built.flops(side, side))
        } else {
            (plain.to_string(), parameters(&plain.init(0, device)), plain.flops(side, side))
        };
        let augmentation = augmentation(arm, flips).to_string();
        Ok(ArmSummary { name: arm.name.to_string(), model, parameters, flops_per_sample, augmentation })
    }

    fn open(&self, plan: &Plan, data: Option<&Path>, device: &Device) -> Result<Box<dyn Trials>, CompareError> {
        let digits = mnist::load(data.unwrap_or(Path::new(mnist::FOLDER)))?;
        let source = RotatedMnist::new(digits, TASK_SEED, SIDE);
        let test = source.test(0..plan.recipe.test_size, Pose::Random)?;
        Ok(Box::new(Digits { source, test, plan: plan.clone(), device: device.clone() }))
    }
}

/// The digits in memory.
struct Digits {
    source: RotatedMnist,
    test: Images,
    plan: Plan,
    device: Device,
}

impl Trials for Digits {
    fn run(&self, cell: &CellPlan, session: &Session, progress: &mut dyn FnMut(usize)) -> Result<Cell, CompareError> {
        let work = Work { cell, plan: &self.plan, device: &self.device, session, progress };
        let (group, _) = planar(self.plan.setting.symmetry);
        let (steerable, plain) = networks(group, self.plan.setting.matched_by, &self.device)?;
        if cell.arm.network == Network::Equivariant {
            self.train(built(steerable, cell.seed, &self.device)?, work)
        } else {
            self.train(plain.init(cell.seed, &self.device), work)
        }
    }
}

impl Digits {
    fn train<M: Classifier>(&self, model: M, work: Work<'_>) -> Result<Cell, CompareError> {
        let Work { cell, session, .. } = work;
        let recipe = &self.plan.recipe;
        let (group, flips) = planar(self.plan.setting.symmetry);
        let images = self.source.training(cell.seed, 0..cell.train_size, Pose::Random)?;
        let held_out = cell.train_size - recipe.validation(cell.train_size);
        let problem =
            Classification::new(&images, (0..held_out).collect(), (held_out..cell.train_size).collect(), cell.seed)
                .with_augmentation(augmentation(&cell.arm, flips));

        let (probe_images, _) = self.test.batch(&positions(PROBE.min(self.test.len())), &self.device);
        let exact_untrained = probe::image::exact_error(&model.valid(), group, &probe_images);
        train_cell(&problem, model, work, |trained| {
            let positions = positions(self.test.len());
            let wrong = wrong_labels(trained, &self.test, &positions, EVALUATION_BATCH, &self.device, &session.stop)?;
            let error = 100.0 * wrong as f64 / positions.len().max(1) as f64;
            Some(Tested {
                metric: Metric { name: "test error %".to_string(), value: error },
                equivariance_error: probe::image::invariance(trained, group, &probe_images, exact_untrained),
            })
        })
    }
}

fn positions(count: usize) -> Vec<usize> {
    (0..count).collect()
}

/// Channels after the first convolution of the equivariant network, as many regular fields as that makes.
const CHANNELS: usize = 16;

/// The equivariant network, and the plain one that costs about the same.
fn networks(
    group: Group,
    matched_by: MatchBy,
    device: &Device,
) -> Result<(SteerableCnnConfig, PlainCnnConfig), CompareError> {
    let fields = (CHANNELS / group.order().unwrap_or(1)).max(1);
    let steerable = SteerableCnnConfig::new(group, fields, CLASSES);
    let reference = built(steerable, 0, device)?;
    let side = SIDE.pixels();
    let cost = match matched_by {
        MatchBy::Flops => reference.flops(side, side),
        MatchBy::Params => parameters(&reference) as u64,
    };
    Ok((steerable, plain(matched_by, cost)))
}

/// The equivariant network with the weights of a seed.
fn built(config: SteerableCnnConfig, seed: u64, device: &Device) -> Result<SteerableCnn, CompareError> {
    let built = config.init(seed, device);
    let checked = built.and_then(|model| model.check_size(SIDE.pixels(), SIDE.pixels()).map(|()| model));
    checked.map_err(|error| CompareError::Request(format!("--group: {error}")))
}

/// The plain network whose cost is nearest to that of the equivariant one.
fn plain(matched_by: MatchBy, cost: u64) -> PlainCnnConfig {
    let side = SIDE.pixels();
    let config = |width| PlainCnnConfig::new(width, CLASSES);
    config(match matched_by {
        MatchBy::Params => nearest_width(cost, |width| config(width).parameters() as u64),
        MatchBy::Flops => nearest_width(cost, |width| config(width).flops(side, side)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_other_width_is_nearer_to_the_cost() {
        let side = SIDE.pixels();
        for (matched_by, cost) in [(MatchBy::Params, 40_000), (MatchBy::Flops, 10_000_000)] {
            let gap = |config: PlainCnnConfig, matched_by| match matched_by {
                MatchBy::Params => (config.parameters() as u64).abs_diff(cost),
                MatchBy::Flops => config.flops(side, side).abs_diff(cost),
            };
            let chosen = plain(matched_by, cost);
            for width in 1..100 {
                let other = PlainCnnConfig::new(width, CLASSES);
                assert!(gap(chosen, matched_by) <= gap(other, matched_by), "{other} is nearer than {chosen}");
            }
        }
    }

    #[cfg(feature = "flex")]
    #[test]
    fn a_stop_during_the_test_costs_the_test_only() {
        use crate::compare::Request;
        use crate::device::resolve;
        use crate::fit::{Checkpoints, FitError};
        use crate::stop::Stop;

        let device = resolve(Some("flex")).unwrap();
        let request = Request {
            task: "mnist-rot".to_string(),
            preset: Some("smoke".to_string()),
            sizes: Some(vec![20]),
            ..Request::default()
        };
        let plan = Plan::new(&request, &device).unwrap();
        let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(mnist::FOLDER);
        let cell = CellPlan { arm: ARMS[0], train_size: 20, seed: 0 };
        let trials = MnistRot.open(&plan, Some(&data), &device.device).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let session = || Session { stop: Stop::new(), checkpoints: Some(Checkpoints::new(folder.path())) };
        let done = trials.run(&cell, &session(), &mut |_| {}).unwrap();

        let stopped = session();
        stopped.stop.raise();
        match trials.run(&cell, &stopped, &mut |_| panic!("trained again")) {
            Err(CompareError::Fit { source: FitError::Interrupted { epoch, .. }, .. }) => {
                assert_eq!(epoch, plan.recipe.epochs);
            }
            other => panic!("{other:?}"),
        }
        let resumed = trials.run(&cell, &session(), &mut |_| panic!("trained again")).unwrap();
        assert_eq!(resumed.metric, done.metric);
    }

    #[cfg(feature = "flex")]
    #[test]
    fn a_diverging_cell_is_recorded_and_the_next_one_trains() {
        use crate::compare::Request;
        use crate::compare::results::CellStatus;
        use crate::device::resolve;

        let device = resolve(Some("flex")).unwrap();
        let request = Request {
            task: "mnist-rot".to_string(),
            preset: Some("smoke".to_string()),
            sizes: Some(vec![20]),
            ..Request::default()
        };
        let plan = Plan::new(&request, &device).unwrap();
        let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(mnist::FOLDER);
        let cell = CellPlan { arm: ARMS[1], train_size: 20, seed: 0 };
        let run = |plan: &Plan| {
            let trials = MnistRot.open(plan, Some(&data), &device.device).unwrap();
            trials.run(&cell, &Session::default(), &mut |_| {}).unwrap()
        };

        let mut wild = plan.clone();
        wild.recipe.learning_rate = 1e30;
        let diverged = run(&wild);
        assert_eq!(diverged.status, CellStatus::Diverged);
        assert!(diverged.metric.is_none() && diverged.equivariance_error.is_none());
        assert!(diverged.message.unwrap().contains("learning rate"));

        let done = run(&plan);
        assert_eq!(done.status, CellStatus::Done);
        assert_eq!(done.validation_curve.len(), plan.recipe.epochs);
        assert!(done.metric.unwrap().value <= 100.0);
        assert!(done.equivariance_error.unwrap().exact.unwrap() > 1e-3, "a plain network is not invariant");
    }
}
