//! The product `uvw`.

use std::sync::Arc;

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, TensorMetadata};

use super::{Coupling, add, columns, joined};
use crate::ops::o3::Couplings;
use crate::ops::o3::couplings::Block;
use crate::ops::o3::extension::ProductGradients;

impl<B: Backend> Coupling<'_, B> {
    /// The features once for every copy of the second input, `[rows, v, u, 2 l1 + 1]`.
    fn features(&self, x: &FloatTensor<B>) -> FloatTensor<B> {
        let Block { copies, components, .. } = self.blocks[0];
        let rows = x.shape()[0];
        let x = B::float_reshape(self.block(0, x), [rows, 1, copies, components].into());
        B::float_expand(x, [rows, self.blocks[1].copies, copies, components].into())
    }

    /// The products of all pairs of copies, `[rows (2 l3 + 1), u v]`.
    fn pairs(&self, x: FloatTensor<B>, matrices: FloatTensor<B>) -> FloatTensor<B> {
        let (rows, [u, v, _], d3) = (x.shape()[0], self.blocks.map(|block| block.copies), self.blocks[2].components);
        let products = B::float_permute(B::float_matmul(x, matrices), &[0, 3, 2, 1]);
        B::float_reshape(products, [rows * d3, u * v].into())
    }

    /// What mixes them, `[u v, w]`.
    fn mixing(&self, weights: &FloatTensor<B>) -> FloatTensor<B> {
        let [u, v, w] = self.blocks.map(|block| block.copies);
        let first = self.path.weights;
        B::float_reshape(columns::<B>(weights, first..first + u * v * w), [u * v, w].into())
    }
}

pub(in crate::ops) fn uvw_product<B: Backend>(
    first: FloatTensor<B>,
    second: FloatTensor<B>,
    weights: FloatTensor<B>,
    couplings: Arc<Couplings>,
) -> FloatTensor<B> {
    let mut sums: Vec<Option<FloatTensor<B>>> = vec![None; couplings.out.len()];
    for coupling in Coupling::<B>::all(&couplings, &first) {
        let pairs = coupling.pairs(coupling.features(&first), coupling.matrices(&second));
        let mixed = B::float_matmul(pairs, coupling.mixing(&weights));
        let Block { copies, components, .. } = coupling.blocks[2];
        let mixed = B::float_reshape(mixed, [first.shape()[0], components, copies].into());
        add::<B>(&mut sums[coupling.path.out], B::float_swap_dims(mixed, 1, 2));
    }
    joined::<B>(&couplings.out, sums, &first)
}

pub(in crate::ops) fn uvw_product_gradient<B: Backend>(
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
    let rows = first.shape()[0];
    for coupling in Coupling::<B>::all(&couplings, &first) {
        let (x, matrices) = (coupling.features(&first), coupling.matrices(&second));
        let [u, v, w] = coupling.blocks.map(|block| block.copies);
        let d3 = coupling.blocks[2].components;
        let by_mixed = B::float_swap_dims(coupling.block(2, &gradient), 1, 2);
        let by_mixed = B::float_reshape(by_mixed, [rows * d3, w].into());
        if by_weights {
            let pairs = B::float_transpose(coupling.pairs(x.clone(), matrices.clone()));
            weight_parts.push(B::float_reshape(B::float_matmul(pairs, by_mixed.clone()), [1, u * v * w].into()));
        }
        if !(by_first || by_second) {
            continue;
        }
        let by_pairs = B::float_matmul(by_mixed, B::float_transpose(coupling.mixing(&weights)));
        let by_pairs = B::float_permute(B::float_reshape(by_pairs, [rows, d3, u, v].into()), &[0, 3, 2, 1]);
        if by_first {
            let by_x = B::float_matmul(by_pairs.clone(), B::float_swap_dims(matrices, 2, 3));
            let by_x = B::float_reshape(B::float_sum_dim(by_x, 1), [rows, coupling.blocks[0].columns().len()].into());
            add::<B>(&mut first_sums[coupling.path.first], by_x);
        }
        if by_second {
            let by_matrices = B::float_matmul(B::float_swap_dims(x, 2, 3), by_pairs);
            add::<B>(&mut second_sums[coupling.path.second], coupling.by_second(by_matrices));
        }
    }
    (
        by_first.then(|| joined::<B>(&couplings.first, first_sums, &first)),
        by_second.then(|| joined::<B>(&couplings.second, second_sums, &first)),
        by_weights.then(|| B::float_cat(weight_parts, 1)),
    )
}
