//! Arms, poses and fits.

use super::super::points::turned;
use super::trials::{FAR, outside};
use super::*;
use crate::compare::results::{Cell, CellStatus};
use crate::compare::{CellPlan, Network, Request, View};
use crate::device::resolve;
use crate::fit::Session;

fn plan(change: impl FnOnce(&mut Request)) -> Plan {
    let mut request = Request { task: "nbody".to_string(), preset: Some("smoke".to_string()), ..Request::default() };
    change(&mut request);
    Plan::new(&NBody, &request, &resolve(Some("flex")).unwrap(), None).unwrap()
}

fn run(plan: &Plan, cell: &CellPlan) -> Cell {
    let trials = NBody.open(plan, None, &Device::flex()).unwrap();
    trials.run(cell, &Session::default(), &mut |_| {}).unwrap()
}

#[test]
fn arms_cost_about_the_same() {
    for (matched_by, model) in [
        ("flops", "egnn"),
        ("params", "egnn"),
        ("flops", "radial-field"),
        ("flops", "se3-transformer"),
        ("params", "se3-transformer"),
        ("flops", "tensor-field"),
        ("params", "tensor-field"),
    ] {
        let plan = plan(|request| {
            request.matched_by = Some(matched_by.to_string());
            request.model = Some(model.to_string());
            request.arms = Some(NBody.arms().iter().map(|arm| arm.name.to_string()).collect());
        });
        let costs = |arm: &str| {
            let arm = plan.arms.iter().find(|summary| summary.name == arm).unwrap();
            if matched_by == "flops" { arm.flops_per_sample as f64 } else { arm.parameters as f64 }
        };
        for arm in ["plain", "augmented", "canonical", "frame-averaged"] {
            // A width is a whole number: near 10 features, the next one costs a fifth more.
            let tolerance = if model == "radial-field" { 0.1 } else { 0.02 };
            assert!((costs(arm) / costs("equivariant") - 1.0).abs() < tolerance, "{arm} {matched_by} {model}");
        }
    }
}

#[test]
fn arms_are_as_equivariant_as_they_say() {
    for (place, model) in NBody.models().iter().enumerate() {
        let plan = plan(|request| {
            request.model = Some(model.to_string());
            // What does not depend on the model is tried with the first.
            let arms = NBody.arms().iter().filter(|arm| place == 0 || arm.network == Network::Equivariant);
            request.arms = Some(arms.map(|arm| arm.name.to_string()).collect());
        });
        for cell in plan.cells() {
            let done = run(&plan, &cell);
            let errors = done.equivariance_error.unwrap();
            let exact = cell.arm.network != Network::Plain || matches!(cell.arm.view, View::Canonical | View::Frames);
            for error in [errors.exact_untrained.unwrap(), errors.exact.unwrap()] {
                // Rounding in f32, through up to four layers.
                assert!(if exact { error < 1e-5 } else { error > 1e-3 }, "{cell}: {error}");
            }
            // That of a difference quotient.
            assert!(!exact || errors.small_turns.unwrap() < 1e-3, "{cell}: {errors:?}");
            let told = cell.arm.view == View::AsIs && cell.arm.network != Network::Linear;
            assert_eq!(done.layers.is_empty(), !told, "{cell}");
            let worst = done.layers.iter().filter_map(|layer| layer.exact).fold(0.0, f64::max);
            assert!(!told || (worst < 1e-3) == exact, "{cell}: {:?}", done.layers);
            let poses = done.poses.unwrap();
            let value = done.value().unwrap();
            assert_eq!(poses.canonical, value, "the test set is no larger than what is posed");
            for other in [poses.random, poses.outside] {
                // Coordinates of size 10 are rounded, and errors are differences of a tenth.
                assert!(!exact || (other / value - 1.0).abs() < 1e-3, "{cell}: {poses:?}");
            }
            // A plain network knows where it is.
            assert!(cell.arm.name != "plain" || (poses.outside / value - 1.0).abs() > 1e-2, "{cell}: {poses:?}");
            let epochs = if cell.arm.is_trained() { plan.recipe.epochs } else { 0 };
            assert_eq!((done.status, done.validation_curve.len()), (CellStatus::Done, epochs));
            let summary = plan.arms.iter().find(|arm| arm.name == cell.arm.name).unwrap();
            assert_eq!(summary.test_flops(), passes(cell.arm.view) as u64 * summary.flops_per_sample);
        }
    }
}

#[test]
fn poses_move_motions_as_their_names_say() {
    let motions = nbody::NBody::new(TASK_SEED).test(3).unwrap();
    let centre = |motion: &Motion| -> [f64; 3] {
        std::array::from_fn(|k| motion.start.positions.iter().map(|x| x[k]).sum::<f64>() / PARTICLES as f64)
    };
    for (motion, turned) in motions.iter().zip(turned(&motions)) {
        assert!(centre(motion).iter().zip(centre(&turned)).all(|(a, b)| (a - b).abs() < 1e-12));
        assert!((motion.start.positions[0][0] - turned.start.positions[0][0]).abs() > 1e-6);
    }
    for (motion, far) in motions.iter().zip(outside(&motions)) {
        let [x, y, z] = centre(motion);
        let distance: f64 = [-x, y, z].iter().zip(centre(&far)).map(|(a, b)| (a - b).powi(2)).sum();
        assert!((distance.sqrt() - FAR).abs() < 1e-9, "{distance}");
    }
}

#[test]
fn a_line_is_fitted_to_the_training_motions() {
    let plan = plan(|request| request.sizes = Some(vec![200]));
    let cell = plan.recipe.cell(Arm::named("linear").unwrap(), 200, 3);
    let motions = nbody::NBody::new(TASK_SEED).training(3, 200).unwrap();
    let test = nbody::NBody::new(TASK_SEED).test(plan.recipe.test_size).unwrap();
    let error = |motions: &[Motion], time: f64| {
        let coordinates = motions.iter().flat_map(|motion| {
            let start = &motion.start;
            let (x, v, y) =
                (start.positions.as_flattened(), start.velocities.as_flattened(), motion.end.as_flattened());
            x.iter().zip(v).zip(y).map(|((x, v), y)| (x + time * v - y).powi(2)).collect::<Vec<_>>()
        });
        coordinates.sum::<f64>() / (15 * motions.len()) as f64
    };
    let best =
        (0..2000).map(|i| f64::from(i) * 1e-3).min_by(|a, b| error(&motions, *a).total_cmp(&error(&motions, *b)));
    let value = run(&plan, &cell).metric.unwrap().value;
    // The grid is a thousandth wide, and the error flat at the minimum of the training motions.
    assert!((value - error(&test, best.unwrap())).abs() < 1e-3 * value, "{value}");
}

#[test]
fn folders_are_for_tasks_with_files() {
    let refused = NBody.open(&plan(|_| {}), Some(Path::new("data")), &Device::flex());
    assert!(refused.err().unwrap().to_string().contains("--data: nbody is simulated"));
}
