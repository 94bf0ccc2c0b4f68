//! Two linear maps with a non-linearity between them.

use burn::module::Module;

use super::fibre::{Fibre, FibreFeatures};
use super::linear::FibreLinear;
use super::norm::FibreNorm;
use crate::weights::Weights;

/// How many times wider the fibre is between the linear maps.
const WIDER: usize = 4;

/// `x + W_2 phi(W_1 norm(x))`.
#[derive(Module, Debug)]
pub struct FeedForwardBlock {
    /// Before all.
    pub norm: FibreNorm,
    /// To a fibre of four times the channels.
    pub input: FibreLinear,
    /// Between the maps.
    pub activation: FibreNorm,
    /// And back.
    pub output: FibreLinear,
}

impl FeedForwardBlock {
    pub(super) fn new(fibre: &Fibre, gated: bool, weights: &mut Weights) -> Self {
        let hidden = fibre.map(|channels| WIDER * channels);
        Self {
            norm: FibreNorm::new(fibre, gated, weights),
            input: FibreLinear::new(fibre, &hidden, weights),
            activation: FibreNorm::new(&hidden, false, weights),
            output: FibreLinear::new(&hidden, fibre, weights),
        }
    }

    /// Shapes as given.
    pub fn forward(&self, features: FibreFeatures) -> FibreFeatures {
        let hidden = self.activation.forward(&self.input.forward(&self.norm.forward(&features)));
        self.output.forward(&hidden).plus(&features)
    }
}
