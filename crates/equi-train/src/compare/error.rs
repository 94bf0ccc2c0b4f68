//! Why a comparison cannot run.

use std::path::PathBuf;

use crate::data::DataError;
use crate::device::DeviceError;
use crate::fit::FitError;

/// Why a comparison cannot run, or stopped.
#[derive(Debug, thiserror::Error)]
pub enum CompareError {
    /// A name or number on the command line that means nothing.
    #[error("{0}")]
    Request(String),
    /// The device cannot be used.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// The data cannot be used.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The report could not be written.
    #[error(transparent)]
    Report(#[from] crate::report::ReportError),
    /// A cell could not be trained.
    #[error("cell {cell}: {source}")]
    Fit {
        /// Name of the cell.
        cell: String,
        /// What happened.
        source: FitError,
    },
    /// Asked to stop.
    #[error(
        "interrupted: {done} of {total} cells are finished in {}; run the same command with `--resume` to go on", out.display()
    )]
    Interrupted {
        /// Finished cells.
        done: usize,
        /// All cells.
        total: usize,
        /// The output folder.
        out: PathBuf,
    },
    /// The folder holds an unfinished run of the same comparison.
    #[error(
        "{} holds an unfinished run of this comparison; add `--resume` to go on with it, or choose another folder with `--out`",
        out.display()
    )]
    Unfinished {
        /// The output folder.
        out: PathBuf,
    },
    /// The folder holds another comparison.
    #[error(
        "{} holds another comparison (different: {}); nothing was changed: choose another folder with `--out`, or remove it",
        out.display(), differences.join(", ")
    )]
    OtherRun {
        /// The output folder.
        out: PathBuf,
        /// The parts of the plan that differ.
        differences: Vec<String>,
    },
    /// The folder holds something else.
    #[error("{} {problem}; nothing was changed: choose another folder with `--out`", out.display())]
    NotOurs {
        /// The output folder.
        out: PathBuf,
        /// What is there.
        problem: String,
    },
    /// Another process is at work in the folder.
    #[error("another process is writing to {}; wait for it, or choose another folder with `--out`", out.display())]
    Locked {
        /// The output folder.
        out: PathBuf,
    },
    /// The folder cannot be written to.
    #[error("cannot write to {}: {source}; choose a folder you may write to with `--out`, or free some space", path.display())]
    Write {
        /// What could not be written.
        path: PathBuf,
        /// What happened.
        source: std::io::Error,
    },
    /// The plan of what the folder holds cannot be read.
    #[error("cannot read {}: {message}; restore it, or choose another folder with `--out`", path.display())]
    Plan {
        /// The file.
        path: PathBuf,
        /// What happened.
        message: String,
    },
    /// A file of an earlier part of the run cannot be read.
    #[error("cannot read {}: {message}; remove this file to compute it again with `--resume`", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What happened.
        message: String,
    },
}

impl CompareError {
    /// The exit code of the command: 2 for a request that means nothing, 130 after Ctrl-C, 1 otherwise.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Request(_) | Self::Device(DeviceError::Unknown { .. } | DeviceError::NotCompiled { .. }) => 2,
            Self::Interrupted { .. } => crate::stop::INTERRUPTED,
            _ => 1,
        }
    }
}
