//! Activations, gates, norm activations and radial networks: against e3nn, for equivariance, at zero, and for input they cannot take.

#![cfg(feature = "flex")]

#[path = "common/devices.rs"]
mod devices;
#[path = "../../../tests/golden/mod.rs"]
mod golden;
#[path = "common/irreps.rs"]
mod rows;

use burn::module::Param;
use burn::tensor::{DType, Device, Tensor};
use devices::settings;
use equi_core::assert_point_equivariant;
use equi_core::group::Isometry;
use equi_layers::LayerError;
use equi_layers::o3::{
    Activation, GateConfig, NormActivationConfig, NormalizedFunction, RadialMlpConfig, S2ActivationConfig,
};
use equi_layers::planar::Nonlinearity::{self, *};
use golden::Tensors;
use rows::{assert_close, host, irreps, noise, row_map, tensor};

/// e3nn computed in f64; what differs is the order of additions.
const TOLERANCE: f64 = 1e-12;

const F64: DType = DType::F64;

/// All functions, by their names in e3nn.
const FUNCTIONS: [(&str, Nonlinearity); 12] = [
    ("silu", Silu),
    ("tanh", Tanh),
    ("sigmoid", Sigmoid),
    ("relu", Relu),
    ("abs", Abs),
    ("softplus", Softplus),
    ("gelu", Gelu),
    ("elu", Elu(1.0)),
    ("leaky_relu", LeakyRelu(0.01)),
    ("sin", Sin),
    ("cos", Cos),
    ("square", Square),
];

/// Compares the output on the stored `x` and the gradient of `sum(y cotangent)` with the stored ones.
fn assert_golden(file: &str, forward: impl Fn(Tensor<2>) -> Tensor<2>) {
    let tensors = Tensors::open(&format!("e3nn/{file}.safetensors"));
    let device = Device::flex().autodiff();
    let load = |name: &str| {
        let array = tensors.tensor(name);
        tensor(&array.values, [array.shape[0], array.shape[1]], &device, F64)
    };
    let x = load("x").require_grad();
    let y = forward(x.clone());
    assert_close(file, &tensors.tensor("y").values, &host(&y), TOLERANCE);
    let gradients = (y * load("cotangent")).sum().backward();
    let gradient = x.grad(&gradients).unwrap();
    assert_close(&format!("{file}: gradient"), &tensors.tensor("grad.x").values, &host(&gradient), TOLERANCE);
}

#[test]
fn functions_have_second_moment_one() {
    let constants = golden::manifest("e3nn/activation_constants.json");
    let (device, steps, end) = (Device::flex(), 200_001, 12.0);
    let width = 2.0 * end / (steps - 1) as f64;
    let points: Vec<f64> = (0..steps).map(|i| -end + width * i as f64).collect();
    let density: Vec<f64> =
        points.iter().map(|x| (-x * x / 2.0).exp() / std::f64::consts::TAU.sqrt() * width).collect();
    for (name, function) in FUNCTIONS {
        let e3nn = NormalizedFunction::from(function);
        assert_eq!(e3nn.factor(), constants["e3nn_monte_carlo"][name].as_f64().unwrap(), "{name}");
        let exact = NormalizedFunction::exact(function);
        let values = host(&exact.apply(tensor(&points, [steps], &device, F64)));
        let moment: f64 = values.iter().zip(&density).map(|(value, weight)| value * value * weight).sum();
        // The trapezoidal rule; the steps are 1.2e-4 wide, and some functions have a corner.
        assert!((moment - 1.0).abs() < 1e-9, "{name}: {moment}");
        assert!((exact.factor() / e3nn.factor() - 1.0).abs() < 2e-3, "{name}");
    }
    for function in [Elu(0.3), LeakyRelu(0.2)] {
        assert_eq!(NormalizedFunction::from(function), NormalizedFunction::exact(function));
        let values = host(&NormalizedFunction::exact(function).apply(tensor(&points, [steps], &device, F64)));
        let moment: f64 = values.iter().zip(&density).map(|(value, weight)| value * value * weight).sum();
        assert!((moment - 1.0).abs() < 1e-9, "{function}: {moment}");
    }
}

#[test]
fn activation_agrees_with_e3nn() {
    let activation = Activation::new(&irreps("3x0e+2x0o+1x1o"), &[Some(Silu), Some(Tanh), None]).unwrap();
    assert_golden("activation", |x| activation.forward(x));
}

