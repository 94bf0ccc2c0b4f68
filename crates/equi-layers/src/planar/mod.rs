//! Layers for feature fields on the plane, `f(g . x) = g . f(x)` for rotations and reflections of images.

mod by_size;
mod conv;
mod conv_transposed;
mod dropout;
mod expansion;
mod fourier;
mod gated;
mod grid;
mod init;
mod kernel;
mod mask;
mod nonlinearity;
mod norm_nonlinearity;
mod restrict;
mod upsample;

pub use conv::{PaddingMode, R2Conv, R2ConvConfig, pad};
pub use conv_transposed::{R2ConvTransposed, R2ConvTransposedConfig};
pub use dropout::FieldDropout;
pub use fourier::{FourierPointwise, FourierPointwiseConfig};
pub use gated::{GatedNonLinearity, GatedNonLinearityConfig};
pub use grid::{centred, check_centred, output_size};
pub use init::Initializer;
pub use mask::{MaskModule, MaskModuleConfig};
pub use nonlinearity::{Nonlinearity, Pointwise};
pub use norm_nonlinearity::{NormFunction, NormNonLinearity, NormNonLinearityConfig};
pub use restrict::{DisentangleModule, RestrictionModule};
pub use upsample::{Interpolation, R2Upsampling};
