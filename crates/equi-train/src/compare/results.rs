//! What a comparison found: the content of `results.json`, schema 1.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize};

use super::stats::Method;
use super::tuning::Tuning;
pub use super::turning::{TurnedAnswer, TurnedSample, Turning};
use super::{Arm, CellPlan, Recipe};
use crate::fit::Score;

/// The version of the layout of `results.json`.
pub const SCHEMA: u32 = 1;

/// Everything one comparison found. Written as `results.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Results {
    /// Layout version, [`SCHEMA`].
    pub schema: u32,
    /// Name of the task, for example `mnist-rot`.
    pub task: String,
    /// What its samples are; images if nothing is said.
    #[serde(default, skip_serializing_if = "Domain::is_images")]
    pub domain: Domain,
    /// What the data are, where they are the user's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<String>,
    /// Name of the preset, for example `quick`.
    pub preset: String,
    /// The device the models ran on, as `--device` names it.
    pub device: String,
    /// Version of Burn.
    pub burn: String,
    /// Version of `equi`, with the commit of the source where it is known.
    pub commit: String,
    /// How the arms were matched: `params`, `flops` or `time`.
    pub matched_by: String,
    /// The command line options that reproduce this run.
    pub command: String,
    /// How every cell was trained and tested.
    pub recipe: Recipe,
    /// The arms, in the order of the table.
    pub arms: Vec<ArmSummary>,
    /// The hyperparameters of every arm, where they were tuned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tuning: Option<Tuning>,
    /// Whether the data show an orientation; not there in results of earlier versions, nor with too few samples.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data_symmetry: Option<DataSymmetry>,
    /// What the three poses of [`Poses`] are; not there in results of earlier versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub poses: Option<[String; 3]>,
    /// The test samples of [`Cell::turning`]; not there in results of earlier versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub turning: Option<Turning>,
    /// One entry per arm, training-set size and seed.
    pub cells: Vec<Cell>,
    /// One entry per arm and training-set size.
    pub summary: Vec<SizeSummary>,
    /// One entry per pair of arms and training-set size; not there in results of earlier versions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub differences: Vec<Difference>,
    /// One entry per arm whose errors could be fitted by a power law; not there in results of earlier versions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub curves: Vec<Curve>,
    /// One paragraph that answers the question, free to say that augmentation wins.
    pub verdict: String,
}

/// What the samples of a task are, and hence what can be transformed exactly.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Domain {
    /// Images on a grid of pixels; the output is invariant.
    #[default]
    Images,
    /// Points in space; the output moves with them.
    Points,
}

impl Domain {
    fn is_images(&self) -> bool {
        *self == Self::Images
    }
}

/// One contestant: a model and the way it is trained.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ArmSummary {
    /// `plain`, `augmented`, `equivariant`, ...
    pub name: String,
    /// The model, in the notation of its display.
    pub model: String,
    /// Parameters that are fitted, counted on the built module.
    pub parameters: usize,
    /// Floating-point operations of one forward pass of one sample, 2 per multiply-add, counted layer by layer.
    pub flops_per_sample: u64,
    /// Those of one answer in tests, if it takes several forward passes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test_flops_per_sample: Option<u64>,
    /// Those of one sample in one training step: a forward pass, and two products for every one of its own in the gradient. Not
    /// there in results of earlier versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub training_flops_per_sample: Option<u64>,
    /// The augmentation of the training samples, or `none`.
    pub augmentation: String,
}

impl ArmSummary {
    /// That of `arm`, whose network is called so, has so many parameters and takes so many operations a pass, of which there are `passes` in tests.
    pub(super) fn new(
        arm: &Arm,
        (model, parameters, flops_per_sample): (String, usize, u64),
        passes: usize,
        augmentation: impl fmt::Display,
    ) -> Self {
        Self {
            name: arm.name.to_string(),
            model,
            parameters,
            flops_per_sample,
            test_flops_per_sample: Some(passes as u64 * flops_per_sample),
            training_flops_per_sample: Some(if arm.is_trained() { 3 * flops_per_sample } else { 0 }),
            augmentation: augmentation.to_string(),
        }
    }
}

