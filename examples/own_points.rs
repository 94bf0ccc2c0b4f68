//! Points of your own in the comparison: `cargo run --release --example own_points`.
//!
//! Clusters of 5 to 13 atoms attract and repel each other by the potential of Lennard-Jones. What is their energy? It depends on the distances alone, so turning, mirroring or moving a cluster changes
//! nothing, and a network that has this built in need not learn it. A network of our own competes: it learns a potential of pairs. The study says how all arms do with 62, 250 and 1,000
//! clusters, and writes `runs/clusters-quick/report.html`. `-- --forces` asks for the force on every atom instead, a vector that turns with the cluster, and `-- --smoke` only shows that it works.

use burn::module::Module;
use burn::nn::{Linear, LinearConfig};
use burn::tensor::activation::silu;
use burn::tensor::{Device, Tensor};
use equi::core::ops::segment_sum;
use equi::train::compare::{OwnPointArm, OwnPoints, Request, compare_on};
use equi::train::data::points::{Neighbourhood, PointBatch, PointSample, PointSet, PointTarget};
use equi::train::fit::PointModel;
use equi::train::report;
use equi::train::seed::{Purpose, stream};
use equi::train::stop::Stop;
use rand::RngExt;

/// No two atoms are nearer than this: there the potential is steep.
const NEAREST: f64 = 0.95;

/// Atoms drawn at random in a ball, one after the other, wherever no other is too near.
fn cluster(number: u64, seed: u64) -> Vec<[f64; 3]> {
    let mut random = stream(seed, Purpose::Simulation, number);
    let count = random.random_range(5..=13);
    let radius = 0.8 * f64::from(count).cbrt();
    let mut atoms: Vec<[f64; 3]> = Vec::new();
    while atoms.len() < count as usize {
        let x: [f64; 3] = std::array::from_fn(|_| random.random_range(-radius..radius));
        let inside = x.iter().map(|x| x * x).sum::<f64>() < radius * radius;
        if inside && atoms.iter().all(|&y| distance(x, y) > NEAREST) {
            atoms.push(x);
        }
    }
    atoms
}

fn distance(x: [f64; 3], y: [f64; 3]) -> f64 {
    (0..3).map(|k| (x[k] - y[k]).powi(2)).sum::<f64>().sqrt()
}

/// `sum over pairs of 4 (r^-12 - r^-6)`, and minus its gradient.
fn energy_and_forces(atoms: &[[f64; 3]]) -> (f64, Vec<[f64; 3]>) {
    let (mut energy, mut forces) = (0.0, vec![[0.0; 3]; atoms.len()]);
    for (i, &x) in atoms.iter().enumerate() {
        for &y in atoms.iter().filter(|&&y| y != x) {
            let r = distance(x, y);
            // Every pair comes twice.
            energy += 2.0 * (r.powi(-12) - r.powi(-6));
            let strength = 24.0 * (2.0 * r.powi(-14) - r.powi(-8));
            (0..3).for_each(|k| forces[i][k] += strength * (x[k] - y[k]));
        }
    }
    (energy, forces)
}

fn clusters(count: u64, seed: u64, vectors: bool) -> Result<PointSet, String> {
    let sample = |number| {
        let positions = cluster(number, seed);
        let (energy, forces) = energy_and_forces(&positions);
        let target = if vectors { PointTarget::Vectors(forces) } else { PointTarget::Scalar(energy) };
        PointSample { positions, velocities: None, species: Vec::new(), features: Vec::new(), target }
    };
    PointSet::new(if vectors { "forces" } else { "energy" }, (0..count).map(sample).collect())
}

/// `sum over pairs of phi(r)` for a number, `sum_j (x_i - x_j) phi(r_ij)` for vectors, with a perceptron `phi` of `1 / r^2`.
#[derive(Module, Debug)]
struct Pairs {
    layers: [Linear; 2],
    vectors: bool,
}

impl PointModel for Pairs {
    fn forward(&self, batch: &PointBatch) -> Tensor<2> {
        let differences = batch.graph.displacements(batch.points.positions.clone());
        let inverse = differences.clone().powi_scalar(2).sum_dim(1).recip();
        let phi = self.layers[1].forward(silu(self.layers[0].forward(inverse)));
        let of_pairs = if self.vectors { differences * phi } else { phi };
        let of_atoms = segment_sum(of_pairs, batch.graph.receivers());
        if self.vectors { of_atoms } else { segment_sum(of_atoms, batch.graph.members()) }
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    const HIDDEN: usize = 32;
    let [smoke, vectors] = ["--smoke", "--forces"].map(|option| std::env::args().any(|argument| argument == option));
    let (train, test) = (clusters(1000, 1, vectors)?, clusters(500, 2, vectors)?);
    let pairs = train.samples.iter().map(|sample| sample.points() * (sample.points() - 1)).sum::<usize>();
    let flops = (pairs / train.samples.len() * 4 * HIDDEN) as u64;
    // Every random weight comes from the seed, so that a run that is interrupted goes on as if nothing had happened.
    let build = move |seed: u64, device: &Device| {
        device.seed(seed);
        let layers = [(1, HIDDEN), (HIDDEN, 1)].map(|(from, to)| LinearConfig::new(from, to).init(device));
        Pairs { layers, vectors }
    };
    let arm = OwnPointArm::new("pairs", "a potential of pairs", false, flops, build);
    let name = if vectors { "cluster-forces" } else { "clusters" };
    let task = OwnPoints::new(name, train, test, Neighbourhood::All)?.with_arm(arm)?;
    let request = Request {
        preset: Some(if smoke { "smoke" } else { "quick" }.to_string()),
        sizes: smoke.then(|| vec![40]),
        resume: true,
        ..Request::default()
    };
    let study = compare_on(&task, &request, &Stop::on_signal()?)?;
    println!("{}\n{}\n", report::table(&study.results), study.results.verdict);
    println!("{}\n{}", study.results.data.unwrap_or_default(), study.out.join("report.html").display());
    Ok(())
}
