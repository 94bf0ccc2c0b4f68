//! What is going to be compared: a request, completed by a preset, made into a list of cells.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::RangeInclusive;

use equi_core::group::Group;
use serde::{Deserialize, Serialize};

use super::request::unknown;
use super::results::ArmSummary;
use super::{ARMS, Arm, CompareError, Hyperparameters, Preset, Recipe, Request, Task};
use crate::device::NamedDevice;

/// How many seeds there can be.
const SEEDS: RangeInclusive<u64> = 1..=1000;

/// Most trials of hyperparameters.
const MOST_TRIALS: usize = 1000;

/// What the networks have in common.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MatchBy {
    /// Floating-point operations of a forward pass: the same cost to train and to run.
    #[default]
    Flops,
    /// Trainable parameters. A steerable layer shares each among the elements of the group, so it then costs more to run.
    Params,
    /// Seconds of a training step on the device of the study, measured when it begins.
    Time,
}

impl MatchBy {
    /// All quantities.
    pub const ALL: [Self; 3] = [Self::Flops, Self::Params, Self::Time];

    /// As `--match` names it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Params => "params",
            Self::Flops => "flops",
            Self::Time => "time",
        }
    }
}

impl fmt::Display for MatchBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The symmetry of a comparison, as each arm gets it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Symmetry {
    /// Of images.
    Planar {
        /// What the equivariant network has built in.
        group: Group,
        /// Probability of the horizontal and of the vertical flip in the augmentation, beside its rotations.
        flips: f64,
    },
    /// Of points in space: rotations, reflections, translations and permutations. There is nothing to choose.
    Euclidean,
}

/// What a comparison leaves open to its user, besides the recipe.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Setting {
    /// What the networks have in common.
    pub matched_by: MatchBy,
    /// What is built in and what is augmented.
    pub symmetry: Symmetry,
    /// The network of the equivariant arm, where the task has several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The width of the plain network, where it was measured and cannot be counted again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plain_width: Option<usize>,
}

/// Everything that decides what `results.json` will say. Kept as `plan.json` in the output folder.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// Version of `equi`, with the commit of the source where it is known.
    pub version: String,
    /// Name of the task.
    pub task: String,
    /// What the data are, where they are the user's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<String>,
    /// The preset.
    pub preset: Preset,
    /// Name of the device.
    pub device: String,
    /// What the user may choose.
    #[serde(flatten)]
    pub setting: Setting,
    /// Networks, costs and augmentations.
    pub arms: Vec<ArmSummary>,
    /// How the cells are trained.
    pub recipe: Recipe,
}

/// One model to train.
#[derive(Clone, Debug, PartialEq)]
pub struct CellPlan {
    /// The contestant.
    pub arm: Arm,
    /// Number of training samples; validation samples included, unless the task has a set of those.
    pub train_size: usize,
    /// Seed of the weights, the choice and order of the data, and the augmentation.
    pub seed: u64,
    /// How it is trained, where arms may differ.
    pub hyperparameters: Hyperparameters,
    /// The number of the trial, if it is only to be validated: a cell is tested.
    pub trial: Option<usize>,
}

impl fmt::Display for CellPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.trial {
            None => write!(f, "{}-n{}-s{}", self.arm.name, self.train_size, self.seed),
            Some(trial) => write!(f, "{}-trial{trial}", self.arm.name),
        }
    }
}

impl CellPlan {
    /// A cell that is trained and tested.
    pub fn new(arm: Arm, train_size: usize, seed: u64, hyperparameters: Hyperparameters) -> Self {
        Self { arm, train_size, seed, hyperparameters, trial: None }
    }

    /// The cell that is trained in the same way: cells that differ in tests alone share checkpoints, and hence their network.
    pub fn training(&self) -> Self {
        Self { arm: self.arm.training(), ..self.clone() }
    }
}

