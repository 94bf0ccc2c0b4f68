//! The convolution by Fourier components of turns and flips against Burn's convolution, and its gradients against differences.

#![cfg(any(feature = "flex", feature = "wgpu"))]

use burn::tensor::module::conv2d;
use burn::tensor::ops::ConvOptions;
use burn::tensor::{DType, Device, Tensor, TensorData};
use equi_core::FieldType;
use equi_core::action::image;
use equi_core::group::{C1, C2, C4, C8, D1, D4, D8, Group, Subgroup};
use equi_core::kernel_basis::KernelGrid;
use equi_core::ops::{ConvSteps, ConvSymmetry, steerable_conv2d};
use equi_core::repr::{Irrep, Representation};

/// A device, a precision, and the relative error that rounding may cause there in sums of thousands of numbers.
struct Setting {
    name: &'static str,
    device: Device,
    dtype: DType,
    tolerance: f64,
}

fn settings() -> Vec<Setting> {
    vec![
        #[cfg(feature = "flex")]
        Setting { name: "flex f32", device: Device::flex(), dtype: DType::F32, tolerance: 1e-5 },
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

fn double() -> Device {
    #[cfg(feature = "flex")]
    return Device::flex();
    #[cfg(not(feature = "flex"))]
    unreachable!("the reference is computed on flex")
}

/// Numbers without a pattern.
fn numbers<const D: usize>(shape: [usize; D], seed: u64) -> TensorData {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let values: Vec<f64> = (0..shape.iter().product::<usize>())
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 11) as f64 / (1u64 << 53) as f64 * 2.0 - 1.0
        })
        .collect();
    TensorData::new(values, shape)
}

fn upload<const D: usize>(data: &TensorData, device: &Device, dtype: DType) -> Tensor<D> {
    Tensor::from_data(data.clone().convert_dtype(dtype), (device, dtype))
}

fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f64> {
    tensor.into_data().convert::<f64>().try_to_vec().unwrap()
}

/// The largest difference, relative to the largest number.
fn distance(given: &[f64], wanted: &[f64]) -> f64 {
    assert_eq!(given.len(), wanted.len());
    let largest = wanted.iter().fold(f64::MIN_POSITIVE, |largest, x| largest.max(x.abs()));
    given
        .iter()
        .zip(wanted)
        .map(|(g, w)| (g - w).abs() / largest)
        .fold(0.0, |a, b| if b > a || b.is_nan() { b } else { a })
}

/// The part of a filter that commutes: the mean over turns and flips of `rho_out(h) K(h^-1 q) rho_in(h)^-1`.
fn commuting(filter: Tensor<4>, input: &FieldType, output: &FieldType) -> Tensor<4> {
    let [out, from, size, _] = filter.dims();
    let symmetries = input.group().grid_symmetries();
    let matrix = |field_type: &FieldType, h| {
        let matrix = field_type.at(h).transpose();
        let shape = [1, field_type.size(), field_type.size()];
        Tensor::<3>::from_data(TensorData::new(matrix.as_slice().to_vec(), shape), (&filter.device(), DType::F64))
    };
    let terms: Vec<Tensor<4>> = symmetries
        .iter()
        .map(|h| {
            let points = image::act(h, filter.clone()).reshape([out, from, size * size]).permute([2, 0, 1]);
            let turned = matrix(output, h).matmul(points).matmul(matrix(input, h).swap_dims(1, 2));
            turned.permute([1, 2, 0]).reshape([out, from, size, size])
        })
        .collect();
    let count = terms.len() as f64;
    terms.into_iter().reduce(|a, b| a + b).expect("the identity") / count
}

struct Case {
    name: String,
    input: FieldType,
    output: FieldType,
    size: usize,
    steps: ConvSteps,
    image: [usize; 3],
    /// What filters are combinations of; of nothing in particular where there are none.
    functions: Vec<Vec<f64>>,
}

impl Case {
    fn symmetry(&self) -> ConvSymmetry {
        ConvSymmetry::with_functions(&self.input, &self.output, self.size, &self.functions)
    }

