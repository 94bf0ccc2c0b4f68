//! Networks that say something of samples of points: a number, or a vector for every point.
//!
//! ```text
//! number:   y = sum_i r(h_i) / n      of the features h after the last layer, n the number of points of an average sample
//! vectors:  y_i                       the shifts of an EGNN, or three features of the plain network
//! ```
//!
//! The sum is that of contributions of the points, so what grows with a sample can be told.

use burn::Tensor;
use burn::module::Module;
use equi_core::ops::segment_sum;
use equi_layers::graph::{Egnn, RawGnn};

use crate::data::points::PointBatch;
use crate::fit::PointModel;

/// An [`Egnn`] with a number or with vectors for its answer.
#[derive(Module, Debug)]
pub struct PointEgnn {
    network: Egnn,
    /// Points of an average sample, where the answer is a number.
    average: Option<f64>,
}

/// A [`RawGnn`] with a number or with vectors for its answer.
#[derive(Module, Debug)]
pub struct PointGnn {
    network: RawGnn,
    average: Option<f64>,
}

impl PointEgnn {
    /// Around a network with one feature in its output, of which the sum over a sample is divided by `average`; without it, of the shifts of the network.
    pub fn new(network: Egnn, average: Option<f64>) -> Self {
        Self { network, average }
    }
}

impl PointGnn {
    /// Around a network with one feature in its output, of which the sum over a sample is divided by `average`; without it, one with three.
    pub fn new(network: RawGnn, average: Option<f64>) -> Self {
        Self { network, average }
    }
}

impl PointModel for PointEgnn {
    fn forward(&self, batch: &PointBatch) -> Tensor<2> {
        match self.average {
            Some(average) => {
                let (features, _) = self.network.forward(&batch.graph, batch.points.clone(), None);
                segment_sum(features, batch.graph.members()) / average
            }
            None => self.network.shifts(&batch.graph, batch.points.clone(), None),
        }
    }
}

impl PointModel for PointGnn {
    fn forward(&self, batch: &PointBatch) -> Tensor<2> {
        let features = self.network.forward(&batch.graph, batch.points.clone(), None);
        match self.average {
            Some(average) => segment_sum(features, batch.graph.members()) / average,
            None => features,
        }
    }
}
