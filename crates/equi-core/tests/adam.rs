//! `ops::Adam` beside Burn's.

#![cfg(any(feature = "flex", feature = "wgpu"))]

use burn::optim::{AdamConfig, AdamState, Optimizer};
use burn::tensor::{DType, Device, Tensor, TensorData};
use equi_core::ops::Adam;

fn settings() -> Vec<(Device, DType, f64)> {
    vec![
        #[cfg(feature = "flex")]
        (Device::flex(), DType::F32, 1e-6),
        // Both take their factors in single precision.
        #[cfg(feature = "flex")]
        (Device::flex(), DType::F64, 1e-7),
        #[cfg(feature = "wgpu")]
        (Device::wgpu(burn::tensor::DeviceKind::DefaultDevice), DType::F32, 1e-6),
    ]
}

fn run<const D: usize, O: Optimizer<State<D> = AdamState<D>>>(
    optimizer: &O,
    shape: [usize; D],
    (device, dtype): (&Device, DType),
) -> Vec<f64> {
    let numbers = |step: usize| {
        let count = shape.iter().product::<usize>();
        let values: Vec<f64> = (0..count).map(|place| ((place * 37 + step * 101) as f64).sin()).collect();
        Tensor::<D>::from_data(TensorData::new(values, shape).convert_dtype(dtype), (device, dtype))
    };
    let (mut parameter, mut state) = (numbers(0), None);
    for step in 1..=6 {
        (parameter, state) = optimizer.step(0.01, parameter, numbers(step), state);
    }
    assert_eq!(state.as_ref().expect("a state").momentum.time, 6);
    let moments = state.map(|AdamState { momentum }| [momentum.moment_1, momentum.moment_2]).expect("a state");
    [parameter]
        .into_iter()
        .chain(moments)
        .flat_map(|tensor| tensor.into_data().iter::<f64>().collect::<Vec<_>>())
        .collect()
}

#[test]
fn adam_is_that_of_burn() {
    for (device, dtype, tolerance) in settings() {
        let burn = AdamConfig::new().with_beta_1(0.8).with_beta_2(0.99).with_epsilon(1e-6).build();
        let ours = Adam::new().with_betas(0.8, 0.99).with_epsilon(1e-6);
        let pairs = [
            (run(&ours, [7, 13], (&device, dtype)), run(&burn, [7, 13], (&device, dtype))),
            (run(&ours, [1], (&device, dtype)), run(&burn, [1], (&device, dtype))),
            (run(&ours, [65], (&device, dtype)), run(&burn, [65], (&device, dtype))),
        ];
        for (ours, burn) in pairs {
            for (ours, burn) in ours.into_iter().zip(burn) {
                assert!((ours - burn).abs() <= tolerance * burn.abs().max(0.01), "{ours} for {burn} in {dtype:?}");
            }
        }
    }
}

/// The step does not write into tensors that others hold.
#[test]
fn adam_leaves_what_others_hold() {
    for (device, dtype, _) in settings() {
        let parameter = Tensor::<1>::ones([5], (&device, dtype));
        let gradient = Tensor::<1>::ones([5], (&device, dtype)) * 2.0;
        let (after, state) = Adam::new().step(0.1, parameter.clone(), gradient.clone(), None);
        let kept = state.clone();
        let (_, _) = Adam::new().step(0.1, after.clone(), gradient.clone(), state);
        let numbers = |tensor: Tensor<1>| tensor.into_data().iter::<f64>().collect::<Vec<_>>();
        assert_eq!(numbers(parameter), vec![1.0; 5]);
        assert_eq!(numbers(gradient), vec![2.0; 5]);
        assert!(numbers(after).into_iter().all(|number| (number - 0.9).abs() < 1e-6), "one step");
        let moments = kept.expect("a state").momentum.moment_1;
        assert!(numbers(moments).into_iter().all(|number| (number - 0.2).abs() < 1e-6), "of one step");
    }
}
