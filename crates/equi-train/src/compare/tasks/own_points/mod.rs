//! Points of the user's: the same comparison, on other data.

mod shape;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use burn::tensor::Device;
use equi_core::check::points::PointLayerReports;
use rand::Rng;
use rand::seq::SliceRandom;
use rayon::prelude::*;

use super::own::{FEWEST, Own, OwnArms, Trains, quarters};
use super::points::{self as points_tasks, Asked, PointTrials, augmentation, far};
use crate::augment::PointAugmentation;
use crate::compare::cell::{Work, train_cell};
use crate::compare::check::{trained_on, with_weights};
use crate::compare::probe::motion::point_layers;
use crate::compare::results::{ArmSummary, Cell, DataSymmetry, Domain, Turning};
use crate::compare::symmetry::{self, features};
use crate::compare::view::motion::shown;
use crate::compare::{
    Arm, CellPlan, Checked, CompareError, Growth, Hyperparameters, Network, Plan, Preset, Recipe, Setting, Symmetry,
    Task, Trials, tuning,
};
use crate::data::DataError;
use crate::data::points::{self, Neighbourhood, PointSet, PointSystem, PointTarget, Units};
use crate::data::spatial::{Answer, Sample};
use crate::fit::{PointModel, PointRegression, Schedule, Session, point_answers};
use crate::report;
use crate::seed::{Purpose, stream};
use shape::Shape;

/// Most points of a sample all pairs of which hear of each other: then there are 2,450.
const MOST_OF_ALL_PAIRS: usize = 50;
/// How far samples are moved that are out of range, in their radii.
const FAR: f64 = 10.0;
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

/// Samples in memory.
struct OwnTrials {
    train: Arc<[PointSystem]>,
    test: Vec<PointSystem>,
    shape: Shape,
    arms: OwnArms<Self>,
    plan: Plan,
    device: Device,
}

impl Trials for OwnTrials {
    fn data_symmetry(&self) -> Result<Option<DataSymmetry>, CompareError> {
        let most = self.plan.recipe.sizes.iter().copied().max().unwrap_or(0).min(symmetry::MOST);
        let systems = self.chosen(0, most);
        let features = |place: usize, moved| features::system(&systems[place], place, moved);
        Ok(symmetry::score("rotations and reflections", systems.len(), features))
    }

    fn turning(&self) -> Option<Turning> {
        Turning::of_points(&self.test)
    }

    fn check(&self, arm: &Arm, weights: Option<&Path>) -> Result<Checked, CompareError> {
        let hyperparameters = tuning::beside(weights, arm)?.unwrap_or(self.plan.recipe.hyperparameters(arm));
        let cell = self.plan.recipe.cell(*arm, 0, 0);
        let (seed, device) = (weights_seed(&cell), &self.device);
        match arm.network {
            Network::Equivariant => self.checked(self.shape.built_egnn(&hyperparameters, seed, device), &cell, weights),
            Network::Plain => {
                let config = self.shape.plain(&self.plan.setting, &hyperparameters, device);
                self.checked(self.shape.built_plain(config, seed, device), &cell, weights)
            }
            Network::Linear | Network::Own(_) => {
                Err(CompareError::Request(format!("--arm: {} has no layers that this can tell apart", arm.name)))
            }
        }
    }

    fn run(&self, cell: &CellPlan, session: &Session, progress: &mut dyn FnMut(usize)) -> Result<Cell, CompareError> {
        let work = Work { cell, plan: &self.plan, device: &self.device, session, progress };
        if let Some(own) = self.arms.own(&cell.arm) {
            return own.train(self, work);
        }
        let (seed, device) = (weights_seed(cell), &self.device);
        if cell.arm.network == Network::Equivariant {
            self.train(self.shape.built_egnn(&cell.hyperparameters, seed, device), work)
        } else {
            let config = self.shape.plain(&self.plan.setting, &cell.hyperparameters, device);
            self.train(self.shape.built_plain(config, seed, device), work)
        }
    }
}

impl PointTrials for OwnTrials {
    type Sample = PointSystem;

    fn plan(&self) -> &Plan {
        &self.plan
    }

    fn device(&self) -> &Device {
        &self.device
    }

    fn test(&self) -> &[PointSystem] {
        &self.test
    }

