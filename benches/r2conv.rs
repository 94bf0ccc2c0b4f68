//! `cargo bench --bench r2conv`: R2Conv forward, training step and construction, beside Burn's Conv2d of the same shape.

use burn::module::Module;
use burn::nn::PaddingConfig2d;
use burn::nn::conv::Conv2dConfig;
use burn::optim::{AdamConfig, GradientsParams};
use burn::tensor::{Device, Distribution, Tensor};
use criterion::{Criterion, criterion_group, criterion_main};
use equi::core::FieldType;
use equi::core::group::{C8, D4, Group};
use equi::layers::planar::{R2Conv, R2ConvConfig};
use std::hint::black_box;

/// 128 channels in and out, kernel 5, 28 x 28, batch 16.
const FIELDS: usize = 16;
const BATCH: usize = 16;
const SIDE: usize = 28;

fn convolution(group: Group, device: &Device) -> R2Conv {
    let fields = 128 / group.order().expect("a finite group");
    let regular = FieldType::regular(group, fields).expect("a finite group");
    R2ConvConfig::new(&regular, &regular, 5).with_same_padding().init(device).expect("a basis")
}

fn images(device: &Device) -> Tensor<4> {
    Tensor::random([BATCH, 128, SIDE, SIDE], Distribution::Normal(0.0, 1.0), device)
}

/// Forward, backward to the weights and the input, and a step of Adam.
macro_rules! training_step {
    ($bencher:expr, $model:expr, $images:expr) => {{
        let mut model = Some($model);
        let mut optimizer = AdamConfig::new().init();
        $bencher.iter(|| {
            let module = model.take().expect("put back below");
            let loss = module.forward($images.clone()).powi_scalar(2).mean();
            let gradients = GradientsParams::from_grads(loss.backward(), &module);
            model = Some(optimizer.step(1e-3, module, gradients));
        })
    }};
}

fn forward_and_step(criterion: &mut Criterion) {
    let device = Device::default();
    let training = device.clone().autodiff();
    let mut group = criterion.benchmark_group("128 -> 128 channels, k 5, 16 x 28 x 28");
    group.sample_size(10);

    for (name, symmetry) in [("C8", C8), ("D4", D4)] {
        let conv = convolution(symmetry, &device);
        let x = images(&device);
        group.bench_function(format!("R2Conv {name} forward"), |b| {
            b.iter(|| black_box(conv.forward(x.clone())).into_data())
        });
        let exported = conv.export().expect("zero padding");
        group.bench_function(format!("R2Conv {name} exported forward"), |b| {
            b.iter(|| black_box(exported.forward(x.clone())).into_data())
        });
        let conv = convolution(symmetry, &training);
        let x = images(&training).require_grad();
        group.bench_function(format!("R2Conv {name} training step"), |b| training_step!(b, conv.clone(), x));
    }

    let plain = |device: &Device| {
        let padding = PaddingConfig2d::Explicit(2, 2, 2, 2);
        Conv2dConfig::new([128, 128], [5, 5]).with_padding(padding).init(device).materialize()
    };
    let (conv, x) = (plain(&device), images(&device));
    group.bench_function("Conv2d forward", |b| b.iter(|| black_box(conv.forward(x.clone())).into_data()));
    let (conv, x) = (plain(&training), images(&training).require_grad());
    group.bench_function("Conv2d training step", |b| training_step!(b, conv.clone(), x));
}

fn construction(criterion: &mut Criterion) {
    let device = Device::default();
    let mut group = criterion.benchmark_group("construction");
    group.sample_size(10);
    let regular = FieldType::regular(Group::Cyclic(16), FIELDS).expect("a finite group");
    group.bench_function("100 layers of 16 regular fields of C16, k 5", |b| {
        b.iter(|| {
            let layers: Vec<R2Conv> =
                (0..100).map(|_| R2ConvConfig::new(&regular, &regular, 5).init(&device).expect("a basis")).collect();
            black_box(layers)
        })
    });
}

criterion_group!(benches, forward_and_step, construction);
criterion_main!(benches);
