//! `nbody`: where will charged particles be, 1,000 steps from now?

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::Path;
use std::rc::Rc;

use burn::tensor::Device;
use equi_core::check::points::PointLayerReports;
use equi_core::o3::{Irrep, Irreps, MulIrrep};
use equi_layers::graph::{EgnnConfig, LinearMotion, RadialFieldConfig, RawGnnConfig};
use equi_layers::o3::TensorFieldNetworkConfig;
use equi_layers::se3_transformer::{AttentionScope, Keys, SE3TransformerConfig, Skip};

use super::points::{self, Asked, PointTrials, augmentation, described, far, weights_seed};
use crate::augment::PointAugmentation;
use crate::compare::cell::{Work, train_cell};
use crate::compare::check::with_weights;
use crate::compare::matching::{matched_width, seconds_ratio, training_step, width_of_equal_time};
use crate::compare::probe::motion::{TRANSLATION, layers};
use crate::compare::results::{ArmSummary, Cell, DataSymmetry, Domain, Turning};
use crate::compare::symmetry::{self, features};
use crate::compare::view::motion::{mean_squared_error, passes, shown};
use crate::compare::{
    ARMS, Arm, CellPlan, Checked, CompareError, Growth, Hyperparameters, Network, Plan, Preset, Recipe, Setting,
    Symmetry, Task, Trials, tuning,
};
use crate::cost::parameters;
use crate::data::nbody::{self, Motion, MotionBatch};
use crate::fit::{Dynamics, Prediction, Schedule, Session, positions};
use crate::memory::peak_rss_mib;
use crate::model::dynamics::{egnn_flops, radial_field_flops, raw_gnn_flops};
use crate::model::se3_transformer::{SE3TransformerMotion, se3_transformer_flops};
use crate::model::tensor_field::{TensorFieldMotion, tensor_field_flops};
use crate::stop::Stop;

/// Seed of the simulations: part of the task, whatever the seeds of a run are.
const TASK_SEED: u64 = 1;
/// Features of a node between the layers of the equivariant network, and its layers: those of the paper.
const HIDDEN: usize = 64;
const LAYERS: usize = 4;
/// Features of an edge: the product of the charges and the squared distance.
const EDGE_FEATURES: usize = 2;
/// Particles of a system, and the pairs of them.
const PARTICLES: usize = 5;
const PAIRS: usize = PARTICLES * (PARTICLES - 1);
/// How far motions are moved that are out of range: systems are some units wide.
const FAR: f64 = 10.0;
/// Operations of `x + t v`.
const LINEAR_FLOPS: u64 = 2 * 3 * PARTICLES as u64;
/// Motions of a training step that is timed: as many as a batch of the recipe has.
const TIMED: usize = 100;

/// Charged particles: the task `nbody_small` of Satorras et al., *E(n) Equivariant Graph Neural Networks*, ICML 2021.
///
/// As there, the motions that choose the epoch are a set apart: they do not count as training motions.
#[derive(Clone, Copy, Debug)]
pub struct NBody;

/// The networks of all arms. A new equivariant one is one entry here and in [`NBody::models`].
#[derive(Clone, Debug)]
enum Config {
    Egnn(EgnnConfig),
    RadialField(RadialFieldConfig),
    SE3Transformer(Box<SE3TransformerConfig>),
    TensorField(Box<TensorFieldNetworkConfig>),
    Raw(RawGnnConfig),
}

/// What is done with a network, whichever it is.
trait Use {
    type Output;

    fn with<M: Dynamics + 'static>(self, model: M) -> Self::Output;
}

impl Config {
    /// The network of `arm`; none where it has none.
    fn of(arm: &Arm, setting: &Setting, hyperparameters: &Hyperparameters, device: &Device) -> Option<Self> {
        match arm.network {
            Network::Equivariant => Some(Self::equivariant(setting, hyperparameters)),
            Network::Plain => Some(Self::Raw(plain(setting, hyperparameters, device))),
            Network::Linear => None,
            Network::Own(name) => unreachable!("nbody has no arm {name}"),
        }
    }

