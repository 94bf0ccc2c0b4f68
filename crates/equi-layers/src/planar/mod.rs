//! Layers for feature fields on the plane, `f(g . x) = g . f(x)` for rotations and reflections of images.

mod conv;
mod conv_transposed;
mod expansion;
mod grid;
mod init;
mod kernel;

pub use conv::{PaddingMode, R2Conv, R2ConvConfig, pad};
pub use conv_transposed::{R2ConvTransposed, R2ConvTransposedConfig};
pub use grid::{centred, check_centred, output_size};
pub use init::Initializer;
