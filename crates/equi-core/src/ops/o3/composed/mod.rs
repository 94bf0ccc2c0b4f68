//! The operations, composed of what every backend has: for backends and precisions without kernels of ours.

mod harmonics;
#[cfg(all(test, feature = "flex"))]
mod tests;
mod uvu;
mod uvw;

use std::ops::Range;

use burn::backend::tensor::{Device, FloatTensor};
use burn::backend::{Backend, TensorMetadata};
use burn::tensor::{DType, Slice, TensorData};

pub(in crate::ops) use self::harmonics::{harmonics, harmonics_gradient};
pub(in crate::ops) use self::uvu::{
    direct_messages, direct_messages_gradient, uvu_messages, uvu_messages_gradient, uvu_product, uvu_product_gradient,
};
pub(in crate::ops) use self::uvw::{uvw_product, uvw_product_gradient};
use super::Couplings;
use super::couplings::{Block, Path};

/// A constant in the precision of the arguments.
fn constant<B: Backend, const D: usize>(
    values: Vec<f64>,
    shape: [usize; D],
    device: &Device<B>,
    dtype: DType,
) -> FloatTensor<B> {
    B::float_from_data(TensorData::new(values, shape).convert_dtype(dtype), device)
}

fn columns<B: Backend>(x: &FloatTensor<B>, range: Range<usize>) -> FloatTensor<B> {
    B::float_slice(x.clone(), &[Slice::full(), Slice::from(range)])
}

fn rows<B: Backend>(x: &FloatTensor<B>, range: Range<usize>) -> FloatTensor<B> {
    B::float_slice(x.clone(), &[Slice::from(range), Slice::full()])
}

/// The sum of what arrives one after the other.
fn add<B: Backend>(sum: &mut Option<FloatTensor<B>>, term: FloatTensor<B>) {
    *sum = Some(match sum.take() {
        Some(sum) => B::float_add(sum, term),
        None => term,
    });
}

/// Blocks of columns, one after the other; zero where nothing arrived.
fn joined<B: Backend>(blocks: &[Block], sums: Vec<Option<FloatTensor<B>>>, like: &FloatTensor<B>) -> FloatTensor<B> {
    let rows = like.shape()[0];
    let parts = blocks.iter().zip(sums).filter(|(block, _)| block.copies > 0).map(|(block, sum)| {
        let shape = [rows, block.copies * block.components];
        match sum {
            Some(sum) => B::float_reshape(sum, shape.into()),
            None => B::float_zeros(shape.into(), &like.device(), like.dtype().into()),
        }
    });
    B::float_cat(parts.collect(), 1)
}

/// A path with its tensor on the device.
struct Coupling<'a, B: Backend> {
    path: &'a Path,
    blocks: [Block; 3],
    /// `[2 l2 + 1, (2 l1 + 1) (2 l3 + 1)]`
    coefficients: FloatTensor<B>,
}

impl<'a, B: Backend> Coupling<'a, B> {
    fn all(couplings: &'a Couplings, like: &FloatTensor<B>) -> impl Iterator<Item = Self> {
        let (device, dtype) = (like.device(), like.dtype());
        couplings.paths.iter().map(move |path| {
            let blocks = [couplings.first[path.first], couplings.second[path.second], couplings.out[path.out]];
            let [d1, d2, d3] = blocks.map(|block| block.components);
            let mut values = vec![0.0; d1 * d2 * d3];
            for (place, &value) in path.coefficients.iter().enumerate() {
                let (i, j, k) = (place / (d2 * d3), place / d3 % d2, place % d3);
                values[(j * d1 + i) * d3 + k] = value;
            }
            Self { path, blocks, coefficients: constant::<B, 2>(values, [d2, d1 * d3], &device, dtype) }
        })
    }

    /// A block of columns, `[rows, copies, components]`.
    fn block(&self, place: usize, x: &FloatTensor<B>) -> FloatTensor<B> {
        let Block { copies, components, .. } = self.blocks[place];
        let rows = x.shape()[0];
        B::float_reshape(columns::<B>(x, self.blocks[place].columns()), [rows, copies, components].into())
    }

    /// `M = C y` of every copy of the second input, `[rows, copies, 2 l1 + 1, 2 l3 + 1]`.
    fn matrices(&self, y: &FloatTensor<B>) -> FloatTensor<B> {
        let [d1, d2, d3] = self.blocks.map(|block| block.components);
        let (rows, copies) = (y.shape()[0], self.blocks[1].copies);
        let y = B::float_reshape(columns::<B>(y, self.blocks[1].columns()), [rows * copies, d2].into());
        B::float_reshape(B::float_matmul(y, self.coefficients.clone()), [rows, copies, d1, d3].into())
    }

    /// The gradient by the second input, `[rows, copies (2 l2 + 1)]`, that one by the matrices has.
    fn by_second(&self, by_matrices: FloatTensor<B>) -> FloatTensor<B> {
        let [d1, d2, d3] = self.blocks.map(|block| block.components);
        let (rows, copies) = (by_matrices.shape()[0], self.blocks[1].copies);
        let by_matrices = B::float_reshape(by_matrices, [rows * copies, d1 * d3].into());
        let by_y = B::float_matmul(by_matrices, B::float_transpose(self.coefficients.clone()));
        B::float_reshape(by_y, [rows, copies * d2].into())
    }

    /// The matrices of the only copy of the second input, `[rows, 2 l1 + 1, 2 l3 + 1]`.
    fn matrix(&self, y: &FloatTensor<B>) -> FloatTensor<B> {
        let [d1, _, d3] = self.blocks.map(|block| block.components);
        B::float_reshape(self.matrices(y), [y.shape()[0], d1, d3].into())
    }

    /// The weights of every copy, `[1 or rows, copies, 1]`.
    fn weights(&self, weights: &FloatTensor<B>) -> FloatTensor<B> {
        let (first, copies) = (self.path.weights, self.blocks[0].copies);
        let weights_of = columns::<B>(weights, first..first + copies);
        B::float_reshape(weights_of, [weights.shape()[0], copies, 1].into())
    }
}

/// The only gradient that was asked for.
pub(in crate::ops) fn only<T>(gradients: (Option<T>, Option<T>, Option<T>)) -> T {
    gradients.0.or(gradients.1).or(gradients.2).expect("one of three arguments")
}
