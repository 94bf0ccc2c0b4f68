//! `results.csv`: one row a cell, for spreadsheets and data frames.

use csv::Writer;

use super::ReportError;
use crate::compare::results::{CellStatus, EquivarianceError, Results};

const COLUMNS: [&str; 20] = [
    "task",
    "preset",
    "device",
    "arm",
    "parameters",
    "flops_per_sample",
    "train_size",
    "seed",
    "status",
    "metric",
    "value",
    "exact_untrained",
    "exact",
    "rotation_45",
    "resampling_floor_45",
    "best_epoch",
    "steps",
    "train_seconds",
    "samples_per_second",
    "peak_rss_mib",
];

/// One row a cell, with a header; what a cell does not have is empty.
pub fn csv(results: &Results) -> Result<String, ReportError> {
    let mut writer = Writer::from_writer(Vec::new());
    writer.write_record(COLUMNS)?;
    for cell in &results.cells {
        let arm = results.arms.iter().find(|arm| arm.name == cell.arm);
        let error = |pick: fn(&EquivarianceError) -> Option<f64>| {
            cell.equivariance_error.as_ref().and_then(pick).map(text).unwrap_or_default()
        };
        writer.write_record([
            results.task.clone(),
            results.preset.clone(),
            results.device.clone(),
            cell.arm.clone(),
            arm.map(|arm| arm.parameters.to_string()).unwrap_or_default(),
            arm.map(|arm| arm.flops_per_sample.to_string()).unwrap_or_default(),
            cell.train_size.to_string(),
            cell.seed.to_string(),
            match cell.status {
                CellStatus::Done => "done".into(),
                CellStatus::Diverged => "diverged".into(),
            },
            cell.metric.as_ref().map(|metric| metric.name.clone()).unwrap_or_default(),
            cell.value().map(text).unwrap_or_default(),
            error(|e| e.exact_untrained),
            error(|e| e.exact),
            error(|e| e.rotation_45),
            error(|e| e.resampling_floor_45),
            cell.best_epoch.to_string(),
            cell.steps.to_string(),
            text(cell.train_seconds),
            text(cell.samples_per_second),
            cell.peak_rss_mib.map(text).unwrap_or_default(),
        ])?;
    }
    let bytes = writer.into_inner().map_err(|error| ReportError::Csv(error.into_error().into()))?;
    Ok(String::from_utf8(bytes).expect("only strings were written"))
}

/// The shortest text that reads back as the same number; empty when it is not one.
fn text(value: f64) -> String {
    if value.is_finite() { format!("{value:?}") } else { String::new() }
}
