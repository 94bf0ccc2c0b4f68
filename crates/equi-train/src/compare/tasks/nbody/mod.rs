//! `nbody`: where will charged particles be, 1,000 steps from now?

mod networks;
#[cfg(all(test, feature = "flex"))]
mod tests;
mod trials;

use std::collections::BTreeMap;
use std::path::Path;

use burn::tensor::Device;

use super::points::{augmentation, described};
use crate::augment::PointAugmentation;
use crate::compare::matching::{seconds_ratio, training_step, width_of_equal_time};
use crate::compare::results::{ArmSummary, Domain};
use crate::compare::view::motion::passes;
use crate::compare::{
    ARMS, Arm, CompareError, Growth, Hyperparameters, Plan, Preset, Recipe, Setting, Symmetry, Task, Trials,
};
use crate::data::nbody::{self, Motion};
use crate::fit::{Dynamics, Prediction, Schedule};
use networks::{Config, Use, plain, raw};
use trials::Systems;

/// Seed of the simulations: part of the task, whatever the seeds of a run are.
const TASK_SEED: u64 = 1;
/// Particles of a system, and the pairs of them.
const PARTICLES: usize = 5;
const PAIRS: usize = PARTICLES * (PARTICLES - 1);
/// Operations of `x + t v`.
const LINEAR_FLOPS: u64 = 2 * 3 * PARTICLES as u64;
/// Motions of a training step that is timed: as many as a batch of the recipe has.
const TIMED: usize = 100;

/// Charged particles: the task `nbody_small` of Satorras et al., *E(n) Equivariant Graph Neural Networks*, ICML 2021.
///
/// As there, the motions that choose the epoch are a set apart: they do not count as training motions.
#[derive(Clone, Copy, Debug)]
pub struct NBody;

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
        Ok(Box::new(Systems::new(plan, device)?))
    }
}
