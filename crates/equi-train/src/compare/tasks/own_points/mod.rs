//! Points of the user's: the same comparison, on other data.

mod shape;
#[cfg(all(test, feature = "flex"))]
mod tests;
mod trials;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use burn::tensor::Device;
use rayon::prelude::*;

use super::own::{FEWEST, Own, OwnArms, quarters};
use super::points::augmentation;
use crate::compare::results::{ArmSummary, Domain};
use crate::compare::{
    Arm, CompareError, Growth, Hyperparameters, Plan, Preset, Recipe, Setting, Symmetry, Task, Trials,
};
use crate::data::DataError;
use crate::data::points::{self, Neighbourhood, PointSet, PointSystem, Units};
use crate::fit::{PointModel, Schedule};
use crate::report;
use shape::Shape;
use trials::{OwnTrials, mean_error};

/// Most points of a sample all pairs of which hear of each other: then there are 2,450.
const MOST_OF_ALL_PAIRS: usize = 50;
/// Samples of a training step.
const BATCH: usize = 32;

/// A number of a sample of points, or a vector of every point? On samples of the user's, of files or made by a program ([`points`]), with the arms of `nbody`.
///
/// The equivariant network is an EGNN, invariant for a number of samples without velocities; the plain one a graph network on coordinates that sees no distances. Both
/// are shown the species, features and velocities of the points, in units in which the training samples of a cell are of size 1 ([`Units`]); the origin is the
/// mean of all positions of the training samples.
///
/// The metric is the mean length of the errors, in units of the data:
///
/// ```text
/// test MAE            = mean over samples |y - y'|      of a number
/// test mean distance  = mean over points  |y_i - y_i'|  of vectors, by the Euclidean norm, which no rotation changes
/// ```
///
/// Training samples are taken in an order of their own for every seed, the same ones first whatever their number; test samples as they are. The
/// three poses are these: as they are, turned about their centres at random, and mirrored and moved away by ten times the radius of an average sample.
#[derive(Clone, Debug)]
pub struct OwnPoints {
    name: String,
    about: String,
    data: String,
    train: Arc<[PointSystem]>,
    test: Vec<PointSystem>,
    shape: Shape,
    arms: OwnArms<OwnTrials>,
}

/// A network of the user's as an arm of a study of [points](OwnPoints): what it is called, whether its training samples are augmented, and how it is made.
#[derive(Debug)]
pub struct OwnPointArm(Own<OwnTrials>);

impl OwnPointArm {
    /// An arm that is called `name` and does what `about` says, with the network that `build` makes for a seed, on a device that keeps gradients.
    /// `flops` are the operations of one forward pass of an average sample, for the costs in the report; `augmented` turns, mirrors and moves training samples at random.
    ///
    /// It is not made to match the other networks in cost; the report says what it costs. It is tested as the others are, and layer by layer if it says
    /// [what its layers are](PointModel::node_layers).
    ///
    /// The network sees a [`PointBatch`](points::PointBatch) with [`OwnPoints::inputs`] numbers of every point, in [`Units`] in which all is of size 1, and gives numbers `[samples, 1]` or
    /// vectors `[points, 3]` in these units.
    pub fn new<M: PointModel + 'static>(
        name: &'static str,
        about: &'static str,
        augmented: bool,
        flops: u64,
        build: impl Fn(u64, &Device) -> M + Send + Sync + 'static,
    ) -> Self {
        Self(Own::new(name, about, augmented, flops, build))
    }
}

impl OwnPoints {
    /// A task called `name` on the samples of the files `train` and `test`, whose `target` is to be predicted.
    ///
    /// # Errors
    ///
    /// When the samples cannot be used, or differ in what they have.
    pub fn read(
        name: &str,
        train: &Path,
        test: &Path,
        target: &str,
        neighbourhood: Neighbourhood,
    ) -> Result<Self, CompareError> {
        let [a, b] = [train, test].map(|path| points::read(path, target));
        Self::of(name, (train, a?), (test, b?), neighbourhood)
    }

