//! Charged particles: train an equivariant network to step them forward, roll it out, draw true and predicted paths.
//!
//! `cargo run --release --example nbody` (`-- --steps 20` for a quick look) writes `target/nbody.svg`
//!
//! Two EGNNs share a state: one moves the positions, the other's displacement is the change of the velocities. Turning a system
//! turns what they predict, so a rollout from a turned start is the turned rollout.

use std::error::Error;
use std::path::PathBuf;

use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData};
use equi::core::group::Isometry;
use equi::layers::graph::{EdgeList, Egnn, EgnnConfig, Graph, Points};
use equi::train::data::nbody::{ChargedParticles, Particles};
use equi::train::fit::{FitConfig, Outcome, Problem, Score, Session, fit};
use equi::train::stop::Stop;
use plotters::prelude::*;

/// Integration steps that one step of the network stands for.
const STRIDE: usize = 200;
/// Steps of a rollout.
const ROLLOUT: usize = 12;
/// Particles in a system.
const PARTICLES: usize = 5;

/// One step forward: `x' = x + ...`, `v' = v + ...`, both equivariant.
#[derive(Module, Debug)]
struct Stepper {
    positions: Egnn,
    velocities: Egnn,
}

/// Positions and velocities, `[particles, 3]` each.
type State = [Tensor<2>; 2];

impl Stepper {
    fn new(device: &Device) -> Result<Self, Box<dyn Error>> {
        let config = EgnnConfig::new(1, 32).with_velocity().with_edge_features(1).with_layers(3);
        Ok(Self { positions: config.clone().with_seed(0).init(device)?, velocities: config.with_seed(1).init(device)? })
    }

    fn forward(&self, graph: &Graph, charges: &Tensor<2>, [x, v]: State) -> State {
        let speeds = v.clone().powi_scalar(2).sum_dim(1).sqrt();
        let points = Points::new(speeds, x.clone()).with_velocities(v.clone());
        let moved = self.positions.positions(graph, points.clone(), Some(charges.clone()));
        let pushed = self.velocities.positions(graph, points, Some(charges.clone()));
        [moved, v + (pushed - x)]
    }
}

/// Pairs of states, `STRIDE` integration steps apart.
struct Steps {
    pairs: Vec<[Particles; 2]>,
    held_out: Vec<[Particles; 2]>,
}

impl Steps {
    fn loss_of<'a>(
        model: &Stepper,
        pairs: impl ExactSizeIterator<Item = &'a [Particles; 2]> + Clone,
        device: &Device,
    ) -> Tensor<1> {
        let graph = systems(pairs.len(), device);
        let states = |moment: usize| state(pairs.clone().map(move |pair| &pair[moment]), device);
        let charges = charges(pairs.clone().map(|pair| &pair[0]), device);
        let [x, v] = model.forward(&graph, &charges, states(0));
        let [true_x, true_v] = states(1);
        (x - true_x).powi_scalar(2).mean() + (v - true_v).powi_scalar(2).mean()
    }
}

impl Problem for Steps {
    type Model = Stepper;

    fn train_len(&self) -> usize {
        self.pairs.len()
    }

    fn loss(&self, model: &Stepper, samples: &[usize], _step: usize, device: &Device) -> Tensor<1> {
        Self::loss_of(model, samples.iter().map(|&sample| &self.pairs[sample]), device)
    }

    fn validate(&self, model: &Stepper, device: &Device, _stop: &Stop) -> Option<Score> {
        let loss = Self::loss_of(model, self.held_out.iter(), device).into_scalar::<f64>();
        Some(Score { metric: loss, loss })
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let steps = steps_from(std::env::args())?;
    let device = Device::default();

    // 1. The task: 400 trajectories to train on, 50 to choose the best epoch, 40 to roll out.
    let system = ChargedParticles::new(PARTICLES);
    let path = |index| system.trajectory(&system.draw(0, index)?, ROLLOUT + 1, STRIDE);
    let trajectories = (0..490).map(path).collect::<Result<Vec<_>, _>>()?;
    let pairs = |range: std::ops::Range<usize>| {
        let windows = trajectories[range].iter().flat_map(|states| states.windows(2));
        windows.map(|pair| [pair[0].clone(), pair[1].clone()]).collect::<Vec<_>>()
    };
    let problem = Steps { pairs: pairs(0..400), held_out: pairs(400..450) };

    // 2. Training.
    let schedule = FitConfig { learning_rate: 3e-3, batch_size: 100, ..FitConfig::new(0, steps) };
    let outcome = fit(&problem, Stepper::new(&device)?, &schedule, &device, &Session::default(), |_| {})?;
    let Outcome::Trained(fitted) = outcome else { return Err("the loss left the finite numbers".into()) };
    let model = fitted.model;

    // 3. Roll out from starts that the network has never seen, and from the same starts elsewhere in space.
    let (mut rng, mut errors, mut broken) = (rand::rng(), vec![Vec::new(); ROLLOUT + 1], [0.0; ROLLOUT + 1]);
    let mut pictures = Vec::new();
    for truth in &trajectories[450..] {
        let predicted = rollout(&model, &truth[0], &device);
        let g = Isometry::random_translation(1.0, &mut rng) * Isometry::random_orthogonal(&mut rng);
        let turned = rollout(&model, &moved(&g, &truth[0]), &device);
        for step in 0..=ROLLOUT {
            errors[step].push(distance(&predicted[step], &truth[step].positions));
            let expected: Vec<_> = predicted[step].iter().map(|&x| g.act(x)).collect();
            broken[step] = f64::max(broken[step], distance(&turned[step], &expected));
        }
        pictures.push((truth.iter().map(|state| state.positions.clone()).collect(), predicted));
    }
    println!("{:>6}{:>16}{:>16}{:>24}", "step", "median error", "worst", "|f(g x) - g f(x)|");
    for (step, errors) in errors.iter_mut().enumerate() {
        errors.sort_by(f64::total_cmp);
        let (median, worst) = (errors[errors.len() / 2], errors[errors.len() - 1]);
        println!("{step:>6}{median:>16.4}{worst:>16.4}{:>24.1e}", broken[step]);
    }
    println!("\nroot mean squares over the particles of {} systems; close encounters are chaotic", pictures.len());

    // 4. A picture: where they go, and where the network says they go.
    let file = PathBuf::from("target/nbody.svg");
    std::fs::create_dir_all("target")?;
    draw(&file, &pictures)?;
    println!("{} shows the first four, seen along the z axis: lines are true, dots predicted", file.display());
    Ok(())
}

/// Positions of the particles at every step.
type Path = Vec<Vec<[f64; 3]>>;

/// The graph of `count` systems.
fn systems(count: usize, device: &Device) -> Graph {
    let complete = EdgeList::complete(PARTICLES).expect("a few particles");
    Graph::batch(std::iter::repeat_n(&complete, count), device).expect("a batch has less than 2^31 edges")
}

fn rows(values: Vec<f64>, width: usize, device: &Device) -> Tensor<2> {
    let shape = [values.len() / width, width];
    Tensor::from_data(TensorData::new(values, shape).convert::<f32>(), device)
}

fn state<'a>(systems: impl Iterator<Item = &'a Particles> + Clone, device: &Device) -> State {
    let positions = systems.clone().flat_map(|system| system.positions.iter().flatten().copied());
    let velocities = systems.flat_map(|system| system.velocities.iter().flatten().copied());
    [rows(positions.collect(), 3, device), rows(velocities.collect(), 3, device)]
}

