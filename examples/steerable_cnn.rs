//! A steerable network on rotated digits, from the group to plain modules for inference.
//!
//! `cargo run --release --example steerable_cnn` (`-- --steps 20` for a quick look)
//!
//! It trains a small C8-equivariant network, shows that turning the input by quarter turns changes nothing before or after
//! training, that 45 degrees are approximate and by how much, and that the exported network gives the same answers.

use std::error::Error;
use std::path::Path;

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use equi::core::action::image::act;
use equi::core::group::{C8, Element};
use equi::train::cost::parameters;
use equi::train::data::mnist;
use equi::train::data::rotated::{Pose, RotatedMnist, Side};
use equi::train::fit::{Classification, Classifier, FitConfig, Outcome, Session, error_percent, fit};
use equi::train::model::{SteerableCnn, SteerableCnnConfig};

fn main() -> Result<(), Box<dyn Error>> {
    let steps = steps_from(std::env::args())?;
    let device = Device::default();

    // 1. The task: handwritten digits in random orientations.
    let digits = RotatedMnist::new(mnist::load(Path::new(mnist::FOLDER))?, 0, Side::Odd);
    let training = digits.training(0, 0..500, Pose::Random)?;
    let test = digits.test(0..1000, Pose::Random)?;
    let (images, _) = test.batch(&(0..32).collect::<Vec<_>>(), &device);

    // 2. The network: regular fields of C8, so every feature comes in 8 orientations.
    let config = SteerableCnnConfig::new(C8, 2, 10);
    let untrained = config.init(0, &device)?;
    println!("{config}: {} parameters\n", parameters(&untrained));
    println!("{:<28}{:>16}{:>16}", "turned by", "untrained", "trained");
    let before = invariance_errors(&untrained, &images);

    // 3. Training: 400 digits, 100 more to choose the best epoch.
    let problem = Classification::new(&training, (0..400).collect(), (400..500).collect(), 0);
    let schedule = FitConfig { learning_rate: 2e-2, batch_size: 32, ..FitConfig::new(0, steps) };
    let outcome = fit(&problem, config.init(0, &device)?, &schedule, &device, &Session::default(), |_| {})?;
    let Outcome::Trained(fitted) = outcome else { return Err("the loss left the finite numbers".into()) };
    let trained: SteerableCnn = fitted.model;

    // 4. f(g . x) = f(x): exact where pixels are only exchanged, approximate where they are resampled.
    let after = invariance_errors(&trained, &images);
    for ((element, before), (_, after)) in before.iter().zip(&after) {
        let exact = if element.is_grid_symmetry() { "" } else { "   (resampled)" };
        println!("{:<28}{before:>16.2e}{after:>16.2e}{exact}", element.to_string());
    }

    // 5. For inference: plain Conv2d modules, filters expanded and batch norms folded in.
    let exported = trained.valid().export()?;
    let logits = trained.forward(images.clone());
    let difference = relative(exported.forward(images), logits);
    let all: Vec<usize> = (0..test.len()).collect();
    println!("\nexported network: logits differ by {difference:.1e} (relative)");
    println!("test error after {steps} steps: {:.1} %", error_percent(&exported, &test, &all, 250, &device));
    Ok(())
}

/// `|f(g . x) - f(x)| / |f(x)|` for every element of C8 but the identity.
fn invariance_errors(model: &SteerableCnn, images: &Tensor<4>) -> Vec<(Element, f64)> {
    let model = model.valid();
    let reference = model.forward(images.clone());
    let elements = C8.elements().expect("C8 is finite");
    let error = |g: Element| (g, relative(model.forward(act(&g, images.clone())), reference.clone()));
    elements.into_iter().skip(1).map(error).collect()
}

fn relative(actual: Tensor<2>, expected: Tensor<2>) -> f64 {
    let norm = |x: Tensor<2>| x.powi_scalar(2).sum().into_scalar::<f64>().sqrt();
    norm(actual - expected.clone()) / norm(expected)
}

fn steps_from(mut arguments: impl Iterator<Item = String>) -> Result<usize, Box<dyn Error>> {
    match arguments.find(|a| a == "--steps") {
        Some(_) => Ok(arguments.next().ok_or("--steps needs a number")?.parse()?),
        None => Ok(300),
    }
}
