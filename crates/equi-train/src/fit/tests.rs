//! The loop on a small network and a task made up for it.

use std::f32::consts::TAU;

use burn::Tensor;
use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::Device;
use rand::RngExt;

use super::*;
use crate::augment::Augmentation;
use crate::data::Images;
use crate::model::{PlainCnn, PlainCnnConfig};
use crate::seed::{Purpose, stream};
use crate::stop::Stop;

const SIZE: usize = 9;

/// Noisy stripes: horizontal ones are class 0, vertical ones class 1.
fn stripes(count: usize) -> Images {
    let mut rng = stream(1, Purpose::Weights, 0);
    let mut pixels = Vec::new();
    let mut labels = Vec::new();
    for i in 0..count {
        let phase: f32 = rng.random::<f32>() * TAU;
        for row in 0..SIZE {
            for column in 0..SIZE {
                let along = if i % 2 == 0 { row } else { column } as f32;
                pixels.push((along * TAU / 4.0 + phase).sin() + 0.5 * (rng.random::<f32>() - 0.5));
            }
        }
        labels.push((i % 2) as u8);
    }
    Images::new(pixels, labels, SIZE, SIZE).unwrap()
}

fn problem(images: &Images) -> Classification<'_, PlainCnn> {
    Classification::new(images, (0..48).collect(), (48..80).collect(), 3)
        .with_augmentation(Augmentation { max_degrees: 15.0, ..Augmentation::default() })
        .with_label_smoothing(0.05)
}

fn config() -> FitConfig {
    FitConfig { batch_size: 10, steps_per_epoch: 6, clip_norm: Some(1.0), ..FitConfig::new(3, 30) }
}

fn model() -> PlainCnn {
    PlainCnnConfig::new(2, 2).init(3, &Device::flex())
}

fn train(config: &FitConfig, session: &Session) -> Result<Outcome<PlainCnn>, FitError> {
    let images = stripes(80);
    fit(&problem(&images), model(), config, &Device::flex(), session, |_| {})
}

fn trained(outcome: Outcome<PlainCnn>) -> Fitted<PlainCnn> {
    match outcome {
        Outcome::Trained(fitted) => fitted,
        Outcome::Diverged { message, .. } => panic!("{message}"),
    }
}

/// The bits of all weights and running statistics.
fn bits<M: Module>(model: &M) -> Vec<u32> {
    struct Bits(Vec<u32>);
    impl ModuleVisitor for Bits {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            self.0.extend(param.val().into_data().iter::<f32>().map(f32::to_bits));
        }
    }
    let mut bits = Bits(Vec::new());
    model.visit(&mut bits);
    bits.0
}

#[test]
fn learns_to_tell_stripes_apart() {
    let config = FitConfig { steps: 120, steps_per_epoch: 24, ..config() };
    let fitted = trained(train(&config, &Session::default()).unwrap());
    let images = stripes(280);
    let unseen: Vec<usize> = (80..280).collect();
    let device = Device::flex();
    let untrained = error_percent(&model().valid(), &images, &unseen, 64, &device);
    let error = error_percent(&fitted.model, &images, &unseen, 64, &device);
    assert!(untrained > 25.0, "the task is no task: {untrained} % before training");
    assert!(error < 5.0, "{error} % of unseen stripes wrong");
    assert_eq!(fitted.history.len(), 5);
    assert!(fitted.history[4].train_loss < fitted.history[0].train_loss);
}

#[test]
fn two_runs_are_equal_bit_for_bit() {
    let first = trained(train(&config(), &Session::default()).unwrap());
    let second = trained(train(&config(), &Session::default()).unwrap());
    assert_eq!(bits(&first.model), bits(&second.model));
    assert_eq!(first.history, second.history);
    let other = trained(train(&FitConfig { seed: 4, ..config() }, &Session::default()).unwrap());
    assert_ne!(bits(&first.model), bits(&other.model));
}

#[test]
fn interrupted_after_every_epoch_and_resumed_equals_uninterrupted() {
    interrupt_and_resume(&config());
    interrupt_and_resume(&FitConfig { weight_average: Some(0.9), ..config() });
}

fn interrupt_and_resume(config: &FitConfig) {
    let whole = trained(train(config, &Session::default()).unwrap());
    let folder = tempfile::tempdir().unwrap();
    let checkpoints = Checkpoints::new(folder.path().join("cell"));
    let images = stripes(80);
    let mut interruptions = 0;
    let resumed = loop {
        let session = Session { stop: Stop::new(), checkpoints: Some(checkpoints.clone()) };
        let stop = session.stop.clone();
        let outcome = fit(&problem(&images), model(), config, &Device::flex(), &session, |event| {
            if matches!(event, Event::Epoch(_)) {
                stop.raise();
            }
        });
        match outcome {
            Ok(outcome) => break trained(outcome),
            Err(FitError::Interrupted { epoch, folder }) => {
                interruptions += 1;
                assert_eq!(epoch, interruptions);
                assert_eq!(folder.as_deref(), Some(checkpoints.folder()));
            }
            Err(error) => panic!("{error}"),
        }
    };
    // The stop after the last epoch has nothing left to interrupt.
    assert_eq!(interruptions, 4);
    assert_eq!(bits(&whole.model), bits(&resumed.model));
    assert_eq!(whole.history, resumed.history);
    assert_eq!(whole.best_epoch, resumed.best_epoch);
    assert!(resumed.seconds > 0.0);

    checkpoints.remove().unwrap();
    assert!(!checkpoints.folder().exists());
}

