use burn::Tensor;
use burn::module::Module;
use burn::nn::{Linear, LinearConfig};
use equi_core::group::Isometry;
use equi_core::ops::segment_sum;
use rand::RngExt;

use super::super::points::{far, turned};
use super::*;
use crate::compare::results::{CellStatus, TurnedAnswer};
use crate::compare::{CheckedParts, Network, Request, View, compare_on};
use crate::data::points::{PointBatch, PointSample, PointTarget};
use crate::data::spatial::{Sample, Spatial};
use crate::device::resolve;
use crate::fit::Session;
use crate::seed::{Purpose, stream};
use crate::stop::Stop;

/// Points of two species in a ball about (50, 0, 0), with the sum of their squared distances, or the vectors to their centre.
fn set(count: usize, seed: u64, velocities: bool, vectors: bool) -> PointSet {
    let sample = |number: usize| {
        let mut random = stream(seed, Purpose::Simulation, number as u64);
        let points = 3 + number % 3;
        let mut drawn = |x: f64| -> Vec<[f64; 3]> {
            let one = |_| [x + random.random::<f64>(), random.random(), random.random()];
            (0..points).map(one).collect()
        };
        let positions = drawn(50.0);
        let sum: f64 = (0..points).flat_map(|i| (0..3).map(move |k| (i, k))).map(|(i, k)| positions[i][k]).sum();
        PointSample {
            velocities: velocities.then(|| drawn(0.0)),
            species: (0..points).map(|at| ["A", "B"][at % 2].to_string()).collect(),
            features: Vec::new(),
            target: if vectors { PointTarget::Vectors(drawn(0.0)) } else { PointTarget::Scalar(sum) },
            positions,
        }
    };
    PointSet::new("target", (0..count).map(sample).collect()).unwrap()
}

fn task(velocities: bool, vectors: bool) -> OwnPoints {
    let (train, test) = (set(20, 1, velocities, vectors), set(6, 2, velocities, vectors));
    OwnPoints::new("points", train, test, Neighbourhood::All).unwrap()
}

fn plan(task: &OwnPoints, matched_by: &str) -> Plan {
    let request = Request {
        preset: Some("smoke".to_string()),
        matched_by: Some(matched_by.to_string()),
        arms: Some(task.arms().iter().map(|arm| arm.name.to_string()).collect()),
        ..Request::default()
    };
    Plan::new(task, &request, &resolve(Some("flex")).unwrap(), None).unwrap()
}

#[test]
fn arms_cost_about_the_same() {
    for (velocities, vectors) in [(false, false), (true, false), (false, true), (true, true)] {
        let task = task(velocities, vectors);
        for matched_by in ["flops", "params"] {
            let plan = plan(&task, matched_by);
            let cost = |arm: &ArmSummary| {
                if matched_by == "flops" { arm.flops_per_sample as f64 } else { arm.parameters as f64 }
            };
            let equivariant = plan.arms.iter().find(|arm| arm.name == "equivariant").unwrap();
            for arm in &plan.arms {
                // A width is a whole number of some tens.
                assert!((cost(arm) / cost(equivariant) - 1.0).abs() < 0.03, "{} {matched_by}", arm.name);
            }
        }
    }
}

#[test]
fn every_arm_is_as_equivariant_as_it_says_with_velocities_too() {
    let task = task(true, true);
    let plan = plan(&task, "flops");
    let trials = task.open(&plan, None, &Device::flex()).unwrap();
    for cell in plan.cells_among(task.arms(), &BTreeMap::new()) {
        let done = trials.run(&cell, &Session::default(), &mut |_| {}).unwrap();
        let errors = done.equivariance_error.unwrap();
        let exact = cell.arm.network == Network::Equivariant || matches!(cell.arm.view, View::Canonical | View::Frames);
        for error in [errors.exact_untrained.unwrap(), errors.exact.unwrap()] {
            // Rounding in f32, through four layers.
            assert!(if exact { error < 1e-4 } else { error > 1e-3 }, "{cell}: {error}");
        }
        let (poses, value) = (done.poses.unwrap(), done.metric.unwrap().value);
        assert_eq!(poses.canonical, value, "the test set is no larger than what is posed");
        // A difference quotient in f32 has a hundred times its rounding; a vector that does not turn has an error of 0.8.
        let small_turns = errors.small_turns.unwrap();
        assert!(!exact || small_turns < 1e-2, "{cell}: {errors:?}");
        assert!(!["plain", "augmented"].contains(&cell.arm.name) || small_turns > 3e-2, "{cell}: {errors:?}");
        let told = cell.arm.view == View::AsIs;
        assert_eq!(done.layers.is_empty(), !told, "{cell}");
        let worst = done.layers.iter().filter_map(|layer| layer.exact).fold(0.0, f64::max);
        assert!(!told || (worst < 1e-3) == exact, "{cell}: {:?}", done.layers);
        assert_eq!(done.turning.len(), 6, "{cell}");
        for other in [poses.random, poses.outside] {
            assert!(!exact || (other / value - 1.0).abs() < 1e-3, "{cell}: {poses:?}");
        }
    }
}

