//! Equivariant deep learning on [Burn](https://burn.dev): train, verify and compare networks with symmetry built in.
//!
//! The law at the head of every layer: `f(g . x) = g . f(x)`. Exact where it can be, and measured where floating point,
//! resampling or a non-linearity make it approximate.

pub use equi_core as core;
pub use equi_layers as layers;
pub use equi_train as train;

/// The examples of the README are compiled and run as tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

#[cfg(doctest)]
#[doc = include_str!("../docs/from-e3nn.md")]
struct FromE3nn;

#[cfg(doctest)]
#[doc = include_str!("../docs/from-se3-transformer.md")]
struct FromSE3Transformer;
