//! Mean of each channel over a window, `y_c(p) = mean_q x_c(stride p + q)`, with zeros beyond the border.
//!
//! Linear and the same for every channel, so it commutes with every representation if the grid of the windows is centred.

use burn::module::{Content, DisplaySettings, Module, ModuleDisplay};
use burn::tensor::Tensor;
use burn::tensor::module::avg_pool2d;
use burn::tensor::ops::AvgPoolOptions;
use equi_core::FieldType;
use equi_core::check::FieldMap;

use super::{Pooling, pooling_config, pooling_traits};
use crate::error::Result;
use crate::planar::grid::{Window, check_window};

pooling_config!(
    /// Configuration of a [`PointwiseAvgPool`].
    PointwiseAvgPoolConfig
);

impl PointwiseAvgPoolConfig {
    /// Builds the layer.
    ///
    /// # Errors
    /// If the window makes no sense.
    pub fn init(&self) -> Result<PointwiseAvgPool> {
        self.0.check("PointwiseAvgPool")?;
        Ok(PointwiseAvgPool { pooling: self.0.clone() })
    }
}

/// The mean of each channel over a window, with zeros beyond the border; see [`PointwiseAvgPoolConfig`]. For all fields, on
/// sizes that pass [`check_size`](Self::check_size).
#[derive(Module, Debug)]
#[module(custom_display)]
pub struct PointwiseAvgPool {
    #[module(skip)]
    pooling: Pooling,
}

impl PointwiseAvgPool {
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
        self.pooling.field_type.assert_channels("PointwiseAvgPool", features.dims()[1]);
        let Window { kernel, stride, padding, .. } = self.pooling.window;
        avg_pool2d(features, AvgPoolOptions::new([kernel; 2]).with_stride([stride; 2]).with_padding([padding; 2]))
    }
}

pooling_traits!(PointwiseAvgPool);
