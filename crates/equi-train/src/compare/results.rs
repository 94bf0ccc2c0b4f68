//! What a comparison found: the content of `results.json`, schema 1.

use serde::{Deserialize, Serialize};

/// The version of the layout of `results.json`.
pub const SCHEMA: u32 = 1;

/// Everything one comparison found. Written as `results.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Results {
    /// Layout version, [`SCHEMA`].
    pub schema: u32,
    /// Name of the task, for example `mnist-rot`.
    pub task: String,
    /// Name of the preset, for example `quick`.
    pub preset: String,
    /// The device the models ran on, as `--device` names it.
    pub device: String,
    /// Version of Burn.
    pub burn: String,
    /// Version of `equi`, with the commit of the source where it is known.
    pub commit: String,
    /// How the arms were matched: `params` or `flops`.
    pub matched_by: String,
    /// The command line options that reproduce this run.
    pub command: String,
    /// The arms, in the order of the table.
    pub arms: Vec<ArmSummary>,
    /// One entry per arm, training-set size and seed.
    pub cells: Vec<Cell>,
    /// One entry per arm and training-set size.
    pub summary: Vec<SizeSummary>,
    /// One paragraph that answers the question, free to say that augmentation wins.
    pub verdict: String,
}

/// One contestant: a model and the way it is trained.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ArmSummary {
    /// `plain`, `augmented`, `equivariant`, ...
    pub name: String,
    /// The model, in the notation of its display.
    pub model: String,
    /// Trainable parameters, counted on the built module.
    pub parameters: usize,
    /// Floating-point operations of one forward pass of one sample, 2 per multiply-add, counted layer by layer.
    pub flops_per_sample: u64,
    /// The augmentation of the training images, or `none`.
    pub augmentation: String,
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
    /// `done` or `diverged`.
    pub status: CellStatus,
    /// Test metric; absent for a diverged cell.
    pub metric: Option<Metric>,
    /// Relative equivariance (here: invariance) errors of the logits; absent for a diverged cell.
    pub equivariance_error: Option<EquivarianceError>,
    /// Validation error in percent after every epoch.
    pub validation_curve: Vec<f64>,
    /// The epoch (from 1) whose weights were tested.
    pub best_epoch: usize,
    /// Wall-clock seconds spent training.
    pub train_seconds: f64,
    /// Optimiser steps taken.
    pub steps: usize,
    /// Training throughput.
    pub samples_per_second: f64,
    /// Peak resident memory of the process so far, in MiB.
    pub peak_rss_mib: f64,
    /// Why the cell has no metric.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// How the training of a cell ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CellStatus {
    /// Trained and tested.
    Done,
    /// The loss left the finite numbers; recorded, and the other cells go on.
    Diverged,
}

/// A named value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Metric {
    /// For example `test error %`; lower is better.
    pub name: String,
    /// The value.
    pub value: f64,
}

/// `|f(g.x) - f(x)| / |f(x)|` in the L2 norm over the probe batch, the largest over the group elements named.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct EquivarianceError {
    /// Quarter turns and flips, exact on the pixel grid, before training.
    pub exact_untrained: f64,
    /// Quarter turns and flips, exact on the pixel grid, after training.
    pub exact: f64,
    /// A rotation by 45 degrees, which needs resampling, after training.
    pub rotation_45: f64,
    /// What resampling alone does: the input turned by 45 degrees and back, against the input.
    pub resampling_floor_45: f64,
}

/// The seeds of one arm and size, together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SizeSummary {
    /// Name of the arm.
    pub arm: String,
    /// Number of training samples.
    pub train_size: usize,
    /// Mean of the metric over the seeds that did not diverge; absent when all diverged.
    pub mean: Option<f64>,
    /// 95 % confidence interval of the mean; absent with fewer than two seeds.
    pub ci95: Option<[f64; 2]>,
}
