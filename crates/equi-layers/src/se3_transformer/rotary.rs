//! Rotary embeddings of scalars.

use burn::tensor::{Tensor, TensorData};

/// By what angles the channels of degree 0 are rotated, pair by pair: those of the nodes (as queries, and as their own keys and
/// values), and those of the edges (as keys and values).
#[derive(Clone, Debug)]
pub(super) struct Rotary {
    /// `[nodes, pairs]`
    pub nodes: Tensor<2>,
    /// `[edges, pairs]`; none where there is no edge.
    pub edges: Option<Tensor<2>>,
}

/// `position * 10000^(-t / pairs)` for pair `t`: `[rows, 1]` to `[rows, pairs]` (Su et al. 2021).
pub(super) fn angles(positions: Tensor<2>, pairs: usize) -> Tensor<2> {
    let rates: Vec<f64> = (0..pairs).map(|pair| 10_000_f64.powf(-(pair as f64) / pairs as f64)).collect();
    let data = TensorData::new(rates, [1, pairs]).convert_dtype(positions.dtype());
    let rates = Tensor::from_data(data, (&positions.device(), positions.dtype()));
    positions * rates
}

/// Rotates channels `2 t` and `2 t + 1` of every head by angle `t`; channels beyond the angles stay.
///
/// # Shapes
/// - `features`: `[rows, 1, heads * channels]`
/// - `angles`: `[rows, pairs]`
pub(super) fn rotate(features: Tensor<3>, angles: &Tensor<2>, heads: usize) -> Tensor<3> {
    let [rows, _, width] = features.dims();
    let (pairs, channels) = (angles.dims()[1], width / heads);
    let by_head = features.reshape([rows, heads, channels]);
    let turned = by_head.clone().narrow(2, 0, 2 * pairs).reshape([rows, heads, pairs, 2]);
    let (x, y) = (turned.clone().narrow(3, 0, 1), turned.narrow(3, 1, 1));
    let angles = angles.clone().reshape([rows, 1, pairs, 1]);
    let (sin, cos) = (angles.clone().sin(), angles.cos());
    let turned = Tensor::cat(vec![x.clone() * cos.clone() - y.clone() * sin.clone(), x * sin + y * cos], 3);
    let turned = turned.reshape([rows, heads, 2 * pairs]);
    let all = match channels - 2 * pairs {
        0 => turned,
        rest => Tensor::cat(vec![turned, by_head.narrow(2, 2 * pairs, rest)], 2),
    };
    all.reshape([rows, 1, width])
}
