//! The networks that are compared.

mod plain;

pub use plain::{PlainCnn, PlainCnnConfig};
