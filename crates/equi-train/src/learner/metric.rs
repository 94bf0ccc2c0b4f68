//! The exact equivariance error as a metric.

use std::sync::Arc;

use burn::tensor::TensorReadError;
use burn_train::metric::{
    Metric, MetricAttributes, MetricMetadata, MetricName, Numeric, NumericAttributes, NumericEntry, SerializedEntry,
};

use crate::compare::stats::largest;

/// What [`EquivarianceErrorMetric`] takes: the error of one batch, where it was measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EquivarianceErrorInput {
    /// `|f(g.x) - g.f(x)| / |f(x)|`, the largest over the transformations that are tried.
    pub error: Option<f64>,
}

/// The exact equivariance error of the network during validation: the largest that was measured in an epoch, and NaN if one of them was.
///
/// It is what `equi compare` reports: [`probe::image`](crate::compare::probe::image) for images, and [`probe::motion`](crate::compare::probe::motion)
/// for points. The steps measure it on the first batch of a validation, which costs as many forward passes of that batch as there are transformations, if
/// their samples ask for it ([`ImageSamples::with_probe`](super::ImageSamples::with_probe), [`MotionSamples::with_probe`](super::MotionSamples::with_probe)).
/// Register it with `metric_valid_numeric`.
#[derive(Clone, Debug, Default)]
pub struct EquivarianceErrorMetric {
    newest: Option<f64>,
    largest: Option<f64>,
}

impl EquivarianceErrorMetric {
    /// A metric that has seen nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// The largest error of the epoch so far.
    pub fn largest(&self) -> Option<f64> {
        self.largest
    }

    fn entry(&self, serialized: NumericEntry) -> SerializedEntry {
        match (self.largest, self.newest) {
            (Some(epoch), Some(batch)) => {
                SerializedEntry::new(format!("epoch {epoch:.2e} - batch {batch:.2e}"), serialized.serialize())
            }
            _ => SerializedEntry::not_available(None),
        }
    }
}

impl Metric for EquivarianceErrorMetric {
    type Input = EquivarianceErrorInput;

    fn name(&self) -> MetricName {
        Arc::new("Equivariance Error".to_string())
    }

    fn description(&self) -> Option<String> {
        Some("|f(g.x) - g.f(x)| / |f(x)| for transformations that floating point represents exactly".to_string())
    }

    fn attributes(&self) -> MetricAttributes {
        NumericAttributes { unit: None, higher_is_better: false }.into()
    }

    fn update(
        &mut self,
        item: &EquivarianceErrorInput,
        _metadata: &MetricMetadata,
    ) -> Result<SerializedEntry, TensorReadError> {
        if let Some(error) = item.error {
            self.newest = Some(error);
            self.largest = Some(self.largest.map_or(error, |before| largest(before, error)));
        }
        Ok(self.entry(NumericEntry::Value(self.largest.unwrap_or(f64::NAN))))
    }

    fn compute(&mut self) -> Result<SerializedEntry, TensorReadError> {
        Ok(self.entry(self.final_value()))
    }

    fn clear(&mut self) {
        *self = Self::default();
    }
}

impl Numeric for EquivarianceErrorMetric {
    fn value(&self) -> Option<NumericEntry> {
        self.newest.map(NumericEntry::Value)
    }

    fn running_value(&self) -> Option<NumericEntry> {
        self.largest.map(NumericEntry::Value)
    }

    fn final_value(&self) -> NumericEntry {
        NumericEntry::Final(self.largest.unwrap_or(f64::NAN))
    }
}
