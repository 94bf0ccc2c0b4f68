//! Batch norms and pooling: against escnn, for equivariance, gradients, centring and errors.

#[path = "common/devices.rs"]
mod devices;
#[path = "../../../tests/golden/mod.rs"]
mod golden;

use burn::module::{Module, Param};
use burn::store::ModuleRecord;
use burn::tensor::{DType, Device, Tensor, TensorData};
use devices::{Setting, assert_layer, settings};
use equi_core::FieldType;
use equi_core::check::{FieldFn, FieldMap, fibres, gradients, outputs, probe};
use equi_core::group::{C1, C2, C4, C8, D1, D4, Group, Subgroup};
use equi_core::repr::{Irrep, Representation};
use equi_layers::planar::*;
use equi_layers::{LayerError, Result};
use golden::{Array, Tensors};
use serde_json::Value;

/// f64 throughout; what differs is the order of additions.
const GOLDEN: f64 = 1e-12;

fn autodiff() -> (Device, DType) {
    (Device::flex().autodiff(), DType::F64)
}

fn tensor<const D: usize>(array: &Array) -> Tensor<D> {
    let (device, dtype) = autodiff();
    Tensor::from_data(TensorData::new(array.values.clone(), array.shape.clone()), (&device, dtype))
}

fn vector(values: &[f64], device: &Device, dtype: DType) -> Tensor<1> {
    Tensor::from_data(TensorData::new(values.to_vec(), [values.len()]).convert_dtype(dtype), (device, dtype))
}

fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f64> {
    tensor.into_data().convert::<f64>().try_into_vec().unwrap()
}

/// What the tests do with every batch norm.
trait BatchNorm: Module + FieldMap + std::fmt::Display {
    fn build(field_type: &FieldType, momentum: f64, options: (&Device, DType)) -> Result<Self>;
    fn set(&mut self, gamma: &[f64], beta: &[f64]);
    fn gamma(&self) -> Tensor<1>;
    fn beta(&self) -> Option<Tensor<1>>;
    fn running_mean(&self) -> Option<Tensor<1>>;
    fn running_var(&self) -> Tensor<1>;
    /// escnn's prefix for the numbers of a field.
    fn prefix(field: &Representation) -> String;
}

macro_rules! batch_norm {
    ($layer:ident, $config:ident, $prefix:expr, |$this:ident| $beta:expr, $mean:expr) => {
        impl BatchNorm for $layer {
            fn build(field_type: &FieldType, momentum: f64, options: (&Device, DType)) -> Result<Self> {
                $config::new(field_type).with_momentum(momentum).init(options)
            }

            fn set(&mut self, gamma: &[f64], beta: &[f64]) {
                let (device, dtype) = (self.gamma().device(), self.gamma().dtype());
                assert_eq!(self.gamma().dims(), [gamma.len()]);
                self.gamma = Some(Param::from_tensor(vector(gamma, &device, dtype)));
                let $this = self;
                let slot: Option<&mut Option<Param<Tensor<1>>>> = $beta;
                match slot {
                    Some(slot) if slot.is_some() => {
                        assert_eq!(slot.as_ref().unwrap().dims(), [beta.len()]);
                        *slot = Some(Param::from_tensor(vector(beta, &device, dtype)));
                    }
                    _ => assert!(beta.is_empty()),
                }
            }

            fn gamma(&self) -> Tensor<1> {
                self.gamma.as_ref().unwrap().val()
            }

            fn beta(&self) -> Option<Tensor<1>> {
                let mut copy = self.clone();
                let $this = &mut copy;
                let slot: Option<&mut Option<Param<Tensor<1>>>> = $beta;
                slot.and_then(|slot| slot.as_ref().map(Param::val))
            }

            fn running_mean(&self) -> Option<Tensor<1>> {
                let $this = self;
                $mean
            }

            fn running_var(&self) -> Tensor<1> {
                self.running_var.value_sync()
            }

            fn prefix(field: &Representation) -> String {
                $prefix(field)
            }
        }
    };
}

fn by_name(field: &Representation) -> String {
    format!("{}_", field.name())
}

batch_norm!(
    InnerBatchNorm,
    InnerBatchNormConfig,
    |field: &Representation| format!("batch_norm_[{}].", field.size()),
    |this| Some(&mut this.beta),
    Some(this.running_mean.value_sync())
);
batch_norm!(
    NormBatchNorm,
    NormBatchNormConfig,
    |field: &Representation| format!("{}_", field.size()),
    |this| {
        let _ = this;
        None
    },
    {
        let _ = this;
        None
    }
);
batch_norm!(
    IidBatchNorm,
    IidBatchNormConfig,
    by_name,
    |this| Some(&mut this.beta),
    this.running_mean.as_ref().map(|m| m.value_sync())
);
batch_norm!(
    GNormBatchNorm,
    GNormBatchNormConfig,
    by_name,
    |this| Some(&mut this.beta),
    this.running_mean.as_ref().map(|m| m.value_sync())
);

/// escnn keeps the numbers of fields of one size or name together; ours are in the order of the fields.
struct Stored<'a> {
    tensors: &'a Tensors,
    case: &'a str,
    field_type: &'a FieldType,
}

