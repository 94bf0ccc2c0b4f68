//! O(3) against tensors computed with e3nn.

#[path = "../../../tests/golden/mod.rs"]
mod golden;

use equi_core::group::Isometry;
use equi_core::o3::{
    Irrep, Irreps, MulIrrep, Normalization, Parity, ReducedTensorProducts, SphericalHarmonics, so3_generators,
    wigner_3j, wigner_d,
};
use golden::Tensors;
use nalgebra::DMatrix;
use serde_json::Value;

/// f64 on both sides.
const TOLERANCE: f64 = 1e-10;

#[track_caller]
fn assert_close(what: &str, expected: &golden::Array, actual: &[f64]) {
    let error = expected.relative_error(actual);
    assert!(error < TOLERANCE, "{what}: relative error {error:.1e}");
}

fn irreps(value: &Value) -> Irreps {
    Irreps::parse(value.as_str().unwrap()).unwrap()
}

fn list(value: &Value) -> Vec<usize> {
    value.as_array().unwrap().iter().map(|v| v.as_u64().unwrap() as usize).collect()
}

#[test]
fn lists_of_irreps() {
    let file = golden::manifest("e3nn/irreps.json");
    let cases = file["strings"].as_array().unwrap();
    assert_eq!(cases.len(), 17);
    for case in cases {
        let given = irreps(&case["input"]);
        let (number, text) =
            (|key: &str| case[key].as_u64().unwrap() as usize, |key: &str| case[key].as_str().unwrap());
        assert_eq!(given.to_string(), text("str"));
        assert_eq!(
            [given.dim(), given.copies(), given.blocks().len()],
            ["dim", "num_irreps", "len"].map(number),
            "{given}"
        );
        assert_eq!(given.lmax(), case["lmax"].as_u64().map(|l| l as usize), "{given}");
        let degrees: Vec<usize> = given.blocks().iter().flat_map(|block| vec![block.irrep.l; block.mul]).collect();
        assert_eq!(degrees, list(&case["ls"]), "{given}");
        let blocks = case["blocks"].as_array().unwrap().iter().map(|block| {
            let [mul, l, sign] = [0, 1, 2].map(|i| block[i].as_i64().unwrap());
            let parity = if sign == 1 { Parity::Even } else { Parity::Odd };
            MulIrrep::new(mul as usize, Irrep::new(l as usize, parity))
        });
        assert_eq!(given.blocks(), blocks.collect::<Vec<_>>());
        let slices: Vec<_> = given.slices().iter().map(|slice| vec![slice.start, slice.end]).collect();
        assert_eq!(slices, case["slices"].as_array().unwrap().iter().map(list).collect::<Vec<_>>(), "{given}");
        assert_eq!(given.simplify().to_string(), text("simplify"));
        assert_eq!(given.remove_zero().to_string(), text("remove_zero"));
        assert_eq!(given.regroup().to_string(), text("regroup"));
        let sorted = given.sort();
        assert_eq!(sorted.irreps.to_string(), text("sort"));
        assert_eq!((sorted.permutation, sorted.inverse), (list(&case["sort_p"]), list(&case["sort_inv"])), "{given}");
        assert_eq!(sorted.irreps.simplify().to_string(), text("sort_simplify"));
        assert_eq!(
            [Irrep::even(0), Irrep::odd(1)].map(|i| given.count(i)),
            ["count_0e", "count_1o"].map(number),
            "{given}"
        );
        assert_eq!((given.clone() * 2).to_string(), text("times2"));
        let scalars: Vec<Value> = given.blocks().iter().map(|block| block.irrep.is_scalar().into()).collect();
        assert_eq!(&scalars, case["is_scalar"].as_array().unwrap(), "{given}");
    }
}

