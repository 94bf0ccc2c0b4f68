//! The steps for burn-train against the loop of this crate, and burn-train around them.

#![cfg(all(feature = "flex", feature = "burn-train"))]

use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};

use burn::Tensor;
use burn::data::dataloader::DataLoader;
use burn::module::{Module, ModuleVisitor, Param};
use burn::optim::SgdConfig;
use burn::tensor::distributed::{DistributedConfig, ReduceOperation};
use burn::tensor::{Device, TensorData};
use burn_train::metric::{Adaptor, LearningRateMetric, LossInput, LossMetric, Metric, MetricMetadata, Numeric};
use burn_train::{
    ExecutionStrategy, InferenceStep, Learner, LearnerModel, LearningResult, MultiDeviceOptim, SupervisedTraining,
    TrainStep,
};
use equi_core::group::{C4, Group};
use equi_layers::graph::{EgnnConfig, RawGnnConfig};
use rand::RngExt;

use equi_train::augment::{Augmentation, PointAugmentation};
use equi_train::compare::probe;
use equi_train::data::Images;
use equi_train::data::nbody::NBody;
use equi_train::fit::{
    Classification, Classifier, FitConfig, Outcome, Prediction, Problem, Schedule, Session, batch_indices, fit,
    mean_squared_error, positions,
};
use equi_train::learner::{
    Batches, EquivarianceErrorInput, EquivarianceErrorMetric, ImageInput, ImageSamples, ImageSteps, MotionSamples,
    MotionSteps, PlainLog, Samples, Step, learner,
};
use equi_train::model::{PlainCnn, PlainCnnConfig};
use equi_train::seed::{Purpose, stream};
use equi_train::stop::Stop;

const SIZE: usize = 9;

/// Noise with a bright half: the upper one is class 0, the lower one class 1.
fn halves(count: usize) -> Images {
    let mut random = stream(5, Purpose::Weights, 0);
    let mut pixels = Vec::new();
    for image in 0..count {
        for row in 0..SIZE {
            let bright = if (row < SIZE / 2) == (image % 2 == 0) { 1.0 } else { 0.0 };
            pixels.extend((0..SIZE).map(|_| bright + 0.5 * random.random::<f32>()));
        }
    }
    Images::new(pixels, (0..count).map(|image| (image % 2) as u8).collect(), SIZE, SIZE).unwrap()
}

fn device() -> Device {
    Device::flex()
}

/// Turns that a network can learn, flips that it cannot mistake.
fn turns() -> Augmentation {
    Augmentation { max_degrees: 15.0, vertical_flip: 0.0, ..Augmentation::default() }
}

fn config() -> FitConfig {
    FitConfig { batch_size: 10, steps_per_epoch: 6, clip_norm: Some(1.0), ..FitConfig::new(3, 24) }
}

fn cnn() -> PlainCnn {
    PlainCnnConfig::new(2, 2).init(3, &device())
}

/// No batch norm: the gradient of a batch is the mean of the gradients of its parts.
#[derive(Module, Debug)]
struct Perceptron {
    /// `[pixels, classes]`
    weight: Param<Tensor<2>>,
}

impl Classifier for Perceptron {
    fn forward(&self, images: Tensor<4>) -> Tensor<2> {
        images.flatten::<2>(1, 3).matmul(self.weight.val())
    }
}

fn perceptron() -> Perceptron {
    let mut random = stream(1, Purpose::Weights, 0);
    let weights: Vec<f32> = (0..2 * SIZE * SIZE).map(|_| 0.1 * random.random::<f32>()).collect();
    let weight = Tensor::from_data(TensorData::new(weights, [SIZE * SIZE, 2]), &device());
    Perceptron { weight: Param::from_tensor(weight) }
}

/// All weights and running statistics.
fn weights<M: Module>(model: &M) -> Vec<f32> {
    struct Weights(Vec<f32>);
    impl ModuleVisitor for Weights {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            self.0.extend(param.val().into_data().iter::<f32>());
        }
    }
    let mut weights = Weights(Vec::new());
    model.visit(&mut weights);
    weights.0
}

fn scalar(loss: Tensor<1>) -> f32 {
    loss.into_scalar()
}

/// What a training prints.
#[derive(Clone, Default)]
struct Printed(Arc<Mutex<Vec<u8>>>);

