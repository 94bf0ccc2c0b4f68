//! Points of your own in the comparison: `cargo run --release --example own_points`.
//!
//! Clusters of 5 to 13 atoms attract and repel each other by the potential of Lennard-Jones. What is their energy? It depends on the distances alone, so turning, mirroring or moving a cluster changes
//! nothing, and a network that has this built in need not learn it. The study says how all arms do with 62, 250 and 1,000 clusters, and writes
//! `runs/clusters-quick/report.html`. `-- --forces` asks for the force on every atom instead, a vector that turns with the cluster, and `-- --smoke` only shows that it works.

use equi::train::compare::{OwnPoints, Request, compare_on};
use equi::train::data::points::{Neighbourhood, PointSample, PointSet, PointTarget};
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

/// `sum over pairs of 4 (r^-12 - r^-6)`.
fn energy(atoms: &[[f64; 3]]) -> f64 {
    let pairs = atoms.iter().enumerate().flat_map(|(i, &x)| atoms[..i].iter().map(move |&y| distance(x, y)));
    pairs.map(|r| 4.0 * (r.powi(-12) - r.powi(-6))).sum()
}

/// Minus the gradient of the energy.
fn forces(atoms: &[[f64; 3]]) -> Vec<[f64; 3]> {
    let of = |&x: &[f64; 3]| {
        let others = atoms.iter().copied().filter(|&y| y != x);
        others.fold([0.0; 3], |force: [f64; 3], y| {
            let r = distance(x, y);
            let strength = 24.0 * (2.0 * r.powi(-14) - r.powi(-8));
            std::array::from_fn(|k| force[k] + strength * (x[k] - y[k]))
        })
    };
    atoms.iter().map(of).collect()
}

fn clusters(count: u64, seed: u64, vectors: bool) -> Result<PointSet, String> {
    let sample = |number| {
        let positions = cluster(number, seed);
        let target =
            if vectors { PointTarget::Vectors(forces(&positions)) } else { PointTarget::Scalar(energy(&positions)) };
        PointSample { positions, velocities: None, species: Vec::new(), features: Vec::new(), target }
    };
    PointSet::new(if vectors { "forces" } else { "energy" }, (0..count).map(sample).collect())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let [smoke, vectors] = ["--smoke", "--forces"].map(|option| std::env::args().any(|argument| argument == option));
    let (train, test) = (clusters(1000, 1, vectors)?, clusters(500, 2, vectors)?);
    let name = if vectors { "cluster-forces" } else { "clusters" };
    let task = OwnPoints::new(name, train, test, Neighbourhood::All)?;
    let request = Request {
        preset: Some(if smoke { "smoke" } else { "quick" }.to_string()),
        sizes: smoke.then(|| vec![40]),
        resume: true,
        ..Request::default()
    };
    let study = compare_on(&task, &request, &Stop::on_signal()?)?;
    println!("{}\n{}\n", report::table(&study.results), study.results.verdict);
    println!("{}", study.results.data.unwrap_or_default());
    println!("{}", study.out.join("report.html").display());
    Ok(())
}