#[test]
fn irreps_and_their_products() {
    let file = golden::manifest("e3nn/irreps.json");
    let irrep = |value: &Value| -> Irrep { value.as_str().unwrap().parse().unwrap() };
    let products = file["products"].as_array().unwrap();
    assert_eq!(products.len(), 8);
    for case in products {
        let (a, b) = (irrep(&case["a"]), irrep(&case["b"]));
        let product: Vec<_> = a.product(b).map(|irrep| irrep.to_string()).collect();
        assert_eq!(product, golden::strings(&case["product"]), "{a} x {b}");
        assert_eq!((a < b, a == b), (case["a_lt_b"].as_bool().unwrap(), case["a_eq_b"].as_bool().unwrap()), "{a}, {b}");
        assert_eq!(vec![a.dim(), b.dim()], list(&case["dim"]));
    }
    for case in file["pairs"].as_array().unwrap() {
        let (a, b) = (irreps(&case["a"]), irreps(&case["b"]));
        assert_eq!(a == b, case["equal"].as_bool().unwrap());
        assert_eq!((a + b).to_string(), case["sum"].as_str().unwrap());
    }
    let sorted: Vec<Irrep> = file["sorted_irreps"].as_array().unwrap().iter().map(irrep).collect();
    assert!(sorted.is_sorted() && sorted.len() == 10);
    for lmax in 0..=4 {
        let text = |p: i32| file["spherical_harmonics"][format!("{lmax},{p}")].as_str().unwrap();
        assert_eq!(Irreps::spherical_harmonics(lmax).to_string(), text(-1));
        assert_eq!(Irreps::spherical_harmonics_of_parity(lmax, Parity::Odd).to_string(), text(-1));
        assert_eq!(Irreps::spherical_harmonics_of_parity(lmax, Parity::Even).to_string(), text(1));
    }
}

#[test]
fn what_e3nn_rejects_is_rejected() {
    let file = golden::manifest("e3nn/irreps.json");
    let rejected = file["rejected"].as_array().unwrap();
    assert_eq!(rejected.len(), 6);
    for case in rejected {
        let text = case["input"].as_str().unwrap();
        assert!(Irreps::parse(text).is_err(), "{text}");
    }
}

#[test]
fn clebsch_gordan_coefficients() {
    let tensors = Tensors::open("e3nn/wigner_3j.safetensors");
    let mut compared = 0;
    for (l1, l2) in (0..25_usize).map(|i| (i / 5, i % 5)) {
        for l3 in l1.abs_diff(l2)..=(l1 + l2).min(4) {
            let expected = tensors.tensor(&format!("{l1}_{l2}_{l3}"));
            let table = wigner_3j(l1, l2, l3).unwrap();
            assert_eq!(expected.shape, table.degrees().map(|l| 2 * l + 1));
            assert_close(&format!("{l1} {l2} {l3}"), &expected, table.values());
            compared += 1;
        }
    }
    assert_eq!(compared, 65);
}

fn row_major(matrices: impl IntoIterator<Item = DMatrix<f64>>) -> Vec<f64> {
    matrices.into_iter().flat_map(|m| m.transpose().as_slice().to_vec()).collect()
}

#[test]
fn matrices_of_irreps() {
    let tensors = Tensors::open("e3nn/wigner_D.safetensors");
    let [alpha, beta, gamma] = ["alpha", "beta", "gamma"].map(|key| tensors.tensor(key).values);
    let angles: Vec<_> = (0..6).map(|row| [alpha[row], beta[row], gamma[row]]).collect();
    for l in 0..=6 {
        let found = angles.iter().map(|&[alpha, beta, gamma]| wigner_d(l, alpha, beta, gamma));
        assert_close(&format!("D.{l}"), &tensors.tensor(&format!("D.{l}")), &row_major(found));
    }
    let isometries: Vec<_> = angles.iter().map(|&angles| Isometry::from_angles(angles).unwrap()).collect();
    for (irrep, key) in [("1o", "D_1o"), ("2o", "D_2o"), ("2e", "D_2e")] {
        let irrep: Irrep = irrep.parse().unwrap();
        let found = isometries.iter().map(|&g| irrep.matrix(&(g * Isometry::INVERSION)));
        let key = format!("improper.{key}_from_minus_R");
        assert_close(&key, &tensors.tensor(&key), &row_major(found));
    }
    let irreps = Irreps::parse("2x0e+1x1o+1x2e+1x1e+2x3o").unwrap();
    let found = isometries.iter().map(|g| irreps.matrix(g));
    assert_close("irreps_D", &tensors.tensor("irreps_D"), &row_major(found));
    for l in 1..=3 {
        let key = format!("generators.{l}");
        assert_close(&key, &tensors.tensor(&key), &row_major(so3_generators(l)));
    }
}

