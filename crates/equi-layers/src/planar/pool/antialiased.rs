//! Pooling that blurs before it skips pixels, `y_c(p) = sum_q w(q) x_c(stride p + q)` with a Gaussian `w`.
//!
//! What the stride would fold onto lower frequencies is damped first, so that outputs change less when the image moves or
//! turns by an angle that resamples. The blur is isotropic and the same for every channel: it commutes with every
//! representation. For a maximum, a dense one of each channel precedes the blur, which needs permutations.
//!
//! Zhang: Making Convolutional Networks Shift-Invariant Again, ICML 2019.

use burn::module::{Content, DisplaySettings, Module, ModuleDisplay};
use burn::nn::PaddingConfig2d;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::tensor::module::conv2d;
use burn::tensor::ops::ConvOptions;
use burn::tensor::{DType, Device, Tensor, TensorCreationOptions};
use equi_core::FieldType;
use equi_core::check::FieldMap;
use equi_core::ops::max_pool2d;

use super::{MAXIMUM, Pooling};
use crate::error::{LayerError, Result};
use crate::planar::fields::require_permutations;
use crate::planar::grid::{Window, check_window};
use crate::planar::init::{from_f64, resolve};

/// A Gaussian filter for every channel.
#[derive(Module, Debug)]
struct Blur {
    /// `[channels, 1, size, size]`.
    filter: Tensor<4>,
    stride: usize,
    padding: usize,
}

impl Blur {
    /// Half the size of the filter, as far as `deviations` standard deviations reach.
    fn reach(sigma: f64, deviations: f64) -> usize {
        // Python rounds halves to even, and escnn with it.
        (deviations * sigma).round_ties_even() as usize
    }

    fn filter(sigma: f64, reach: usize, channels: usize, device: &Device, dtype: DType) -> Tensor<4> {
        let size = 2 * reach + 1;
        let profile: Vec<f64> =
            (0..size).map(|i| (-(i as f64 - reach as f64).powi(2) / (2.0 * sigma * sigma)).exp()).collect();
        let total: f64 = profile.iter().sum();
        let square = profile.iter().flat_map(|a| profile.iter().map(move |b| a * b / (total * total)));
        from_f64(square.collect(), device, dtype).reshape([1, 1, size, size]).repeat_dim(0, channels)
    }

    fn forward(&self, features: Tensor<4>) -> Tensor<4> {
        let channels = features.dims()[1];
        let options = ConvOptions::new([self.stride; 2], [self.padding; 2], [1; 2], channels);
        conv2d(features, self.filter.clone(), None, options)
    }

    fn export(&self) -> Conv2d {
        let [channels, _, size, _] = self.filter.dims();
        let padding = self.padding;
        let mut conv = Conv2dConfig::new([channels, channels], [size, size])
            .with_stride([self.stride; 2])
            .with_groups(channels)
            .with_padding(PaddingConfig2d::Explicit(padding, padding, padding, padding))
            .with_bias(false)
            .init(&self.filter.device());
        conv.weight = burn::module::Param::from_tensor(self.filter.clone());
        conv
    }
}

fn check_sigma(layer: &str, sigma: f64) -> Result<()> {
    if sigma.is_finite() && sigma > 0.0 {
        return Ok(());
    }
    Err(LayerError::InvalidConfig(format!(
        "{layer}: sigma is the width of the blur in pixels and must be positive, but it is {sigma}; about a third of the \
         stride is usual"
    )))
}

/// Configuration of a [`PointwiseAvgPoolAntialiased`].
#[derive(Clone, Debug)]
pub struct PointwiseAvgPoolAntialiasedConfig {
    field_type: FieldType,
    sigma: f64,
    stride: usize,
    padding: Option<usize>,
}

impl PointwiseAvgPoolAntialiasedConfig {
    /// A Gaussian of standard deviation `sigma` pixels, of which every `stride`-th value is kept, with the padding that keeps
    /// the size at stride 1.
    pub fn new(field_type: &FieldType, sigma: f64, stride: usize) -> Self {
        Self { field_type: field_type.clone(), sigma, stride, padding: None }
    }

    /// How many zeros to add on every side.
    pub fn with_padding(mut self, padding: usize) -> Self {
        self.padding = Some(padding);
        self
    }