    /// The network that `--model` names, narrower if the hyperparameters say so.
    fn equivariant(setting: &Setting, hyperparameters: &Hyperparameters) -> Self {
        let hidden = hyperparameters.channels(HIDDEN);
        match setting.model.as_deref() {
            Some("radial-field") => {
                Self::RadialField(RadialFieldConfig::new(hidden).with_edge_features(EDGE_FEATURES).with_layers(LAYERS))
            }
            Some("se3-transformer") => Self::SE3Transformer(Box::new(se3_transformer(hyperparameters))),
            Some("tensor-field") => Self::TensorField(Box::new(tensor_field(hyperparameters))),
            _ => {
                let config = EgnnConfig::new(1, hidden).with_velocity();
                Self::Egnn(config.with_edge_features(EDGE_FEATURES).with_layers(LAYERS))
            }
        }
    }

    /// Builds the network, with the weights of a seed, for `user`.
    fn build<U: Use>(self, seed: u64, device: &Device, user: U) -> U::Output {
        match self {
            Self::Egnn(config) => user.with(config.with_seed(seed).init(device).expect(VALID)),
            Self::RadialField(config) => user.with(config.with_seed(seed).init(device).expect(VALID)),
            Self::SE3Transformer(config) => {
                user.with(SE3TransformerMotion::new(config.with_seed(Some(seed)).init(device).expect(VALID)))
            }
            Self::TensorField(config) => {
                user.with(TensorFieldMotion::new(config.with_seed(seed).init(device).expect(VALID)))
            }
            Self::Raw(config) => user.with(config.with_seed(seed).init(device).expect(VALID)),
        }
    }

    fn flops(&self, device: &Device) -> u64 {
        match self {
            Self::Egnn(config) => egnn_flops(config, PARTICLES, PAIRS),
            Self::RadialField(config) => radial_field_flops(config, PARTICLES, PAIRS),
            Self::SE3Transformer(config) => se3_transformer_flops(config, PARTICLES, PAIRS),
            Self::TensorField(config) => tensor_field_flops(&config.init(device).expect(VALID), PARTICLES, PAIRS),
            Self::Raw(config) => raw_gnn_flops(config, PARTICLES, PAIRS),
        }
    }

    fn parameters(&self, device: &Device) -> usize {
        struct Count;
        impl Use for Count {
            type Output = usize;

            fn with<M: Dynamics + 'static>(self, model: M) -> usize {
                parameters(&model)
            }
        }
        self.clone().build(0, device, Count)
    }

    fn describe(&self) -> String {
        match self {
            Self::Egnn(config) => format!("EGNN with velocities, {LAYERS} layers, {} features", config.hidden),
            Self::RadialField(config) => format!("radial field, {LAYERS} layers, {} features", config.hidden),
            Self::SE3Transformer(config) => {
                format!("SE(3)-Transformer, {} blocks of attention, fibre {}", config.depth, config.fibre_hidden())
            }
            Self::TensorField(config) => {
                format!("tensor field network, {} layers, {}", config.layers, config.irreps_hidden)
            }
            Self::Raw(config) => {
                format!("GNN on coordinates, {} layers, {} features", config.layers, config.hidden)
            }
        }
    }
}

/// Two blocks of attention as Fuchs et al. have them, but for keys that are the values: half the convolutions, and no larger errors.
///
/// Kernels that mirrors break are left out: the law has reflections, and the errors of equivariance are measured with them.
fn se3_transformer(hyperparameters: &Hyperparameters) -> SE3TransformerConfig {
    let heads = 4;
    let channels = hyperparameters.channels(16).next_multiple_of(heads);
    SE3TransformerConfig::new(channels)
        .with_input_fibre(Some(SE3TransformerMotion::fibre_in()))
        .with_output_fibre(Some(SE3TransformerMotion::fibre_out()))
        .with_edge_dim(1)
        .with_depth(2)
        .with_heads(heads)
        .with_dim_head(channels / heads)
        .with_radial_hidden(16)
        .with_keys(Keys::Tied)
        .with_attend_self(false)
        .with_attention_scope(AttentionScope::AllDegrees)
        .with_skip(Skip::Cat)
        .with_feed_forward(false)
        .with_reflections(true)
}