/// One trained model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cell {
    /// Name of the arm.
    pub arm: String,
    /// Number of training samples.
    pub train_size: usize,
    /// Seed of the weights, the data order and the augmentation.
    pub seed: u64,
    /// `done`, `diverged` or `panicked`.
    pub status: CellStatus,
    /// Test metric; absent for a lost cell.
    pub metric: Option<Metric>,
    /// Relative equivariance errors of the outputs; absent for a lost cell.
    pub equivariance_error: Option<EquivarianceError>,
    /// The metric in three poses, on the first test samples; absent for a lost cell and in results of earlier versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub poses: Option<Poses>,
    /// The metric on the validation samples after every epoch. A value that is not finite is `null` in the file.
    #[serde(deserialize_with = "null_is_nan_list")]
    pub validation_curve: Vec<f64>,
    /// The score of the epoch whose weights were tested, on the validation samples; not there in results of earlier versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validation: Option<Score>,
    /// The epoch (from 1) whose weights were tested.
    pub best_epoch: usize,
    /// Wall-clock seconds spent training.
    pub train_seconds: f64,
    /// Optimiser steps taken.
    pub steps: usize,
    /// Training throughput.
    pub samples_per_second: f64,
    /// Peak resident memory of the process while it worked on this cell, in MiB, data set and all; `null` where the
    /// operating system does not tell.
    pub peak_rss_mib: Option<f64>,
    /// Layer by layer, after training; none where the network does not say what its layers are.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub layers: Vec<LayerError>,
    /// What the network says of the samples of [`Results::turning`] as they are turned, one entry a sample; only with the most training
    /// samples and seed 0.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub turning: Vec<TurnedAnswer>,
    /// Why the cell has no metric; what the panic said, if it said anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// The metric on the same test samples in three poses.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Poses {
    /// The pose samples have before anything turns them.
    #[serde(deserialize_with = "null_is_nan")]
    pub canonical: f64,
    /// Random within the group.
    #[serde(deserialize_with = "null_is_nan")]
    pub random: f64,
    /// Out of the range of all that training shows.
    #[serde(deserialize_with = "null_is_nan")]
    pub outside: f64,
}

impl Poses {
    /// All three, in the order of [`Results::poses`].
    pub fn values(&self) -> [f64; 3] {
        [self.canonical, self.random, self.outside]
    }
}

/// A two-sample test whether the orientation of the data is uniform: a classifier is trained to tell samples from randomly turned
/// ones, and tried on others. What is uniform cannot be told from itself turned.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DataSymmetry {
    /// What samples are turned by, for example `rotations`.
    pub moves: String,
    /// Samples it was tried on.
    pub samples: usize,
    /// Samples it was right about.
    pub correct: usize,
    /// Their share.
    pub accuracy: f64,
    /// 95 % confidence interval of the accuracy, of Clopper and Pearson.
    pub ci95: [f64; 2],
    /// How likely so many are right by guessing.
    pub p_value: f64,
}

/// How far one layer of a trained network is from commuting with the group, relative to its output in the L2 norm: the largest over elements.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LayerError {
    /// The layer.
    pub layer: String,
    /// Under elements that lose nothing, of the layer alone, on what it is given in the network. For images those that only exchange pixels; `null` if the group has none
    /// of these. For points rotations, reflections, translations and permutations.
    #[serde(with = "optional")]
    pub exact: Option<f64>,
    /// The same, of all layers up to this one.
    #[serde(with = "optional")]
    pub exact_so_far: Option<f64>,
    /// Under the other elements, which need resampling, of the layer alone; `null` if the group has none of these, and for points.
    #[serde(with = "optional")]
    pub interpolated: Option<f64>,
    /// What resampling alone does to what the layer is given, moved there and back; `null` as above.
    #[serde(with = "optional")]
    pub resampling_floor: Option<f64>,
}

/// How the training of a cell ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CellStatus {
    /// Trained and tested.
    Done,
    /// The loss left the finite numbers; recorded, and the other cells go on.
    Diverged,
    /// The network panicked, in training or in its test; recorded, and the other cells go on. In results of earlier versions such a cell has
    /// diverged, with a message that begins with `it panicked`.
    Panicked,
}

impl CellStatus {
    /// Whether there is no network that could be tested, for whatever reason.
    pub fn is_lost(self) -> bool {
        self != Self::Done
    }

    /// Its name, as in `results.json` and `results.csv`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Diverged => "diverged",
            Self::Panicked => "panicked",
        }
    }
}