    /// Builds the layer.
    ///
    /// # Errors
    /// If a number makes no sense.
    pub fn init(&self, options: impl Into<TensorCreationOptions>) -> Result<PointwiseAvgPoolAntialiased> {
        let Self { sigma, stride, .. } = *self;
        check_sigma("PointwiseAvgPoolAntialiased", sigma)?;
        if stride == 0 {
            return Err(LayerError::InvalidConfig(
                "PointwiseAvgPoolAntialiased: the stride is 0 pixels, but must be at least 1".into(),
            ));
        }
        let (device, dtype) = resolve(options);
        let reach = Blur::reach(sigma, 3.0);
        let filter = Blur::filter(sigma, reach, self.field_type.size(), &device, dtype);
        let blur = Blur { filter, stride, padding: self.padding.unwrap_or(reach) };
        Ok(PointwiseAvgPoolAntialiased { blur, sigma, field_type: self.field_type.clone() })
    }
}

/// A Gaussian blur of each channel, of which every `stride`-th value is kept; see [`PointwiseAvgPoolAntialiasedConfig`]. For
/// all fields, on sizes that pass [`check_size`](Self::check_size).
#[derive(Module, Debug)]
#[module(custom_display)]
pub struct PointwiseAvgPoolAntialiased {
    blur: Blur,
    sigma: f64,
    #[module(skip)]
    field_type: FieldType,
}

impl PointwiseAvgPoolAntialiased {
    /// Pools.
    ///
    /// # Shapes
    /// - `features`: `[batch, field_type.size(), height, width]`
    /// - output: `[batch, field_type.size(), height', width']` with `height' = (height + 2 padding - size) / stride + 1` for
    ///   a filter of `size = 2 round(3 sigma) + 1` pixels
    ///
    /// # Panics
    /// If the channels are not those of the field type.
    pub fn forward(&self, features: Tensor<4>) -> Tensor<4> {
        self.field_type.assert_channels("PointwiseAvgPoolAntialiased", features.dims()[1]);
        self.blur.forward(features)
    }

    /// A plain convolution of each channel, with the same outputs.
    pub fn export(&self) -> Conv2d {
        self.blur.export()
    }

    /// Whether the symmetry stays exact on inputs of this size.
    ///
    /// # Errors
    /// If the sampled grid is off centre, with a size that works.
    pub fn check_size(&self, height: usize, width: usize) -> Result<()> {
        let Blur { stride, padding, .. } = self.blur;
        let window = Window { kernel: self.blur.filter.dims()[2], stride, padding, dilation: 1 };
        let layer = format!("PointwiseAvgPoolAntialiased(sigma {}, stride {stride})", self.sigma);
        check_window(&layer, self.field_type.group(), [height, width], window)
    }
}

/// Configuration of a [`PointwiseMaxPoolAntialiased`].
#[derive(Clone, Debug)]
pub struct PointwiseMaxPoolAntialiasedConfig {
    pooling: Pooling,
    sigma: f64,
}

impl PointwiseMaxPoolAntialiasedConfig {
    /// The maximum over a square window of `kernel_size` pixels, of which every `kernel_size`-th is kept after a blur with
    /// standard deviation 0.6 pixels.
    pub fn new(field_type: &FieldType, kernel_size: usize) -> Self {
        Self { pooling: Pooling::new(field_type, kernel_size), sigma: 0.6 }
    }

    /// How many pixels apart the kept values are.
    pub fn with_stride(mut self, stride: usize) -> Self {
        self.pooling.window.stride = stride;
        self
    }

    /// How many pixels to add on every side, before the maximum **and again** before the blur, as in escnn.
    pub fn with_padding(mut self, padding: usize) -> Self {
        self.pooling.window.padding = padding;
        self
    }

    /// Standard deviation of the blur in pixels.
    pub fn with_sigma(mut self, sigma: f64) -> Self {
        self.sigma = sigma;
        self
    }