/// Three convolutions of scalars and vectors, which hear all but the farthest particles.
fn tensor_field(hyperparameters: &Hyperparameters) -> TensorFieldNetworkConfig {
    let channels = hyperparameters.channels(32);
    let hidden = [MulIrrep::new(channels, Irrep::even(0)), MulIrrep::new(channels, Irrep::odd(1))];
    let neighbours = (PARTICLES - 1) as f64;
    TensorFieldMotion::config(Irreps::new(hidden), 10.0, neighbours).with_lmax(2).with_radial(32, [64])
}

/// Why configurations of this file can be built.
const VALID: &str = "widths and numbers of layers are positive";

/// The plain network `width` features wide.
fn raw(width: usize) -> RawGnnConfig {
    RawGnnConfig::new(1, width).with_edge_features(EDGE_FEATURES).with_layers(LAYERS)
}

/// The plain network whose cost is nearest to that of the equivariant one; narrower, if the hyperparameters say so.
fn plain(setting: &Setting, hyperparameters: &Hyperparameters, device: &Device) -> RawGnnConfig {
    let equivariant = Config::equivariant(setting, &Hyperparameters::MATCHED);
    let width = matched_width(
        setting,
        (|| equivariant.flops(device), |width| raw_gnn_flops(&raw(width), PARTICLES, PAIRS)),
        (|| equivariant.parameters(device), |width| parameters(&raw(width).init(device).expect(VALID))),
    );
    raw(hyperparameters.channels(width))
}

impl Task for NBody {
    fn name(&self) -> &str {
        "nbody"
    }

    fn about(&self) -> &str {
        "where will five charged particles be? (simulated; 2,000 test systems)"
    }

    fn domain(&self) -> Domain {
        Domain::Points
    }

    fn arms(&self) -> &[Arm] {
        &ARMS
    }

    fn quick_arms(&self) -> &[&'static str] {
        &["plain", "augmented", "augmented-tta", "equivariant", "canonical", "linear"]
    }

    fn poses(&self) -> [&'static str; 3] {
        ["as simulated", "any rotation", "mirrored, 10 units away"]
    }

