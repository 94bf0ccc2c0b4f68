//! Functions of vectors and distances on devices: values, gradients against differences, and where they could be infinite.

#![cfg(any(feature = "flex", feature = "wgpu"))]

use burn::tensor::{DType, Device, Tensor, TensorData};
use equi_core::Error;
use equi_core::o3::{
    Cutoff, Normalization, RadialBasis, RadialFunction, S2GridConfig, SphericalHarmonics, soft_unit_step,
};

/// A device, a precision, and the error that rounding may cause there in sums of tens of numbers of size 1.
struct Setting {
    name: &'static str,
    device: Device,
    dtype: DType,
    tolerance: f64,
}

/// Flex in f32 and f64; wgpu in f32 (WGSL has no f64).
fn settings() -> Vec<Setting> {
    vec![
        #[cfg(feature = "flex")]
        Setting { name: "flex f32", device: Device::flex(), dtype: DType::F32, tolerance: 3e-6 },
        #[cfg(feature = "flex")]
        Setting { name: "flex f64", device: Device::flex(), dtype: DType::F64, tolerance: 1e-13 },
        #[cfg(feature = "wgpu")]
        Setting {
            name: "wgpu f32",
            device: Device::wgpu(burn::tensor::DeviceKind::DefaultDevice),
            dtype: DType::F32,
            tolerance: 1e-5,
        },
    ]
}

fn upload(values: &[f64], columns: usize, setting: &Setting) -> Tensor<2> {
    let data = TensorData::new(values.to_vec(), [values.len() / columns, columns]).convert_dtype(setting.dtype);
    Tensor::from_data(data, (&setting.device, setting.dtype))
}

fn host(x: Tensor<2>) -> Vec<f64> {
    x.into_data_as::<f64>().try_into_vec().unwrap()
}

fn largest_difference(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, |m, d| if d.is_nan() { f64::INFINITY } else { m.max(d) })
}

/// Weights of all outputs that have nothing to do with one another.
fn cotangent(count: usize) -> Vec<f64> {
    (0..count).map(|i| (1.7 * i as f64 + 0.3).sin()).collect()
}

/// The gradient of the weighted sum of what a function gives.
fn gradient(values: &[f64], columns: usize, setting: &Setting, f: impl Fn(Tensor<2>) -> Tensor<2>) -> Vec<f64> {
    let x = upload(values, columns, setting).autodiff().require_grad();
    let output = f(x.clone());
    let [rows, width] = output.dims();
    let weights = upload(&cotangent(rows * width), width, setting).autodiff();
    host(x.grad(&(output * weights).sum().backward()).unwrap())
}

/// The same by central differences, in f64.
#[cfg(feature = "flex")]
fn differences(values: &[f64], columns: usize, step: f64, f: impl Fn(Tensor<2>) -> Tensor<2>) -> Vec<f64> {
    let setting = Setting { name: "f64", device: Device::flex(), dtype: DType::F64, tolerance: 0.0 };
    let weighted = |values: &[f64]| -> f64 {
        let outputs = host(f(upload(values, columns, &setting)));
        outputs.iter().zip(cotangent(outputs.len())).map(|(a, b)| a * b).sum()
    };
    let slope = |place: usize| {
        let at = |offset: f64| {
            let mut moved = values.to_vec();
            moved[place] += offset;
            weighted(&moved)
        };
        (8.0 * (at(step) - at(-step)) - at(2.0 * step) + at(-2.0 * step)) / (12.0 * step)
    };
    (0..values.len()).map(slope).collect()
}

/// Both poles, the axes, close to a pole, close to zero, and in between.
const POINTS: [f64; 27] = [
    0.0, 1.0, 0.0, //
    0.0, -1.0, 0.0, //
    1.0, 0.0, 0.0, //
    0.0, 0.0, -1.0, //
    1e-9, 1.0, -1e-9, //
    1e-3, -1.0, 2e-3, //
    0.3, -0.5, 0.8, //
    -0.9, 0.2, 0.1, //
    0.4, 0.7, -0.6, //
];

const NORMALIZATIONS: [Normalization; 3] = [Normalization::Component, Normalization::Integral, Normalization::Norm];