/// `q_i q_j` of every edge, `[edges, 1]`.
fn charges<'a>(systems: impl Iterator<Item = &'a Particles>, device: &Device) -> Tensor<2> {
    let edges = EdgeList::complete(PARTICLES).expect("a few particles");
    let products = |system: &Particles| {
        let ends = edges.receivers().iter().zip(edges.senders());
        ends.map(|(&i, &j)| system.charges[i] * system.charges[j]).collect::<Vec<_>>()
    };
    rows(systems.flat_map(products).collect(), 1, device)
}

/// Positions after 0, 1, ... steps of the network, each from its own last state.
fn rollout(model: &Stepper, start: &Particles, device: &Device) -> Path {
    let model = model.valid();
    let (graph, charges) = (systems(1, device), charges([start].into_iter(), device));
    let mut now = state([start].into_iter(), device);
    let mut path = vec![start.positions.clone()];
    for _ in 0..ROLLOUT {
        now = model.forward(&graph, &charges, now);
        let flat: Vec<f64> = now[0].clone().into_data().iter().collect();
        path.push(flat.chunks(3).map(|x| [x[0], x[1], x[2]]).collect());
    }
    path
}

fn moved(g: &Isometry, start: &Particles) -> Particles {
    let origin = g.act([0.0; 3]);
    let turn = |&v: &[f64; 3]| std::array::from_fn(|i| g.act(v)[i] - origin[i]);
    Particles {
        charges: start.charges.clone(),
        positions: start.positions.iter().map(|&x| g.act(x)).collect(),
        velocities: start.velocities.iter().map(turn).collect(),
    }
}

/// Root mean square of the distances between particles.
fn distance(a: &[[f64; 3]], b: &[[f64; 3]]) -> f64 {
    let squares = a.iter().flatten().zip(b.iter().flatten()).map(|(a, b)| (a - b).powi(2));
    (squares.sum::<f64>() / a.len() as f64).sqrt()
}

/// True paths as lines, predicted ones as dots, one colour a particle; starts are rings.
fn draw(file: &std::path::Path, pictures: &[(Path, Path)]) -> Result<(), Box<dyn Error>> {
    let root = SVGBackend::new(file, (1000, 1000)).into_drawing_area();
    root.fill(&WHITE)?;
    for (area, (truth, predicted)) in root.split_evenly((2, 2)).iter().zip(pictures) {
        let reach = |axis: usize| {
            let along = truth.iter().chain(predicted).flatten().map(|x| x[axis]).collect::<Vec<_>>();
            let [low, high] = [f64::min, f64::max].map(|pick| along.iter().copied().reduce(pick).unwrap_or(0.0));
            low - 0.2..high + 0.2
        };
        let mut chart = ChartBuilder::on(area);
        let mut chart =
            chart.margin(16).x_label_area_size(24).y_label_area_size(32).build_cartesian_2d(reach(0), reach(1))?;
        chart.configure_mesh().light_line_style(TRANSPARENT).draw()?;
        for particle in 0..PARTICLES {
            let colour = Palette99::pick(particle);
            let at = |state: &Vec<[f64; 3]>| (state[particle][0], state[particle][1]);
            chart.draw_series(LineSeries::new(truth.iter().map(at), colour.stroke_width(2)))?;
            chart.draw_series(predicted.iter().map(|state| Circle::new(at(state), 3, colour.filled())))?;
            chart.draw_series(truth.first().map(|state| Circle::new(at(state), 7, colour.stroke_width(2))))?;
        }
    }
    root.present()?;
    Ok(())
}

fn steps_from(mut arguments: impl Iterator<Item = String>) -> Result<usize, Box<dyn Error>> {
    match arguments.find(|a| a == "--steps") {
        Some(_) => Ok(arguments.next().ok_or("--steps needs a number")?.parse()?),
        None => Ok(3000),
    }
}
