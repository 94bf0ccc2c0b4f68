//! Weights averaged over the steps.

use burn::Tensor;
use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};

/// The exponential moving average of the weights of a model, `a <- d a + (1 - d) w` after every step.
///
/// Early on, `d` is `(1 + t) / (10 + t)` at step `t` where that is smaller, so that the first weights are forgotten soon.
#[derive(Clone, Debug)]
pub(super) struct Average {
    decay: f64,
    /// Flat, in the order in which a module is visited.
    weights: Vec<Tensor<1>>,
}

impl Average {
    /// Begins with the weights of `model`, which is in validation mode.
    pub fn new(model: &impl Module, decay: f64) -> Self {
        Self { decay, weights: weights(model) }
    }

    /// Takes in the weights after step `step`, counted from 0.
    pub fn update(&mut self, model: &impl Module, step: usize) {
        let decay = self.decay.min((1.0 + step as f64) / (10.0 + step as f64));
        for (average, weight) in self.weights.iter_mut().zip(weights(&model.valid())) {
            *average = average.clone() * decay + weight * (1.0 - decay);
        }
    }

    /// `model`, which is in validation mode, with the averaged weights.
    pub fn put<M: Module>(&self, model: M) -> M {
        model.map(&mut Put(self.weights.iter()))
    }
}

fn weights(model: &impl Module) -> Vec<Tensor<1>> {
    let mut collected = Collect(Vec::new());
    model.visit(&mut collected);
    collected.0
}

struct Collect(Vec<Tensor<1>>);

impl ModuleVisitor for Collect {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        self.0.push(param.val().flatten(0, D - 1));
    }
}

struct Put<'a>(std::slice::Iter<'a, Tensor<1>>);

impl ModuleMapper for Put<'_> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let average = self.0.next().expect("a weight for every parameter").clone();
        param.map(|weight| average.reshape(weight.shape()))
    }
}