#[test]
fn gate_agrees_with_e3nn() {
    let [scalars, gates, gated] = ["3x0e+2x0o", "4x0e", "2x1o+2x2e"].map(irreps);
    let gate = GateConfig::new(&scalars, &[Silu, Tanh], &gates, &[Sigmoid], &gated).init().unwrap();
    assert_eq!(gate.irreps_in().to_string(), "2x0o+7x0e+2x1o+2x2e");
    assert_eq!(gate.irreps_out().to_string(), "3x0e+2x0o+2x1o+2x2e");
    assert_golden("gate", |x| gate.forward(x));
}

#[test]
fn norm_activation_agrees_with_e3nn() {
    let config = NormActivationConfig::new(&irreps("2x0e+2x1o"), Tanh).with_epsilon(1e-4);
    let activation = config.init((&Device::flex().autodiff(), F64)).unwrap();
    assert_golden("norm_activation_zero_row", |x| activation.forward(x));

    let tensors = Tensors::open("e3nn/norm_activation_bias.safetensors");
    let device = Device::flex().autodiff();
    let config = NormActivationConfig::new(&irreps("3x0e+2x1o+1x2e"), Sigmoid).with_bias(true);
    let mut activation = config.init((&device, F64)).unwrap();
    let biases = tensor(&tensors.tensor("param.biases").values, [6], &device, F64);
    activation.biases = Some(Param::from_tensor(biases));
    assert_golden("norm_activation_bias", |x| activation.forward(x));

    let load = |name, columns| tensor::<2>(&tensors.tensor(name).values, [5, columns], &device, F64);
    let gradients = (activation.forward(load("x", 14)) * load("cotangent", 14)).sum().backward();
    let gradient = activation.biases.unwrap().val().grad(&gradients).unwrap();
    assert_close("biases", &tensors.tensor("grad.param.biases").values, &host(&gradient), TOLERANCE);
}

#[test]
fn radial_mlp_agrees_with_e3nn() {
    let tensors = Tensors::open("e3nn/fully_connected_net.safetensors");
    let device = Device::flex().autodiff();
    let mut mlp = RadialMlpConfig::new([4, 8, 8, 5], Silu).init((&device, F64)).unwrap();
    for (place, layer) in mlp.layers.iter_mut().enumerate() {
        let weight = tensors.tensor(&format!("param.layer{place}.weight"));
        *layer = Param::from_tensor(tensor(&weight.values, [weight.shape[0], weight.shape[1]], &device, F64));
    }
    assert_golden("fully_connected_net", |x| mlp.forward(x));
    let load = |name, columns| tensor::<2>(&tensors.tensor(name).values, [6, columns], &device, F64);
    let gradients = (mlp.forward(load("x", 4)) * load("cotangent", 5)).sum().backward();
    for (place, layer) in mlp.layers.iter().enumerate() {
        let expected = tensors.tensor(&format!("grad.param.layer{place}.weight"));
        assert_close("weights", &expected.values, &host(&layer.val().grad(&gradients).unwrap()), TOLERANCE);
    }
}

#[test]
fn s2_activation_agrees_with_e3nn() {
    let config = S2ActivationConfig::new(&irreps("1x0e+1x1o+1x2e+1x3o"), Tanh).with_resolution([12, 11]);
    let activation = config.with_lmax_out(4).init((&Device::flex().autodiff(), F64)).unwrap();
    assert_eq!(activation.irreps_out().to_string(), "1x0e+1x1o+1x2e+1x3o+1x4e");
    assert_golden("s2activation", |x| activation.forward(x));
}

/// The largest difference between `f(g . x)` and `g . f(x)`, relative to the largest value.
fn s2_error(text: &str, function: Nonlinearity, resolution: Option<[usize; 2]>, elements: &[Isometry]) -> f64 {
    let device = Device::flex();
    let config = S2ActivationConfig::new(&irreps(text), function);
    let config = resolution.into_iter().fold(config, |config, resolution| config.with_resolution(resolution));
    let activation = config.init((&device, F64)).unwrap();
    let (input, output) = (activation.irreps_in(), activation.irreps_out());
    let x = noise(20, input.dim(), 5, &device, F64);
    let y = activation.forward(x.clone());
    let moved = |g: &Isometry, irreps: &equi_core::o3::Irreps, x: &Tensor<2>| {
        let matrix = irreps.matrix(g);
        let columns = irreps.dim();
        let transposed: Vec<f64> = (0..columns * columns).map(|i| matrix[(i % columns, i / columns)]).collect();
        x.clone().matmul(tensor(&transposed, [columns, columns], &device, F64))
    };
    let largest = host(&y.clone().abs().max());
    let errors = elements.iter().map(|g| {
        let difference = activation.forward(moved(g, input, &x)) - moved(g, output, &y);
        host(&difference.abs().max())[0] / largest[0]
    });
    errors.fold(0.0, f64::max)
}