impl Stored<'_> {
    fn array(&self, name: &str) -> Array {
        self.tensors.tensor(&format!("{}/{name}", self.case))
    }

    /// The numbers called `<when><prefix><what>` in the order of the fields.
    fn in_field_order<B: BatchNorm>(&self, when: &str, what: &str) -> Vec<f64> {
        let fields = self.field_type.fields();
        let mut found = Vec::new();
        for (i, field) in fields.iter().enumerate() {
            let prefix = B::prefix(field);
            let earlier = fields[..i].iter().filter(|f| B::prefix(f) == prefix).count();
            let count = fields.iter().filter(|f| B::prefix(f) == prefix).count();
            if let Some(array) = self.tensors.get(&format!("{}/{when}{prefix}{what}", self.case)) {
                let each = array.values.len() / count;
                found.extend_from_slice(&array.values[earlier * each..(earlier + 1) * each]);
            }
        }
        found
    }

    fn check(&self, name: &str, expected: &[f64], actual: &[f64]) {
        let expected = Array { shape: vec![expected.len()], values: expected.to_vec() };
        let error = expected.relative_error(actual);
        assert!(error < GOLDEN, "{} {name}: relative error {error:e}", self.case);
    }

    fn check_running<B: BatchNorm>(&self, when: &str, layer: &B) {
        let variance = self.in_field_order::<B>(when, "running_var");
        assert!(!variance.is_empty(), "{} has no {when}running_var", self.case);
        self.check(&format!("{when}running_var"), &variance, &values(layer.running_var()));
        let mean = self.in_field_order::<B>(when, "running_mean");
        let Some(ours) = layer.running_mean() else { return assert!(mean.is_empty()) };
        let mut ours = values(ours);
        if mean.len() != ours.len() {
            // escnn's IID batch norm keeps the mean of every channel, ours its coefficients along the trivial irreps.
            let (mut next, mut channels) = (0, Vec::new());
            for field in self.field_type.fields() {
                let invariants = field.invariants();
                let count = invariants.ncols();
                if count > 0 {
                    let coefficients = nalgebra::DVector::from_column_slice(&ours[next..next + count]);
                    channels.extend_from_slice((invariants * coefficients).as_slice());
                }
                next += count;
            }
            ours = channels;
        }
        if mean.iter().all(|m| *m == 0.0) {
            assert_eq!(mean, ours, "{} {when}running_mean", self.case);
        } else {
            self.check(&format!("{when}running_mean"), &mean, &ours);
        }
    }

    fn layer<B: BatchNorm>(&self) -> B {
        let (device, dtype) = autodiff();
        let mut layer = B::build(self.field_type, 0.1, (&device, dtype)).unwrap();
        layer.set(&self.in_field_order::<B>("param.", "weight"), &self.in_field_order::<B>("param.", "bias"));
        layer
    }

    fn step<B: BatchNorm>(&self, layer: &B, step: &str, running: &str) {
        let x = tensor::<4>(&self.array(&format!("{step}input"))).require_grad();
        let y = layer.forward(x.clone());
        self.check(&format!("{step}output"), &self.array(&format!("{step}output")).values, &values(y.clone()));
        self.check_running(running, layer);
        let Some(cotangent) = self.tensors.get(&format!("{}/{step}cotangent", self.case)) else { return };
        let gradients = (y * tensor::<4>(&cotangent)).sum().backward();
        let grad_input = self.array(&format!("{step}grad_input")).values;
        self.check(&format!("{step}grad_input"), &grad_input, &values(x.grad(&gradients).unwrap()));
        let by_gamma = self.in_field_order::<B>(&format!("{step}grad."), "weight");
        self.check(&format!("{step}grad gamma"), &by_gamma, &values(layer.gamma().grad(&gradients).unwrap()));
        let by_beta = self.in_field_order::<B>(&format!("{step}grad."), "bias");
        match layer.beta() {
            Some(beta) => self.check(&format!("{step}grad beta"), &by_beta, &values(beta.grad(&gradients).unwrap())),
            None => assert!(by_beta.is_empty()),
        }
    }

    fn evaluate<B: BatchNorm>(&self, layer: &B) {
        let x = tensor::<4>(&self.array("eval.input")).without_autodiff();
        let y = layer.valid().forward(x);
        self.check("eval.output", &self.array("eval.output").values, &values(y));
    }

    /// Two training steps and an evaluation; the files name their steps differently.
    fn compare<B: BatchNorm>(&self) {
        let layer: B = self.layer();
        if self.tensors.get(&format!("{}/step1.input", self.case)).is_some() {
            self.step(&layer, "step1.", "step1.");
            self.step(&layer, "step2.", "step2.");
        } else {
            self.check_running("state0.", &layer);
            self.step(&layer, "train0.", "state1.");
            self.step(&layer, "train1.", "state2.");
        }
        self.evaluate(&layer);
    }
}

/// `"kernel_size=3"` and `"'kernel_size': 3"` are both 3.
fn argument(call: &str, name: &str) -> Option<f64> {
    let rest = &call[call.find(name)? + name.len()..];
    let number = rest.trim_start_matches(['\'', ':', '=', ' ']);
    number[..number.find([',', ')', '}']).unwrap()].parse().ok()
}

/// The group, the fields and the call of a case in either manifest.
fn read(case: &Value) -> (String, Group, FieldType, String) {
    let call = case["call"].as_str().unwrap();
    let (group, call, fields) = match call.split_once("; ") {
        None => {
            let fields: Vec<String> = golden::strings(&case["in_fields"]);
            (golden::group(case["group"].as_str().unwrap()), call, fields)
        }
        Some((space, call)) => {
            let n = argument(space, "N").unwrap() as i64;
            assert!(space.starts_with("gspaces.rot2dOnR2"), "{space}");
            let group = if n < 0 { Group::SO2 } else { Group::Cyclic(n as u32) };
            let names = case["in_fields"].as_array().unwrap().iter().map(|f| f["name"].as_str().unwrap().to_owned());
            (group, call, names.map(|n| n.replace("irrep_", "irr:")).collect())
        }
    };
    let field_type = FieldType::new(fields.iter().map(|f| golden::field(group, f)).collect()).unwrap();
    let id = case.get("case").or(case.get("id")).unwrap().as_str().unwrap();
    (id.to_owned(), group, field_type, call.to_owned())
}

