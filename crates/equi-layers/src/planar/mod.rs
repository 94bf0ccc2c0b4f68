//! Layers for feature fields on the plane, `f(g . x) = g . f(x)` for rotations and reflections of images.

mod grid;

pub use grid::{centred, check_centred, output_size};
