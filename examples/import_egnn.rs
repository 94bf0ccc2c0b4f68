//! A network trained in PyTorch, in Rust: `cargo run --release --example import_egnn`
//!
//! Opens a checkpoint of `github.com/vgsatorras/egnn`, an `EGNN_vel` for charged particles, says what its keys tell, and builds
//! our network with its weights. Then it asks two questions: are the positions that it predicts those that PyTorch predicted,
//! and do they turn, shift and change places with the particles? `docs/from-egnn.md` has the names of all weights.

use std::error::Error;
use std::path::Path;

use burn::tensor::{DType, Device, Tensor};
use equi::core::action::space::PointField;
use equi::core::check::points::{PointFeature, PointFn, Trials, outputs};
use equi::layers::graph::{EdgeList, Graph, Points};
use equi::layers::import::{EgnnCheckpoint, EgnnOptions, StateDict};

fn main() -> Result<(), Box<dyn Error>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/egnn");
    let device = Device::default();
    // Most GPUs compute in f32 alone.
    let (dtype, precision) = if device.supports_dtype(DType::F64) { (DType::F64, 1e-12) } else { (DType::F32, 1e-5) };

    // What has no weights no checkpoint tells: this model was built with `recurrent=True`, which is our `residual`.
    let checkpoint = EgnnCheckpoint::open(folder.join("vel_nbody_inputs.state.pt"))?;
    println!("found {}, {} parameters", checkpoint.architecture(), checkpoint.architecture().parameters());
    let config = checkpoint.config(&EgnnOptions::new().with_residual(true))?;
    let egnn = checkpoint.to_egnn(&config, (&device, dtype))?;

    // The inputs that PyTorch was given, and the positions that it gave.
    let recorded = StateDict::open(folder.join("vel_nbody_inputs.io.safetensors"))?;
    let tensor = |name: &str| -> Result<Tensor<2>, String> {
        let data = recorded.get(name).ok_or(format!("no {name} was recorded"))?;
        Ok(Tensor::from_data(data.clone().convert_dtype(dtype), (&device, dtype)))
    };
    let [speeds, positions, velocities, charges] =
        [tensor("in.h")?, tensor("in.x")?, tensor("in.vel")?, tensor("in.edge_attr")?];
    let [particles, dimensions] = positions.dims();

    let ends: Vec<usize> = tensor("in.edge_index")?.into_data().iter::<f64>().map(|end| end as usize).collect();
    let (receivers, senders) = ends.split_at(ends.len() / 2);
    // `order` says in which row each particle is now; edges and their features go along.
    let forward = |speeds: Tensor<2>, positions: Tensor<2>, velocities: Tensor<2>, row: &dyn Fn(usize) -> usize| {
        let moved = |ends: &[usize]| ends.iter().map(|end| row(*end)).collect();
        let edges = EdgeList::new(particles, moved(receivers), moved(senders)).expect("edges join the particles");
        let graph = Graph::new(&edges, &device).expect("a small graph");
        let points = Points::new(speeds, positions).with_velocities(velocities);
        let charges = graph.arrange(charges.clone());
        egnn.positions(&graph, points, Some(charges))
    };

    let predicted = forward(speeds.clone(), positions.clone(), velocities.clone(), &|particle| particle);
    let difference = (predicted - tensor("out.x")?).abs().max().into_scalar::<f64>();
    println!(
        "{particles} particles in {dimensions} dimensions: largest difference to PyTorch's positions {difference:.1e}\n"
    );

    let [speed, position, velocity] =
        [PointField::Scalar, PointField::Position, PointField::Vector].map(|field| PointFeature::per_node(field, 1));
    let claim = PointFn::new(&[particles], &[speed, position, velocity], &[position], &device, dtype, |x, order| {
        vec![forward(x[0].clone(), x[1].clone(), x[2].clone(), &|particle| order.image(particle))]
    });
    let report = outputs(&claim, &[speeds, positions, velocities], &Trials::default());
    let verdict = if report.error() < precision { "equivariant" } else { "NOT equivariant" };
    println!("{verdict}\n{report}");
    Ok(())
}
