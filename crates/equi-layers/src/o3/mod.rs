//! Layers for features that transform under O(3), with e3nn's conventions.
//!
//! Features are rows, `[rows, irreps.dim()]`: the blocks of [`Irreps`](equi_core::o3::Irreps) one after the other, in a block copy after
//! copy, in a copy component after component. Weights lie flat in e3nn's order, so that trained ones can be loaded.
//!
//! [`IrrepsLinear`] mixes copies of the same irrep, [`TensorProduct`] multiplies features of different ones. [`Activation`], [`Gate`],
//! [`NormActivation`] and [`S2Activation`] are the non-linearities, [`IrrepsBatchNorm`] normalises, and [`RadialMlp`] makes weights from distances.
//! [`PointConvolution`] puts them together on a [`Graph`](crate::graph::Graph), and [`TensorFieldNetwork`] convolutions and gates.

mod activation;
mod activation_function;
mod batch_norm;
mod columns;
mod convolution;
mod copies;
mod edge_embedding;
mod gate;
mod linear;
mod network;
mod norm;
mod norm_activation;
mod normalization;
mod radial_mlp;
mod s2_activation;
mod tensor_product;

pub use activation::Activation;
pub use activation_function::NormalizedFunction;
pub use batch_norm::{IrrepsBatchNorm, IrrepsBatchNormConfig, Reduction};
pub use convolution::{PointConvolution, PointConvolutionConfig, SelfConnection};
pub use edge_embedding::{EdgeDirections, EdgeEmbedding, EdgeFeatures};
pub use gate::{Gate, GateConfig};
pub use linear::{IrrepsLinear, IrrepsLinearConfig};
pub use network::{TensorFieldLayer, TensorFieldNetwork, TensorFieldNetworkConfig};
pub use norm::IrrepsNorm;
pub use norm_activation::{NormActivation, NormActivationConfig};
pub use normalization::{IrrepNormalization, PathNormalization};
pub use radial_mlp::{RadialMlp, RadialMlpConfig};
pub use s2_activation::{S2Activation, S2ActivationConfig};
pub use tensor_product::{ConnectionMode, Instruction, Path, TensorProduct, TensorProductConfig};
