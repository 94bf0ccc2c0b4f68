use super::words::words;
use crate::compare::{
    results::{ArmSummary, Cell, EquivarianceError, Results},
    stats::{largest, mean},
};

/// One arm over all its cells: means of what it costs, the largest of its equivariance errors and peaks of memory.
pub(super) struct ArmDigest<'a> {
    pub arm: &'a ArmSummary,
    /// In the order of [`Words::errors`](super::words::Words::errors).
    pub errors: Vec<Option<f64>>,
    pub exact: Option<f64>,
    pub rotation_45: Option<f64>,
    pub resampling_floor_45: Option<f64>,
    pub samples_per_second: Option<f64>,
    pub peak_rss_mib: Option<f64>,
}

impl<'a> ArmDigest<'a> {
    pub fn new(results: &'a Results, arm: &'a ArmSummary) -> Self {
        let done = || results.of_arm(&arm.name).filter(|cell| cell.value().is_some());
        let worst = |pick: fn(&EquivarianceError) -> Option<f64>| {
            done().filter_map(|cell| pick(cell.equivariance_error.as_ref()?)).reduce(largest)
        };
        let speed = |cell: &Cell| Some(cell.samples_per_second).filter(|speed| speed.is_finite() && *speed > 0.0);
        let speeds: Vec<f64> = done().filter_map(speed).collect();
        Self {
            arm,
            errors: words(results.domain).errors.iter().map(|column| worst(column.pick)).collect(),
            exact: worst(|error| error.exact),
            rotation_45: worst(|error| error.rotation_45),
            resampling_floor_45: worst(|error| error.resampling_floor_45),
            samples_per_second: mean(&speeds),
            peak_rss_mib: done().filter_map(|cell| cell.peak_rss_mib).reduce(f64::max),
        }
    }

    /// Of one answer in tests.
    pub fn mega_flops(&self) -> f64 {
        self.arm.test_flops() as f64 / 1e6
    }
}

/// The largest size at which an arm was tested in three poses.
pub(super) fn posed_size(results: &Results) -> Option<usize> {
    results.cells.iter().filter(|cell| cell.poses.is_some()).map(|cell| cell.train_size).max()
}

/// The means over the seeds of the metric of an arm in three poses, over the seeds in which it is finite.
pub(super) fn poses(results: &Results, arm: &str, size: usize) -> [Option<f64>; 3] {
    std::array::from_fn(|which| {
        let values = results.at(arm, size).filter_map(|cell| Some(cell.poses?.values()[which]));
        mean(&values.filter(|value| value.is_finite()).collect::<Vec<_>>())
    })
}

/// Mean training time of an arm at one size.
pub(super) fn train_seconds(results: &Results, arm: &str, size: usize) -> Option<f64> {
    let seconds: Vec<f64> =
        results.at(arm, size).filter(|cell| Cell::value(cell).is_some()).map(|cell| cell.train_seconds).collect();
    mean(&seconds)
}

/// Whether an arm has been trained, and so has a cost worth comparing.
pub(super) fn is_trained(results: &Results, arm: &str) -> bool {
    results.of_arm(arm).any(|cell| cell.steps > 0)
}
