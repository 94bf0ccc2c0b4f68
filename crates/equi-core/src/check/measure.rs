//! Sizes of differences. What is not a number is larger than everything.

use burn::tensor::Tensor;

pub(super) fn values<const D: usize>(x: Tensor<D>) -> Vec<f64> {
    x.into_data().convert::<f64>().try_into_vec().expect("f64 after conversion")
}

pub(super) fn norm(values: &[f64]) -> f64 {
    values.iter().map(|v| v * v).sum::<f64>().sqrt()
}

pub(super) fn largest(values: &[f64]) -> f64 {
    values.iter().fold(0.0, |m: f64, v| if m.is_nan() || v.is_nan() { f64::NAN } else { m.max(v.abs()) })
}

/// Relative to a reference; no difference at all is no error, whatever the reference.
pub(super) fn ratio(difference: f64, reference: f64) -> f64 {
    if difference == 0.0 { 0.0 } else { difference / reference }
}

/// The largest of errors, infinite if one is not a number.
pub(super) fn worst(errors: impl Iterator<Item = f64>) -> f64 {
    errors.fold(0.0, |m, e| if e.is_nan() { f64::INFINITY } else { m.max(e) })
}
