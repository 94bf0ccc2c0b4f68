//! What a comparison found, for machines (`results.json`, `results.csv`) and for people (a table on the terminal and
//! `report.html`, one file that needs no network).

mod digest;
mod html;
mod number;
mod plot;
mod rows;
#[cfg(test)]
mod sample;
mod table;
mod verdict;
mod words;

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use thiserror::Error;

pub use html::html;
pub use rows::csv;
pub use table::table;
pub use verdict::verdict;

use crate::{
    atomic,
    compare::{
        results::{Results, SCHEMA},
        stats::summarise,
    },
};

/// The name of the file with everything, schema 1.
pub const JSON: &str = "results.json";
/// The name of the file with one row a cell.
pub const CSV: &str = "results.csv";
/// The name of the report.
pub const HTML: &str = "report.html";

/// Why results could not be written or read.
#[derive(Debug, Error)]
pub enum ReportError {
    /// The operating system refused.
    #[error("{path} cannot be written: {source}; choose a folder you may write to with --out DIR")]
    Write {
        /// The file.
        path: PathBuf,
        /// The reason given.
        source: io::Error,
    },
    /// The operating system refused.
    #[error("{path} cannot be read: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// The reason given.
        source: io::Error,
    },
    /// The file is not a result of this program, or of another version.
    #[error("{path} does not hold results of schema {SCHEMA}: {reason}; choose another folder with --out DIR")]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A row could not be formed.
    #[error("results.csv cannot be formed: {0}")]
    Csv(#[from] ::csv::Error),
}

/// A value of the metric called `name`, as reports write it.
pub fn number(name: &str, value: f64) -> String {
    number::metric(name, value)
}

/// Fills what follows from the cells: the summary and the verdict.
pub fn conclude(results: &mut Results) {
    results.summary = summarise(&results.arms, &results.cells);
    results.verdict = verdict(results);
}

/// The content of `results.json`.
pub fn json(results: &Results) -> String {
    let mut text = serde_json::to_string_pretty(results).expect("results are strings, numbers and lists");
    text.push('\n');
    text
}

/// Writes `results.json`, `results.csv` and `report.html` into `folder`, each of them whole or not at all.
pub fn write(results: &Results, folder: &Path) -> Result<(), ReportError> {
    // The JSON last: where it is, the others are.
    for (name, content) in [(CSV, csv(results)?), (HTML, html(results)), (JSON, json(results))] {
        let path = folder.join(name);
        atomic::write(&path, content.as_bytes()).map_err(|source| ReportError::Write { path, source })?;
    }
    Ok(())
}