    /// The part of a filter that the convolution sees: what commutes, and is a combination of the functions.
    fn seen(&self, filter: Tensor<4>) -> Tensor<4> {
        let filter = commuting(filter, &self.input, &self.output);
        if self.functions.is_empty() {
            return filter;
        }
        // Orthonormal functions, by Gram and Schmidt.
        let mut basis: Vec<Vec<f64>> = Vec::new();
        for function in &self.functions {
            let mut rest = function.clone();
            for _ in 0..2 {
                for known in &basis {
                    let along: f64 = rest.iter().zip(known).map(|(a, b)| a * b).sum();
                    rest.iter_mut().zip(known).for_each(|(rest, known)| *rest -= along * known);
                }
            }
            let norm = rest.iter().map(|x| x * x).sum::<f64>().sqrt();
            if norm > 1e-9 * function.iter().map(|x| x * x).sum::<f64>().sqrt() {
                basis.push(rest.iter().map(|x| x / norm).collect());
            }
        }
        let points = self.size * self.size;
        let basis = upload::<2>(&TensorData::new(basis.concat(), [basis.len(), points]), &filter.device(), DType::F64);
        let dims = filter.dims();
        let rows = filter.reshape([dims[0] * dims[1], points]);
        rows.matmul(basis.clone().transpose()).matmul(basis).reshape(dims)
    }
}

fn fields(parts: &[(usize, Representation)]) -> FieldType {
    FieldType::new(parts.iter().flat_map(|(count, field)| vec![field.clone(); *count]).collect()).unwrap()
}

/// All groups of turns and flips, all kinds of fields, all ways to move.
fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    let steps = |stride, padding, dilation| ConvSteps { stride, padding, dilation };
    let mut add = |name: &str, input: &FieldType, output: &FieldType, size: usize, steps, image| {
        let (input, output) = (input.clone(), output.clone());
        let name = format!("{name} {}", input.group());
        let functions = KernelGrid::standard(size).unwrap().functions(|_| true);
        if !functions.is_empty() {
            let (name, input, output) = (format!("{name}, by functions"), input.clone(), output.clone());
            cases.push(Case { name, input, output, size, steps, image, functions });
        }
        cases.push(Case { name, input, output, size, steps, image, functions: Vec::new() });
    };
    let plain = ConvSteps::default();
    for group in
        [C1, C2, Group::Cyclic(3), C4, Group::Cyclic(6), C8, D1, Group::Dihedral(2), Group::Dihedral(3), D4, D8]
    {
        let regular = |count| FieldType::regular(group, count).unwrap();
        let trivial = |count| FieldType::trivial(group, count);
        add("regular", &regular(2), &regular(3), 3, steps(1, 1, 1), [2, 6, 7]);
        add("lift", &trivial(3), &regular(2), 5, steps(1, 2, 1), [1, 7, 5]);
        add("to scalars", &regular(1), &trivial(2), 3, steps(2, 1, 1), [2, 7, 9]);
    }
    for group in [Group::SO2, Group::O2, C4, C8, D4, D8] {
        let irrep = |frequency| {
            let irrep = if group.has_flips() { Irrep::with_flip(1, frequency) } else { Irrep::rotation(frequency) };
            Representation::irrep(group, irrep).unwrap()
        };
        let mut low = vec![(2, Representation::trivial(group)), (3, irrep(1)), (1, irrep(2))];
        if group.has_flips() {
            low.push((2, Representation::irrep(group, Irrep::with_flip(1, 0)).unwrap()));
        }
        if group.order().is_some() {
            low.push((1, Representation::regular(group).unwrap()));
        }
        let mixed = fields(&low);
        let fewer = fields(&[(1, irrep(1)), (4, Representation::trivial(group))]);
        add("irreps", &mixed, &fewer, 3, steps(1, 1, 1), [2, 5, 6]);
        add("more irreps", &fewer, &mixed, 5, steps(1, 0, 1), [1, 6, 8]);
    }
    for group in [C8, D4, D8] {
        let halves = Subgroup::new(group, if group.has_flips() { D1 } else { C2 }).unwrap();
        let turns = Subgroup::new(group, C4).unwrap();
        let quotient = |subgroup| Representation::quotient(subgroup).unwrap();
        let mixed =
            fields(&[(2, quotient(&halves)), (1, quotient(&turns)), (1, Representation::regular(group).unwrap())]);
        add("quotients", &mixed, &mixed, 3, steps(1, 1, 1), [1, 5, 5]);
    }
    let (c8, d4) = (|count| FieldType::regular(C8, count).unwrap(), |count| FieldType::regular(D4, count).unwrap());
    add("many fields", &c8(17), &c8(5), 3, steps(1, 1, 1), [1, 6, 6]);
    add("more than a block", &d4(3), &FieldType::trivial(D4, 150), 3, plain, [1, 5, 5]);
    add(
        "more than a block, adjoint",
        &FieldType::trivial(C4, 150),
        &FieldType::regular(C4, 2).unwrap(),
        3,
        plain,
        [1, 5, 5],
    );
    add("several tiles", &c8(1), &FieldType::trivial(C8, 4), 3, steps(1, 1, 1), [3, 13, 17]);
    add("dilated", &c8(1), &c8(2), 3, steps(1, 2, 2), [2, 8, 8]);
    add("strides, dilated", &d4(1), &d4(1), 3, steps(2, 3, 2), [1, 9, 11]);
    add("wide padding", &c8(1), &c8(1), 3, steps(1, 4, 1), [1, 4, 5]);
    add("a point", &c8(2), &c8(2), 1, plain, [2, 4, 3]);
    add("a point, strides", &c8(1), &c8(1), 1, steps(3, 1, 1), [1, 5, 7]);
    add("even", &d4(1), &d4(2), 4, steps(1, 2, 1), [1, 6, 6]);
    add("large", &d4(1), &d4(1), 7, steps(1, 3, 1), [1, 9, 9]);
    add("as small as the kernel", &c8(1), &c8(1), 5, plain, [2, 5, 5]);
    add("no image", &c8(1), &c8(1), 3, plain, [0, 5, 5]);
    cases
}

