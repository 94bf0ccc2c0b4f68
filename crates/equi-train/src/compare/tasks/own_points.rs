//! Points of the user's: the same comparison, on other data.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use burn::tensor::Device;
use equi_core::group::Isometry;
use equi_layers::graph::{EgnnConfig, RawGnnConfig};
use rand::Rng;
use rand::seq::SliceRandom;
use rayon::prelude::*;

use crate::augment::PointAugmentation;
use crate::compare::cell::{Tested, Work, train_cell};
use crate::compare::matching::{seconds_ratio, training_step, width_of_equal_time};
use crate::compare::results::{ArmSummary, Cell, DataSymmetry, Domain, EquivarianceError, Metric, Poses};
use crate::compare::symmetry::{self, features};
use crate::compare::view::motion::{among_frames, averaged, passes, shown};
use crate::compare::{
    ARMS, Arm, CellPlan, CompareError, Growth, Hyperparameters, MatchBy, Network, Plan, Preset, Recipe, Setting,
    Symmetry, Task, Trials, View, nearest_width, probe, view,
};
use crate::cost::parameters;
use crate::data::DataError;
use crate::data::points::{self, Neighbourhood, PointBatch, PointSet, PointSystem, PointTarget, Units};
use crate::data::spatial::{Answer, Sample, Spatial};
use crate::fit::{PointModel, PointRegression, Schedule, Session, point_answers};
use crate::model::dynamics::{egnn_flops, raw_gnn_flops};
use crate::model::points::{PointEgnn, PointGnn};
use crate::report;
use crate::seed::{Purpose, stream};
use crate::stop::Stop;

/// Fewest training samples: a fifth of them choose the epoch.
const FEWEST: usize = 10;
/// Most points of a sample all pairs of which hear of each other: then there are 2,450.
const MOST_OF_ALL_PAIRS: usize = 50;
/// Features of a point between the layers of the equivariant network, and its layers.
const HIDDEN: usize = 64;
const LAYERS: usize = 4;
/// Test samples on which equivariance is measured.
const PROBE: usize = 50;
/// How far samples are moved that are out of range, in their radii.
const FAR: f64 = 10.0;
/// Seed of the poses of test samples, whatever the seeds of a run are.
const TASK_SEED: u64 = 1;
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
}

/// What networks must know of the data.
#[derive(Clone, Copy, Debug)]
struct Shape {
    /// Features that say which species a point is.
    species: usize,
    /// Numbers of a point that networks are given.
    inputs: usize,
    velocities: bool,
    /// Whether a number is told of a sample, or a vector of every point.
    scalar: bool,
    /// How many training samples there are, and the points and edges of all of them.
    samples: usize,
    points: usize,
    edges: usize,
    /// The root mean square distance of the points from the centres of their samples, to two digits.
    radius: f64,
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
        })
    }
}

impl Shape {
    fn of(systems: &[PointSystem], species: usize) -> Self {
        let first = &systems[0];
        let spread = |system: &PointSystem| -> f64 {
            let centre = system.centre();
            system.positions.iter().map(|x| (0..3).map(|k| (x[k] - centre[k]).powi(2)).sum::<f64>()).sum()
        };
        let points = systems.iter().map(Sample::points).sum();
        let radius = (systems.iter().map(spread).sum::<f64>() / points as f64).sqrt();
        let rounded: f64 = format!("{radius:.1e}").parse().unwrap_or(radius);
        Self {
            species,
            inputs: PointBatch::inputs(first.features[0].len(), first.velocities.is_some()),
            velocities: first.velocities.is_some(),
            scalar: first.target.is_scalar(),
            samples: systems.len(),
            points,
            edges: systems.iter().map(|system| system.edges.len()).sum(),
            radius: if rounded > 0.0 { rounded } else { 1.0 },
        }
    }

