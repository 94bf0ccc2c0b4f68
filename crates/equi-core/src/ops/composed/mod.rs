//! The operations, composed of what every backend has: for backends and precisions without kernels of ours.

use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::backend::{Backend, TensorMetadata};
use burn::tensor::IndexingUpdateOp;

mod adam;
mod heads;
mod message_network;
mod perceptron;
mod radial_network;
mod radial_product;

pub(super) use adam::adam_step;
pub(super) use heads::{head_products, head_spread, head_sums};
pub(super) use message_network::{message_network, message_network_gradient};
pub(super) use perceptron::{linear_rows, linear_rows_gradient, perceptron, perceptron_gradient};
pub(super) use radial_network::{radial_network, radial_network_gradient};
pub(super) use radial_product::{radial_product, radial_product_gradient};

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

pub(super) fn gaussian_unit<B: Backend>(x: FloatTensor<B>) -> FloatTensor<B> {
    B::float_mul(x.clone(), normal_distribution::<B>(x))
}

pub(super) fn gaussian_unit_gradient<B: Backend>(x: FloatTensor<B>, gradient: FloatTensor<B>) -> FloatTensor<B> {
    // With the density of the normal distribution `P'`.
    let density = B::float_exp(B::float_mul_scalar(B::float_mul(x.clone(), x.clone()), (-0.5).into()));
    let density =
        B::float_mul_scalar(density, (0.5 * std::f64::consts::FRAC_2_SQRT_PI * std::f64::consts::FRAC_1_SQRT_2).into());
    B::float_mul(gradient, B::float_add(normal_distribution::<B>(x.clone()), B::float_mul(x, density)))
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

pub(super) fn edge_differences<B: RowOps>(
    values: FloatTensor<B>,
    receivers: BackendSegments<B>,
    senders: BackendSegments<B>,
) -> FloatTensor<B> {
    B::float_sub(B::gather_rows(values.clone(), receivers), B::gather_rows(values, senders))
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
    let (inputs, factors) = (edges.clone(), weight.clone());
    let by_sums = B::combine_edges_slope(received, sent, inputs, factors, receivers.clone(), senders.clone(), gradient);
    let [received, sent, by_edges, by_weight] = needed;
    (
        received.then(|| B::sum_rows(by_sums.clone(), receivers)),
        sent.then(|| B::sum_rows(by_sums.clone(), senders)),
        by_edges.then(|| B::float_matmul(by_sums.clone(), B::float_transpose(weight))),
        by_weight.then(|| B::float_matmul(B::float_transpose(edges), by_sums)),
    )
}

#[allow(clippy::too_many_arguments)]
pub(super) fn combine_edges_slope<B: RowOps>(
    received: FloatTensor<B>,
    sent: FloatTensor<B>,
    edges: FloatTensor<B>,
    weight: FloatTensor<B>,
    receivers: BackendSegments<B>,
    senders: BackendSegments<B>,
    gradient: FloatTensor<B>,
) -> FloatTensor<B> {
    B::swish_gradient(combined::<B>(received, sent, edges, weight, receivers, senders), gradient)
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

pub(super) fn norm_gelu<B: Backend>(
    x: FloatTensor<B>,
    scale: FloatTensor<B>,
    shift: FloatTensor<B>,
    epsilon: f64,
) -> FloatTensor<B> {
    let (normal, _) = normalised::<B>(x, epsilon);
    let y = B::float_add(B::float_mul(normal, row::<B>(scale)), row::<B>(shift));
    gaussian_unit::<B>(y)
}

pub(super) fn norm_gelu_gradient<B: Backend>(
    x: FloatTensor<B>,
    scale: FloatTensor<B>,
    shift: FloatTensor<B>,
    epsilon: f64,
    gradient: FloatTensor<B>,
) -> (FloatTensor<B>, FloatTensor<B>, FloatTensor<B>) {
    let shape = scale.shape();
    let (normal, deviation) = normalised::<B>(x, epsilon);
    let y = B::float_add(B::float_mul(normal.clone(), row::<B>(scale.clone())), row::<B>(shift));
    let by_y = gaussian_unit_gradient::<B>(y, gradient);
    let by_scale = B::float_reshape(B::float_sum_dim(B::float_mul(by_y.clone(), normal.clone()), 0), shape.clone());
    let by_shift = B::float_reshape(B::float_sum_dim(by_y.clone(), 0), shape);
    let by_normal = B::float_mul(by_y, row::<B>(scale));
    let along = B::float_mean_dim(B::float_mul(by_normal.clone(), normal.clone()), 1);
    let rest =
        B::float_sub(B::float_sub(by_normal.clone(), B::float_mean_dim(by_normal, 1)), B::float_mul(normal, along));
    (B::float_div(rest, deviation), by_scale, by_shift)
}

/// `(x - mean) / deviation` and the deviation, `sqrt(variance + epsilon)`, of every row.
fn normalised<B: Backend>(x: FloatTensor<B>, epsilon: f64) -> (FloatTensor<B>, FloatTensor<B>) {
    let centred = B::float_sub(x.clone(), B::float_mean_dim(x, 1));
    let variance = B::float_mean_dim(B::float_mul(centred.clone(), centred.clone()), 1);
    let deviation = B::float_sqrt(B::float_add_scalar(variance, epsilon.into()));
    (B::float_div(centred, deviation.clone()), deviation)
}

/// `P(y) = (1 + erf(y / sqrt 2)) / 2`.
fn normal_distribution<B: Backend>(y: FloatTensor<B>) -> FloatTensor<B> {
    let erf = B::float_erf(B::float_mul_scalar(y, std::f64::consts::FRAC_1_SQRT_2.into()));
    B::float_mul_scalar(B::float_add_scalar(erf, 1.0.into()), 0.5.into())
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
