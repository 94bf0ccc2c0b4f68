//! Steerable convolution.

use burn::module::{Content, DisplaySettings, Module, ModuleDisplay, Param};
use burn::nn::PaddingConfig2d;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::tensor::module::conv2d;
use burn::tensor::ops::{ConvOptions, PadMode};
use burn::tensor::{DType, Device, Tensor, TensorCreationOptions};
use equi_core::FieldType;
use equi_core::check::FieldMap;
use equi_core::ops::{ConvSteps, ConvSymmetry, steerable_conv2d};
use std::sync::Arc;

use super::batch_norm::Foldable;
use super::expansion::{Expansion, UploadedExpansion};
use super::folded::FoldedR2Conv;
use super::grid;
use super::init;
use super::kernel::{Kernel, KernelConfig, expand_bias, kernel_options};
use crate::error::{LayerError, Result};

/// What lies beyond the border of the input.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PaddingMode {
    /// Zeros.
    #[default]
    Zeros,
    /// The other side: the image is a torus.
    Circular,
    /// The image mirrored about its outermost pixels.
    Reflect,
    /// The outermost pixels again.
    Replicate,
}

/// Configuration of an [`R2Conv`].
#[derive(Clone, Debug)]
pub struct R2ConvConfig {
    pub(super) kernel: KernelConfig,
    padding_mode: PaddingMode,
    input_size: Option<[usize; 2]>,
}

impl R2ConvConfig {
    /// A convolution from `input` to `output` with a square kernel, stride 1, no padding and a bias.
    pub fn new(input: &FieldType, output: &FieldType, kernel_size: usize) -> Self {
        Self {
            kernel: KernelConfig::new(input, output, kernel_size),
            padding_mode: PaddingMode::default(),
            input_size: None,
        }
    }

    kernel_options!();

    /// The padding that keeps the size at stride 1: half the extent of the kernel.
    pub fn with_same_padding(self) -> Self {
        let padding = self.kernel.dilation * (self.kernel.size.max(1) - 1) / 2;
        self.with_padding(padding)
    }

    /// What the added pixels hold.
    pub fn with_padding_mode(mut self, mode: PaddingMode) -> Self {
        self.padding_mode = mode;
        self
    }

    /// The size of the images to come. Building then fails where stride, padding and size break the symmetry.
    pub fn with_input_size(mut self, height: usize, width: usize) -> Self {
        self.input_size = Some([height, width]);
        self
    }

    /// Builds the layer; bases come from the cache where another layer uses them.
    ///
    /// # Errors
    /// If the types belong to different groups, the kernel is even (unless [allowed](Self::with_even_kernel)), a number is
    /// zero, the groups do not divide the fields into equal parts, no kernel is equivariant, or the stride breaks the symmetry
    /// on [the size to come](Self::with_input_size).
    pub fn init(&self, options: impl Into<TensorCreationOptions>) -> Result<R2Conv> {
        self.kernel.check()?;
        let [input, _] = self.kernel.group_parts()?;
        let Kernel { weights, bias, bias_expansion, expansion, plan } =
            self.kernel.build(&input, &self.kernel.output, options)?;
        let (input, output, size) = (&self.kernel.input, &self.kernel.output, self.kernel.size);
        let symmetry =
            (self.kernel.groups == 1).then(|| ConvSymmetry::with_functions(input, output, size, &plan.functions()));
        let conv = R2Conv { weights, bias, bias_expansion, expansion, plan, symmetry, config: Arc::new(self.clone()) };
        self.input_size.map_or(Ok(()), |[height, width]| conv.check_size(height, width))?;
        Ok(conv)
    }
}

/// Steerable convolution, `(K * f)(p) = sum_q K(q - p) f(q)` with `K(g x) = rho_out(g) K(x) rho_in(g)^-1`.
///
/// The constraint makes it equivariant, `K * (g . f) = g . (K * f)`: to quarter turns and flips of the group exactly, and to its other
/// elements as well as the pixel grid can sample them. Weiler and Cesa: General E(2)-Equivariant Steerable CNNs, NeurIPS 2019.
///
/// The filter is expanded from the weights in every forward pass. For inference, [`fold`](Self::fold) and [`export`](Self::export) expand it once.
///
/// Without groups, the convolution is [`steerable_conv2d`], which on flex takes a part of the multiplications of the dense one; other backends
/// use their own convolution.
#[derive(Module, Debug)]
#[module(custom_display)]
pub struct R2Conv {
    /// Coefficients of the kernel basis, `[weights]`, in escnn's order.
    pub weights: Param<Tensor<1>>,
    /// One number for every trivial irrep of the output, `[trivials]`.
    pub bias: Option<Param<Tensor<1>>>,
    /// From the trivial irreps to the channels, `[out, trivials]`.
    bias_expansion: Option<Tensor<2>>,
    expansion: UploadedExpansion,
    #[module(skip)]
    plan: Arc<Expansion>,
    /// Of the dense convolution; `None` where it falls into groups.
    #[module(skip)]
    symmetry: Option<ConvSymmetry>,
    #[module(skip)]
    config: Arc<R2ConvConfig>,
}

