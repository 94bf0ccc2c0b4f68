//! `cargo bench --bench epoch`: one training epoch of the networks of `mnist-rot`, and inference before and after export and folding.

use burn::module::Module;
use burn::tensor::Device;
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use equi::core::group::C8;
use equi::train::compare::nearest_width;
use equi::train::data::mnist;
use equi::train::data::rotated::{Pose, RotatedMnist, Side};
use equi::train::fit::{Classification, Classifier, FitConfig, Session, fit};
use equi::train::model::{PlainCnnConfig, SteerableCnnConfig};
use std::hint::black_box;
use std::path::Path;

/// An epoch: every one of this many digits once.
const DIGITS: usize = 320;
const BATCH: usize = 32;

fn epoch(criterion: &mut Criterion) {
    let device = Device::default();
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join(mnist::FOLDER);
    let digits = RotatedMnist::new(mnist::load(&data).expect("the digits of this repository"), 0, Side::Odd);
    let images = digits.training(0, 0..DIGITS + 1, Pose::Random).expect("enough digits");
    let config = FitConfig { batch_size: BATCH, ..FitConfig::new(0, DIGITS / BATCH) };
    let config = FitConfig { steps_per_epoch: DIGITS / BATCH, ..config };

    let steerable = SteerableCnnConfig::new(C8, 2, 10);
    let untrained = steerable.init(0, &device).expect("a finite group");
    let flops = untrained.flops(29, 29);
    let plain = |width| PlainCnnConfig::new(width, 10);
    let plain = plain(nearest_width(flops, |width| plain(width).flops(29, 29)));

    let mut group = criterion.benchmark_group(format!("epoch of {DIGITS} digits, batch {BATCH}"));
    group.sample_size(10);
    macro_rules! train {
        ($name:expr, $init:expr) => {
            group.bench_function($name, |b| {
                b.iter_batched(
                    || $init,
                    |model| {
                        let problem = Classification::new(&images, (0..DIGITS).collect(), vec![DIGITS], 0);
                        fit(&problem, model, &config, &device, &Session::default(), |_| {}).expect("training")
                    },
                    BatchSize::PerIteration,
                )
            })
        };
    }
    train!(steerable.to_string(), steerable.init(0, &device).expect("a finite group"));
    train!(plain.to_string(), plain.init(0, &device));
    group.finish();

    let mut group = criterion.benchmark_group("inference, 100 digits");
    group.sample_size(10);
    let (batch, _) = images.batch(&(0..100).collect::<Vec<_>>(), &device);
    let exported = untrained.valid().export().expect("an inner batch norm after every convolution");
    let folded = untrained.valid().fold().expect("an inner batch norm after every convolution");
    let plain = plain.init(0, &device).materialize();
    group.bench_function("SteerableCnn", |b| b.iter(|| black_box(untrained.forward(batch.clone())).into_data()));
    group.bench_function("SteerableCnn, exported", |b| {
        b.iter(|| black_box(exported.forward(batch.clone())).into_data())
    });
    group.bench_function("SteerableCnn, folded", |b| b.iter(|| black_box(folded.forward(batch.clone())).into_data()));
    group.bench_function("PlainCnn of the same shape", |b| {
        b.iter(|| black_box(plain.forward(batch.clone())).into_data())
    });
}

criterion_group!(benches, epoch);
criterion_main!(benches);
