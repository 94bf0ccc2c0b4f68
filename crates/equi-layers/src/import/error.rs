//! The errors that files of weights cause.

use std::path::PathBuf;

use thiserror::Error;

use super::differences::Differences;
use crate::error::LayerError;

/// Why a file did not become a model, and what to do about it.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ImportError {
    /// A file that cannot be read.
    #[error("cannot read {}: {reason}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        reason: String,
    },
    /// A file that holds no state dict at all.
    #[error("{} holds no state dict: {reason}", path.display())]
    NotAStateDict {
        /// The file.
        path: PathBuf,
        /// What it is instead, or what is missing.
        reason: String,
    },
    /// A file that begins like a state dict and then contradicts itself.
    #[error("{} is damaged, or was not written completely: {reason}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What the reader stumbled over.
        reason: String,
    },
    /// No key, or no file, under a name that was asked for.
    #[error("{0}")]
    NotFound(String),
    /// A state dict that is not the one of the architecture.
    #[error("{0}")]
    Architecture(Box<Differences>),
    /// An architecture that is known, but has no counterpart here.
    #[error("{0}")]
    Unsupported(String),
    /// Something that no state dict tells, and that has to be stated.
    #[error("{0}")]
    Unstated(String),
    /// A file that would have to be overwritten, or cannot be written.
    #[error("cannot write {}: {reason}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// A configuration that no model has.
    #[error(transparent)]
    Layer(#[from] LayerError),
}

/// Result with [`ImportError`].
pub type Result<T, E = ImportError> = std::result::Result<T, E>;
