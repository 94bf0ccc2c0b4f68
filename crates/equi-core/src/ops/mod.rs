//! Operations that Burn's backends do not have, or not as fast: on rows that belong to segments (edges to nodes, nodes to graphs), spherical harmonics
//! and tensor products, and on images.
//!
//! [`gather`] and [`segment_sum`] are each other's adjoint, so each is the other's gradient. All are correct when a segment
//! occurs many times, once or never, on every backend.

mod activation;
mod adam;
mod autodiff;
mod composed;
#[cfg(any(feature = "wgpu", feature = "cuda", feature = "rocm"))]
mod cube;
mod edges;
#[cfg_attr(feature = "ndarray", allow(deprecated))] // Burn recommends flex; users ask for ndarray nevertheless.
mod extension;
mod feature_map;
#[cfg(feature = "flex")]
mod flex;
mod heads;
#[cfg_attr(feature = "ndarray", allow(deprecated))] // Burn recommends flex; users ask for ndarray nevertheless.
mod inner_product;
mod kept;
mod memory;
mod message_network;
mod o3;
mod perceptron;
mod radial_network;
mod radial_product;
mod segments;
mod steerable_conv;

pub use activation::{bias_silu, gate, gelu, norm_gelu, silu};
pub use adam::Adam;
pub use edges::{edge_differences, edge_silu};
pub use extension::{BackendSegments, EdgeGradients, NetworkGradients, RowOps};
pub use feature_map::{
    BatchNorm, ChannelBlocks, FeatureMapOps, PoolWindow, batch_norm, channel_affine, channel_moments, elu, max_pool2d,
};
pub use heads::{head_products, head_sums};
pub use inner_product::{InnerProductOps, inner_product};
pub use kept::Kept;
pub use memory::{release_memory, retain_memory};
pub use message_network::{BackendMessages, MessageNetwork, OptionalTensors, ShiftNetwork, message_network};
pub use o3::{
    CoupledPath, Couplings, HarmonicCouplings, HarmonicRecursion, MessageForm, ProductGradients, ProductOps,
    harmonic_messages, spherical_harmonics, uvu_messages, uvu_product, uvw_product,
};
pub use perceptron::{BackendPerceptron, Perceptron, linear, perceptron};
pub use radial_network::{RadialLayer, radial_network};
pub use radial_product::radial_product;
pub use segments::{Rows, Segments, gather, segment_highest, segment_max, segment_mean, segment_softmax, segment_sum};
pub use steerable_conv::{ConvSteps, ConvSymmetry, SteerableConvOps, steerable_conv2d};