/// A named value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Metric {
    /// For example `test error %`; lower is better.
    pub name: String,
    /// The value.
    pub value: f64,
}

/// `|f(g.x) - g.f(x)| / |f(x)|` in the L2 norm over the probe batch, the largest over the transformations named. For images, whose
/// classes do not move, `g.f(x)` is `f(x)`; for points, the norm is that of the outputs about their centre.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct EquivarianceError {
    /// Before training, under transformations that lose nothing. For images: quarter turns, and flips if the group has them;
    /// `null` if it has none of these. For points: random rotations, reflections, translations and permutations. `"NaN"` if
    /// the error is not finite.
    #[serde(with = "optional")]
    pub exact_untrained: Option<f64>,
    /// The same after training.
    #[serde(with = "optional")]
    pub exact: Option<f64>,
    /// A rotation of images by 45 degrees, which needs resampling, after training; absent for points.
    #[serde(default, deserialize_with = "null_is_some_nan", skip_serializing_if = "Option::is_none")]
    pub rotation_45: Option<f64>,
    /// What resampling alone does: the images turned by 45 degrees and back, against the images; absent for points.
    #[serde(default, deserialize_with = "null_is_some_nan", skip_serializing_if = "Option::is_none")]
    pub resampling_floor_45: Option<f64>,
    /// Under the smallest turns, after training: the Lie derivative `|d/dt (-t) . f(t . x)| / |f(x)|` at `t = 0`, per radian. Of points about their centre, the root mean
    /// square over all axes; absent for points in results of earlier versions.
    #[serde(default, deserialize_with = "null_is_some_nan", skip_serializing_if = "Option::is_none")]
    pub small_turns: Option<f64>,
}

/// The seeds of one arm and size, together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SizeSummary {
    /// Name of the arm.
    pub arm: String,
    /// Number of training samples.
    pub train_size: usize,
    /// Mean of the metric over the seeds that have one; absent if none has.
    pub mean: Option<f64>,
    /// 95 % confidence interval of the mean; absent with fewer than two seeds.
    pub ci95: Option<[f64; 2]>,
    /// How the interval was found; results of earlier versions do not say: by Student's t distribution.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ci95_method: Option<Method>,
}

/// By how much one arm is above another at one training-set size, over the seeds in which both have a metric.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Difference {
    /// Name of an arm.
    pub first: String,
    /// Name of another one.
    pub second: String,
    /// Number of training samples.
    pub train_size: usize,
    /// Seeds in which both have a metric.
    pub seeds: usize,
    /// Mean over the seeds of the metric of `first` minus that of `second`.
    pub mean: f64,
    /// 95 % confidence interval of the mean; `null` with fewer than two seeds.
    pub ci95: Option<[f64; 2]>,
    /// How the interval was found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ci95_method: Option<Method>,
    /// Of Student's t test, two-sided, adjusted by Holm for all pairs at this size.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p_holm: Option<f64>,
}

/// How the metric of an arm falls with the number `n` of samples.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Curve {
    /// Name of the arm.
    pub arm: String,
    /// `a` of `a n^-b`.
    pub factor: f64,
    /// `b` of `a n^-b`.
    pub exponent: Estimate,
    /// `a n^-b + c`, where there are sizes enough.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub floor: Option<FloorFit>,
}

/// `a n^-b + c`: an error that levels off.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FloorFit {
    /// `a`.
    pub factor: f64,
    /// `b`.
    pub exponent: Estimate,
    /// `c`.
    pub floor: Estimate,
}

/// A fitted number.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// The number.
    pub value: f64,
    /// Its 95 % confidence interval; `null` with fewer than two seeds, or where seeds cannot be left out.
    pub ci95: Option<[f64; 2]>,
    /// How the interval was found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ci95_method: Option<Method>,
}

impl Results {
    /// The training-set sizes, ascending.
    pub fn sizes(&self) -> Vec<usize> {
        let mut sizes: Vec<usize> = self.cells.iter().map(|cell| cell.train_size).collect();
        sizes.sort_unstable();
        sizes.dedup();
        sizes
    }

    /// The seeds, ascending.
    pub fn seeds(&self) -> Vec<u64> {
        let mut seeds: Vec<u64> = self.cells.iter().map(|cell| cell.seed).collect();
        seeds.sort_unstable();
        seeds.dedup();
        seeds
    }

