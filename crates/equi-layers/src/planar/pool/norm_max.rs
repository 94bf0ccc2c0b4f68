//! The longest vector of each field in a window, `y(p) = x(stride p + argmax_q |x(stride p + q)|)`.
//!
//! An orthogonal representation keeps the norms, so it commutes with every representation if the grid of the windows is
//! centred and no two vectors of a window are equally long. Of several longest ones the first in reading order is taken, and
//! it alone receives the gradient; the group may turn another one to that place.

use burn::module::{Content, DisplaySettings, Module, ModuleDisplay};
use burn::tensor::Tensor;
use burn::tensor::module::max_pool2d_with_indices;
use burn::tensor::ops::MaxPoolOptions;
use equi_core::FieldType;
use equi_core::check::FieldMap;

use super::{Pooling, pooling_config, pooling_traits};
use crate::error::Result;
use crate::planar::fields::{Run, map_runs, runs};
use crate::planar::grid::{Window, check_window};

pooling_config!(
    /// Configuration of a [`NormMaxPool`].
    NormMaxPoolConfig
);

impl NormMaxPoolConfig {
    /// Builds the layer.
    ///
    /// # Errors
    /// If the window makes no sense.
    pub fn init(&self) -> Result<NormMaxPool> {
        self.0.check("NormMaxPool")?;
        Ok(NormMaxPool { runs: runs(&self.0.field_type), pooling: self.0.clone() })
    }
}

/// The longest vector of each field in a window; see [`NormMaxPoolConfig`]. For all fields, on sizes that pass
/// [`check_size`](Self::check_size).
///
/// Of several longest vectors the first in reading order is taken, and it alone receives the gradient.
#[derive(Module, Debug)]
#[module(custom_display)]
pub struct NormMaxPool {
    #[module(skip)]
    runs: Vec<Run>,
    #[module(skip)]
    pooling: Pooling,
}

impl NormMaxPool {
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
        let [batch, channels, height, width] = features.dims();
        self.pooling.field_type.assert_channels("NormMaxPool", channels);
        let Window { kernel, stride, padding, .. } = self.pooling.window;
        let options = MaxPoolOptions::new([kernel; 2]).with_stride([stride; 2]).with_padding([padding; 2]);
        map_runs(features, &self.runs, |part| {
            let [_, fields, size, _] = part.dims();
            // The winners are numbers, without a gradient; squares order like norms.
            let fixed = part.clone().without_autodiff();
            let squares = (fixed.clone() * fixed).sum_dim(2).reshape([batch, fields, height, width]);
            let (_, winners) = max_pool2d_with_indices(squares, options.clone());
            let [_, _, rows, columns] = winners.dims();
            let winners =
                winners.reshape([batch, fields, 1, rows * columns]).expand([batch, fields, size, rows * columns]);
            part.gather(3, winners).reshape([batch, fields * size, rows, columns])
        })
    }
}

pooling_traits!(NormMaxPool);
