//! Steerable convolutions: against escnn, for equivariance, gradients and errors.

#[path = "common/devices.rs"]
mod devices;
#[path = "../../../tests/golden/mod.rs"]
mod golden;

use burn::module::Module;
use burn::tensor::ops::ConvOptions;
use burn::tensor::{DType, Device, Tensor, TensorData};
use devices::settings;
use equi_core::FieldType;
use equi_core::assert_equivariant;
use equi_core::check::{FieldFn, FieldMap, fibres, probe};
use equi_core::group::{C4, C8, D4, D8, Group};
use equi_core::kernel_basis::Cutoff;
use equi_core::repr::{Irrep, Representation};
use equi_layers::LayerError;
use equi_layers::planar::{
    IidBatchNormConfig, Initializer, InnerBatchNormConfig, NormBatchNormConfig, PaddingMode, R2Conv, R2ConvConfig,
    R2ConvTransposed, R2ConvTransposedConfig,
};
use golden::{Array, Tensors};
use serde_json::Value;

fn tensor<const D: usize>(array: &Array) -> Tensor<D> {
    let data = TensorData::new(array.values.clone(), array.shape.clone());
    Tensor::from_data(data, (&Device::flex().autodiff(), DType::F64))
}

fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f64> {
    tensor.into_data().convert::<f64>().try_into_vec().unwrap()
}

enum Layer {
    Plain(R2Conv),
    Transposed(R2ConvTransposed),
}

/// A layer with the numbers of a golden case, from its group, fields, kernel size and options.
struct Case {
    id: String,
    transposed: bool,
    group: Group,
    input: FieldType,
    output: FieldType,
    size: Value,
    options: Value,
    blocks: Value,
}

impl Case {
    fn fields(group: Group, names: &Value) -> FieldType {
        FieldType::new(golden::strings(names).iter().map(|n| golden::field(group, n)).collect()).unwrap()
    }

    fn build(&self) -> Layer {
        let number = |key: &str, default| self.options.get(key).map_or(default, |v| v.as_u64().unwrap() as usize);
        let (input, output, size) = (&self.input, &self.output, self.size.as_u64().unwrap() as usize);
        macro_rules! configure {
            ($config:expr) => {{
                let mut config = $config
                    .with_stride(number("stride", 1))
                    .with_dilation(number("dilation", 1))
                    .with_groups(number("groups", 1))
                    .with_padding(number("padding", 0))
                    .with_bias(self.options.get("bias").is_none_or(|b| b.as_bool().unwrap()))
                    .with_initializer(Initializer::Zeros);
                if let Some(rings) = self.options.get("rings") {
                    config = config.with_rings(&golden::numbers(rings));
                }
                if let Some(sigma) = self.options.get("sigma") {
                    config = config.with_sigma(&golden::numbers(sigma));
                }
                if let Some(factor) = self.options.get("frequencies_cutoff") {
                    config = config.with_cutoff(Cutoff::Proportional(factor.as_f64().unwrap()));
                }
                if size % 2 == 0 { config.with_even_kernel() } else { config }
            }};
        }
        let options = (&Device::flex().autodiff(), DType::F64);
        if self.transposed {
            let config = configure!(R2ConvTransposedConfig::new(input, output, size));
            Layer::Transposed(config.with_output_padding(number("output_padding", 0)).init(options).unwrap())
        } else {
            let mode = match self.options.get("padding_mode").and_then(Value::as_str) {
                None | Some("zeros") => PaddingMode::Zeros,
                Some("circular") => PaddingMode::Circular,
                Some("reflect") => PaddingMode::Reflect,
                Some("replicate") => PaddingMode::Replicate,
                Some(other) => panic!("{other}"),
            };
            let config = configure!(R2ConvConfig::new(input, output, size)).with_padding_mode(mode);
            Layer::Plain(config.init(options).unwrap())
        }
    }