impl Plan {
    /// Completes `request` for `task` and `device`; what was measured for the same plan, begun `earlier`, is taken from there.
    ///
    /// # Errors
    ///
    /// [`CompareError::Request`], with a message that lists what is known.
    pub fn new(
        task: &dyn Task,
        request: &Request,
        device: &NamedDevice,
        earlier: Option<&Self>,
    ) -> Result<Self, CompareError> {
        let preset = request.known_preset()?;
        let matched_by = match request.matched_by.as_deref() {
            None => MatchBy::default(),
            Some(name) => MatchBy::ALL
                .into_iter()
                .find(|known| known.name() == name)
                .ok_or_else(|| unknown("quantity to match", name, MatchBy::ALL.map(MatchBy::name)))?,
        };
        let model = request.model(task)?;
        let mut recipe = task.recipe(preset, model);
        if let Some(sizes) = &request.sizes {
            recipe.sizes = sizes.clone();
        }
        if let Some(seeds) = request.seeds {
            recipe.seeds = seeds;
        }
        if !SEEDS.contains(&recipe.seeds) {
            return Err(CompareError::Request(format!(
                "--seeds: {} is not possible; give {} to {}",
                recipe.seeds,
                SEEDS.start(),
                SEEDS.end()
            )));
        }
        if let Some(rate) = request.learning_rate {
            if !(rate.is_finite() && rate > 0.0) {
                return Err(CompareError::Request(format!(
                    "--learning-rate: {rate} is not possible; give a positive number, such as {}",
                    recipe.learning_rate
                )));
            }
            recipe = recipe.with_rate(rate);
        }
        let (least, most) = task.train_sizes();
        if let Some(size) = recipe.sizes.iter().find(|&size| !(least..=most).contains(size)) {
            return Err(CompareError::Request(format!(
                "--sizes: {size} training samples are not possible; {} has {least} to {most}",
                task.name()
            )));
        }
        recipe.sizes.sort_unstable();
        recipe.sizes.dedup();
        if let Some(trials) = request.tuning_trials {
            if trials > MOST_TRIALS {
                return Err(CompareError::Request(format!(
                    "--tune: {trials} trials for every arm are not possible; give 0 to {MOST_TRIALS}"
                )));
            }
            recipe.tuning_trials = trials;
        }
        if recipe.sizes.is_empty() {
            return Err(CompareError::Request("nothing to compare: give at least one size".to_string()));
        }

        let arms = request.arms(task, preset)?;
        let symmetry = request.symmetry(task)?;
        let mut setting = Setting { matched_by, symmetry, model: model.map(str::to_string), plain_width: None };
        if matched_by == MatchBy::Time {
            setting.plain_width = match earlier {
                Some(found) => found.setting.plain_width,
                None => Some(task.width_by_time(&setting, &device.device)?),
            };
        }
        let contestant = |arm| task.contestant(arm, &setting, &recipe.hyperparameters(arm), &device.device);
        let arms = arms.iter().map(contestant).collect::<Result<_, _>>()?;

        Ok(Self {
            version: request.version.clone(),
            task: task.name().to_string(),
            data: task.data(),
            preset,
            device: device.name.to_string(),
            setting,
            arms,
            recipe,
        })
    }

    /// The cells, by size, then seed, then arm, so that a run that is stopped early has compared something.
    pub fn cells(&self) -> Vec<CellPlan> {
        self.cells_among(&ARMS, &BTreeMap::new())
    }

    /// The same, where arms are those of a task, with the hyperparameters that were chosen for a training, and those of the recipe where none were.
    pub(super) fn cells_among(&self, known: &[Arm], chosen: &BTreeMap<&'static str, Hyperparameters>) -> Vec<CellPlan> {
        let arms = self.arms_among(known);
        let mut cells = Vec::new();
        for &train_size in &self.recipe.sizes {
            for seed in 0..self.recipe.seeds {
                cells.extend(arms.iter().map(|arm| CellPlan::new(*arm, train_size, seed, self.of(arm, chosen))));
            }
        }
        cells
    }

    /// The hyperparameters of an arm.
    pub(super) fn of(&self, arm: &Arm, chosen: &BTreeMap<&'static str, Hyperparameters>) -> Hyperparameters {
        chosen.get(arm.training().name).copied().unwrap_or(self.recipe.hyperparameters(arm))
    }

    /// The arms of the plan, where they are those of a task.
    pub(super) fn arms_among(&self, known: &[Arm]) -> Vec<Arm> {
        let named = |summary: &ArmSummary| known.iter().copied().find(|arm| arm.name == summary.name);
        self.arms.iter().filter_map(named).collect()
    }

    /// Optimiser steps that a cell takes: none for an arm that is not trained, nor for one that shares the network of a cell before it.
    pub fn steps_of(&self, cell: &CellPlan) -> usize {
        let shares = |arm: &&ArmSummary| Arm::named(&arm.name).is_some_and(|arm| arm.training() == cell.arm.training());
        let first = self.arms.iter().find(shares).is_none_or(|arm| arm.name == cell.arm.name);
        if cell.arm.is_trained() && first { self.recipe.steps(cell.train_size) } else { 0 }
    }

