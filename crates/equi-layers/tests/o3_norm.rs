//! Norms and batch normalisation of irreps: against e3nn, for equivariance, and what they keep of what they saw.

#![cfg(feature = "flex")]

#[path = "common/devices.rs"]
mod devices;
#[path = "../../../tests/golden/mod.rs"]
mod golden;
#[path = "common/irreps.rs"]
mod rows;

use burn::module::{Module, Param};
use burn::store::ModuleRecord;
use burn::tensor::{DType, Device, Tensor};
use devices::settings;
use equi_core::assert_point_equivariant;
use equi_core::o3::Normalization;
use equi_layers::o3::{IrrepsBatchNorm, IrrepsBatchNormConfig, IrrepsNorm, Reduction};
use golden::Tensors;
use rows::{assert_close, host, irreps, noise, row_map, tensor};

/// e3nn computed in f64; what differs is the order of additions.
const TOLERANCE: f64 = 1e-12;

const F64: DType = DType::F64;

#[test]
fn norm_agrees_with_e3nn() {
    let tensors = Tensors::open("e3nn/norm.safetensors");
    let device = Device::flex().autodiff();
    let norm = IrrepsNorm::new(&irreps("3x0e+2x1o+1x2e")).unwrap();
    assert_eq!(norm.irreps_out().to_string(), "6x0e");
    let x = tensor::<2>(&tensors.tensor("x").values, [4, 14], &device, F64).require_grad();
    let y = norm.forward(x.clone());
    assert_close("norm", &tensors.tensor("y").values, &host(&y), TOLERANCE);
    let cotangent = tensor::<2>(&tensors.tensor("cotangent").values, [4, 6], &device, F64);
    let gradients = (y * cotangent).sum().backward();
    assert_close("gradient", &tensors.tensor("grad.x").values, &host(&x.grad(&gradients).unwrap()), TOLERANCE);
}

#[test]
fn the_norm_of_zero_is_zero_with_gradient_zero() {
    let device = Device::flex().autodiff();
    let norm = IrrepsNorm::new(&irreps("1x0o+2x1o")).unwrap();
    let x = Tensor::<2>::zeros([2, 7], &device).require_grad();
    let y = norm.forward(x.clone());
    assert!(host(&y).iter().all(|&value| value == 0.0));
    let gradients = y.sum().backward();
    assert!(host(&x.grad(&gradients).unwrap()).iter().all(|&value| value == 0.0));
}

/// Three batches in training and one in evaluation, with the running statistics after each.
fn assert_golden<const D: usize>(file: &str, config: &IrrepsBatchNormConfig) {
    let tensors = Tensors::open(&format!("e3nn/{file}.safetensors"));
    let device = Device::flex().autodiff();
    let load = |name: &str| {
        let array = tensors.tensor(name);
        tensor::<D>(&array.values, array.shape.try_into().unwrap(), &device, F64)
    };
    let mut norm = config.init((&device, F64)).unwrap();
    let parameter = |name: &str| {
        let array = tensors.get(name)?;
        Some(Param::from_tensor(tensor::<1>(&array.values, [array.shape[0]], &device, F64)))
    };
    assert_eq!(norm.weight.is_some(), parameter("weight").is_some(), "{file}");
    (norm.weight, norm.bias) = (parameter("weight"), parameter("bias"));
    let close = |name: String, actual: &[f64]| {
        assert_close(&format!("{file}: {name}"), &tensors.tensor(&name).values, actual, TOLERANCE)
    };
    for step in 0..3 {
        let x = load(&format!("train{step}.x")).require_grad();
        let y = norm.forward(x.clone());
        close(format!("train{step}.y"), &host(&y));
        if let (Some(mean), Some(var)) = (&norm.running_mean, &norm.running_var) {
            close(format!("train{step}.running_mean"), &host(&mean.value_sync()));
            close(format!("train{step}.running_var"), &host(&var.value_sync()));
        }
        if step == 0 {
            let gradients = (y * load("train0.cotangent")).sum().backward();
            close("train0.grad.x".into(), &host(&x.grad(&gradients).unwrap()));
            if let Some(weight) = &norm.weight {
                close("train0.grad.weight".into(), &host(&weight.val().grad(&gradients).unwrap()));
            }
        }
    }
    let y = norm.valid().forward(load("eval.x").inner());
    close("eval.y".into(), &host(&y));
}

#[test]
fn batch_norm_agrees_with_e3nn() {
    assert_golden::<2>("batchnorm_component", &IrrepsBatchNormConfig::new(&irreps("3x0e+2x0o+2x1o+1x2e")));
    let config = IrrepsBatchNormConfig::new(&irreps("2x0e+2x1o"))
        .with_normalization(Normalization::Norm)
        .with_reduction(Reduction::Max)
        .with_momentum(0.3)
        .with_epsilon(1e-4);
    assert_golden::<3>("batchnorm_norm_max_samples", &config);
    let config = IrrepsBatchNormConfig::new(&irreps("2x0e+1x1o")).with_instance(true).with_affine(false);
    assert_golden::<3>("batchnorm_instance_noaffine", &config);
}