/// Output and gradients of `sum(w y)` with fixed weights `w`, by input, filter and bias.
fn everything(case: &Case, device: &Device, dtype: DType, filter: &TensorData, burns: bool) -> [Vec<f64>; 4] {
    let device = device.clone().autodiff();
    let ([batch, height, width], ConvSteps { stride, padding, dilation }) = (case.image, case.steps);
    let input = upload::<4>(&numbers([batch, case.input.size(), height, width], 1), &device, dtype).require_grad();
    let filter = upload::<4>(filter, &device, dtype).require_grad();
    let bias = upload::<1>(&numbers([case.output.size()], 3), &device, dtype).require_grad();
    let output = if burns {
        let options = ConvOptions::new([stride; 2], [padding; 2], [dilation; 2], 1);
        conv2d(input.clone(), filter.clone(), Some(bias.clone()), options)
    } else {
        let symmetry = case.symmetry();
        steerable_conv2d(input.clone(), filter.clone(), Some(bias.clone()), case.steps, &symmetry)
    };
    let weights = upload(&numbers(output.dims(), 4), &device, dtype);
    let gradients = (output.clone() * weights).sum().backward();
    let gradient = |tensor: Tensor<4>| values(tensor);
    [
        values(output),
        gradient(input.grad(&gradients).unwrap()),
        gradient(filter.grad(&gradients).unwrap()),
        values(bias.grad(&gradients).unwrap()),
    ]
}

/// A filter that commutes.
fn filter_of(case: &Case) -> Tensor<4> {
    let shape = [case.output.size(), case.input.size(), case.size, case.size];
    case.seen(upload(&numbers(shape, 2), &double(), DType::F64))
}

