//! `equi report`.

use std::path::PathBuf;

use clap::Args;
use equi_train::report;

use super::{Failure, Outcome, print};

/// Draw the report of a comparison again, from its results.json alone.
///
/// For results of an earlier version, or that came without their report. Numbers stay as they are; the verdict is that of the file.
#[derive(Debug, Args)]
pub struct Report {
    /// A results.json that `equi compare` has written
    results: PathBuf,
    /// Folder for report.html, learning-curves.svg, results.csv and results.json [default: that of the file]
    #[arg(long)]
    out: Option<PathBuf>,
}

impl Report {
    pub fn run(self) -> Outcome {
        let failed = |error: report::ReportError| Failure { message: error.to_string(), code: 1 };
        let results = report::read(&self.results).map_err(failed)?;
        let beside = || self.results.parent().map(PathBuf::from).unwrap_or_default();
        let out = self.out.clone().unwrap_or_else(beside);
        std::fs::create_dir_all(&out).map_err(|error| Failure {
            message: format!("cannot make {}: {error}; choose another folder with `--out`", out.display()),
            code: 1,
        })?;
        report::write(&results, &out).map_err(failed)?;
        print(&format!("Written to {}: report.html, learning-curves.svg, results.csv, results.json\n", out.display()))
    }
}
