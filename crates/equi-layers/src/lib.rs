//! Equivariant layers as Burn modules.
//!
//! Every layer is a plain `#[derive(Module)]` type with `forward(Tensor) -> Tensor`; its field types live in its configuration
//! and are checked when it is built.

pub mod error;
pub mod graph;
pub mod import;
mod length;
pub mod o3;
pub mod planar;
pub mod se3_transformer;
mod weights;

pub use error::{LayerError, Result};