    /// The parts in which `other` differs.
    pub fn differences(&self, other: &Self) -> Vec<String> {
        let fields = |plan: &Self| match serde_json::to_value(plan) {
            Ok(serde_json::Value::Object(fields)) => fields,
            _ => serde_json::Map::new(),
        };
        let (ours, theirs) = (fields(self), fields(other));
        ours.into_iter().filter(|(name, value)| theirs.get(name) != Some(value)).map(|(name, _)| name).collect()
    }

    /// The options that ask for this plan again, for the task that is asked for as `task`.
    pub fn command(&self, task: &str) -> String {
        let join = |items: Vec<String>| items.join(",");
        let mut command = format!(
            "equi compare {task} --preset {} --arms {} --sizes {} --seeds {} --match {}",
            self.preset.name(),
            join(self.arms.iter().map(|arm| arm.name.clone()).collect()),
            join(self.recipe.sizes.iter().map(usize::to_string).collect()),
            self.recipe.seeds,
            self.setting.matched_by,
        );
        if let Some(model) = &self.setting.model {
            command += &format!(" --model {model}");
        }
        if let Symmetry::Planar { group, flips } = self.setting.symmetry {
            command += &format!(" --group {group} --flips {flips}");
        }
        // Where arms have rates of their own, the preset gives them.
        if self.recipe.arm_rates.is_empty() {
            command += &format!(" --learning-rate {}", self.recipe.learning_rate);
        }
        if self.recipe.tuning_trials > 0 {
            command += &format!(" --tune {}", self.recipe.tuning_trials);
        }
        command + &format!(" --device {}", self.device)
    }
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use super::*;
    use crate::compare::request::known_task;
    use burn::tensor::Device;

    fn request() -> Request {
        Request { task: "mnist-rot".to_string(), version: "test".to_string(), ..Request::default() }
    }

    fn flex() -> NamedDevice {
        NamedDevice { name: "flex", device: Device::flex() }
    }

    fn planned(request: &Request) -> Result<Plan, CompareError> {
        Plan::new(known_task(&request.task)?, request, &flex(), None)
    }

