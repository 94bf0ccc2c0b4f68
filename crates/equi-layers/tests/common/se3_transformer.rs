//! What the tests of the SE(3)-Transformer have in common.

#![allow(dead_code)] // Each test binary uses a part of it.

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{DType, Device, Gradients, Tensor, TensorData};
use equi_layers::se3_transformer::{SE3Transformer, SE3TransformerConfig};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

/// Numbers between -1 and 1.
pub fn uniform(rng: &mut ChaCha8Rng, count: usize) -> Vec<f64> {
    (0..count).map(|_| rng.random_range(-1.0..1.0)).collect()
}

/// A tensor in a precision.
pub fn float<const D: usize>(values: &[f64], shape: [usize; D], device: &Device, dtype: DType) -> Tensor<D> {
    Tensor::from_data(TensorData::new(values.to_vec(), shape).convert_dtype(dtype), (device, dtype))
}

/// The network with all weights away from zero, where they start in part.
pub fn stirred(config: &SE3TransformerConfig, device: &Device, dtype: DType) -> SE3Transformer {
    struct Stir(ChaCha8Rng);
    impl ModuleMapper for Stir {
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            let value = param.val();
            let shape = value.dims();
            let noise: Vec<f64> = StandardNormal
                .sample_iter(&mut self.0)
                .take(shape.iter().product())
                .map(|noise: f64| 0.2 * noise)
                .collect();
            let noise = float(&noise, shape, &value.device(), value.dtype());
            Param::from_tensor((value + noise).detach())
        }
    }
    config.init((device, dtype)).unwrap().map(&mut Stir(ChaCha8Rng::seed_from_u64(config.seed.unwrap())))
}

/// The gradients of all parameters, in order.
pub fn weight_gradients(network: &SE3Transformer, gradients: &Gradients) -> Vec<Vec<f64>> {
    struct Collect<'a>(&'a Gradients, Vec<Vec<f64>>);
    impl ModuleVisitor for Collect<'_> {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            let gradient = param.val().grad(self.0);
            self.1.push(gradient.map(|gradient| gradient.into_data().iter().collect()).unwrap_or_default());
        }
    }
    let mut collect = Collect(gradients, Vec::new());
    network.visit(&mut collect);
    collect.1
}

/// The numbers.
pub fn host<const D: usize>(tensor: Tensor<D>) -> Vec<f64> {
    tensor.into_data().iter().collect()
}

/// The largest difference of two numbers in the same place.
pub fn largest_difference(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).fold(0.0, |largest: f64, (a, b)| largest.max((a - b).abs()))
}
