//! Spherical harmonics and tensor products of `equi_core::ops` against their definitions, and their gradients against differences.

#![cfg(any(feature = "flex", feature = "wgpu"))]

use std::sync::Arc;

use burn::tensor::{DType, Device, Tensor, TensorData};
use equi_core::o3::{Irreps, Normalization, SphericalHarmonics, wigner_3j};
use equi_core::ops::{CoupledPath, Couplings, Segments, gather, segment_sum, uvu_messages, uvu_product, uvw_product};

/// A device, a precision, and the relative error that rounding may cause there in sums of hundreds of numbers.
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
        Setting { name: "flex f32", device: Device::flex(), dtype: DType::F32, tolerance: 5e-6 },
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

/// Numbers without a pattern between -1 and 1.
fn numbers(shape: [usize; 2], seed: u64, setting: &Setting) -> Tensor<2> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let values: Vec<f64> = (0..shape[0] * shape[1])
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 11) as f64 / (1u64 << 53) as f64 * 2.0 - 1.0
        })
        .collect();
    tensor(values, shape, setting)
}

fn tensor(values: Vec<f64>, shape: [usize; 2], setting: &Setting) -> Tensor<2> {
    Tensor::from_data(TensorData::new(values, shape).convert_dtype(setting.dtype), (&setting.device, setting.dtype))
}

fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f64> {
    tensor.into_data().iter::<f64>().collect()
}

/// Asserts that two tensors agree up to rounding, relative to the largest number.
fn assert_close(what: &str, setting: &Setting, given: &Tensor<2>, wanted: &Tensor<2>) {
    assert_eq!(given.dims(), wanted.dims(), "{what} on {}: shapes", setting.name);
    let (given, wanted) = (values(given.clone()), values(wanted.clone()));
    let scale = wanted.iter().fold(1e-30, |scale: f64, value| scale.max(value.abs()));
    for (place, (given, wanted)) in given.iter().zip(&wanted).enumerate() {
        let error = (given - wanted).abs() / scale;
        assert!(error <= setting.tolerance, "{what} on {}, number {place}: {given} for {wanted}", setting.name);
    }
}

/// The sum of the outputs with weights that have no pattern, so that no two gradients cancel.
fn weighted(output: Tensor<2>, setting: &Setting) -> Tensor<1> {
    let weights = numbers(output.dims(), 77, setting).to_data();
    let weights = Tensor::from_data(weights, (&output.device(), setting.dtype));
    (output * weights).sum()
}

/// The gradients of [`weighted`] by the inputs that are tracked.
fn gradients(
    inputs: &[Tensor<2>],
    tracked: &[bool],
    setting: &Setting,
    operation: &impl Fn(&[Tensor<2>]) -> Tensor<2>,
) -> Vec<Option<Tensor<2>>> {
    let device = setting.device.clone().autodiff();
    let inputs: Vec<Tensor<2>> = inputs
        .iter()
        .zip(tracked)
        .map(|(input, &tracked)| {
            let input = Tensor::from_data(input.to_data(), (&device, setting.dtype));
            if tracked { input.require_grad() } else { input }
        })
        .collect();
    let gradients = weighted(operation(&inputs), setting).backward();
    inputs.iter().map(|input| input.grad(&gradients)).collect()
}

/// Asserts that `operation` gives what `reference`, made of tensor operations, gives: outputs and gradients, of all inputs together and of
/// each alone; and, in double precision, that the gradients are the limits of differences.
fn assert_operation(
    setting: &Setting,
    what: &str,
    inputs: &[Tensor<2>],
    operation: impl Fn(&[Tensor<2>]) -> Tensor<2>,
    reference: impl Fn(&[Tensor<2>]) -> Tensor<2>,
) {
    assert_close(what, setting, &operation(inputs), &reference(inputs));
    let turned: Vec<Tensor<2>> = inputs
        .iter()
        .map(|input| {
            let stored = input.clone().transpose().to_data();
            Tensor::from_data(stored, (&setting.device, setting.dtype)).transpose()
        })
        .collect();
    assert_close(&format!("{what}, transposed"), setting, &operation(&turned), &reference(inputs));

    let all = vec![true; inputs.len()];
    let given = gradients(inputs, &all, setting, &operation);
    let wanted = gradients(inputs, &all, setting, &reference);
    for (place, (given, wanted)) in given.iter().zip(&wanted).enumerate() {
        let what = format!("gradient {place} of {what}");
        let given = given.as_ref().expect("a gradient by every input");
        assert_close(&what, setting, given, wanted.as_ref().expect("a gradient"));
        let mut alone = vec![false; inputs.len()];
        alone[place] = true;
        let by_one = gradients(inputs, &alone, setting, &operation).swap_remove(place).expect("a gradient");
        assert_close(&format!("{what} alone"), setting, &by_one, given);
        if setting.dtype == DType::F64 {
            assert_differences(&what, setting, inputs, place, values(given.clone()), &operation);
        }
    }
}

