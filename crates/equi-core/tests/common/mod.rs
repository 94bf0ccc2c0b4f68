//! The devices and precisions that operations are tested in, and numbers to test them with.

#![allow(dead_code)] // Every test uses a part of it.

use burn::tensor::{DType, Device, Tensor, TensorData};

/// A device, a precision, and the relative error that rounding causes there.
pub struct Setting {
    pub name: &'static str,
    pub device: Device,
    pub dtype: DType,
    pub tolerance: f64,
}

/// What is compiled in, with what rounding costs in f32 and f64 on flex, and in f32 on a GPU.
pub fn settings(flex: f64, exact: f64, gpu: f64) -> Vec<Setting> {
    let _ = (flex, exact, gpu);
    vec![
        #[cfg(feature = "flex")]
        Setting { name: "flex f32", device: Device::flex(), dtype: DType::F32, tolerance: flex },
        #[cfg(feature = "flex")]
        Setting { name: "flex f64", device: Device::flex(), dtype: DType::F64, tolerance: exact },
        #[cfg(feature = "wgpu")]
        Setting {
            name: "wgpu f32",
            device: Device::wgpu(burn::tensor::DeviceKind::DefaultDevice),
            dtype: DType::F32,
            tolerance: gpu,
        },
    ]
}

/// Numbers without a pattern between -4 and 4, which f32 has exactly.
pub fn numbers(count: usize, seed: u64) -> Vec<f64> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        f64::from((((state >> 11) as f64 / (1u64 << 53) as f64) * 8.0 - 4.0) as f32)
    };
    (0..count).map(|_| next()).collect()
}

pub fn upload<const D: usize>(values: &[f64], shape: [usize; D], device: &Device, dtype: DType) -> Tensor<D> {
    Tensor::from_data(TensorData::new(values.to_vec(), shape).convert_dtype(dtype), (device, dtype))
}

pub fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f64> {
    tensor.into_data().convert::<f64>().try_to_vec().unwrap()
}

/// Compares numbers, relative to the largest of those wanted where that is above one.
pub fn assert_close(what: &str, setting: &Setting, given: &[f64], wanted: &[f64]) {
    assert_eq!(given.len(), wanted.len(), "{}, {what}", setting.name);
    let largest = wanted.iter().fold(1.0_f64, |largest, x| largest.max(x.abs()));
    for (given, wanted) in given.iter().zip(wanted) {
        let error = (given - wanted).abs() / largest;
        assert!(error <= setting.tolerance, "{}, {what}: {given} where {wanted} is wanted", setting.name);
    }
}