#[test]
fn angles_matrices_quaternions_and_axes() {
    let tensors = Tensors::open("e3nn/wigner_D.safetensors");
    let read = |key: &str| tensors.tensor(key).values;
    let [alpha, beta, gamma] = ["alpha", "beta", "gamma"].map(read);
    let isometries: Vec<_> =
        (0..6).map(|row| Isometry::from_angles([alpha[row], beta[row], gamma[row]]).unwrap()).collect();
    let matrices: Vec<f64> = isometries.iter().flat_map(|g| g.matrix().concat()).collect();
    assert_close("R", &tensors.tensor("R"), &matrices);

    let distance = |a: Isometry, b: Isometry| {
        let pairs = a.matrix().concat().into_iter().zip(b.matrix().concat());
        pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
    };
    // Where beta is zero, alpha and gamma are not determined, and e3nn's beta, an arc cosine, is known to 1e-8.
    let same = |what: &str, g: Isometry, expected: &[f64]| {
        let found = g.angles();
        let expected: [f64; 3] = expected.try_into().unwrap();
        if found[1].sin() < 1e-6 {
            assert!(distance(g, Isometry::from_angles(expected).unwrap()) < 1e-7, "{what}: {g}");
            return 0;
        }
        let error = found.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        assert!(error < TOLERANCE, "{what}: {found:?}, not {expected:?}");
        1
    };
    let mut compared = 0;
    let (direct, composed, inverse) = (read("matrix_to_angles"), read("compose_angles"), read("inverse_angles"));
    for (row, g) in isometries.iter().enumerate() {
        compared += same("matrix_to_angles", *g, &direct[3 * row..][..3]);
        let inverse = Isometry::from_angles(inverse[3 * row..][..3].try_into().unwrap()).unwrap();
        assert!(distance(g.inverse(), inverse) < TOLERANCE, "row {row}");
    }
    for (row, pair) in isometries.windows(2).enumerate() {
        compared += same("compose_angles", pair[0] * pair[1], &composed[3 * row..][..3]);
    }
    assert_eq!(compared, 10);

    let (quaternions, axes, angles) = (read("quaternion"), read("axis"), read("angle"));
    for (row, g) in isometries.iter().enumerate() {
        // Both signs are the same rotation.
        let expected = &quaternions[4 * row..][..4];
        let product: f64 = g.quaternion().iter().zip(expected).map(|(a, b)| a * b).sum();
        assert!((product.abs() - 1.0).abs() < TOLERANCE, "{:?}, not {expected:?}", g.quaternion());
        let axis = axes[3 * row..][..3].try_into().unwrap();
        assert!(distance(*g, Isometry::rotation(axis, angles[row]).unwrap()) < TOLERANCE, "row {row}");
        let (axis, angle) = g.axis_angle();
        assert!(distance(*g, Isometry::rotation(axis, angle).unwrap()) < TOLERANCE, "row {row}");
    }
}

#[test]
fn tensors_with_index_symmetries() {
    for (file, formula, irreps) in
        [("reduced_ij_ji", "ij=ji", "1x0e+1x1o"), ("reduced_ij_minus_ji", "ij=-ji", "1x1o+1x2e")]
    {
        let case = golden::cases("e3nn/manifest.json", |case| case["name"] == file).remove(0);
        let reduced = ReducedTensorProducts::new(formula, &[('i', Irreps::parse(irreps).unwrap())]).unwrap();
        assert_eq!(reduced.irreps_out().to_string(), case["config"]["irreps_out"].as_str().unwrap());
        let expected = Tensors::open(&format!("e3nn/{file}.safetensors")).tensor("change_of_basis");
        let basis = reduced.change_of_basis();
        assert_eq!(expected.shape.iter().product::<usize>(), basis.len());
        let expected = DMatrix::from_row_slice(basis.nrows(), basis.ncols(), &expected.values);
        // Copies of an irrep can be chosen in many ways: compare what they span.
        for slice in reduced.irreps_out().slices() {
            let span = |basis: &DMatrix<f64>| {
                let rows = basis.rows(slice.start, slice.len());
                rows.transpose() * rows
            };
            assert!((span(basis) - span(&expected)).amax() < TOLERANCE, "{file}, rows {slice:?}");
        }
    }
}