#[test]
fn harmonics_on_the_device_are_those_on_the_host() {
    for setting in settings() {
        for normalization in NORMALIZATIONS {
            for normalize in [true, false] {
                // In any order, some twice.
                let harmonics = SphericalHarmonics::new([11, 0, 3, 1, 3, 2, 7])
                    .with_normalization(normalization)
                    .with_normalize(normalize);
                let rounded = host(upload(&POINTS, 3, &setting));
                let expected: Vec<f64> = rounded.chunks(3).flat_map(|p| harmonics.at(p.try_into().unwrap())).collect();
                let found = harmonics.forward(upload(&POINTS, 3, &setting));
                assert_eq!(found.dims(), [9, harmonics.dim()]);
                let scale = expected.iter().fold(0.0, |m: f64, v| m.max(v.abs()));
                let error = largest_difference(&host(found), &expected) / scale;
                assert!(error < setting.tolerance, "{}, {normalization:?}, {normalize}: {error:e}", setting.name);
            }
        }
    }
}

/// `Y_l . Y_l = 2 l + 1` on the sphere; the recursion neither grows nor dies at high degrees.
#[test]
fn the_norm_of_harmonics_is_that_of_their_normalisation_at_high_degrees() {
    for setting in settings() {
        for l in [1, 11, 30] {
            let values = host(SphericalHarmonics::new([l]).forward(upload(&POINTS, 3, &setting)));
            for row in values.chunks(2 * l + 1) {
                let error = row.iter().map(|v| v * v).sum::<f64>() / (2 * l + 1) as f64 - 1.0;
                assert!(error.abs() < 10.0 * setting.tolerance, "{}, {l}: {error:e}", setting.name);
            }
        }
    }
}

#[cfg(feature = "flex")]
#[test]
fn gradients_of_harmonics_are_those_of_differences() {
    for setting in settings() {
        for normalize in [true, false] {
            let harmonics = SphericalHarmonics::up_to(11).with_normalize(normalize);
            let f = |x| harmonics.forward(x);
            let rounded = host(upload(&POINTS, 3, &setting));
            let expected = differences(&rounded, 3, 1e-3, f);
            let scale = expected.iter().fold(0.0, |m: f64, v| m.max(v.abs()));
            let error = largest_difference(&gradient(&POINTS, 3, &setting, f), &expected) / scale;
            // Differences of fourth order of polynomials of degree 11: h^4 times the fifth derivative, 1e-12 * 11^5 / 30.
            assert!(error < setting.tolerance.max(1e-8), "{}, {normalize}: {error:e}", setting.name);
        }
    }
}

#[cfg(feature = "flex")]
#[test]
fn gradients_near_zero_are_those_of_differences() {
    let setting = &Setting { name: "flex f64", device: Device::flex(), dtype: DType::F64, tolerance: 0.0 };
    for size in [1e-3, 1e-9] {
        let near: Vec<f64> = POINTS.iter().map(|v| v * size).collect();
        for normalize in [true, false] {
            // Without degree 0, beside which the others would round away.
            let harmonics = SphericalHarmonics::new([1, 2, 3, 4, 5, 6]).with_normalize(normalize);
            let f = |x| harmonics.forward(x);
            let expected = differences(&near, 3, 1e-3 * size, f);
            let scale = expected.iter().fold(0.0, |m: f64, v| m.max(v.abs()));
            let error = largest_difference(&gradient(&near, 3, setting, f), &expected) / scale;
            assert!(error < 1e-8, "{size}, {normalize}: {error:e}");
        }
    }
}

