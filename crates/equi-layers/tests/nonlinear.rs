//! Non-linearities, restriction, masks, upsampling and dropout: against escnn, and equivariant.

#[path = "common/devices.rs"]
mod devices;
#[path = "../../../tests/golden/mod.rs"]
mod golden;

use burn::module::{Module, Param};
use burn::tensor::module::interpolate;
use burn::tensor::ops::{InterpolateMode, InterpolateOptions};
use burn::tensor::{DType, Device, Tensor, TensorData};
use devices::{Setting, assert_layer, settings};
use equi_core::FieldType;
use equi_core::action::field::act_on_fibres;
use equi_core::check::{FieldFn, FieldMap, probe};
use equi_core::group::{C1, C4, C8, D1, D4, Element, Group, Rotation, Subgroup};
use equi_core::repr::{Irrep, Representation};
use equi_layers::planar::{
    DisentangleModule, FieldDropout, FourierPointwise, FourierPointwiseConfig, GatedNonLinearity,
    GatedNonLinearityConfig, Interpolation, MaskModuleConfig, Nonlinearity, NormFunction, NormNonLinearity,
    NormNonLinearityConfig, Pointwise, R2Upsampling, RestrictionModule,
};
use golden::{Array, Tensors};
use serde_json::Value;

/// escnn computed in f64; sums are ordered differently.
const GOLDEN: f64 = 1e-12;

const NORM_FUNCTIONS: [NormFunction; 3] = [NormFunction::Relu, NormFunction::Sigmoid, NormFunction::Squash];

// Golden cases

type Options<'a> = (&'a Device, DType);

