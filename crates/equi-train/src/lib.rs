//! Data, augmentation, deterministic training and the fair comparison between equivariance and augmentation.

pub mod data;
