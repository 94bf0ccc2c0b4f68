//! The networks that are compared.

mod plain;
mod steerable;

pub use plain::{PlainCnn, PlainCnnConfig};
pub use steerable::{ExportedCnn, SteerableCnn, SteerableCnnConfig};
