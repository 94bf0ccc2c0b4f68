//! Mean of each channel over `size x size` equal parts of the image, whatever its size; over all of it for `size` 1.
//!
//! The parts are the same seen from every side, so it commutes with every representation and on every image.

use burn::module::{Content, DisplaySettings, Module, ModuleDisplay};
use burn::tensor::Tensor;
use burn::tensor::module::adaptive_avg_pool2d;
use equi_core::FieldType;
use equi_core::check::FieldMap;

use crate::error::{LayerError, Result};

/// The mean of each channel over `size x size` equal parts of the image; `size` 1 is the mean of the image. For all fields, on
/// images of any size.
#[derive(Module, Debug)]
#[module(custom_display)]
pub struct PointwiseAdaptiveAvgPool {
    size: usize,
    #[module(skip)]
    field_type: FieldType,
}

impl PointwiseAdaptiveAvgPool {
    /// Pools to `size x size` pixels.
    ///
    /// # Errors
    /// If `size` is zero.
    pub fn new(field_type: &FieldType, size: usize) -> Result<Self> {
        if size == 0 {
            return Err(LayerError::InvalidConfig(
                "PointwiseAdaptiveAvgPool: the output must have at least 1 pixel; use 1 for the mean of the image"
                    .into(),
            ));
        }
        Ok(Self { size, field_type: field_type.clone() })
    }

    /// Pools.
    ///
    /// # Shapes
    /// - `features`: `[batch, field_type.size(), height, width]`
    /// - output: `[batch, field_type.size(), size, size]`
    ///
    /// # Panics
    /// If the channels are not those of the field type.
    pub fn forward(&self, features: Tensor<4>) -> Tensor<4> {
        self.field_type.assert_channels("PointwiseAdaptiveAvgPool", features.dims()[1]);
        adaptive_avg_pool2d(features, [self.size; 2])
    }
}

impl FieldMap for PointwiseAdaptiveAvgPool {
    fn input_type(&self) -> FieldType {
        self.field_type.clone()
    }

    fn output_type(&self) -> FieldType {
        self.field_type.clone()
    }

    fn forward(&self, features: Tensor<4>) -> Tensor<4> {
        PointwiseAdaptiveAvgPool::forward(self, features)
    }
}

impl ModuleDisplay for PointwiseAdaptiveAvgPool {
    fn custom_settings(&self) -> Option<DisplaySettings> {
        DisplaySettings::new().with_new_line_after_attribute(false).optional()
    }

    fn custom_content(&self, content: Content) -> Option<Content> {
        let Self { size, field_type } = self;
        content.set_top_level_type(&format!("PointwiseAdaptiveAvgPool({field_type}, {size} x {size})")).optional()
    }
}