struct Golden {
    layer: Box<dyn FieldMap>,
    parameter: Option<(&'static str, Param<Tensor<1>>)>,
}

impl Golden {
    fn plain(layer: impl FieldMap + 'static) -> Self {
        Self { layer: Box::new(layer), parameter: None }
    }
}

fn tensor<const D: usize>(array: &Array, options: Options) -> Tensor<D> {
    Tensor::<1>::from_data(TensorData::new(array.values.clone(), [array.values.len()]), options)
        .reshape::<D, _>(<[usize; D]>::try_from(array.shape.clone()).unwrap())
}

fn values<const D: usize>(x: Tensor<D>) -> Vec<f64> {
    x.into_data().convert::<f64>().try_into_vec().unwrap()
}

fn group_of(call: &str) -> Group {
    let argument = call.split_once("dOnR2(").unwrap().1.trim_start_matches("N=");
    let n: i64 = argument.split([',', ')']).next().unwrap().parse().unwrap();
    match (call.starts_with("gspaces.flip"), u32::try_from(n)) {
        (false, Ok(n)) => Group::Cyclic(n),
        (true, Ok(n)) => Group::Dihedral(n),
        (false, Err(_)) => Group::SO2,
        (true, Err(_)) => Group::O2,
    }
}

/// The type of a manifest's `[{name, size, irreps}]`, spectral fields excepted.
fn field_type(group: Group, fields: &Value) -> Option<FieldType> {
    let field = |f: &Value| match f["name"].as_str().unwrap() {
        "regular" => Some(Representation::regular(group).unwrap()),
        name => name.strip_prefix("irrep_").map(|numbers| golden::field(group, &format!("irr:{numbers}"))),
    };
    Some(FieldType::new(fields.as_array()?.iter().map(field).collect::<Option<Vec<_>>>()?).unwrap())
}

fn golden_layer(
    id: &str,
    fields: Option<FieldType>,
    parameter: impl Fn(&str) -> Tensor<1>,
    options: Options,
) -> Golden {
    let input = || fields.as_ref().unwrap();
    let pointwise = |function| Golden::plain(Pointwise::new(input(), function).unwrap());
    let upsample = |mode| Golden::plain(R2Upsampling::new(input(), 2, mode).unwrap());
    let norm = |function, bias| {
        let mut layer = NormNonLinearityConfig::new(input(), function).with_bias(bias).init(options).unwrap();
        layer.log_bias = bias.then(|| Param::from_tensor(parameter("log_bias")));
        let parameter = layer.log_bias.clone().map(|p| ("log_bias", p));
        Golden { layer: Box::new(layer), parameter }
    };
    let gated = |gates: Option<&[usize]>| {
        let config = GatedNonLinearityConfig::new(input());
        let config = gates.into_iter().fold(config, |c, gates| c.with_gates(gates));
        let mut layer = config.init(options).unwrap();
        layer.bias = Param::from_tensor(parameter("bias"));
        let parameter = Some(("bias", layer.bias.clone()));
        Golden { layer: Box::new(layer), parameter }
    };
    let fourier = |config: FourierPointwiseConfig| Golden::plain(config.init(options).unwrap());
    let mask =
        |size, margin| Golden::plain(MaskModuleConfig::new(input(), size).with_margin(margin).init(options).unwrap());
    let restrict_disentangle = |subgroup| {
        let subgroup = Subgroup::new(input().group(), subgroup).unwrap();
        let restrict = RestrictionModule::new(input(), &subgroup).unwrap();
        let disentangle = DisentangleModule::new(&restrict.output_type(), options.0);
        let (from, to) = (restrict.input_type(), disentangle.output_type());
        let both = move |x| disentangle.forward(restrict.forward(x));
        Golden::plain(FieldFn::new(from, to, options.0, options.1, both))
    };
    match id {
        "elu_c8" | "elu" => pointwise(Nonlinearity::Elu(1.0)),
        "relu_d4" | "relu" => pointwise(Nonlinearity::Relu),
        "leaky_relu" => pointwise(Nonlinearity::LeakyRelu(0.2)),
        "norm_nonlin_so2" | "norm_nonlin_mixed_sizes_o2" | "norm_n_relu" => norm(NormFunction::Relu, true),
        "norm_nonlin_sigmoid_so2" | "norm_n_sigmoid" => norm(NormFunction::Sigmoid, true),
        "norm_nonlin_squash_so2" | "norm_squash" => norm(NormFunction::Squash, false),
        "gated1_so2" | "gated1_mixed_sizes_o2" | "gated1_a" => gated(None),
        "gated1_explicit_so2" => gated(Some(&[1, 3])),
        "gated1_sizes" => gated(Some(&[0, 1])),
        "fourier_elu_so2" => fourier(FourierPointwiseConfig::new(Group::SO2, 3, 2).with_samples(16)),
        "fourier_relu_so2" => {
            fourier(FourierPointwiseConfig::new(Group::SO2, 2, 1).with_samples(12).with_function(Nonlinearity::Relu))
        }
        "fourier_elu_o2" => fourier(FourierPointwiseConfig::new(Group::O2, 2, 1).with_samples(16)),
        "quotient_fourier_elu_o2" => {
            let flip = Subgroup::new(Group::O2, D1).unwrap();
            fourier(FourierPointwiseConfig::quotient(&flip, 2, 1).with_samples(16))
        }
        "fourier_p_elu" => fourier(FourierPointwiseConfig::new(Group::SO2, 2, 2).with_samples(16)),
        "fourier_p_relu" => {
            fourier(FourierPointwiseConfig::new(Group::SO2, 2, 2).with_samples(16).with_function(Nonlinearity::Relu))
        }
        "fourier_elu_unnormalised" => {
            fourier(FourierPointwiseConfig::new(Group::SO2, 2, 2).with_samples(16).with_normalisation(false))
        }
        "mask_9" => mask(9, 1.0),
        "mask_12_m0" => mask(12, 0.0),
        "mask" => mask(9, 0.0),
        "upsample_bilinear_c4" | "upsampling_0" => upsample(Interpolation::Bilinear),
        "upsample_nearest_c4" | "upsampling_1" => upsample(Interpolation::Nearest),
        "upsample_align_c4" | "upsampling_2" => upsample(Interpolation::BilinearAligned),
        "restrict_d8_c8" => {
            let subgroup = Subgroup::new(Group::Dihedral(8), C8).unwrap();
            Golden::plain(RestrictionModule::new(input(), &subgroup).unwrap())
        }
        "restrict_disentangle_d8_c8" => restrict_disentangle(C8),
        "restrict_disentangle" => restrict_disentangle(C4),
        "disentangle" => Golden::plain(DisentangleModule::new(input(), options.0)),
        _ => panic!("no layer for the golden case {id}"),
    }
}

/// Batch norms and pooling are tested elsewhere.
fn is_ours(id: &str) -> bool {
    !["bn", "pool", "avg"].iter().any(|other| id.contains(other))
}

fn assert_golden(what: &str, expected: &Array, actual: Vec<f64>) {
    let error = expected.relative_error(&actual);
    assert!(error < GOLDEN, "{what}: relative error {error:e}");
}

#[test]
fn outputs_equal_escnn() {
    let tensors = Tensors::open("escnn/layers.safetensors");
    let options = (&Device::flex(), DType::F64);
    let cases = golden::cases("escnn/manifest.json", |c| {
        c["file"] == "layers.safetensors" && is_ours(c["case"].as_str().unwrap())
    });
    for case in &cases {
        let id = case["case"].as_str().unwrap();
        let get = |name: &str| tensors.tensor(&format!("{id}/{name}"));
        let fields = field_type(golden::group(case["group"].as_str().unwrap()), &case["in_type"]);
        let flat = |name: &str| tensor::<1>(&flatten(get(&format!("param.{name}"))), options);
        let Golden { layer, .. } = golden_layer(id, fields, flat, options);
        let output = layer.forward(tensor(&get("input"), options));
        assert_eq!(output.dims().to_vec(), get("output").shape, "{id}");
        assert_golden(id, &get("output"), values(output));
        assert_eq!(layer.output_type().size(), get("output").shape[1], "{id}");
    }
    assert_eq!(cases.len(), 20);
}

#[test]
fn gradients_equal_escnn() {
    let tensors = Tensors::open("escnn_gradients/modules.safetensors");
    let device = Device::flex().autodiff();
    let options = (&device, DType::F64);
    let cases = golden::cases("escnn_gradients/modules.json", |c| is_ours(c["id"].as_str().unwrap()));
    let mut parameters = 0;
    for case in &cases {
        let id = case["id"].as_str().unwrap();
        let get = |name: &str| tensors.tensor(&format!("{id}/{name}"));
        let fields = field_type(group_of(case["call"].as_str().unwrap()), &case["in_fields"]);
        let flat = |name: &str| tensor::<1>(&flatten(get(&format!("param.{name}"))), options);
        let Golden { layer, parameter } = golden_layer(id, fields, flat, options);
        let input = tensor::<4>(&get("input"), options).require_grad();
        let output = layer.forward(input.clone());
        assert_golden(&format!("{id} output"), &get("output"), values(output.clone()));
        let gradients = (output * tensor(&get("cotangent"), options)).sum().backward();
        let gradient = values(input.grad(&gradients).unwrap());
        assert_golden(&format!("{id} input gradient"), &get("grad_input"), gradient);
        if let Some((name, parameter)) = parameter {
            let gradient = values(parameter.val().grad(&gradients).unwrap());
            assert_golden(&format!("{id} gradient of {name}"), &get(&format!("grad.{name}")), gradient);
            parameters += 1;
        }
    }
    assert_eq!((cases.len(), parameters), (17, 4));
}

fn flatten(array: Array) -> Array {
    Array { shape: vec![array.values.len()], ..array }
}

/// Rows of the sampling matrix are points, which escnn lists once for every element of a coset.
#[test]
fn fourier_grids_equal_escnn() {
    let (layers, modules) =
        (Tensors::open("escnn/layers.safetensors"), Tensors::open("escnn_gradients/modules.safetensors"));
    let options = (&Device::flex(), DType::F64);
    let unnormalised = FourierPointwiseConfig::new(Group::SO2, 2, 2).with_normalisation(false);
    let cases = [
        (&layers, "fourier_elu_so2/buffer.", FourierPointwiseConfig::new(Group::SO2, 3, 2).with_samples(16)),
        (&layers, "fourier_elu_o2/buffer.", FourierPointwiseConfig::new(Group::O2, 2, 1).with_samples(16)),
        (&modules, "fourier_elu_unnormalised/", unnormalised.with_samples(16)),
    ];
    for (tensors, prefix, config) in cases {
        let layer = config.init(options).unwrap();
        assert_golden(prefix, &tensors.tensor(&format!("{prefix}A")), values(layer.samples()));
        assert_golden(prefix, &tensors.tensor(&format!("{prefix}Ainv")), values(layer.coefficients()));
    }
}

// Equivariance

fn noise(field_type: &FieldType, shape: [usize; 3], setting: &Setting, seed: u64) -> Tensor<4> {
    let carrier =
        FieldFn::new(field_type.clone(), field_type.clone(), &setting.device, setting.dtype, |x: Tensor<4>| x);
    probe(&carrier, shape, seed)
}

fn relative(actual: Tensor<4>, expected: Tensor<4>) -> f64 {
    let norm = |x: Vec<f64>| x.iter().map(|v| v * v).sum::<f64>().sqrt();
    let error = norm(values(actual - expected.clone())) / norm(values(expected));
    if error.is_nan() { f64::INFINITY } else { error }
}

/// Outputs and input gradients against `elements` acting on the channels alone: exact for any angle, as no pixel moves.
fn assert_commutes_with_fibres(layer: &dyn FieldMap, elements: &[Element], setting: &Setting, what: &str) {
    let (from, to) = (layer.input_type(), layer.output_type());
    let x = noise(&from, [2, 3, 4], setting, 0).autodiff();
    let v = noise(&to, [2, 3, 4], setting, 1);
    let run = |x: Tensor<4>, v: Tensor<4>| {
        let x = x.detach().require_grad();
        let y = layer.forward(x.clone());
        let gradients = (y.clone() * v).sum().backward();
        (y.without_autodiff(), x.grad(&gradients).unwrap())
    };
    let (y, gradient) = run(x.clone(), v.clone());
    for g in elements {
        let (moved, moved_gradient) = run(act_on_fibres(g, x.clone(), &from), act_on_fibres(g, v.clone(), &to));
        let error = relative(moved, act_on_fibres(g, y.clone(), &to));
        assert!(error <= setting.tolerance, "{what}, {}, {g}: {error:e}", setting.name);
        let error = relative(moved_gradient, act_on_fibres(g, gradient.clone(), &from));
        assert!(error <= setting.tolerance, "{what}, {}, {g}, gradient: {error:e}", setting.name);
    }
}

/// All elements of a finite group, some of a continuous one; never the identity alone.
fn elements(group: Group) -> Vec<Element> {
    match group.rotations() {
        Some(n) => group.sample(n),
        None => {
            let angles = [0.3, 1.0, 2.5, 4.0].map(Rotation::Radians);
            let flips: &[bool] = if group.has_flips() { &[false, true] } else { &[false] };
            flips.iter().flat_map(|&flip| angles.map(|angle| Element::new(flip, angle))).collect()
        }
    }
}

fn check(layer: &dyn FieldMap, group: Group, setting: &Setting, what: &str) {
    assert_commutes_with_fibres(layer, &elements(group), setting, what);
    // Rectangles and odd sizes, and batch 1.
    assert_layer(&layer, group, setting.tolerance, noise(&layer.input_type(), [2, 5, 5], setting, 2));
    assert_layer(&layer, group, setting.tolerance, noise(&layer.input_type(), [1, 4, 3], setting, 3));
}

/// Fields that permute their channels, equal ones apart from each other.
fn permuting(group: Group) -> FieldType {
    let trivial = Representation::trivial(group);
    let mut fields = vec![trivial.clone(), trivial];
    if let Ok(regular) = Representation::regular(group) {
        fields.insert(1, regular.clone());
        fields.push(regular);
        let half = Group::Cyclic(group.rotations().unwrap());
        fields.push(Representation::quotient(&Subgroup::new(group, half).unwrap()).unwrap());
    }
    FieldType::new(fields).unwrap()
}

/// Fields of several sizes and frequencies, not in order of size, equal ones apart from each other.
fn mixed(group: Group) -> FieldType {
    let irreps: Vec<Representation> =
        Irrep::all(group, 2).into_iter().map(|i| Representation::irrep(group, i).unwrap()).collect();
    let mut fields: Vec<Representation> = irreps.iter().rev().chain(&irreps).cloned().collect();
    if let Ok(regular) = Representation::regular(group) {
        fields.insert(1, regular);
    }
    FieldType::new(fields).unwrap()
}

/// One kind of field: the path without gathering.
fn uniform(group: Group) -> FieldType {
    let irrep = *Irrep::all(group, 1).last().unwrap();
    FieldType::repeat(3, &Representation::irrep(group, irrep).unwrap())
}

#[test]
fn pointwise_functions_are_equivariant() {
    let functions = [
        Nonlinearity::Relu,
        Nonlinearity::Elu(0.7),
        Nonlinearity::LeakyRelu(0.1),
        Nonlinearity::Silu,
        Nonlinearity::Sigmoid,
        Nonlinearity::Tanh,
    ];
    for setting in settings() {
        for group in setting.groups() {
            for function in functions {
                let layer = Pointwise::new(&permuting(group), function).unwrap();
                check(&layer, group, &setting, &format!("{layer}"));
            }
        }
    }
}

fn norm(field_type: &FieldType, function: NormFunction, options: Options) -> NormNonLinearity {
    let mut layer = NormNonLinearityConfig::new(field_type, function).init(options).unwrap();
    // Biases that differ, so that exchanging two would show.
    layer.log_bias = layer.log_bias.map(|p| {
        let values: Vec<f64> = (0..p.dims()[0]).map(|i| -1.5 + 0.2 * i as f64).collect();
        Param::from_tensor(tensor::<1>(&Array { shape: vec![values.len()], values }, options))
    });
    layer
}

#[test]
fn norm_nonlinearities_are_equivariant() {
    for setting in settings() {
        for group in setting.groups() {
            for function in NORM_FUNCTIONS {
                for field_type in [uniform(group), mixed(group)] {
                    let layer = norm(&field_type, function, (&setting.device, setting.dtype));
                    check(&layer, group, &setting, &format!("{layer}"));
                }
            }
        }
    }
}

/// Gates before the gated fields, and scattered among them.
fn gated(group: Group, options: Options) -> [GatedNonLinearity; 2] {
    let gated = mixed(group);
    let trivial = Representation::trivial(group);
    let before = (&FieldType::trivial(group, gated.len()) + &gated).unwrap();
    let among = FieldType::new(gated.fields().iter().flat_map(|f| [f.clone(), trivial.clone()]).collect()).unwrap();
    let gates: Vec<usize> = (0..gated.len()).map(|i| 2 * i + 1).collect();
    [
        GatedNonLinearityConfig::new(&before).init(options).unwrap(),
        GatedNonLinearityConfig::new(&among).with_gates(&gates).init(options).unwrap(),
    ]
}

#[test]
fn gated_nonlinearities_are_equivariant() {
    for setting in settings() {
        for group in setting.groups() {
            for layer in gated(group, (&setting.device, setting.dtype)) {
                check(&layer, group, &setting, &format!("{layer}"));
            }
        }
    }
}

/// Where the gates stand makes no difference.
#[test]
fn scattered_gates_act_as_gates_in_front() {
    let options = (&Device::flex(), DType::F64);
    let [before, mut among] = gated(D4, options);
    among.bias = before.bias.clone();
    let setting = &settings()[1];
    let count = before.output_type().len();
    let gates = noise(&FieldType::trivial(D4, count), [2, 3, 3], setting, 0);
    let fields = noise(&before.output_type(), [2, 3, 3], setting, 1);
    let mut parts = Vec::new();
    for (i, (start, field)) in before.output_type().offsets().enumerate() {
        parts.extend([fields.clone().narrow(1, start, field.size()), gates.clone().narrow(1, i, 1)]);
    }
    let expected = before.forward(Tensor::cat(vec![gates, fields], 1));
    assert_eq!(relative(among.forward(Tensor::cat(parts, 1)), expected), 0.0);
}

fn fourier(group: Group, options: Options) -> Vec<FourierPointwise> {
    let frequency = group.rotations().map_or(2, |n| (n / 2).min(2));
    let mut configs = vec![FourierPointwiseConfig::new(group, frequency, 3)];
    let whole = Group::Cyclic(group.rotations().unwrap_or(2));
    for subgroup in [whole, if group.has_flips() { D1 } else { C1 }] {
        configs.push(FourierPointwiseConfig::quotient(&Subgroup::new(group, subgroup).unwrap(), frequency, 2));
    }
    configs.into_iter().map(|config| config.init(options).unwrap()).collect()
}

#[test]
fn fourier_nonlinearities_are_equivariant_to_their_grid() {
    for setting in settings() {
        for group in setting.groups() {
            for layer in fourier(group, (&setting.device, setting.dtype)) {
                let what = format!("{layer}");
                // 4 (frequency + 1) rotations.
                assert_commutes_with_fibres(&layer, &group.sample(group.rotations().unwrap_or(12)), &setting, &what);
                assert_layer(&layer, group, setting.tolerance, noise(&layer.input_type(), [2, 5, 4], &setting, 0));
            }
        }
    }
}

/// As the documentation says, and the display.
#[test]
fn fourier_nonlinearities_are_approximate_between_the_samples() {
    let setting = &settings()[1];
    let g = Element::radians(0.1);
    let error = |samples| {
        let config = FourierPointwiseConfig::new(Group::SO2, 2, 2).with_samples(samples);
        let layer = config.init((&setting.device, setting.dtype)).unwrap();
        let x = noise(&layer.input_type(), [2, 3, 3], setting, 0);
        let turned = layer.forward(act_on_fibres(&g, x.clone(), &layer.input_type()));
        relative(turned, act_on_fibres(&g, layer.forward(x), &layer.output_type()))
    };
    let errors = [8, 16, 32, 64].map(error);
    assert!(errors[0] > 1e-3, "{errors:?}");
    assert!(errors.windows(2).all(|pair| pair[1] < 0.5 * pair[0]), "{errors:?}");
}

#[test]
fn restriction_and_disentangling_are_equivariant_to_the_subgroup() {
    let pairs =
        [(C8, C4), (D4, C4), (D4, D1), (Group::SO2, Group::Cyclic(6)), (Group::O2, D4), (Group::O2, Group::SO2)];
    for setting in settings() {
        for (group, subgroup) in pairs {
            let inclusion = Subgroup::new(group, subgroup).unwrap();
            for input in [mixed(group), permuting(group)] {
                let restrict = RestrictionModule::new(&input, &inclusion).unwrap();
                check(&restrict, subgroup, &setting, &format!("{restrict}"));
                let disentangle = DisentangleModule::new(&restrict.output_type(), &setting.device);
                check(&disentangle, subgroup, &setting, &format!("{disentangle}"));
            }
        }
    }
}

/// Restricted to the flip, the regular field of D4 pairs channel r with channel 4 - r of the other half.
#[test]
fn disentangling_moves_channels_where_it_must() {
    let regular = FieldType::regular(D4, 2).unwrap();
    let restricted = RestrictionModule::new(&regular, &Subgroup::new(D4, D1).unwrap()).unwrap().output_type();
    let layer = DisentangleModule::new(&restricted, &Device::flex());
    assert_eq!(layer.output_type(), FieldType::regular(D1, 8).unwrap());
    let channels = Tensor::<1, burn::tensor::Int>::arange(0..16, &Device::flex()).float().reshape([1, 16, 1, 1]);
    let moved = values(layer.forward(channels));
    assert_eq!(moved[..8], [0.0, 4.0, 1.0, 7.0, 2.0, 6.0, 3.0, 5.0]);
    assert_eq!(moved[8..10], [8.0, 12.0]);
}

#[test]
fn masks_are_equivariant() {
    for setting in settings() {
        for group in setting.groups() {
            for size in [5, 6] {
                let config = MaskModuleConfig::new(&mixed(group), size).with_margin(20.0);
                let layer = config.init((&setting.device, setting.dtype)).unwrap();
                assert!(values(layer.mask()).iter().any(|&m| m < 0.9), "the mask masks nothing");
                let input = noise(&mixed(group), [2, size, size], &setting, 0);
                assert_layer(&layer, group, setting.tolerance, input);
            }
        }
    }
}

#[test]
fn upsampling_is_equivariant() {
    for setting in settings() {
        for group in setting.groups() {
            for mode in [Interpolation::Nearest, Interpolation::Bilinear, Interpolation::BilinearAligned] {
                for factor in [1, 2, 3] {
                    let layer = R2Upsampling::new(&mixed(group), factor, mode).unwrap();
                    let input = noise(&mixed(group), [2, 5, 4], &setting, 0);
                    assert_layer(&layer, group, setting.tolerance, input);
                }
            }
        }
    }
}

#[test]
fn upsampling_equals_interpolate() {
    let field_type = FieldType::trivial(C4, 2);
    for setting in settings() {
        for (mode, theirs, aligned) in [
            (Interpolation::Nearest, InterpolateMode::Nearest, false),
            (Interpolation::Bilinear, InterpolateMode::Bilinear, false),
            (Interpolation::BilinearAligned, InterpolateMode::Bilinear, true),
        ] {
            for (factor, shape) in [(1, [1, 3, 4]), (2, [2, 1, 1]), (3, [1, 4, 3]), (4, [3, 2, 5])] {
                let x = noise(&field_type, shape, &setting, 0);
                let options = InterpolateOptions::new(theirs.clone()).with_align_corners(aligned);
                let expected = interpolate(x.clone(), options.with_output_size([factor * shape[1], factor * shape[2]]));
                let actual = R2Upsampling::new(&field_type, factor, mode).unwrap().forward(x);
                assert!(relative(actual, expected) < setting.tolerance, "{mode} x{factor} of {shape:?}");
            }
        }
    }
}

// Gradients

/// `<gradient, d>` against central differences along `d`.
fn assert_gradient(what: &str, f: impl Fn(Tensor<4>) -> Tensor<4>, field_type: &FieldType) {
    let setting = &settings()[1];
    let x = noise(field_type, [2, 3, 4], setting, 5);
    let direction = noise(field_type, [2, 3, 4], setting, 6);
    let loss = |x: Tensor<4>| {
        let y = f(x);
        let [b, c, h, w] = y.dims();
        let weights = Tensor::<1, burn::tensor::Int>::arange(0..(b * c * h * w) as i64, &y.device()).float();
        (y * weights.cast(DType::F64).sin().reshape([b, c, h, w])).sum()
    };
    let leaf = x.clone().autodiff().require_grad();
    let gradient = leaf.grad(&loss(leaf.clone()).backward()).unwrap();
    let expected = (gradient * direction.clone()).sum().into_scalar::<f64>();
    let step = 1e-5;
    let at = |sign: f64| loss(x.clone() + direction.clone() * (sign * step)).into_scalar::<f64>();
    let actual = (at(1.0) - at(-1.0)) / (2.0 * step);
    // Second differences of order step^2, cancellation of order 1e-16 / step.
    assert!((actual - expected).abs() < 1e-7 * (1.0 + expected.abs()), "{what}: {actual} for {expected}");
}

#[test]
fn gradients_equal_finite_differences() {
    let device = Device::flex();
    let options = (&device, DType::F64);
    for function in [Nonlinearity::Elu(0.7), Nonlinearity::Silu, Nonlinearity::Sigmoid, Nonlinearity::Tanh] {
        assert_gradient(&function.to_string(), |x| function.apply(x), &permuting(D4));
    }
    for function in NORM_FUNCTIONS {
        let layer = norm(&mixed(Group::O2), function, options);
        assert_gradient(&format!("{layer}"), |x| layer.forward(x), &mixed(Group::O2));
    }
    for layer in gated(Group::O2, options) {
        assert_gradient(&format!("{layer}"), |x| layer.forward(x), &layer.input_type());
    }
    for layer in fourier(Group::O2, options) {
        assert_gradient(&format!("{layer}"), |x| layer.forward(x), &layer.input_type());
    }
    for mode in [Interpolation::Nearest, Interpolation::Bilinear, Interpolation::BilinearAligned] {
        let layer = R2Upsampling::new(&mixed(C4), 3, mode).unwrap();
        assert_gradient(&format!("{layer}"), |x| layer.forward(x), &mixed(C4));
    }
}

#[test]
fn parameter_gradients_equal_finite_differences() {
    let device = Device::flex().autodiff();
    let setting = &settings()[1];
    let options = (&device, DType::F64);
    let difference = |parameter: &Param<Tensor<1>>, loss: &dyn Fn(Param<Tensor<1>>) -> Tensor<1>| {
        let analytic = values(parameter.val().grad(&loss(parameter.clone()).backward()).unwrap());
        for (i, analytic) in analytic.into_iter().enumerate() {
            let step = 1e-5;
            let at = |sign: f64| {
                let mut moved = values(parameter.val());
                moved[i] += sign * step;
                let moved = tensor::<1>(&Array { shape: vec![moved.len()], values: moved }, options);
                loss(Param::from_tensor(moved)).into_scalar::<f64>()
            };
            let numeric = (at(1.0) - at(-1.0)) / (2.0 * step);
            assert!((numeric - analytic).abs() < 1e-7 * (1.0 + analytic.abs()), "{i}: {numeric} for {analytic}");
        }
    };
    for function in [NormFunction::Relu, NormFunction::Sigmoid] {
        let layer = norm(&mixed(Group::O2), function, options);
        let x = noise(&layer.input_type(), [2, 3, 3], setting, 0);
        let weights = noise(&layer.output_type(), [2, 3, 3], setting, 1);
        difference(&layer.log_bias.clone().unwrap(), &|parameter| {
            let mut layer = layer.clone();
            layer.log_bias = Some(parameter);
            (layer.forward(x.clone()) * weights.clone()).sum()
        });
    }
    for layer in gated(Group::O2, options) {
        let x = noise(&layer.input_type(), [2, 3, 3], setting, 0);
        let weights = noise(&layer.output_type(), [2, 3, 3], setting, 1);
        difference(&layer.bias.clone(), &|bias| {
            let mut layer = layer.clone();
            layer.bias = bias;
            (layer.forward(x.clone()) * weights.clone()).sum()
        });
    }
}

#[test]
fn zero_vectors_have_finite_values_and_gradients() {
    for setting in settings() {
        for function in NORM_FUNCTIONS {
            for scale in [0.0, 1e-30, 1e-12] {
                let layer = norm(&mixed(Group::O2), function, (&setting.device, setting.dtype));
                let x = noise(&layer.input_type(), [1, 2, 2], &setting, 0) * scale;
                let x = x.autodiff().require_grad();
                let y = layer.forward(x.clone());
                let gradient = x.grad(&y.clone().sum().backward()).unwrap();
                assert_eq!(values(y.abs().max()), [0.0], "{function} at {scale}, {}", setting.name);
                assert_eq!(values(gradient.abs().max()), [0.0], "{function} at {scale}, {}", setting.name);
            }
        }
    }
}

/// Seen in Burn 0.22.1's `elu`: 0 * inf in the backward pass.
#[test]
fn elu_has_slope_one_where_the_exponential_overflows() {
    for setting in settings() {
        let x = Tensor::<1>::from_data(TensorData::from([1e4, 1.0, -1e4]), (&setting.device, setting.dtype));
        let x = x.autodiff().require_grad();
        let y = Nonlinearity::Elu(1.0).apply(x.clone());
        assert_eq!(values(x.grad(&y.clone().sum().backward()).unwrap()), [1.0, 1.0, 0.0], "{}", setting.name);
        assert_eq!(values(y), [1e4, 1.0, -1.0]);
    }
}

// Dropout

/// All of it in one test, as the random numbers of a device are shared by all threads.
#[test]
fn field_dropout() {
    for setting in settings() {
        let field_type = mixed(D4);
        let layer = FieldDropout::new(&field_type, 0.3, &setting.device).unwrap();
        let x = noise(&field_type, [200, 2, 3], &setting, 0);
        assert_eq!(relative(layer.forward(x.clone()), x.clone()), 0.0, "inference");
        assert_eq!(relative(layer.clone().freeze().forward(x.clone().autodiff()), x.clone().autodiff()), 0.0, "frozen");
        assert_eq!(relative(layer.clone().train().valid().forward(x.clone()), x.clone()), 0.0, "validation");

        setting.device.seed(3);
        let y = layer.forward(x.clone().autodiff()).without_autodiff();
        let ratios = y.clone() / x.clone();
        let mut dropped = 0;
        for sample in 0..200 {
            for (start, field) in field_type.offsets() {
                let ratios = values(ratios.clone().narrow(0, sample, 1).narrow(1, start, field.size()));
                let first = ratios[0];
                let expected = if first == 0.0 { 0.0 } else { 1.0 / 0.7 };
                assert!(ratios.iter().all(|r| (r - expected).abs() < 1e-5), "{field}: {ratios:?}");
                dropped += usize::from(first == 0.0);
            }
        }
        let share = dropped as f64 / (200 * field_type.len()) as f64;
        // Six standard deviations of a binomial.
        let deviation = (0.3_f64 * 0.7 / (200 * field_type.len()) as f64).sqrt();
        assert!((share - 0.3).abs() < 6.0 * deviation, "{share} dropped");

        setting.device.seed(3);
        let again = layer.forward(x.clone().autodiff()).without_autodiff();
        assert_eq!(relative(again, y), 0.0, "the same seed");

        for group in setting.groups() {
            let layer = FieldDropout::new(&mixed(group), 0.4, &setting.device).unwrap();
            let device = setting.device.clone();
            let seeded =
                FieldFn::new(mixed(group), mixed(group), &device.clone(), setting.dtype, move |x: Tensor<4>| {
                    device.seed(11);
                    layer.forward(x)
                });
            let input = noise(&mixed(group), [3, 5, 4], &setting, 1).autodiff();
            let dropped = values(seeded.forward(input.clone())).iter().filter(|&&v| v == 0.0).count();
            assert!(dropped > 0, "nothing was dropped");
            assert_commutes_with_fibres(&seeded, &elements(group), &setting, "FieldDropout");
            assert_layer(&seeded, group, setting.tolerance, input);
        }
    }
}

// What users see

#[test]
fn layers_keep_their_values_between_training_and_inference() {
    let device = Device::flex().autodiff();
    for setting in settings().into_iter().filter(|s| s.name.starts_with("flex")) {
        let options = (&device, setting.dtype);
        for layer in gated(C8, options) {
            let x = noise(&layer.input_type(), [1, 3, 3], &setting, 0);
            let trained = layer.forward(x.clone().autodiff()).without_autodiff();
            assert_eq!(relative(layer.valid().forward(x), trained), 0.0);
        }
        for layer in fourier(C8, options) {
            let x = noise(&layer.input_type(), [1, 3, 3], &setting, 0);
            let trained = layer.forward(x.clone().autodiff()).without_autodiff();
            assert_eq!(relative(layer.valid().forward(x), trained), 0.0);
        }
    }
}

#[test]
fn default_precision_is_the_one_of_the_device() {
    let layer = NormNonLinearityConfig::new(&uniform(C8), NormFunction::Relu).init(&Device::flex()).unwrap();
    assert_eq!(layer.options().1, DType::F32);
}

#[test]
fn displays_are_notation() {
    let device = Device::flex();
    let regular = FieldType::regular(C8, 2).unwrap();
    let vectors = uniform(Group::SO2);
    let gates = (&FieldType::trivial(Group::SO2, 3) + &vectors).unwrap();
    let flip = Subgroup::new(D4, C4).unwrap();
    let shown = [
        Pointwise::new(&regular, Nonlinearity::Elu(1.0)).unwrap().to_string(),
        Pointwise::new(&regular, Nonlinearity::LeakyRelu(0.2)).unwrap().to_string(),
        NormNonLinearityConfig::new(&vectors, NormFunction::Squash).init(&device).unwrap().to_string(),
        GatedNonLinearityConfig::new(&gates).init(&device).unwrap().to_string(),
        FourierPointwiseConfig::new(Group::SO2, 1, 2).init(&device).unwrap().to_string(),
        FourierPointwiseConfig::new(C4, 1, 2).init(&device).unwrap().to_string(),
        RestrictionModule::new(&FieldType::regular(D4, 1).unwrap(), &flip).unwrap().to_string(),
        MaskModuleConfig::new(&regular, 29).init(&device).unwrap().to_string(),
        R2Upsampling::new(&regular, 2, Interpolation::Bilinear).unwrap().to_string(),
        FieldDropout::new(&regular, 0.25, &device).unwrap().to_string(),
    ];
    let expected = [
        "ELU(2 x regular[C8])",
        "LeakyReLU[0.2](2 x regular[C8])",
        "NormNonLinearity(3 x irrep_1, squash, no bias)",
        "GatedNonLinearity(3 x trivial + 3 x irrep_1 -> 3 x irrep_1)",
        "FourierPointwise(2 x regular_[(0,)|(1,)], ELU on 8 rotations of SO(2), approximate between them)",
        "FourierPointwise(2 x regular_[(0,)|(1,)], ELU on all of C4)",
        "RestrictionModule(1 x regular[D4] of D4 -> 1 x D4:regular of C4)",
        "MaskModule(2 x regular[C8], 29 x 29, margin=0%, sigma=2)",
        "R2Upsampling(2 x regular[C8], x2, bilinear)",
        "FieldDropout(2 x regular[C8], p=0.25)",
    ];
    assert_eq!(shown, expected);
}

#[test]
fn errors_say_what_is_wrong_and_the_cure() {
    let device = Device::flex();
    let vectors = uniform(Group::SO2);
    let regular = FieldType::regular(D4, 2).unwrap();
    let gates = |listed: &[usize]| {
        let input = (&FieldType::trivial(Group::SO2, 2) + &vectors).unwrap();
        GatedNonLinearityConfig::new(&input).with_gates(listed).init(&device).map(drop)
    };
    let turned = Subgroup::with_axis(D4, D1, Rotation::turns(1, 4)).unwrap();
    let squash = NormNonLinearityConfig::new(&vectors, NormFunction::Squash).with_bias(true);
    let cases = [
        (Pointwise::new(&vectors, Nonlinearity::Relu).map(drop), "use NormNonLinearity"),
        (squash.init(&device).map(drop), "with_bias(false)"),
        (gates(&[0, 1]), "2 gates for 3 gated fields"),
        (gates(&[0, 0]), "listed twice"),
        (gates(&[0, 7]), "has 5 fields"),
        (GatedNonLinearityConfig::new(&uniform(Group::O2)).init(&device).map(drop), "1 gates for 2 gated"),
        (
            GatedNonLinearityConfig::new(&FieldType::repeat(4, &vectors.fields()[0])).init(&device).map(drop),
            "not invariant",
        ),
        (FourierPointwiseConfig::new(Group::SO2, 3, 0).init(&device).map(drop), "at least one field"),
        (FourierPointwiseConfig::new(Group::SO2, 3, 1).with_samples(6).init(&device).map(drop), "at least 7"),
        (FourierPointwiseConfig::new(C4, 1, 1).with_samples(16).init(&device).map(drop), "leave `with_samples` out"),
        (FourierPointwiseConfig::new(C4, 3, 1).init(&device).map(drop), "no irreducible representation"),
        (RestrictionModule::new(&regular, &turned).map(drop), "`Subgroup::new`"),
        (RestrictionModule::new(&vectors, &Subgroup::new(D4, C4).unwrap()).map(drop), "different groups"),
        (MaskModuleConfig::new(&regular, 0).init(&device).map(drop), "at least 1"),
        (MaskModuleConfig::new(&regular, 9).with_margin(101.0).init(&device).map(drop), "0 to 100"),
        (MaskModuleConfig::new(&regular, 9).with_sigma(0.0).init(&device).map(drop), "sigma positive"),
        (R2Upsampling::new(&regular, 0, Interpolation::Nearest).map(drop), "at least 1"),
        (FieldDropout::new(&regular, 1.0, &device).map(drop), "below 1"),
        (FieldDropout::new(&regular, f64::NAN, &device).map(drop), "below 1"),
    ];
    for (result, expected) in cases {
        let message = result.unwrap_err().to_string();
        assert!(message.contains(expected), "{message:?} lacks {expected:?}");
    }
}

#[test]
#[should_panic(expected = "Pointwise: the input has 3 channels, but 1 x regular[C4] has 4")]
fn wrong_channels_panic_with_the_shapes() {
    let layer = Pointwise::new(&FieldType::regular(C4, 1).unwrap(), Nonlinearity::Relu).unwrap();
    layer.forward(Tensor::zeros([1, 3, 2, 2], &Device::flex()));
}

#[test]
#[should_panic(expected = "MaskModule: the mask is 5 x 5, the input 5 x 6")]
fn a_mask_of_another_size_panics_with_the_sizes() {
    let layer = MaskModuleConfig::new(&FieldType::trivial(C4, 1), 5).init(&Device::flex()).unwrap();
    layer.forward(Tensor::zeros([1, 1, 5, 6], &Device::flex()));
}