    /// The same on samples that are in memory.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read).
    pub fn new(
        name: &str,
        train: PointSet,
        test: PointSet,
        neighbourhood: Neighbourhood,
    ) -> Result<Self, CompareError> {
        Self::of(name, (Path::new("training samples"), train), (Path::new("test samples"), test), neighbourhood)
    }

    fn of(
        name: &str,
        (train_path, train): (&Path, PointSet),
        (test_path, test): (&Path, PointSet),
        neighbourhood: Neighbourhood,
    ) -> Result<Self, CompareError> {
        let own =
            |path: &Path, message: String| CompareError::Data(DataError::Own { path: path.to_path_buf(), message });
        let (trained, tested) = (train.samples.len(), test.samples.len());
        if trained < FEWEST || tested == 0 {
            let few = format!(
                "{trained} training and {tested} test samples are too few: there must be {FEWEST} and 1 at least"
            );
            return Err(own(train_path, few));
        }
        if let Some(difference) = test.samples[0].difference(&train.samples[0]) {
            let message =
                format!("its sample 0 {difference} of {}: both files must have the same", train_path.display());
            return Err(own(test_path, message));
        }
        let kinds = |set: &PointSet| -> BTreeSet<String> {
            set.samples.iter().flat_map(|sample| sample.species.iter().cloned()).collect()
        };
        let (species, asked) = (kinds(&train), kinds(&test));
        if let Some(unknown) = asked.difference(&species).next() {
            let message = format!(
                "species `{unknown}` is in no training sample: networks cannot learn what it is; add some, or remove these"
            );
            return Err(own(test_path, message));
        }
        let largest = train.samples.iter().chain(&test.samples).map(points::PointSample::points).max().unwrap_or(0);
        if largest < 2 {
            return Err(own(train_path, "every sample has a single point, which has nothing to turn".to_string()));
        }
        if neighbourhood == Neighbourhood::All && largest > MOST_OF_ALL_PAIRS {
            let message = format!(
                "samples have up to {largest} points, and all pairs are joined up to {MOST_OF_ALL_PAIRS} only: give a `radius`, or a number of `neighbours`"
            );
            return Err(own(train_path, message));
        }
        let names: Vec<String> = species.into_iter().collect();
        let positions = || train.samples.iter().flat_map(|sample| &sample.positions);
        let origin = std::array::from_fn(|k| positions().map(|x| x[k]).sum::<f64>() / positions().count() as f64);
        let systems = |set: &PointSet, path: &Path| -> Result<Vec<PointSystem>, CompareError> {
            let made = set.samples.par_iter().map(|sample| PointSystem::new(sample, origin, &names, neighbourhood));
            made.collect::<Result<_, _>>().map_err(|error| own(path, error.to_string()))
        };
        let (systems, tests) = (systems(&train, train_path)?, systems(&test, test_path)?);
        let shape = Shape::of(&systems, names.len());
        if shape.edges == 0 {
            let message = format!(
                "no two points of a sample are neighbours ({neighbourhood}): networks would see nothing; widen the radius"
            );
            return Err(own(train_path, message));
        }
        let numbers = || systems.iter().flat_map(|system| system.target.numbers());
        let first = *numbers().next().expect("samples have points");
        if numbers().all(|&number| number == first) {
            return Err(own(train_path, format!("all `{}` are {first}: there is nothing to learn", train.target)));
        }

        let target = &train.target;
        let metric = shape.metric();
        let what =
            if shape.scalar { format!("the {target} of a sample") } else { format!("the {target} of its points") };
        let per_sample = shape.points as f64 / trained as f64;
        let guess = {
            let units = Units::of(&systems, shape.species);
            let constant: usize = tests.iter().map(|system| system.target.numbers().len()).sum();
            mean_error(&units.answers(&tests, &vec![0.0; constant]), &tests)
        };
        Ok(Self {
            name: name.to_string(),
            about: format!(
                "{what}? ({trained} training and {tested} test samples, {} points on average)",
                report::number(metric, per_sample)
            ),
            data: format!(
                "{trained} training samples (SHA-256 {}) and {tested} test samples (SHA-256 {}) of {} points on average, joined by {neighbourhood}; predicted is {what}, \
                 where {} has a {metric} of {}",
                train.digest,
                test.digest,
                report::number(metric, per_sample),
                if shape.scalar { "the mean of the training samples" } else { "zero" },
                report::number(metric, guess),
            ),
            train: systems.into(),
            test: tests,
            shape,
            arms: OwnArms::new(&["plain", "augmented", "augmented-tta", "equivariant", "canonical"]),
        })
    }

