//! `mnist-rot`: which digit is it, in any orientation?

use std::collections::BTreeMap;
use std::path::Path;

use burn::tensor::Device;

use crate::augment::Augmentation;
use crate::compare::cell::{Tested, Work, train_cell};
use crate::compare::results::{ArmSummary, Cell, DataSymmetry, Domain, Metric, Poses};
use crate::compare::symmetry::{self, features};
use crate::compare::view::image::{among_frames, answers, passes, posed};
use crate::compare::{
    ARMS, Arm, CellPlan, CompareError, Growth, MatchBy, Network, Plan, Preset, Recipe, Setting, Symmetry, Task, Trials,
    View, nearest_width, probe, view,
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

/// What an arm does to its training images: rotations by any angle, and flips where the user asks for them; one of the frames.
fn augmentation(arm: &Arm, symmetry: Symmetry) -> Augmentation {
    let (group, flips) = planar(symmetry);
    match arm.view {
        View::Frames => among_frames(group.has_flips()),
        _ if arm.augmented => Augmentation { horizontal_flip: flips, vertical_flip: flips, ..Augmentation::default() },
        _ => Augmentation::none(),
    }
}

/// How a view is called behind the name of a network.
fn shown(view: View, passes: usize) -> String {
    match view {
        View::AsIs => String::new(),
        View::Averaged => format!(", averaged over {passes} poses in tests"),
        View::Canonical => ", in the frame of the principal axes".to_string(),
        View::Frames => format!(", averaged over {passes} frames of the principal axes"),
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
        let trained = ARMS.iter().take_while(|arm| arm.is_trained()).count();
        &ARMS[..trained]
    }

    fn quick_arms(&self) -> &'static [&'static str] {
        &["plain", "augmented", "augmented-tta", "equivariant"]
    }

    fn poses(&self) -> [&'static str; 3] {
        ["upright", "any angle", "mirrored"]
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
        let (group, _) = planar(setting.symmetry);
        let (steerable, plain) = networks(group, setting.matched_by, device)?;
        let side = SIDE.pixels();
        let (model, parameters, flops_per_sample) = if arm.network == Network::Equivariant {
            let built = built(steerable, 0, device)?;
            (steerable.to_string(), parameters(&built), built.flops(side, side))
        } else {
            (plain.to_string(), parameters(&plain.init(0, device)), plain.flops(side, side))
        };
        let passes = passes(arm.view, group.has_flips());
        Ok(ArmSummary {
            name: arm.name.to_string(),
            model: model + &shown(arm.view, passes),
            parameters,
            flops_per_sample,
            test_flops_per_sample: Some(passes as u64 * flops_per_sample),
            training_flops_per_sample: Some(3 * flops_per_sample),
            augmentation: augmentation(arm, setting.symmetry).to_string(),
        })
    }

    fn open(&self, plan: &Plan, data: Option<&Path>, device: &Device) -> Result<Box<dyn Trials>, CompareError> {
        let digits = mnist::load(data.unwrap_or(Path::new(mnist::FOLDER)))?;
        let source = RotatedMnist::new(digits, TASK_SEED, SIDE);
        let test = source.test(0..plan.recipe.test_size, Pose::Random)?;
        let few = 0..view::posed(plan.recipe.test_size);
        let upright = source.test(few.clone(), Pose::Turned(0.0))?;
        let mirrored = mirrored(&test, few);
        Ok(Box::new(Digits { source, test, upright, mirrored, plan: plan.clone(), device: device.clone() }))
    }
}

/// The digits in memory.
struct Digits {
    source: RotatedMnist,
    test: Images,
    /// The first of the test images before anything turned them.
    upright: Images,
    /// The same, turned and then mirrored.
    mirrored: Images,
    plan: Plan,
    device: Device,
}

/// The images at `places`, left and right exchanged: no digits, but for some.
fn mirrored(images: &Images, places: std::ops::Range<usize>) -> Images {
    let rows = places.clone().flat_map(|place| images.image(place).chunks(images.width()));
    let pixels = rows.flat_map(|row| row.iter().rev().copied()).collect();
    let labels = images.labels()[places].to_vec();
    Images::new(pixels, labels, images.height(), images.width()).expect("the same pixels in another order")
}

