//! What layers must compute: operations, two for a multiply-add; and bytes, f32 inputs, weights and outputs once each.

use equi::core::o3::wigner_3j;
use equi::layers::o3::{Path, TensorProduct};
use std::collections::BTreeSet;

/// Of a forward pass.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Cost {
    pub flops: f64,
    pub bytes: f64,
}

impl Cost {
    /// Of operations and numbers that are read or written.
    pub fn new(flops: usize, numbers: usize) -> Self {
        Self { flops: flops as f64, bytes: 4.0 * numbers as f64 }
    }
}

/// Of a linear map.
pub fn linear(rows: usize, inputs: usize, outputs: usize) -> usize {
    2 * rows * inputs * outputs
}

/// Of a path of mode `uvu` for one row: the coefficients with the second input, the matrix this makes with every channel, and the weight.
fn uvu(path: &Path) -> usize {
    let [a, b, c] = path.blocks;
    let coefficients = wigner_3j(a.irrep.l, b.irrep.l, c.irrep.l).expect("degrees of a path");
    let (entries, pairs): (Vec<_>, BTreeSet<_>) =
        coefficients.nonzeros().map(|(i, j, k, _)| ((i, j, k), (i, k))).unzip();
    2 * entries.len() + a.mul * (2 * pairs.len() + c.irrep.dim())
}

/// Of a product with paths of mode `uvu` only.
pub fn product(product: &TensorProduct, rows: usize) -> usize {
    rows * product.paths().iter().map(uvu).sum::<usize>()
}

/// Of an SE(3) convolution from and to all degrees below `degrees` with `channels` each and `hidden` hidden values in the radial
/// networks: these networks; features by the last layer of each, node by node; radial and angular parts, edge by edge.
pub fn se3_convolution(degrees: usize, channels: usize, hidden: usize, nodes: usize, edges: usize) -> usize {
    let pair = |from: usize, to: usize| {
        let (p, q, kernels) = (2 * from + 1, 2 * to + 1, 2 * from.min(to) + 1);
        linear(edges, 1, hidden)
            + linear(edges, hidden, hidden)
            + linear(nodes * p, channels, (hidden + 1) * kernels * channels)
            + 2 * edges * p * kernels * channels * (hidden + 1 + q)
    };
    let itself = |degree: usize| linear(nodes * (2 * degree + 1), channels, channels);
    (0..degrees).map(|to| itself(to) + (0..degrees).map(|from| pair(from, to)).sum::<usize>()).sum()
}

/// Values that can be counted by hand.
pub fn test() {
    assert_eq!(linear(3, 5, 7), 210);
    // The cross product has 6 coefficients, and as many pairs of components.
    let cross = wigner_3j(1, 1, 1).expect("small degrees");
    assert_eq!(cross.nonzeros().count(), 6);
    // One channel of degree 0, one hidden value, one node, one edge: 2 + 2 for the network, 4 for the features, 6 for the edge, 2 for itself.
    assert_eq!(se3_convolution(1, 1, 1, 1, 1), 2 + 2 + 4 + 6 + 2);
}
