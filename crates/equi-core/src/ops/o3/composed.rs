//! The operations, composed of what every backend has: for backends and precisions without kernels of ours.

use std::ops::Range;
use std::sync::Arc;

use burn::backend::tensor::{Device, FloatTensor};
use burn::backend::{Backend, TensorMetadata};
use burn::tensor::{DType, Slice, TensorData};

use super::couplings::{Block, Path};
use super::extension::{ProductGradients, ProductOps};
use super::{Couplings, HarmonicCouplings, HarmonicRecursion};
use crate::o3::SHORTEST;
use crate::ops::BackendSegments;
use crate::ops::composed::{gather_rows, sum_rows};

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

/// The only gradient that was asked for.
pub(in crate::ops) fn only<T>(gradients: (Option<T>, Option<T>, Option<T>)) -> T {
    gradients.0.or(gradients.1).or(gradients.2).expect("one of three arguments")
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

/// Coordinates, a row each, so that every operation runs along the points.
struct Coordinates<B: Backend> {
    /// `[3, points]`
    points: FloatTensor<B>,
    /// `r^2`, `[1, points]`: 1, or 0 without direction, where directions are taken.
    squares: FloatTensor<B>,
    /// One over the lengths, where directions are taken; zero where there is none.
    inverse: Option<FloatTensor<B>>,
}

impl<B: Backend> Coordinates<B> {
    fn new(points: FloatTensor<B>, normalize: bool) -> Self {
        let points = B::float_transpose(points);
        let squares = B::float_sum_dim(B::float_mul(points.clone(), points.clone()), 0);
        if !normalize {
            return Self { points, squares, inverse: None };
        }
        // One where there is a direction, else zero.
        let shortest = SHORTEST * SHORTEST;
        let longer = B::float_add_scalar(squares.clone(), (-shortest).into());
        let present = B::float_sign(B::float_clamp_min(longer, 0.0.into()));
        let roots = B::float_sqrt(B::float_clamp_min(squares, shortest.into()));
        let (inverse, squares) = (B::float_mul(B::float_recip(roots), present.clone()), present);
        Self { points: B::float_mul(points, inverse.clone()), squares, inverse: Some(inverse) }
    }

    /// The harmonics of degrees up to `lmax`, `[2 l + 1, points]` each.
    fn harmonics(&self, recursion: &HarmonicRecursion, lmax: usize) -> Vec<FloatTensor<B>> {
        let (device, dtype) = (self.points.device(), self.points.dtype());
        let count = self.points.shape()[1];
        let [x, y, z] = [0, 1, 2].map(|axis| rows::<B>(&self.points, axis..axis + 1));
        let factors = |values: &[f64]| constant::<B, 2>(values.to_vec(), [values.len(), 1], &device, dtype);
        let zeroth = B::float_expand(factors(&recursion.first[..1]), [1, count].into());
        let mut harmonics = vec![zeroth];
        if lmax > 0 {
            harmonics.push(B::float_mul(self.points.clone(), factors(&recursion.first[1..])));
        }
        let (mut sine, mut cosine) = (x.clone(), z.clone());
        for l in 2..=lmax {
            let mul = |a: &FloatTensor<B>, b: &FloatTensor<B>| B::float_mul(a.clone(), b.clone());
            (sine, cosine) =
                (B::float_add(mul(&z, &sine), mul(&x, &cosine)), B::float_sub(mul(&z, &cosine), mul(&x, &sine)));
            let risen = B::float_mul(mul(&harmonics[l - 1], &factors(&recursion.rise[l - 2])), y.clone());
            let lowered = mul(&harmonics[l - 2], &factors(&recursion.lower[l - 2]));
            let lowered = B::float_mul(lowered, self.squares.clone());
            let end = factors(&recursion.ends[l - 2..l - 1]);
            let parts = vec![
                mul(&sine, &end),
                rows::<B>(&risen, 0..1),
                B::float_sub(rows::<B>(&risen, 1..2 * l - 2), lowered),
                rows::<B>(&risen, 2 * l - 2..2 * l - 1),
                mul(&cosine, &end),
            ];
            harmonics.push(B::float_cat(parts, 0));
        }
        harmonics
    }
}

pub(in crate::ops) fn harmonics<B: Backend>(
    points: FloatTensor<B>,
    recursion: Arc<HarmonicRecursion>,
) -> FloatTensor<B> {
    let coordinates = Coordinates::<B>::new(points, recursion.normalize);
    let harmonics = coordinates.harmonics(&recursion, recursion.lmax());
    let wanted = recursion.degrees.iter().map(|&l| harmonics[l].clone());
    B::float_transpose(B::float_cat(wanted.collect(), 0))
}

pub(in crate::ops) fn harmonics_gradient<B: Backend>(
    points: FloatTensor<B>,
    gradient: FloatTensor<B>,
    recursion: Arc<HarmonicRecursion>,
) -> FloatTensor<B> {
    let coordinates = Coordinates::<B>::new(points, recursion.normalize);
    let below = B::float_cat(coordinates.harmonics(&recursion, recursion.lmax().saturating_sub(1)), 0);
    let gradient = B::float_transpose(gradient);
    let components = below.shape()[0];
    let by_axis = |axis: usize| {
        let mut slopes = vec![0.0; recursion.columns() * components];
        for (row, component) in slopes.chunks_exact_mut(components).zip(recursion.components()) {
            let of_component = &recursion.slopes[component];
            let terms = [&of_component.x[..], std::slice::from_ref(&of_component.y), &of_component.z[..]][axis];
            terms.iter().for_each(|&(place, factor)| row[place] += factor);
        }
        let shape = [recursion.columns(), components];
        let slopes = constant::<B, 2>(slopes, shape, &gradient.device(), gradient.dtype());
        B::float_sum_dim(B::float_mul(B::float_matmul(slopes, below.clone()), gradient.clone()), 0)
    };
    let by_points = B::float_cat([0, 1, 2].map(by_axis).to_vec(), 0);
    let by_points = match coordinates.inverse {
        Some(inverse) => {
            let along = B::float_sum_dim(B::float_mul(by_points.clone(), coordinates.points.clone()), 0);
            B::float_mul(B::float_sub(by_points, B::float_mul(coordinates.points, along)), inverse)
        }
        None => by_points,
    };
    B::float_transpose(by_points)
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use burn::backend::Flex;
    use burn::backend::flex::FlexTensor;

    use super::*;
    use crate::o3::{Irreps, SphericalHarmonics};
    use crate::ops::o3::{CoupledPath, ProductOps};

    /// Numbers without a pattern between -1 and 1.
    fn numbers(shape: [usize; 2], seed: u64) -> FlexTensor {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let values: Vec<f64> = (0..shape[0] * shape[1])
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (state >> 11) as f64 / (1u64 << 53) as f64 * 2.0 - 1.0
            })
            .collect();
        FlexTensor::from_data(TensorData::new(values, shape))
    }

    fn assert_close(given: FlexTensor, wanted: FlexTensor) {
        assert_eq!(given.shape(), wanted.shape());
        let values = |tensor: FlexTensor| tensor.to_contiguous().storage::<f64>().to_vec();
        let (given, wanted) = (values(given), values(wanted));
        let scale = wanted.iter().fold(1.0, |scale: f64, value| scale.max(value.abs()));
        let worst = given.iter().zip(&wanted).fold(0.0, |worst: f64, (a, b)| worst.max((a - b).abs()));
        // Rounding of sums of hundreds.
        assert!(worst < 1e-13 * scale, "{worst} of {scale}");
    }

    fn assert_gradients(given: ProductGradients<Flex>, wanted: ProductGradients<Flex>, needed: [bool; 3]) {
        let pairs = [(given.0, wanted.0), (given.1, wanted.1), (given.2, wanted.2)];
        for ((given, wanted), needed) in pairs.into_iter().zip(needed) {
            assert_eq!((given.is_some(), wanted.is_some()), (needed, needed));
            if let (Some(given), Some(wanted)) = (given, wanted) {
                assert_close(given, wanted);
            }
        }
    }

    const NEEDED: [[bool; 3]; 4] =
        [[true, true, true], [true, false, false], [false, true, false], [false, false, true]];

    /// All paths between the blocks, those to the same irrep to the same block.
    fn paths(first: &Irreps, second: &Irreps, out: &Irreps) -> Vec<CoupledPath> {
        let mut paths = Vec::new();
        for (a, of_first) in first.blocks().iter().enumerate() {
            for (b, of_second) in second.blocks().iter().enumerate() {
                for (c, of_out) in out.blocks().iter().enumerate() {
                    if of_first.irrep.product(of_second.irrep).any(|irrep| irrep == of_out.irrep) {
                        let coefficient = 1.0 + 0.1 * paths.len() as f64;
                        paths.push(CoupledPath { first: a, second: b, out: c, coefficient });
                    }
                }
            }
        }
        paths
    }

    #[test]
    fn harmonics_are_those_of_the_kernels() {
        for (degrees, normalize) in [(vec![0], true), (vec![2, 0, 2], false), (vec![0, 1, 2, 3, 4, 5], true)] {
            let harmonics_of = SphericalHarmonics::new(degrees).with_normalize(normalize);
            let recursion = Arc::new(HarmonicRecursion::new(&harmonics_of));
            let (points, gradient) = (numbers([70, 3], 1), numbers([70, harmonics_of.dim()], 2));
            let given = harmonics::<Flex>(points.clone(), recursion.clone());
            assert_close(given, <Flex as ProductOps>::harmonics(points.clone(), recursion.clone()));
            let given = harmonics_gradient::<Flex>(points.clone(), gradient.clone(), recursion.clone());
            assert_close(given, <Flex as ProductOps>::harmonics_gradient(points, gradient, recursion));
        }
    }

    #[test]
    fn products_are_those_of_the_kernels() {
        let [first, second] = ["5x0e+3x1o+2x2e", "0e+1o+2e"].map(|irreps| irreps.parse::<Irreps>().unwrap());
        // A block that nothing reaches.
        let [same, out] =
            ["5x0e+3x1o+2x2e+2x4e+1x5e", "4x0e+2x1o+3x2e+1x5e"].map(|irreps| irreps.parse::<Irreps>().unwrap());
        let copies = |path: &CoupledPath| first.blocks()[path.first].mul == same.blocks()[path.out].mul;
        let equal: Vec<CoupledPath> = paths(&first, &second, &same).into_iter().filter(copies).collect();
        let uvu = Arc::new(Couplings::uvu(&first, &second, &same, &equal).unwrap());
        let several: Irreps = "2x0e+3x1o".parse().unwrap();
        let uvw = Arc::new(Couplings::uvw(&first, &several, &out, &paths(&first, &several, &out)).unwrap());
        let rows = 9;
        for (weight_rows, needed) in [1, rows].into_iter().flat_map(|rows| NEEDED.map(|needed| (rows, needed))) {
            let [a, b, c] = uvu.columns();
            let [x, y, w] = [numbers([rows, a], 1), numbers([rows, b], 2), numbers([weight_rows, uvu.weights()], 3)];
            let (gradient, arguments) = (numbers([rows, c], 4), || (x.clone(), y.clone(), w.clone(), uvu.clone()));
            let (x, y, w, couplings) = arguments();
            let given = uvu_product::<Flex>(x, y, w, couplings);
            let (x, y, w, couplings) = arguments();
            assert_close(given, <Flex as ProductOps>::uvu_product(x, y, w, couplings));
            let (x, y, w, couplings) = arguments();
            let given = uvu_product_gradient::<Flex>(x, y, w, couplings, gradient.clone(), needed);
            let (x, y, w, couplings) = arguments();
            let wanted = <Flex as ProductOps>::uvu_product_gradient(x, y, w, couplings, gradient, needed);
            assert_gradients(given, wanted, needed);
        }
        for needed in NEEDED {
            let [a, b, c] = uvw.columns();
            let [x, y, w] = [numbers([rows, a], 1), numbers([rows, b], 2), numbers([1, uvw.weights()], 3)];
            let (gradient, arguments) = (numbers([rows, c], 4), || (x.clone(), y.clone(), w.clone(), uvw.clone()));
            let (x, y, w, couplings) = arguments();
            let given = uvw_product::<Flex>(x, y, w, couplings);
            let (x, y, w, couplings) = arguments();
            assert_close(given, <Flex as ProductOps>::uvw_product(x, y, w, couplings));
            let (x, y, w, couplings) = arguments();
            let given = uvw_product_gradient::<Flex>(x, y, w, couplings, gradient.clone(), needed);
            let (x, y, w, couplings) = arguments();
            let wanted = <Flex as ProductOps>::uvw_product_gradient(x, y, w, couplings, gradient, needed);
            assert_gradients(given, wanted, needed);
        }
    }
}
