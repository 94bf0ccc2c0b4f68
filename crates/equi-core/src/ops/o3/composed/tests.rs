//! The kernels of flex against the operations composed.

use std::sync::Arc;

use burn::backend::Flex;
use burn::backend::flex::FlexTensor;

use super::*;
use crate::o3::{Irreps, SphericalHarmonics};
use crate::ops::o3::extension::{ProductGradients, ProductOps};
use crate::ops::o3::{CoupledPath, HarmonicRecursion};

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

const NEEDED: [[bool; 3]; 4] = [[true, true, true], [true, false, false], [false, true, false], [false, false, true]];

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