/// A layer without parameters, by escnn's call.
fn pooling(call: &str, field_type: &FieldType, options: (&Device, DType)) -> Box<dyn FieldMap> {
    let name = call.split('(').next().unwrap().trim_end_matches("2D");
    let number = |name: &str| argument(call, name).map(|n| n as usize);
    macro_rules! window {
        ($config:expr) => {{
            let mut config = $config;
            if let Some(stride) = number("stride") {
                config = config.with_stride(stride);
            }
            if let Some(padding) = number("padding") {
                config = config.with_padding(padding);
            }
            config
        }};
    }
    let kernel = || number("kernel_size").unwrap();
    match name {
        "GroupPooling" => Box::new(GroupPooling::new(field_type).unwrap()),
        "NormPool" => Box::new(NormPool::new(field_type)),
        "PointwiseMaxPool" => Box::new(window!(PointwiseMaxPoolConfig::new(field_type, kernel())).init().unwrap()),
        "PointwiseAvgPool" => Box::new(window!(PointwiseAvgPoolConfig::new(field_type, kernel())).init().unwrap()),
        "NormMaxPool" => Box::new(window!(NormMaxPoolConfig::new(field_type, kernel())).init().unwrap()),
        "PointwiseMaxPoolAntialiased" => {
            Box::new(window!(PointwiseMaxPoolAntialiasedConfig::new(field_type, kernel())).init(options).unwrap())
        }
        "PointwiseAvgPoolAntialiased" => {
            let (sigma, stride) = (argument(call, "sigma").unwrap(), number("stride").unwrap());
            let mut config = PointwiseAvgPoolAntialiasedConfig::new(field_type, sigma, stride);
            if let Some(padding) = number("padding") {
                config = config.with_padding(padding);
            }
            Box::new(config.init(options).unwrap())
        }
        "PointwiseAdaptiveAvgPool" => {
            let size = argument(call, "in_type,").unwrap() as usize;
            Box::new(PointwiseAdaptiveAvgPool::new(field_type, size).unwrap())
        }
        other => panic!("no layer for {other}"),
    }
}

fn compare_all(manifest: &str, file: &str, wanted: impl Fn(&Value) -> bool) -> [usize; 2] {
    let tensors = Tensors::open(file);
    let ours = |c: &Value| wanted(c) && ["BatchNorm", "Pool"].iter().any(|n| c["call"].as_str().unwrap().contains(n));
    let (device, dtype) = autodiff();
    let mut compared = [0, 0];
    for case in golden::cases(manifest, ours) {
        let (id, _, field_type, call) = read(&case);
        let stored = Stored { tensors: &tensors, case: &id, field_type: &field_type };
        if call.contains("BatchNorm") {
            match call.split('(').next().unwrap() {
                "InnerBatchNorm" => stored.compare::<InnerBatchNorm>(),
                "NormBatchNorm" => stored.compare::<NormBatchNorm>(),
                "IIDBatchNorm2d" => stored.compare::<IidBatchNorm>(),
                "GNormBatchNorm" => stored.compare::<GNormBatchNorm>(),
                other => panic!("no layer for {other}"),
            }
            compared[0] += 1;
            continue;
        }
        let layer = pooling(&call, &field_type, (&device, dtype));
        let x = tensor::<4>(&stored.array("input")).require_grad();
        let y = layer.forward(x.clone());
        let expected = stored.array("output");
        assert_eq!(y.dims().to_vec(), expected.shape, "{id}");
        assert_eq!(layer.output_type().size(), expected.shape[1], "{id}");
        stored.check("output", &expected.values, &values(y.clone()));
        if let Some(cotangent) = tensors.get(&format!("{id}/cotangent")) {
            let gradients = (y * tensor::<4>(&cotangent)).sum().backward();
            stored.check("grad_input", &stored.array("grad_input").values, &values(x.grad(&gradients).unwrap()));
        }
        compared[1] += 1;
    }
    compared
}

#[test]
fn layers_equal_escnn() {
    let compared =
        compare_all("escnn/manifest.json", "escnn/layers.safetensors", |c| c["file"] == "layers.safetensors");
    assert_eq!(compared, [5, 10]);
}

#[test]
fn gradients_equal_escnn() {
    let compared = compare_all("escnn_gradients/modules.json", "escnn_gradients/modules.safetensors", |_| true);
    assert_eq!(compared, [4, 10]);
}

/// Permuted fields of mixed sizes, equal ones not adjacent.
fn permuted(group: Group) -> FieldType {
    let trivial = Representation::trivial(group);
    let Ok(regular) = Representation::regular(group) else { return FieldType::repeat(3, &trivial) };
    let half = Subgroup::new(group, C2).map(|s| Representation::quotient(&s).unwrap());
    FieldType::new(vec![
        regular.clone(),
        trivial,
        regular.clone(),
        regular,
        half.unwrap_or(Representation::trivial(group)),
    ])
    .unwrap()
}

/// Fields of mixed sizes with irreps, a sum of irreps in another basis, and equal ones not adjacent.
fn orthogonal(group: Group, with_trivial: bool) -> Option<FieldType> {
    let irreps = Irrep::all(group, 2);
    let mut fields: Vec<Representation> = irreps
        .iter()
        .filter(|i| with_trivial || !i.is_trivial())
        .map(|&i| Representation::irrep(group, i).unwrap())
        .collect();
    fields.extend_from_within(..);
    if with_trivial {
        let dense = match group.order() {
            Some(_) => Representation::regular(group).unwrap(),
            None if group == Group::SO2 => Representation::spectral(group, 2).unwrap(),
            None => Representation::direct_sum(&fields[..2]).unwrap(),
        };
        fields.insert(1, dense);
    }
    FieldType::new(fields).ok()
}