#[test]
fn harmonics_of_the_zero_vector_and_their_gradient_are_finite() {
    // Also vectors whose squares vanish in f32.
    let points = [0.0, 0.0, 0.0, -0.0, 0.0, -0.0, 1e-30, 0.0, -1e-30, 0.3, -0.5, 0.8];
    for setting in settings() {
        let directions = SphericalHarmonics::up_to(4);
        let values = host(directions.forward(upload(&points, 3, &setting)));
        let slopes = gradient(&points, 3, &setting, |x| directions.forward(x));
        for row in values.chunks(25).take(3) {
            assert!(row[0] == 1.0 && row[1..].iter().all(|&v| v == 0.0), "{}: {row:?}", setting.name);
        }
        assert!(slopes[..9].iter().all(|&slope| slope == 0.0), "{}: {slopes:?}", setting.name);
        assert!(slopes[9..].iter().all(|slope| slope.is_finite() && *slope != 0.0), "{}: {slopes:?}", setting.name);

        // As a polynomial, degree 1 has the slope that it has everywhere.
        let slopes = gradient(&points, 3, &setting, |x| directions.clone().with_normalize(false).forward(x));
        let expected = &cotangent(25)[1..4];
        for (slope, weight) in slopes.iter().zip(expected) {
            assert!((slope - 3f64.sqrt() * weight).abs() < setting.tolerance, "{}: {slopes:?}", setting.name);
        }
    }
}

#[test]
fn no_rows_and_no_degrees_have_shapes() {
    for setting in settings() {
        let forward = |degrees: &[usize], rows: usize| {
            SphericalHarmonics::new(degrees).forward(upload(&POINTS[..3 * rows], 3, &setting)).dims()
        };
        assert_eq!((forward(&[0, 2], 0), forward(&[], 2), forward(&[0], 2)), ([0, 6], [2, 0], [2, 1]));
    }
}

#[test]
#[should_panic(expected = "spherical harmonics are of vectors [rows, 3], not [2, 2]")]
fn harmonics_of_vectors_in_the_plane_are_refused() {
    SphericalHarmonics::new([1]).forward(upload(&[0.0; 4], 2, &settings()[0]));
}

const FUNCTIONS: [RadialFunction; 5] = [
    RadialFunction::Gaussian,
    RadialFunction::Cosine,
    RadialFunction::SmoothFinite,
    RadialFunction::Fourier,
    RadialFunction::Bessel,
];

/// Before, at and after the start, close to it, inside, close to, at and after the end.
const DISTANCES: [f64; 11] = [-1.0, 0.0, 1e-30, 1e-9, 1e-4, 0.3, 0.7, 1.9, 2.5 - 1e-7, 2.5, 40.0];

fn bases() -> impl Iterator<Item = RadialBasis> {
    let basis = |function, cutoff| RadialBasis::new(function, 0.0..2.5, 5, cutoff).unwrap();
    FUNCTIONS.into_iter().flat_map(move |function| [basis(function, false), basis(function, true)])
}

#[test]
fn radial_functions_and_their_derivatives_are_finite_everywhere() {
    for setting in settings() {
        for basis in bases() {
            let values = host(basis.forward(upload(&DISTANCES, 1, &setting)));
            assert!(values.iter().all(|v| v.abs() < 20.0), "{}, {basis:?}: {values:?}", setting.name);
            let slopes = gradient(&DISTANCES, 1, &setting, |x| basis.forward(x));
            assert!(slopes.iter().all(|v| v.abs() < 100.0), "{}, {basis:?}: {slopes:?}", setting.name);
        }
        for cutoff in
            [Cutoff::polynomial(2.5, 6), Cutoff::polynomial(2.5, 1), Cutoff::xplor(2.5, 0.0), Cutoff::xplor(2.5, 2.0)]
        {
            let cutoff = cutoff.unwrap();
            let values = host(cutoff.forward(upload(&DISTANCES[1..], 1, &setting)));
            let expected: Vec<f64> = DISTANCES[1..].iter().map(|&x| cutoff.at(x)).collect();
            assert!(largest_difference(&values, &expected) < setting.tolerance, "{}, {cutoff:?}", setting.name);
            assert!(values.iter().all(|&value| value >= 0.0), "{}, {cutoff:?}: {values:?}", setting.name);
            let slopes = gradient(&DISTANCES, 1, &setting, |x| cutoff.forward(x));
            assert!(slopes.iter().all(|v| v.abs() < 10.0), "{}, {cutoff:?}: {slopes:?}", setting.name);
            assert_eq!(slopes[9..], [0.0, 0.0], "{cutoff:?}");
        }
    }
}