#[test]
fn s2_activation_is_exact_where_the_grid_is_and_approaches_equivariance_where_it_is_not() {
    let turn = |axis, angle: f64| Isometry::rotation(axis, angle).unwrap();
    let tau = std::f64::consts::TAU;
    for (text, function) in
        [("2x0e+2x1o+2x2e+2x3o", Tanh), ("2x0o+2x1e+2x2o", Tanh), ("1x0e+1x1e", Silu), ("1x0o+1x1o", Abs)]
    {
        // What takes the grid to itself.
        let size = 4 * (irreps(text).lmax().unwrap()) + 2;
        let exact = [turn([0.0, 1.0, 0.0], 3.0 * tau / size as f64), Isometry::INVERSION];
        let error = s2_error(text, function, None, &exact);
        assert!(error < TOLERANCE, "{text}: {error:e}");
    }
    let any = [turn([1.0, 2.0, 3.0], 1.0), turn([0.0, -1.0, 2.0], 2.3)];
    let errors = [8, 14, 26, 50].map(|res| s2_error("2x0e+2x1o+2x2e+2x3o", Tanh, Some([res, res]), &any));
    println!("errors on grids of 8, 14, 26, 50: {errors:?}");
    // It does not commute on a coarse grid, and does on a fine one: the degrees of tanh fall off exponentially.
    assert!(errors[0] > 1e-3 && errors.is_sorted_by(|a, b| a > b) && errors[3] < 1e-2 * errors[1], "{errors:?}");
    // A square has twice the degrees, which the default grid resolves: exact for all rotations.
    let error = s2_error("2x0e+2x1o+2x2e+2x3o", Square, None, &any);
    assert!(error < TOLERANCE, "{error:e}");
}

#[test]
fn all_are_equivariant() {
    for setting in settings() {
        let (device, dtype, tolerance) = (&setting.device, setting.dtype, setting.tolerance);
        let input = irreps("3x0e+2x0o+2x1o+1x0o+1x1e");
        for functions in [[Silu, Tanh, Sin], [Elu(0.7), Abs, Tanh], [Softplus, Square, Cos]] {
            let functions: Vec<_> = functions.into_iter().map(Some).collect();
            let functions = [functions[0], functions[1], None, functions[2], None];
            let activation = Activation::new(&input, &functions).unwrap();
            assert_point_equivariant!(
                row_map(&input, activation.irreps_out(), device, dtype, |x| activation.forward(x)),
                tolerance
            );
        }

        // Gates of both parities across blocks of several degrees.
        let [scalars, gates, gated] = ["1x0o+2x0e+0x0e", "2x0e+3x0o", "1x2e+2x1o+2x3e"].map(irreps);
        let gate = GateConfig::new(&scalars, &[Abs, Silu], &gates, &[Sigmoid, Tanh], &gated).init().unwrap();
        assert_eq!(gate.irreps_out().to_string(), "1x0e+2x0e+1x2e+1x1o+1x1e+2x3o");
        for gate in [gate, GateConfig::of(&irreps("2x2o+1x1e+3x0e+1x0o+1x1e")).init().unwrap()] {
            assert_point_equivariant!(
                row_map(gate.irreps_in(), gate.irreps_out(), device, dtype, |x| gate.forward(x)),
                tolerance
            );
        }

        let input = irreps("2x0e+1x0o+2x1o+1x3e");
        for (function, normalize, bias) in [(Silu, true, true), (Tanh, true, false), (Sigmoid, false, true)] {
            let config = NormActivationConfig::new(&input, function).with_normalize(normalize).with_bias(bias);
            let mut activation = config.init((device, dtype)).unwrap();
            if let Some(biases) = &mut activation.biases {
                *biases = Param::from_tensor(noise(1, 6, 3, device, dtype).reshape([6]));
            }
            assert_point_equivariant!(row_map(&input, &input, device, dtype, |x| activation.forward(x)), tolerance);
        }
    }
}

#[test]
fn zero_stays_zero_with_a_finite_gradient() {
    for setting in settings() {
        let (device, dtype) = (setting.device.clone().autodiff(), setting.dtype);
        let input = irreps("2x0e+2x1o");
        for (function, normalize) in [(Tanh, true), (Sigmoid, true), (Sigmoid, false), (Relu, true)] {
            let config = NormActivationConfig::new(&input, function).with_normalize(normalize).with_bias(true);
            let activation = config.init((&device, dtype)).unwrap();
            let x = Tensor::<2>::zeros([3, 8], (&device, dtype)).require_grad();
            let y = activation.forward(x.clone());
            assert!(host(&y).iter().all(|&value| value == 0.0), "{function}");
            let gradients = y.sum().backward();
            let gradient = host(&x.grad(&gradients).unwrap());
            assert!(gradient.iter().all(|value| value.is_finite()), "{function}: {gradient:?}");
        }
    }
}