    fn message(request: Request) -> String {
        match known_task(&request.task) {
            Ok(task) => Plan::new(task, &request, &flex(), None).unwrap_err().to_string(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn the_preset_fills_in_what_is_left_out() {
        let plan = planned(&request()).unwrap();
        assert_eq!(plan.recipe.sizes, [100, 400, 1600]);
        assert_eq!(plan.cells().len(), 3 * 2 * 4);
        assert_eq!(plan.cells()[0].to_string(), "plain-n100-s0");
        let standard = planned(&Request { preset: Some("standard".to_string()), ..request() }).unwrap();
        let names: Vec<&str> = standard.arms.iter().map(|arm| arm.name.as_str()).collect();
        assert_eq!(
            names,
            [
                "plain",
                "augmented",
                "augmented-tta",
                "equivariant",
                "equivariant-augmented",
                "canonical",
                "frame-averaged"
            ]
        );
        assert_eq!(plan.recipe.test_size, 2000);
    }

    #[test]
    fn options_win_over_the_preset() {
        let plan = planned(&Request {
            arms: Some(vec!["augmented".to_string(), "augmented".to_string()]),
            sizes: Some(vec![80, 50, 80]),
            seeds: Some(1),
            matched_by: Some("params".to_string()),
            group: Some("d4".to_string()),
            flips: Some(0.5),
            learning_rate: Some(5e-3),
            ..request()
        })
        .unwrap();
        assert_eq!(
            plan.cells().iter().map(CellPlan::to_string).collect::<Vec<_>>(),
            ["augmented-n50-s0", "augmented-n80-s0"]
        );
        assert_eq!(plan.setting.matched_by, MatchBy::Params);
        assert_eq!(
            plan.command(&plan.task),
            "equi compare mnist-rot --preset quick --arms augmented --sizes 50,80 --seeds 1 --match params --group D4 --flips 0.5 --learning-rate 0.005 --device flex"
        );
    }

    #[test]
    fn unknown_names_list_the_known_ones() {
        assert!(message(Request { task: "mnist".to_string(), ..request() }).contains("mnist-rot"));
        assert!(message(Request { preset: Some("huge".to_string()), ..request() }).contains("quick, standard, paper"));
        assert!(message(Request { arms: Some(vec!["magic".to_string()]), ..request() }).contains("plain, augmented"));
        assert!(message(Request { matched_by: Some("size".to_string()), ..request() }).contains("flops, params, time"));
        assert!(message(Request { tuning_trials: Some(1001), ..request() }).contains("--tune: 1001"));
        assert!(message(Request { sizes: Some(vec![1]), ..request() }).contains("12000"));
        assert!(message(Request { sizes: Some(vec![]), ..request() }).contains("at least one"));
        for seeds in [0, 1001, u64::MAX] {
            assert!(message(Request { seeds: Some(seeds), ..request() }).contains("give 1 to 1000"));
        }
        for rate in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert!(message(Request { learning_rate: Some(rate), ..request() }).contains("a positive number"));
        }
        for group in ["C65", "D33", "C4294967295"] {
            assert!(message(Request { group: Some(group.to_string()), ..request() }).contains("at most 64"), "{group}");
        }
        assert!(message(Request { group: Some("K4".to_string()), ..request() }).contains("known: C1"));
        assert!(message(Request { group: Some("SO2".to_string()), ..request() }).contains("infinite"));
        assert!(message(Request { flips: Some(1.5), ..request() }).contains("probability"));
    }

    #[test]
    fn points_have_arms_and_models_of_their_own_and_no_planar_options() {
        let nbody = || Request { task: "nbody".to_string(), ..request() };
        let plan = planned(&Request { sizes: Some(vec![100]), seeds: Some(1), ..nbody() }).unwrap();
        let names: Vec<String> = plan.cells().iter().map(CellPlan::to_string).collect();
        assert_eq!(
            names,
            ["plain", "augmented", "augmented-tta", "equivariant", "canonical", "linear"]
                .map(|arm| format!("{arm}-n100-s0"))
        );
        assert_eq!(
            plan.command(&plan.task),
            "equi compare nbody --preset quick --arms plain,augmented,augmented-tta,equivariant,canonical,linear --sizes 100 \
             --seeds 1 --match flops --model egnn --learning-rate 0.004 --device flex"
        );
        let one = planned(&Request { learning_rate: Some(2e-3), ..nbody() }).unwrap();
        assert!(one.command(&one.task).contains("--learning-rate 0.002") && one.recipe.arm_rates.is_empty());
        assert!(message(Request { group: Some("C4".to_string()), ..nbody() }).contains("--group: nbody has all"));
        assert!(message(Request { flips: Some(0.5), ..nbody() }).contains("--flips: nbody has all"));
        assert!(message(Request { model: Some("cnn".to_string()), ..nbody() }).contains("egnn, radial-field"));
        assert!(message(Request { model: Some("egnn".to_string()), ..request() }).contains("leave the option out"));
        assert!(
            message(Request { arms: Some(vec!["linear".to_string()]), ..request() })
                .contains("mnist-rot has no arm `linear`; it has: plain, augmented, augmented-tta, equivariant")
        );
        assert!(
            message(Request { arms: Some(vec!["magic".to_string()]), ..nbody() })
                .contains("canonical, frame-averaged, linear")
        );
    }

    #[test]
    fn arms_that_share_a_network_are_trained_once() {
        let of = |arms: [&str; 3]| {
            let arms = Some(arms.map(str::to_string).to_vec());
            let plan = planned(&Request { arms, sizes: Some(vec![100]), seeds: Some(1), ..request() }).unwrap();
            let steps: Vec<usize> = plan.cells().iter().map(|cell| plan.steps_of(cell)).collect();
            (steps, plan.cells().iter().map(|cell| cell.training().to_string()).collect::<Vec<_>>())
        };
        let (steps, training) = of(["plain", "augmented", "augmented-tta"]);
        assert_eq!(steps, [120, 120, 0]);
        assert_eq!(training, ["plain-n100-s0", "augmented-n100-s0", "augmented-n100-s0"]);
        assert_eq!(of(["augmented-tta", "plain", "augmented"]).0, [120, 120, 0]);
        assert_eq!(of(["augmented-tta", "plain", "canonical"]).0, [120, 120, 120]);
    }

    #[test]
    fn differences_name_the_parts_that_differ() {
        let plan = planned(&request()).unwrap();
        assert!(plan.differences(&plan).is_empty());
        let other = Plan { device: "wgpu".to_string(), ..plan.clone() };
        assert_eq!(plan.differences(&other), ["device"]);
        let text = serde_json::to_string(&plan).unwrap();
        assert_eq!(serde_json::from_str::<Plan>(&text).unwrap(), plan);
    }
}
