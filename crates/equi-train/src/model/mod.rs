//! The networks that are compared.

pub mod dynamics;
pub mod plain;
pub mod steerable;

pub use plain::{PlainCnn, PlainCnnConfig};
pub use steerable::{ExportedCnn, SteerableCnn, SteerableCnnConfig};
