//! `cargo bench --bench tensor_product`: tensor products of the shapes that e3nn's users benchmark, forward and backward.
//! Memory is kept, as the `equi` command does.

use burn::tensor::{Device, Distribution, Tensor};
use criterion::{Criterion, criterion_group, criterion_main};
use equi::core::o3::Irreps;
use equi::core::ops::retain_memory;
use equi::layers::o3::{ConnectionMode, Instruction, TensorProduct, TensorProductConfig};
use std::hint::black_box;

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

criterion_group!(benches, messages, fully_connected);
criterion_main!(benches);