/// Checks that the input, eval mode and training mode are equivariant, with other numbers than the initial ones.
fn check_batch_norm<B: BatchNorm>(field_type: &FieldType, setting: &Setting) {
    let group = field_type.group();
    // With momentum 1 the running variance is that of the batch, also where it normalises in training.
    let mut layer = B::build(field_type, 1.0, (&setting.device, setting.dtype)).unwrap();
    let ramp = |n: usize, from: f64| (0..n).map(|i| from + 0.3 * i as f64).collect::<Vec<f64>>();
    let betas = layer.beta().map_or(0, |b| b.dims()[0]);
    layer.set(&ramp(layer.gamma().dims()[0], 0.5), &ramp(betas, -1.0));
    // Not the seed of the cotangent: the gradient along the normalised input itself is zero.
    let x = probe(&layer, [2, 9, 9], 21) * 3.0 + 1.0;
    let in_training = match group.grid_symmetries().len() {
        1 => fibres(&layer, group, x.clone().autodiff()),
        _ => gradients(&layer, group, x.clone()),
    };
    in_training.assert_exact(&format!("{} {layer} in training", setting.name), setting.tolerance);
    let moved = values(layer.running_var());
    assert!(moved.iter().all(|v| (v - 1.0).abs() > 0.1), "training left the running variance at {moved:?}");
    assert_layer(&layer, group, setting.tolerance, x.clone());
    assert_layer(&layer.clone().freeze(), group, setting.tolerance, x.clone());
    // One image, and not a square.
    assert_layer(&layer, group, setting.tolerance, probe(&layer, [1, 5, 8], 2));
}

#[test]
fn batch_norms_are_equivariant() {
    let (mut checked, mut varied) = (0, 0);
    for setting in settings() {
        for group in setting.groups() {
            varied += usize::from(group != C1);
            check_batch_norm::<InnerBatchNorm>(&permuted(group), &setting);
            check_batch_norm::<IidBatchNorm>(&permuted(group), &setting);
            let mixed = orthogonal(group, true).unwrap();
            check_batch_norm::<IidBatchNorm>(&mixed, &setting);
            check_batch_norm::<GNormBatchNorm>(&mixed, &setting);
            check_batch_norm::<GNormBatchNorm>(&FieldType::trivial(group, 2), &setting);
            if let Some(varying) = orthogonal(group, false) {
                check_batch_norm::<NormBatchNorm>(&varying, &setting);
                check_batch_norm::<GNormBatchNorm>(&varying, &setting);
                checked += 1;
            }
        }
    }
    // Every group but C1 has an irrep that is not trivial.
    assert_eq!(checked, varied);
}

#[test]
fn pooling_is_equivariant() {
    for setting in settings() {
        let options = (&setting.device, setting.dtype);
        for group in setting.groups() {
            let permuting: Vec<Box<dyn FieldMap>> = [
                "GroupPooling(in_type)",
                "NormPool(in_type)",
                "NormMaxPool(in_type, kernel_size=3, stride=2)",
                "PointwiseMaxPool(in_type, kernel_size=3, stride=2, padding=1)",
                "PointwiseMaxPoolAntialiased(in_type, kernel_size=3, stride=2)",
            ]
            .map(|call| pooling(call, &permuted(group), options))
            .into();
            let any = [
                "NormPool(in_type)",
                "NormMaxPool(in_type, kernel_size=3, stride=2, padding=1)",
                "NormMaxPool(in_type, kernel_size=2, stride=1)",
                "PointwiseAvgPool(in_type, kernel_size=3)",
                "PointwiseAvgPool(in_type, kernel_size=3, stride=2, padding=1)",
                "PointwiseAvgPoolAntialiased(in_type, sigma=0.66, stride=2)",
                "PointwiseAdaptiveAvgPool(in_type, 2)",
            ]
            .map(|call| pooling(call, &orthogonal(group, true).unwrap(), options));
            for layer in permuting.into_iter().chain(any) {
                let layer = FieldFn::new(layer.input_type(), layer.output_type(), options.0, options.1, move |x| {
                    layer.forward(x)
                });
                assert_layer(&layer, group, setting.tolerance, probe(&layer, [2, 9, 9], 0));
                assert_layer(&layer, group, setting.tolerance, probe(&layer, [1, 9, 15], 4));
            }
        }
    }
}

/// Where `check_size` refuses a size, the pooling is measurably not equivariant, and the sizes it proposes are.
#[test]
fn check_size_is_the_truth() {
    let device = Device::flex();
    let options = (&device, DType::F64);
    let (mut centred, mut off) = (0, 0);
    for group in [C1, C2, C4, D1, D4] {
        let field_type = FieldType::regular(group, 1).unwrap();
        let max = |k, s, p| PointwiseMaxPoolConfig::new(&field_type, k).with_stride(s).with_padding(p).init().unwrap();
        let antialiased = |k, s, p| {
            let config = PointwiseMaxPoolAntialiasedConfig::new(&field_type, k).with_stride(s).with_padding(p);
            config.init(options).unwrap()
        };
        let blur = PointwiseAvgPoolAntialiasedConfig::new(&field_type, 0.66, 2);
        let blurs = [blur.clone().init(options).unwrap(), blur.with_padding(1).init(options).unwrap()];
        for size in [[8, 8], [9, 9], [8, 9], [9, 8], [10, 7]] {
            let mut compare = |verdict: Result<()>, forward: &dyn Fn(Tensor<4>) -> Tensor<4>| {
                let map = FieldFn::new(field_type.clone(), field_type.clone(), &device, DType::F64, forward);
                let error = outputs(&map, group, probe(&map, [1, size[0], size[1]], 3)).exact_error();
                match verdict {
                    Ok(()) => assert!(error < 1e-12, "{group} {size:?}: {error:e}, and nothing was said"),
                    Err(message) => assert!(error > 1e-3, "{message}, but the error is only {error:e}"),
                }
                *(if error < 1e-12 { &mut centred } else { &mut off }) += 1;
            };
            for window in [(2, 2, 0), (3, 2, 0), (3, 2, 1), (3, 3, 1), (2, 2, 1)] {
                let pool = max(window.0, window.1, window.2);
                compare(pool.check_size(size[0], size[1]), &|x| pool.forward(x));
                let pool = antialiased(window.0, window.1, window.2);
                compare(pool.check_size(size[0], size[1]), &|x| pool.forward(x));
            }
            for pool in &blurs {
                compare(pool.check_size(size[0], size[1]), &|x| pool.forward(x));
            }
        }
    }
    assert!(centred > 50 && off > 50, "{centred} centred and {off} off centre are too few to tell");
}