    fn models(&self) -> &'static [&'static str] {
        &["egnn", "radial-field", "se3-transformer", "tensor-field"]
    }

    fn symmetry(&self) -> Symmetry {
        Symmetry::Euclidean
    }

    fn train_sizes(&self) -> (usize, usize) {
        (1, 100_000)
    }

    /// Networks and batches are those published. The paper trains 10,000 passes at a constant 5e-4 and keeps the best; here 160
    /// passes at 4e-3 do, with clipped gradients, which a few close encounters dominate, and averaged weights.
    /// The radial field, whose shifts grow with the distances, bears a quarter of that rate. The weights of a tensor field network are of
    /// size 1, and divided by the root of their number when used: they take larger steps.
    fn recipe(&self, preset: Preset, model: Option<&str>) -> Recipe {
        let own = |rate| ["equivariant", "equivariant-augmented"].map(|arm| (arm.to_string(), rate)).into();
        let arm_rates = match model {
            Some("radial-field") => own(1e-3),
            Some("tensor-field") => own(3e-2),
            _ => BTreeMap::new(),
        };
        let recipe = Recipe {
            sizes: vec![100, 400, 1600],
            seeds: 2,
            test_size: 2000,
            steps_per_100: 400,
            growth: Growth::SquareRoot,
            epochs: 20,
            batch_size: 100,
            learning_rate: 4e-3,
            arm_rates,
            schedule: Schedule::Constant,
            weight_decay: 0.0,
            clip_norm: Some(0.1),
            weight_average: Some(0.999),
            validation_one_in: 1,
            validation_size: 500,
            tuning_trials: 0,
        };
        match preset {
            Preset::Smoke => Recipe {
                sizes: vec![20],
                seeds: 1,
                test_size: 40,
                steps_per_100: 17,
                epochs: 4,
                batch_size: 10,
                validation_size: 20,
                ..recipe
            },
            // Half the steps: a few minutes on two cores.
            Preset::Quick => Recipe { steps_per_100: 200, ..recipe },
            Preset::Standard => Recipe {
                sizes: vec![100, 250, 600, 1500, 4000],
                seeds: 5,
                epochs: 30,
                validation_size: 2000,
                tuning_trials: 6,
                ..recipe
            },
            Preset::Paper => Recipe {
                sizes: vec![3000],
                seeds: 3,
                steps_per_100: 160,
                growth: Growth::Proportional,
                epochs: 160,
                validation_size: 2000,
                ..recipe
            },
        }
    }

    fn contestant(
        &self,
        arm: &Arm,
        setting: &Setting,
        hyperparameters: &Hyperparameters,
        device: &Device,
    ) -> Result<ArmSummary, CompareError> {
        let network = match Config::of(arm, setting, hyperparameters, device) {
            Some(config) => (config.describe(), config.parameters(device), config.flops(device)),
            None => ("x + t v".to_string(), 1, LINEAR_FLOPS),
        };
        let augmentation = augmentation(arm, PointAugmentation::default(), hyperparameters);
        let (model, parameters, flops) = network;
        Ok(ArmSummary::new(arm, (model + &described(arm.view), parameters, flops), passes(arm.view), augmentation))
    }

    fn width_by_time(&self, setting: &Setting, device: &Device) -> Result<usize, CompareError> {
        struct Step<'a>(&'a [Motion], &'a Device);
        impl<'a> Use for Step<'a> {
            type Output = Box<dyn FnMut() + 'a>;

            fn with<M: Dynamics + 'static>(self, model: M) -> Self::Output {
                let Self(motions, device) = self;
                Box::new(training_step(Prediction::new(motions, motions, 0), model, device))
            }
        }
        let motions = nbody::NBody::new(TASK_SEED).validation(TIMED)?;
        let step = |config: Config| config.build(0, device, Step(&motions, device));
        let counted = plain(setting, &Hyperparameters::MATCHED, device).hidden;
        width_of_equal_time(counted, |width| {
            let equivariant = Config::equivariant(setting, &Hyperparameters::MATCHED);
            Ok(seconds_ratio(step(equivariant), step(Config::Raw(raw(width)))))
        })
    }

    fn open(&self, plan: &Plan, data: Option<&Path>, device: &Device) -> Result<Box<dyn Trials>, CompareError> {
        if data.is_some() {
            return Err(CompareError::Request(
                "--data: nbody is simulated and reads no files; leave the option out".to_string(),
            ));
        }
        let source = nbody::NBody::new(TASK_SEED);
        Ok(Box::new(Systems {
            test: source.test(plan.recipe.test_size)?,
            validation: source.validation(plan.recipe.validation_size)?,
            training: RefCell::default(),
            source,
            plan: plan.clone(),
            device: device.clone(),
        }))
    }
}

/// The simulations in memory.
struct Systems {
    source: nbody::NBody,
    test: Vec<Motion>,
    validation: Vec<Motion>,
    /// The training motions of a seed, as many as the largest cell needs.
    training: RefCell<BTreeMap<u64, Rc<[Motion]>>>,
    plan: Plan,
    device: Device,
}

impl Trials for Systems {
    fn data_symmetry(&self) -> Result<Option<DataSymmetry>, CompareError> {
        let motions = self.largest(0)?;
        let features = |place: usize, moved| features::motion(&motions[place], place, moved);
        Ok(symmetry::score("rotations and reflections", motions.len(), features))
    }

    fn check(&self, arm: &Arm, weights: Option<&Path>) -> Result<Checked, CompareError> {
        struct Check<'a>(&'a Systems, &'a CellPlan, Option<&'a Path>);
        impl Use for Check<'_> {
            type Output = Result<Checked, CompareError>;

