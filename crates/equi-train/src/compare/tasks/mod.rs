//! One file a task.

mod mnist_rot;
mod nbody;

pub use mnist_rot::MnistRot;
pub use nbody::NBody;