#[test]
fn no_rows_give_no_rows() {
    let device = Device::flex();
    let input = irreps("2x0e+2x1o");
    let gate = GateConfig::of(&input).init().unwrap();
    let norm = NormActivationConfig::new(&input, Tanh).init(&device).unwrap();
    assert_eq!(gate.forward(Tensor::zeros([0, 10], &device)).dims(), [0, 8]);
    assert_eq!(norm.forward(Tensor::zeros([0, 8], &device)).dims(), [0, 8]);
}

#[test]
fn a_gate_of_scalars_alone_or_of_gated_features_alone_works() {
    let device = Device::flex();
    let scalars = GateConfig::of(&irreps("3x0e")).init().unwrap();
    assert_eq!(scalars.irreps_in().to_string(), "3x0e");
    assert_eq!(scalars.forward(Tensor::ones([2, 3], &device)).dims(), [2, 3]);
    let gated = GateConfig::of(&irreps("1x1o+2x2e")).init().unwrap();
    assert_eq!(gated.irreps_in().to_string(), "3x0e+1x1o+2x2e");
    assert_eq!(gated.forward(Tensor::ones([2, 16], &device)).dims(), [2, 13]);
}

#[test]
fn illegal_symmetry_is_unbuildable_and_says_so() {
    let message = |result: Result<(), LayerError>| result.unwrap_err().to_string();
    let activation =
        |text: &str, functions: &[Option<Nonlinearity>]| message(Activation::new(&irreps(text), functions).map(|_| ()));
    assert!(activation("2x1o", &[Some(Silu)]).contains("1o are mixed by rotations"));
    assert!(activation("2x0o", &[Some(Silu)]).contains("must be odd (Tanh, Sin) or even"));
    assert!(activation("2x0e+1x0o", &[Some(Silu)]).contains("1 functions for the 2 blocks"));
    assert!(activation("", &[]).contains("no column"));
    let gate = |scalars: &str, gates: &str, gated: &str| {
        let [scalars, gates, gated] = [scalars, gates, gated].map(irreps);
        let functions = |irreps: &equi_core::o3::Irreps| vec![Tanh; irreps.blocks().len()];
        message(GateConfig::new(&scalars, &functions(&scalars), &gates, &functions(&gates), &gated).init().map(|_| ()))
    };
    assert!(gate("1x1o", "1x0e", "1x1o").contains("1x1o among the scalars"));
    assert!(gate("1x0e", "1x2e", "1x1o").contains("1x2e among the gates"));
    assert!(gate("1x0e", "3x0e", "2x1o").contains("3 gates (3x0e) for 2 gated copies (2x1o)"));
    assert!(gate("", "", "").contains("no column"));
    let sphere = |text: &str, function| {
        message(S2ActivationConfig::new(&irreps(text), function).init(&Device::flex()).map(|_| ()))
    };
    assert!(sphere("2x0e+1x1o", Tanh).contains("has 1x1o where 2 copies of degree 1 should be"));
    assert!(sphere("1x0e+1x2e", Tanh).contains("has 1x2e where 1 copies of degree 1 should be"));
    assert!(sphere("1x0e+1x1o+1x2o", Tanh).contains("parities that change neither"));
    assert!(sphere("1x0o+1x1e", Silu).contains("a reflection negates the values"));
    assert!(sphere("", Tanh).contains("no column"));
    let coarse = S2ActivationConfig::new(&irreps("1x0e+1x1o"), Tanh).with_resolution([2, 3]).init(&Device::flex());
    assert!(message(coarse.map(|_| ())).contains("latitudes"));
    let norm = NormActivationConfig::new(&irreps("1x1o"), Silu);
    for epsilon in [0.0, -1.0, f64::NAN, 1e-30] {
        let result = norm.clone().with_epsilon(epsilon).init(&Device::flex());
        assert!(message(result.map(|_| ())).contains("epsilon keeps the norm"), "{epsilon}");
    }
    for widths in [vec![3], vec![], vec![3, 0, 2]] {
        let result = RadialMlpConfig::new(widths, Silu).init(&Device::flex());
        assert!(message(result.map(|_| ())).contains("all at least 1"));
    }
}

#[test]
#[should_panic(expected = "Gate takes features [rows, 10] for 4x0e+2x1o; it was given [5, 8]")]
fn features_of_other_irreps_are_named() {
    let gate = GateConfig::of(&irreps("2x0e+2x1o")).init().unwrap();
    gate.forward(Tensor::ones([5, 8], &Device::flex()));
}
