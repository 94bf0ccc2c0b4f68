//! Upsampling by an integer factor, `f'(p) = sum_q w(p / s - q) f(q)`, as PyTorch's `interpolate`.
//!
//! The weights treat both directions of both axes alike, so quarter turns and flips are exact; other elements are as
//! approximate as interpolation is (bilinear is closer than nearest).

use burn::module::{Content, DisplaySettings, Module, ModuleDisplay};
use burn::tensor::Tensor;
use equi_core::FieldType;
use equi_core::check::FieldMap;
use std::fmt;

use super::init::from_f64;
use crate::error::{LayerError, Result};

/// Where new pixels get their values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Interpolation {
    /// From the nearest pixel.
    Nearest,
    /// From the four pixels around, the borders of the images coinciding (`align_corners=False`).
    #[default]
    Bilinear,
    /// From the four pixels around, the centres of the corner pixels coinciding (`align_corners=True`).
    BilinearAligned,
}

impl fmt::Display for Interpolation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nearest => "nearest",
            Self::Bilinear => "bilinear",
            Self::BilinearAligned => "bilinear, aligned corners",
        })
    }
}

/// Makes feature maps larger by an integer factor, as PyTorch's `interpolate`.
///
/// Exactly equivariant to quarter turns and flips; to other elements as closely as the interpolation is (bilinear more than
/// nearest).
#[derive(Module, Debug)]
#[module(custom_display)]
pub struct R2Upsampling {
    #[module(skip)]
    field_type: FieldType,
    factor: usize,
    #[module(skip)]
    interpolation: Interpolation,
}

impl R2Upsampling {
    /// `factor` times as high and wide.
    ///
    /// # Errors
    /// [`LayerError::InvalidConfig`] if the factor is zero.
    pub fn new(field_type: &FieldType, factor: usize, interpolation: Interpolation) -> Result<Self> {
        if factor == 0 {
            return Err(LayerError::InvalidConfig(
                "upsampling by 0 leaves nothing: use a factor of at least 1".to_owned(),
            ));
        }
        Ok(Self { field_type: field_type.clone(), factor, interpolation })
    }

    /// Interpolates.
    ///
    /// # Shapes
    /// - `features`: `[batch, field_type.size(), height, width]`
    /// - output: `[batch, field_type.size(), factor * height, factor * width]`
    ///
    /// # Panics
    /// If the channels are not those of the type.
    pub fn forward(&self, features: Tensor<4>) -> Tensor<4> {
        let [batch, channels, height, width] = features.dims();
        self.field_type.assert_channels("R2Upsampling", channels);
        let factor = self.factor;
        if self.interpolation == Interpolation::Nearest {
            return features
                .reshape([batch * channels * height, 1, width, 1])
                .expand([batch * channels * height, factor, width, factor])
                .reshape([batch, channels, factor * height, factor * width]);
        }
        // Burn's `interpolate` has no bilinear gradient on GPUs. The weights factorise into columns and rows.
        let (device, dtype) = (features.device(), features.dtype());
        let weights = |size: usize| from_f64(self.weights(size), &device, dtype).reshape([1, factor * size, size]);
        let rows = features.reshape([1, batch * channels * height, width]).matmul(weights(width).transpose());
        let columns = weights(height).matmul(rows.reshape([batch * channels, height, factor * width]));
        columns.reshape([batch, channels, factor * height, factor * width])
    }

    /// Linear interpolation along an axis of `size` pixels, `[factor * size, size]`, row-major.
    fn weights(&self, size: usize) -> Vec<f64> {
        let outputs = self.factor * size;
        let mut weights = vec![0.0; outputs * size];
        for output in 0..outputs {
            let source = match self.interpolation {
                Interpolation::BilinearAligned if outputs == 1 => 0.0,
                Interpolation::BilinearAligned => (output * (size - 1)) as f64 / (outputs - 1) as f64,
                _ => ((output as f64 + 0.5) / self.factor as f64 - 0.5).max(0.0),
            };
            let (low, share) = (source.floor() as usize, source.fract());
            weights[output * size + low] += 1.0 - share;
            weights[output * size + (low + 1).min(size - 1)] += share;
        }
        weights
    }
}

impl FieldMap for R2Upsampling {
    fn input_type(&self) -> FieldType {
        self.field_type.clone()
    }

    fn output_type(&self) -> FieldType {
        self.field_type.clone()
    }

    fn forward(&self, features: Tensor<4>) -> Tensor<4> {
        R2Upsampling::forward(self, features)
    }
}

impl ModuleDisplay for R2Upsampling {
    fn custom_settings(&self) -> Option<DisplaySettings> {
        DisplaySettings::new().with_new_line_after_attribute(false).optional()
    }

    fn custom_content(&self, content: Content) -> Option<Content> {
        let Self { field_type, factor, interpolation } = self;
        content.set_top_level_type(&format!("R2Upsampling({field_type}, x{factor}, {interpolation})")).optional()
    }
}