    /// Sets the weights, through the filter where escnn's basis is free, and compares everything that is stored.
    fn compare(&self, tensors: &Tensors) {
        let key = |name: &str| format!("{}/{name}", self.id);
        let stored = |name: &str| tensors.get(&key(name));
        let canonical = !self.group.has_flips();
        // f64 throughout; what differs is the order of additions. Through a filter, also the least squares.
        let tolerance = 1e-10;
        let check = |name: &str, actual: Vec<f64>| {
            let error = tensors.tensor(&key(name)).relative_error(&actual);
            assert!(error < tolerance, "{} {name}: relative error {error:e}", self.id);
        };
        let weights = tensors.tensor(&key("weights"));
        let (input, expected_filter) = (tensors.tensor(&key("input")), tensors.tensor(&key("filter")));
        let x = tensor::<4>(&input).require_grad();
        macro_rules! compare {
            ($layer:expr) => {{
                let mut layer = $layer;
                assert_eq!(layer.weights.dims()[0], weights.values.len(), "{}", self.id);
                layer = if canonical {
                    layer.weights = burn::module::Param::from_tensor(tensor::<1>(&weights));
                    layer
                } else {
                    layer.with_filter(tensor::<4>(&expected_filter)).unwrap()
                };
                if let Some(bias) = stored("bias").filter(|b| !b.values.is_empty()) {
                    assert_eq!(layer.bias.as_ref().unwrap().dims().to_vec(), bias.shape, "{}", self.id);
                    layer.bias = Some(burn::module::Param::from_tensor(tensor::<1>(&bias)));
                }
                check("filter", values(layer.filter()));
                let output = layer.forward(x.clone());
                assert_eq!(output.dims().to_vec(), tensors.tensor(&key("output")).shape, "{}", self.id);
                check("output", values(output.clone()));
                if let Some(cotangent) = stored("cotangent") {
                    let gradients = (output * tensor::<4>(&cotangent)).sum().backward();
                    check("grad_input", values(x.grad(&gradients).unwrap()));
                    let by_weights = values(layer.weights.val().grad(&gradients).unwrap());
                    if canonical {
                        check("grad_weights", by_weights);
                    } else {
                        let like = layer.filter().dims();
                        let ours = |filter: Vec<f64>| -> f64 {
                            let filter = tensor::<4>(&Array { shape: like.to_vec(), values: filter });
                            let weights = values(layer.clone().with_filter(filter).unwrap().weights.val());
                            weights.iter().zip(&by_weights).map(|(w, g)| w * g).sum()
                        };
                        check("grad_weights", self.gradients_along_escnn(tensors, like, ours));
                    }
                    if stored("grad_bias").is_some_and(|b| !b.values.is_empty()) {
                        check("grad_bias", values(layer.bias.as_ref().unwrap().val().grad(&gradients).unwrap()));
                    }
                }
            }};
        }
        match self.build() {
            Layer::Plain(layer) => compare!(layer),
            Layer::Transposed(layer) => compare!(layer),
        }
    }

    /// The gradient by one of escnn's weights: ours along the weights whose filter is its basis element.
    fn gradients_along_escnn(&self, tensors: &Tensors, like: [usize; 4], ours: impl Fn(Vec<f64>) -> f64) -> Vec<f64> {
        let named = |field_type: &FieldType, name: &str| -> Vec<usize> {
            field_type.offsets().filter(|(_, f)| f.name() == name).map(|(start, _)| start).collect()
        };
        let mut gradient = Vec::new();
        for block in self.blocks.as_array().unwrap() {
            let pair = golden::strings(&block["pair"]);
            let basis = tensors.tensor(&format!("{}/basis[{}->{}]", self.id, pair[0], pair[1]));
            let [elements, rows, columns, k, _] = basis.shape[..] else { panic!("{:?}", basis.shape) };
            for row in named(&self.output, &pair[1]) {
                for column in named(&self.input, &pair[0]) {
                    for b in 0..elements {
                        let mut filter = vec![0.0; like.iter().product()];
                        for (i, value) in
                            basis.values[b * rows * columns * k * k..][..rows * columns * k * k].iter().enumerate()
                        {
                            let (r, c, p) = (i / (columns * k * k), i / (k * k) % columns, i % (k * k));
                            filter[((row + r) * like[1] + column + c) * k * k + p] = *value;
                        }
                        gradient.push(ours(filter));
                    }
                }
            }
        }
        gradient
    }
}

