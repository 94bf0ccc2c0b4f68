//! Linear maps of the channels of every degree.

use burn::module::{Module, Param};
use burn::tensor::Tensor;

use super::fibre::{Fibre, FibreFeatures};
use crate::weights::Weights;

/// `y_l = W_l x_l` for the degrees `l` that both fibres have: components stay apart, and there is no bias, so every rotation commutes with it.
#[derive(Module, Debug)]
pub struct FibreLinear {
    /// One for every common degree, `[channels in, channels out]`.
    pub weights: Vec<Param<Tensor<2>>>,
    #[module(skip)]
    degrees: Vec<usize>,
}

impl FibreLinear {
    /// Weights are normal with variance `1 / channels in`.
    pub(super) fn new(input: &Fibre, output: &Fibre, weights: &mut Weights) -> Self {
        let common: Vec<_> = input.iter().filter(|&(degree, _)| output.channels(degree) > 0).collect();
        Self {
            weights: common
                .iter()
                .map(|&(degree, channels)| {
                    weights.normal_with([channels, output.channels(degree)], 1.0 / (channels as f64).sqrt())
                })
                .collect(),
            degrees: common.into_iter().map(|(degree, _)| degree).collect(),
        }
    }

    /// The features of the common degrees.
    ///
    /// # Panics
    /// If a degree is missing.
    pub fn forward(&self, features: &FibreFeatures) -> FibreFeatures {
        let mapped = self.degrees.iter().zip(&self.weights).map(|(degree, weight)| {
            let features = features.degrees.get(degree).unwrap_or_else(|| panic!("features of degree {degree}"));
            let [rows, components, channels] = features.dims();
            let columns = weight.dims()[1];
            let flat = features.clone().reshape([rows * components, channels]);
            (*degree, flat.matmul(weight.val()).reshape([rows, components, columns]))
        });
        FibreFeatures { degrees: mapped.collect() }
    }
}
