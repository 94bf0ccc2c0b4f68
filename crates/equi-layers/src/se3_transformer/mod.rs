//! SE(3)-Transformers.
//!
//! `f(R x + t) = D(R) f(x)`: rotations turn every degree of the output with its Wigner matrix, translations and the order of the nodes change
//! nothing. With [`reflections`](SE3TransformerConfig::reflections) the same holds for all of O(3).
//!
//! [`SE3Transformer::forward`] takes the edges of a [`Graph`](crate::graph::Graph); [`SE3Transformer::forward_dense`] takes padded tensors and chooses
//! the neighbours itself.

mod angular;
mod attention;
mod config;
mod convolution;
mod dense;
mod egnn;
mod feed_forward;
mod fibre;
mod layers;
mod linear;
mod model;
mod neighbours;
mod norm;
mod rotary;

pub use attention::{AttentionBlock, FibreAttention};
pub use config::{AttentionScope, Keys, SE3TransformerConfig, Skip};
pub use convolution::{FibreConvolution, RadialNetwork};
pub use dense::{DenseInputs, DenseOutput};
pub use egnn::EgnnBlock;
pub use feed_forward::FeedForwardBlock;
pub use fibre::{Fibre, FibreFeatures};
pub use linear::FibreLinear;
pub use model::{EdgeInput, NodeInput, PreConvolution, SE3Inputs, SE3Transformer, TransformerBlock};
pub use neighbours::Neighbourhood;
pub use norm::FibreNorm;