#[test]
fn every_convolution_of_escnn() {
    let tensors = Tensors::open("escnn/conv.safetensors");
    let cases = golden::cases("escnn/manifest.json", |c| c["file"] == "conv.safetensors");
    assert_eq!(cases.len(), 39);
    for case in cases {
        let group = golden::group(case["group"].as_str().unwrap());
        Case {
            id: case["case"].as_str().unwrap().to_owned(),
            transposed: case["call"].as_str().unwrap().starts_with("R2ConvTransposed"),
            group,
            input: Case::fields(group, &case["in_fields"]),
            output: Case::fields(group, &case["out_fields"]),
            size: case["kernel_size"].clone(),
            options: case["options"].clone(),
            blocks: case["weight_blocks"].clone(),
        }
        .compare(&tensors);
    }
}

#[test]
fn every_convolution_of_escnn_with_gradients() {
    let tensors = Tensors::open("escnn_gradients/conv.safetensors");
    let cases = golden::cases("escnn_gradients/conv.json", |_| true);
    assert_eq!(cases.len(), 14);
    for case in cases {
        let config = &case["config"];
        let group = golden::group(config["group"].as_str().unwrap());
        Case {
            id: case["id"].as_str().unwrap().to_owned(),
            transposed: config["class"] == "R2ConvTransposed",
            group,
            input: Case::fields(group, &config["in_fields"]),
            output: Case::fields(group, &config["out_fields"]),
            size: config["kernel_size"].clone(),
            options: config.clone(),
            blocks: case["weight_blocks"].clone(),
        }
        .compare(&tensors);
    }
}

/// Field types of a group that are worth convolving: scalars, vectors, regular ones, and a mixture.
fn field_types(group: Group) -> Vec<FieldType> {
    let trivial = Representation::trivial(group);
    let highest = *Irrep::all(group, 2).last().unwrap();
    let rich = Representation::regular(group).or_else(|_| Representation::spectral(group, 2)).unwrap();
    let irrep = Representation::irrep(group, highest).unwrap();
    vec![
        FieldType::repeat(2, &trivial),
        FieldType::repeat(2, &rich),
        FieldType::new(vec![rich.clone(), irrep, trivial, rich]).unwrap(),
    ]
}

#[test]
fn convolutions_of_every_group_are_equivariant() {
    for setting in settings() {
        // C3 maps no pixels to pixels; its constraint is tested on the kernels, in equi-core.
        for group in setting.groups().into_iter().filter(|&g| g == Group::trivial() || g.grid_symmetries().len() > 1) {
            for output in field_types(group) {
                let input = &field_types(group)[2];
                let conv = R2ConvConfig::new(input, &output, 3)
                    .with_same_padding()
                    .with_initializer(Initializer::Seeded(1))
                    .init((&setting.device, setting.dtype))
                    .unwrap();
                assert_equivariant!(conv, group, setting.tolerance);
                let transposed = R2ConvTransposedConfig::new(input, &output, 3)
                    .with_stride(2)
                    .with_padding(1)
                    .with_initializer(Initializer::Seeded(2))
                    .init((&setting.device, setting.dtype))
                    .unwrap();
                assert_equivariant!(transposed, group, setting.tolerance, probe(&transposed, [1, 5, 5], 7));
            }
        }
    }
}

/// A kernel of one pixel leaves space alone, so that every element can be checked exactly, C3's too.
#[test]
fn pointwise_convolutions_commute_with_the_fibres_of_every_element() {
    for setting in settings() {
        for group in setting.groups() {
            for output in field_types(group) {
                let conv = R2ConvConfig::new(&field_types(group)[2], &output, 1)
                    .with_initializer(Initializer::Seeded(11))
                    .init((&setting.device, setting.dtype))
                    .unwrap();
                fibres(&conv, group, probe(&conv, [2, 3, 3], 1)).assert_exact(setting.name, setting.tolerance);
            }
        }
    }
}

