//! What networks must know of samples of the user's, and the networks that are made for that.

use burn::tensor::Device;
use equi_layers::graph::{EgnnConfig, RawGnnConfig};

use super::super::points::{augmentation, described};
use crate::augment::PointAugmentation;
use crate::compare::matching::{matched_width, seconds_ratio, training_step, width_of_equal_time};
use crate::compare::results::ArmSummary;
use crate::compare::view::motion::passes;
use crate::compare::{Arm, CompareError, Hyperparameters, Network, Setting};
use crate::cost::parameters;
use crate::data::points::{PointBatch, PointSystem, Units};
use crate::data::spatial::Sample;
use crate::fit::PointRegression;
use crate::model::dynamics::{egnn_flops, raw_gnn_flops};
use crate::model::points::{PointEgnn, PointGnn};

/// Features of a point between the layers of the equivariant network, and its layers.
const HIDDEN: usize = 64;
const LAYERS: usize = 4;
/// Why configurations of this file can be built.
const VALID: &str = "widths and numbers of layers are positive";

/// What networks must know of the data.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    /// Features that say which species a point is.
    pub species: usize,
    /// Numbers of a point that networks are given.
    pub inputs: usize,
    pub velocities: bool,
    /// Whether a number is told of a sample, or a vector of every point.
    pub scalar: bool,
    /// How many training samples there are, and the points and edges of all of them.
    pub samples: usize,
    pub points: usize,
    pub edges: usize,
    /// The root mean square distance of the points from the centres of their samples, to two digits.
    pub radius: f64,
}

impl Shape {
    pub fn of(systems: &[PointSystem], species: usize) -> Self {
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
    pub fn metric(&self) -> &'static str {
        if self.scalar { "test MAE" } else { "test mean distance" }
    }

    /// Points of an average sample, where the answer is a number.
    pub fn average(&self) -> Option<f64> {
        self.scalar.then_some(self.points as f64 / self.samples as f64)
    }

    pub fn egnn(&self, hyperparameters: &Hyperparameters) -> EgnnConfig {
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
    pub fn plain(&self, setting: &Setting, hyperparameters: &Hyperparameters, device: &Device) -> RawGnnConfig {
        let egnn = self.egnn(&Hyperparameters::MATCHED);
        let width = matched_width(
            setting,
            (
                || egnn_flops(&egnn, self.points, self.edges),
                |width| raw_gnn_flops(&self.raw(width), self.points, self.edges),
            ),
            (
                || parameters(&egnn.init(device).expect(VALID)),
                |width| parameters(&self.raw(width).init(device).expect(VALID)),
            ),
        );
        self.raw(hyperparameters.channels(width))
    }

    /// The equivariant network with the weights of a seed.
    pub fn built_egnn(&self, hyperparameters: &Hyperparameters, seed: u64, device: &Device) -> PointEgnn {
        let network = self.egnn(hyperparameters).with_seed(seed).init(device).expect(VALID);
        PointEgnn::new(network, self.average())
    }

    /// A plain network with the weights of a seed.
    pub fn built_plain(&self, config: RawGnnConfig, seed: u64, device: &Device) -> PointGnn {
        PointGnn::new(config.with_seed(seed).init(device).expect(VALID), self.average())
    }

    /// Every sample turned, mirrored with probability 1/2 and moved by about its radius.
    pub fn everywhere(&self) -> PointAugmentation {
        PointAugmentation { translation: self.radius, ..PointAugmentation::default() }
    }

    /// The network of `arm`, its cost and its augmentation.
    pub fn contestant(
        &self,
        arm: &Arm,
        setting: &Setting,
        hyperparameters: &Hyperparameters,
        device: &Device,
    ) -> ArmSummary {
        let Self { samples, points, edges, .. } = *self;
        let (model, parameters, flops) = match arm.network {
            Network::Equivariant => {
                let config = self.egnn(hyperparameters);
                let kind = if config.update_positions { "EGNN" } else { "invariant EGNN" };
                let with = if config.velocity { " with velocities" } else { "" };
                (
                    format!("{kind}{with}, {LAYERS} layers, {} features", config.hidden),
                    parameters(&config.init(device).expect(VALID)),
                    egnn_flops(&config, points, edges),
                )
            }
            Network::Plain => {
                let config = self.plain(setting, hyperparameters, device);
                (
                    format!("GNN on coordinates, {LAYERS} layers, {} features", config.hidden),
                    parameters(&config.init(device).expect(VALID)),
                    raw_gnn_flops(&config, points, edges),
                )
            }
            Network::Linear | Network::Own(_) => unreachable!("{} has a network of its own", arm.name),
        };
        // Of an average sample.
        let network = (model + &described(arm.view), parameters, flops / samples as u64);
        ArmSummary::new(arm, network, passes(arm.view), augmentation(arm, self.everywhere(), hyperparameters))
    }

    /// The width of the plain network whose training step on `systems` takes as long as that of the equivariant one.
    pub fn width_by_time(
        &self,
        systems: &[PointSystem],
        setting: &Setting,
        device: &Device,
    ) -> Result<usize, CompareError> {
        let (units, matched) = (Units::of(systems, self.species), &Hyperparameters::MATCHED);
        let still = PointAugmentation::none();
        width_of_equal_time(self.plain(setting, matched, device).hidden, |width| {
            let (egnn, plain) = (self.built_egnn(matched, 0, device), self.built_plain(self.raw(width), 0, device));
            Ok(seconds_ratio(
                training_step(PointRegression::new(systems, systems, &units, still, 0), egnn, device),
                training_step(PointRegression::new(systems, systems, &units, still, 0), plain, device),
            ))
        })
    }
}