            fn with<M: Dynamics + 'static>(self, model: M) -> Self::Output {
                let Self(systems, cell, weights) = self;
                let model = with_weights(model.valid(), weights)?;
                Ok(systems.asked(&model, cell).checked(weights))
            }
        }
        let hyperparameters = tuning::beside(weights, arm)?.unwrap_or(self.plan.recipe.hyperparameters(arm));
        let cell = self.plan.recipe.cell(*arm, 0, 0);
        match Config::of(arm, &self.plan.setting, &hyperparameters, &self.device) {
            Some(config) => config.build(weights_seed(&cell), &self.device, Check(self, &cell, weights)),
            None => Err(CompareError::Request(format!("--arm: {} has no layers that this can tell apart", arm.name))),
        }
    }

    fn turning(&self) -> Option<Turning> {
        Turning::of_points(&self.test)
    }

    fn run(&self, cell: &CellPlan, session: &Session, progress: &mut dyn FnMut(usize)) -> Result<Cell, CompareError> {
        struct Train<'a>(&'a Systems, Work<'a>);
        impl Use for Train<'_> {
            type Output = Result<Cell, CompareError>;

            fn with<M: Dynamics + 'static>(self, model: M) -> Self::Output {
                let Self(systems, work) = self;
                systems.train(model, work)
            }
        }
        let work = Work { cell, plan: &self.plan, device: &self.device, session, progress };
        match Config::of(&cell.arm, &self.plan.setting, &cell.hyperparameters, &self.device) {
            Some(config) => config.build(weights_seed(cell), &self.device, Train(self, work)),
            None => self.fit_line(cell),
        }
    }
}

impl PointTrials for Systems {
    type Sample = Motion;

    fn plan(&self) -> &Plan {
        &self.plan
    }

    fn device(&self) -> &Device {
        &self.device
    }

    fn test(&self) -> &[Motion] {
        &self.test
    }

    fn metric(&self) -> &'static str {
        "test MSE"
    }

    fn error(&self, answers: &[Vec<[f64; 3]>], motions: &[Motion]) -> f64 {
        mean_squared_error(answers, motions)
    }

    fn outside(&self, motions: &[Motion]) -> Vec<Motion> {
        outside(motions)
    }

    fn everywhere(&self) -> PointAugmentation {
        PointAugmentation::default()
    }

    fn translation(&self) -> f64 {
        TRANSLATION
    }
}

/// A network on a device.
struct OnDevice<'a, M>(&'a M, &'a Device);

impl<M: Dynamics> points::Network<Motion> for OnDevice<'_, M> {
    fn answers(&self, motions: &[Motion]) -> Vec<Vec<[f64; 3]>> {
        positions(self.0, motions, self.1)
    }

    fn layers(&self, motions: &[Motion]) -> PointLayerReports {
        layers(self.0, motions, self.1)
    }
}

impl Systems {
    fn asked<'a, M: Dynamics>(&'a self, model: &'a M, cell: &'a CellPlan) -> Asked<'a, Self, OnDevice<'a, M>> {
        Asked { trials: self, cell, network: OnDevice(model, &self.device) }
    }

    fn train<M: Dynamics>(&self, model: M, work: Work<'_>) -> Result<Cell, CompareError> {
        let Work { cell, session, .. } = work;
        let training = shown(cell.arm.view, &self.training(cell)?);
        let validation = shown(cell.arm.view, &self.validation);
        let augmentation = augmentation(&cell.arm, self.everywhere(), &cell.hyperparameters);
        let problem = Prediction::new(&training, &validation, cell.seed).with_augmentation(augmentation);
        let exact_untrained = self.asked(&model.valid(), cell).exact_error();
        train_cell(&problem, model, work, |trained| self.asked(trained, cell).tested(exact_untrained, &session.stop))
    }

    /// `x + t v`, with the time that fits the training motions best.
    fn fit_line(&self, cell: &CellPlan) -> Result<Cell, CompareError> {
        let motions = self.training(cell)?;
        let graph = MotionBatch::graph(motions.len(), PARTICLES, &self.device);
        let MotionBatch { points, targets, .. } = MotionBatch::new(&*motions, &graph, &self.device);
        let velocities = points.velocities.expect("motions have velocities");
        let exact_untrained = self.asked(&LinearMotion::new(1.0, &self.device), cell).exact_error();
        let fitted = LinearMotion::fit(points.positions, velocities, targets);
        let tested = self.asked(&fitted, cell).tested(exact_untrained, &Stop::new()).expect("nobody stops it");
        Ok(Cell {
            metric: Some(tested.metric),
            equivariance_error: Some(tested.equivariance_error),
            poses: Some(tested.poses),
            turning: tested.turning,
            peak_rss_mib: peak_rss_mib(),
            ..Cell::begun(cell)
        })
    }

    /// The training motions of a cell.
    fn training(&self, cell: &CellPlan) -> Result<Rc<[Motion]>, CompareError> {
        Ok(self.largest(cell.seed)?[..cell.train_size].into())
    }

    /// The training motions of the largest cell of a seed.
    fn largest(&self, seed: u64) -> Result<Rc<[Motion]>, CompareError> {
        if let Some(kept) = self.training.borrow().get(&seed) {
            return Ok(kept.clone());
        }
        let most = self.plan.recipe.sizes.iter().copied().max().unwrap_or(0);
        let all: Rc<[Motion]> = self.source.training(seed, most)?.into();
        self.training.borrow_mut().insert(seed, all.clone());
        Ok(all)
    }
}

