//! The errors a user of the layers can cause.

use thiserror::Error;

/// What went wrong, and what to do about it.
#[derive(Clone, Debug, PartialEq, Error)]
#[non_exhaustive]
pub enum LayerError {
    /// A group, representation, field type or kernel that does not exist.
    #[error(transparent)]
    Core(#[from] equi_core::Error),
    /// A layer that does not commute with the symmetry it was asked for.
    #[error("{0}")]
    Unsupported(String),
    /// Options that make no sense.
    #[error("{0}")]
    InvalidConfig(String),
}

/// Result with [`LayerError`].
pub type Result<T, E = LayerError> = std::result::Result<T, E>;