/// In a field that is not written in its irreps, GNormBatchNorm is the one of its irreps between two changes of basis.
#[test]
fn gnorm_batch_norm_works_in_the_basis_of_the_irreps() {
    let (device, dtype) = autodiff();
    for group in [C8, D4, Group::Dihedral(3)] {
        let regular = Representation::regular(group).unwrap();
        let irreps: Vec<_> = regular.irreps().iter().map(|&i| Representation::irrep(group, i).unwrap()).collect();
        let (whole, parts) = (FieldType::repeat(1, &regular), FieldType::new(irreps).unwrap());
        let mut inside = GNormBatchNorm::build(&whole, 0.1, (&device, dtype)).unwrap();
        let mut plain = GNormBatchNorm::build(&parts, 0.1, (&device, dtype)).unwrap();
        let gamma: Vec<f64> = (0..parts.len()).map(|i| 0.5 + i as f64).collect();
        inside.set(&gamma, &[0.7]);
        plain.set(&gamma, &[0.7]);
        let size = regular.size();
        let q = vector(regular.change_of_basis().transpose().as_slice(), &device, dtype).reshape([1, size, size]);
        let mix = |m: Tensor<3>, x: Tensor<4>| {
            let [b, c, h, w] = x.dims();
            m.matmul(x.reshape([b, c, h * w])).reshape([b, c, h, w])
        };
        let x = probe(&inside, [3, 4, 5], 7) + 0.5;
        for training in [true, true, false] {
            let run = |layer: &GNormBatchNorm, x: Tensor<4>| match training {
                true => layer.forward(x),
                false => Tensor::from_inner(layer.valid().forward(x.without_autodiff())),
            };
            let y = run(&inside, x.clone());
            let expected = mix(q.clone(), run(&plain, mix(q.clone().transpose(), x.clone())));
            let error = values((y - expected).abs().max())[0];
            assert!(error < 1e-12, "{group}, training {training}: {error:e}");
        }
        assert!((values(inside.running_mean().unwrap())[0]).abs() > 0.1, "the mean was not learned");
    }
}

/// Gradients of the scales, shifts and (where they flow through the statistics) of the input, by central differences.
#[test]
fn gradients_are_the_differences() {
    let (device, dtype) = autodiff();
    fn check<B: BatchNorm>(field_type: &FieldType, with_input: bool, device: &Device, dtype: DType) {
        let loss = |gamma: &[f64], beta: &[f64], x: &[f64]| {
            let mut layer = B::build(field_type, 0.1, (device, dtype)).unwrap();
            layer.set(gamma, beta);
            let shape = [2, field_type.size(), 2, 3];
            let x = vector(x, device, dtype).reshape(shape).require_grad();
            let cotangent = probe(&layer, [2, 2, 3], 11);
            ((layer.forward(x.clone()) * cotangent).sum(), layer, x)
        };
        let base = B::build(field_type, 0.1, (device, dtype)).unwrap();
        let gamma: Vec<f64> = (0..base.gamma().dims()[0]).map(|i| 0.6 + 0.3 * i as f64).collect();
        let beta: Vec<f64> = (0..base.beta().map_or(0, |b| b.dims()[0])).map(|i| 0.2 - 0.4 * i as f64).collect();
        let x = values(probe(&base, [2, 2, 3], 12));
        let (value, layer, input) = loss(&gamma, &beta, &x);
        let gradients = value.backward();
        let compare = |what: &str, gradient: Vec<f64>, at: &[f64], f: &dyn Fn(&[f64]) -> f64| {
            for i in 0..at.len() {
                let step = |sign: f64| {
                    let mut moved = at.to_vec();
                    moved[i] += sign * 1e-5;
                    f(&moved)
                };
                let difference = (step(1.0) - step(-1.0)) / 2e-5;
                // Central differences err by step^2 times third derivatives, and by rounding over the step.
                assert!((difference - gradient[i]).abs() < 1e-7, "{what} {i}: {} and {difference}", gradient[i]);
            }
        };
        let number = |gamma: &[f64], beta: &[f64], x: &[f64]| values(loss(gamma, beta, x).0)[0];
        compare("gamma", values(layer.gamma().grad(&gradients).unwrap()), &gamma, &|g| number(g, &beta, &x));
        if let Some(b) = layer.beta() {
            compare("beta", values(b.grad(&gradients).unwrap()), &beta, &|b| number(&gamma, b, &x));
        }
        if with_input {
            compare("input", values(input.grad(&gradients).unwrap()), &x, &|x| number(&gamma, &beta, x));
        }
    }
    check::<InnerBatchNorm>(&permuted(C4), true, &device, dtype);
    check::<InnerBatchNorm>(&FieldType::regular(C4, 2).unwrap(), true, &device, dtype);
    check::<IidBatchNorm>(&orthogonal(D4, true).unwrap(), false, &device, dtype);
    check::<GNormBatchNorm>(&orthogonal(D4, true).unwrap(), false, &device, dtype);
    check::<NormBatchNorm>(&orthogonal(D4, false).unwrap(), false, &device, dtype);
}

