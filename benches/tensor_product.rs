//! `cargo bench --bench tensor_product`: tensor products of the shapes that e3nn's users benchmark, forward and backward.
//! Memory is kept, as the `equi` command does. The group `forms` compares the two ways in which messages with harmonics are computed, with the same inputs.

use burn::tensor::{Device, Distribution, Tensor};
use criterion::{Criterion, criterion_group, criterion_main};
use equi::core::o3::{Irrep, Irreps, SphericalHarmonics};
use equi::core::ops::{
    CoupledPath, Couplings, HarmonicCouplings, MessageForm, Segments, harmonic_messages, retain_memory,
};
use equi::layers::o3::{ConnectionMode, Instruction, TensorProduct, TensorProductConfig};
use std::hint::black_box;
use std::sync::Arc;

/// What both inputs hold, one copy in the second.
const DEGREES: [&str; 3] = ["0e", "1o", "2e"];

fn irreps(copies: usize) -> Irreps {
    DEGREES.map(|irrep| format!("{copies}x{irrep}")).join("+").parse().expect("irreps")
}

/// Every path between the degrees, each to a block of its own, with a weight for every copy: the messages of a convolution.
fn uvu(copies: usize) -> TensorProductConfig {
    let (first, second) = (irreps(copies), irreps(1));
    let (mut blocks, mut instructions) = (Vec::new(), Vec::new());
    for (in1, a) in first.blocks().iter().enumerate() {
        for (in2, b) in second.blocks().iter().enumerate() {
            for irrep in a.irrep.product(b.irrep).filter(|irrep| first.count(*irrep) > 0) {
                instructions.push(Instruction::new(in1, in2, blocks.len(), ConnectionMode::Uvu));
                blocks.push((copies, irrep));
            }
        }
    }
    TensorProductConfig::new(first, second, blocks.into_iter().collect(), instructions)
}

struct Workload {
    product: TensorProduct,
    inputs: [Tensor<2>; 3],
}

impl Workload {
    /// With weights for every row, or the same for all.
    fn new(config: TensorProductConfig, rows: usize, per_row: bool, device: &Device) -> Self {
        let product = config.without_weights().init(device).expect("a product");
        let normal = |rows, columns| Tensor::random([rows, columns], Distribution::Normal(0.0, 1.0), device);
        let config = product.config();
        let inputs = [
            normal(rows, config.irreps_in1.dim()),
            normal(rows, config.irreps_in2.dim()),
            normal(if per_row { rows } else { 1 }, product.weight_numel()),
        ];
        Self { product, inputs }
    }

    fn forward(&self, [x1, x2, weight]: [Tensor<2>; 3]) -> Tensor<2> {
        self.product.forward_with(x1, x2, weight)
    }

    /// Gradients of all inputs.
    fn backward(&self) -> [Tensor<2>; 3] {
        let inputs = self.inputs.clone().map(|input| input.require_grad());
        let gradients = self.forward(inputs.clone()).sum().backward();
        inputs.map(|input| input.grad(&gradients).expect("a gradient"))
    }
}

fn measure(
    criterion: &mut Criterion,
    name: &str,
    config: impl Fn() -> TensorProductConfig,
    rows: usize,
    per_row: bool,
) {
    retain_memory();
    let device = Device::default();
    device.seed(1);
    let mut group = criterion.benchmark_group(name);
    group.sample_size(20);
    let workload = Workload::new(config(), rows, per_row, &device);
    group.bench_function("forward", |b| b.iter(|| black_box(workload.forward(workload.inputs.clone())).into_data()));
    let workload = Workload::new(config(), rows, per_row, &device.autodiff());
    group.bench_function("forward and backward", |b| {
        b.iter(|| black_box(workload.backward()).map(|gradient| gradient.into_data()))
    });
    group.finish();
}

fn messages(criterion: &mut Criterion) {
    for copies in [64, 128] {
        let name = format!("uvu, {copies}x(0e+1o+2e) x (0e+1o+2e), 2000 rows, weights per row");
        measure(criterion, &name, || uvu(copies), 2000, true);
    }
}