const NORMALIZATIONS: [(&str, Normalization); 3] =
    [("component", Normalization::Component), ("integral", Normalization::Integral), ("norm", Normalization::Norm)];

#[test]
fn spherical_harmonics_on_the_host() {
    let tensors = Tensors::open("e3nn/spherical_harmonics.safetensors");
    let points = tensors.tensor("points");
    for (name, normalization) in NORMALIZATIONS {
        for normalize in [true, false] {
            let harmonics = SphericalHarmonics::up_to(8).with_normalization(normalization).with_normalize(normalize);
            let values: Vec<f64> = points.values.chunks(3).flat_map(|p| harmonics.at(p.try_into().unwrap())).collect();
            let key = format!("sh.{name}.normalize_{normalize}");
            let expected = tensors.tensor(&key);
            assert_eq!(expected.shape, [20, 81]);
            // Row by row, since polynomials of small vectors are small.
            for (row, (expected, actual)) in expected.values.chunks(81).zip(values.chunks(81)).enumerate() {
                let expected = golden::Array { shape: vec![81], values: expected.to_vec() };
                assert_close(&format!("{key}, row {row}"), &expected, actual);
            }
        }
    }
}

#[cfg(feature = "flex")]
mod on_a_device {
    use super::*;
    use burn::tensor::{DType, Device, Tensor, TensorData};
    use equi_core::o3::{RadialBasis, RadialFunction, S2GridConfig, soft_unit_step};

    fn tensor(array: &golden::Array) -> Tensor<2> {
        let shape: [usize; 2] = array.shape[..].try_into().unwrap();
        Tensor::from_data(TensorData::new(array.values.clone(), shape), (&Device::flex(), DType::F64))
    }

    fn host<const D: usize>(x: Tensor<D>) -> Vec<f64> {
        x.into_data_as::<f64>().try_into_vec().unwrap()
    }

    #[test]
    fn spherical_harmonics() {
        let tensors = Tensors::open("e3nn/spherical_harmonics.safetensors");
        for (name, normalization) in NORMALIZATIONS {
            for normalize in [true, false] {
                let harmonics =
                    SphericalHarmonics::up_to(8).with_normalization(normalization).with_normalize(normalize);
                let key = format!("sh.{name}.normalize_{normalize}");
                let values = host(harmonics.forward(tensor(&tensors.tensor("points"))));
                assert_close_by_row(&key, &tensors.tensor(&key), &values);
            }
        }
    }

    /// Point by point: those of long vectors would hide those of short ones.
    fn assert_close_by_row(what: &str, expected: &golden::Array, actual: &[f64]) {
        let width = expected.shape[1];
        assert_eq!(expected.values.len(), actual.len(), "{what}");
        for (row, (values, actual)) in expected.values.chunks(width).zip(actual.chunks(width)).enumerate() {
            let expected = golden::Array { shape: vec![width], values: values.to_vec() };
            assert_close(&format!("{what}, point {row}"), &expected, actual);
        }
    }

    #[test]
    fn gradients_of_spherical_harmonics() {
        let tensors = Tensors::open("e3nn/spherical_harmonics.safetensors");
        let points = tensor(&tensors.tensor("points")).narrow(0, 10, 10);
        for normalize in [true, false] {
            let harmonics = SphericalHarmonics::up_to(8).with_normalize(normalize);
            let x = points.clone().autodiff().require_grad();
            let cotangent = tensor(&tensors.tensor(&format!("vjp.cotangent.normalize_{normalize}")));
            let product = harmonics.forward(x.clone()) * cotangent.autodiff();
            let gradient = x.grad(&product.sum().backward()).unwrap();
            let key = format!("vjp.grad.normalize_{normalize}");
            assert_close_by_row(&key, &tensors.tensor(&key), &host(gradient));
        }
    }