impl R2Conv {
    /// Convolves.
    ///
    /// # Shapes
    /// - `features`: `[batch, input_type.size(), height, width]`
    /// - output: `[batch, output_type.size(), height', width']` with
    ///   `height' = (height + 2 padding - dilation (kernel_size - 1) - 1) / stride + 1`
    ///
    /// # Panics
    /// If the channels are not those of the input type, or the image is smaller than the kernel or the padding.
    pub fn forward(&self, features: Tensor<4>) -> Tensor<4> {
        convolve(&self.config, &self.symmetry, features, self.filter(), self.channel_bias())
    }

    /// The filter that the weights stand for, `[out, in / groups, kernel_size, kernel_size]`.
    pub fn filter(&self) -> Tensor<4> {
        self.expansion.filter(&self.plan, self.weights.val())
    }

    /// The bias of every channel, `[out]`.
    pub fn channel_bias(&self) -> Option<Tensor<1>> {
        expand_bias(&self.bias, &self.bias_expansion)
    }

    /// Sets the weights so that the filter is `filter`, for example one from another library whose basis differs.
    ///
    /// # Shapes
    /// - `filter`: `[out, in / groups, kernel_size, kernel_size]`
    ///
    /// # Errors
    /// [`LayerError::NotEquivariant`] if the filter is further than `1e-4` (relative) from every filter of this layer.
    pub fn with_filter(mut self, filter: Tensor<4>) -> Result<Self> {
        self.weights = init::weights_of(&self.plan, &self.weights, &self.filter(), filter)?;
        Ok(self)
    }

    /// A plain convolution with the same outputs.
    ///
    /// # Errors
    /// [`LayerError::Unsupported`] for padding other than zeros, which Burn's convolution does not have.
    pub fn export(&self) -> Result<Conv2d> {
        self.export_with(None)
    }

    /// A plain convolution with the outputs of this layer followed by a batch norm in evaluation mode.
    ///
    /// Exact, because the batch norm is then an affine map of each channel: `s (K * f + b) + t = (s K) * f + (s b + t)`.
    ///
    /// # Errors
    /// As [`export`](Self::export), and [`LayerError::InvalidConfig`] if the batch norm is for another field type.
    pub fn export_folded(&self, norm: &impl Foldable) -> Result<Conv2d> {
        self.export_with(Some(self.affine(norm)?))
    }

    /// Exports, with an affine map of the output channels folded in.
    fn export_with(&self, affine: Option<(Tensor<1>, Option<Tensor<1>>)>) -> Result<Conv2d> {
        let kernel = &self.config.kernel;
        let mode = self.config.padding_mode;
        if mode != PaddingMode::Zeros && kernel.padding > 0 {
            return Err(LayerError::Unsupported(format!(
                "Burn's Conv2d pads with zeros only, and this layer pads with {mode:?}; export a layer without padding and pad \
                 its input with `pad`"
            )));
        }
        let (filter, bias) = self.filter_and_bias(affine);
        let [out, per_group, k, _] = filter.dims();
        let padding = kernel.padding;
        let mut conv = Conv2dConfig::new([per_group * kernel.groups, out], [k, k])
            .with_stride([kernel.stride; 2])
            .with_dilation([kernel.dilation; 2])
            .with_groups(kernel.groups)
            .with_padding(PaddingConfig2d::Explicit(padding, padding, padding, padding))
            .with_bias(false)
            .init(&filter.device());
        conv.weight = Param::from_tensor(filter);
        conv.bias = bias.map(Param::from_tensor);
        Ok(conv)
    }

    /// The same layer for inference: the filter is expanded once.
    ///
    /// Unlike an [exported](Self::export) convolution it knows its symmetry, so that on flex it takes the same part of the multiplications, and it pads in
    /// all modes.
    pub fn fold(&self) -> FoldedR2Conv {
        let (filter, bias) = self.filter_and_bias(None);
        FoldedR2Conv::new(&self.config, &self.symmetry, filter, bias)
    }

    /// The same for this layer followed by a batch norm in evaluation mode.
    ///
    /// # Errors
    /// [`LayerError::InvalidConfig`] if the batch norm is for another field type.
    pub fn fold_norm(&self, norm: &impl Foldable) -> Result<FoldedR2Conv> {
        let (filter, bias) = self.filter_and_bias(Some(self.affine(norm)?));
        Ok(FoldedR2Conv::new(&self.config, &self.symmetry, filter, bias))
    }

    /// The affine map of the output channels that a batch norm is.
    fn affine(&self, norm: &impl Foldable) -> Result<(Tensor<1>, Option<Tensor<1>>)> {
        let (output, normalised) = (&self.config.kernel.output, norm.input_type());
        if *output == normalised {
            return Ok(norm.affine());
        }
        Err(LayerError::InvalidConfig(format!(
            "the convolution gives {output}, but the batch norm takes {normalised}; fold the batch norm that follows it"
        )))
    }