    fn metric(&self) -> &'static str {
        self.shape.metric()
    }

    fn error(&self, answers: &[PointTarget], systems: &[PointSystem]) -> f64 {
        mean_error(answers, systems)
    }

    fn outside(&self, systems: &[PointSystem]) -> Vec<PointSystem> {
        far(systems, FAR * self.shape.radius, Sample::centre)
    }

    fn everywhere(&self) -> PointAugmentation {
        self.shape.everywhere()
    }

    fn translation(&self) -> f64 {
        self.shape.radius
    }
}

/// A network, and the units in which it is given samples.
struct InUnits<'a, M> {
    model: &'a M,
    units: &'a Units,
    device: &'a Device,
}

impl<M: PointModel> points_tasks::Network<PointSystem> for InUnits<'_, M> {
    fn answers(&self, systems: &[PointSystem]) -> Vec<PointTarget> {
        point_answers(self.model, systems, self.units, self.device)
    }

    fn layers(&self, systems: &[PointSystem]) -> PointLayerReports {
        point_layers(self.model, systems, self.units, self.device)
    }
}

impl<M: PointModel> Trains<M> for OwnTrials {
    fn device(&self) -> &Device {
        &self.device
    }

    fn train(&self, model: M, work: Work<'_>) -> Result<Cell, CompareError> {
        let Work { cell, session, .. } = work;
        let systems = shown(cell.arm.view, &self.chosen(cell.seed, cell.train_size));
        let (training, validation) = self.parts(&systems);
        let units = Units::of(training, self.shape.species);
        let augmentation = augmentation(&cell.arm, self.everywhere(), &cell.hyperparameters);
        let problem = PointRegression::new(training, validation, &units, augmentation, cell.seed);
        let exact_untrained = self.asked(&model.valid(), &units, cell).exact_error();
        train_cell(&problem, model, work, |trained| {
            self.asked(trained, &units, cell).tested(exact_untrained, &session.stop)
        })
    }
}

/// The seed of the weights of a cell.
fn weights_seed(cell: &CellPlan) -> u64 {
    stream(cell.seed, Purpose::Weights, 0).next_u64()
}

impl OwnTrials {
    fn asked<'a, M: PointModel>(
        &'a self,
        model: &'a M,
        units: &'a Units,
        cell: &'a CellPlan,
    ) -> Asked<'a, Self, InUnits<'a, M>> {
        Asked { trials: self, cell, network: InUnits { model, units, device: &self.device } }
    }

    /// A network as it is, or with the weights of a file, in the units in which these were trained where its name says so; in those of all training samples otherwise.
    fn checked<M: PointModel>(
        &self,
        model: M,
        cell: &CellPlan,
        weights: Option<&Path>,
    ) -> Result<Checked, CompareError> {
        let model = with_weights(model.valid(), weights)?;
        let (count, seed) = weights.and_then(trained_on).unwrap_or((self.train.len(), 0));
        let systems = shown(cell.arm.view, &self.chosen(seed, count.min(self.train.len())));
        let units = Units::of(self.parts(&systems).0, self.shape.species);
        Ok(self.asked(&model, &units, cell).checked(weights))
    }

    /// The samples that are trained on, and those that choose the epoch.
    fn parts<'a>(&self, systems: &'a [PointSystem]) -> (&'a [PointSystem], &'a [PointSystem]) {
        systems.split_at(systems.len() - self.plan.recipe.validation(systems.len()))
    }

    /// The first `count` training samples in the order of a seed.
    fn chosen(&self, seed: u64, count: usize) -> Vec<PointSystem> {
        let mut order: Vec<usize> = (0..self.train.len()).collect();
        order.shuffle(&mut stream(seed, Purpose::Choice, 0));
        order[..count].iter().map(|&at| self.train[at].clone()).collect()
    }
}