impl Trials for Digits {
    fn data_symmetry(&self) -> Result<Option<DataSymmetry>, CompareError> {
        let largest = self.plan.recipe.sizes.iter().copied().max().unwrap_or(0).min(symmetry::MOST);
        let images = self.source.training(0, 0..largest, Pose::Random)?;
        let features = |place: usize, moved| features::image(images.image(place), images.width(), place, moved);
        Ok(symmetry::score("rotations", images.len(), features))
    }

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
        let symmetry = self.plan.setting.symmetry;
        let (group, flips) = planar(symmetry);
        let (view, mirrors) = (cell.arm.view, group.has_flips());
        let images = self.source.training(cell.seed, 0..cell.train_size, Pose::Random)?;
        let images = if matches!(view, View::Canonical | View::Frames) { posed(&images, mirrors) } else { images };
        let held_out = cell.train_size - recipe.validation(cell.train_size);
        let problem =
            Classification::new(&images, (0..held_out).collect(), (held_out..cell.train_size).collect(), cell.seed)
                .with_augmentation(augmentation(&cell.arm, symmetry));

        let answer = |model: &M, images| answers(view, mirrors, flips > 0.0, images, |images| model.forward(images));
        let (probe_images, _) = self.test.batch(&positions(PROBE.min(self.test.len())), &self.device);
        let untrained = model.valid();
        let exact_untrained = probe::image::exact_error(|images| answer(&untrained, images), group, &probe_images);
        train_cell(&problem, model, work, |trained| {
            let forward = |images| answer(trained, images);
            let wrong = |images: &Images, positions: &[usize]| {
                wrong_labels(forward, images, positions, EVALUATION_BATCH, &self.device, &session.stop)
            };
            let percent = |wrong: usize, of: usize| 100.0 * wrong as f64 / of.max(1) as f64;
            let (all, few) = (positions(self.test.len()), positions(self.upright.len()));
            let (first, rest) = (wrong(&self.test, &few)?, wrong(&self.test, &all[few.len()..])?);
            Some(Tested {
                metric: Metric { name: "test error %".to_string(), value: percent(first + rest, all.len()) },
                equivariance_error: probe::image::invariance(forward, group, &probe_images, exact_untrained),
                poses: Poses {
                    canonical: percent(wrong(&self.upright, &few)?, few.len()),
                    random: percent(first, few.len()),
                    outside: percent(wrong(&self.mirrored, &few)?, few.len()),
                },
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
    fn every_arm_is_trained_and_tested_and_what_shares_a_network_is_not_trained_again() {
        use crate::compare::Request;
        use crate::device::resolve;
        use crate::fit::Checkpoints;
        use crate::stop::Stop;

        let device = resolve(Some("flex")).unwrap();
        let request = Request {
            task: "mnist-rot".to_string(),
            preset: Some("smoke".to_string()),
            arms: Some(MnistRot.arms().iter().map(|arm| arm.name.to_string()).collect()),
            ..Request::default()
        };
        let plan = Plan::new(&request, &device).unwrap();
        let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(mnist::FOLDER);
        let trials = MnistRot.open(&plan, Some(&data), &device.device).unwrap();
        let folder = tempfile::tempdir().unwrap();
        for cell in plan.cells() {
            let checkpoints = Checkpoints::new(folder.path().join(cell.training().to_string()));
            let session = Session { stop: Stop::new(), checkpoints: Some(checkpoints) };
            let mut steps = 0;
            let done = trials.run(&cell, &session, &mut |_| steps += 1).unwrap();
            assert_eq!(steps, plan.steps_of(&cell), "{cell}");
            let exact = done.equivariance_error.unwrap().exact.unwrap();
            let invariant = cell.arm.network == Network::Equivariant || cell.arm.view != View::AsIs;
            // Rounding in f32, and of moments that turn by a quarter.
            assert!(if invariant { exact < 1e-4 } else { exact > 1e-3 }, "{cell}: {exact}");
            let poses = done.poses.unwrap();
            assert_eq!(Some(poses.random), done.value(), "the test set is no larger than what is posed");
            assert!(poses.values().iter().all(|error| (0.0..=100.0).contains(error)));
            let summary = plan.arms.iter().find(|arm| arm.name == cell.arm.name).unwrap();
            let passes =
                [("augmented-tta", 8), ("frame-averaged", 2)].into_iter().find(|(name, _)| *name == cell.arm.name);
            assert_eq!(summary.test_flops(), passes.map_or(1, |(_, passes)| passes) * summary.flops_per_sample);
        }
    }

    #[test]
    fn mirrors_keep_rows_and_labels() {
        let images = Images::new((0..12u8).map(f32::from).collect(), vec![7, 8], 2, 3).unwrap();
        let mirrored = mirrored(&images, 1..2);
        assert_eq!((mirrored.image(0), mirrored.labels()), (&[8., 7., 6., 11., 10., 9.][..], &[8][..]));
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
        let cell = CellPlan { arm: Arm::named("augmented").unwrap(), train_size: 20, seed: 0 };
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