/// Central differences of [`weighted`] by up to 25 numbers of one input. The step balances the error of the difference, its square, against
/// that of rounding, its inverse.
fn assert_differences(
    what: &str,
    setting: &Setting,
    inputs: &[Tensor<2>],
    place: usize,
    gradient: Vec<f64>,
    operation: &impl Fn(&[Tensor<2>]) -> Tensor<2>,
) {
    const STEP: f64 = 1e-5;
    let shape = inputs[place].dims();
    let at = values(inputs[place].clone());
    let moved = |number: usize, by: f64| {
        let mut numbers = at.clone();
        numbers[number] += by;
        let mut inputs = inputs.to_vec();
        inputs[place] = tensor(numbers, shape, setting);
        values(weighted(operation(&inputs), setting))[0]
    };
    let scale = gradient.iter().fold(1.0, |scale: f64, value| scale.max(value.abs()));
    for number in (0..at.len()).step_by(at.len().div_ceil(25).max(1)) {
        let difference = (moved(number, STEP) - moved(number, -STEP)) / (2.0 * STEP);
        let error = (gradient[number] - difference).abs() / scale;
        assert!(error < 1e-6, "{what}, number {number}: {} for {difference}", gradient[number]);
    }
}

/// Harmonics from the host, vector by vector, and their gradients from differences of the fourth order, whose error is that of rounding.
#[test]
fn harmonics_are_those_of_the_host() {
    for setting in settings() {
        for degrees in [vec![0], vec![1], vec![2, 0], vec![3, 1, 3], vec![0, 1, 2, 3, 4, 5, 6], vec![9]] {
            for normalization in [Normalization::Component, Normalization::Integral, Normalization::Norm] {
                for normalize in [true, false] {
                    // Around the sizes of vectors and blocks.
                    for rows in [1, 63, 64, 65, 130] {
                        let harmonics = SphericalHarmonics::new(degrees.clone());
                        let harmonics = harmonics.with_normalization(normalization).with_normalize(normalize);
                        assert_harmonics(&setting, &harmonics, rows, normalize);
                    }
                }
            }
        }
    }
}

