//! Transposed steerable convolution.

use burn::module::{Content, DisplaySettings, Module, ModuleDisplay, Param};
use burn::nn::conv::{ConvTranspose2d, ConvTranspose2dConfig};
use burn::tensor::module::conv_transpose2d;
use burn::tensor::ops::ConvTransposeOptions;
use burn::tensor::{DType, Device, Tensor, TensorCreationOptions};
use equi_core::FieldType;
use equi_core::check::FieldMap;
use equi_core::group::Group;
use std::sync::Arc;

use super::expansion::{Expansion, UploadedExpansion};
use super::init;
use super::kernel::{Kernel, KernelConfig, expand_bias, kernel_options};
use crate::error::{LayerError, Result};

/// Configuration of an [`R2ConvTransposed`].
#[derive(Clone, Debug)]
pub struct R2ConvTransposedConfig {
    kernel: KernelConfig,
    output_padding: usize,
}

impl R2ConvTransposedConfig {
    /// A transposed convolution from `input` to `output` with a square kernel, stride 1, no padding and a bias.
    pub fn new(input: &FieldType, output: &FieldType, kernel_size: usize) -> Self {
        Self { kernel: KernelConfig::new(input, output, kernel_size), output_padding: 0 }
    }

    kernel_options!();

    /// Pixels added to the right and the bottom of the output; any but 0 puts the output off centre.
    pub fn with_output_padding(mut self, padding: usize) -> Self {
        self.output_padding = padding;
        self
    }

    /// Builds the layer; bases come from the cache where another layer uses them.
    ///
    /// # Errors
    /// As [`R2ConvConfig::init`](super::R2ConvConfig::init), and for an output padding that is smaller neither than the stride
    /// nor than the dilation.
    pub fn init(&self, options: impl Into<TensorCreationOptions>) -> Result<R2ConvTransposed> {
        self.kernel.check()?;
        if self.output_padding >= self.kernel.stride.max(self.kernel.dilation) {
            return Err(LayerError::InvalidConfig(format!(
                "output padding {} must be smaller than the stride {} or the dilation {}",
                self.output_padding, self.kernel.stride, self.kernel.dilation
            )));
        }
        let [_, output] = self.kernel.group_parts()?;
        let Kernel { weights, bias, bias_expansion, expansion, plan } =
            self.kernel.build(&self.kernel.input, &output, options)?;
        Ok(R2ConvTransposed { weights, bias, bias_expansion, expansion, plan, config: Arc::new(self.clone()) })
    }
}

/// Transposed steerable convolution, `(K *T f)(p) = sum_q K(p - q) f(q)`: the adjoint of a strided convolution, with the same
/// constraint on its kernel and the same symmetry. Weiler and Cesa: General E(2)-Equivariant Steerable CNNs, NeurIPS 2019.
#[derive(Module, Debug)]
#[module(custom_display)]
pub struct R2ConvTransposed {
    /// Coefficients of the kernel basis, `[weights]`, in escnn's order.
    pub weights: Param<Tensor<1>>,
    /// One number for every trivial irrep of the output, `[trivials]`.
    pub bias: Option<Param<Tensor<1>>>,
    /// From the trivial irreps to the channels, `[out, trivials]`.
    bias_expansion: Option<Tensor<2>>,
    expansion: UploadedExpansion,
    #[module(skip)]
    plan: Arc<Expansion>,
    #[module(skip)]
    config: Arc<R2ConvTransposedConfig>,
}

impl R2ConvTransposed {
    /// Convolves.
    ///
    /// # Shapes
    /// - `features`: `[batch, input_type.size(), height, width]`
    /// - output: `[batch, output_type.size(), height', width']` with
    ///   `height' = (height - 1) stride - 2 padding + dilation (kernel_size - 1) + output_padding + 1`
    ///
    /// # Panics
    /// If the channels are not those of the input type.
    pub fn forward(&self, features: Tensor<4>) -> Tensor<4> {
        let c = &self.config.kernel;
        c.input.assert_channels("R2ConvTransposed", features.dims()[1]);
        let options = ConvTransposeOptions::new(
            [c.stride; 2],
            [c.padding; 2],
            [self.config.output_padding; 2],
            [c.dilation; 2],
            c.groups,
        );
        let bias = expand_bias(&self.bias, &self.bias_expansion);
        conv_transpose2d(features, self.filter(), bias, options)
    }

    /// The filter that the weights stand for, `[in, out / groups, kernel_size, kernel_size]`.
    pub fn filter(&self) -> Tensor<4> {
        self.expansion.filter(&self.plan, self.weights.val()).swap_dims(0, 1)
    }

    /// Sets the weights so that the filter is `filter`, for example one from another library whose basis differs.
    ///
    /// # Shapes
    /// - `filter`: `[in, out / groups, kernel_size, kernel_size]`
    ///
    /// # Errors
    /// [`LayerError::NotEquivariant`] if the filter is further than `1e-4` (relative) from every filter of this layer.
    pub fn with_filter(mut self, filter: Tensor<4>) -> Result<Self> {
        let like = self.filter().swap_dims(0, 1);
        self.weights = init::weights_of(&self.plan, &self.weights, &like, filter.swap_dims(0, 1))?;
        Ok(self)
    }

    /// A plain transposed convolution with the same outputs.
    pub fn export(&self) -> ConvTranspose2d {
        let c = &self.config.kernel;
        let filter = self.filter().detach();
        let mut conv = ConvTranspose2dConfig::new([c.input.size(), c.output.size()], [c.size; 2])
            .with_stride([c.stride; 2])
            .with_padding([c.padding; 2])
            .with_padding_out([self.config.output_padding; 2])
            .with_dilation([c.dilation; 2])
            .with_groups(c.groups)
            .with_bias(false)
            .init(&filter.device());
        conv.weight = Param::from_tensor(filter);
        conv.bias = expand_bias(&self.bias, &self.bias_expansion).map(|bias| Param::from_tensor(bias.detach()));
        conv
    }

    /// The configuration it was built with.
    pub fn config(&self) -> &R2ConvTransposedConfig {
        &self.config
    }

    /// Whether quarter turns and flips of the group stay exact: the output must be centred on the input.
    ///
    /// # Errors
    /// If an output padding puts it off centre.
    pub fn check_centred(&self) -> Result<()> {
        let (padding, group) = (self.config.output_padding, self.config.kernel.input.group());
        if padding == 0 || group == Group::trivial() {
            return Ok(());
        }
        Err(LayerError::InvalidConfig(format!(
            "R2ConvTransposed with output padding {padding} breaks {group}: the output lies off the centre of the input; use output \
             padding 0 and an odd size"
        )))
    }
}

impl FieldMap for R2ConvTransposed {
    fn input_type(&self) -> FieldType {
        self.config.kernel.input.clone()
    }

    fn output_type(&self) -> FieldType {
        self.config.kernel.output.clone()
    }

    fn forward(&self, features: Tensor<4>) -> Tensor<4> {
        R2ConvTransposed::forward(self, features)
    }

    fn options(&self) -> (Device, DType) {
        (self.weights.device(), self.weights.dtype())
    }
}

impl ModuleDisplay for R2ConvTransposed {
    fn custom_settings(&self) -> Option<DisplaySettings> {
        DisplaySettings::new().with_new_line_after_attribute(false).optional()
    }

    fn custom_content(&self, content: Content) -> Option<Content> {
        let name = format!("R2ConvTransposed({})", self.config.kernel);
        content.set_top_level_type(&name).optional()
    }
}
