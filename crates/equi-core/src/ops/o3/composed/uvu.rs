//! The product `uvu`, between rows and along edges.

use std::sync::Arc;

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, TensorMetadata};

use super::{Coupling, add, joined};
use crate::ops::BackendSegments;
use crate::ops::composed::{gather_rows, sum_rows};
use crate::ops::o3::extension::{ProductGradients, ProductOps};
use crate::ops::o3::{Couplings, HarmonicCouplings};

pub(in crate::ops) fn uvu_product<B: Backend>(
    first: FloatTensor<B>,
    second: FloatTensor<B>,
    weights: FloatTensor<B>,
    couplings: Arc<Couplings>,
) -> FloatTensor<B> {
    let mut sums: Vec<Option<FloatTensor<B>>> = vec![None; couplings.out.len()];
    for coupling in Coupling::<B>::all(&couplings, &first) {
        let product = B::float_matmul(coupling.block(0, &first), coupling.matrix(&second));
        add::<B>(&mut sums[coupling.path.out], B::float_mul(product, coupling.weights(&weights)));
    }
    joined::<B>(&couplings.out, sums, &first)
}

pub(in crate::ops) fn uvu_product_gradient<B: Backend>(
    first: FloatTensor<B>,
    second: FloatTensor<B>,
    weights: FloatTensor<B>,
    couplings: Arc<Couplings>,
    gradient: FloatTensor<B>,
    [by_first, by_second, by_weights]: [bool; 3],
) -> ProductGradients<B> {
    let mut first_sums: Vec<Option<FloatTensor<B>>> = vec![None; couplings.first.len()];
    let mut second_sums: Vec<Option<FloatTensor<B>>> = vec![None; couplings.second.len()];
    let mut weight_parts = Vec::new();
    let (rows, shared) = (first.shape()[0], weights.shape()[0] == 1);
    for coupling in Coupling::<B>::all(&couplings, &first) {
        let (x, matrix, by_z) = (coupling.block(0, &first), coupling.matrix(&second), coupling.block(2, &gradient));
        if by_weights {
            let product = B::float_matmul(x.clone(), matrix.clone());
            let by_w = B::float_sum_dim(B::float_mul(product, by_z.clone()), 2);
            let by_w = B::float_reshape(by_w, [rows, coupling.blocks[0].copies].into());
            weight_parts.push(if shared { B::float_sum_dim(by_w, 0) } else { by_w });
        }
        let by_product = B::float_mul(by_z, coupling.weights(&weights));
        if by_first {
            let by_x = B::float_matmul(by_product.clone(), B::float_swap_dims(matrix, 1, 2));
            add::<B>(&mut first_sums[coupling.path.first], by_x);
        }
        if by_second {
            let by_matrix = B::float_matmul(B::float_swap_dims(x, 1, 2), by_product);
            add::<B>(&mut second_sums[coupling.path.second], coupling.by_second(by_matrix));
        }
    }
    (
        by_first.then(|| joined::<B>(&couplings.first, first_sums, &first)),
        by_second.then(|| joined::<B>(&couplings.second, second_sums, &first)),
        by_weights.then(|| B::float_cat(weight_parts, 1)),
    )
}

pub(in crate::ops) fn uvu_messages<B: Backend>(
    first: FloatTensor<B>,
    second: FloatTensor<B>,
    weights: FloatTensor<B>,
    couplings: Arc<Couplings>,
    senders: BackendSegments<B>,
    receivers: BackendSegments<B>,
) -> FloatTensor<B> {
    let sent = gather_rows::<B>(first, senders);
    sum_rows::<B>(uvu_product::<B>(sent, second, weights, couplings), receivers)
}

#[allow(clippy::too_many_arguments)]
pub(in crate::ops) fn uvu_messages_gradient<B: Backend>(
    first: FloatTensor<B>,
    second: FloatTensor<B>,
    weights: FloatTensor<B>,
    couplings: Arc<Couplings>,
    senders: BackendSegments<B>,
    receivers: BackendSegments<B>,
    gradient: FloatTensor<B>,
    needed: [bool; 3],
) -> ProductGradients<B> {
    let (sent, received) = (gather_rows::<B>(first, senders.clone()), gather_rows::<B>(gradient, receivers));
    let (by_sent, by_second, by_weights) =
        uvu_product_gradient::<B>(sent, second, weights, couplings, received, needed);
    (by_sent.map(|by_sent| sum_rows::<B>(by_sent, senders)), by_second, by_weights)
}

/// Messages by way of the harmonics of every edge.
pub(in crate::ops) fn direct_messages<B: ProductOps>(
    features: FloatTensor<B>,
    vectors: FloatTensor<B>,
    weights: FloatTensor<B>,
    couplings: &HarmonicCouplings,
    senders: BackendSegments<B>,
    receivers: BackendSegments<B>,
) -> FloatTensor<B> {
    let harmonics = B::harmonics(vectors, couplings.recursion().clone());
    B::uvu_messages(features, harmonics, weights, couplings.couplings().clone(), senders, receivers)
}

/// Their gradients.
#[allow(clippy::too_many_arguments)]
pub(in crate::ops) fn direct_messages_gradient<B: ProductOps>(
    features: FloatTensor<B>,
    vectors: FloatTensor<B>,
    weights: FloatTensor<B>,
    couplings: &HarmonicCouplings,
    senders: BackendSegments<B>,
    receivers: BackendSegments<B>,
    gradient: FloatTensor<B>,
    needed: [bool; 3],
) -> ProductGradients<B> {
    let (recursion, couplings) = (couplings.recursion().clone(), couplings.couplings().clone());
    let harmonics = B::harmonics(vectors.clone(), recursion.clone());
    let (by_features, by_harmonics, by_weights) =
        B::uvu_messages_gradient(features, harmonics, weights, couplings, senders, receivers, gradient, needed);
    let by_vectors = by_harmonics.map(|by_harmonics| B::harmonics_gradient(vectors, by_harmonics, recursion));
    (by_features, by_vectors, by_weights)
}
