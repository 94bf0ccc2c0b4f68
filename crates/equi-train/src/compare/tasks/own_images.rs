//! Images of the user's: the same comparison, on other data.

use std::collections::BTreeMap;
use std::f64::consts::TAU;
use std::path::Path;

use burn::tensor::Device;
use equi_core::group::C8;
use equi_core::resample::{resample_host, rotation_inverse};
use rand::RngExt;
use rand::seq::SliceRandom;
use rayon::prelude::*;

use super::images::{ImageTrials, Shape, Source, mirrored};
use crate::compare::results::{ArmSummary, Domain};
use crate::compare::{ARMS, Arm, CompareError, Growth, Plan, Preset, Recipe, Setting, Symmetry, Task, Trials, view};
use crate::data::files::{self, LabelledImages};
use crate::data::{DataError, Images};
use crate::fit::Schedule;
use crate::seed::{Purpose, stream};

/// Fewest training images: a fifth of them choose the epoch.
const FEWEST: usize = 10;

/// Which class is it? On images of the user's, of folders or arrays ([`files`]).
///
/// Training images are taken in an order of their own for every seed, the same ones first whatever their number; test images as they are. The three
/// poses are these: as they are, turned about the middle by a random angle each, and these mirrored. What turns out of the image is lost, and zeros come in.
#[derive(Clone, Debug)]
pub struct OwnImages {
    name: String,
    about: String,
    train: LabelledImages,
    test: LabelledImages,
    symmetry: Symmetry,
}

impl OwnImages {
    /// A task called `name` on the images in `train` and `test`, scaled to `side` where one is given; the group is C8, and nothing is flipped.
    ///
    /// # Errors
    ///
    /// When the images cannot be used, or differ in their classes.
    pub fn read(name: &str, train: &Path, test: &Path, side: Option<usize>) -> Result<Self, CompareError> {
        let [train, test] =
            [(train, "training"), (test, "test")].map(|(path, _)| files::read(path, side).map(|data| (path, data)));
        let ((train_path, train), (test_path, test)) = (train?, test?);
        let own =
            |path: &Path, message: String| CompareError::Data(DataError::Own { path: path.to_path_buf(), message });
        if train.classes != test.classes {
            let only = |a: &LabelledImages, b: &LabelledImages| {
                a.classes.iter().find(|class| !b.classes.contains(class)).cloned().unwrap_or_default()
            };
            let (missing, where_) = if only(&train, &test).is_empty() {
                (only(&test, &train), train_path)
            } else {
                (only(&train, &test), test_path)
            };
            return Err(own(
                where_,
                format!("class `{missing}` is missing: training and test images must have the same classes"),
            ));
        }
        let sides = [&train, &test].map(|data| data.images.width());
        if sides[0] != sides[1] {
            return Err(own(
                test_path,
                format!(
                    "test images lie in squares of {0} x {0} pixels and training images of {1} x {1}: give a `side` that all are scaled to",
                    sides[1], sides[0]
                ),
            ));
        }
        if train.images.len() < FEWEST {
            return Err(own(
                train_path,
                format!("{} training images are too few: there must be {FEWEST} at least", train.images.len()),
            ));
        }
        let about = format!(
            "which of {} classes is it? ({} training and {} test images, {side} x {side})",
            train.classes.len(),
            train.images.len(),
            test.images.len(),
            side = sides[0]
        );
        Ok(Self { name: name.to_string(), about, train, test, symmetry: Symmetry::Planar { group: C8, flips: 0.0 } })
    }

    fn shape(&self) -> Shape {
        Shape { side: self.train.images.width(), classes: self.train.classes.len() }
    }
}

impl Task for OwnImages {
    fn name(&self) -> &str {
        &self.name
    }

    fn about(&self) -> &str {
        &self.about
    }

    fn domain(&self) -> Domain {
        Domain::Images
    }

