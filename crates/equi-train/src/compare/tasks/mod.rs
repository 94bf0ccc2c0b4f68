//! One file a task, and what tasks have in common.

mod images;
mod mnist_rot;
mod nbody;
mod own;
mod own_images;
mod own_points;
mod points;

pub use mnist_rot::MnistRot;
pub use nbody::NBody;
pub use own_images::{OwnArm, OwnImages};
pub use own_points::{OwnPointArm, OwnPoints};
