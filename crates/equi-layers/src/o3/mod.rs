//! Layers for features that transform under O(3), with e3nn's conventions.
//!
//! Features are rows, `[rows, irreps.dim()]`: the blocks of [`Irreps`](equi_core::o3::Irreps) one after the other, in a block copy after
//! copy, in a copy component after component. Weights lie flat in e3nn's order, so that trained ones can be loaded.
//!
//! [`IrrepsLinear`] mixes copies of the same irrep.

mod columns;
mod linear;
mod normalization;

pub use linear::{IrrepsLinear, IrrepsLinearConfig};
pub use normalization::{IrrepNormalization, PathNormalization};
