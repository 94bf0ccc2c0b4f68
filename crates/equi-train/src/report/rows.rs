//! `results.csv`: one row a cell, for spreadsheets and data frames.

use csv::Writer;

use super::ReportError;
use crate::compare::{
    results::{EquivarianceError, Results},
    stats::Method,
};

const COLUMNS: [&str; 29] = [
    "task",
    "preset",
    "device",
    "arm",
    "parameters",
    "flops_per_sample",
    "test_flops_per_sample",
    "training_flops_per_sample",
    "train_size",
    "seed",
    "status",
    "metric",
    "value",
    "exact_untrained",
    "exact",
    "rotation_45",
    "resampling_floor_45",
    "pose_canonical",
    "pose_random",
    "pose_outside",
    "best_epoch",
    "steps",
    "train_seconds",
    "samples_per_second",
    "peak_rss_mib",
    "mean",
    "ci95_low",
    "ci95_high",
    "ci95_method",
];

/// One row a cell, with a header; what a cell does not have is empty. The last columns are those of its arm and size, the same for all
/// seeds.
pub fn csv(results: &Results) -> Result<String, ReportError> {
    let mut writer = Writer::from_writer(Vec::new());
    writer.write_record(COLUMNS)?;
    for cell in &results.cells {
        let arm = results.arms.iter().find(|arm| arm.name == cell.arm);
        let error = |pick: fn(&EquivarianceError) -> Option<f64>| {
            cell.equivariance_error.as_ref().and_then(pick).map(text).unwrap_or_default()
        };
        let summary = results.summary.iter().find(|size| size.arm == cell.arm && size.train_size == cell.train_size);
        let end = |which: usize| summary.and_then(|size| size.ci95).map(|ends| text(ends[which])).unwrap_or_default();
        let pose = |which: usize| cell.poses.map(|poses| text(poses.values()[which])).unwrap_or_default();
        writer.write_record([
            results.task.clone(),
            results.preset.clone(),
            results.device.clone(),
            cell.arm.clone(),
            arm.map(|arm| arm.parameters.to_string()).unwrap_or_default(),
            arm.map(|arm| arm.flops_per_sample.to_string()).unwrap_or_default(),
            arm.map(|arm| arm.test_flops().to_string()).unwrap_or_default(),
            arm.map(|arm| arm.training_flops().to_string()).unwrap_or_default(),
            cell.train_size.to_string(),
            cell.seed.to_string(),
            cell.status.name().to_string(),
            cell.metric.as_ref().map(|metric| metric.name.clone()).unwrap_or_default(),
            cell.value().map(text).unwrap_or_default(),
            error(|e| e.exact_untrained),
            error(|e| e.exact),
            error(|e| e.rotation_45),
            error(|e| e.resampling_floor_45),
            pose(0),
            pose(1),
            pose(2),
            cell.best_epoch.to_string(),
            cell.steps.to_string(),
            text(cell.train_seconds),
            text(cell.samples_per_second),
            cell.peak_rss_mib.map(text).unwrap_or_default(),
            summary.and_then(|size| size.mean).map(text).unwrap_or_default(),
            end(0),
            end(1),
            summary.and_then(|size| size.ci95_method).map_or("", Method::name).to_string(),
        ])?;
    }
    let bytes = writer.into_inner().map_err(|error| ReportError::Csv(error.into_error().into()))?;
    Ok(String::from_utf8(bytes).expect("only strings were written"))
}

/// The shortest text that reads back as the same number; empty when it is not one.
fn text(value: f64) -> String {
    if value.is_finite() { format!("{value:?}") } else { String::new() }
}
