//! Functions of scalars, `x_c -> f(x_c)` for the scalar blocks of irreps.
//!
//! Rotations keep scalars, so every function of an even one commutes with them; a reflection changes the sign of an odd one, so its
//! function must be odd, and the result odd, or even, and the result even.

use burn::module::{Content, DisplaySettings, Module, ModuleDisplay};
use burn::tensor::Tensor;
use equi_core::o3::{Irreps, MulIrrep};

use super::activation_function::NormalizedFunction;
use super::columns::join;
use super::copies::{check_columns, check_features};
use crate::error::{LayerError, Result};

/// Applies a function to every scalar block, with second moment one; e3nn's `nn.Activation`.
///
/// ```
/// # #[cfg(feature = "flex")] {
/// use burn::tensor::{Device, Tensor};
/// use equi_layers::o3::Activation;
/// use equi_layers::planar::Nonlinearity::{Silu, Tanh};
///
/// let activation = Activation::new(&"8x0e+2x0o+4x1o".parse()?, &[Some(Silu), Some(Tanh), None])?;
/// let features = activation.forward(Tensor::ones([5, 22], &Device::flex()));
/// # }
/// # Ok::<(), equi_layers::LayerError>(())
/// ```
#[derive(Module, Debug)]
#[module(custom_display)]
pub struct Activation {
    #[module(skip)]
    functions: Vec<Option<NormalizedFunction>>,
    #[module(skip)]
    input: Irreps,
    #[module(skip)]
    output: Irreps,
}

impl Activation {
    /// One function for every block of `irreps`, none to leave it alone. A plain `Nonlinearity` is scaled as e3nn does,
    /// [`NormalizedFunction::exact`] by the integral.
    ///
    /// # Errors
    /// [`LayerError::InvalidConfig`] unless there are as many functions as blocks, and for irreps without columns;
    /// [`LayerError::Unsupported`] for a function of a block that is not scalar, or one without parity of odd scalars.
    pub fn new<F>(irreps: &Irreps, functions: &[Option<F>]) -> Result<Self>
    where
        F: Into<NormalizedFunction> + Copy,
    {
        check_columns("Activation", irreps)?;
        Self::of_blocks(irreps, functions.iter().map(|function| function.map(Into::into)).collect())
    }

    /// The same; there may be no columns.
    pub(super) fn of_blocks(irreps: &Irreps, functions: Vec<Option<NormalizedFunction>>) -> Result<Self> {
        let blocks = irreps.blocks();
        if functions.len() != blocks.len() {
            return Err(LayerError::InvalidConfig(format!(
                "{} functions for the {} blocks of {irreps}: give one for each, None to leave a block alone",
                functions.len(),
                blocks.len()
            )));
        }
        let output = blocks.iter().zip(&functions).map(|(block, function)| match function {
            Some(function) => Ok(MulIrrep::new(block.mul, function.of(block.irrep)?)),
            None => Ok(*block),
        });
        let output = output.collect::<Result<_>>()?;
        Ok(Self { functions, input: irreps.clone(), output })
    }

    /// What it takes.
    pub fn irreps_in(&self) -> &Irreps {
        &self.input
    }

    /// What it gives: the same but for odd scalars that an even function made even.
    pub fn irreps_out(&self) -> &Irreps {
        &self.output
    }

    /// Applies the functions.
    ///
    /// # Shapes
    /// - `features`, output: `[rows, irreps.dim()]`
    ///
    /// # Panics
    /// If the columns are not those of the irreps.
    pub fn forward(&self, features: Tensor<2>) -> Tensor<2> {
        check_features("Activation", &self.input, &features);
        join(self.parts(&features, &self.input.slices()), 1)
    }

    /// The activated blocks, taken from these columns of `features`; none for a block without columns.
    pub(super) fn parts(&self, features: &Tensor<2>, columns: &[std::ops::Range<usize>]) -> Vec<Tensor<2>> {
        let blocks = columns.iter().zip(&self.functions).filter(|(columns, _)| !columns.is_empty());
        let activated = blocks.map(|(columns, function)| {
            let block = features.clone().narrow(1, columns.start, columns.len());
            match function {
                Some(function) => function.apply(block),
                None => block,
            }
        });
        activated.collect()
    }
}

impl ModuleDisplay for Activation {
    fn custom_settings(&self) -> Option<DisplaySettings> {
        DisplaySettings::new().with_new_line_after_attribute(false).optional()
    }

    fn custom_content(&self, content: Content) -> Option<Content> {
        let names = self.functions.iter().map(|function| function.map_or("-".to_owned(), |f| f.to_string()));
        let names = names.collect::<Vec<_>>().join(", ");
        content.set_top_level_type(&format!("Activation({} -> {}, {names})", self.input, self.output)).optional()
    }
}
