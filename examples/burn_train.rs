//! A steerable network in Burn's own training loop: `cargo run --release --features burn-train --example burn_train`.
//!
//! `equi compare` and `fit` have a loop of their own. Those who want burn-train's `SupervisedTraining` (its dashboard in the terminal, its metrics,
//! its checkpoints, its strategies for several devices) give it our steps. This essay trains a C8-equivariant network on rotated digits, first on one
//! device, then with the samples of every step shared by two workers. Beside loss and accuracy it shows what no accuracy shows: how far the network
//! is from `f(g . x) = f(x)`.
//!
//! `-- --plain` trains a plain network instead, `-- --augment` turns every training digit at random, `-- --smoke` only shows that all of it works. Where the output
//! is no terminal, there is a line an epoch instead of the dashboard.

use std::error::Error;
use std::io::{IsTerminal, stdout};
use std::path::Path;
use std::sync::Arc;

use burn::module::ModuleDisplay;
use burn::tensor::Device;
use equi::core::group::C8;
use equi::train::augment::Augmentation;
use equi::train::data::rotated::{Pose, RotatedMnist, Side};
use equi::train::data::{Images, mnist};
use equi::train::fit::{Classifier, FitConfig, error_percent};
use equi::train::learner::burn_train::metric::{AccuracyMetric, LearningRateMetric, LossMetric};
use equi::train::learner::burn_train::{ExecutionStrategy, MultiDeviceOptim, SupervisedTraining};
use equi::train::learner::{Batches, EquivarianceErrorMetric, ImageSamples, ImageSteps, PlainLog, learner};
use equi::train::model::{PlainCnnConfig, SteerableCnnConfig};

/// What the arguments ask for.
struct Run {
    smoke: bool,
    plain: bool,
    augment: bool,
}

/// Digits to train on, to validate on, and to test on.
struct Data {
    training: Arc<Images>,
    validation: Arc<Images>,
    test: Images,
}

fn main() -> Result<(), Box<dyn Error>> {
    let asked = |name: &str| std::env::args().any(|argument| argument == name);
    let run = Run { smoke: asked("--smoke"), plain: asked("--plain"), augment: asked("--augment") };
    let device = Device::default();

    // 1. The data: digits in random orientations, on the host.
    let digits = RotatedMnist::new(mnist::load(Path::new(mnist::FOLDER))?, 0, Side::Odd);
    let (count, held_out) = if run.smoke { (80, 40) } else { (1000, 500) };
    let data = Data {
        training: Arc::new(digits.training(0, 0..count, Pose::Random)?),
        validation: Arc::new(digits.training(0, count..count + held_out, Pose::Random)?),
        test: digits.test(0..2 * held_out, Pose::Random)?,
    };

    // 2. One device, then two workers. Burn's flex has one device per process; where there are two GPUs, name both:
    //    `vec![Device::cuda(0), Device::cuda(1)]`.
    let both = vec![device.clone(), device.clone()];
    for (label, strategy) in [
        ("one device", ExecutionStrategy::single(device.clone())),
        ("two workers", ExecutionStrategy::multi(both, MultiDeviceOptim::OptimMainDevice)),
    ] {
        let error = if run.plain {
            train(PlainCnnConfig::new(7, 10).init(0, &device), label, strategy, &run, &data, &device)?
        } else {
            train(SteerableCnnConfig::new(C8, 2, 10).init(0, &device)?, label, strategy, &run, &data, &device)?
        };
        println!("{label}: test error {error:.1} %\n");
    }
    Ok(())
}

/// Trains `network` and gives its test error in percent.
fn train<M: Classifier + ModuleDisplay + 'static>(
    network: M,
    label: &str,
    strategy: ExecutionStrategy,
    run: &Run,
    data: &Data,
    device: &Device,
) -> Result<f64, Box<dyn Error>> {
    // 3. How: optimiser, rates, batches and seed are those of this configuration, as in `fit`. The two workers take half of every
    //    batch each, so nothing here depends on how many there are.
    let epochs = if run.smoke { 2 } else { 10 };
    let steps = epochs * if run.smoke { 5 } else { 30 };
    let config = FitConfig {
        learning_rate: 2e-2,
        batch_size: if run.smoke { 16 } else { 32 },
        steps_per_epoch: steps / epochs,
        ..FitConfig::new(0, steps)
    };

    // 4. The loaders. Training digits are varied on the device, in every step anew and yet the same in every run. The validation
    //    measures the error under the quarter turns of C8, which exchange pixels, so nothing but the network can break them.
    let augmentation = if run.augment {
        Augmentation { horizontal_flip: 0.0, vertical_flip: 0.0, ..Augmentation::default() }
    } else {
        Augmentation::none()
    };
    let all = |images: &Arc<Images>| ImageSamples::new(images.clone(), 0..images.len());
    let training = Batches::training(all(&data.training).with_augmentation(augmentation), &config, device)?;
    let validation = Batches::validation(all(&data.validation).with_probe(C8)?, 100, device);

    // 5. Burn's training. It draws a dashboard where there is a terminal, and writes its logs to the folder.
    let folder = Path::new("runs").join("burn-train").join(label.replace(' ', "-"));
    let mut training = SupervisedTraining::<ImageSteps<M>>::new(folder, Arc::new(training), Arc::new(validation))
        .metrics((AccuracyMetric::new(), LossMetric::new()))
        .metric_train_numeric(LearningRateMetric::new())
        .metric_valid_numeric(EquivarianceErrorMetric::new())
        .with_training_strategy(strategy.into())
        .num_epochs(epochs)
        .label(label);
    if run.smoke || !stdout().is_terminal() {
        training = training.renderer(Box::new(PlainLog::new()));
    }
    let result = training.launch(learner(ImageSteps::new(network), &config)?);
    // Closes the dashboard.
    drop(result.renderer);
    if let Some(error) = result.error {
        return Err(error.to_string().into());
    }

    // 6. The network comes back in validation mode.
    let network = result.model.into_network().to_device(device);
    let positions: Vec<usize> = (0..data.test.len()).collect();
    Ok(error_percent(&network, &data.test, &positions, 250, device))
}
