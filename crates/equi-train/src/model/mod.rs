//! The networks that are compared.

pub mod dynamics;
pub mod plain;
pub mod points;
pub mod se3_transformer;
pub mod stages;
pub mod steerable;
pub mod tensor_field;

pub use plain::{PlainCnn, PlainCnnConfig};
pub use steerable::{ExportedCnn, FoldedCnn, SteerableCnn, SteerableCnnConfig};