    /// How the metric is named.
    fn metric(&self) -> &'static str {
        if self.scalar { "test MAE" } else { "test mean distance" }
    }

    /// Points of an average sample, where the answer is a number.
    fn average(&self) -> Option<f64> {
        self.scalar.then_some(self.points as f64 / self.samples as f64)
    }

    fn egnn(&self, hyperparameters: &Hyperparameters) -> EgnnConfig {
        let config = EgnnConfig::new(self.inputs, hyperparameters.channels(HIDDEN)).with_layers(LAYERS);
        let config = match (self.velocities, self.scalar) {
            (true, _) => config.with_velocity(),
            (false, true) => config.invariant(),
            (false, false) => config,
        };
        if self.scalar { config.with_out_features(1) } else { config }
    }

    /// The plain network `width` features wide.
    fn raw(&self, width: usize) -> RawGnnConfig {
        let config = RawGnnConfig::new(self.inputs, width).with_layers(LAYERS);
        let config = config.with_out_features(if self.scalar { 1 } else { 3 });
        if self.velocities { config } else { config.without_velocities() }
    }

    /// The plain network whose cost is nearest to that of the equivariant one; narrower, if the hyperparameters say so.
    fn plain(&self, setting: &Setting, hyperparameters: &Hyperparameters, device: &Device) -> RawGnnConfig {
        let egnn = self.egnn(&Hyperparameters::MATCHED);
        let width = match (setting.plain_width, setting.matched_by) {
            (Some(width), _) => width,
            // Where nothing has been timed, operations are the nearest to time.
            (None, MatchBy::Flops | MatchBy::Time) => {
                nearest_width(egnn_flops(&egnn, self.points, self.edges), |width| {
                    raw_gnn_flops(&self.raw(width), self.points, self.edges)
                })
            }
            (None, MatchBy::Params) => nearest_width(parameters(&egnn.init(device).expect(VALID)) as u64, |width| {
                parameters(&self.raw(width).init(device).expect(VALID)) as u64
            }),
        };
        self.raw(hyperparameters.channels(width))
    }

    /// Every sample turned, mirrored with probability 1/2 and moved by about its radius.
    fn everywhere(&self) -> PointAugmentation {
        PointAugmentation { translation: self.radius, ..PointAugmentation::default() }
    }

    /// What an arm does to its training samples: all that leaves the answer as it is; one of the frames.
    fn augmentation(&self, arm: &Arm, hyperparameters: &Hyperparameters) -> PointAugmentation {
        match arm.view {
            View::Frames => among_frames(),
            _ if arm.augmented => self.everywhere().scaled(hyperparameters.augmentation),
            _ => PointAugmentation::none(),
        }
    }
}

/// A training step that is timed.
fn step<'a, M: PointModel>(
    systems: &'a [PointSystem],
    units: &'a Units,
    model: M,
    device: &Device,
) -> impl FnMut() + use<'a, M> {
    let problem = PointRegression::new(systems, systems, units, PointAugmentation::none(), 0);
    training_step(problem, model.train(), systems.len(), device)
}

/// Why configurations of this file can be built.
const VALID: &str = "widths and numbers of layers are positive";