    fn arms(&self) -> &'static [Arm] {
        let trained = ARMS.iter().take_while(|arm| arm.is_trained()).count();
        &ARMS[..trained]
    }

    fn quick_arms(&self) -> &'static [&'static str] {
        &["plain", "augmented", "augmented-tta", "equivariant"]
    }

    fn data(&self) -> Option<String> {
        let of = |data: &LabelledImages| {
            let counts: Vec<String> = data.counts().iter().map(|(class, count)| format!("{count} {class}")).collect();
            format!("{} (SHA-256 {})", counts.join(", "), data.digest)
        };
        Some(format!("training images: {}; test images: {}", of(&self.train), of(&self.test)))
    }

    fn poses(&self) -> [&'static str; 3] {
        ["as they are", "any angle", "turned and mirrored"]
    }

    fn symmetry(&self) -> Symmetry {
        self.symmetry
    }

    fn train_sizes(&self) -> (usize, usize) {
        (FEWEST, self.train.images.len())
    }

    /// As for `mnist-rot`, with up to three sizes, each a quarter of the next; the largest is that of the data.
    fn recipe(&self, preset: Preset, _model: Option<&str>) -> Recipe {
        let all = self.train.images.len();
        let mut sizes: Vec<usize> =
            [all / 16, all / 4, all].into_iter().filter(|&size| size >= 2 * FEWEST || size == all).collect();
        let (seeds, steps_per_100, epochs, batch_size) = match preset {
            Preset::Smoke => (1, 17, 4, 8),
            Preset::Quick => (2, 120, 10, 32),
            Preset::Standard => (5, 300, 20, 64),
            Preset::Paper => (5, 1000, 40, 64),
        };
        if preset == Preset::Smoke {
            sizes.truncate(1);
        }
        Recipe {
            sizes,
            seeds,
            test_size: self.test.images.len(),
            steps_per_100,
            growth: Growth::SquareRoot,
            epochs,
            batch_size,
            learning_rate: 2e-2,
            arm_rates: BTreeMap::new(),
            schedule: Schedule::default(),
            weight_decay: 1e-4,
            clip_norm: None,
            weight_average: None,
            validation_one_in: 5,
            validation_size: 0,
        }
    }

    fn contestant(&self, arm: &Arm, setting: &Setting, device: &Device) -> Result<ArmSummary, CompareError> {
        self.shape().contestant(arm, setting, device)
    }

    fn open(&self, plan: &Plan, _data: Option<&Path>, device: &Device) -> Result<Box<dyn Trials>, CompareError> {
        let test = self.test.images.clone();
        let few = view::posed(test.len());
        let turned = turned(&test, few);
        let mirrored = mirrored(&turned, 0..few);
        let poses = [None, Some(turned), Some(mirrored)];
        let source = self.train.images.clone();
        Ok(Box::new(ImageTrials {
            source,
            shape: self.shape(),
            test,
            poses,
            plan: plan.clone(),
            device: device.clone(),
        }))
    }
}

impl Source for Images {
    fn training(&self, seed: u64, count: usize) -> Result<Images, DataError> {
        if count > self.len() {
            return Err(DataError::TooMany { start: 0, end: count, part: "training", available: self.len() });
        }
        let mut order: Vec<usize> = (0..self.len()).collect();
        order.shuffle(&mut stream(seed, Purpose::Choice, 0));
        let pixels = order[..count].iter().flat_map(|&at| self.image(at)).copied().collect();
        let labels = order[..count].iter().map(|&at| self.labels()[at]).collect();
        Images::new(pixels, labels, self.height(), self.width())
    }
}

/// The first `count` images, each turned by an angle of its own.
fn turned(images: &Images, count: usize) -> Images {
    let (height, width) = (images.height(), images.width());
    let one = |at: usize| {
        let angle = TAU * stream(0, Purpose::Poses, at as u64).random::<f64>();
        resample_host(images.image(at), height, width, rotation_inverse(angle))
    };
    let pixels: Vec<Vec<f32>> = (0..count).into_par_iter().map(one).collect();
    Images::new(pixels.concat(), images.labels()[..count].to_vec(), height, width)
        .expect("resampling keeps sizes and finite values")
}