#[test]
fn every_option_keeps_the_symmetry() {
    let (input, output) = (&field_types(D4)[2], FieldType::regular(D4, 2).unwrap());
    let halves = |f: &FieldType| (f + f).unwrap();
    let base = || R2ConvConfig::new(input, &output, 5).with_initializer(Initializer::Seeded(2));
    let options = [
        base().with_stride(2).with_padding(2),
        base().with_dilation(2).with_same_padding(),
        base().with_padding(2).with_padding_mode(PaddingMode::Circular),
        base().with_padding(2).with_padding_mode(PaddingMode::Reflect),
        base().with_padding(2).with_padding_mode(PaddingMode::Replicate),
        base().with_bias(false),
        base().with_cutoff(Cutoff::Strict),
        R2ConvConfig::new(&halves(input), &halves(&output), 3).with_groups(2).with_initializer(Initializer::Seeded(3)),
        R2ConvConfig::new(input, &output, 4)
            .with_even_kernel()
            .with_padding(1)
            .with_initializer(Initializer::Seeded(4)),
    ];
    for setting in settings() {
        for config in &options {
            let mut conv = config.init((&setting.device, setting.dtype)).unwrap();
            // A bias of zero, or the same for all irreps, would hide a wrong expansion.
            conv.bias = conv.bias.map(|b| {
                b.map(|b| {
                    let ramp = (0..b.dims()[0]).map(|i| 0.5 + i as f64).collect::<Vec<_>>();
                    let shape = b.dims();
                    Tensor::from_data(TensorData::new(ramp, shape).convert_dtype(b.dtype()), (&b.device(), b.dtype()))
                })
            });
            conv.check_size(13, 13).unwrap();
            assert_equivariant!(conv, D4, setting.tolerance, probe(&conv, [2, 13, 13], 5));
        }
        let transposed = R2ConvTransposedConfig::new(input, &output, 3)
            .with_stride(2)
            .with_padding(1)
            .with_initializer(Initializer::Seeded(6))
            .init((&setting.device, setting.dtype))
            .unwrap();
        transposed.check_centred().unwrap();
        assert_equivariant!(transposed, D4, setting.tolerance);
        // Rectangles too.
        let conv = base().with_padding(2).init((&setting.device, setting.dtype)).unwrap();
        assert_equivariant!(conv, D4, setting.tolerance, probe(&conv, [1, 7, 12], 6));
    }
}

/// The gradients of weights and biases on every device, against flex in f64; interleaved fields, so that the filter is gathered.
#[test]
fn parameter_gradients_agree_on_every_device() {
    for group in [C8, D4] {
        let (input, output) = (&field_types(group)[2], &field_types(group)[2]);
        let gradients = |device: &Device, dtype: DType| {
            let device = device.clone().autodiff();
            let conv = R2ConvConfig::new(input, output, 5)
                .with_same_padding()
                .with_initializer(Initializer::Seeded(10))
                .init((&device, dtype))
                .unwrap();
            let x = probe(&conv, [2, 7, 7], 3);
            let loss = conv.forward(x).powi_scalar(2).mean().backward();
            let weights = values(conv.weights.val().grad(&loss).unwrap());
            (weights, values(conv.bias.as_ref().unwrap().val().grad(&loss).unwrap()))
        };
        let (weights, bias) = gradients(&Device::flex(), DType::F64);
        let reference = |values: &Vec<f64>| Array { shape: vec![values.len()], values: values.clone() };
        for setting in settings() {
            let (w, b) = gradients(&setting.device, setting.dtype);
            for error in [reference(&weights).relative_error(&w), reference(&bias).relative_error(&b)] {
                assert!(error < setting.tolerance, "{group} {}: {error:e}", setting.name);
            }
        }
    }
}

