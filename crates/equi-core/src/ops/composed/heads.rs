//! What heads of attention compute for rows of segments.

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, TensorMetadata};

use crate::ops::extension::{BackendSegments, RowOps};

/// The values of the segment of every row.
fn gathered<B: RowOps>(values: FloatTensor<B>, segments: BackendSegments<B>) -> FloatTensor<B> {
    let [count, components, width] = values.shape().dims();
    let rows = segments.host.rows();
    let gathered = B::gather_rows(B::float_reshape(values, [count, components * width].into()), segments);
    B::float_reshape(gathered, [rows, components, width].into())
}

pub(in crate::ops) fn head_products<B: RowOps>(
    segment_values: FloatTensor<B>,
    values: FloatTensor<B>,
    segments: BackendSegments<B>,
    heads: usize,
) -> FloatTensor<B> {
    let [rows, components, width] = values.shape().dims();
    let products = B::float_mul(gathered::<B>(segment_values, segments), values);
    let products = B::float_reshape(products, [rows, components, heads, width / heads].into());
    let sums = B::float_sum_dim(B::float_sum_dim(products, 3), 1);
    B::float_reshape(sums, [rows, heads].into())
}

/// Every channel times the weight of its head.
fn weighed<B: Backend>(values: FloatTensor<B>, weights: FloatTensor<B>) -> FloatTensor<B> {
    let ([rows, components, width], [_, heads]) = (values.shape().dims(), weights.shape().dims());
    let values = B::float_reshape(values, [rows, components, heads, width / heads].into());
    let weighed = B::float_mul(values, B::float_reshape(weights, [rows, 1, heads, 1].into()));
    B::float_reshape(weighed, [rows, components, width].into())
}

pub(in crate::ops) fn head_sums<B: RowOps>(
    values: FloatTensor<B>,
    weights: FloatTensor<B>,
    segments: BackendSegments<B>,
) -> FloatTensor<B> {
    let [rows, components, width] = values.shape().dims();
    let count = segments.host.count();
    let weighed = B::float_reshape(weighed::<B>(values, weights), [rows, components * width].into());
    B::float_reshape(B::sum_rows(weighed, segments), [count, components, width].into())
}

pub(in crate::ops) fn head_spread<B: RowOps>(
    segment_values: FloatTensor<B>,
    weights: FloatTensor<B>,
    segments: BackendSegments<B>,
) -> FloatTensor<B> {
    weighed::<B>(gathered::<B>(segment_values, segments), weights)
}