#[test]
fn averaged_weights_are_the_moving_average_of_the_steps() {
    // Runs of 1, 2, ... 12 steps end with the weights that the run of 12 steps averages.
    let decay = 0.75_f64;
    let after = |steps, weight_average| {
        let config =
            FitConfig { steps, steps_per_epoch: steps, warmup_steps: 0, schedule: Schedule::Constant, ..config() };
        let fitted = trained(train(&FitConfig { weight_average, ..config }, &Session::default()).unwrap());
        bits(&fitted.model).into_iter().map(f32::from_bits).collect::<Vec<_>>()
    };
    let mut expected: Vec<f32> = {
        let initial = model().valid();
        bits(&initial).into_iter().map(f32::from_bits).collect()
    };
    for steps in 1..=12 {
        let t = (steps - 1) as f64;
        let d = decay.min((1.0 + t) / (10.0 + t)) as f32;
        for (average, weight) in expected.iter_mut().zip(after(steps, None)) {
            *average = d * *average + (1.0 - d) * weight;
        }
    }
    for (average, expected) in after(12, Some(decay)).iter().zip(&expected) {
        assert!((average - expected).abs() < 1e-5, "{average} is not {expected}");
    }
}

#[test]
fn a_stop_within_an_epoch_costs_that_epoch_only() {
    let whole = trained(train(&config(), &Session::default()).unwrap());
    let folder = tempfile::tempdir().unwrap();
    let session = Session { stop: Stop::new(), checkpoints: Some(Checkpoints::new(folder.path())) };
    let stop = session.stop.clone();
    let images = stripes(80);
    let stopped = fit(&problem(&images), model(), &config(), &Device::flex(), &session, |event| {
        if matches!(event, Event::Step { step: 14, .. }) {
            stop.raise();
        }
    });
    assert!(matches!(stopped, Err(FitError::Interrupted { epoch: 2, .. })));
    let session = Session { stop: Stop::new(), ..session };
    let resumed = trained(train(&config(), &session).unwrap());
    assert_eq!(bits(&whole.model), bits(&resumed.model));
    assert_eq!(whole.history, resumed.history);
}

#[test]
fn a_stop_at_the_last_step_of_an_epoch_ends_the_validation() {
    let folder = tempfile::tempdir().unwrap();
    let session = Session { stop: Stop::new(), checkpoints: Some(Checkpoints::new(folder.path())) };
    let images = stripes(80);
    let stopped = fit(&problem(&images), model(), &config(), &Device::flex(), &session, |event| {
        if matches!(event, Event::Step { step: 12, .. }) {
            session.stop.raise();
        }
    });
    assert!(matches!(stopped, Err(FitError::Interrupted { epoch: 1, .. })));
    let positions: Vec<usize> = (0..80).collect();
    let model = model().valid();
    assert_eq!(
        wrong_labels(|pixels| model.forward(pixels), &images, &positions, 10, &Device::flex(), &session.stop),
        None
    );
}

#[test]
fn a_checkpoint_of_other_settings_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let session = Session { checkpoints: Some(Checkpoints::new(folder.path())), ..Session::default() };
    train(&config(), &session).unwrap();
    let error = train(&FitConfig { learning_rate: 1e-4, ..config() }, &session).unwrap_err();
    assert!(matches!(error, FitError::OtherRun { .. }), "{error}");
}

#[test]
fn a_damaged_checkpoint_is_an_error_that_names_it() {
    let folder = tempfile::tempdir().unwrap();
    let session = Session { checkpoints: Some(Checkpoints::new(folder.path())), ..Session::default() };
    train(&config(), &session).unwrap();
    let model = folder.path().join("00005/model.bpk");
    let bytes = std::fs::read(&model).unwrap();
    std::fs::write(&model, &bytes[..bytes.len() / 2]).unwrap();
    let error = train(&config(), &session).unwrap_err().to_string();
    assert!(error.contains("00005") && error.contains("remove the folder"), "{error}");
}

#[test]
fn a_diverging_learning_rate_is_an_outcome() {
    let outcome = train(&FitConfig { learning_rate: 1e30, warmup_steps: 0, ..config() }, &Session::default()).unwrap();
    match outcome {
        Outcome::Diverged { step, message, .. } => {
            assert_eq!(step, 6);
            assert!(message.contains("lower the learning rate"), "{message}");
        }
        Outcome::Trained(_) => panic!("a learning rate of 1e30 trained"),
    }
}

#[test]
fn patience_ends_the_run_and_the_best_epoch_is_kept() {
    // The weights stand still, so the score settles as soon as the running statistics have.
    let config = FitConfig {
        patience: Some(2),
        warmup_steps: 0,
        learning_rate: 1e-30,
        optimizer: Optimizer::Adam,
        steps: 600,
        ..config()
    };
    let fitted = trained(train(&config, &Session::default()).unwrap());
    assert!(fitted.history.len() < 100, "{} epochs", fitted.history.len());
    assert_eq!(fitted.history.len(), fitted.best_epoch + 2);
}

#[test]
fn impossible_settings_are_named() {
    for (config, word) in [
        (FitConfig { batch_size: 0, ..config() }, "batch_size"),
        (FitConfig { steps: 0, ..config() }, "steps"),
        (FitConfig { learning_rate: f64::NAN, ..config() }, "learning_rate"),
        (FitConfig { clip_norm: Some(-1.0), ..config() }, "clip_norm"),
    ] {
        let error = train(&config, &Session::default()).unwrap_err().to_string();
        assert!(error.contains(word), "{error}");
    }
}
