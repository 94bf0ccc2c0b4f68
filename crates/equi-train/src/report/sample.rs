//! Invented results for tests: the right shape, no meaning.

use std::collections::BTreeMap;

use crate::{
    compare::{Growth, Recipe, results::*},
    fit::Schedule,
};

/// Three arms, sizes 100, 400 and 1,600, the seeds 0 to `seeds`; the values of a cell are spread evenly about its mean.
pub(super) fn sample(seeds: u64) -> Results {
    let arms = [
        ("plain", "Conv(1 -> 24, k=7) -> ... -> Linear(96 -> 10)", 98_442, 11_904_512, "none", 3120.0),
        (
            "augmented",
            "Conv(1 -> 24, k=7) -> ... -> Linear(96 -> 10)",
            98_442,
            11_904_512,
            "rotation by up to 180 degrees (p = 1)",
            2890.0,
        ),
        (
            "equivariant",
            "R2Conv(1 x trivial -> 8 x regular[C8], k=7) -> ... -> Linear(32 -> 10)",
            97_850,
            61_300_224,
            "none",
            860.0,
        ),
    ];
    let means = [[62.0, 44.0, 27.0], [38.0, 19.0, 8.4], [21.0, 9.2, 4.6]];
    let mut cells = Vec::new();
    for (a, (arm, .., speed)) in arms.iter().enumerate() {
        for (s, train_size) in [100, 400, 1600].into_iter().enumerate() {
            for seed in 0..seeds {
                let place = seed as f64 - (seeds as f64 - 1.0) / 2.0;
                let value = means[a][s] * (1.0 + 0.04 * place);
                let epochs = 24;
                let curve = (1..=epochs)
                    .map(|epoch| {
                        let settled = 1.0 - (-f64::from(epoch) / 5.0).exp();
                        let ripple = (f64::from(epoch) * 2.1 + seed as f64 * 1.3).sin();
                        90.0 + (value - 90.0) * settled + 0.03 * value * ripple
                    })
                    .collect();
                let steps = train_size / 50 * 24;
                cells.push(Cell {
                    arm: (*arm).into(),
                    train_size,
                    seed,
                    status: CellStatus::Done,
                    metric: Some(Metric { name: "test error %".into(), value }),
                    equivariance_error: Some(EquivarianceError {
                        exact_untrained: Some([0.62, 0.62, 2.1e-7][a] * (1.0 + 0.1 * place)),
                        exact: Some([1.1, 0.40, 4.3e-7][a] * (1.0 + 0.02 * place)),
                        rotation_45: Some([1.2, 0.43, 0.062][a] * (1.0 + 0.1 * place) * [1.2, 1.0, 0.8][s]),
                        resampling_floor_45: Some(0.094),
                        small_turns: Some(0.5),
                    }),
                    validation_curve: curve,
                    validation: None,
                    best_epoch: 20 + seed as usize % 4,
                    train_seconds: (steps * 50) as f64 / speed,
                    steps,
                    samples_per_second: *speed,
                    peak_rss_mib: Some(412.5),
                    poses: None,
                    layers: Vec::new(),
                    turning: Vec::new(),
                    message: None,
                });
            }
        }
    }
    let mut results = Results {
        schema: SCHEMA,
        task: "mnist-rot".into(),
        domain: Domain::Images,
        data: None,
        preset: "quick".into(),
        device: "flex".into(),
        burn: "0.22.1".into(),
        commit: "0.1.0 (1a2b3c4)".into(),
        matched_by: "params".into(),
        command: "equi compare mnist-rot --preset quick --seeds 2 --match params --device flex".into(),
        recipe: Recipe {
            sizes: vec![100, 400, 1600],
            seeds,
            test_size: 2000,
            steps_per_100: 48,
            growth: Growth::SquareRoot,
            epochs: 24,
            batch_size: 50,
            learning_rate: 0.01,
            arm_rates: BTreeMap::new(),
            schedule: Schedule::default(),
            weight_decay: 1e-4,
            clip_norm: None,
            weight_average: None,
            validation_one_in: 5,
            validation_size: 0,
            tuning_trials: 0,
        },
        arms: arms
            .iter()
            .map(|&(name, model, parameters, flops_per_sample, augmentation, _)| ArmSummary {
                name: name.into(),
                model: model.into(),
                parameters,
                flops_per_sample,
                test_flops_per_sample: None,
                training_flops_per_sample: None,
                augmentation: augmentation.into(),
            })
            .collect(),
        tuning: None,
        data_symmetry: None,
        poses: None,
        turning: None,
        cells,
        summary: Vec::new(),
        differences: Vec::new(),
        curves: Vec::new(),
        verdict: String::new(),
    };
    super::conclude(&mut results);
    results
}

/// The same numbers as if they were squared errors of points: a thousandth of the values, errors of points, and a `linear` arm
/// that was not trained.
pub(super) fn points(seeds: u64) -> Results {
    let mut results = sample(seeds);
    results.task = "nbody".into();
    results.domain = Domain::Points;
    results.recipe.arm_rates.insert("equivariant".into(), 5e-4);
    results.recipe.validation_size = 2000;
    for cell in &mut results.cells {
        let metric = cell.metric.as_mut().unwrap();
        *metric = Metric { name: "test MSE".into(), value: metric.value / 1000.0 };
        cell.validation_curve.iter_mut().for_each(|value| *value /= 1000.0);
        let error = cell.equivariance_error.as_mut().unwrap();
        (error.rotation_45, error.resampling_floor_45) = (None, None);
    }
    let plain: Vec<Cell> = results.of_arm("plain").cloned().collect();
    results.cells.extend(plain.into_iter().map(|cell| Cell {
        arm: "linear".into(),
        metric: Some(Metric { name: "test MSE".into(), value: 0.085 }),
        equivariance_error: Some(EquivarianceError {
            exact_untrained: Some(1e-7),
            exact: Some(1e-7),
            rotation_45: None,
            resampling_floor_45: None,
            small_turns: Some(1e-5),
        }),
        validation_curve: Vec::new(),
        best_epoch: 0,
        train_seconds: 0.0,
        steps: 0,
        samples_per_second: 0.0,
        ..cell
    }));
    let linear = ArmSummary {
        name: "linear".into(),
        model: "LinearMotion".into(),
        parameters: 1,
        flops_per_sample: 30,
        test_flops_per_sample: None,
        training_flops_per_sample: Some(0),
        augmentation: "none".into(),
    };
    results.arms.push(linear);
    super::conclude(&mut results);
    results
}

/// Turns a cell into one whose network panicked before its first step.
pub(super) fn crash(cell: &mut Cell) {
    cell.status = CellStatus::Panicked;
    cell.metric = None;
    cell.equivariance_error = None;
    cell.validation_curve.clear();
    (cell.best_epoch, cell.steps) = (0, 0);
    (cell.train_seconds, cell.samples_per_second, cell.peak_rss_mib) = (0.0, 0.0, None);
    cell.message = Some("no such shape".into());
}

/// Turns a cell into one whose loss left the finite numbers.
pub(super) fn diverge(cell: &mut Cell) {
    cell.status = CellStatus::Diverged;
    cell.metric = None;
    cell.equivariance_error = None;
    cell.validation_curve = vec![88.0, 90.1, f64::NAN];
    cell.message = Some("the loss was NaN at step 31".into());
}