#[cfg(feature = "flex")]
#[test]
fn gradients_of_radial_functions_are_those_of_differences() {
    // Away from where cut-offs have corners; zero and 1e-4 are on both sides of where sinc is a series.
    let inside = [0.0, 1e-4, 0.011, 0.3, 0.7, 1.1, 1.9, 2.3];
    for setting in settings() {
        let check = |what: String, points: &[f64], f: &dyn Fn(Tensor<2>) -> Tensor<2>| {
            let expected = differences(&host(upload(points, 1, &setting)), 1, 1e-3, f);
            let scale = expected.iter().fold(1e-3, |m: f64, v| m.max(v.abs()));
            let error = largest_difference(&gradient(points, 1, &setting, f), &expected) / scale;
            // The smooth bumps have large fifth derivatives.
            assert!(error < (5.0 * setting.tolerance).max(1e-6), "{}, {what}: {error:e}", setting.name);
        };
        for basis in bases() {
            // With a cut-off Fourier and Bessel functions begin at zero, with a corner or a jump.
            check(format!("{basis:?}"), &inside[2..], &|x| basis.forward(x));
        }
        for function in [RadialFunction::Fourier, RadialFunction::Bessel] {
            let basis = RadialBasis::new(function, 0.0..2.5, 5, false).unwrap();
            check(format!("{basis:?}"), &inside, &|x| basis.forward(x));
        }
        for cutoff in [Cutoff::polynomial(2.5, 6), Cutoff::polynomial(2.5, 3), Cutoff::xplor(2.5, 1.0)] {
            check(format!("{cutoff:?}"), &inside, &|x| cutoff.clone().unwrap().forward(x));
        }
        check("soft_unit_step".to_owned(), &[-1.0, 0.05, 0.5, 3.0], &soft_unit_step);
    }
}

#[cfg(feature = "flex")]
#[test]
fn slopes_of_radial_functions_are_as_precise_as_their_values() {
    // A radius that is no power of two, so that a factor in the wrong precision shows.
    let setting = Setting { name: "flex f64", device: Device::flex(), dtype: DType::F64, tolerance: 1e-13 };
    let (r, points) = (2.3_f64, [0.1, 0.4, 1.1, 1.7, 2.2]);
    let check = |what: &str, f: &dyn Fn(Tensor<2>) -> Tensor<2>, slope: &dyn Fn(f64) -> f64| {
        let weights = cotangent(points.len());
        let expected: Vec<f64> = points.iter().zip(weights).map(|(&x, weight)| weight * slope(x)).collect();
        let error = largest_difference(&gradient(&points, 1, &setting, f), &expected);
        assert!(error < 20.0 * setting.tolerance, "{what}: {error:e}");
    };
    for p in [1_i32, 3, 6] {
        let cutoff = Cutoff::polynomial(r, p as u32).unwrap();
        let factor = -f64::from(p * (p + 1) * (p + 2)) / 2.0 / r;
        let slope = |x: f64| factor * (x / r).powi(p - 1) * (1.0 - x / r).powi(2);
        check(&format!("{cutoff:?}"), &|x| cutoff.forward(x), &slope);
    }
    let (onset, cutoff) = (1.3_f64, Cutoff::xplor(r, 1.3).unwrap());
    let xplor = |x: f64| {
        let (r, o, x2) = (r * r, onset * onset, x * x);
        if x < onset { 0.0 } else { -12.0 * x * (r - x2) * (x2 - o) / (r - o).powi(3) }
    };
    check("xplor", &|x| cutoff.forward(x), &xplor);
    // One function each, centred in the middle, or the first.
    let basis = |function| RadialBasis::new(function, 0.0..r, 1, true).unwrap();
    let d = |x: f64| 2.0 * x / r - 1.0;
    let gaussian = |x: f64| -4.0 / r * d(x) * (-d(x) * d(x)).exp() / 1.12;
    check("gaussian", &|x| basis(RadialFunction::Gaussian).forward(x), &gaussian);
    let half = std::f64::consts::FRAC_PI_2;
    check("cosine", &|x| basis(RadialFunction::Cosine).forward(x), &|x| -2.0 / r * half * (half * d(x)).sin());
    let k = 2.0 * half / r;
    let bessel = |x: f64| (2.0 / r).sqrt() * ((k * x).cos() * k / x - (k * x).sin() / (x * x));
    check("bessel", &|x| basis(RadialFunction::Bessel).forward(x), &bessel);
    let fourier = |x: f64| (k * x).cos() * k / 0.75_f64.sqrt();
    check("fourier", &|x| basis(RadialFunction::Fourier).forward(x), &fourier);
}