/// The mean over all rows of answers, numbers of samples or vectors of points, of the length of the error.
fn mean_error(predicted: &[PointTarget], systems: &[PointSystem]) -> f64 {
    let lengths = || {
        predicted.iter().zip(systems).flat_map(|(found, system)| {
            let width = found.width();
            let rows = found.numbers().chunks(width).zip(system.target.numbers().chunks(width));
            rows.map(|(a, b)| a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt())
        })
    };
    lengths().sum::<f64>() / lengths().count().max(1) as f64
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use super::points_tasks::turned;
    use super::*;
    use crate::compare::results::{CellStatus, TurnedAnswer};
    use crate::compare::{CheckedParts, Request, View, compare_on};
    use crate::data::points::{PointBatch, PointSample};
    use crate::data::spatial::Spatial;
    use crate::device::resolve;
    use crate::stop::Stop;
    use burn::Tensor;
    use burn::module::Module;
    use burn::nn::{Linear, LinearConfig};
    use equi_core::ops::segment_sum;
    use rand::RngExt;

    /// Points of two species in a ball about (50, 0, 0), with the sum of their squared distances, or the vectors to their centre.
    fn set(count: usize, seed: u64, velocities: bool, vectors: bool) -> PointSet {
        let sample = |number: usize| {
            let mut random = stream(seed, Purpose::Simulation, number as u64);
            let points = 3 + number % 3;
            let mut drawn = |x: f64| -> Vec<[f64; 3]> {
                let one = |_| [x + random.random::<f64>(), random.random(), random.random()];
                (0..points).map(one).collect()
            };
            let positions = drawn(50.0);
            let sum: f64 = (0..points).flat_map(|i| (0..3).map(move |k| (i, k))).map(|(i, k)| positions[i][k]).sum();
            PointSample {
                velocities: velocities.then(|| drawn(0.0)),
                species: (0..points).map(|at| ["A", "B"][at % 2].to_string()).collect(),
                features: Vec::new(),
                target: if vectors { PointTarget::Vectors(drawn(0.0)) } else { PointTarget::Scalar(sum) },
                positions,
            }
        };
        PointSet::new("target", (0..count).map(sample).collect()).unwrap()
    }

    fn task(velocities: bool, vectors: bool) -> OwnPoints {
        let (train, test) = (set(20, 1, velocities, vectors), set(6, 2, velocities, vectors));
        OwnPoints::new("points", train, test, Neighbourhood::All).unwrap()
    }

    fn plan(task: &OwnPoints, matched_by: &str) -> Plan {
        let request = Request {
            preset: Some("smoke".to_string()),
            matched_by: Some(matched_by.to_string()),
            arms: Some(task.arms().iter().map(|arm| arm.name.to_string()).collect()),
            ..Request::default()
        };
        Plan::new(task, &request, &resolve(Some("flex")).unwrap(), None).unwrap()
    }

    #[test]
    fn arms_cost_about_the_same() {
        for (velocities, vectors) in [(false, false), (true, false), (false, true), (true, true)] {
            let task = task(velocities, vectors);
            for matched_by in ["flops", "params"] {
                let plan = plan(&task, matched_by);
                let cost = |arm: &ArmSummary| {
                    if matched_by == "flops" { arm.flops_per_sample as f64 } else { arm.parameters as f64 }
                };
                let equivariant = plan.arms.iter().find(|arm| arm.name == "equivariant").unwrap();
                for arm in &plan.arms {
                    // A width is a whole number of some tens.
                    assert!((cost(arm) / cost(equivariant) - 1.0).abs() < 0.03, "{} {matched_by}", arm.name);
                }
            }
        }
    }

    #[test]
    fn every_arm_is_as_equivariant_as_it_says_with_velocities_too() {
        let task = task(true, true);
        let plan = plan(&task, "flops");
        let trials = task.open(&plan, None, &Device::flex()).unwrap();
        for cell in plan.cells_among(task.arms(), &BTreeMap::new()) {
            let done = trials.run(&cell, &Session::default(), &mut |_| {}).unwrap();
            let errors = done.equivariance_error.unwrap();
            let exact =
                cell.arm.network == Network::Equivariant || matches!(cell.arm.view, View::Canonical | View::Frames);
            for error in [errors.exact_untrained.unwrap(), errors.exact.unwrap()] {
                // Rounding in f32, through four layers.
                assert!(if exact { error < 1e-4 } else { error > 1e-3 }, "{cell}: {error}");
            }
            let (poses, value) = (done.poses.unwrap(), done.metric.unwrap().value);
            assert_eq!(poses.canonical, value, "the test set is no larger than what is posed");
            // A difference quotient in f32 has a hundred times its rounding; a vector that does not turn has an error of 0.8.
            let small_turns = errors.small_turns.unwrap();
            assert!(!exact || small_turns < 1e-2, "{cell}: {errors:?}");
            assert!(!["plain", "augmented"].contains(&cell.arm.name) || small_turns > 3e-2, "{cell}: {errors:?}");
            let told = cell.arm.view == View::AsIs;
            assert_eq!(done.layers.is_empty(), !told, "{cell}");
            let worst = done.layers.iter().filter_map(|layer| layer.exact).fold(0.0, f64::max);
            assert!(!told || (worst < 1e-3) == exact, "{cell}: {:?}", done.layers);
            assert_eq!(done.turning.len(), 6, "{cell}");
            for other in [poses.random, poses.outside] {
                assert!(!exact || (other / value - 1.0).abs() < 1e-3, "{cell}: {poses:?}");
            }
        }
    }

    /// Says of every sample a sum over its edges: a line in their squared lengths.
    #[derive(Module, Debug)]
    struct Lengths {
        linear: Linear,
    }

    impl PointModel for Lengths {
        fn forward(&self, batch: &PointBatch) -> Tensor<2> {
            let squares = batch.graph.displacements(batch.points.positions.clone()).powi_scalar(2).sum_dim(1);
            let of_points = segment_sum(self.linear.forward(squares), batch.graph.receivers());
            segment_sum(of_points, batch.graph.members())
        }
    }

    fn lengths(seed: u64, device: &Device) -> Lengths {
        device.seed(seed);
        Lengths { linear: LinearConfig::new(1, 1).init(device) }
    }

    /// A network that does not work.
    #[derive(Module, Debug)]
    struct Broken {
        linear: Linear,
    }

    impl PointModel for Broken {
        fn forward(&self, _: &PointBatch) -> Tensor<2> {
            panic!("no such shape")
        }
    }

    #[test]
    fn networks_of_the_user_are_arms_and_those_that_panic_are_recorded() {
        let broken = |seed, device: &Device| Broken { linear: lengths(seed, device).linear };
        let task = task(false, false)
            .with_arm(OwnPointArm::new("lengths", "squared lengths", false, 60, lengths))
            .and_then(|task| task.with_arm(OwnPointArm::new("broken", "panics", false, 1, broken)))
            .and_then(|task| task.with_arm(OwnPointArm::new("lengths-augmented", "the same", true, 60, lengths)))
            .unwrap();
        assert_eq!(task.inputs(), 2, "one number for each species");
        assert_eq!(&task.quick_arms()[5..], ["lengths", "broken", "lengths-augmented"]);
        let folder = tempfile::tempdir().unwrap();
        let request = Request {
            preset: Some("smoke".to_string()),
            arms: Some(["lengths", "broken", "lengths-augmented", "plain"].map(str::to_string).to_vec()),
            device: Some("flex".to_string()),
            out: Some(folder.path().join("out")),
            ..Request::default()
        };
        let results = compare_on(&task, &request, &Stop::new()).unwrap().results;
        let of = |name: &str| {
            let cell = results.cells.iter().find(|cell| cell.arm == name).unwrap();
            (cell, results.arms.iter().find(|arm| arm.name == name).unwrap())
        };
        let (cell, _) = of("broken");
        assert_eq!(cell.status, CellStatus::Diverged);
        assert_eq!(cell.message.as_deref(), Some("it panicked: no such shape"));
        for (name, is_augmented) in [("lengths", false), ("lengths-augmented", true)] {
            let (cell, arm) = of(name);
            assert_eq!((cell.status, arm.parameters, arm.flops_per_sample), (CellStatus::Done, 2, 60));
            assert_eq!((arm.test_flops_per_sample, arm.training_flops_per_sample), (Some(60), Some(180)));
            assert_eq!(arm.augmentation != "none", is_augmented);
            // Lengths are the same wherever they are, up to rounding in f32.
            let errors = cell.equivariance_error.as_ref().unwrap();
            assert!(errors.exact.unwrap() < 1e-4 && errors.small_turns.unwrap() < 1e-2, "{errors:?}");
            assert!(cell.layers.is_empty(), "it does not say what its layers are");
            assert!(matches!(&cell.turning[0], TurnedAnswer::Numbers { numbers } if numbers.len() == 48));
        }
        assert_eq!(of("plain").0.status, CellStatus::Done);
        let named = |name| OwnPointArm::new(name, "", false, 1, lengths);
        for name in ["lengths", "plain", "linear"] {
            let refused = task.clone().with_arm(named(name)).unwrap_err().to_string();
            assert!(refused.contains(&format!("`{name}` already")), "{refused}");
        }
    }

    #[test]
    fn networks_are_checked_as_they_are_before_training() {
        for (velocities, vectors) in [(false, false), (true, false), (false, true)] {
            let task = task(velocities, vectors);
            let plan = plan(&task, "flops");
            let trials = task.open(&plan, None, &Device::flex()).unwrap();
            for (name, exact) in [("equivariant", true), ("plain", false), ("frame-averaged", velocities)] {
                let arm = Arm::named(name).unwrap();
                let checked = trials.check(&arm, None).unwrap();
                let CheckedParts::Points { local, layers } = &checked.parts else { panic!("{checked}") };
                assert!(checked.what.contains("before training, seed 0; ") && checked.what.contains("6 test systems"));
                let worst = layers.0.iter().map(|layer| layer.own.error()).fold(0.0, f64::max);
                // Rounding in f32, and a hundred times that in a difference quotient.
                if exact {
                    assert!(checked.error.exact.unwrap() < 1e-4 && local.relative < 1e-2, "{checked}");
                }
                assert_eq!(worst < 1e-3, name == "equivariant", "{checked}");
                if name == "plain" {
                    assert!(checked.error.exact.unwrap() > 1e-3 && local.relative > 1e-3, "{checked}");
                }
                assert_eq!(layers.0.len(), if name == "equivariant" && vectors { 5 } else { 6 }, "{checked}");
            }
        }
    }

    #[test]
    fn the_error_of_vectors_is_their_mean_distance_whatever_the_axes() {
        let sample = |target: PointTarget| PointSample {
            positions: vec![[0.0; 3], [1.0, 0.0, 0.0]],
            velocities: None,
            species: Vec::new(),
            features: Vec::new(),
            target,
        };
        let system = |target| PointSystem::new(&sample(target), [0.0; 3], &[], Neighbourhood::All).unwrap();
        let zero = system(PointTarget::Vectors(vec![[0.0; 3]; 2]));
        let found = PointTarget::Vectors(vec![[3.0, 0.0, -4.0], [0.0, 1.0, 0.0]]);
        assert_eq!(mean_error(std::slice::from_ref(&found), std::slice::from_ref(&zero)), 3.0);
        let mut random = stream(0, Purpose::Probe, 0);
        let turned = found.moved(&equi_core::group::Isometry::random_orthogonal(&mut random));
        assert!((mean_error(&[turned], &[zero]) - 3.0).abs() < 1e-12);
        let numbers = [2.0, -1.0].map(PointTarget::Scalar);
        let right = [5.0, 0.0].map(|y| system(PointTarget::Scalar(y)));
        assert_eq!(mean_error(&numbers, &right), 2.0);
        assert_eq!(
            [task(false, false), task(false, true)].map(|task| task.shape.metric()),
            ["test MAE", "test mean distance"]
        );
    }

    #[test]
    fn poses_move_samples_about_their_centres_and_the_data_about_theirs() {
        let task = task(true, false);
        let systems = &task.train[..];
        let points = systems.iter().map(Sample::points).sum::<usize>() as f64;
        let mean: [f64; 3] = std::array::from_fn(|k| {
            systems.iter().flat_map(|system| &system.positions).map(|x| x[k]).sum::<f64>() / points
        });
        assert!(mean.iter().all(|x| x.abs() < 1e-12), "{mean:?}");
        let apart = |a: &PointSystem, b: &PointSystem| {
            a.centre().iter().zip(b.centre()).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt()
        };
        for (system, turned) in systems.iter().zip(turned(systems)) {
            assert!(apart(system, &turned) < 1e-12);
            assert!((system.positions[0][0] - turned.positions[0][0]).abs() > 1e-6);
        }
        for (system, far) in systems.iter().zip(far(systems, 7.0, Sample::centre)) {
            assert!((apart(system, &far) - 7.0).abs() < 1e-12);
        }
        // Points of a cube of side 1 are about half a unit from their centre, and the radius has two digits.
        assert!((0.3..0.6).contains(&task.shape.radius) && format!("{}", task.shape.radius).len() <= 4);
    }

    #[test]
    fn seeds_begin_with_samples_of_their_own_and_small_sets_are_parts_of_large_ones() {
        let task = task(false, false);
        let plan = plan(&task, "flops");
        let trials = OwnTrials {
            train: task.train.clone(),
            test: task.test.clone(),
            shape: task.shape,
            arms: task.arms.clone(),
            plan,
            device: Device::flex(),
        };
        let first = |seed, count| -> Vec<[f64; 3]> {
            trials.chosen(seed, count).iter().map(|system| system.positions[0]).collect()
        };
        assert_eq!(first(1, 5), first(1, 20)[..5]);
        assert_ne!(first(1, 20), first(2, 20));
    }
}