#[test]
fn folded_scale_and_shift_are_the_layer_outside_of_training() {
    let (device, dtype) = autodiff();
    let mut layer = InnerBatchNorm::build(&permuted(C4), 0.3, (&device, dtype)).unwrap();
    layer.set(&[0.5, 1.5, -2.0, 3.0, 0.7], &[1.0, 2.0, 3.0, -4.0, 5.0]);
    let x = probe(&layer, [3, 4, 5], 1) * 2.0 + 1.0;
    layer.forward(x.clone());
    let x = x.without_autodiff();
    let (scale, shift) = layer.valid().folded();
    let channels = layer.input_type().size();
    assert_eq!((scale.dims(), shift.dims()), ([channels], [channels]));
    // Against the definition, field by field.
    let (mean, variance) = (values(layer.running_mean().unwrap()), values(layer.running_var()));
    let y = values(layer.valid().forward(x.clone()));
    let x = values(x);
    let (gamma, beta) = (values(layer.gamma()), values(layer.beta().unwrap()));
    let field_of: Vec<usize> =
        layer.input_type().fields().iter().enumerate().flat_map(|(i, f)| vec![i; f.size()]).collect();
    let (scale, shift) = (values(scale), values(shift));
    for (i, (x, y)) in x.iter().zip(&y).enumerate() {
        let channel = i / 20 % channels;
        let f = field_of[channel];
        let expected = (x - mean[f]) / (variance[f] + 1e-5).sqrt() * gamma[f] + beta[f];
        assert!((expected - y).abs() < 1e-12 && (scale[channel] * x + shift[channel] - y).abs() < 1e-12);
    }
}

/// A batch of one image of one pixel has no variance: outputs and gradients stay finite.
#[test]
fn one_number_has_no_variance() {
    let (device, dtype) = autodiff();
    fn check<B: BatchNorm>(field_type: FieldType, device: &Device, dtype: DType) {
        let layer = B::build(&field_type, 0.1, (device, dtype)).unwrap();
        for x in [probe(&layer, [1, 1, 1], 0), Tensor::zeros([2, field_type.size(), 3, 3], (device, dtype))] {
            let x = x.require_grad();
            let y = layer.forward(x.clone());
            let gradient = x.grad(&y.clone().sum().backward()).unwrap();
            assert!(values(y).iter().chain(&values(gradient)).all(|v| v.is_finite()));
            assert!(values(layer.running_var()).iter().all(|v| v.is_finite() && *v >= 0.0));
        }
    }
    check::<InnerBatchNorm>(FieldType::trivial(C4, 2), &device, dtype);
    check::<IidBatchNorm>(permuted(C4), &device, dtype);
    check::<GNormBatchNorm>(permuted(C4), &device, dtype);
    check::<NormBatchNorm>(orthogonal(C4, false).unwrap(), &device, dtype);
}

/// Outputs, gradients and running statistics, with and without an activation that takes no pass of its own; and outside of training.
#[test]
fn normalising_and_activating_at_once_is_one_after_the_other() {
    let (device, dtype) = autodiff();
    let field_type = permuted(C4);
    let fields = field_type.len();
    for function in [Nonlinearity::Elu(0.7), Nonlinearity::Relu] {
        let activation = Pointwise::new(&field_type, function).unwrap();
        let [together, apart] = [true, false].map(|together| {
            let mut layer = InnerBatchNorm::build(&field_type, 0.1, (&device, dtype)).unwrap();
            let number = |i: usize, from: f64| from + 0.3 * (i as f64).sin();
            layer.set(
                &(0..fields).map(|i| number(i, 1.0)).collect::<Vec<_>>(),
                &(0..fields).map(|i| number(i, 0.1)).collect::<Vec<_>>(),
            );
            let activated = |layer: &InnerBatchNorm, x: Tensor<4>| {
                if together { layer.forward_activated(x, &activation) } else { activation.forward(layer.forward(x)) }
            };
            let x = (probe(&layer, [2, 4, 5], 5) * 2.0 + 0.5).require_grad();
            let y = activated(&layer, x.clone());
            let gradients = (y.clone() * y.clone()).sum().backward();
            let of = |parameter: Tensor<1>| values(parameter.grad(&gradients).unwrap());
            let mut all =
                vec![values(y), values(x.grad(&gradients).unwrap()), of(layer.gamma()), of(layer.beta().unwrap())];
            all.extend([layer.running_mean().unwrap(), layer.running_var()].map(values));
            let valid = layer.valid();
            all.push(values(activated(&valid, probe(&valid, [2, 4, 5], 6))));
            all
        });
        for (which, (a, b)) in together.iter().zip(&apart).enumerate() {
            assert_eq!(a.len(), b.len());
            // The same numbers; those of an ELU after a batch norm are rounded once less.
            let close = a.iter().zip(b).all(|(a, b)| (a - b).abs() <= 1e-13 * (1.0 + b.abs()));
            assert!(close, "{which} with {function:?}");
        }
    }
}