/// `x . grad Y_l = l Y_l`, since harmonics are homogeneous, and `(e x x) . grad Y_l = X Y_l` with the generator of the rotations about `e`: exact
/// for every degree, where differences are not.
#[cfg(feature = "flex")]
#[test]
fn gradients_of_harmonics_are_those_of_homogeneous_functions_that_turn() {
    let setting = Setting { name: "flex f64", device: Device::flex(), dtype: DType::F64, tolerance: 1e-12 };
    let points = [0.3, -0.5, 0.8, -0.9, 0.2, 0.1, 0.4, 0.7, -0.6, 0.05, 1.1, -0.02];
    let rows = points.len() / 3;
    for l in 1..=12 {
        let harmonics = SphericalHarmonics::new([l]).with_normalize(false);
        let values = host(harmonics.forward(upload(&points, 3, &setting)));
        let generators = equi_core::o3::so3_generators(l);
        let width = 2 * l + 1;
        for m in 0..width {
            let x = upload(&points, 3, &setting).autodiff().require_grad();
            let loss = harmonics.forward(x.clone()).narrow(1, m, 1).sum();
            let slopes = host(x.grad(&loss.backward()).unwrap());
            for row in 0..rows {
                let (x, slope) = (&points[3 * row..][..3], &slopes[3 * row..][..3]);
                let values = &values[width * row..][..width];
                let scale = values.iter().fold(1e-3, |m: f64, v| m.max(v.abs())) * width as f64;
                let along: f64 = x.iter().zip(slope).map(|(a, b)| a * b).sum();
                let error = (along - l as f64 * values[m]).abs() / scale;
                assert!(error < setting.tolerance, "degree {l}, component {m}: {error:e}");
                for (axis, generator) in generators.iter().enumerate() {
                    let (a, b) = ((axis + 1) % 3, (axis + 2) % 3);
                    let around = x[a] * slope[b] - x[b] * slope[a];
                    let turned: f64 = (0..width).map(|n| generator[(m, n)] * values[n]).sum();
                    let error = (around - turned).abs() / scale;
                    assert!(error < setting.tolerance, "degree {l}, component {m}, axis {axis}: {error:e}");
                }
            }
        }
    }
}

#[test]
fn cutoffs_have_their_known_values() {
    let polynomial = Cutoff::polynomial(2.0, 6).unwrap();
    // 1 - 28/64 + 48/128 - 21/256.
    assert!((polynomial.at(1.0) - 0.855_468_75).abs() < 1e-15);
    let xplor = Cutoff::xplor(3.0, 1.0).unwrap();
    // (9 - 4)^2 (9 + 8 - 3) / 8^3.
    assert!((xplor.at(2.0) - 350.0 / 512.0).abs() < 1e-15);
    assert!((xplor.at(0.0) - 1.0).abs() < 1e-15 && (xplor.at(1.0) - 1.0).abs() < 1e-15 && xplor.at(3.0) == 0.0);
    // First and second derivatives vanish at the radius, so that what is left close to it is third order.
    assert!(polynomial.at(2.0 - 2e-3) < 100.0 * 1e-9 && xplor.at(3.0 - 3e-3) < 20.0 * 1e-6);
}

#[test]
fn bessel_functions_vanish_at_the_end_and_are_orthonormal() {
    let setting = &settings()[0];
    let basis = RadialBasis::new(RadialFunction::Bessel, 0.0..2.0, 3, true).unwrap();
    let points: Vec<f64> = (0..4000).map(|i| (i as f64 + 0.5) / 2000.0).collect();
    let values = host(basis.forward(upload(&points, 1, setting)));
    for (i, j) in (0..9).map(|n| (n / 3, n % 3)) {
        let terms = points.iter().zip(values.chunks(3)).map(|(x, row)| row[i] * row[j] * x * x / 2000.0);
        let expected = if i == j { 1.0 } else { 0.0 };
        assert!((terms.sum::<f64>() - expected).abs() < 1e-5, "{i} {j}");
    }
}