    /// The cells of one arm.
    pub fn of_arm<'a>(&'a self, arm: &'a str) -> impl Iterator<Item = &'a Cell> {
        self.cells.iter().filter(move |cell| cell.arm == arm)
    }

    /// The cells of one arm and size, one per seed.
    pub fn at<'a>(&'a self, arm: &'a str, train_size: usize) -> impl Iterator<Item = &'a Cell> {
        self.of_arm(arm).filter(move |cell| cell.train_size == train_size)
    }

    /// The metric of every cell of one arm and size that has one.
    pub fn values(&self, arm: &str, train_size: usize) -> Vec<f64> {
        self.at(arm, train_size).filter_map(Cell::value).collect()
    }

    /// The name of the metric, from the first cell that has one.
    pub fn metric_name(&self) -> Option<&str> {
        self.cells.iter().find_map(|cell| cell.metric.as_ref()).map(|metric| metric.name.as_str())
    }
}

impl ArmSummary {
    /// Operations of one answer in tests.
    pub fn test_flops(&self) -> u64 {
        self.test_flops_per_sample.unwrap_or(self.flops_per_sample)
    }

    /// Operations of one sample in one training step: as recorded, or three forward passes.
    pub fn training_flops(&self) -> u64 {
        self.training_flops_per_sample.unwrap_or(3 * self.flops_per_sample)
    }
}

impl Cell {
    /// The record of a cell that has not been trained.
    pub(super) fn begun(plan: &CellPlan) -> Self {
        Self {
            arm: plan.arm.name.to_string(),
            train_size: plan.train_size,
            seed: plan.seed,
            status: CellStatus::Done,
            metric: None,
            equivariance_error: None,
            poses: None,
            validation_curve: Vec::new(),
            validation: None,
            best_epoch: 0,
            train_seconds: 0.0,
            steps: 0,
            samples_per_second: 0.0,
            peak_rss_mib: None,
            layers: Vec::new(),
            turning: Vec::new(),
            message: None,
        }
    }

    /// A trained cell with this value.
    #[cfg(test)]
    pub(super) fn of(arm: &str, train_size: usize, seed: u64, value: f64) -> Self {
        let plan = CellPlan::new(super::ARMS[0], train_size, seed, super::Hyperparameters::MATCHED);
        let metric = Some(Metric { name: "test error %".to_string(), value });
        Self { arm: arm.to_string(), metric, ..Self::begun(&plan) }
    }

    /// The value of the metric, if the cell has one and it is finite.
    pub fn value(&self) -> Option<f64> {
        self.metric.as_ref().map(|metric| metric.value).filter(|value| value.is_finite())
    }
}

/// JSON has no NaN or infinity: `serde_json` writes them as `null`, and this reads them back as NaN.
fn null_is_some_nan<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<f64>, D::Error> {
    Ok(Some(Option::deserialize(deserializer)?.unwrap_or(f64::NAN)))
}

fn null_is_nan<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or(f64::NAN))
}

fn null_is_nan_list<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<f64>, D::Error> {
    let values: Vec<Option<f64>> = Deserialize::deserialize(deserializer)?;
    Ok(values.into_iter().map(|value| value.unwrap_or(f64::NAN)).collect())
}

/// A number that there may not be, `null` then; so that a broken one is told from it, that is written as text.
mod optional {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub fn serialize<S: Serializer>(value: &Option<f64>, serializer: S) -> Result<S::Ok, S::Error> {
        match value {
            Some(value) if !value.is_finite() => serializer.serialize_str("NaN"),
            other => other.serialize(serializer),
        }
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<f64>, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Finite(f64),
            Broken(String),
        }
        Ok(Option::deserialize(deserializer)?.map(|written| match written {
            Written::Finite(value) => value,
            Written::Broken(text) => text.parse().unwrap_or(f64::NAN),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_have_the_names_of_the_files_and_all_but_one_are_lost() {
        for (status, name) in
            [(CellStatus::Done, "done"), (CellStatus::Diverged, "diverged"), (CellStatus::Panicked, "panicked")]
        {
            let written = format!("\"{name}\"");
            assert_eq!((serde_json::to_string(&status).unwrap(), status.name()), (written.clone(), name));
            assert_eq!(serde_json::from_str::<CellStatus>(&written).unwrap(), status);
            assert_eq!(status.is_lost(), name != "done");
        }
    }
}