#[test]
fn running_statistics_are_recorded_and_a_frozen_layer_leaves_them() {
    let (device, dtype) = autodiff();
    fn check<B: BatchNorm>(field_type: FieldType, device: &Device, dtype: DType) {
        let layer = B::build(&field_type, 0.1, (device, dtype)).unwrap();
        let x = probe(&layer, [2, 4, 4], 5) * 2.0 + 3.0;
        layer.forward(x.clone());
        let (mean, variance) = (layer.running_mean().map(values), values(layer.running_var()));
        assert!(variance.iter().all(|v| *v != 1.0) && mean.iter().flatten().all(|m| *m != 0.0));
        let bytes = layer.valid().into_record().into_bytes().unwrap();
        let fresh = B::build(&field_type, 0.1, (device, dtype)).unwrap().valid();
        let restored = fresh.load_record(ModuleRecord::from_bytes(bytes).unwrap());
        assert_eq!(
            (restored.running_mean().map(values), values(restored.running_var())),
            (mean.clone(), variance.clone())
        );
        let inner = x.clone().without_autodiff();
        assert_eq!(values(restored.forward(inner.clone())), values(layer.valid().forward(inner.clone())));

        let frozen = layer.clone().freeze();
        assert_eq!(values(frozen.forward(x)), values(layer.valid().forward(inner)));
        assert_eq!(values(frozen.running_var()), variance);
    }
    check::<InnerBatchNorm>(permuted(C4), &device, dtype);
    check::<IidBatchNorm>(orthogonal(C4, true).unwrap(), &device, dtype);
    check::<GNormBatchNorm>(orthogonal(C4, true).unwrap(), &device, dtype);
    check::<NormBatchNorm>(orthogonal(C4, false).unwrap(), &device, dtype);
}

#[test]
fn without_affine_there_is_nothing_to_learn() {
    let (device, dtype) = autodiff();
    let field_type = permuted(C4);
    let x = probe(&InnerBatchNorm::build(&field_type, 0.1, (&device, dtype)).unwrap(), [2, 3, 2], 9);
    macro_rules! check {
        ($config:ident, $field_type:expr) => {{
            let fixed = $config::new(&$field_type).with_affine(false).init((&device, dtype)).unwrap();
            let learned = $config::new(&$field_type).init((&device, dtype)).unwrap();
            assert!(fixed.gamma.is_none());
            let error = values((fixed.forward(x.clone()) - learned.forward(x.clone())).abs().max())[0];
            assert!(error < 1e-12, "{error:e}");
        }};
    }
    check!(InnerBatchNormConfig, field_type);
    check!(IidBatchNormConfig, field_type);
    check!(GNormBatchNormConfig, field_type);
}

#[test]
fn the_norm_of_a_zero_vector_has_a_zero_gradient() {
    for setting in settings() {
        let field_type = orthogonal(D4, true).unwrap();
        let device = setting.device.clone().autodiff();
        let x = Tensor::<4>::zeros([1, field_type.size(), 2, 2], (&device, setting.dtype)).require_grad();
        let y = NormPool::new(&field_type).forward(x.clone());
        let gradient = x.grad(&y.clone().sum().backward()).unwrap();
        assert!(values(y).iter().chain(&values(gradient)).all(|v| *v == 0.0), "{}", setting.name);
    }
}

/// Windows full of equally long vectors: one of them is taken, and it alone receives the gradient.
#[test]
fn ties_of_norms_take_one_vector() {
    for setting in settings() {
        let device = setting.device.clone().autodiff();
        let vector = Representation::irrep(C4, Irrep::rotation(1)).unwrap();
        let field_type = FieldType::repeat(1, &vector);
        // (3, 4), (-4, 3), (5, 0), (0, -5) in every window of 2 x 2.
        let window = |a: [f64; 4]| [a[0], a[1], a[0], a[1], a[2], a[3], a[2], a[3]];
        let numbers = [window([3.0, -4.0, 5.0, 0.0]), window([4.0, 3.0, 0.0, -5.0])].concat();
        let x = self::vector(&numbers, &device, setting.dtype).reshape([1, 2, 2, 4]).require_grad();
        let pool = NormMaxPoolConfig::new(&field_type, 2).init().unwrap();
        let y = pool.forward(x.clone());
        assert_eq!(values(y.clone()), [3.0, 3.0, 4.0, 4.0], "{}", setting.name);
        let cotangent = self::vector(&[1.0, 2.0, 3.0, 4.0], &device, setting.dtype).reshape([1, 2, 1, 2]);
        let gradient = x.grad(&(y * cotangent.clone()).sum().backward()).unwrap();
        let expected = [1.0, 0.0, 2.0, 0.0, 0.0, 0.0, 0.0, 0.0, 3.0, 0.0, 4.0, 0.0, 0.0, 0.0, 0.0, 0.0];
        assert_eq!(values(gradient), expected, "{}", setting.name);
        // Overlapping windows share a winner: its gradients add up.
        let pool = NormMaxPoolConfig::new(&field_type, 2).with_stride(1).init().unwrap();
        let peak = [0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 2.0, 0.0, 0.0, 0.0, 0.0];
        let x = self::vector(&peak, &device, setting.dtype).reshape([1, 2, 2, 3]).require_grad();
        let gradient = x.grad(&pool.forward(x.clone()).sum().backward()).unwrap();
        let expected = peak.map(|v| if v > 0.0 { 2.0 } else { 0.0 });
        assert_eq!(values(gradient), expected, "{}", setting.name);
    }
}

#[test]
fn the_exported_blur_is_the_blur() {
    let device = Device::flex();
    let pool = PointwiseAvgPoolAntialiasedConfig::new(&permuted(C4), 0.66, 2).init(&device).unwrap();
    let x = probe(&pool, [2, 9, 7], 0);
    assert_eq!(values(pool.export().forward(x.clone())), values(pool.forward(x)));
}