fn assert_harmonics(setting: &Setting, harmonics: &SphericalHarmonics, rows: usize, normalize: bool) {
    const STEP: f64 = 1e-3;
    let what = format!("{harmonics:?} of {rows} points");
    let columns = harmonics.dim();
    let mut points = values(numbers([rows, 3], 3, setting));
    if rows > 1 {
        // No direction, and close to none.
        points[3..6].fill(0.0);
    }
    let points = tensor(points, [rows, 3], setting);
    let at: Vec<[f64; 3]> = values(points.clone()).chunks(3).map(|p| [p[0], p[1], p[2]]).collect();
    let wanted: Vec<f64> = at.iter().flat_map(|&point| harmonics.at(point)).collect();
    let given = harmonics.forward(points.clone());
    assert_close(&what, setting, &given, &tensor(wanted, [rows, columns], setting));

    let weights = values(numbers([rows, columns], 77, setting));
    let mut wanted = Vec::with_capacity(3 * rows);
    for (row, &point) in at.iter().enumerate() {
        for axis in 0..3 {
            let moved = |by: f64| {
                let mut point = point;
                point[axis] += by * STEP;
                let harmonics = harmonics.at(point);
                harmonics.iter().zip(&weights[row * columns..]).map(|(y, w)| y * w).sum::<f64>()
            };
            let difference = (8.0 * (moved(1.0) - moved(-1.0)) - (moved(2.0) - moved(-2.0))) / (12.0 * STEP);
            wanted.push(if normalize && row == 1 { 0.0 } else { difference });
        }
    }
    let operation = |inputs: &[Tensor<2>]| harmonics.forward(inputs[0].clone());
    let Some(given) = gradients(&[points], &[true], setting, &operation).swap_remove(0) else {
        panic!("{what}: there is a gradient");
    };
    let given = values(given);
    for (row, (given, wanted)) in given.chunks(3).zip(wanted.chunks(3)).enumerate() {
        // Differences are worse for short vectors, where directions turn fast.
        let length = at[row].iter().map(|x| x * x).sum::<f64>().sqrt();
        let scale = wanted.iter().fold(1.0, |scale: f64, value| scale.max(value.abs()));
        let bound =
            setting.tolerance.max(1e-6) * if normalize && length > 0.0 { 10.0 / length.min(1.0).powi(5) } else { 10.0 };
        for (given, wanted) in given.iter().zip(wanted) {
            assert!((given - wanted).abs() <= bound * scale, "gradient of {what}, row {row}: {given} for {wanted}");
        }
    }
}

/// Irreps of three degrees with copies that are no multiple of a vector, and all paths between them that `out` contains.
struct Case {
    first: Irreps,
    second: Irreps,
    out: Irreps,
    paths: Vec<CoupledPath>,
}

fn irreps(text: &str) -> Irreps {
    text.parse().expect("irreps")
}

/// Every path of every pair of blocks, each to a block of its own; the last two to the same one if they can.
fn uvu_case(first: &str, second: &str) -> Case {
    let (first, second) = (irreps(first), irreps(second));
    let (mut blocks, mut paths) = (Vec::new(), Vec::new());
    for (a, of_first) in first.blocks().iter().enumerate() {
        for (b, of_second) in second.blocks().iter().enumerate() {
            for irrep in of_first.irrep.product(of_second.irrep) {
                let block = (of_first.mul, irrep);
                let known = blocks.iter().position(|known| *known == block).filter(|_| paths.len() % 3 == 2);
                let out = known.unwrap_or(blocks.len());
                if out == blocks.len() {
                    blocks.push(block);
                }
                paths.push(CoupledPath { first: a, second: b, out, coefficient: 0.5 + 0.1 * paths.len() as f64 });
            }
        }
    }
    Case { first, second, out: blocks.into_iter().collect(), paths }
}

fn uvw_case(first: &str, second: &str, out: &str) -> Case {
    let (first, second, out) = (irreps(first), irreps(second), irreps(out));
    let mut paths = Vec::new();
    for (a, of_first) in first.blocks().iter().enumerate() {
        for (b, of_second) in second.blocks().iter().enumerate() {
            for (c, of_out) in out.blocks().iter().enumerate() {
                if of_first.irrep.product(of_second.irrep).any(|irrep| irrep == of_out.irrep) {
                    let coefficient = 0.5 + 0.1 * paths.len() as f64;
                    paths.push(CoupledPath { first: a, second: b, out: c, coefficient });
                }
            }
        }
    }
    Case { first, second, out, paths }
}

impl Case {
    fn columns(&self) -> [usize; 3] {
        [&self.first, &self.second, &self.out].map(Irreps::dim)
    }