#[test]
fn it_is_the_dense_convolution() {
    for case in cases() {
        if case.image[0] == 0 {
            continue; // Burn's convolution does not take it.
        }
        let filter = filter_of(&case).into_data();
        let wanted = everything(&case, &double(), DType::F64, &filter, true);
        let shape = [case.output.size(), case.input.size(), case.size, case.size];
        let project = |gradient: &[f64]| {
            let data = TensorData::new(gradient.to_vec(), shape);
            values(case.seen(upload(&data, &double(), DType::F64)))
        };
        for setting in settings() {
            // Elsewhere it is the backend's own convolution, which compiles kernels for every shape.
            if !setting.name.starts_with("flex")
                && !["lift D4, by functions", "strides, dilated D4"].contains(&case.name.as_str())
            {
                continue;
            }
            let given = everything(&case, &setting.device, setting.dtype, &filter, false);
            for (part, what) in
                ["output", "gradient by the input", "gradient by the filter", "gradient by the bias"].iter().enumerate()
            {
                let error = if part == 2 {
                    distance(&project(&given[2]), &project(&wanted[2]))
                } else {
                    distance(&given[part], &wanted[part])
                };
                assert!(error < setting.tolerance, "{}, {}, {what}: {error:e}", setting.name, case.name);
            }
        }
    }
}

/// Central differences along directions without a pattern: for each gradient `<gradient, d> = (f(x + h d) - f(x - h d)) / 2 h`, exact but for
/// rounding because the convolution is linear in each argument.
#[test]
#[cfg(feature = "flex")]
fn gradients_are_those_of_differences() {
    let device = Device::flex();
    for case in cases().into_iter().filter(|case| case.image[0] > 0) {
        let symmetry = case.symmetry();
        let [batch, height, width] = case.image;
        let shape = [case.output.size(), case.input.size(), case.size, case.size];
        let x = upload::<4>(&numbers([batch, case.input.size(), height, width], 1), &device, DType::F64);
        // Any filter: the differences see how the kernel reads it.
        let k = upload::<4>(&numbers(shape, 2), &device, DType::F64);
        let b = upload::<1>(&numbers([case.output.size()], 3), &device, DType::F64);
        let [_, by_x, by_k, by_b] = everything(&case, &device, DType::F64, &k.clone().into_data(), false);
        let loss = |x: Tensor<4>, k: Tensor<4>, b: Tensor<1>| {
            let output = steerable_conv2d(x, k, Some(b), case.steps, &symmetry);
            let weights = upload(&numbers(output.dims(), 4), &device, DType::F64);
            (output * weights).sum().into_scalar::<f64>()
        };
        let along = |gradient: &[f64], direction: &TensorData| -> f64 {
            gradient.iter().zip(direction.iter::<f64>()).map(|(g, d)| g * d).sum()
        };
        let step = 0.5;
        let (dx, dk, db) = (numbers(x.dims(), 5), numbers(shape, 6), numbers(b.dims(), 7));
        let moved = |sign: f64, which: usize| {
            let part = |i| if i == which { sign * step } else { 0.0 };
            loss(
                x.clone() + upload::<4>(&dx, &device, DType::F64) * part(0),
                k.clone() + upload::<4>(&dk, &device, DType::F64) * part(1),
                b.clone() + upload::<1>(&db, &device, DType::F64) * part(2),
            )
        };
        for (which, given) in [along(&by_x, &dx), along(&by_k, &dk), along(&by_b, &db)].into_iter().enumerate() {
            let wanted = (moved(1.0, which) - moved(-1.0, which)) / (2.0 * step);
            let size = 1.0 + moved(1.0, which).abs() + wanted.abs();
            assert!((given - wanted).abs() < 1e-11 * size, "{}, argument {which}: {given} {wanted}", case.name);
        }
    }
}

