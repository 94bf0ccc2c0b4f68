//! `cargo bench --bench egnn`: EGNN on a batch of charged particles and on a batch of molecules, forward and training step.
//! `benches/peers/run.sh egnn` measures the same beside PyTorch.

use burn::tensor::Device;
use criterion::{Criterion, criterion_group, criterion_main};
use std::hint::black_box;

#[path = "peers/workload.rs"]
mod workload;

use workload::{Batch, Network, Training};

fn forward_and_step<N: Network>(
    criterion: &mut Criterion,
    name: &str,
    network: impl Fn(&Device) -> N,
    batch: impl Fn(&Device) -> Batch,
) {
    let device = Device::default();
    device.seed(1);
    let mut group = criterion.benchmark_group(name);
    group.sample_size(10);

    let (model, inputs) = (network(&device), batch(&device));
    let finite = |loss: f32| assert!(loss.is_finite(), "{name}: the loss is {loss}");
    finite(model.loss(&inputs).into_scalar());
    group.bench_function("forward", |b| b.iter(|| black_box(model.predict(&inputs)).into_data()));

    let device = device.autodiff();
    let (model, inputs) = (network(&device), batch(&device));
    let before: f32 = model.loss(&inputs).into_scalar();
    let mut training = Training::new(model, 1e-4);
    group.bench_function("training step", |b| b.iter(|| training.step(&inputs)));
    let after: f32 = training.step(&inputs).into_scalar();
    finite(after);
    assert!(after < before, "{name}: the loss was {before} and is {after} after training");
    group.finish();
}

fn nbody(criterion: &mut Criterion) {
    let network = |device: &Device| workload::nbody_config().init(device).expect("a valid configuration");
    forward_and_step(criterion, "EGNN, 100 x 5 particles, 64 features, 4 layers", network, Batch::nbody);
}

fn qm9(criterion: &mut Criterion) {
    forward_and_step(criterion, "EGNN, 96 x 18 atoms, 128 features, 7 layers", workload::qm9, Batch::qm9);
}

criterion_group!(benches, nbody, qm9);
criterion_main!(benches);
