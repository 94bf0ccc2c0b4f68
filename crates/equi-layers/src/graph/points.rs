//! What a network on points is given.

use burn::tensor::Tensor;

/// The nodes of a batch of graphs, one row each.
#[derive(Clone, Debug)]
pub struct Points {
    /// Invariant features, `[nodes, channels]`.
    pub features: Tensor<2>,
    /// Positions, `[nodes, dimensions]`.
    pub positions: Tensor<2>,
    /// Velocities, `[nodes, dimensions]`.
    pub velocities: Option<Tensor<2>>,
    /// Invariant features that every layer is shown afresh, `[nodes, channels]`.
    pub attributes: Option<Tensor<2>>,
}

impl Points {
    /// Nodes with features and positions.
    pub fn new(features: Tensor<2>, positions: Tensor<2>) -> Self {
        Self { features, positions, velocities: None, attributes: None }
    }

    /// The same with velocities.
    pub fn with_velocities(mut self, velocities: Tensor<2>) -> Self {
        self.velocities = Some(velocities);
        self
    }

    /// The same with attributes.
    pub fn with_attributes(mut self, attributes: Tensor<2>) -> Self {
        self.attributes = Some(attributes);
        self
    }
}

/// Panics unless `tensor` is there exactly where `channels` is not zero, with `rows` rows of that width.
pub(super) fn check(what: &str, tensor: Option<&Tensor<2>>, rows: usize, channels: usize) {
    match tensor {
        None => assert_eq!(channels, 0, "this network takes {what} [{rows}, {channels}]; none were given"),
        Some(tensor) => assert_eq!(
            tensor.dims(),
            [rows, channels],
            "this network takes {what} [{rows}, {channels}] on this graph; it was given {:?}",
            tensor.dims()
        ),
    }
}