    /// Distances of a file as a column.
    fn distances(array: &golden::Array) -> Tensor<2> {
        Tensor::from_data(TensorData::new(array.values.clone(), [array.shape[0], 1]), (&Device::flex(), DType::F64))
    }

    #[test]
    fn radial_functions() {
        let tensors = Tensors::open("e3nn/radial.safetensors");
        let x = tensors.tensor("x");
        for (name, function) in [
            ("gaussian", RadialFunction::Gaussian),
            ("cosine", RadialFunction::Cosine),
            ("smooth_finite", RadialFunction::SmoothFinite),
            ("fourier", RadialFunction::Fourier),
            ("bessel", RadialFunction::Bessel),
        ] {
            for cutoff in [true, false] {
                let key = format!("{name}.cutoff_{cutoff}");
                let mut expected = tensors.tensor(&key);
                let basis = RadialBasis::new(function, -0.5..1.5, 4, cutoff).unwrap();
                let values = host(basis.forward(distances(&x)));
                assert_eq!(expected.shape, [x.values.len(), 4]);
                // At the start e3nn's Bessel functions are 0 / 0; ours are what they are just after it.
                let undefined = expected.values.iter().filter(|v| v.is_nan()).count();
                assert!(undefined == 0 || name == "bessel" && undefined == 4, "{key}: {undefined}");
                for (at, (expected, value)) in expected.values.iter_mut().zip(&values).enumerate() {
                    if expected.is_nan() {
                        assert!(
                            (value - (at % 4 + 1) as f64 * std::f64::consts::FRAC_PI_2).abs() < TOLERANCE,
                            "{value}"
                        );
                        *expected = *value;
                    }
                }
                assert_close(&key, &expected, &values);
            }
        }
        let bessel = RadialBasis::new(RadialFunction::Bessel, 0.0..2.0, 4, false).unwrap();
        let values = host(bessel.forward(distances(&tensors.tensor("bessel_fn.x"))));
        assert_close("bessel", &tensors.tensor("bessel_fn.y"), &values);
        let values = host(soft_unit_step(distances(&tensors.tensor("soft_unit_step.x"))));
        assert_close("soft_unit_step", &tensors.tensor("soft_unit_step.y"), &values);
    }

    fn signal(array: &golden::Array) -> Tensor<3> {
        let shape: [usize; 3] = array.shape[..].try_into().unwrap();
        Tensor::from_data(TensorData::new(array.values.clone(), shape), (&Device::flex(), DType::F64))
    }

    #[test]
    fn grids_on_the_sphere() {
        for (name, normalization) in NORMALIZATIONS {
            let tensors = Tensors::open(&format!("e3nn/s2grid_{name}.safetensors"));
            let read = |key: &str| tensors.tensor(key);
            let grid = S2GridConfig::new(3)
                .with_resolution([12, 9])
                .with_normalization(normalization)
                .init((&Device::flex(), DType::F64))
                .unwrap();
            assert_close("grid", &read("grid"), &grid.points().concat());
            assert_close(name, &read("signal"), &host(grid.to_grid(tensor(&read("coeff")))));
            assert_close(name, &read("back"), &host(grid.from_grid(signal(&read("signal")))));
            assert_close(name, &read("coeff"), &host(grid.from_grid(signal(&read("signal")))));
            // Also of a signal with degrees beyond.
            assert_close(name, &read("rand_coeff"), &host(grid.from_grid(signal(&read("rand_signal")))));

            let x = tensor(&read("coeff")).autodiff().require_grad();
            let product = grid.to_grid(x.clone()) * signal(&read("to.cotangent")).autodiff();
            assert_close(name, &read("to.grad"), &host(x.grad(&product.sum().backward()).unwrap()));
            let x = signal(&read("rand_signal")).autodiff().require_grad();
            let product = grid.from_grid(x.clone()) * tensor(&read("from.cotangent")).autodiff();
            assert_close(name, &read("from.grad"), &host(x.grad(&product.sum().backward()).unwrap()));
        }
    }
}