    /// The product from its definition: `sum_ij C_ijk x_ui y_vj` of all pairs of copies by broadcasting, then the weights.
    fn reference(&self, inputs: &[Tensor<2>], mixed: bool, setting: &Setting) -> Tensor<2> {
        let [x, y, w] = [0, 1, 2].map(|place| inputs[place].clone());
        let (rows, weight_rows, device) = (x.dims()[0], w.dims()[0], x.device());
        let [starts1, starts2, _] = [&self.first, &self.second, &self.out].map(|irreps| irreps.slices());
        let mut outputs: Vec<Option<Tensor<3>>> = vec![None; self.out.blocks().len()];
        let mut place = 0;
        for path in &self.paths {
            let (a, b, c) =
                (self.first.blocks()[path.first], self.second.blocks()[path.second], self.out.blocks()[path.out]);
            let [d1, d2, d3] = [a, b, c].map(|block| block.irrep.dim());
            let x = x.clone().narrow(1, starts1[path.first].start, a.dim()).reshape([rows, a.mul, 1, d1, 1]);
            let y = y.clone().narrow(1, starts2[path.second].start, b.dim()).reshape([rows, 1, b.mul, 1, d2]);
            let pairs = (x * y).reshape([rows * a.mul * b.mul, d1 * d2]);
            let table = wigner_3j(a.irrep.l, b.irrep.l, c.irrep.l).expect("a path");
            let table: Vec<f64> = table.values().iter().map(|value| value * path.coefficient).collect();
            let table = TensorData::new(table, [d1 * d2, d3]).convert_dtype(setting.dtype);
            let table = Tensor::<2>::from_data(table, (&device, setting.dtype));
            let products = pairs.matmul(table).reshape([rows, a.mul * b.mul, d3]);
            let count = if mixed { a.mul * b.mul * c.mul } else { a.mul };
            let weights = w.clone().narrow(1, place, count);
            place += count;
            let product: Tensor<3> = if mixed {
                let products = products.swap_dims(1, 2).reshape([rows * d3, a.mul * b.mul]);
                let mixed = products.matmul(weights.reshape([a.mul * b.mul, c.mul]));
                mixed.reshape([rows, d3, c.mul]).swap_dims(1, 2)
            } else {
                products * weights.reshape([weight_rows, a.mul, 1])
            };
            let sum = &mut outputs[path.out];
            *sum = Some(match sum.take() {
                Some(sum) => sum + product,
                None => product,
            });
        }
        let outputs = self.out.blocks().iter().zip(outputs).map(|(block, output)| match output {
            Some(output) => output.reshape([rows, block.dim()]),
            None => Tensor::zeros([rows, block.dim()], (&device, setting.dtype)),
        });
        Tensor::cat(outputs.collect(), 1)
    }
}

/// One copy, fewer than a vector, a vector, more; degrees with kernels of their size and beyond; a block of the first input that no path takes.
fn uvu_cases() -> Vec<Case> {
    let mut unused = uvu_case("2x0e+17x1o+3x2e", "0e+1o+2e");
    unused.paths.retain(|path| path.first != 0);
    let mut cases = vec![
        uvu_case("1x0e", "0e"),
        uvu_case("1x0e+3x1o", "0e+1o"),
        uvu_case("16x0e+16x1o+16x2e", "0e+1o+2e"),
        uvu_case("5x3o", "0e+1o+2e+3o"),
        uvu_case("9x4e+2x1o", "2e+4e"),
        uvu_case("33x1o", "1o"),
    ];
    cases.push(unused);
    cases
}

#[test]
fn the_product_uvu_is_its_formula() {
    for setting in settings() {
        for (number, case) in uvu_cases().into_iter().enumerate() {
            let couplings = Arc::new(Couplings::uvu(&case.first, &case.second, &case.out, &case.paths).expect("paths"));
            assert_eq!(couplings.columns(), case.columns());
            for rows in [1, 2, 17] {
                for weight_rows in [1, rows] {
                    let [a, b, _] = case.columns();
                    let inputs = [[rows, a], [rows, b], [weight_rows, couplings.weights()]];
                    let inputs = [1, 2, 3].map(|seed| numbers(inputs[seed - 1], seed as u64, &setting));
                    assert_operation(
                        &setting,
                        &format!("uvu case {number}, {rows} rows, weights of {weight_rows}"),
                        &inputs,
                        |x| uvu_product(x[0].clone(), x[1].clone(), x[2].clone(), &couplings),
                        |x| case.reference(x, false, &setting),
                    );
                }
            }
        }
    }
}

