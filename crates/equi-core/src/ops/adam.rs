//! A step of Adam in one pass over every parameter.

use burn::backend::Dispatch;
use burn::optim::{AdamState, AdaptiveMomentumState, LearningRate, ModuleOptimizer, Optimizer};
use burn::tensor::{Device, Tensor};

use super::extension::RowOps;

/// Adam (Kingma and Ba, ICLR 2015), as [`AdamConfig`](burn::optim::AdamConfig) of Burn computes it, with the same state and records:
///
/// ```text
/// m <- b1 m + (1 - b1) g         v <- b2 v + (1 - b2) g^2
/// x <- x - rate (m / (1 - b1^t)) / (sqrt(v / (1 - b2^t)) + epsilon)
/// ```
///
/// On flex a parameter is one pass, rather than a dozen operations with a tensor each: networks have many small parameters. No weight decay and no
/// AMSGrad.
#[derive(Clone, Debug)]
pub struct Adam {
    beta_1: f32,
    beta_2: f32,
    epsilon: f32,
}

impl Default for Adam {
    fn default() -> Self {
        Self::new()
    }
}

impl Adam {
    /// `b1 = 0.9`, `b2 = 0.999` and `epsilon = 1e-8`, as in the paper.
    pub fn new() -> Self {
        Self { beta_1: 0.9, beta_2: 0.999, epsilon: 1e-8 }
    }

    /// The same with other decays.
    pub fn with_betas(mut self, beta_1: f32, beta_2: f32) -> Self {
        (self.beta_1, self.beta_2) = (beta_1, beta_2);
        self
    }

    /// The same with another epsilon.
    pub fn with_epsilon(mut self, epsilon: f32) -> Self {
        self.epsilon = epsilon;
        self
    }

    /// For all parameters of a module.
    pub fn init(self) -> ModuleOptimizer {
        ModuleOptimizer::from(self)
    }
}

impl Optimizer for Adam {
    type State<const D: usize> = AdamState<D>;

    fn step<const D: usize>(
        &self,
        rate: LearningRate,
        parameter: Tensor<D>,
        gradient: Tensor<D>,
        state: Option<AdamState<D>>,
    ) -> (Tensor<D>, Option<AdamState<D>>) {
        let (time, moments) = match state {
            Some(AdamState { momentum }) => (momentum.time + 1, [momentum.moment_1, momentum.moment_2]),
            None => (1, [gradient.zeros_like(), gradient.zeros_like()]),
        };
        let Self { beta_1, beta_2, epsilon } = *self;
        let correction = (1.0 - beta_2.powi(time as i32)).sqrt();
        let factors = [
            beta_1,
            1.0 - beta_1,
            beta_2,
            1.0 - beta_2,
            correction / (1.0 - beta_1.powi(time as i32)),
            epsilon * correction,
        ]
        .map(f64::from);
        let [moment_1, moment_2] = moments.map(Tensor::into_dispatch);
        let (parameter, moment_1, moment_2) = <Dispatch as RowOps>::adam_step(
            parameter.into_dispatch(),
            gradient.into_dispatch(),
            moment_1,
            moment_2,
            factors,
            rate,
        );
        let [parameter, moment_1, moment_2] = [parameter, moment_1, moment_2].map(Tensor::from_dispatch);
        (parameter, Some(AdamState::new(AdaptiveMomentumState::new(time, moment_1, moment_2))))
    }

    fn to_device<const D: usize>(mut state: AdamState<D>, device: &Device) -> AdamState<D> {
        state.momentum = state.momentum.to_device(device);
        state
    }
}