impl Write for Printed {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Printed {
    fn lines(&self) -> Vec<String> {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap().lines().map(String::from).collect()
    }
}

/// Trains with burn-train, for as many epochs as `epochs` says.
fn train<M, S: Samples>(
    batches: Batches<S>,
    validation: Batches<S>,
    learner: Learner<M>,
    strategy: ExecutionStrategy,
    epochs: usize,
) -> (LearningResult<M>, Vec<String>)
where
    M: LearnerModel + TrainStep<Input = S::Input> + InferenceStep<Input = S::Input>,
    <M as TrainStep>::Output: Adaptor<LossInput> + Adaptor<()>,
    <M as InferenceStep>::Output: Adaptor<LossInput> + Adaptor<EquivarianceErrorInput>,
{
    let (folder, printed) = (tempfile::tempdir().unwrap(), Printed::default());
    let result = SupervisedTraining::<M>::new(folder.path(), Arc::new(batches), Arc::new(validation))
        .metrics((LossMetric::new(),))
        .metric_train_numeric(LearningRateMetric::new())
        .metric_valid_numeric(EquivarianceErrorMetric::new())
        .with_training_strategy(strategy.into())
        .with_application_logger(None)
        .renderer(Box::new(PlainLog::to(printed.clone())))
        .num_epochs(epochs)
        .launch(learner);
    assert!(result.error.is_none(), "{:?}", result.error);
    (result, printed.lines())
}

#[test]
fn steps_on_images_have_the_loss_of_fit() {
    let images = halves(60);
    let problem = Classification::new(&images, (20..60).collect(), Vec::new(), 3)
        .with_augmentation(turns())
        .with_label_smoothing(0.05);
    let samples = ImageSamples::new(images.clone(), 20..60).with_augmentation(turns()).with_label_smoothing(0.05);
    let steps = ImageSteps::new(cnn()).valid().train();
    let mut losses = Vec::new();
    for step in [0, 7, 7] {
        let chosen = batch_indices(3, step, 10, 40);
        let input = samples.training(&chosen, Step { seed: 3, step, share: 1.0 }, &device());
        let output = TrainStep::step(&steps, input).item.classification;
        let expected = problem.loss(&cnn().valid().train(), &chosen, step, &device().autodiff());
        losses.push(scalar(output.loss));
        assert_eq!(losses[losses.len() - 1], scalar(expected));
        assert_eq!(output.output.dims(), [10, 2]);
    }
    // Augmentation is a function of the step.
    assert_eq!(losses[1], losses[2]);
    assert_ne!(losses[0], losses[1]);
}

#[test]
fn steps_on_motions_have_the_loss_of_fit() {
    let motions = NBody::new(0).training(0, 12).unwrap();
    let raw = RawGnnConfig::new(1, 8).with_edge_features(2).with_seed(1).init(&device()).unwrap();
    let all = PointAugmentation::default();
    let problem = Prediction::new(&motions, &motions, 4).with_augmentation(all);
    let samples = MotionSamples::new(motions.clone()).with_augmentation(all);
    let steps = MotionSteps::new(raw.clone()).valid().train();
    let losses: Vec<f32> = [0, 5, 5]
        .into_iter()
        .map(|step| {
            let chosen = batch_indices(4, step, 6, 12);
            let input = samples.training(&chosen, Step { seed: 4, step, share: 1.0 }, &device());
            let loss = scalar(TrainStep::step(&steps, input).item.regression.loss);
            let expected = problem.loss(&raw.clone().valid().train(), &chosen, step, &device().autodiff());
            assert_eq!(loss, scalar(expected));
            loss
        })
        .collect();
    assert_eq!(losses[1], losses[2]);
    assert_ne!(losses[0], losses[1]);
    // Validation: the mean of the losses of all particles.
    let output = InferenceStep::step(&steps.valid(), samples.validation(0..12, false, &device()));
    let expected = mean_squared_error(&raw, &motions, &device(), &Stop::new()).unwrap();
    let found = f64::from(scalar(output.regression.loss.mean()));
    // Sums of 60 numbers in f32, in another order.
    assert!((found - expected).abs() < 1e-5 * expected, "{found} {expected}");
    assert_eq!(output.equivariance.error, None);
}

/// The labels and steps of an epoch.
fn epoch(loader: &dyn DataLoader<ImageInput>) -> Vec<(Vec<i64>, usize)> {
    loader
        .iter()
        .map(|input| {
            let input = input.unwrap();
            (input.labels.try_to_vec_as::<i64>().unwrap(), input.step.step)
        })
        .collect()
}

#[test]
fn batches_come_in_the_order_of_fit_and_go_on_after_an_epoch() {
    // Labels tell the samples apart.
    let images = Images::new(vec![0.0; 23], (0..23).collect(), 1, 1).unwrap();
    let config = FitConfig { batch_size: 5, steps_per_epoch: 3, ..FitConfig::new(8, 9) };
    let batches = || Batches::training(ImageSamples::new(images.clone(), 0..23), &config, &device()).unwrap();
    let expected = |epoch: usize| -> Vec<(Vec<i64>, usize)> {
        let steps = 3 * epoch..3 * epoch + 3;
        let labels = |step| batch_indices(8, step, 5, 23).into_iter().map(|sample| sample as i64).collect();
        steps.map(|step| (labels(step), step)).collect()
    };
    let loader = batches();
    assert_eq!((epoch(&loader), epoch(&loader)), (expected(0), expected(1)));
    assert_eq!(epoch(&batches().after(2)), expected(2));
    assert_eq!(loader.num_items(), 15);
    let validation = Batches::validation(ImageSamples::new(images, 0..23), 10, &device());
    let sizes: Vec<usize> = epoch(&validation).into_iter().map(|(labels, _)| labels.len()).collect();
    assert_eq!((sizes, validation.num_items()), (vec![10, 10, 3], 23));
}

#[test]
fn the_parts_of_a_loader_share_the_samples_of_a_step() {
    let images = halves(41);
    let samples = ImageSamples::new(images, 0..41).with_augmentation(turns());
    let batches = Batches::training(samples, &config(), &device()).unwrap();
    let items = batches.num_items();
    let parts = [batches.slice(0, items / 2), batches.slice(items / 2, items)];
    let inputs = parts.each_ref().map(|part| part.iter().map(Result::unwrap).collect::<Vec<_>>());
    let [first, second] = &inputs;
    assert_eq!((first.len(), second.len()), (6, 6));
    for (a, b) in first.iter().zip(second) {
        assert_eq!((a.labels.dims(), b.labels.dims()), ([5], [5]));
        assert_eq!((a.step.step, a.step.share, b.step.share), (b.step.step, 0.5, 0.5));
        // Seeds of their own, or both would turn their images alike.
        assert_ne!(a.step.seed, b.step.seed);
    }

    // The sum of the gradients of the parts is the gradient of the mean loss of both.
    let steps = ImageSteps::new(perceptron()).valid().train();
    let id = |steps: &ImageSteps<Perceptron>| steps.clone().into_network().weight.id;
    let still = |input: &ImageInput, share| ImageInput {
        augmentation: Augmentation::none(),
        step: Step { share, ..input.step },
        ..input.clone()
    };
    let gradient = |input| TrainStep::step(&steps, input).grads.get::<2>(id(&steps)).unwrap();
    let sum = gradient(still(&first[0], 0.5)) + gradient(still(&second[0], 0.5));
    let (a, b) = (&first[0], &second[0]);
    let both = ImageInput {
        images: Tensor::cat(vec![a.images.clone(), b.images.clone()], 0),
        labels: Tensor::cat(vec![a.labels.clone(), b.labels.clone()], 0),
        ..still(a, 1.0)
    };
    let whole = gradient(both);
    let difference: f32 = (sum - whole.clone()).abs().max().into_scalar();
    // Rounding of ten terms in f32.
    assert!(difference < 1e-6 * whole.abs().max().into_scalar::<f32>().max(1.0), "{difference}");
}

#[test]
fn one_device_gives_the_weights_of_fit_bit_for_bit() {
    let images = halves(80);
    let config = FitConfig { steps_per_epoch: 12, schedule: Schedule::Cosine { floor: 0.1 }, ..config() };
    let config = FitConfig { steps: 12, ..config };
    let problem = Classification::new(&images, (0..48).collect(), (48..80).collect(), 3).with_augmentation(turns());
    let Outcome::Trained(expected) = fit(&problem, cnn(), &config, &device(), &Session::default(), |_| {}).unwrap()
    else {
        panic!("diverged")
    };
    let samples = ImageSamples::new(images.clone(), 0..48).with_augmentation(turns());
    let batches = Batches::training(samples, &config, &device()).unwrap();
    let validation = Batches::validation(ImageSamples::new(images, 48..80), 32, &device());
    let learner = learner(ImageSteps::new(cnn()), &config).unwrap();
    let (result, _) = train(batches, validation, learner, ExecutionStrategy::single(device()), 1);
    assert_eq!(weights(&result.model.into_network()), weights(&expected.model));
}

#[test]
fn a_training_learns_and_shows_the_error_of_the_probe() {
    let images = halves(112);
    let config = FitConfig { learning_rate: 2e-2, ..config() };
    let validation =
        || Batches::validation(ImageSamples::new(images.clone(), 80..112).with_probe(C4).unwrap(), 20, &device());
    let loss_of = |steps: &ImageSteps<PlainCnn>| {
        let loader = validation();
        let losses = loader.iter().map(|input| InferenceStep::step(steps, input.unwrap()).classification.loss);
        scalar(Tensor::cat(losses.collect(), 0).mean())
    };
    let untrained = loss_of(&ImageSteps::new(cnn()).valid());
    for strategy in [
        ExecutionStrategy::single(device()),
        ExecutionStrategy::multi(vec![device(), device()], MultiDeviceOptim::OptimMainDevice),
        ExecutionStrategy::multi(vec![device(), device()], MultiDeviceOptim::OptimSharded),
    ] {
        let samples = ImageSamples::new(images.clone(), 0..80).with_augmentation(turns());
        let batches = Batches::training(samples, &config, &device()).unwrap();
        let learner = learner(ImageSteps::new(cnn()), &config).unwrap();
        let (result, lines) = train(batches, validation(), learner, strategy, 4);
        let trained = loss_of(&result.model);
        assert!(trained.is_finite() && trained < 0.9 * untrained, "{trained} after {untrained}");
        assert_eq!(lines.len(), 4, "{lines:?}");
        let first: Vec<usize> = (80..100).collect();
        let network = result.model.into_network();
        let (shown, _) = images.batch(&first, &device());
        let error = probe::image::exact_error(|x| network.forward(x), C4, &shown).unwrap();
        assert!(error > 1e-3, "a plain network is not invariant");
        assert!(lines[3].ends_with(&format!(", Equivariance Error {error:.2e}")), "{error:.2e}: {lines:?}");
        assert!(lines[3].starts_with("epoch 4 of 4 | train: Loss "), "{lines:?}");
    }
}

#[test]
fn two_workers_take_the_steps_of_one() {
    // All images alike, so that it does not matter who sees which; gradient descent, which sees the size of a gradient.
    let one = halves(1);
    let images = Images::new(one.image(0).repeat(40), vec![1; 40], SIZE, SIZE).unwrap();
    let run = |strategy| {
        let batches = Batches::training(ImageSamples::new(images.clone(), 0..40), &config(), &device()).unwrap();
        let validation = Batches::validation(ImageSamples::new(images.clone(), 0..1), 1, &device());
        let learner = Learner::new(ImageSteps::new(perceptron()).valid().train(), SgdConfig::new().init(), 0.01);
        let (result, _) = train(batches, validation, learner, strategy, 2);
        weights(&result.model)
    };
    let alone = run(ExecutionStrategy::single(device()));
    let before = weights(&perceptron());
    let distance = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    let moved = distance(&alone, &before);
    for optim in [MultiDeviceOptim::OptimMainDevice, MultiDeviceOptim::OptimSharded] {
        let together = run(ExecutionStrategy::multi(vec![device(), device()], optim));
        // Rounding in f32 over twelve steps; a gradient of another size would move the weights by another half at least.
        assert!(distance(&together, &alone) < 1e-4 * moved, "{} of {moved}", distance(&together, &alone));
    }
}

#[test]
fn motions_train_and_show_the_error_of_the_probe() {
    let motions = NBody::new(0).training(0, 40).unwrap();
    let held_out = NBody::new(0).validation(12).unwrap();
    let egnn = EgnnConfig::new(1, 8).with_velocity().with_edge_features(2).with_seed(1).init(&device()).unwrap();
    let untrained = mean_squared_error(&egnn, &held_out, &device(), &Stop::new()).unwrap();
    let config = FitConfig { batch_size: 10, steps_per_epoch: 15, learning_rate: 2e-3, ..FitConfig::new(1, 30) };
    let samples = MotionSamples::new(motions).with_augmentation(PointAugmentation::default());
    let batches = Batches::training(samples, &config, &device()).unwrap();
    let validation = Batches::validation(MotionSamples::new(held_out.clone()).with_probe(), 12, &device());
    let learner = learner(MotionSteps::new(egnn), &config).unwrap();
    let (result, lines) = train(batches, validation, learner, ExecutionStrategy::single(device()), 2);
    let network = result.model.into_network();
    let trained = mean_squared_error(&network, &held_out, &device(), &Stop::new()).unwrap();
    assert!(trained < untrained, "{trained} after {untrained}");
    let error = probe::motion::exact_error(|motions| positions(&network, motions, &device()), &held_out).unwrap();
    assert!(error < 1e-4, "an EGNN is equivariant: {error}");
    assert!(lines[1].ends_with(&format!(", Equivariance Error {error:.2e}")), "{error:.2e}: {lines:?}");
}

#[test]
fn the_metric_is_the_largest_error_of_an_epoch_and_nan_is_larger_than_all() {
    let progress = burn::data::dataloader::Progress::new(1, 1, None);
    let metadata = MetricMetadata { progress, iteration: None, lr: None };
    let mut metric = EquivarianceErrorMetric::new();
    let see = |metric: &mut EquivarianceErrorMetric, error| {
        metric.update(&EquivarianceErrorInput { error }, &metadata).unwrap()
    };
    assert!(see(&mut metric, None).is_not_available() && metric.running_value().is_none());
    see(&mut metric, Some(2e-3));
    let entry = see(&mut metric, Some(1e-3));
    assert_eq!((entry.formatted.as_str(), entry.serialized.as_str()), ("epoch 2.00e-3 - batch 1.00e-3", "0.002"));
    see(&mut metric, None);
    assert_eq!((metric.largest(), metric.final_value().current()), (Some(2e-3), 2e-3));
    see(&mut metric, Some(f64::NAN));
    see(&mut metric, Some(1.0));
    assert!(metric.largest().unwrap().is_nan() && metric.final_value().current().is_nan());
    metric.clear();
    assert_eq!(metric.largest(), None);
}

#[test]
fn what_burn_train_does_not_do_is_refused() {
    let message = |config: FitConfig| match learner(ImageSteps::new(cnn()), &config) {
        Ok(_) => panic!("accepted"),
        Err(error) => error.to_string(),
    };
    assert!(message(FitConfig { weight_average: Some(0.9), ..config() }).contains("does not average weights"));
    assert!(message(FitConfig { patience: Some(2), ..config() }).contains("early_stopping"));
    let samples = ImageSamples::new(halves(2), 0..2);
    assert!(
        samples
            .clone()
            .with_probe(Group::Cyclic(3))
            .unwrap_err()
            .to_string()
            .starts_with("C3 has neither a quarter turn")
    );
    let none = Batches::training(ImageSamples::new(halves(2), 0..0), &config(), &device());
    assert!(none.err().unwrap().to_string().contains("the number of training samples is 0"));
}

/// If this fails, Burn has learned to, and the documentation of this module must say so.
#[test]
fn distributed_data_parallel_is_not_there_on_flex() {
    let config = DistributedConfig { all_reduce_op: ReduceOperation::Sum };
    let started = catch_unwind(AssertUnwindSafe(|| ExecutionStrategy::ddp(vec![device(), device()], config)));
    let panic = started.err().expect("Burn refuses");
    let message = panic.downcast_ref::<String>().cloned().unwrap_or_default();
    assert_eq!(message, "Distributed operations are not supported for device Flex(Cpu)");
}

/// Really two devices: lavapipe twice, or flex and a GPU backend. Batch norm has its running statistics where the last worker left them.
#[cfg(feature = "wgpu")]
#[test]
fn two_devices_train_together() {
    use burn::tensor::DeviceKind;

    let images = halves(112);
    let wgpu = || Device::wgpu(DeviceKind::DefaultDevice);
    for devices in [vec![wgpu(), Device::wgpu(DeviceKind::Cpu)], vec![device(), wgpu()]] {
        let main = devices[0].clone();
        assert_ne!(devices[0], devices[1]);
        let batches = Batches::training(ImageSamples::new(images.clone(), 0..80), &config(), &main).unwrap();
        let validation = ImageSamples::new(images.clone(), 80..112).with_probe(C4).unwrap();
        let validation = Batches::validation(validation, 32, &main);
        let network = PlainCnnConfig::new(2, 2).init(3, &main);
        let learner = learner(ImageSteps::new(network), &config()).unwrap();
        let strategy = ExecutionStrategy::multi(devices, MultiDeviceOptim::OptimMainDevice);
        let (result, lines) = train(batches, validation, learner, strategy, 4);
        let loss = |line: &str| -> f64 {
            let value = line.split("train: Loss ").nth(1).and_then(|rest| rest.split([',', ' ']).next());
            value.unwrap().parse().unwrap()
        };
        assert!(loss(&lines[3]) < 0.8 * loss(&lines[0]), "{lines:?}");
        let network = result.model.into_network().to_device(&main);
        assert!(weights(&network).iter().all(|weight| weight.is_finite()));
    }
}