#[test]
fn what_cannot_be_equivariant_is_refused_with_a_cure() {
    let device = Device::flex();
    let vector = FieldType::repeat(2, &Representation::irrep(Group::SO2, Irrep::rotation(1)).unwrap());
    let refused = |result: Result<()>, cure: &str| match result {
        Err(error @ LayerError::Unsupported(_)) => {
            let message = error.to_string();
            assert!(message.contains("SO(2)") && message.contains(cure), "{message}");
        }
        other => panic!("{other:?}"),
    };
    refused(InnerBatchNormConfig::new(&vector).init(&device).map(drop), "IidBatchNorm");
    refused(PointwiseMaxPoolConfig::new(&vector, 2).init().map(drop), "NormMaxPool");
    refused(PointwiseMaxPoolAntialiasedConfig::new(&vector, 2).init(&device).map(drop), "NormMaxPool");
    refused(GroupPooling::new(&vector).map(drop), "use NormPool");
    refused(NormBatchNormConfig::new(&orthogonal(Group::SO2, true).unwrap()).init(&device).map(drop), "IidBatchNorm");

    let message = InnerBatchNormConfig::new(&vector).init(&device).unwrap_err().to_string();
    assert_eq!(
        message,
        "InnerBatchNorm averages over the channels of a field, which does not commute with irrep_1 of SO(2), whose channels \
         are mixed and not permuted: use IidBatchNorm or GNormBatchNorm, or NormBatchNorm where no irrep is trivial"
    );
}

#[test]
fn numbers_that_make_no_sense_are_refused() {
    let device = Device::flex();
    let field_type = FieldType::regular(C4, 1).unwrap();
    let invalid = |result: Result<()>, what: &str| match result {
        Err(LayerError::InvalidConfig(message)) => assert!(message.contains(what), "{message}"),
        other => panic!("{other:?}"),
    };
    macro_rules! batch_norms {
        ($($config:ident on $field_type:expr),*) => {$(
            for momentum in [-0.1, 1.1, f64::NAN] {
                invalid($config::new(&$field_type).with_momentum(momentum).init(&device).map(drop), "momentum");
            }
            for epsilon in [0.0, -1.0, f64::NAN, f64::INFINITY] {
                invalid($config::new(&$field_type).with_epsilon(epsilon).init(&device).map(drop), "epsilon");
            }
        )*};
    }
    let varying = orthogonal(C4, false).unwrap();
    batch_norms!(
        InnerBatchNormConfig on field_type, IidBatchNormConfig on field_type, GNormBatchNormConfig on field_type,
        NormBatchNormConfig on varying
    );
    macro_rules! windows {
        ($($config:ident $(with $options:expr)?),*) => {$(
            invalid($config::new(&field_type, 0).init($($options)?).map(drop), "at least 1");
            invalid($config::new(&field_type, 2).with_stride(0).init($($options)?).map(drop), "at least 1");
            invalid($config::new(&field_type, 3).with_padding(2).init($($options)?).map(drop), "use at most 1");
        )*};
    }
    windows!(PointwiseMaxPoolConfig, PointwiseAvgPoolConfig, NormMaxPoolConfig, PointwiseMaxPoolAntialiasedConfig with &device);
    for sigma in [0.0, -1.0, f64::NAN] {
        invalid(PointwiseAvgPoolAntialiasedConfig::new(&field_type, sigma, 2).init(&device).map(drop), "sigma");
        let config = PointwiseMaxPoolAntialiasedConfig::new(&field_type, 2).with_sigma(sigma);
        invalid(config.init(&device).map(drop), "sigma");
    }
    invalid(PointwiseAvgPoolAntialiasedConfig::new(&field_type, 0.6, 0).init(&device).map(drop), "at least 1");
    invalid(PointwiseAdaptiveAvgPool::new(&field_type, 0).map(drop), "at least 1 pixel");
    let pool = PointwiseMaxPoolConfig::new(&field_type, 3).init().unwrap();
    invalid(pool.check_size(2, 5), "does not fit");
}

#[test]
fn off_centre_windows_name_the_sizes_that_would_do() {
    let device = Device::flex();
    let field_type = FieldType::regular(C4, 1).unwrap();
    let max = PointwiseMaxPoolConfig::new(&field_type, 2).init().unwrap();
    assert_eq!(
        max.check_size(29, 29).unwrap_err().to_string(),
        "PointwiseMaxPool(kernel 2, stride 2) on 29 x 29 breaks C4: the sampled grid is off centre; use size 28 or 30, or \
         reduce with PointwiseAvgPoolAntialiased(stride 2)"
    );
    let blur = PointwiseAvgPoolAntialiasedConfig::new(&field_type, 0.66, 2).init(&device).unwrap();
    assert!(blur.check_size(29, 29).is_ok());
    assert_eq!(
        blur.check_size(28, 28).unwrap_err().to_string(),
        "PointwiseAvgPoolAntialiased(sigma 0.66, stride 2) on 28 x 28 breaks C4: the sampled grid is off centre; use size \
         27 or 29"
    );
}

#[test]
fn layers_print_as_notation() {
    let device = Device::flex();
    let field_type = FieldType::regular(C8, 8).unwrap();
    let max = PointwiseMaxPoolConfig::new(&field_type, 3).with_stride(2).with_padding(1).init().unwrap();
    let prints = [
        (InnerBatchNormConfig::new(&field_type).init(&device).unwrap().to_string(), "InnerBatchNorm(8 x regular[C8])"),
        (GroupPooling::new(&field_type).unwrap().to_string(), "GroupPooling(8 x regular[C8])"),
        (max.to_string(), "PointwiseMaxPool(8 x regular[C8], kernel 3, stride 2, padding 1)"),
        (
            PointwiseAvgPoolAntialiasedConfig::new(&field_type, 0.66, 2).init(&device).unwrap().to_string(),
            "PointwiseAvgPoolAntialiased(8 x regular[C8], sigma 0.66, stride 2)",
        ),
    ];
    for (printed, expected) in prints {
        assert!(printed.starts_with(expected), "{printed}");
    }
}

#[test]
#[should_panic(expected = "GroupPooling: the input has 3 channels, but 1 x regular[C4] has 4")]
fn wrong_channels_panic_with_both_numbers() {
    let pool = GroupPooling::new(&FieldType::regular(C4, 1).unwrap()).unwrap();
    pool.forward(Tensor::zeros([1, 3, 5, 5], &Device::flex()));
}
