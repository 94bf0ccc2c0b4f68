//! Steerable convolution for inference.

use std::sync::Arc;

use burn::module::{Content, DisplaySettings, Module, ModuleDisplay};
use burn::tensor::{DType, Device, Tensor};
use equi_core::FieldType;
use equi_core::check::FieldMap;
use equi_core::ops::ConvSymmetry;

use super::conv::{R2ConvConfig, convolve};

/// An [`R2Conv`](super::R2Conv) whose filter is expanded once; see [`R2Conv::fold`](super::R2Conv::fold).
///
/// Equivariant like the layer that it was made of. Filter and bias are constants: they move with the module, and are not trained.
#[derive(Module, Debug)]
#[module(custom_display)]
pub struct FoldedR2Conv {
    /// `[out, in / groups, kernel_size, kernel_size]`
    filter: Tensor<4>,
    /// `[out]`
    bias: Option<Tensor<1>>,
    #[module(skip)]
    symmetry: Option<ConvSymmetry>,
    #[module(skip)]
    config: Arc<R2ConvConfig>,
}

impl FoldedR2Conv {
    pub(super) fn new(
        config: &Arc<R2ConvConfig>,
        symmetry: &Option<ConvSymmetry>,
        filter: Tensor<4>,
        bias: Option<Tensor<1>>,
    ) -> Self {
        Self { filter, bias, symmetry: symmetry.clone(), config: config.clone() }
    }

    /// Convolves.
    ///
    /// # Shapes
    /// Those of [`R2Conv::forward`](super::R2Conv::forward).
    ///
    /// # Panics
    /// If the channels are not those of the input type, or the image is smaller than the kernel or the padding.
    pub fn forward(&self, features: Tensor<4>) -> Tensor<4> {
        convolve(&self.config, &self.symmetry, features, self.filter.clone(), self.bias.clone())
    }
}

impl FieldMap for FoldedR2Conv {
    fn input_type(&self) -> FieldType {
        self.config.kernel.input.clone()
    }

    fn output_type(&self) -> FieldType {
        self.config.kernel.output.clone()
    }

    fn forward(&self, features: Tensor<4>) -> Tensor<4> {
        FoldedR2Conv::forward(self, features)
    }

    fn options(&self) -> (Device, DType) {
        (self.filter.device(), self.filter.dtype())
    }
}

impl ModuleDisplay for FoldedR2Conv {
    fn custom_settings(&self) -> Option<DisplaySettings> {
        DisplaySettings::new().with_new_line_after_attribute(false).optional()
    }

    fn custom_content(&self, content: Content) -> Option<Content> {
        content.set_top_level_type(&format!("FoldedR2Conv({})", self.config.kernel)).optional()
    }
}
