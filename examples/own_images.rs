//! A data set and a network of your own in the comparison: `cargo run --release --example own_images`.
//!
//! An arrow has a long and a short arm, and the question is whether it bends to the left or to the right, which turning does not change and
//! mirroring does. The network is a perceptron on all pixels. The study says how all arms do with 40, 160 and 640 arrows, and writes `runs/arrows-quick/report.html`. `-- --smoke` only shows that it works.

use burn::module::Module;
use burn::nn::{Linear, LinearConfig};
use burn::tensor::activation::relu;
use burn::tensor::{Device, Tensor};
use equi::train::compare::{OwnArm, OwnImages, Request, compare_on};
use equi::train::data::Images;
use equi::train::data::files::LabelledImages;
use equi::train::fit::Classifier;
use equi::train::report;
use equi::train::seed::{Purpose, stream};
use equi::train::stop::Stop;
use rand::RngExt;

/// Rows and columns: `4 k + 1`, so that networks that halve them twice keep the centre.
const SIDE: usize = 21;

/// An arrow in every image: a long arm from the middle, and a short one from its end, to the left or to the right.
fn arrows(count: usize, seed: u64) -> LabelledImages {
    let (mut pixels, mut labels) = (Vec::new(), Vec::new());
    for number in 0..count {
        let mut random = stream(seed, Purpose::Simulation, number as u64);
        let (angle, left) = (random.random_range(0.0..std::f64::consts::TAU), random.random_bool(0.5));
        let middle = (SIDE / 2) as f64;
        let end = [middle + 5.0 * f64::cos(angle), middle - 5.0 * f64::sin(angle)];
        let bend = angle + if left { 2.0 } else { -2.0 };
        let tip = [end[0] + 4.0 * bend.cos(), end[1] - 4.0 * bend.sin()];
        let strokes = [([middle, middle], end), (end, tip)];
        for at in 0..SIDE * SIDE {
            let (x, y) = ((at % SIDE) as f64, (at / SIDE) as f64);
            let ink = strokes.iter().map(|&(from, to)| (-distance([x, y], from, to).powi(2)).exp()).fold(0.0, f64::max);
            pixels.push((ink + random.random_range(0.0..0.3)) as f32);
        }
        labels.push(u8::from(left));
    }
    let images = Images::new(pixels, labels, SIDE, SIDE).expect("finite squares");
    LabelledImages::new(images, vec!["right".to_string(), "left".to_string()])
}

/// From a point to a line from `a` to `b`.
fn distance(p: [f64; 2], a: [f64; 2], b: [f64; 2]) -> f64 {
    let (along, across) = ([b[0] - a[0], b[1] - a[1]], [p[0] - a[0], p[1] - a[1]]);
    let share = (across[0] * along[0] + across[1] * along[1]) / (along[0].powi(2) + along[1].powi(2));
    let share = share.clamp(0.0, 1.0);
    f64::hypot(across[0] - share * along[0], across[1] - share * along[1])
}

/// A perceptron on all pixels.
#[derive(Module, Debug)]
struct Perceptron {
    hidden: Linear,
    out: Linear,
}

impl Classifier for Perceptron {
    fn forward(&self, images: Tensor<4>) -> Tensor<2> {
        self.out.forward(relu(self.hidden.forward(images.flatten(1, 3))))
    }
}

const HIDDEN: usize = 128;

/// Every random weight comes from the seed, so that a run that is interrupted goes on as if nothing had happened.
fn perceptron(seed: u64, device: &Device) -> Perceptron {
    device.seed(seed);
    Perceptron {
        hidden: LinearConfig::new(SIDE * SIDE, HIDDEN).init(device),
        out: LinearConfig::new(HIDDEN, 2).init(device),
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let flops = 2 * (SIDE * SIDE * HIDDEN + HIDDEN * 2) as u64;
    let task = OwnImages::new("arrows", arrows(640, 1), arrows(500, 2))?
        .with_arm(OwnArm::new("perceptron", "a perceptron on all pixels", false, flops, perceptron))?
        .with_arm(OwnArm::new("perceptron-augmented", "the same, augmented", true, flops, perceptron))?;
    let smoke = std::env::args().any(|argument| argument == "--smoke");
    let request = Request {
        preset: Some(if smoke { "smoke" } else { "quick" }.to_string()),
        sizes: smoke.then(|| vec![40]),
        resume: true,
        ..Request::default()
    };
    let study = compare_on(&task, &request, &Stop::on_signal()?)?;
    println!("{}\n{}\n", report::table(&study.results), study.results.verdict);
    println!("{}", study.out.join("report.html").display());
    Ok(())
}
