//! `cargo bench --bench se3_transformer`: SE(3)-Transformers on clouds of 32, 128 and 1,000 points, forward and training step, with the most
//! memory that either took. `benches/peers/run.sh se3_transformer` measures the same beside se3-transformer-pytorch.

use burn::optim::{AdamConfig, GradientsParams, ModuleOptimizer};
use burn::tensor::{Device, Distribution, Tensor};
use criterion::{Criterion, criterion_group, criterion_main};
use equi::layers::se3_transformer::{DenseInputs, SE3Transformer, SE3TransformerConfig};
use equi::train::memory::{peak_rss_mib, reset_peak};
use std::hint::black_box;

/// Prints what an action took; nothing where the operating system does not tell.
fn with_peak(what: &str, mut action: impl FnMut()) {
    reset_peak();
    action();
    if let Some(peak) = peak_rss_mib() {
        println!("{what}: at most {peak:.0} MiB");
    }
}

fn cloud(points: usize, channels: usize, device: &Device) -> DenseInputs {
    let normal = |columns| Tensor::<3>::random([1, points, columns], Distribution::Normal(0.0, 1.0), device);
    DenseInputs::new(normal(channels), normal(3))
}

struct Training {
    network: Option<SE3Transformer>,
    adam: ModuleOptimizer,
    inputs: DenseInputs,
}

impl Training {
    fn new(points: usize, config: &SE3TransformerConfig, device: &Device) -> Self {
        let network = Some(config.init(device).expect("valid options"));
        Self { network, adam: AdamConfig::new().init(), inputs: cloud(points, config.dim, device) }
    }

    /// Forward, backward, and a step of Adam.
    fn step(&mut self) {
        let network = self.network.take().expect("put back below");
        let output = network.forward_dense(self.inputs.clone()).expect("finite positions");
        let loss = output.scalars().powi_scalar(2).mean();
        let gradients = GradientsParams::from_grads(loss.backward(), &network);
        self.network = Some(self.adam.step(1e-4, network, gradients));
        let loss: f32 = loss.into_scalar();
        assert!(loss.is_finite(), "the loss is {loss}");
    }
}

fn network(criterion: &mut Criterion, name: &str, points: usize, config: &SE3TransformerConfig) {
    let device = Device::default();
    device.seed(1);
    let mut group = criterion.benchmark_group(name);
    group.sample_size(10);
    {
        let (network, inputs) = (config.init(&device).expect("valid options"), cloud(points, config.dim, &device));
        let forward = || network.forward_dense(inputs.clone()).expect("finite positions").scalars().into_data();
        with_peak(&format!("{name}, forward"), || {
            black_box(forward());
        });
        group.bench_function("forward", |b| b.iter(|| black_box(forward())));
    }
    let recorded = device.autodiff();
    let mut training = Training::new(points, config, &recorded);
    with_peak(&format!("{name}, training step"), || training.step());
    group.bench_function("training step", |b| b.iter(|| training.step()));
    drop(training);
    // Burn's own way to save memory, which computes cheap operations again: more of ours is kept for it than it saves.
    let mut training = Training::new(points, config, &recorded.gradient_checkpointing());
    with_peak(&format!("{name}, training step with gradient checkpointing"), || training.step());
    group.finish();
}

fn small(criterion: &mut Criterion) {
    let config = SE3TransformerConfig::new(64).with_depth(4).with_valid_radius(10.0);
    network(criterion, "32 points, all neighbours, 64 channels, 8 heads, 2 degrees, 4 layers", 32, &config);
}

fn medium(criterion: &mut Criterion) {
    let config = SE3TransformerConfig::new(32).with_heads(4).with_num_degrees(3).with_num_neighbors(Some(12));
    network(criterion, "128 points, 12 neighbours, 32 channels, 4 heads, 3 degrees, 2 layers", 128, &config);
}

fn large(criterion: &mut Criterion) {
    let config = SE3TransformerConfig::new(32).with_heads(4).with_num_degrees(3).with_num_neighbors(Some(32));
    network(criterion, "1,000 points, 32 neighbours, 32 channels, 4 heads, 3 degrees, 2 layers", 1000, &config);
}

criterion_group!(benches, small, medium, large);
criterion_main!(benches);
