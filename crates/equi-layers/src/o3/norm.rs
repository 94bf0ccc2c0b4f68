//! Norms, `x_c -> |x_c|` for every copy of every irrep.

use burn::module::{Content, DisplaySettings, Module, ModuleDisplay};
use burn::tensor::Tensor;
use equi_core::o3::{Irrep, Irreps, MulIrrep};

use super::copies::{Copies, check_columns, check_features};
use crate::error::Result;
use crate::length::root;

/// The norm of every copy, which no isometry changes; e3nn's `o3.Norm`. Zero has the gradient zero.
#[derive(Module, Debug)]
#[module(custom_display)]
pub struct IrrepsNorm {
    #[module(skip)]
    copies: Copies,
    #[module(skip)]
    input: Irreps,
    #[module(skip)]
    output: Irreps,
}

impl IrrepsNorm {
    /// The norms of the copies of `irreps`.
    ///
    /// # Errors
    /// [`LayerError::InvalidConfig`](crate::LayerError::InvalidConfig) for irreps without columns.
    pub fn new(irreps: &Irreps) -> Result<Self> {
        check_columns("IrrepsNorm", irreps)?;
        let output = Irreps::from(MulIrrep::new(irreps.copies(), Irrep::even(0)));
        Ok(Self { copies: Copies::new(irreps), input: irreps.clone(), output })
    }

    /// What it takes.
    pub fn irreps_in(&self) -> &Irreps {
        &self.input
    }

    /// What it gives: an even scalar for every copy.
    pub fn irreps_out(&self) -> &Irreps {
        &self.output
    }

    /// Takes the norms.
    ///
    /// # Shapes
    /// - `features`: `[rows, irreps_in.dim()]`
    /// - output: `[rows, copies]`
    ///
    /// # Panics
    /// If the columns are not those of the irreps.
    pub fn forward(&self, features: Tensor<2>) -> Tensor<2> {
        check_features("IrrepsNorm", &self.input, &features);
        root(self.copies.squared_norms(features))
    }
}

impl ModuleDisplay for IrrepsNorm {
    fn custom_settings(&self) -> Option<DisplaySettings> {
        DisplaySettings::new().with_new_line_after_attribute(false).optional()
    }

    fn custom_content(&self, content: Content) -> Option<Content> {
        content.set_top_level_type(&format!("IrrepsNorm({})", self.input)).optional()
    }
}