/// Says of every sample a sum over its edges: a line in their squared lengths.
#[derive(Module, Debug)]
struct Lengths {
    linear: Linear,
}

impl PointModel for Lengths {
    fn forward(&self, batch: &PointBatch) -> Tensor<2> {
        let squares = batch.graph.displacements(batch.points.positions.clone()).powi_scalar(2).sum_dim(1);
        let of_points = segment_sum(self.linear.forward(squares), batch.graph.receivers());
        segment_sum(of_points, batch.graph.members())
    }
}

fn lengths(seed: u64, device: &Device) -> Lengths {
    device.seed(seed);
    Lengths { linear: LinearConfig::new(1, 1).init(device) }
}

/// A network that does not work.
#[derive(Module, Debug)]
struct Broken {
    linear: Linear,
}

impl PointModel for Broken {
    fn forward(&self, _: &PointBatch) -> Tensor<2> {
        panic!("no such shape")
    }
}

#[test]
fn networks_of_the_user_are_arms_and_those_that_panic_are_recorded() {
    let broken = |seed, device: &Device| Broken { linear: lengths(seed, device).linear };
    let task = task(false, false)
        .with_arm(OwnPointArm::new("lengths", "squared lengths", false, 60, lengths))
        .and_then(|task| task.with_arm(OwnPointArm::new("broken", "panics", false, 1, broken)))
        .and_then(|task| task.with_arm(OwnPointArm::new("lengths-augmented", "the same", true, 60, lengths)))
        .unwrap();
    assert_eq!(task.inputs(), 2, "one number for each species");
    assert_eq!(&task.quick_arms()[5..], ["lengths", "broken", "lengths-augmented"]);
    let folder = tempfile::tempdir().unwrap();
    let request = Request {
        preset: Some("smoke".to_string()),
        arms: Some(["lengths", "broken", "lengths-augmented", "plain"].map(str::to_string).to_vec()),
        device: Some("flex".to_string()),
        out: Some(folder.path().join("out")),
        ..Request::default()
    };
    let results = compare_on(&task, &request, &Stop::new()).unwrap().results;
    let of = |name: &str| {
        let cell = results.cells.iter().find(|cell| cell.arm == name).unwrap();
        (cell, results.arms.iter().find(|arm| arm.name == name).unwrap())
    };
    let (cell, _) = of("broken");
    assert_eq!((cell.status, cell.message.as_deref()), (CellStatus::Panicked, Some("no such shape")));
    assert!(results.verdict.ends_with("seed 0. The panic said: no such shape."), "{}", results.verdict);
    assert!(!results.verdict.contains("diverged"), "{}", results.verdict);
    for (name, is_augmented) in [("lengths", false), ("lengths-augmented", true)] {
        let (cell, arm) = of(name);
        assert_eq!((cell.status, arm.parameters, arm.flops_per_sample), (CellStatus::Done, 2, 60));
        assert_eq!((arm.test_flops_per_sample, arm.training_flops_per_sample), (Some(60), Some(180)));
        assert_eq!(arm.augmentation != "none", is_augmented);
        // Lengths are the same wherever they are, up to rounding in f32.
        let errors = cell.equivariance_error.as_ref().unwrap();
        assert!(errors.exact.unwrap() < 1e-4 && errors.small_turns.unwrap() < 1e-2, "{errors:?}");
        assert!(cell.layers.is_empty(), "it does not say what its layers are");
        assert!(matches!(&cell.turning[0], TurnedAnswer::Numbers { numbers } if numbers.len() == 48));
    }
    assert_eq!(of("plain").0.status, CellStatus::Done);
    let named = |name| OwnPointArm::new(name, "", false, 1, lengths);
    for name in ["lengths", "plain", "linear"] {
        let refused = task.clone().with_arm(named(name)).unwrap_err().to_string();
        assert!(refused.contains(&format!("`{name}` already")), "{refused}");
    }
}

