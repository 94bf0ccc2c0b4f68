//! Telling where particles will be: the squared error of positions, on augmented batches.

use std::cell::OnceCell;
use std::marker::PhantomData;

use burn::Tensor;
use burn::module::Module;
use burn::tensor::Device;
use equi_core::check::points::NamedPointLayer;
use equi_layers::graph::Graph;

use super::{Problem, Score};
use crate::augment::PointAugmentation;
use crate::data::nbody::{Motion, MotionBatch};
use crate::stop::Stop;

/// A model that gives later positions.
pub trait Dynamics: Module {
    /// # Shapes
    ///
    /// - output: `[particles, 3]`, the particles of all systems of the batch
    fn forward(&self, batch: &MotionBatch) -> Tensor<2>;

    /// The network as maps of what particles carry, one after the other, on the graph of `batch`, for
    /// [`check::points::layers`](equi_core::check::points::layers): which of them breaks the symmetry? The first takes [`MotionBatch::features`], and
    /// [`Stages`](crate::model::stages::Stages) makes them. None where a network does not say.
    fn node_layers<'a>(&'a self, _batch: &'a MotionBatch) -> Vec<NamedPointLayer<'a>> {
        Vec::new()
    }
}

/// Motions to train on, motions to validate on, and how the former are varied. All have the same number of particles.
#[derive(Clone, Debug)]
pub struct Prediction<'a, M> {
    train: &'a [Motion],
    validation: &'a [Motion],
    augmentation: PointAugmentation,
    seed: u64,
    /// The graph of a training batch: all have the same.
    graph: OnceCell<Graph>,
    /// The validation set on the device.
    uploaded: OnceCell<Vec<MotionBatch>>,
    model: PhantomData<fn() -> M>,
}

impl<'a, M: Dynamics> Prediction<'a, M> {
    /// Training on `train` without augmentation.
    pub fn new(train: &'a [Motion], validation: &'a [Motion], seed: u64) -> Self {
        Self {
            train,
            validation,
            augmentation: PointAugmentation::none(),
            seed,
            graph: OnceCell::new(),
            uploaded: OnceCell::new(),
            model: PhantomData,
        }
    }

    /// The same with augmented training motions.
    pub fn with_augmentation(mut self, augmentation: PointAugmentation) -> Self {
        self.augmentation = augmentation;
        self
    }

    /// The graph of a batch of `count` training motions.
    fn graph(&self, count: usize, device: &Device) -> Graph {
        let new = || MotionBatch::graph(count, particles(self.train), device);
        let kept = self.graph.get_or_init(new);
        if kept.graphs() == count { kept.clone() } else { new() }
    }
}

impl<M: Dynamics> Problem for Prediction<'_, M> {
    type Model = M;

    fn train_len(&self) -> usize {
        self.train.len()
    }

    fn loss(&self, model: &M, samples: &[usize], step: usize, device: &Device) -> Tensor<1> {
        let device = device.clone().without_autodiff();
        let graph = self.graph(samples.len(), &device);
        let motions = samples.iter().map(|&sample| &self.train[sample]);
        let batch = if self.augmentation.is_none() {
            MotionBatch::new(motions, &graph, &device)
        } else {
            // On the host and in f64: a few thousand operations.
            let isometries = self.augmentation.draw(samples.len(), self.seed, step);
            let moved: Vec<Motion> = motions.zip(&isometries).map(|(motion, g)| motion.moved(g)).collect();
            MotionBatch::new(&moved, &graph, &device)
        };
        let batch = batch.autodiff();
        (model.forward(&batch) - batch.targets).powi_scalar(2).mean()
    }

    fn validate(&self, model: &M, device: &Device, stop: &Stop) -> Option<Score> {
        let batches = self.uploaded.get_or_init(|| upload(self.validation, device).collect());
        let error = mean_of_batches(model, batches.iter().cloned(), stop)?;
        Some(Score { metric: error, loss: error })
    }
}

/// Motions in a forward pass outside training.
const EVALUATION_BATCH: usize = 200;

/// The mean over all coordinates of the squared errors of the positions that `model` gives for `motions`; none if `stop` was
/// raised before the last batch.
pub fn mean_squared_error<M: Dynamics>(model: &M, motions: &[Motion], device: &Device, stop: &Stop) -> Option<f64> {
    mean_of_batches(model, upload(motions, device), stop)
}

/// The positions that `model` gives for `motions`, motion by motion, on the host.
pub fn positions<M: Dynamics>(model: &M, motions: &[Motion], device: &Device) -> Vec<Vec<[f64; 3]>> {
    let mut found = Vec::with_capacity(motions.len());
    for batch in upload(motions, device) {
        let values: Vec<f64> = model.forward(&batch).into_data().iter::<f64>().collect();
        let rows: Vec<[f64; 3]> = values.chunks_exact(3).map(|row| [row[0], row[1], row[2]]).collect();
        found.extend(rows.chunks(particles(motions).max(1)).map(<[_]>::to_vec));
    }
    found
}