    /// With a network of the user's as an arm, too.
    ///
    /// # Errors
    ///
    /// If there is an arm of this name.
    pub fn with_arm(mut self, arm: OwnPointArm) -> Result<Self, CompareError> {
        self.arms = self.arms.with(arm.0)?;
        Ok(self)
    }

    /// Numbers of every point that networks are given besides its position and velocity: one for each species, its features, and its speed; 1 if that is nothing.
    pub fn inputs(&self) -> usize {
        self.shape.inputs
    }
}

impl Task for OwnPoints {
    fn name(&self) -> &str {
        &self.name
    }

    fn about(&self) -> &str {
        &self.about
    }

    fn domain(&self) -> Domain {
        Domain::Points
    }

    fn arms(&self) -> &[Arm] {
        self.arms.all()
    }

    fn quick_arms(&self) -> &[&'static str] {
        self.arms.quick()
    }

    fn data(&self) -> Option<String> {
        Some(self.data.clone())
    }

    fn poses(&self) -> [&'static str; 3] {
        ["as they are", "any rotation", "mirrored, 10 radii away"]
    }

    fn symmetry(&self) -> Symmetry {
        Symmetry::Euclidean
    }

    fn train_sizes(&self) -> (usize, usize) {
        (FEWEST, self.train.len())
    }

    /// Up to three sizes, each a quarter of the next. The largest is that of the data, but for the limits of the smaller presets, which also test on no more samples.
    fn recipe(&self, preset: Preset, _model: Option<&str>) -> Recipe {
        let (seeds, steps_per_100, epochs, batch_size, tuning_trials, most) = match preset {
            Preset::Smoke => (1, 17, 4, 8, 0, 200),
            Preset::Quick => (2, 300, 20, BATCH, 0, 1600),
            Preset::Standard => (5, 1000, 40, BATCH, 6, 20_000),
            Preset::Paper => (5, 3000, 80, BATCH, 16, usize::MAX),
        };
        Recipe {
            sizes: quarters(self.train.len().min(most), preset),
            seeds,
            test_size: self.test.len().min(most),
            steps_per_100,
            growth: Growth::SquareRoot,
            epochs,
            batch_size,
            learning_rate: 3e-3,
            arm_rates: BTreeMap::new(),
            schedule: Schedule::default(),
            weight_decay: 0.0,
            clip_norm: Some(1.0),
            weight_average: None,
            validation_one_in: 5,
            validation_size: 0,
            tuning_trials,
        }
    }

    fn contestant(
        &self,
        arm: &Arm,
        setting: &Setting,
        hyperparameters: &Hyperparameters,
        device: &Device,
    ) -> Result<ArmSummary, CompareError> {
        Ok(match self.arms.own(arm) {
            Some(own) => own.summary(device, augmentation(arm, self.shape.everywhere(), hyperparameters)),
            None => self.shape.contestant(arm, setting, hyperparameters, device),
        })
    }

    fn width_by_time(&self, setting: &Setting, device: &Device) -> Result<usize, CompareError> {
        self.shape.width_by_time(&self.train[..BATCH.min(self.train.len())], setting, device)
    }

    fn open(&self, plan: &Plan, _data: Option<&Path>, device: &Device) -> Result<Box<dyn Trials>, CompareError> {
        let count = plan.recipe.test_size.min(self.test.len());
        // From all over a set that may be sorted.
        let test = (0..count).map(|place| self.test[place * self.test.len() / count].clone()).collect();
        Ok(Box::new(OwnTrials {
            train: self.train.clone(),
            test,
            shape: self.shape,
            arms: self.arms.clone(),
            plan: plan.clone(),
            device: device.clone(),
        }))
    }
}