    /// Builds the layer.
    ///
    /// # Errors
    /// If the group does not permute the channels of every field, or a number makes no sense.
    pub fn init(&self, options: impl Into<TensorCreationOptions>) -> Result<PointwiseMaxPoolAntialiased> {
        let Self { pooling, sigma } = self.clone();
        pooling.check("PointwiseMaxPoolAntialiased")?;
        check_sigma("PointwiseMaxPoolAntialiased", sigma)?;
        require_permutations("PointwiseMaxPoolAntialiased", &pooling.field_type, MAXIMUM[0], MAXIMUM[1])?;
        let (device, dtype) = resolve(options);
        let reach = Blur::reach(sigma, 4.0);
        let filter = Blur::filter(sigma, reach, pooling.field_type.size(), &device, dtype);
        let Window { stride, padding, .. } = pooling.window;
        Ok(PointwiseMaxPoolAntialiased { blur: Blur { filter, stride, padding: padding + reach }, sigma, pooling })
    }
}

/// The maximum of each channel around every pixel, then a Gaussian blur, of which every `stride`-th value is kept; see
/// [`PointwiseMaxPoolAntialiasedConfig`]. For fields whose channels the group permutes, on sizes that pass
/// [`check_size`](Self::check_size).
#[derive(Module, Debug)]
#[module(custom_display)]
pub struct PointwiseMaxPoolAntialiased {
    blur: Blur,
    sigma: f64,
    #[module(skip)]
    pooling: Pooling,
}

impl PointwiseMaxPoolAntialiased {
    /// Pools.
    ///
    /// # Shapes
    /// - `features`: `[batch, field_type.size(), height, width]`
    /// - output: `[batch, field_type.size(), height', width']` with
    ///   `height' = (height + 4 padding - kernel_size) / stride + 1`
    ///
    /// # Panics
    /// If the channels are not those of the field type.
    pub fn forward(&self, features: Tensor<4>) -> Tensor<4> {
        self.pooling.field_type.assert_channels("PointwiseMaxPoolAntialiased", features.dims()[1]);
        let dense = Window { stride: 1, ..self.pooling.window };
        self.blur.forward(max_pool2d(features, dense.into()))
    }

    /// Whether the symmetry stays exact on inputs of this size.
    ///
    /// # Errors
    /// If the sampled grid is off centre, with a size that works.
    pub fn check_size(&self, height: usize, width: usize) -> Result<()> {
        let Pooling { field_type, window } = &self.pooling;
        let layer = format!("PointwiseMaxPoolAntialiased({window})");
        check_window(&layer, field_type.group(), [height, width], Window { padding: 2 * window.padding, ..*window })
    }
}

impl FieldMap for PointwiseAvgPoolAntialiased {
    fn input_type(&self) -> FieldType {
        self.field_type.clone()
    }

    fn output_type(&self) -> FieldType {
        self.field_type.clone()
    }

    fn forward(&self, features: Tensor<4>) -> Tensor<4> {
        PointwiseAvgPoolAntialiased::forward(self, features)
    }

    fn options(&self) -> (Device, DType) {
        (self.blur.filter.device(), self.blur.filter.dtype())
    }
}

impl FieldMap for PointwiseMaxPoolAntialiased {
    fn input_type(&self) -> FieldType {
        self.pooling.field_type.clone()
    }

    fn output_type(&self) -> FieldType {
        self.pooling.field_type.clone()
    }

    fn forward(&self, features: Tensor<4>) -> Tensor<4> {
        PointwiseMaxPoolAntialiased::forward(self, features)
    }

    fn options(&self) -> (Device, DType) {
        (self.blur.filter.device(), self.blur.filter.dtype())
    }
}

impl ModuleDisplay for PointwiseAvgPoolAntialiased {
    fn custom_settings(&self) -> Option<DisplaySettings> {
        DisplaySettings::new().with_new_line_after_attribute(false).optional()
    }

    fn custom_content(&self, content: Content) -> Option<Content> {
        let Self { field_type, sigma, blur } = self;
        let options = format!("sigma {sigma}, stride {}", blur.stride);
        content.set_top_level_type(&format!("PointwiseAvgPoolAntialiased({field_type}, {options})")).optional()
    }
}

impl ModuleDisplay for PointwiseMaxPoolAntialiased {
    fn custom_settings(&self) -> Option<DisplaySettings> {
        DisplaySettings::new().with_new_line_after_attribute(false).optional()
    }

    fn custom_content(&self, content: Content) -> Option<Content> {
        let (Pooling { field_type, window }, sigma) = (&self.pooling, self.sigma);
        let name = format!("PointwiseMaxPoolAntialiased({field_type}, {window}, sigma {sigma})");
        content.set_top_level_type(&name).optional()
    }
}
