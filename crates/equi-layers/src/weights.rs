//! How the weights of networks start.

use burn::module::Param;
use burn::nn::Linear;
use burn::tensor::{DType, Device, Distribution, Tensor, TensorCreationOptions, TensorData};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution as _, StandardNormal, Uniform};

/// Draws weights one after the other: from a seed on the host, so that they are the same on every device, or from the random
/// numbers of the device.
pub(crate) struct Weights {
    rng: Option<ChaCha8Rng>,
    device: Device,
    dtype: DType,
}

impl Weights {
    pub(crate) fn new(seed: Option<u64>, options: impl Into<TensorCreationOptions>) -> Self {
        let options = options.into();
        let dtype = options.dtype.unwrap_or_else(|| Tensor::<1>::empty([1], &options.device).dtype());
        Self { rng: seed.map(ChaCha8Rng::seed_from_u64), device: options.device, dtype }
    }

    /// Where the weights are.
    pub(crate) fn device(&self) -> &Device {
        &self.device
    }

    /// Uniform in `[-bound, bound]`.
    pub(crate) fn uniform<const D: usize>(&mut self, shape: [usize; D], bound: f64) -> Param<Tensor<D>> {
        let options = (&self.device, self.dtype);
        Param::from_tensor(match &mut self.rng {
            Some(rng) if bound > 0.0 => {
                let uniform = Uniform::new_inclusive(-bound, bound).expect("a positive bound");
                let values: Vec<f64> = uniform.sample_iter(rng).take(shape.iter().product()).collect();
                Tensor::from_data(TensorData::new(values, shape).convert_dtype(self.dtype), options)
            }
            None if bound > 0.0 => Tensor::random(shape, Distribution::Uniform(-bound, bound), options),
            _ => Tensor::zeros(shape, options),
        })
    }

    /// Standard normal.
    pub(crate) fn normal<const D: usize>(&mut self, shape: [usize; D]) -> Param<Tensor<D>> {
        self.normal_with(shape, 1.0)
    }

    /// The same number everywhere.
    pub(crate) fn full<const D: usize>(&mut self, shape: [usize; D], value: f64) -> Param<Tensor<D>> {
        Param::from_tensor(Tensor::full(shape, value, (&self.device, self.dtype)))
    }

    /// Normal with this standard deviation.
    pub(crate) fn normal_with<const D: usize>(&mut self, shape: [usize; D], deviation: f64) -> Param<Tensor<D>> {
        let options = (&self.device, self.dtype);
        Param::from_tensor(match &mut self.rng {
            Some(rng) => {
                let normal = StandardNormal.sample_iter(rng).map(|value: f64| deviation * value);
                let values: Vec<f64> = normal.take(shape.iter().product()).collect();
                Tensor::from_data(TensorData::new(values, shape).convert_dtype(self.dtype), options)
            }
            None => Tensor::random(shape, Distribution::Normal(0.0, deviation), options),
        })
    }

    /// Numbers that are not learned, computed on the host.
    pub(crate) fn constant<const D: usize>(&self, values: Vec<f64>, shape: [usize; D]) -> Tensor<D> {
        Tensor::from_data(TensorData::new(values, shape).convert_dtype(self.dtype), (&self.device, self.dtype))
    }

    /// `y = x W + b` with weights and bias uniform in `+-1 / sqrt(fan_in)`, as PyTorch starts them. `fan_in` is the width of the
    /// whole input, of which `x` may be a part.
    pub(crate) fn linear(&mut self, input: usize, output: usize, fan_in: usize, bias: bool) -> Linear {
        let bound = 1.0 / (fan_in.max(1) as f64).sqrt();
        let weight = self.uniform([input, output], bound);
        Linear { weight, bias: bias.then(|| self.uniform([output], bound)) }
    }

    /// Glorot's uniform initialisation, `gain * sqrt(6 / (input + output))`, without bias.
    pub(crate) fn glorot(&mut self, input: usize, output: usize, gain: f64) -> Linear {
        Linear { weight: self.uniform([input, output], gain * (6.0 / (input + output) as f64).sqrt()), bias: None }
    }
}