/// Motions, each mirrored and moved far in a direction of its own.
fn outside(motions: &[Motion]) -> Vec<Motion> {
    far(motions, FAR, |_| [0.0; 3])
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use super::points::turned;
    use super::*;
    use crate::compare::results::CellStatus;
    use crate::compare::{Request, View};
    use crate::device::resolve;

    fn plan(change: impl FnOnce(&mut Request)) -> Plan {
        let mut request =
            Request { task: "nbody".to_string(), preset: Some("smoke".to_string()), ..Request::default() };
        change(&mut request);
        Plan::new(&NBody, &request, &resolve(Some("flex")).unwrap(), None).unwrap()
    }

    fn run(plan: &Plan, cell: &CellPlan) -> Cell {
        let trials = NBody.open(plan, None, &Device::flex()).unwrap();
        trials.run(cell, &Session::default(), &mut |_| {}).unwrap()
    }

    #[test]
    fn arms_cost_about_the_same() {
        for (matched_by, model) in [
            ("flops", "egnn"),
            ("params", "egnn"),
            ("flops", "radial-field"),
            ("flops", "se3-transformer"),
            ("params", "se3-transformer"),
            ("flops", "tensor-field"),
            ("params", "tensor-field"),
        ] {
            let plan = plan(|request| {
                request.matched_by = Some(matched_by.to_string());
                request.model = Some(model.to_string());
                request.arms = Some(NBody.arms().iter().map(|arm| arm.name.to_string()).collect());
            });
            let costs = |arm: &str| {
                let arm = plan.arms.iter().find(|summary| summary.name == arm).unwrap();
                if matched_by == "flops" { arm.flops_per_sample as f64 } else { arm.parameters as f64 }
            };
            for arm in ["plain", "augmented", "canonical", "frame-averaged"] {
                // A width is a whole number: near 10 features, the next one costs a fifth more.
                let tolerance = if model == "radial-field" { 0.1 } else { 0.02 };
                assert!((costs(arm) / costs("equivariant") - 1.0).abs() < tolerance, "{arm} {matched_by} {model}");
            }
        }
    }

    #[test]
    fn arms_are_as_equivariant_as_they_say() {
        for (place, model) in NBody.models().iter().enumerate() {
            let plan = plan(|request| {
                request.model = Some(model.to_string());
                // What does not depend on the model is tried with the first.
                let arms = NBody.arms().iter().filter(|arm| place == 0 || arm.network == Network::Equivariant);
                request.arms = Some(arms.map(|arm| arm.name.to_string()).collect());
            });
            for cell in plan.cells() {
                let done = run(&plan, &cell);
                let errors = done.equivariance_error.unwrap();
                let exact =
                    cell.arm.network != Network::Plain || matches!(cell.arm.view, View::Canonical | View::Frames);
                for error in [errors.exact_untrained.unwrap(), errors.exact.unwrap()] {
                    // Rounding in f32, through up to four layers.
                    assert!(if exact { error < 1e-5 } else { error > 1e-3 }, "{cell}: {error}");
                }
                // That of a difference quotient.
                assert!(!exact || errors.small_turns.unwrap() < 1e-3, "{cell}: {errors:?}");
                let told = cell.arm.view == View::AsIs && cell.arm.network != Network::Linear;
                assert_eq!(done.layers.is_empty(), !told, "{cell}");
                let worst = done.layers.iter().filter_map(|layer| layer.exact).fold(0.0, f64::max);
                assert!(!told || (worst < 1e-3) == exact, "{cell}: {:?}", done.layers);
                let poses = done.poses.unwrap();
                let value = done.value().unwrap();
                assert_eq!(poses.canonical, value, "the test set is no larger than what is posed");
                for other in [poses.random, poses.outside] {
                    // Coordinates of size 10 are rounded, and errors are differences of a tenth.
                    assert!(!exact || (other / value - 1.0).abs() < 1e-3, "{cell}: {poses:?}");
                }
                // A plain network knows where it is.
                assert!(cell.arm.name != "plain" || (poses.outside / value - 1.0).abs() > 1e-2, "{cell}: {poses:?}");
                let epochs = if cell.arm.is_trained() { plan.recipe.epochs } else { 0 };
                assert_eq!((done.status, done.validation_curve.len()), (CellStatus::Done, epochs));
                let summary = plan.arms.iter().find(|arm| arm.name == cell.arm.name).unwrap();
                assert_eq!(summary.test_flops(), passes(cell.arm.view) as u64 * summary.flops_per_sample);
            }
        }
    }

    #[test]
    fn poses_move_motions_as_their_names_say() {
        let motions = nbody::NBody::new(TASK_SEED).test(3).unwrap();
        let centre = |motion: &Motion| -> [f64; 3] {
            std::array::from_fn(|k| motion.start.positions.iter().map(|x| x[k]).sum::<f64>() / PARTICLES as f64)
        };
        for (motion, turned) in motions.iter().zip(turned(&motions)) {
            assert!(centre(motion).iter().zip(centre(&turned)).all(|(a, b)| (a - b).abs() < 1e-12));
            assert!((motion.start.positions[0][0] - turned.start.positions[0][0]).abs() > 1e-6);
        }
        for (motion, far) in motions.iter().zip(outside(&motions)) {
            let [x, y, z] = centre(motion);
            let distance: f64 = [-x, y, z].iter().zip(centre(&far)).map(|(a, b)| (a - b).powi(2)).sum();
            assert!((distance.sqrt() - FAR).abs() < 1e-9, "{distance}");
        }
    }

    #[test]
    fn a_line_is_fitted_to_the_training_motions() {
        let plan = plan(|request| request.sizes = Some(vec![200]));
        let cell = plan.recipe.cell(Arm::named("linear").unwrap(), 200, 3);
        let motions = nbody::NBody::new(TASK_SEED).training(3, 200).unwrap();
        let test = nbody::NBody::new(TASK_SEED).test(plan.recipe.test_size).unwrap();
        let error = |motions: &[Motion], time: f64| {
            let coordinates = motions.iter().flat_map(|motion| {
                let start = &motion.start;
                let (x, v, y) =
                    (start.positions.as_flattened(), start.velocities.as_flattened(), motion.end.as_flattened());
                x.iter().zip(v).zip(y).map(|((x, v), y)| (x + time * v - y).powi(2)).collect::<Vec<_>>()
            });
            coordinates.sum::<f64>() / (15 * motions.len()) as f64
        };
        let best =
            (0..2000).map(|i| f64::from(i) * 1e-3).min_by(|a, b| error(&motions, *a).total_cmp(&error(&motions, *b)));
        let value = run(&plan, &cell).metric.unwrap().value;
        // The grid is a thousandth wide, and the error flat at the minimum of the training motions.
        assert!((value - error(&test, best.unwrap())).abs() < 1e-3 * value, "{value}");
    }

    #[test]
    fn folders_are_for_tasks_with_files() {
        let refused = NBody.open(&plan(|_| {}), Some(Path::new("data")), &Device::flex());
        assert!(refused.err().unwrap().to_string().contains("--data: nbody is simulated"));
    }
}
