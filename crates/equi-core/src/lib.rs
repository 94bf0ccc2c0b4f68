//! The mathematics of `equi`: groups, representations, steerable kernel bases, their actions on tensors, and checks.
//!
//! The law behind everything: `f(g . x) = g . f(x)`.

pub mod action;
pub mod check;
pub mod error;
pub mod field;
pub mod group;
pub mod kernel_basis;
pub mod o3;
pub mod ops;
pub mod repr;
pub mod resample;

pub use error::{Error, Result};
pub use field::FieldType;