/// Gradients that nobody asks for are not missed: each alone is that of all.
#[test]
#[cfg(feature = "flex")]
fn each_gradient_alone_is_the_same() {
    let device = Device::flex().autodiff();
    for case in cases().into_iter().filter(|case| case.image[0] > 0) {
        let symmetry = case.symmetry();
        let [batch, height, width] = case.image;
        let x = || upload::<4>(&numbers([batch, case.input.size(), height, width], 1), &device, DType::F64);
        let k = || Tensor::from_data(filter_of(&case).into_data(), (&device, DType::F64));
        let loss = |x: Tensor<4>, k: Tensor<4>| {
            let output = steerable_conv2d(x, k, None, case.steps, &symmetry);
            let weights = upload(&numbers(output.dims(), 4), &device, DType::F64);
            (output * weights).sum().backward()
        };
        let (both_x, both_k) = (x().require_grad(), k().require_grad());
        let both = loss(both_x.clone(), both_k.clone());
        let (only_x, only_k) = (x().require_grad(), k().require_grad());
        let by_x = only_x.grad(&loss(only_x.clone(), k())).unwrap();
        let by_k = only_k.grad(&loss(x(), only_k.clone())).unwrap();
        for (alone, all) in [(by_x, both_x.grad(&both)), (by_k, both_k.grad(&both))] {
            let error = distance(&values(alone), &values(all.unwrap()));
            assert!(error < 1e-13, "{}: {error:e}", case.name);
        }
    }
}

#[test]
#[cfg(feature = "flex")]
fn no_image_gives_none() {
    let case = cases().pop().unwrap();
    let filter = filter_of(&case).into_data();
    let [output, by_input, by_filter, by_bias] = everything(&case, &Device::flex(), DType::F64, &filter, false);
    assert!(output.is_empty() && by_input.is_empty());
    assert!(by_filter.iter().chain(&by_bias).all(|&x| x == 0.0));
}

/// More than one tile and more than one piece of the gradient by the filter.
#[test]
#[cfg(feature = "flex")]
fn threads_change_nothing() {
    let regular = FieldType::regular(C8, 2).unwrap();
    let steps = ConvSteps { padding: 1, ..ConvSteps::default() };
    let functions = KernelGrid::standard(3).unwrap().functions(|_| true);
    let (name, input, output) = (String::new(), regular.clone(), regular);
    let case = Case { name, input, output, size: 3, steps, image: [9, 20, 20], functions };
    let filter = filter_of(&case).into_data();
    let with = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| everything(&case, &Device::flex(), DType::F32, &filter, false))
    };
    let one = with(1);
    assert!(one.iter().all(|numbers| numbers.iter().any(|x| *x != 0.0)));
    assert_eq!(one, with(3));
}

#[test]
#[should_panic(expected = "takes a filter [8, 8, 3, 3]")]
fn filters_of_another_size_are_named() {
    let regular = FieldType::regular(C8, 1).unwrap();
    let symmetry = ConvSymmetry::new(&regular, &regular, 3);
    let device = settings()[0].device.clone();
    let (x, k) = (Tensor::zeros([1, 8, 5, 5], &device), Tensor::zeros([8, 8, 5, 5], &device));
    steerable_conv2d(x, k, None, ConvSteps::default(), &symmetry);
}

#[test]
#[should_panic(expected = "has 9 numbers; it was given one with 4")]
fn functions_on_another_kernel_are_refused() {
    let regular = FieldType::regular(C8, 1).unwrap();
    ConvSymmetry::with_functions(&regular, &regular, 3, &[vec![1.0; 4]]);
}

#[test]
#[should_panic(expected = "does not fit into an image of 4 x 3")]
fn images_smaller_than_the_kernel_are_refused() {
    let regular = FieldType::regular(C8, 1).unwrap();
    let symmetry = ConvSymmetry::new(&regular, &regular, 5);
    let device = settings()[0].device.clone();
    let (x, k) = (Tensor::zeros([1, 8, 4, 3], &device), Tensor::zeros([8, 8, 5, 5], &device));
    steerable_conv2d(x, k, None, ConvSteps::default(), &symmetry);
}
