//! The gradients of a network, in the place of its parameters.

use burn::module::{ModuleMapper, Param};
use burn::tensor::{Gradients, Tensor};

/// Puts the gradient of every parameter in its place; zero where the loss does not depend on it.
pub struct Derivatives<'a>(pub &'a Gradients);

impl ModuleMapper for Derivatives<'_> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let value = param.val();
        let gradient = value.grad(self.0).unwrap_or_else(|| value.inner().zeros_like());
        Param::initialized(param.id, gradient)
    }
}
