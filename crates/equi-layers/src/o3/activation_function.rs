//! Functions of scalars with second moment one, `f(x) = c s(x)` with `E[f(z)^2] = 1` for a standard normal `z`, so that the features
//! of a network keep their size from layer to layer.
//!
//! e3nn estimates `c` from a million random numbers, which is off by up to 2e-3, and weights trained with e3nn rely on its estimates.
//! They are therefore what a plain [`Nonlinearity`] becomes; [`NormalizedFunction::exact`] has the integrals. The function of an odd
//! scalar must be odd, which keeps it, or even, which makes it an even one: [`parity`].

use burn::tensor::Tensor;
use equi_core::o3::{Irrep, Parity};
use std::fmt;

use crate::error::{LayerError, Result};
use crate::planar::Nonlinearity;

/// A function of scalars, scaled to second moment one; see [`e3nn`](Self::e3nn).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NormalizedFunction {
    function: Nonlinearity,
    factor: f64,
}

impl NormalizedFunction {
    /// Scaled as e3nn does. A function for which there is no estimate of e3nn, such as `Elu(0.5)`, is scaled exactly.
    pub fn e3nn(function: Nonlinearity) -> Self {
        let factor = match function {
            Nonlinearity::Silu => 1.6791767923989418,
            Nonlinearity::Tanh => 1.5937334472592695,
            Nonlinearity::Sigmoid => 1.8467055342154763,
            Nonlinearity::Relu => 1.4163393446331365,
            Nonlinearity::Abs => 1.001110600838467,
            Nonlinearity::Softplus => 1.0426436590527184,
            Nonlinearity::Gelu => 1.5360642850770576,
            Nonlinearity::Elu(1.0) => 1.2467863885570512,
            Nonlinearity::LeakyRelu(0.01) => 1.4162684218969974,
            Nonlinearity::Sin => 1.5218334864623193,
            Nonlinearity::Cos => 1.326609063570005,
            Nonlinearity::Square => 0.5779851362666192,
            Nonlinearity::Elu(_) | Nonlinearity::LeakyRelu(_) => return Self::exact(function),
        };
        Self { function, factor }
    }

    /// Scaled by the integral.
    pub fn exact(function: Nonlinearity) -> Self {
        // E[s(z)^2]; those without a closed form by quadrature.
        let second_moment: f64 = match function {
            Nonlinearity::Silu => 0.355_775_519_817_352_16,
            Nonlinearity::Tanh => 0.394_294_490_397_841_17,
            Nonlinearity::Sigmoid => 0.293_379_035_858_092_96,
            Nonlinearity::Softplus => 0.921_245_908_859_302_8,
            Nonlinearity::Gelu => 0.425_221_482_570_298_7,
            Nonlinearity::Relu => 0.5,
            Nonlinearity::LeakyRelu(slope) => (1.0 + slope * slope) / 2.0,
            // E[(exp(z) - 1)^2; z < 0].
            Nonlinearity::Elu(alpha) => 0.5 + alpha * alpha * 0.144_945_417_492_923_86,
            Nonlinearity::Abs => 1.0,
            Nonlinearity::Sin => (1.0 - (-2.0_f64).exp()) / 2.0,
            Nonlinearity::Cos => (1.0 + (-2.0_f64).exp()) / 2.0,
            Nonlinearity::Square => 3.0,
        };
        Self { function, factor: second_moment.sqrt().recip() }
    }

    /// What is scaled.
    pub fn function(&self) -> Nonlinearity {
        self.function
    }

    /// By how much.
    pub fn factor(&self) -> f64 {
        self.factor
    }

    /// Applies it to every element.
    pub fn apply<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        self.function.apply(x) * self.factor
    }

    /// What becomes of a scalar of the kind of `irrep`.
    pub(super) fn of(&self, irrep: Irrep) -> Result<Irrep> {
        match (irrep.l, irrep.parity, parity(self.function)) {
            (0, Parity::Even, _) | (0, Parity::Odd, Some(Parity::Odd)) => Ok(irrep),
            (0, Parity::Odd, Some(Parity::Even)) => Ok(Irrep::even(0)),
            (0, Parity::Odd, None) => Err(LayerError::Unsupported(format!(
                "{} of {irrep} is neither kept nor negated by a reflection: a function of odd scalars must be odd (Tanh, Sin) or even \
                 (Abs, Cos, Square), and {0} is neither",
                self.function
            ))),
            _ => Err(LayerError::Unsupported(format!(
                "{} acts on numbers, and the components of {irrep} are mixed by rotations: leave such blocks alone, or use Gate or \
                 NormActivation",
                self.function
            ))),
        }
    }
}

impl From<Nonlinearity> for NormalizedFunction {
    /// As e3nn scales it.
    fn from(function: Nonlinearity) -> Self {
        Self::e3nn(function)
    }
}

impl fmt::Display for NormalizedFunction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.function.fmt(f)
    }
}

/// Even if `s(-x) = s(x)`, odd if `s(-x) = -s(x)`.
pub(super) fn parity(function: Nonlinearity) -> Option<Parity> {
    match function {
        Nonlinearity::Abs | Nonlinearity::Cos | Nonlinearity::Square => Some(Parity::Even),
        Nonlinearity::Tanh | Nonlinearity::Sin => Some(Parity::Odd),
        _ => None,
    }
}