/// How a view is called behind the name of a network.
fn described(view: View) -> String {
    match view {
        View::AsIs => String::new(),
        View::Averaged => format!(", averaged over {} poses in tests", passes(view)),
        View::Canonical => ", in the frame of the principal components".to_string(),
        View::Frames => format!(", averaged over {} frames of the principal components", passes(view)),
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

    /// All that are trained.
    fn arms(&self) -> &[Arm] {
        let trained = ARMS.iter().take_while(|arm| arm.is_trained()).count();
        &ARMS[..trained]
    }

    fn quick_arms(&self) -> &[&'static str] {
        &["plain", "augmented", "augmented-tta", "equivariant", "canonical"]
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
        let all = self.train.len().min(most);
        let mut sizes: Vec<usize> =
            [all / 16, all / 4, all].into_iter().filter(|&size| size >= 2 * FEWEST || size == all).collect();
        if preset == Preset::Smoke {
            sizes.truncate(1);
        }
        Recipe {
            sizes,
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
        let Shape { samples, points, edges, .. } = self.shape;
        let (model, parameters, flops) = match arm.network {
            Network::Equivariant => {
                let config = self.shape.egnn(hyperparameters);
                let kind = if config.update_positions { "EGNN" } else { "invariant EGNN" };
                let with = if config.velocity { " with velocities" } else { "" };
                (
                    format!("{kind}{with}, {LAYERS} layers, {} features", config.hidden),
                    parameters(&config.init(device).expect(VALID)),
                    egnn_flops(&config, points, edges),
                )
            }
            Network::Plain => {
                let config = self.shape.plain(setting, hyperparameters, device);
                (
                    format!("GNN on coordinates, {LAYERS} layers, {} features", config.hidden),
                    parameters(&config.init(device).expect(VALID)),
                    raw_gnn_flops(&config, points, edges),
                )
            }
            Network::Linear | Network::Own(_) => unreachable!("points of the user's have no arm {}", arm.name),
        };
        // Of an average sample.
        let flops_per_sample = flops / samples as u64;
        Ok(ArmSummary {
            name: arm.name.to_string(),
            model: model + &described(arm.view),
            parameters,
            flops_per_sample,
            test_flops_per_sample: Some(passes(arm.view) as u64 * flops_per_sample),
            training_flops_per_sample: Some(3 * flops_per_sample),
            augmentation: self.shape.augmentation(arm, hyperparameters).to_string(),
        })
    }

    fn width_by_time(&self, setting: &Setting, device: &Device) -> Result<usize, CompareError> {
        let shape = self.shape;
        let systems = &self.train[..BATCH.min(self.train.len())];
        let units = Units::of(systems, shape.species);
        let matched = &Hyperparameters::MATCHED;
        width_of_equal_time(shape.plain(setting, matched, device).hidden, |width| {
            let egnn = PointEgnn::new(shape.egnn(matched).init(device).expect(VALID), shape.average());
            let plain = PointGnn::new(shape.raw(width).init(device).expect(VALID), shape.average());
            Ok(seconds_ratio(step(systems, &units, egnn, device), step(systems, &units, plain, device)))
        })
    }

    fn open(&self, plan: &Plan, _data: Option<&Path>, device: &Device) -> Result<Box<dyn Trials>, CompareError> {
        let count = plan.recipe.test_size.min(self.test.len());
        // From all over a set that may be sorted.
        let test = (0..count).map(|place| self.test[place * self.test.len() / count].clone()).collect();
        Ok(Box::new(OwnTrials {
            train: self.train.clone(),
            test,
            shape: self.shape,
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
    plan: Plan,
    device: Device,
}

/// A network, and how an arm asks it.
struct Asked<'a, M> {
    model: &'a M,
    cell: &'a CellPlan,
    units: &'a Units,
    stop: &'a Stop,
}

impl Trials for OwnTrials {
    fn data_symmetry(&self) -> Result<Option<DataSymmetry>, CompareError> {
        let most = self.plan.recipe.sizes.iter().copied().max().unwrap_or(0).min(symmetry::MOST);
        let systems = self.chosen(0, most);
        let features = |place: usize, moved| features::system(&systems[place], place, moved);
        Ok(symmetry::score("rotations and reflections", systems.len(), features))
    }

    fn run(&self, cell: &CellPlan, session: &Session, progress: &mut dyn FnMut(usize)) -> Result<Cell, CompareError> {
        let work = Work { cell, plan: &self.plan, device: &self.device, session, progress };
        let seed = stream(cell.seed, Purpose::Weights, 0).next_u64();
        let average = self.shape.average();
        let hyperparameters = &cell.hyperparameters;
        match cell.arm.network {
            Network::Equivariant => {
                let network = self.shape.egnn(hyperparameters).with_seed(seed).init(&self.device).expect(VALID);
                self.train(PointEgnn::new(network, average), work)
            }
            _ => {
                let config = self.shape.plain(&self.plan.setting, hyperparameters, &self.device).with_seed(seed);
                self.train(PointGnn::new(config.init(&self.device).expect(VALID), average), work)
            }
        }
    }
}

impl OwnTrials {
    fn train<M: PointModel>(&self, model: M, work: Work<'_>) -> Result<Cell, CompareError> {
        let Work { cell, session, .. } = work;
        let systems = shown(cell.arm.view, &self.chosen(cell.seed, cell.train_size));
        let held_out = self.plan.recipe.validation(systems.len());
        let (training, validation) = systems.split_at(systems.len() - held_out);
        let units = Units::of(training, self.shape.species);
        let augmentation = self.shape.augmentation(&cell.arm, &cell.hyperparameters);
        let problem = PointRegression::new(training, validation, &units, augmentation, cell.seed);
        let exact = |model: &M| self.exact_error(&Asked { model, cell, units: &units, stop: &Stop::new() });
        let exact_untrained = exact(&model.valid());
        train_cell(&problem, model, work, |trained| {
            let asked = Asked { model: trained, cell, units: &units, stop: &session.stop };
            let error = |systems: &[PointSystem]| Some(mean_error(&self.answers(&asked, systems)?, systems));
            let predicted = self.answers(&asked, &self.test)?;
            let few = view::posed(self.test.len());
            let some = &self.test[..few];
            Some(Tested {
                metric: Metric { name: self.shape.metric().to_string(), value: mean_error(&predicted, &self.test) },
                equivariance_error: EquivarianceError {
                    exact_untrained,
                    exact: exact(trained),
                    rotation_45: None,
                    resampling_floor_45: None,
                    small_turns: None,
                },
                poses: Poses {
                    canonical: mean_error(&predicted[..few], some),
                    random: error(&turned(some))?,
                    outside: error(&far(some, FAR * self.shape.radius))?,
                },
                layers: Vec::new(),
                turning: Vec::new(),
            })
        })
    }

    /// What an arm says of samples, in units of the data; none if it was stopped.
    fn answers<M: PointModel>(&self, asked: &Asked<'_, M>, systems: &[PointSystem]) -> Option<Vec<PointTarget>> {
        let Asked { model, cell, units, stop } = *asked;
        let predict = |systems: &[PointSystem]| point_answers(model, systems, units, &self.device);
        averaged(cell.arm.view, systems, self.shape.everywhere(), cell.seed, stop, predict)
    }

    /// How far the arm as a whole is from equivariant: its network, and the poses it is shown.
    fn exact_error<M: PointModel>(&self, asked: &Asked<'_, M>) -> Option<f64> {
        let probes = &self.test[..PROBE.min(self.test.len())];
        let predict = |systems: &[PointSystem]| self.answers(asked, systems).expect("nobody stops it");
        probe::motion::exact_error_within(self.shape.radius, predict, probes)
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

/// Samples, each turned at random about its centre.
fn turned(systems: &[PointSystem]) -> Vec<PointSystem> {
    let turn = |(place, system): (usize, &PointSystem)| {
        let rotation = Isometry::random_rotation(&mut stream(TASK_SEED, Purpose::Poses, place as u64));
        let there = Isometry::translation(system.centre()).expect("positions are finite");
        system.moved(&(there * rotation * there.inverse()))
    };
    systems.iter().enumerate().map(turn).collect()
}

/// Samples, each mirrored and moved by `distance` in a direction of its own.
fn far(systems: &[PointSystem], distance: f64) -> Vec<PointSystem> {
    let away = |(place, system): (usize, &PointSystem)| {
        let rotation = Isometry::random_rotation(&mut stream(TASK_SEED, Purpose::Poses, place as u64));
        let offset = Isometry::translation(rotation.act([distance, 0.0, 0.0])).expect("a finite offset");
        let there = Isometry::translation(system.centre()).expect("positions are finite");
        system.moved(&(offset * there * PointAugmentation::mirror(1) * there.inverse()))
    };
    systems.iter().enumerate().map(away).collect()
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use super::*;
    use crate::compare::Request;
    use crate::data::points::PointSample;
    use crate::device::resolve;
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
            for other in [poses.random, poses.outside] {
                assert!(!exact || (other / value - 1.0).abs() < 1e-3, "{cell}: {poses:?}");
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
        let turned = found.moved(&Isometry::random_orthogonal(&mut random));
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
        for (system, far) in systems.iter().zip(far(systems, 7.0)) {
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