#[test]
fn networks_are_checked_as_they_are_before_training() {
    for (velocities, vectors) in [(false, false), (true, false), (false, true)] {
        let task = task(velocities, vectors);
        let plan = plan(&task, "flops");
        let trials = task.open(&plan, None, &Device::flex()).unwrap();
        for (name, exact) in [("equivariant", true), ("plain", false), ("frame-averaged", velocities)] {
            let arm = Arm::named(name).unwrap();
            let checked = trials.check(&arm, None).unwrap();
            let CheckedParts::Points { local, layers } = &checked.parts else { panic!("{checked}") };
            assert!(checked.what.contains("before training, seed 0; ") && checked.what.contains("6 test systems"));
            let worst = layers.0.iter().map(|layer| layer.own.error()).fold(0.0, f64::max);
            // Rounding in f32, and a hundred times that in a difference quotient.
            if exact {
                assert!(checked.error.exact.unwrap() < 1e-4 && local.relative < 1e-2, "{checked}");
            }
            assert_eq!(worst < 1e-3, name == "equivariant", "{checked}");
            if name == "plain" {
                assert!(checked.error.exact.unwrap() > 1e-3 && local.relative > 1e-3, "{checked}");
            }
            assert_eq!(layers.0.len(), if name == "equivariant" && vectors { 5 } else { 6 }, "{checked}");
        }
    }
}

#[test]
fn the_error_of_vectors_is_their_mean_distance_whatever_the_axes() {
    let sample = |target: PointTarget| PointSample {
        positions: vec![[0.0; 3], [1.0, 0.0, 0.0]],
        velocities: None,
        species: Vec::new(),
        features: Vec::new(),
        target,
    };
    let system = |target| PointSystem::new(&sample(target), [0.0; 3], &[], Neighbourhood::All).unwrap();
    let zero = system(PointTarget::Vectors(vec![[0.0; 3]; 2]));
    let found = PointTarget::Vectors(vec![[3.0, 0.0, -4.0], [0.0, 1.0, 0.0]]);
    assert_eq!(mean_error(std::slice::from_ref(&found), std::slice::from_ref(&zero)), 3.0);
    let mut random = stream(0, Purpose::Probe, 0);
    let turned = found.moved(&Isometry::random_orthogonal(&mut random));
    assert!((mean_error(&[turned], &[zero]) - 3.0).abs() < 1e-12);
    let numbers = [2.0, -1.0].map(PointTarget::Scalar);
    let right = [5.0, 0.0].map(|y| system(PointTarget::Scalar(y)));
    assert_eq!(mean_error(&numbers, &right), 2.0);
    assert_eq!(
        [task(false, false), task(false, true)].map(|task| task.shape.metric()),
        ["test MAE", "test mean distance"]
    );
}

#[test]
fn poses_move_samples_about_their_centres_and_the_data_about_theirs() {
    let task = task(true, false);
    let systems = &task.train[..];
    let points = systems.iter().map(Sample::points).sum::<usize>() as f64;
    let mean: [f64; 3] = std::array::from_fn(|k| {
        systems.iter().flat_map(|system| &system.positions).map(|x| x[k]).sum::<f64>() / points
    });
    assert!(mean.iter().all(|x| x.abs() < 1e-12), "{mean:?}");
    let apart = |a: &PointSystem, b: &PointSystem| {
        a.centre().iter().zip(b.centre()).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt()
    };
    for (system, turned) in systems.iter().zip(turned(systems)) {
        assert!(apart(system, &turned) < 1e-12);
        assert!((system.positions[0][0] - turned.positions[0][0]).abs() > 1e-6);
    }
    for (system, far) in systems.iter().zip(far(systems, 7.0, Sample::centre)) {
        assert!((apart(system, &far) - 7.0).abs() < 1e-12);
    }
    // Points of a cube of side 1 are about half a unit from their centre, and the radius has two digits.
    assert!((0.3..0.6).contains(&task.shape.radius) && format!("{}", task.shape.radius).len() <= 4);
}

#[test]
fn seeds_begin_with_samples_of_their_own_and_small_sets_are_parts_of_large_ones() {
    let task = task(false, false);
    let plan = plan(&task, "flops");
    let trials = OwnTrials {
        train: task.train.clone(),
        test: task.test.clone(),
        shape: task.shape,
        arms: task.arms.clone(),
        plan,
        device: Device::flex(),
    };
    let first = |seed, count| -> Vec<[f64; 3]> {
        trials.chosen(seed, count).iter().map(|system| system.positions[0]).collect()
    };
    assert_eq!(first(1, 5), first(1, 20)[..5]);
    assert_ne!(first(1, 20), first(2, 20));
}
