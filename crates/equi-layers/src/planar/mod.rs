//! Layers for feature fields on the plane, `f(g . x) = g . f(x)` for rotations and reflections of images.

pub(crate) mod batch_norm;
mod by_size;
mod conv;
mod conv_transposed;
mod dropout;
mod expansion;
mod fields;
mod folded;
mod fourier;
mod gated;
mod grid;
pub(crate) mod init;
mod invariant_pool;
mod kernel;
mod mask;
mod nonlinearity;
mod norm_nonlinearity;
mod pool;
mod restrict;
mod upsample;

pub use batch_norm::{
    Foldable, GNormBatchNorm, GNormBatchNormConfig, IidBatchNorm, IidBatchNormConfig, InnerBatchNorm,
    InnerBatchNormConfig, NormBatchNorm, NormBatchNormConfig,
};
pub use conv::{PaddingMode, R2Conv, R2ConvConfig, pad};
pub use conv_transposed::{R2ConvTransposed, R2ConvTransposedConfig};
pub use dropout::FieldDropout;
pub use folded::FoldedR2Conv;
pub use fourier::{FourierPointwise, FourierPointwiseConfig};
pub use gated::{GatedNonLinearity, GatedNonLinearityConfig};
pub use grid::{centred, check_centred, output_size};
pub use init::Initializer;
pub use invariant_pool::{GroupPooling, NormPool};
pub use mask::{MaskModule, MaskModuleConfig};
pub use nonlinearity::{Nonlinearity, Pointwise};
pub use norm_nonlinearity::{NormFunction, NormNonLinearity, NormNonLinearityConfig};
pub use pool::{
    NormMaxPool, NormMaxPoolConfig, PointwiseAdaptiveAvgPool, PointwiseAvgPool, PointwiseAvgPoolAntialiased,
    PointwiseAvgPoolAntialiasedConfig, PointwiseAvgPoolConfig, PointwiseMaxPool, PointwiseMaxPoolAntialiased,
    PointwiseMaxPoolAntialiasedConfig, PointwiseMaxPoolConfig,
};
pub use restrict::{DisentangleModule, RestrictionModule};
pub use upsample::{Interpolation, R2Upsampling};