/// The mean squared error over batches, weighted by their sizes.
fn mean_of_batches<M: Dynamics>(model: &M, batches: impl Iterator<Item = MotionBatch>, stop: &Stop) -> Option<f64> {
    let (mut sum, mut coordinates) = (0.0, 0);
    for batch in batches {
        if stop.is_raised() {
            return None;
        }
        let count = batch.targets.dims().iter().product::<usize>();
        let errors = model.forward(&batch) - batch.targets;
        sum += errors.powi_scalar(2).mean().into_scalar::<f64>() * count as f64;
        coordinates += count;
    }
    Some(sum / coordinates.max(1) as f64)
}

/// Batches of motions, all but the last with one graph.
fn upload<'a>(motions: &'a [Motion], device: &'a Device) -> impl Iterator<Item = MotionBatch> + 'a {
    let mut graph: Option<Graph> = None;
    motions.chunks(EVALUATION_BATCH).map(move |chunk| {
        let kept = graph.take().filter(|graph| graph.graphs() == chunk.len());
        let kept = kept.unwrap_or_else(|| MotionBatch::graph(chunk.len(), particles(chunk), device));
        MotionBatch::new(chunk, graph.insert(kept), device)
    })
}

fn particles(motions: &[Motion]) -> usize {
    motions.first().map_or(0, |motion| motion.start.charges.len())
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use super::*;
    use crate::data::nbody::NBody;
    use equi_layers::graph::{EgnnConfig, RawGnnConfig};

    fn device() -> Device {
        Device::flex()
    }

    fn loss<M: Dynamics>(model: M, motions: &[Motion], augmentation: PointAugmentation, step: usize) -> f64 {
        let problem = Prediction::new(motions, &[], 3).with_augmentation(augmentation);
        let samples: Vec<usize> = (0..motions.len()).collect();
        problem.loss(&model.valid().train(), &samples, step, &device().autodiff()).into_scalar()
    }

    #[test]
    fn augmentation_moves_what_is_shown_and_what_is_asked_for_alike() {
        let motions = NBody::new(0).training(0, 30).unwrap();
        let all = PointAugmentation::default();
        let egnn = EgnnConfig::new(1, 8).with_velocity().with_edge_features(2).with_seed(1).init(&device()).unwrap();
        let still = mean_squared_error(&egnn, &motions, &device(), &Stop::new()).unwrap();
        // An equivariant network has the same loss wherever its samples are, up to rounding in f32.
        for step in 0..3 {
            assert!((loss(egnn.clone(), &motions, all, step) - still).abs() < 1e-5 * still);
        }
        assert!((loss(egnn, &motions, PointAugmentation::none(), 0) - still).abs() < 1e-5 * still);
        let raw = RawGnnConfig::new(1, 8).with_edge_features(2).with_seed(1).init(&device()).unwrap();
        let (first, second) = (loss(raw.clone(), &motions, all, 0), loss(raw.clone(), &motions, all, 1));
        assert!((first - second).abs() > 1e-3 * first, "{first} {second}");
        assert_eq!(first, loss(raw, &motions, all, 0));
    }

    #[test]
    fn batches_are_weighted_by_their_sizes() {
        // One full batch and a small one, and each motion by itself.
        let motions = NBody::new(0).training(0, EVALUATION_BATCH + 7).unwrap();
        let raw = RawGnnConfig::new(1, 8).with_edge_features(2).with_seed(1).init(&device()).unwrap();
        let together = mean_squared_error(&raw, &motions, &device(), &Stop::new()).unwrap();
        let found = positions(&raw, &motions, &device());
        let errors = motions.iter().zip(&found).flat_map(|(motion, found)| {
            motion.end.as_flattened().iter().zip(found.as_flattened()).map(|(a, b)| (a - b).powi(2))
        });
        let alone = errors.sum::<f64>() / (15 * motions.len()) as f64;
        assert!((together - alone).abs() < 1e-5 * alone, "{together} {alone}");
        let problem = Prediction::new(&motions, &motions, 0);
        for _ in ["uploaded", "kept"] {
            let score = problem.validate(&raw, &device(), &Stop::new()).unwrap();
            assert_eq!((score.metric, score.loss), (together, together));
        }
        let stop = Stop::new();
        stop.raise();
        assert!(mean_squared_error(&raw, &motions, &device(), &stop).is_none());
        assert!(problem.validate(&raw, &device(), &stop).is_none());
    }
}