/// C8 at 45 degrees is approximate, and far better than a filter without the constraint.
#[test]
fn a_rotation_by_45_degrees_is_approximate_and_reported_so() {
    let output = FieldType::regular(C8, 2).unwrap();
    let conv = R2ConvConfig::new(&FieldType::trivial(C8, 1), &output, 5)
        .with_same_padding()
        .with_initializer(Initializer::Seeded(0))
        .init((&Device::flex(), DType::F64))
        .unwrap();
    // A smooth bump inside the disc, so that resampling hardly hurts.
    let n = 33;
    let bump = (0..n * n).map(|i| {
        let (x, y) = ((i % n) as f64 - 16.0, (i / n) as f64 - 16.0);
        (-((x - 3.0).powi(2) + (y + 2.0).powi(2)) / 18.0).exp() - 0.5 * (-((x + 4.0).powi(2) + y * y) / 12.0).exp()
    });
    let x = Tensor::<1>::from_data(TensorData::new(bump.collect::<Vec<f64>>(), [n * n]), (&Device::flex(), DType::F64));
    let x = x.reshape([1, 1, n, n]);
    let report = equi_core::check::outputs(&conv, C8, x.clone());
    let unconstrained = probe(&conv, [16, 5, 5], 4);
    let plain = FieldFn::new(conv.input_type(), conv.output_type(), &Device::flex(), DType::F64, move |x| {
        let options = ConvOptions::new([1, 1], [2, 2], [1, 1], 1);
        burn::tensor::module::conv2d(x, unconstrained.clone(), None, options)
    });
    let without = equi_core::check::outputs(&plain, C8, x);
    assert!(without.interpolated_error() > 10.0 * report.interpolated_error(), "{without}\n{report}");
    assert!(without.exact_error() > 0.1, "{without}");
    assert!(report.exact_error() < 1e-12, "{report}");
    assert!(report.interpolated_error() > 1e-4, "{report}");
    assert!(report.interpolated_error() < 0.1, "{report}");
}

#[test]
fn the_exported_convolution_is_the_same() {
    for setting in settings() {
        for config in [
            R2ConvConfig::new(&field_types(C8)[2], &FieldType::regular(C8, 3).unwrap(), 5).with_same_padding(),
            R2ConvConfig::new(&field_types(C8)[1], &field_types(C8)[2], 3).with_stride(2).with_dilation(2),
        ] {
            let conv = config.with_initializer(Initializer::Seeded(7)).init((&setting.device, setting.dtype)).unwrap();
            let x = probe(&conv, [2, 11, 11], 0);
            let plain = conv.export().unwrap();
            let (expected, actual) = (values(conv.forward(x.clone())), values(plain.forward(x)));
            // Burn's convolution adds up in another order.
            let error = Array { shape: vec![expected.len()], values: expected }.relative_error(&actual);
            assert!(error < setting.tolerance, "{}: {error:e}", setting.name);
        }
    }
}

#[test]
fn the_folded_convolution_is_the_same() {
    for setting in settings() {
        let regular = FieldType::regular(C8, 4).unwrap();
        let square = || R2ConvConfig::new(&regular, &regular, 3).with_padding(1);
        for config in [
            square().with_stride(2),
            square().with_groups(2),
            square().with_padding_mode(PaddingMode::Circular),
            square().with_padding_mode(PaddingMode::Reflect).with_bias(false),
        ] {
            let config = config.with_initializer(Initializer::Seeded(7));
            let mut conv = config.init((&setting.device, setting.dtype)).unwrap();
            conv.bias = conv.bias.map(|b| b.map(|b| b + 0.5));
            let x = probe(&conv, [2, 9, 9], 0);
            let folded = conv.fold();
            let (expected, actual) = (values(conv.forward(x.clone())), values(folded.forward(x)));
            if setting.name.starts_with("flex") {
                assert_eq!(expected, actual, "the same operation on the same filter gives the same bits");
            }
            // A GPU may tune it to another kernel.
            let error = Array { shape: vec![expected.len()], values: expected }.relative_error(&actual);
            assert!(error < setting.tolerance, "{}: {error:e}", setting.name);
            assert_equivariant!(folded, C8, setting.tolerance);
        }
    }
}

