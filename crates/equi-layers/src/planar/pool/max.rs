//! Maximum of each channel over a window, `y_c(p) = max_q x_c(stride p + q)`.
//!
//! Commutes with the group if that permutes the channels, and if the grid of the windows is centred.

use burn::module::{Content, DisplaySettings, Module, ModuleDisplay};
use burn::tensor::Tensor;
use equi_core::FieldType;
use equi_core::check::FieldMap;
use equi_core::ops::max_pool2d;

use super::{MAXIMUM, Pooling, pooling_config, pooling_traits};
use crate::error::Result;
use crate::planar::fields::require_permutations;
use crate::planar::grid::check_window;

pooling_config!(
    /// Configuration of a [`PointwiseMaxPool`].
    PointwiseMaxPoolConfig
);

impl PointwiseMaxPoolConfig {
    /// Builds the layer.
    ///
    /// # Errors
    /// If the group does not permute the channels of every field, or the window makes no sense.
    pub fn init(&self) -> Result<PointwiseMaxPool> {
        let pooling = self.0.clone();
        pooling.check("PointwiseMaxPool")?;
        require_permutations("PointwiseMaxPool", &pooling.field_type, MAXIMUM[0], MAXIMUM[1])?;
        Ok(PointwiseMaxPool { pooling })
    }
}

/// The maximum of each channel over a window; see [`PointwiseMaxPoolConfig`]. For fields whose channels the group permutes, on
/// sizes that pass [`check_size`](Self::check_size).
#[derive(Module, Debug)]
#[module(custom_display)]
pub struct PointwiseMaxPool {
    #[module(skip)]
    pooling: Pooling,
}

impl PointwiseMaxPool {
    /// Pools.
    ///
    /// # Shapes
    /// - `features`: `[batch, field_type.size(), height, width]`
    /// - output: `[batch, field_type.size(), height', width']` with
    ///   `height' = (height + 2 padding - kernel_size) / stride + 1`
    ///
    /// # Panics
    /// If the channels are not those of the field type.
    pub fn forward(&self, features: Tensor<4>) -> Tensor<4> {
        self.pooling.field_type.assert_channels("PointwiseMaxPool", features.dims()[1]);
        max_pool2d(features, self.pooling.window.into())
    }
}

pooling_traits!(PointwiseMaxPool);
