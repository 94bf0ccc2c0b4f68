//! The operations, composed of what every backend has: for backends and precisions without kernels of ours.

use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::backend::{Backend, TensorMetadata};
use burn::tensor::IndexingUpdateOp;

use super::extension::{BackendSegments, EdgeGradients, RowOps};

pub(super) fn swish<B: Backend>(x: FloatTensor<B>) -> FloatTensor<B> {
    B::float_mul(x.clone(), B::sigmoid(x))
}

pub(super) fn swish_gradient<B: Backend>(x: FloatTensor<B>, gradient: FloatTensor<B>) -> FloatTensor<B> {
    let sigmoid = B::sigmoid(x.clone());
    let rest = B::float_add_scalar(B::float_neg(sigmoid.clone()), 1.0.into());
    let slope = B::float_add_scalar(B::float_mul(x, rest), 1.0.into());
    B::float_mul(gradient, B::float_mul(sigmoid, slope))
}

pub(super) fn bias_swish<B: RowOps>(x: FloatTensor<B>, bias: FloatTensor<B>) -> FloatTensor<B> {
    B::swish(B::float_add(x, row::<B>(bias)))
}

pub(super) fn bias_swish_gradient<B: RowOps>(
    x: FloatTensor<B>,
    bias: FloatTensor<B>,
    gradient: FloatTensor<B>,
) -> (FloatTensor<B>, FloatTensor<B>) {
    let shape = bias.shape();
    let by_x = B::swish_gradient(B::float_add(x, row::<B>(bias)), gradient);
    let by_bias = B::float_reshape(B::float_sum_dim(by_x.clone(), 0), shape);
    (by_x, by_bias)
}

pub(super) fn gate<B: Backend>(x: FloatTensor<B>, weight: FloatTensor<B>, bias: FloatTensor<B>) -> FloatTensor<B> {
    let open = opening::<B>(x.clone(), weight, bias);
    B::float_mul(x, open)
}

pub(super) fn gate_gradient<B: Backend>(
    x: FloatTensor<B>,
    weight: FloatTensor<B>,
    bias: FloatTensor<B>,
    gradient: FloatTensor<B>,
) -> (FloatTensor<B>, FloatTensor<B>, FloatTensor<B>) {
    let open = opening::<B>(x.clone(), weight.clone(), bias);
    let by_open = B::float_sum_dim(B::float_mul(gradient.clone(), x.clone()), 1);
    let shut = B::float_add_scalar(B::float_neg(open.clone()), 1.0.into());
    let by_sum = B::float_mul(by_open, B::float_mul(open.clone(), shut));
    let through = B::float_matmul(by_sum.clone(), B::float_transpose(weight));
    let by_weight = B::float_matmul(B::float_transpose(x), by_sum.clone());
    let by_bias = B::float_reshape(B::float_sum_dim(by_sum, 0), [1].into());
    (B::float_add(B::float_mul(gradient, open), through), by_weight, by_bias)
}

/// `sigmoid(x w + b)`, `[rows, 1]`.
fn opening<B: Backend>(x: FloatTensor<B>, weight: FloatTensor<B>, bias: FloatTensor<B>) -> FloatTensor<B> {
    B::sigmoid(B::float_add(B::float_matmul(x, weight), row::<B>(bias)))
}

pub(super) fn gather_rows<B: Backend>(values: FloatTensor<B>, segments: BackendSegments<B>) -> FloatTensor<B> {
    let shape = [segments.host.rows(), values.shape()[1]];
    if shape.contains(&0) || segments.host.count() == 0 {
        return B::float_zeros(shape.into(), &values.device(), values.dtype().into());
    }
    B::float_gather(0, values, spread::<B>(segments.ids, shape))
}

pub(super) fn sum_rows<B: Backend>(values: FloatTensor<B>, segments: BackendSegments<B>) -> FloatTensor<B> {
    let [rows, channels] = [segments.host.rows(), values.shape()[1]];
    let shape = [segments.host.count(), channels];
    let zeros = B::float_zeros(shape.into(), &values.device(), values.dtype().into());
    if rows * channels == 0 {
        return zeros;
    }
    B::float_scatter(0, zeros, spread::<B>(segments.ids, [rows, channels]), values, IndexingUpdateOp::Add)
}

pub(super) fn combine_edges<B: RowOps>(
    received: FloatTensor<B>,
    sent: FloatTensor<B>,
    edges: FloatTensor<B>,
    weight: FloatTensor<B>,
    receivers: BackendSegments<B>,
    senders: BackendSegments<B>,
) -> FloatTensor<B> {
    B::swish(combined::<B>(received, sent, edges, weight, receivers, senders))
}

#[allow(clippy::too_many_arguments)]
pub(super) fn combine_edges_gradient<B: RowOps>(
    received: FloatTensor<B>,
    sent: FloatTensor<B>,
    edges: FloatTensor<B>,
    weight: FloatTensor<B>,
    receivers: BackendSegments<B>,
    senders: BackendSegments<B>,
    gradient: FloatTensor<B>,
    needed: [bool; 4],
) -> EdgeGradients<B> {
    let sums = combined::<B>(received, sent, edges.clone(), weight.clone(), receivers.clone(), senders.clone());
    let by_sums = B::swish_gradient(sums, gradient);
    let [received, sent, by_edges, by_weight] = needed;
    (
        received.then(|| B::sum_rows(by_sums.clone(), receivers)),
        sent.then(|| B::sum_rows(by_sums.clone(), senders)),
        by_edges.then(|| B::float_matmul(by_sums.clone(), B::float_transpose(weight))),
        by_weight.then(|| B::float_matmul(B::float_transpose(edges), by_sums)),
    )
}

/// The argument of the SiLU in `combine_edges`.
fn combined<B: RowOps>(
    received: FloatTensor<B>,
    sent: FloatTensor<B>,
    edges: FloatTensor<B>,
    weight: FloatTensor<B>,
    receivers: BackendSegments<B>,
    senders: BackendSegments<B>,
) -> FloatTensor<B> {
    let ends = B::float_add(B::gather_rows(received, receivers), B::gather_rows(sent, senders));
    B::float_add(ends, B::float_matmul(edges, weight))
}

/// `[channels]` as `[1, channels]`.
fn row<B: Backend>(vector: FloatTensor<B>) -> FloatTensor<B> {
    let channels = vector.shape()[0];
    B::float_reshape(vector, [1, channels].into())
}

/// One index a row for all of its channels.
fn spread<B: Backend>(ids: IntTensor<B>, [rows, channels]: [usize; 2]) -> IntTensor<B> {
    B::int_expand(B::int_reshape(ids, [rows, 1].into()), [rows, channels].into())
}
