//! Telling a number of a sample of points, or vectors of its points: the squared error on augmented batches.

use std::cell::OnceCell;
use std::marker::PhantomData;

use burn::Tensor;
use burn::module::Module;
use burn::tensor::Device;
use equi_core::check::points::NamedPointLayer;

use super::{Problem, Score};
use crate::augment::PointAugmentation;
use crate::data::points::{PointBatch, PointSystem, PointTarget, Units};
use crate::data::spatial::Spatial;
use crate::stop::Stop;

/// A model that says something of samples of points.
pub trait PointModel: Module {
    /// # Shapes
    ///
    /// - output: as the targets of the batch: a number of every sample, `[samples, 1]`, or vectors of the points, `[points, 3]`
    fn forward(&self, batch: &PointBatch) -> Tensor<2>;

    /// The network as maps of what points carry, one after the other, on the graph of `batch`, for
    /// [`check::points::layers`](equi_core::check::points::layers): which of them breaks the symmetry? The first takes [`PointBatch::features`], and
    /// [`Stages`](crate::model::stages::Stages) makes them. None where a network does not say.
    fn node_layers<'a>(&'a self, _batch: &'a PointBatch) -> Vec<NamedPointLayer<'a>> {
        Vec::new()
    }
}

/// Samples to train on, samples to validate on, and how the former are varied.
///
/// The loss is the mean squared error of all numbers in the units of the samples, the score the mean length of the error of a row, a number of a sample or a
/// vector of a point, in those of the data.
#[derive(Clone, Debug)]
pub struct PointRegression<'a, M> {
    train: &'a [PointSystem],
    validation: &'a [PointSystem],
    units: &'a Units,
    augmentation: PointAugmentation,
    seed: u64,
    /// The validation set on the device.
    uploaded: OnceCell<Vec<PointBatch>>,
    model: PhantomData<fn() -> M>,
}

impl<'a, M: PointModel> PointRegression<'a, M> {
    /// Training on `train`, in `units`, varied as `augmentation` says.
    pub fn new(
        train: &'a [PointSystem],
        validation: &'a [PointSystem],
        units: &'a Units,
        augmentation: PointAugmentation,
        seed: u64,
    ) -> Self {
        Self { train, validation, units, augmentation, seed, uploaded: OnceCell::new(), model: PhantomData }
    }
}

impl<M: PointModel> Problem for PointRegression<'_, M> {
    type Model = M;

    fn train_len(&self) -> usize {
        self.train.len()
    }

    fn loss(&self, model: &M, samples: &[usize], step: usize, device: &Device) -> Tensor<1> {
        let device = device.clone().without_autodiff();
        let systems = samples.iter().map(|&sample| &self.train[sample]);
        let batch = if self.augmentation.is_none() {
            PointBatch::new(systems, self.units, &device)
        } else {
            // On the host and in f64: a few thousand operations.
            let isometries = self.augmentation.draw(samples.len(), self.seed, step);
            let moved: Vec<PointSystem> = systems.zip(&isometries).map(|(system, g)| system.moved(g)).collect();
            PointBatch::new(&moved, self.units, &device)
        };
        let batch = batch.autodiff();
        (model.forward(&batch) - batch.targets).powi_scalar(2).mean()
    }

    fn validate(&self, model: &M, device: &Device, stop: &Stop) -> Option<Score> {
        let upload = || batches(self.validation).map(|part| PointBatch::new(part, self.units, device)).collect();
        let (mut lengths, mut squared, mut rows, mut count) = (0.0, 0.0, 0, 0);
        for batch in self.uploaded.get_or_init(upload) {
            if stop.is_raised() {
                return None;
            }
            let errors = (model.forward(batch) - batch.targets.clone()).powi_scalar(2).sum_dim(1);
            let [here, width] = batch.targets.dims();
            lengths += errors.clone().sqrt().mean().into_scalar::<f64>() * here as f64;
            squared += errors.mean().into_scalar::<f64>() * here as f64;
            rows += here;
            count += here * width;
        }
        let metric = self.units.deviation() * lengths / rows.max(1) as f64;
        Some(Score { metric, loss: squared / count.max(1) as f64 })
    }
}

/// Samples in a forward pass outside training, at most, and edges, unless one sample has more.
const EVALUATION: (usize, usize) = (200, 200_000);

/// Parts of samples that are passed through a network together.
fn batches(systems: &[PointSystem]) -> impl Iterator<Item = &[PointSystem]> {
    let mut rest = systems;
    std::iter::from_fn(move || {
        let mut edges = 0;
        let fits = |system: &&PointSystem| {
            edges += system.edges.len();
            edges <= EVALUATION.1
        };
        let count = rest.iter().take(EVALUATION.0).take_while(fits).count().max(1).min(rest.len());
        let (part, after) = rest.split_at(count);
        rest = after;
        (!part.is_empty()).then_some(part)
    })
}

