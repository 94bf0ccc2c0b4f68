//! The mathematics of `equi`: groups, representations, steerable kernel bases, their actions on tensors, and checks.
//!
//! The law behind everything: `f(g . x) = g . f(x)`.

pub mod error;
pub mod group;
pub mod kernel_basis;
pub mod repr;

pub use error::{Error, Result};