#[test]
fn radial_options_without_sense_are_refused_by_name() {
    let basis = |range, number, cutoff| {
        RadialBasis::new(RadialFunction::Gaussian, range, number, cutoff).unwrap_err().to_string()
    };
    assert!(basis(1.0..1.0, 4, true).contains("1..1 is not"));
    assert!(basis(0.0..f64::NAN, 4, true).contains("finite range"));
    assert!(basis(0.0..f64::INFINITY, 4, true).contains("finite range"));
    assert!(basis(0.0..1.0, 0, true).contains("at least one function"));
    assert!(basis(0.0..1.0, 1, false).contains("use two functions, or a cut-off"));
    assert!(RadialBasis::new(RadialFunction::Gaussian, 0.0..1.0, 1, true).is_ok());
    assert!(Cutoff::polynomial(0.0, 6).unwrap_err().to_string().contains("positive, finite radius, not 0"));
    assert!(Cutoff::polynomial(1.0, 0).unwrap_err().to_string().contains("use 6"));
    for onset in [-0.1, 1.0, f64::NAN] {
        assert!(Cutoff::xplor(1.0, onset).unwrap_err().to_string().contains("cannot set in"));
    }
}

#[test]
#[should_panic(expected = "a radial basis takes distances [rows, 1], not [3, 2]")]
fn distances_in_two_columns_are_refused() {
    bases().next().unwrap().forward(upload(&[0.0; 6], 2, &settings()[0]));
}

/// On the smallest grids, even and odd, and with other degrees out than in.
#[test]
fn coefficients_come_back_from_the_grid() {
    for setting in settings() {
        for (lmax, lmax_out, resolution) in
            [(0, 0, [1, 1]), (4, 4, [9, 9]), (4, 4, [10, 11]), (11, 11, [24, 23]), (3, 5, [11, 12]), (5, 2, [12, 14])]
        {
            for normalization in NORMALIZATIONS {
                let grid = S2GridConfig::new(lmax)
                    .with_lmax_out(lmax_out)
                    .with_resolution(resolution)
                    .with_normalization(normalization)
                    .init((&setting.device, setting.dtype))
                    .unwrap();
                let (columns, expected_columns) = (grid.irreps().dim(), grid.irreps_out().dim());
                let coefficients = cotangent(2 * columns);
                let found = host(grid.from_grid(grid.to_grid(upload(&coefficients, columns, &setting))));
                let expected: Vec<f64> = coefficients
                    .chunks(columns)
                    .flat_map(|row| row.iter().copied().chain(std::iter::repeat(0.0)).take(expected_columns))
                    .collect();
                let error = largest_difference(&found, &expected);
                assert!(
                    error < 2.0 * setting.tolerance,
                    "{}, {lmax} {lmax_out} {resolution:?}: {error:e}",
                    setting.name
                );
            }
        }
    }
}

#[test]
fn a_grid_samples_the_function() {
    let setting = &settings()[0];
    let grid = S2GridConfig::new(3).with_normalization(Normalization::Integral).init((&setting.device, setting.dtype));
    let grid = grid.unwrap();
    let samples = host(grid.to_grid(upload(&cotangent(16), 16, setting)).reshape([8, 7]));
    let harmonics = SphericalHarmonics::up_to(3).with_normalization(Normalization::Integral);
    let values: Vec<f64> = grid
        .points()
        .iter()
        .map(|&point| harmonics.at(point).iter().zip(cotangent(16)).map(|(y, c)| y * c).sum())
        .collect();
    assert!(largest_difference(&samples, &values) < setting.tolerance);
}

#[test]
fn grids_that_are_too_coarse_are_refused() {
    let config = S2GridConfig::new(3);
    let refused = |config: S2GridConfig| config.init(&settings()[0].device).unwrap_err();
    let error = refused(config.clone().with_resolution([6, 9]));
    assert_eq!(error, Error::GridTooCoarse { lmax: 3, lines: "latitudes", points: 6, needed: 7 });
    let error = refused(config.with_lmax_out(4)).to_string();
    assert!(error.contains("8 latitudes cannot tell degrees up to 4 apart: use at least 9"), "{error}");
}