/// Reads a `results.json`.
pub fn read(path: &Path) -> Result<Results, ReportError> {
    let text = fs::read_to_string(path).map_err(|source| ReportError::Read { path: path.into(), source })?;
    let format = |reason: String| ReportError::Format { path: path.into(), reason };
    let value: serde_json::Value = serde_json::from_str(&text).map_err(|error| format(error.to_string()))?;
    match value.get("schema").and_then(serde_json::Value::as_u64) {
        Some(schema) if schema == u64::from(SCHEMA) => {}
        Some(schema) => return Err(format(format!("it has schema {schema}"))),
        None => return Err(format("it has no schema number".into())),
    }
    // From the text again, not from the value: line and column make the message useful.
    serde_json::from_str(&text).map_err(|error| format(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::{sample::*, *};
    use crate::compare::results::{Cell, EquivarianceError};

    #[test]
    fn json_reads_back_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let results = sample(3);
        write(&results, folder.path()).unwrap();
        assert_eq!(read(&folder.path().join(JSON)).unwrap(), results);
        let mut names: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, [HTML, CSV, JSON]);
    }

    #[test]
    fn numbers_that_are_not_finite_survive_as_nan() {
        let folder = tempfile::tempdir().unwrap();
        let mut results = sample(2);
        diverge(&mut results.cells[0]);
        results.cells[1].equivariance_error = Some(EquivarianceError {
            exact_untrained: Some(f64::INFINITY),
            exact: Some(0.5),
            rotation_45: Some(f64::NAN),
            resampling_floor_45: Some(0.1),
        });
        conclude(&mut results);
        write(&results, folder.path()).unwrap();
        let back = read(&folder.path().join(JSON)).unwrap();
        assert!(back.cells[0].validation_curve[2].is_nan());
        let error = back.cells[1].equivariance_error.unwrap();
        assert!(
            error.exact_untrained.unwrap().is_nan() && error.rotation_45.unwrap().is_nan() && error.exact == Some(0.5)
        );
        assert_eq!(json(&back), json(&results));
    }

    #[test]
    fn a_group_without_exact_symmetries_has_no_exact_error_anywhere() {
        let mut results = sample(2);
        for cell in &mut results.cells {
            let error = cell.equivariance_error.as_mut().unwrap();
            (error.exact_untrained, error.exact) = (None, None);
            cell.peak_rss_mib = None;
        }
        conclude(&mut results);
        let value: serde_json::Value = serde_json::from_str(&json(&results)).unwrap();
        assert!(value["cells"][0]["equivariance_error"]["exact"].is_null());
        assert!(value["cells"][0]["peak_rss_mib"].is_null());
        assert_eq!(serde_json::from_str::<Results>(&json(&results)).unwrap(), results);
        assert!(table(&results).contains(" – ") && html(&results).contains("<td>–</td><td>–</td>"));
        assert!(!results.verdict.contains("Quarter turns") && results.verdict.contains("A turn by 45 degrees"));
    }

    #[test]
    fn what_is_no_result_is_refused_with_the_reason() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(JSON);
        let refuse = |content: &str| {
            fs::write(&path, content).unwrap();
            read(&path).unwrap_err().to_string()
        };
        assert!(refuse("{\"schema\": 2}").contains("it has schema 2"));
        assert!(refuse("{}").contains("no schema number"));
        assert!(refuse("{\"schema\": 1}").contains("missing field"));
        assert!(refuse(&json(&sample(1))[..200]).contains("EOF"));
        let unwritable = write(&sample(1), &folder.path().join("none")).unwrap_err().to_string();
        assert!(unwritable.contains("--out DIR"), "{unwritable}");
    }

    #[test]
    fn csv_has_one_row_a_cell_and_blanks_for_what_is_missing() {
        let mut results = sample(2);
        diverge(&mut results.cells[0]);
        results.task = "a \"quoted\", task".into();
        let text = csv(&results).unwrap();
        let mut reader = ::csv::Reader::from_reader(text.as_bytes());
        let header = reader.headers().unwrap().clone();
        let column = |name: &str| header.iter().position(|column| column == name).unwrap();
        let rows: Vec<_> = reader.records().map(Result::unwrap).collect();
        assert_eq!(rows.len(), 18);
        assert_eq!((&rows[0][column("status")], &rows[0][column("value")]), ("diverged", ""));
        assert_eq!(&rows[0][column("task")], "a \"quoted\", task");
        for (row, cell) in rows.iter().zip(&results.cells).skip(1) {
            assert_eq!(row[column("value")].parse::<f64>().unwrap(), cell.value().unwrap());
            assert_eq!(row[column("exact")].parse::<f64>().ok(), cell.equivariance_error.unwrap().exact);
        }
    }

    #[test]
    fn the_table_fits_a_terminal() {
        let mut results = sample(2);
        diverge(&mut results.cells[0]);
        results.cells[2..4].iter_mut().for_each(diverge);
        let text = table(&results);
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
        for part in ["n = 1,600", "21.00", "98,442", "4.3e-7", "1 diverged", " diverged "] {
            assert!(text.contains(part), "{part} is missing:\n{text}");
        }
        // Six sizes: the same cells again for others.
        let mut many = points(3);
        let others: Vec<_> =
            many.cells.iter().cloned().map(|cell| Cell { train_size: 2 * cell.train_size, ..cell }).collect();
        many.cells.extend(others);
        let text = table(&many);
        assert_eq!(many.sizes().len(), 6);
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
        results.cells.clear();
        assert!(table(&results).contains("equivariant"));
    }

    #[test]
    fn the_summary_follows_the_cells() {
        let mut results = sample(3);
        assert_eq!(results.summary.len(), 9);
        let last = &results.summary[8];
        assert_eq!((last.arm.as_str(), last.train_size), ("equivariant", 1600));
        assert!((last.mean.unwrap() - 4.6).abs() < 1e-12);
        results.cells.iter_mut().filter(|cell| cell.train_size == 100).for_each(diverge);
        conclude(&mut results);
        assert_eq!((results.summary[0].mean, results.summary[0].ci95), (None, None));
    }
}
