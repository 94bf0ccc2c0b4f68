//! No forces at all.

use burn::module::{Module, Param};
use burn::tensor::{Tensor, TensorCreationOptions};

use super::Points;

/// `x_i' = x_i + t v_i`, with one time `t` for all.
#[derive(Module, Debug)]
pub struct LinearMotion {
    /// The time, `[1]`.
    pub time: Param<Tensor<1>>,
}

impl LinearMotion {
    /// Motion for a time.
    pub fn new(time: f64, options: impl Into<TensorCreationOptions>) -> Self {
        Self { time: Param::from_tensor(Tensor::full([1], time, options)) }
    }

    /// The time that leaves the smallest squares: `t = sum v . (y - x) / sum v . v`, zero where nothing moves.
    ///
    /// # Shapes
    /// - `positions`, `velocities`, `targets`: `[nodes, dimensions]`
    pub fn fit(positions: Tensor<2>, velocities: Tensor<2>, targets: Tensor<2>) -> Self {
        let options = (&positions.device(), positions.dtype());
        let along = (velocities.clone() * (targets - positions)).sum().into_scalar::<f64>();
        let speed = velocities.powi_scalar(2).sum().into_scalar::<f64>();
        Self::new(if speed > 0.0 { along / speed } else { 0.0 }, options)
    }

    /// The new positions, `[nodes, dimensions]`.
    ///
    /// # Panics
    /// If the points have no velocities.
    pub fn positions(&self, points: Points) -> Tensor<2> {
        let velocities = points.velocities.expect("linear motion needs velocities");
        points.positions + velocities * self.time.val().unsqueeze::<2>()
    }
}