/// What `model` says of `systems`, in units of the data, on the host.
pub fn point_answers<M: PointModel>(
    model: &M,
    systems: &[PointSystem],
    units: &Units,
    device: &Device,
) -> Vec<PointTarget> {
    let mut answers = Vec::with_capacity(systems.len());
    for part in batches(systems) {
        let numbers = model.forward(&PointBatch::new(part, units, device));
        let numbers: Vec<f64> = numbers.into_data().iter::<f64>().collect();
        answers.extend(units.answers(part, &numbers));
    }
    answers
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use super::*;
    use crate::data::points::{Neighbourhood, PointSample};

    /// Says of every sample the sum of its features.
    #[derive(Module, Debug)]
    struct Sum {
        unused: burn::module::Param<Tensor<1>>,
    }

    impl PointModel for Sum {
        fn forward(&self, batch: &PointBatch) -> Tensor<2> {
            equi_core::ops::segment_sum(batch.points.features.clone(), batch.graph.members())
        }
    }

    fn systems(count: usize) -> Vec<PointSystem> {
        let one = |at: usize| {
            let points = 1 + at % 3;
            let sample = PointSample {
                positions: (0..points).map(|i| [i as f64, at as f64, 0.0]).collect(),
                velocities: None,
                species: Vec::new(),
                features: Vec::new(),
                target: PointTarget::Scalar(at as f64),
            };
            PointSystem::new(&sample, [0.0; 3], &[], Neighbourhood::All).unwrap()
        };
        (0..count).map(one).collect()
    }

    #[test]
    fn batches_are_weighted_by_their_sizes_and_answers_come_in_order() {
        let device = Device::flex();
        let model = Sum { unused: burn::module::Param::from_tensor(Tensor::zeros([1], &device)) };
        let systems = systems(EVALUATION.0 + 3);
        let units = Units::of(&systems, 0);
        // The number of points, standardised.
        let found = point_answers(&model, &systems, &units, &device);
        let mean = (systems.len() - 1) as f64 / 2.0;
        let expected: Vec<f64> = (0..systems.len()).map(|at| mean + units.deviation() * (1 + at % 3) as f64).collect();
        for (found, expected) in found.iter().zip(&expected) {
            assert!((found.numbers()[0] - expected).abs() < 1e-9 * expected);
        }
        let error =
            expected.iter().enumerate().map(|(at, y)| (y - at as f64).abs()).sum::<f64>() / systems.len() as f64;
        let problem = PointRegression::<Sum>::new(&systems, &systems, &units, PointAugmentation::none(), 0);
        for _ in ["uploaded", "kept"] {
            let score = problem.validate(&model, &device, &Stop::new()).unwrap();
            // Sums of some hundred numbers in f32.
            assert!((score.metric - error).abs() < 1e-5 * error, "{} {error}", score.metric);
        }
        let all: Vec<usize> = (0..systems.len()).collect();
        let loss = problem.loss(&model, &all, 0, &device.clone().autodiff()).into_scalar::<f64>();
        let squared = expected.iter().enumerate().map(|(at, y)| ((y - at as f64) / units.deviation()).powi(2));
        let squared = squared.sum::<f64>() / systems.len() as f64;
        assert!((loss - squared).abs() < 1e-5 * squared, "{loss} {squared}");
        let stop = Stop::new();
        stop.raise();
        assert!(problem.validate(&model, &device, &stop).is_none());
    }

    /// Says of every point where it is.
    #[derive(Module, Debug)]
    struct Here {
        unused: burn::module::Param<Tensor<1>>,
    }

    impl PointModel for Here {
        fn forward(&self, batch: &PointBatch) -> Tensor<2> {
            batch.points.positions.clone()
        }
    }

    #[test]
    fn the_score_of_vectors_is_their_mean_distance() {
        let device = Device::flex();
        let model = Here { unused: burn::module::Param::from_tensor(Tensor::zeros([1], &device)) };
        let vectors = |mut system: PointSystem| {
            system.target = PointTarget::Vectors(system.positions.iter().map(|[x, y, z]| [z - y, *x, 3.0]).collect());
            system
        };
        let systems: Vec<PointSystem> = systems(7).into_iter().map(vectors).collect();
        let units = Units::of(&systems, 0);
        let found = point_answers(&model, &systems, &units, &device);
        let squares: Vec<f64> = found
            .iter()
            .zip(&systems)
            .flat_map(|(found, system)| found.numbers().chunks(3).zip(system.target.numbers().chunks(3)))
            .map(|(a, b)| a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum())
            .collect();
        let mean = |of: fn(f64) -> f64| squares.iter().map(|&square| of(square)).sum::<f64>() / squares.len() as f64;
        let problem = PointRegression::<Here>::new(&systems, &systems, &units, PointAugmentation::none(), 0);
        let score = problem.validate(&model, &device, &Stop::new()).unwrap();
        // Sums of some tens of numbers in f32.
        let (distance, loss) = (mean(f64::sqrt), mean(|square| square) / 3.0 / units.deviation().powi(2));
        assert!((score.metric - distance).abs() < 1e-5 * distance, "{} {distance}", score.metric);
        assert!((score.loss - loss).abs() < 1e-5 * loss, "{} {loss}", score.loss);
    }
}
