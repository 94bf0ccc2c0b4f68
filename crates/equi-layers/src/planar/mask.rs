//! A round mask, `f(p) -> m(|p|) f(p)` with `m = 1` for `|p| <= t`, else `exp((t^2 - |p|^2) / sigma^2)`.
//!
//! It depends on the distance from the centre alone, so it commutes with every rotation and reflection. It removes the corners
//! of an image, which a rotation would move outside.
//!
//! Weiler and Cesa: General E(2)-Equivariant Steerable CNNs, NeurIPS 2019.

use burn::module::{Content, DisplaySettings, Module, ModuleDisplay};
use burn::tensor::{DType, Device, Tensor, TensorCreationOptions};
use equi_core::FieldType;
use equi_core::check::FieldMap;

use super::init::{from_f64, resolve};
use crate::error::{LayerError, Result};

/// Configuration of a [`MaskModule`].
#[derive(Clone, Debug)]
pub struct MaskModuleConfig {
    field_type: FieldType,
    size: usize,
    margin: f64,
    sigma: f64,
}

impl MaskModuleConfig {
    /// For feature maps of `size` x `size` pixels, without a margin, with `sigma` 2 pixels.
    pub fn new(field_type: &FieldType, size: usize) -> Self {
        Self { field_type: field_type.clone(), size, margin: 0.0, sigma: 2.0 }
    }

    /// How much smaller the disc is than the inscribed one, in percent of its radius `(size - 1) / 2`.
    pub fn with_margin(mut self, percent: f64) -> Self {
        self.margin = percent;
        self
    }

    /// How soon the mask vanishes outside the disc, in pixels.
    pub fn with_sigma(mut self, sigma: f64) -> Self {
        self.sigma = sigma;
        self
    }

    /// Builds the layer.
    ///
    /// # Errors
    /// [`LayerError::InvalidConfig`] unless the size is positive, the margin from 0 to 100 and sigma positive.
    pub fn init(&self, options: impl Into<TensorCreationOptions>) -> Result<MaskModule> {
        let Self { size, margin, sigma, .. } = *self;
        if size == 0 || !(0.0..=100.0).contains(&margin) || !(sigma > 0.0 && sigma.is_finite()) {
            return Err(LayerError::InvalidConfig(format!(
                "a mask of {size} pixels with margin {margin} and sigma {sigma} does not exist: the size must be at least 1, the \
                 margin from 0 to 100 percent, and sigma positive"
            )));
        }
        let (device, dtype) = resolve(options);
        let centre = (size as f64 - 1.0) / 2.0;
        let edge = (centre * (1.0 - margin / 100.0)).powi(2);
        let value = |pixel: usize| {
            let offset = |coordinate: usize| (coordinate as f64 - centre).powi(2);
            let squared = offset(pixel / size) + offset(pixel % size);
            if squared <= edge { 1.0 } else { ((edge - squared) / sigma.powi(2)).exp() }
        };
        let values = (0..size * size).map(value).collect();
        Ok(MaskModule {
            mask: from_f64(values, &device, dtype).reshape([1, 1, size, size]),
            field_type: self.field_type.clone(),
            size,
            margin,
            sigma,
        })
    }
}

/// Multiplies feature maps by a round mask that is 1 up to the radius `t` and `exp((t^2 - r^2) / sigma^2)` beyond; see
/// [`MaskModuleConfig`]. Exactly equivariant to quarter turns and flips, and to other elements as far as pixels are round.
#[derive(Module, Debug)]
#[module(custom_display)]
pub struct MaskModule {
    /// `[1, 1, size, size]`
    mask: Tensor<4>,
    #[module(skip)]
    field_type: FieldType,
    size: usize,
    margin: f64,
    sigma: f64,
}

impl MaskModule {
    /// Masks.
    ///
    /// # Shapes
    /// - `features`, output: `[batch, field_type.size(), size, size]`
    ///
    /// # Panics
    /// If channels or size are others.
    pub fn forward(&self, features: Tensor<4>) -> Tensor<4> {
        let [_, channels, height, width] = features.dims();
        self.field_type.assert_channels("MaskModule", channels);
        let size = self.size;
        assert_eq!(
            [height, width],
            [size, size],
            "MaskModule: the mask is {size} x {size}, the input {height} x {width}"
        );
        features * self.mask.clone()
    }

    /// The mask, `[1, 1, size, size]`.
    pub fn mask(&self) -> Tensor<4> {
        self.mask.clone()
    }
}

impl FieldMap for MaskModule {
    fn input_type(&self) -> FieldType {
        self.field_type.clone()
    }

    fn output_type(&self) -> FieldType {
        self.field_type.clone()
    }

    fn forward(&self, features: Tensor<4>) -> Tensor<4> {
        MaskModule::forward(self, features)
    }

    fn options(&self) -> (Device, DType) {
        (self.mask.device(), self.mask.dtype())
    }
}

impl ModuleDisplay for MaskModule {
    fn custom_settings(&self) -> Option<DisplaySettings> {
        DisplaySettings::new().with_new_line_after_attribute(false).optional()
    }

    fn custom_content(&self, content: Content) -> Option<Content> {
        let Self { field_type, size, margin, sigma, .. } = self;
        content
            .set_top_level_type(&format!("MaskModule({field_type}, {size} x {size}, margin={margin}%, sigma={sigma})"))
            .optional()
    }
}
