//! Pointwise non-linearities, `(s f)(p)_c = s(f(p)_c)`.
//!
//! If `rho(g)` permutes the channels, `s (rho(g) f) = rho(g) (s f)` for every function `s`: regular, quotient and trivial
//! fields are exactly equivariant to their whole group. Any other representation mixes channels and is refused; the norm,
//! gated and Fourier non-linearities are for those.
//!
//! Cohen and Welling: Group Equivariant Convolutional Networks, ICML 2016.

use burn::module::{Content, DisplaySettings, Module, ModuleDisplay};
use burn::tensor::{Tensor, activation};
use equi_core::FieldType;
use equi_core::check::FieldMap;
use equi_core::ops::silu;
use equi_core::repr::Basis;
use std::fmt;

use crate::error::{LayerError, Result};

/// A function of one real variable.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Nonlinearity {
    /// `max(x, 0)`.
    Relu,
    /// `x` where positive, else `alpha (exp(x) - 1)`.
    Elu(f64),
    /// `x` where positive, else `slope x`.
    LeakyRelu(f64),
    /// `x sigmoid(x)`.
    Silu,
    /// `1 / (1 + exp(-x))`.
    Sigmoid,
    /// Hyperbolic tangent.
    Tanh,
    /// `|x|`.
    Abs,
    /// `log(1 + exp(x))`.
    Softplus,
    /// `x` times the normal distribution function.
    Gelu,
    /// Sine.
    Sin,
    /// Cosine.
    Cos,
    /// `x^2`.
    Square,
}

impl Nonlinearity {
    /// Applies the function to every element.
    pub fn apply<const D: usize>(self, x: Tensor<D>) -> Tensor<D> {
        match self {
            Self::Relu => activation::relu(x),
            // Burn's own has the gradient 0 * inf where exp(x) overflows, and takes longer.
            Self::Elu(alpha) => equi_core::ops::elu(x, alpha),
            Self::LeakyRelu(slope) => activation::leaky_relu(x, slope),
            Self::Silu => silu(x),
            Self::Sigmoid => activation::sigmoid(x),
            Self::Tanh => activation::tanh(x),
            Self::Abs => x.abs(),
            // Beyond 40 it is x in f64 too.
            Self::Softplus => activation::softplus_with_threshold(x, 1.0, 40.0),
            Self::Gelu => equi_core::ops::gelu(x),
            Self::Sin => x.sin(),
            Self::Cos => x.cos(),
            Self::Square => x.square(),
        }
    }
}

impl fmt::Display for Nonlinearity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Relu => write!(f, "ReLU"),
            Self::Elu(1.0) => write!(f, "ELU"),
            Self::Elu(alpha) => write!(f, "ELU[{alpha}]"),
            Self::LeakyRelu(slope) => write!(f, "LeakyReLU[{slope}]"),
            Self::Silu => write!(f, "SiLU"),
            Self::Sigmoid => write!(f, "Sigmoid"),
            Self::Tanh => write!(f, "Tanh"),
            Self::Abs => write!(f, "Abs"),
            Self::Softplus => write!(f, "Softplus"),
            Self::Gelu => write!(f, "GELU"),
            Self::Sin => write!(f, "Sin"),
            Self::Cos => write!(f, "Cos"),
            Self::Square => write!(f, "Square"),
        }
    }
}

/// Applies a function to every channel, `(s f)(p)_c = s(f(p)_c)`.
///
/// Exactly equivariant to the whole group, because only fields whose channels are permuted are allowed: regular, quotient and
/// trivial ones.
#[derive(Module, Debug)]
#[module(custom_display)]
pub struct Pointwise {
    #[module(skip)]
    field_type: FieldType,
    #[module(skip)]
    function: Nonlinearity,
}

impl Pointwise {
    /// Applies `function` to every channel.
    ///
    /// # Errors
    /// [`LayerError::Unsupported`] if an element of the group does more to a field than permute its channels.
    pub fn new(field_type: &FieldType, function: Nonlinearity) -> Result<Self> {
        if let Some(field) = field_type.fields().iter().find(|f| f.basis() != Basis::Permutation) {
            return Err(LayerError::Unsupported(format!(
                "{function} acts on each channel, which does not commute with {field} of {}: use NormNonLinearity or \
                 GatedNonLinearity, or FourierPointwise if the field is spectral",
                field.group()
            )));
        }
        Ok(Self { field_type: field_type.clone(), function })
    }

    /// Applies the function.
    ///
    /// # Shapes
    /// - `features`, output: `[batch, field_type.size(), height, width]`
    ///
    /// # Panics
    /// If the channels are not those of the type.
    pub fn forward(&self, features: Tensor<4>) -> Tensor<4> {
        self.assert_channels(features.dims()[1]);
        self.function.apply(features)
    }

    pub(super) fn assert_channels(&self, channels: usize) {
        self.field_type.assert_channels("Pointwise", channels);
    }

    /// The function.
    pub fn function(&self) -> Nonlinearity {
        self.function
    }
}

impl FieldMap for Pointwise {
    fn input_type(&self) -> FieldType {
        self.field_type.clone()
    }

    fn output_type(&self) -> FieldType {
        self.field_type.clone()
    }

    fn forward(&self, features: Tensor<4>) -> Tensor<4> {
        Pointwise::forward(self, features)
    }
}

impl ModuleDisplay for Pointwise {
    fn custom_settings(&self) -> Option<DisplaySettings> {
        DisplaySettings::new().with_new_line_after_attribute(false).optional()
    }

    fn custom_content(&self, content: Content) -> Option<Content> {
        content.set_top_level_type(&format!("{}({})", self.function, self.field_type)).optional()
    }
}