#[test]
fn the_exported_transposed_convolution_is_the_same() {
    let (input, output) = (&field_types(C8)[2], FieldType::regular(C8, 2).unwrap());
    for setting in settings() {
        let config =
            R2ConvTransposedConfig::new(input, &output, 3).with_stride(2).with_padding(1).with_output_padding(1);
        let options = (&setting.device, setting.dtype);
        let mut conv = config.with_initializer(Initializer::Seeded(8)).init(options).unwrap();
        conv.bias = conv.bias.map(|b| b.map(|b| b + 0.5));
        let x = probe(&conv, [2, 5, 5], 0);
        let (expected, actual) = (values(conv.forward(x.clone())), values(conv.export().forward(x)));
        if setting.name.starts_with("flex") {
            assert_eq!(expected, actual, "the same operation on the same filter gives the same bits");
        }
        let error = Array { shape: vec![expected.len()], values: expected }.relative_error(&actual);
        assert!(error < setting.tolerance, "{}: {error:e}", setting.name);
    }
}

/// Every batch norm that scales and shifts channels folds; statistics away from their start, so that folding does something.
#[test]
fn batch_norms_fold_into_the_convolution_before_them() {
    let device = Device::flex().autodiff();
    let output = FieldType::regular(C8, 2).unwrap();
    let vectors = FieldType::repeat(2, &Representation::irrep(C8, Irrep::rotation(1)).unwrap());
    for bias in [true, false] {
        macro_rules! check {
            ($config:ident, $output:expr) => {{
                let output = $output;
                let config = R2ConvConfig::new(&FieldType::trivial(C8, 2), output, 3).with_bias(bias);
                let mut conv = config.with_initializer(Initializer::Seeded(9)).init((&device, DType::F64)).unwrap();
                conv.bias = conv.bias.map(|b| b.map(|b| b + 0.5));
                let x = probe(&conv, [3, 7, 7], 1);
                let norm = $config::new(output).init((&device, DType::F64)).unwrap();
                norm.forward(conv.forward(x.clone()) * 2.0 + 1.0);
                let (conv, norm) = (conv.valid(), norm.valid());
                let x = x.clone().without_autodiff();
                let expected = values(norm.forward(conv.forward(x.clone())));
                let exported = values(conv.export_folded(&norm).unwrap().forward(x.clone()));
                let kept = values(conv.fold_norm(&norm).unwrap().forward(x));
                let expected = Array { shape: vec![expected.len()], values: expected };
                for folded in [exported, kept] {
                    let error = expected.relative_error(&folded);
                    assert!(error < 1e-12, "{}: {error:e}", stringify!($config));
                }
            }};
        }
        check!(InnerBatchNormConfig, &output);
        check!(NormBatchNormConfig, &vectors);
        check!(IidBatchNormConfig, &output);
    }
    let conv = R2ConvConfig::new(&FieldType::trivial(C8, 2), &output, 3).init(&device).unwrap();
    let other = InnerBatchNormConfig::new(&FieldType::regular(C8, 3).unwrap()).init(&device).unwrap();
    assert!(conv.export_folded(&other).unwrap_err().to_string().contains("3 x regular[C8]"));
    assert!(conv.fold_norm(&other).unwrap_err().to_string().contains("3 x regular[C8]"));
}

/// The generalised He initialisation keeps the variance of the features through a deep stack.
#[test]
fn initialisation_keeps_the_scale_and_follows_the_seed() {
    let device = Device::flex();
    let regular = FieldType::regular(C8, 8).unwrap();
    let init = |initializer| {
        R2ConvConfig::new(&regular, &regular, 5)
            .with_same_padding()
            .with_initializer(initializer)
            .init(&device)
            .unwrap()
    };
    let conv = init(Initializer::Seeded(3));
    let x = probe(&conv, [4, 15, 15], 0);
    let variance = |x: Tensor<4>| x.clone().powi_scalar(2).mean().into_scalar::<f32>();
    let ratio = variance(conv.forward(x.clone())) / variance(x);
    assert!((0.3..3.0).contains(&ratio), "the variance changed by {ratio}");

    let bits = |conv: &R2Conv| conv.weights.val().into_data();
    bits(&init(Initializer::Seeded(3))).assert_eq(&bits(&conv), true);
    assert_ne!(bits(&init(Initializer::Seeded(4))), bits(&conv));
}