    /// Filter and bias, with an affine map of the output channels folded in.
    fn filter_and_bias(&self, affine: Option<(Tensor<1>, Option<Tensor<1>>)>) -> (Tensor<4>, Option<Tensor<1>>) {
        let (filter, bias) = (self.filter().detach(), self.channel_bias().map(Tensor::detach));
        let Some((scale, shift)) = affine else { return (filter, bias) };
        let scale = scale.detach();
        let filter = filter * scale.clone().reshape([-1, 1, 1, 1]);
        let bias = match (bias.map(|bias| bias * scale), shift.map(Tensor::detach)) {
            (Some(bias), Some(shift)) => Some(bias + shift),
            (bias, shift) => bias.or(shift),
        };
        (filter, bias)
    }

    /// The configuration it was built with.
    pub fn config(&self) -> &R2ConvConfig {
        &self.config
    }

    /// Whether quarter turns and flips of the group stay exact on inputs of this size.
    ///
    /// # Errors
    /// If the output grid is off centre, with a size that works.
    pub fn check_size(&self, height: usize, width: usize) -> Result<()> {
        let c = &self.config.kernel;
        let group = c.input.group();
        grid::check_centred("R2Conv", group, [height, width], c.size, c.stride, c.padding, c.dilation)
    }

    /// Floating-point operations of one sample, two per multiply-add, of the convolution with the expanded filter.
    pub fn flops(&self, height: usize, width: usize) -> u64 {
        let c = &self.config.kernel;
        let out = |size| grid::output_size(size, c.size, c.stride, c.padding, c.dilation).unwrap_or(0);
        let per_pixel = c.output.size() * c.input.size() / c.groups * c.size * c.size;
        2 * (per_pixel * out(height) * out(width)) as u64
    }
}

/// The convolution of a configuration with a filter `[out, in / groups, kernel_size, kernel_size]` and a bias `[out]`.
pub(super) fn convolve(
    config: &R2ConvConfig,
    symmetry: &Option<ConvSymmetry>,
    features: Tensor<4>,
    filter: Tensor<4>,
    bias: Option<Tensor<1>>,
) -> Tensor<4> {
    let kernel = &config.kernel;
    kernel.input.assert_channels("R2Conv", features.dims()[1]);
    let (features, padding) = match config.padding_mode {
        PaddingMode::Zeros => (features, kernel.padding),
        mode => (pad(features, kernel.padding, mode), 0),
    };
    let (stride, dilation) = (kernel.stride, kernel.dilation);
    match symmetry {
        Some(symmetry) => steerable_conv2d(features, filter, bias, ConvSteps { stride, padding, dilation }, symmetry),
        None => {
            let options = ConvOptions::new([stride; 2], [padding; 2], [dilation; 2], kernel.groups);
            conv2d(features, filter, bias, options)
        }
    }
}

/// Adds `padding` pixels on every side.
///
/// # Panics
/// If the image is too small to be reflected or wrapped that far.
pub fn pad(features: Tensor<4>, padding: usize, mode: PaddingMode) -> Tensor<4> {
    if padding == 0 {
        return features;
    }
    let [_, _, height, width] = features.dims();
    let largest = match mode {
        PaddingMode::Reflect => height.min(width) - 1,
        PaddingMode::Circular => height.min(width),
        PaddingMode::Zeros | PaddingMode::Replicate => usize::MAX,
    };
    assert!(padding <= largest, "{mode:?} padding of {padding} pixels needs a larger image than {height} x {width}");
    let sides = (padding, padding, padding, padding);
    match mode {
        PaddingMode::Zeros => features.pad(sides, PadMode::Constant(0.0)),
        PaddingMode::Reflect => features.pad(sides, PadMode::Reflect),
        PaddingMode::Replicate => features.pad(sides, PadMode::Edge),
        PaddingMode::Circular => {
            let wrap = |x: Tensor<4>, dim: usize| {
                let size = x.dims()[dim];
                let (head, tail) = (x.clone().narrow(dim, 0, padding), x.clone().narrow(dim, size - padding, padding));
                Tensor::cat(vec![tail, x, head], dim)
            };
            wrap(wrap(features, 2), 3)
        }
    }
}

impl FieldMap for R2Conv {
    fn input_type(&self) -> FieldType {
        self.config.kernel.input.clone()
    }

    fn output_type(&self) -> FieldType {
        self.config.kernel.output.clone()
    }

    fn forward(&self, features: Tensor<4>) -> Tensor<4> {
        R2Conv::forward(self, features)
    }

    fn options(&self) -> (Device, DType) {
        (self.weights.device(), self.weights.dtype())
    }
}

impl ModuleDisplay for R2Conv {
    fn custom_settings(&self) -> Option<DisplaySettings> {
        DisplaySettings::new().with_new_line_after_attribute(false).optional()
    }

    fn custom_content(&self, content: Content) -> Option<Content> {
        content.set_top_level_type(&format!("R2Conv({})", self.config.kernel)).optional()
    }
}
