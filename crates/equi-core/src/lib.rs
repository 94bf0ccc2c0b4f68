//! placeholder

pub mod resample;
