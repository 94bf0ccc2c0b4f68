//! How the cells of a comparison are trained.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Arm, CellPlan, Hyperparameters};
use crate::fit::{FitConfig, Optimizer, Schedule};

/// How every cell is trained. The same for all arms, but for the learning rates that a task documents for them and for what
/// [tuning](super::tuning) finds, and to the end: an arm that may stop early would have a smaller budget than the others, so [`FitConfig::patience`] is not used here.
/// The best epoch is chosen all the same.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Recipe {
    /// Numbers of training samples; validation samples included, unless there is a set of those.
    pub sizes: Vec<usize>,
    /// Number of seeds.
    pub seeds: u64,
    /// Number of test samples.
    pub test_size: usize,
    /// Optimiser steps for 100 training samples.
    pub steps_per_100: usize,
    /// How the steps grow with the samples.
    #[serde(default, skip_serializing_if = "is_default")]
    pub growth: Growth,
    /// Validations a cell.
    pub epochs: usize,
    /// Samples a step.
    pub batch_size: usize,
    /// Peak learning rate.
    pub learning_rate: f64,
    /// Peak learning rates of the arms that do not have the common one.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub arm_rates: BTreeMap<String, f64>,
    /// How the learning rate falls.
    #[serde(default, skip_serializing_if = "is_default")]
    pub schedule: Schedule,
    /// Weight decay of AdamW; with none, that is Adam.
    pub weight_decay: f32,
    /// Largest L2 norm of the gradient of one parameter tensor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clip_norm: Option<f32>,
    /// Decay of the moving average of the weights, which is then what is tested; none for the weights themselves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight_average: Option<f64>,
    /// One in this many training samples is held out to choose the epoch, unless there is a validation set.
    pub validation_one_in: usize,
    /// Number of samples in the validation set, apart from the training samples; 0 if there is none.
    #[serde(default, skip_serializing_if = "is_default")]
    pub validation_size: usize,
    /// Trials of hyperparameters for every arm, see [`tuning`](super::tuning); 0 if all are trained as said here.
    #[serde(default, skip_serializing_if = "is_default")]
    pub tuning_trials: usize,
}

/// How the optimiser steps grow with the training samples.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Growth {
    /// `n` samples get `sqrt(n / 100)` times as many steps as 100, so 16 times the data takes 4 times the work.
    #[default]
    SquareRoot,
    /// `n` samples get `n / 100` times as many: the same number of passes over the data.
    Proportional,
}

/// Most checkpoints that a cell writes.
const CHECKPOINTS: usize = 40;

impl Recipe {
    /// Optimiser steps for `size` training samples.
    pub fn steps(&self, size: usize) -> usize {
        let hundreds = size as f64 / 100.0;
        let factor = match self.growth {
            Growth::SquareRoot => hundreds.sqrt(),
            Growth::Proportional => hundreds,
        };
        ((self.steps_per_100 as f64 * factor).round() as usize).max(self.epochs)
    }

    /// How many of `size` training samples are held out for validation.
    pub fn validation(&self, size: usize) -> usize {
        if self.validation_size > 0 { 0 } else { (size / self.validation_one_in).max(1) }
    }

    /// The peak learning rate of an arm.
    pub fn rate(&self, arm: &str) -> f64 {
        self.arm_rates.get(arm).copied().unwrap_or(self.learning_rate)
    }

    /// The same with one peak learning rate for all arms.
    pub fn with_rate(mut self, rate: f64) -> Self {
        self.learning_rate = rate;
        self.arm_rates.clear();
        self
    }

    /// The hyperparameters of an arm that is not tuned: those of the arm whose training it shares, so that they have one network.
    pub fn hyperparameters(&self, arm: &Arm) -> Hyperparameters {
        Hyperparameters {
            learning_rate: self.rate(arm.training().name),
            weight_decay: self.weight_decay,
            width: 1.0,
            augmentation: 1.0,
        }
    }

    /// A cell of an arm that is not tuned.
    pub fn cell(&self, arm: Arm, train_size: usize, seed: u64) -> CellPlan {
        CellPlan::new(arm, train_size, seed, self.hyperparameters(&arm))
    }

