//! What tests of the layers on O(3) share: tensors from numbers and back, and irreps as features of the equivariance checks.

#![allow(dead_code)] // Each test binary uses a part of it.

use burn::tensor::{DType, Device, Tensor, TensorData};
use equi_core::action::space::PointField;
use equi_core::check::points::{PointFeature, PointFn};
use equi_core::group::Permutation;
use equi_core::o3::Irreps;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

pub fn irreps(text: &str) -> Irreps {
    text.parse().unwrap()
}

/// From numbers, in a precision.
pub fn tensor<const D: usize>(values: &[f64], shape: [usize; D], device: &Device, dtype: DType) -> Tensor<D> {
    Tensor::from_data(TensorData::new(values.to_vec(), shape).convert_dtype(dtype), (device, dtype))
}

/// Standard normal rows.
pub fn noise(rows: usize, columns: usize, seed: u64, device: &Device, dtype: DType) -> Tensor<2> {
    let normal = StandardNormal.sample_iter(ChaCha8Rng::seed_from_u64(seed));
    let values: Vec<f64> = normal.take(rows * columns).collect();
    tensor(&values, [rows, columns], device, dtype)
}

/// The numbers of a tensor.
pub fn host<const D: usize>(x: &Tensor<D>) -> Vec<f64> {
    x.clone().into_data().iter().collect()
}

/// Asserts that two lists of numbers are equal, relative to the largest of the first.
pub fn assert_close(what: &str, expected: &[f64], actual: &[f64], tolerance: f64) {
    assert_eq!(expected.len(), actual.len(), "{what}");
    let scale = expected.iter().fold(1e-300_f64, |largest, value| largest.max(value.abs()));
    for (place, (a, b)) in expected.iter().zip(actual).enumerate() {
        assert!((a - b).abs() <= tolerance * scale, "{what}, number {place}: {b:e} is not {a:e}");
    }
}

/// One feature for every block.
pub fn features(irreps: &Irreps) -> Vec<PointFeature> {
    let feature = |block: &equi_core::o3::MulIrrep| PointFeature::per_node(PointField::Irrep(block.irrep), block.mul);
    irreps.blocks().iter().map(feature).collect()
}

/// The features of all blocks side by side.
pub fn joined(blocks: &[Tensor<2>]) -> Tensor<2> {
    Tensor::cat(blocks.to_vec(), 1)
}

/// The features of every block.
pub fn blocks(irreps: &Irreps, features: Tensor<2>) -> Vec<Tensor<2>> {
    irreps.slices().iter().map(|columns| features.clone().narrow(1, columns.start, columns.len())).collect()
}

/// A map of features of 9 nodes, row by row or not, as the equivariance checks take it.
pub fn row_map<'a>(
    input: &'a Irreps,
    output: &'a Irreps,
    device: &Device,
    dtype: DType,
    forward: impl Fn(Tensor<2>) -> Tensor<2> + 'a,
) -> PointFn<impl Fn(&[Tensor<2>], &Permutation) -> Vec<Tensor<2>> + 'a> {
    PointFn::new(&[9], &features(input), &features(output), device, dtype, move |x, _| {
        blocks(output, forward(joined(x)))
    })
}