/// Nodes that send or receive nothing, or all to themselves; edges in the order of the receivers, and in none.
#[test]
fn messages_are_products_gathered_and_summed() {
    for setting in settings() {
        for (number, case) in uvu_cases().into_iter().enumerate() {
            let couplings = Arc::new(Couplings::uvu(&case.first, &case.second, &case.out, &case.paths).expect("paths"));
            let [a, b, _] = case.columns();
            let graphs: [(Vec<usize>, Vec<usize>); 3] = [
                (vec![0], vec![1]),
                (vec![2, 2, 0, 2, 0], vec![0, 1, 1, 3, 3]),
                ((0..40).map(|e| e * 7 % 5).collect(), (0..40).map(|e| e * 3 % 4).collect()),
            ];
            for (senders, receivers) in graphs {
                let edges = senders.len();
                let senders = Segments::new(senders, 5, &setting.device).expect("senders");
                let receivers = Segments::new(receivers, 4, &setting.device).expect("receivers");
                for weight_rows in [1, edges] {
                    let inputs = [[5, a], [edges, b], [weight_rows, couplings.weights()]];
                    let inputs = [1, 2, 3].map(|seed| numbers(inputs[seed - 1], seed as u64, &setting));
                    assert_operation(
                        &setting,
                        &format!("messages of case {number}, {edges} edges, weights of {weight_rows}"),
                        &inputs,
                        |x| {
                            let [x, y, w] = [0, 1, 2].map(|place| x[place].clone());
                            uvu_messages(x, y, w, &couplings, &senders, &receivers)
                        },
                        |x| {
                            let sent = [gather(x[0].clone(), &senders), x[1].clone(), x[2].clone()];
                            segment_sum(case.reference(&sent, false, &setting), &receivers)
                        },
                    );
                }
            }
        }
    }
}

#[test]
fn the_product_uvw_is_its_formula() {
    let cases = [
        uvw_case("1x0e", "0e", "1x0e"),
        uvw_case("3x0e+2x1o", "0e+1o", "2x0e+5x1o"),
        uvw_case("16x0e+16x1o+4x2e", "0e+1o+2e", "8x0e+16x1o+7x2e"),
        uvw_case("5x1o+2x3o", "3x0e+2x2e", "4x1o+3x3o+2x4e"),
        uvw_case("40x0e+40x1o", "30x0e+2x1o", "3x0e+1x1o"),
        uvw_case("2x4e", "4e", "3x4e+2x0e"),
    ];
    for setting in settings() {
        for (number, case) in cases.iter().enumerate() {
            let mut paths = case.paths.clone();
            // What no path reaches is zero.
            paths.retain(|path| number != 3 || path.out != 2);
            let case = Case { first: case.first.clone(), second: case.second.clone(), out: case.out.clone(), paths };
            let couplings = Arc::new(Couplings::uvw(&case.first, &case.second, &case.out, &case.paths).expect("paths"));
            let [a, b, _] = case.columns();
            for rows in [1, 2, 67] {
                let inputs = [[rows, a], [rows, b], [1, couplings.weights()]];
                let inputs = [1, 2, 3].map(|seed| numbers(inputs[seed - 1], seed as u64, &setting));
                assert_operation(
                    &setting,
                    &format!("uvw case {number}, {rows} rows"),
                    &inputs,
                    |x| uvw_product(x[0].clone(), x[1].clone(), x[2].clone(), &couplings),
                    |x| case.reference(x, true, &setting),
                );
            }
        }
    }
}

