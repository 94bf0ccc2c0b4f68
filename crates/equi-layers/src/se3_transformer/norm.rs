//! Non-linearities of norms.

use burn::module::{Module, Param};
use burn::tensor::Tensor;
use equi_core::ops::gelu;

use super::fibre::{Fibre, FibreFeatures};
use crate::weights::Weights;

/// `y = phi(|x|) x / |x|` for every channel of every degree: rotations turn the direction and leave the norm alone, so they commute with it.
///
/// `phi(n) = sigma(s n)` with a learned scale `s` for each channel, or, gated, `sigma(n sum_d w_dc n_d)` with the norms `n_d` of all
/// channels of the degree. `sigma` is GELU, or nothing. At zero the value is zero and the gradient that of the limit.
#[derive(Module, Debug)]
pub struct FibreNorm {
    /// One for every degree: `[1, channels]`, or `[channels, channels]` where gated.
    pub scales: Vec<Param<Tensor<2>>>,
    gated: bool,
    bare: bool,
    #[module(skip)]
    degrees: Vec<usize>,
}

impl FibreNorm {
    /// Scales start at 1, gates uniform in `+-0.001`.
    pub(super) fn new(fibre: &Fibre, gated: bool, weights: &mut Weights) -> Self {
        let scale = |channels: usize, weights: &mut Weights| match gated {
            true => weights.uniform([channels, channels], 1e-3),
            false => weights.full([1, channels], 1.0),
        };
        Self {
            scales: fibre.iter().map(|(_, channels)| scale(channels, weights)).collect(),
            gated,
            bare: false,
            degrees: fibre.iter().map(|(degree, _)| degree).collect(),
        }
    }

    /// The same without `sigma`: a learned scale.
    pub(super) fn without_activation(mut self) -> Self {
        self.bare = true;
        self
    }

    /// Shapes as given.
    ///
    /// # Panics
    /// If a degree is missing.
    pub fn forward(&self, features: &FibreFeatures) -> FibreFeatures {
        let mapped = self.degrees.iter().zip(&self.scales).map(|(degree, scale)| {
            let features = features.degrees.get(degree).unwrap_or_else(|| panic!("features of degree {degree}"));
            (*degree, self.of_degree(features.clone(), scale.val()))
        });
        FibreFeatures { degrees: mapped.collect() }
    }

    fn of_degree(&self, features: Tensor<3>, scale: Tensor<2>) -> Tensor<3> {
        let squares: Tensor<2> = features.clone().powi_scalar(2).sum_dim(1).squeeze_dim(1);
        let zero = squares.clone().equal_scalar(0.0);
        // A norm of 1 where there is none: its gradient is finite, and its value is replaced below.
        let norms = squares.mask_fill(zero.clone(), 1.0).sqrt();
        let scale = match self.gated {
            true => norms.clone().mask_fill(zero.clone(), 0.0).matmul(scale),
            false => scale.expand(norms.dims()),
        };
        if self.bare {
            return features * scale.unsqueeze_dim(1);
        }
        let ratio = gelu(norms.clone() * scale.clone()) / norms;
        // GELU has slope 1/2 at zero.
        let ratio = ratio.mask_where(zero, scale * 0.5);
        features * ratio.unsqueeze_dim(1)
    }
}