#[test]
fn records_restore_the_weights() {
    let device = Device::flex();
    let regular = FieldType::regular(C4, 2).unwrap();
    let init = |seed| {
        R2ConvConfig::new(&regular, &regular, 3).with_initializer(Initializer::Seeded(seed)).init(&device).unwrap()
    };
    let (saved, other) = (init(1), init(2));
    let x = probe(&saved, [1, 5, 5], 0);
    let expected = values(saved.forward(x.clone()));
    let restored = other.load_record(saved.into_record());
    assert_eq!(values(restored.forward(x)), expected);
}

#[test]
fn display_is_notation() {
    let conv = R2ConvConfig::new(&FieldType::trivial(C8, 3), &FieldType::regular(C8, 8).unwrap(), 5)
        .init(&Device::flex())
        .unwrap();
    assert!(conv.to_string().starts_with("R2Conv(3 x trivial -> 8 x regular[C8], k=5)"), "{conv}");
}

#[test]
fn what_cannot_be_built_says_why_and_what_to_do() {
    let device = Device::flex();
    let (scalar, regular) = (FieldType::trivial(C8, 1), FieldType::regular(C8, 2).unwrap());
    let message = |config: R2ConvConfig| config.init(&device).unwrap_err().to_string();
    let cases = [
        (R2ConvConfig::new(&scalar, &regular, 4), "use 3 or 5"),
        (R2ConvConfig::new(&scalar, &regular, 0), "no points"),
        (R2ConvConfig::new(&scalar, &regular, 3).with_stride(0), "at least 1"),
        (R2ConvConfig::new(&scalar, &regular, 3).with_dilation(0), "at least 1"),
        (R2ConvConfig::new(&scalar, &FieldType::trivial(C4, 1), 3), "different groups"),
        (R2ConvConfig::new(&regular, &regular, 3).with_groups(3), "equal groups"),
        (R2ConvConfig::new(&scalar, &regular, 3).with_rings(&[7.0]), "corner of the kernel"),
        (R2ConvConfig::new(&scalar, &regular, 3).with_sigma(&[1.0]), "one for each"),
        (R2ConvConfig::new(&scalar, &regular, 3).with_stride(2).with_input_size(28, 28), "27 or 29"),
    ];
    for (config, part) in cases {
        let message = message(config);
        assert!(message.contains(part), "{message}");
    }
    let vector = Representation::irrep(Group::SO2, Irrep::rotation(12)).unwrap();
    let empty = R2ConvConfig::new(&FieldType::trivial(Group::SO2, 1), &FieldType::repeat(1, &vector), 3);
    assert!(message(empty).contains("basis is empty"));
    let far = R2ConvTransposedConfig::new(&scalar, &regular, 3).with_output_padding(1);
    assert!(far.init(&device).unwrap_err().to_string().contains("smaller than the stride"));

    let conv = R2ConvConfig::new(&scalar, &regular, 3).with_stride(2).init(&device).unwrap();
    let off_centre = conv.check_size(28, 28).unwrap_err().to_string();
    assert!(off_centre.contains("27 or 29"), "{off_centre}");
    let crooked = Tensor::<4>::ones([16, 1, 3, 3], &device).slice_fill([0..1, 0..1, 0..1, 0..1], 5.0);
    assert!(matches!(conv.with_filter(crooked), Err(LayerError::NotEquivariant { .. })));
    let circular = R2ConvConfig::new(&scalar, &regular, 3).with_padding(1).with_padding_mode(PaddingMode::Circular);
    assert!(circular.init(&device).unwrap().export().unwrap_err().to_string().contains("zeros only"));
}

#[test]
#[should_panic(expected = "the input has 3 channels, but 1 x trivial has 1")]
fn a_wrong_number_of_channels_is_named() {
    let conv = R2ConvConfig::new(&FieldType::trivial(D8, 1), &FieldType::regular(D8, 1).unwrap(), 3);
    let conv = conv.init(&Device::flex()).unwrap();
    R2Conv::forward(&conv, Tensor::zeros([1, 3, 9, 9], &conv.options().0));
}