/// Enough for pieces of work on several threads, and weights whose gradients several pieces add up.
#[cfg(feature = "flex")]
#[test]
fn products_of_many_rows_do_not_depend_on_threads() {
    let setting = settings().remove(1);
    let rows = 700;
    let case = uvu_case("64x0e+64x1o+64x2e", "0e+1o+2e");
    let uvu = Arc::new(Couplings::uvu(&case.first, &case.second, &case.out, &case.paths).expect("paths"));
    let mixed = uvw_case("32x0e+32x1o+32x2e", "0e+1o+2e", "32x0e+32x1o+32x2e");
    let uvw = Arc::new(Couplings::uvw(&mixed.first, &mixed.second, &mixed.out, &mixed.paths).expect("paths"));
    let ids = |step: usize, count: usize| (0..rows).map(|row| row * step % count).collect::<Vec<_>>();
    let senders = Segments::new(ids(7, 90), 90, &setting.device).expect("senders");
    let receivers = Segments::new(ids(11, 80), 80, &setting.device).expect("receivers");
    let inputs = |nodes: usize, couplings: &Couplings, weight_rows: usize| {
        let [a, b, _] = couplings.columns();
        let shapes = [[nodes, a], [rows, b], [weight_rows, couplings.weights()]];
        [1, 2, 3].map(|seed| numbers(shapes[seed - 1], seed as u64, &setting))
    };
    let all = || {
        let mut found = Vec::new();
        let mut run = |inputs: [Tensor<2>; 3], operation: &dyn Fn(&[Tensor<2>]) -> Tensor<2>| {
            found.push(values(operation(&inputs)));
            let gradients = gradients(&inputs, &[true; 3], &setting, &operation);
            found.extend(gradients.into_iter().map(|gradient| values(gradient.expect("a gradient"))));
        };
        for weight_rows in [1, rows] {
            run(inputs(rows, &uvu, weight_rows), &|x| uvu_product(x[0].clone(), x[1].clone(), x[2].clone(), &uvu));
            run(inputs(90, &uvu, weight_rows), &|x| {
                uvu_messages(x[0].clone(), x[1].clone(), x[2].clone(), &uvu, &senders, &receivers)
            });
        }
        run(inputs(rows, &uvw, 1), &|x| uvw_product(x[0].clone(), x[1].clone(), x[2].clone(), &uvw));
        found
    };
    let pool = |threads: usize| rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads");
    let alone = pool(1).install(all);
    for threads in [2, 3] {
        assert!(pool(threads).install(all) == alone, "{threads} threads");
    }
    let inputs = inputs(rows, &uvw, 1);
    let given = uvw_product(inputs[0].clone(), inputs[1].clone(), inputs[2].clone(), &uvw);
    assert_close("uvw of many rows", &setting, &given, &mixed.reference(&inputs, true, &setting));
}

#[test]
fn nothing_to_multiply_is_zero() {
    for setting in settings() {
        let case = uvu_case("2x0e+2x1o", "0e+1o");
        let couplings = Arc::new(Couplings::uvu(&case.first, &case.second, &case.out, &case.paths).expect("paths"));
        let [a, b, c] = case.columns();
        let zeros = |rows: usize, columns: usize| Tensor::zeros([rows, columns], (&setting.device, setting.dtype));
        let weights = numbers([1, couplings.weights()], 1, &setting);
        assert_eq!(uvu_product(zeros(0, a), zeros(0, b), weights.clone(), &couplings).dims(), [0, c]);
        let none = |count: usize| Segments::new(vec![], count, &setting.device).expect("no edges");
        let messages = uvu_messages(zeros(3, a), zeros(0, b), weights, &couplings, &none(3), &none(2));
        assert_eq!(values(messages), vec![0.0; 2 * c]);
        assert_eq!(SphericalHarmonics::up_to(2).forward(zeros(0, 3)).dims(), [0, 9]);
    }
}

#[test]
fn paths_that_are_none_are_refused() {
    let [first, second] = [irreps("2x0e+2x1o"), irreps("0e+2x1o")];
    let path = |first, second, out| [CoupledPath { first, second, out, coefficient: 1.0 }];
    let uvu = |out: &str, paths: &[CoupledPath]| Couplings::uvu(&first, &second, &irreps(out), paths);
    assert!(uvu("2x1o", &path(1, 0, 0)).is_ok());
    // No such block; two copies in the second input; other copies; another parity; a degree that the product does not contain.
    assert!(uvu("2x1o", &path(2, 0, 0)).is_err());
    assert!(uvu("2x1o", &path(0, 1, 0)).is_err());
    assert!(uvu("3x1o", &path(1, 0, 0)).is_err());
    assert!(uvu("2x1e", &path(1, 0, 0)).is_err());
    assert!(uvu("2x2o", &path(1, 0, 0)).is_err());
    assert!(Couplings::uvw(&first, &second, &irreps("5x1o"), &path(0, 1, 0)).is_ok());
    assert!(Couplings::uvw(&first, &second, &irreps("0x1o"), &path(0, 1, 0)).is_err());
}