/// A layer that has seen three batches, with scales and shifts that are not ones and zeros.
fn experienced(config: &IrrepsBatchNormConfig, device: &Device, dtype: DType) -> IrrepsBatchNorm {
    let mut norm = config.init((&device.clone().autodiff(), dtype)).unwrap();
    let random = |count: usize, seed| {
        Param::from_tensor(noise(1, count, seed, &device.clone().autodiff(), dtype).reshape([count]))
    };
    norm.weight = norm.weight.map(|weight| random(weight.val().dims()[0], 7));
    norm.bias = norm.bias.map(|bias| random(bias.val().dims()[0], 8));
    for seed in 0..3 {
        norm.forward(noise(20, norm.irreps().dim(), seed, &device.clone().autodiff(), dtype) + 0.5);
    }
    norm
}

#[test]
fn norms_are_equivariant_in_training_and_evaluation() {
    let input = irreps("2x0e+1x0o+2x1o+1x0e+1x2e");
    for setting in settings() {
        let (device, dtype, tolerance) = (&setting.device, setting.dtype, setting.tolerance);
        let norm = IrrepsNorm::new(&input).unwrap();
        assert_point_equivariant!(row_map(&input, norm.irreps_out(), device, dtype, |x| norm.forward(x)), tolerance);
        for config in [
            IrrepsBatchNormConfig::new(&input),
            IrrepsBatchNormConfig::new(&input)
                .with_normalization(Normalization::Norm)
                .with_reduction(Reduction::Max)
                .with_affine(false),
        ] {
            let norm = experienced(&config, device, dtype);
            // Gradients are taken in training mode; a norm that forgets at once sees every probe as the first.
            let map = row_map(&input, &input, device, dtype, |x| {
                if x.is_autodiff() { norm.clone().forward(x) } else { norm.valid().forward(x) }
            });
            assert_point_equivariant!(map, 10.0 * tolerance);
        }
        let config = IrrepsBatchNormConfig::new(&input).with_instance(true);
        let norm = experienced(&config, device, dtype);
        // The nodes are the samples of one element of the batch.
        let map = row_map(&input, &input, device, dtype, |x| {
            let [rows, columns] = x.dims();
            let samples = x.clone().reshape([1, rows, columns]);
            let y = if x.is_autodiff() { norm.forward(samples) } else { norm.valid().forward(samples) };
            y.reshape([rows, columns])
        });
        assert_point_equivariant!(map, 10.0 * tolerance);
    }
}

#[test]
fn running_statistics_are_saved_and_loaded() {
    let device = Device::flex();
    let config = IrrepsBatchNormConfig::new(&irreps("2x0e+2x1o"));
    let norm = experienced(&config, &device, DType::F32).valid();
    let bytes = norm.clone().into_record().into_bytes().unwrap();
    let fresh = config.init(&device).unwrap();
    let x = noise(5, 8, 9, &device, DType::F32);
    assert_ne!(host(&fresh.forward(x.clone())), host(&norm.forward(x.clone())));
    let loaded = fresh.load_record(ModuleRecord::from_bytes(bytes).unwrap());
    assert_eq!(host(&loaded.forward(x.clone())), host(&norm.forward(x)));
}

#[test]
fn a_frozen_norm_uses_what_it_knows_and_an_empty_batch_teaches_nothing() {
    let device = Device::flex().autodiff();
    let config = IrrepsBatchNormConfig::new(&irreps("1x0e+1x1o"));
    let norm = experienced(&config, &Device::flex(), DType::F32);
    let known = host(&norm.running_var.as_ref().unwrap().value_sync());
    assert_eq!(norm.forward(Tensor::<2>::zeros([0, 4], &device)).dims(), [0, 4]);
    assert_eq!(host(&norm.running_var.as_ref().unwrap().value_sync()), known);
    let x = noise(6, 4, 11, &device, DType::F32);
    let frozen = norm.clone().freeze();
    let expected = host(&norm.valid().forward(x.clone().inner()));
    assert_close("frozen", &expected, &host(&frozen.forward(x)), 1e-6);
    assert_eq!(host(&frozen.running_var.as_ref().unwrap().value_sync()), known);
}

#[test]
fn a_constant_batch_stays_finite_with_its_gradient() {
    let device = Device::flex().autodiff();
    let norm = IrrepsBatchNormConfig::new(&irreps("2x0e+1x1o")).init(&device).unwrap();
    let x = Tensor::<2>::zeros([4, 5], &device).require_grad();
    let y = norm.forward(x.clone());
    let gradients = (y.clone() * noise(4, 5, 1, &device, DType::F32)).sum().backward();
    for value in host(&y).into_iter().chain(host(&x.grad(&gradients).unwrap())) {
        assert!(value.is_finite());
    }
}

#[test]
fn numbers_that_make_no_sense_are_refused() {
    let config = || IrrepsBatchNormConfig::new(&irreps("1x0e+1x1o"));
    let message = |config: IrrepsBatchNormConfig| config.init(&Device::flex()).unwrap_err().to_string();
    assert!(message(config().with_momentum(1.5)).contains("between 0 and 1, but it is 1.5"));
    assert!(message(config().with_epsilon(0.0)).contains("must be positive"));
    assert!(message(config().with_normalization(Normalization::Integral)).contains("use Component or Norm"));
    assert!(message(IrrepsBatchNormConfig::new(&irreps("0x1o"))).contains("no column"));
    assert!(IrrepsNorm::new(&irreps("")).unwrap_err().to_string().contains("no column"));
}
