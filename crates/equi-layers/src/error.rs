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
    /// A filter that no weights of the layer give.
    #[error(
        "the filter is {distance:.1e} (relative) away from every equivariant one: it belongs to another group, other fields, rings or \
         cut-offs, or it was not made by a steerable convolution"
    )]
    NotEquivariant {
        /// Norm of the part outside the span, relative to the norm of the filter.
        distance: f64,
    },
    /// Edges or positions that make no graph.
    #[error("{0}")]
    Graph(String),
    /// Options that make no sense.
    #[error("{0}")]
    InvalidConfig(String),
}

/// Result with [`LayerError`].
pub type Result<T, E = LayerError> = std::result::Result<T, E>;
