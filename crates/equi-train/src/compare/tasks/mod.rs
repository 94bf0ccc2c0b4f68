//! One file a task.

mod mnist_rot;

pub use mnist_rot::MnistRot;
