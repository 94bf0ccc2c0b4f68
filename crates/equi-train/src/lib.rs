//! Data, augmentation, deterministic training and the fair comparison between equivariance and augmentation.

pub mod atomic;
pub mod augment;
pub mod compare;
pub mod cost;
pub mod data;
pub mod device;
pub mod fit;
#[cfg(feature = "burn-train")]
pub mod learner;
pub mod memory;
pub mod model;
pub mod report;
pub mod seed;
pub mod stop;