    /// The training configuration of a cell: a warm-up over a twentieth of the steps, unless the rate is constant.
    pub fn fit(&self, cell: &CellPlan) -> FitConfig {
        let steps = self.steps(cell.train_size);
        let config = FitConfig::new(cell.seed, steps);
        FitConfig {
            steps_per_epoch: steps.div_ceil(self.epochs),
            batch_size: self.batch_size,
            optimizer: match cell.hyperparameters.weight_decay {
                0.0 => Optimizer::Adam,
                weight_decay => Optimizer::AdamW { weight_decay },
            },
            learning_rate: cell.hyperparameters.learning_rate,
            schedule: self.schedule,
            clip_norm: self.clip_norm,
            weight_average: self.weight_average,
            // A checkpoint takes as long as some steps do.
            epochs_per_checkpoint: self.epochs.div_ceil(CHECKPOINTS),
            warmup_steps: if self.schedule == Schedule::Constant { 0 } else { config.warmup_steps },
            ..config
        }
    }
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::ARMS;

    fn recipe() -> Recipe {
        Recipe {
            sizes: vec![100],
            seeds: 1,
            test_size: 10,
            steps_per_100: 120,
            growth: Growth::SquareRoot,
            epochs: 10,
            batch_size: 8,
            learning_rate: 1e-2,
            arm_rates: BTreeMap::from([("equivariant".to_string(), 5e-4)]),
            schedule: Schedule::default(),
            weight_decay: 1e-4,
            clip_norm: None,
            weight_average: None,
            validation_one_in: 5,
            validation_size: 0,
            tuning_trials: 0,
        }
    }

    #[test]
    fn steps_grow_as_the_recipe_says() {
        let recipe = recipe();
        assert_eq!([recipe.steps(100), recipe.steps(400), recipe.steps(1600)], [120, 240, 480]);
        let proportional = Recipe { growth: Growth::Proportional, ..recipe };
        assert_eq!([proportional.steps(100), proportional.steps(400), proportional.steps(3000)], [120, 480, 3600]);
    }

    #[test]
    fn arms_have_their_own_rates_unless_one_is_asked_for() {
        let [plain, equivariant] = ["plain", "equivariant"].map(|name| Arm::named(name).unwrap());
        let rate = |recipe: Recipe, arm| recipe.fit(&recipe.cell(arm, 100, 0)).learning_rate;
        assert_eq!(rate(recipe(), plain), 1e-2);
        assert_eq!(rate(recipe(), equivariant), 5e-4);
        assert_eq!(rate(recipe().with_rate(3e-3), equivariant), 3e-3);
    }

    #[test]
    fn a_constant_rate_has_no_warm_up_and_a_validation_set_holds_nothing_out() {
        let cell = recipe().cell(ARMS[0], 100, 0);
        assert_eq!((recipe().fit(&cell).warmup_steps, recipe().validation(100)), (6, 20));
        let constant = Recipe { schedule: Schedule::Constant, weight_decay: 0.0, validation_size: 50, ..recipe() };
        let cell = constant.cell(ARMS[0], 100, 0);
        assert_eq!((constant.fit(&cell).warmup_steps, constant.validation(100)), (0, 0));
        assert_eq!(constant.fit(&cell).optimizer, Optimizer::Adam);
    }

    #[test]
    fn what_is_left_at_its_default_is_not_written() {
        let plain = Recipe { arm_rates: BTreeMap::new(), ..recipe() };
        let text = serde_json::to_string(&plain).unwrap();
        for absent in ["growth", "arm_rates", "schedule", "clip_norm", "weight_average", "validation_size"] {
            assert!(!text.contains(absent), "{text}");
        }
        assert_eq!(serde_json::from_str::<Recipe>(&text).unwrap(), plain);
        let text = serde_json::to_string(&recipe()).unwrap();
        assert_eq!(serde_json::from_str::<Recipe>(&text).unwrap(), recipe());
    }
}