fn fully_connected(criterion: &mut Criterion) {
    let config = || TensorProductConfig::fully_connected(irreps(32), irreps(1), irreps(32));
    measure(criterion, "fully connected, 32x(0e+1o+2e) x (0e+1o+2e), 5000 rows", config, 5000, false);
    let config = || TensorProductConfig::fully_connected(irreps(8), irreps(1), irreps(8));
    measure(criterion, "fully connected, 8x(0e+1o+2e) x (0e+1o+2e), 2000 rows, weights per row", config, 2000, true);
}

/// Messages with harmonics along the edges of a graph: features `64x0e+64x1o+...` up to a degree, times harmonics up to it.
struct Messages {
    couplings: Arc<HarmonicCouplings>,
    ends: [Segments; 2],
    /// Features, vectors and weights.
    inputs: [Tensor<2>; 3],
}

impl Messages {
    const NODES: usize = 125;
    const EDGES: usize = 2000;

    /// Every path to a degree that features have, all that end at a degree to one block, or each to one of its own.
    fn new(lmax: usize, own: bool, form: MessageForm, device: &Device) -> Self {
        let harmonics = SphericalHarmonics::up_to(lmax);
        let irreps = |l| (64, Irrep::spherical_harmonic(l));
        let (mut blocks, mut paths) = (Vec::new(), Vec::new());
        for (first, second) in (0..=lmax).flat_map(|a| (0..=lmax).map(move |b| (a, b))) {
            for l in (first.abs_diff(second)..=lmax.min(first + second)).step_by(2) {
                let out = if own { paths.len() } else { l };
                blocks.push(irreps(l));
                paths.push(CoupledPath { first, second, out, coefficient: 1.0 });
            }
        }
        let features: Irreps = (0..=lmax).map(irreps).collect();
        let out = if own { blocks.into_iter().collect() } else { features.clone() };
        let couplings = Couplings::uvu(&features, &harmonics.irreps(), &out, &paths).expect("paths");
        let normal = |rows, columns| Tensor::random([rows, columns], Distribution::Normal(0.0, 1.0), device);
        let inputs =
            [normal(Self::NODES, features.dim()), normal(Self::EDGES, 3), normal(Self::EDGES, couplings.weights())];
        let couplings = HarmonicCouplings::new(Arc::new(couplings), &harmonics).expect("the harmonics");
        let ends = [7, 1].map(|step| {
            let node = |edge: usize| (edge / 16 + if step > 1 { edge % 16 * step } else { 0 }) % Self::NODES;
            Segments::new((0..Self::EDGES).map(node).collect(), Self::NODES, device).expect("nodes")
        });
        Self { couplings: Arc::new(couplings.with_form(form)), ends, inputs }
    }

    fn forward(&self, [features, vectors, weights]: [Tensor<2>; 3]) -> Tensor<2> {
        let [senders, receivers] = &self.ends;
        harmonic_messages(features, vectors, weights, &self.couplings, senders, receivers)
    }

    /// Gradients of all inputs.
    fn backward(&self) -> [Tensor<2>; 3] {
        let inputs = self.inputs.clone().map(|input| input.require_grad());
        let gradients = self.forward(inputs.clone()).sum().backward();
        inputs.map(|input| input.grad(&gradients).expect("a gradient"))
    }
}

fn forms(criterion: &mut Criterion) {
    retain_memory();
    let device = Device::default();
    for (lmax, own) in [2, 3, 4, 6].into_iter().flat_map(|lmax| [(lmax, false), (lmax, true)]) {
        let blocks = if own { "own blocks" } else { "shared blocks" };
        let mut group = criterion.benchmark_group(format!("forms, degrees up to {lmax}, {blocks}"));
        group.sample_size(20);
        for form in [MessageForm::Direct, MessageForm::Aligned] {
            let of = |device: &Device| {
                device.seed(1);
                Messages::new(lmax, own, form, device)
            };
            let messages = of(&device);
            let forward = || black_box(messages.forward(messages.inputs.clone())).into_data();
            group.bench_function(format!("{form:?}, forward"), |b| b.iter(forward));
            let messages = of(&device.clone().autodiff());
            let backward = || black_box(messages.backward()).map(|gradient| gradient.into_data());
            group.bench_function(format!("{form:?}, forward and backward"), |b| b.iter(backward));
        }
        group.finish();
    }
}

criterion_group!(benches, messages, fully_connected, forms);
criterion_main!(benches);
