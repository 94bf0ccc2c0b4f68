//! What is going to be compared: a request, completed by a preset, made into a list of cells.

use std::fmt;
use std::ops::RangeInclusive;
use std::path::PathBuf;

use equi_core::group::Group;
use serde::{Deserialize, Serialize};

use super::results::ArmSummary;
use super::{ARMS, Arm, CompareError, TASKS, Task, arm, task};
use crate::device::NamedDevice;
use crate::fit::{FitConfig, Optimizer, Schedule};

/// How many seeds there can be.
const SEEDS: RangeInclusive<u64> = 1..=1000;

/// The largest group: with more elements, the orbit of one feature is wider than the network of the comparison.
const LARGEST_ORDER: usize = 64;

/// What a user asks for. What is left out comes from the preset.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// Name of the task.
    pub task: String,
    /// Name of the preset; `quick` if left out.
    pub preset: Option<String>,
    /// Names of the arms; all that the task knows if left out.
    pub arms: Option<Vec<String>>,
    /// Numbers of training samples.
    pub sizes: Option<Vec<usize>>,
    /// Number of seeds.
    pub seeds: Option<u64>,
    /// What the arms have in common: `flops`, the default, or `params`.
    pub matched_by: Option<String>,
    /// The group of the equivariant network; the task's if left out.
    pub group: Option<String>,
    /// Probability of each flip in the augmentation; the task's if left out.
    pub flips: Option<f64>,
    /// Peak learning rate of all arms; the preset's if left out.
    pub learning_rate: Option<f64>,
    /// Name of the device.
    pub device: Option<String>,
    /// Folder of the data set.
    pub data: Option<PathBuf>,
    /// Output folder; `runs/TASK-PRESET` if left out.
    pub out: Option<PathBuf>,
    /// Whether to go on with a run found in the output folder.
    pub resume: bool,
    /// Version of `equi`, with the commit of the source where it is known.
    pub version: String,
}

/// How much work a comparison is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Preset {
    /// Seconds, for tests of the command: its numbers mean nothing.
    Smoke,
    /// Minutes on two cores.
    Quick,
    /// Hours on a CPU, minutes on a GPU.
    Standard,
    /// Everything the data has, for numbers to publish.
    Paper,
}

impl Preset {
    /// All presets, smallest first.
    pub const ALL: [Self; 4] = [Self::Smoke, Self::Quick, Self::Standard, Self::Paper];

    /// As `--preset` names it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Smoke => "smoke",
            Self::Quick => "quick",
            Self::Standard => "standard",
            Self::Paper => "paper",
        }
    }
}

/// What the networks have in common.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MatchBy {
    /// Floating-point operations of a forward pass: the same cost to train and to run.
    #[default]
    Flops,
    /// Trainable parameters. A steerable layer shares each among the elements of the group, so it then costs more to run.
    Params,
}

impl MatchBy {
    /// All quantities.
    pub const ALL: [Self; 2] = [Self::Flops, Self::Params];

    /// As `--match` names it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Params => "params",
            Self::Flops => "flops",
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
pub struct Symmetry {
    /// What the equivariant network has built in.
    pub group: Group,
    /// Probability of the horizontal and of the vertical flip in the augmentation, beside its rotations.
    pub flips: f64,
}

/// How every cell is trained. The same for all arms, and to the end: an arm that may stop early would have a smaller
/// budget than the others, so [`FitConfig::patience`] is not used here. The best epoch is chosen all the same.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Recipe {
    /// Numbers of training samples, validation samples included.
    pub sizes: Vec<usize>,
    /// Number of seeds.
    pub seeds: u64,
    /// Number of test samples.
    pub test_size: usize,
    /// Optimiser steps for 100 training samples. `n` samples get `sqrt(n / 100)` times as many, so 16 times the data
    /// takes 4 times the work.
    pub steps_per_100: usize,
    /// Validations a cell.
    pub epochs: usize,
    /// Samples a step.
    pub batch_size: usize,
    /// Peak learning rate.
    pub learning_rate: f64,
    /// Weight decay of AdamW.
    pub weight_decay: f32,
    /// One in this many training samples is held out to choose the epoch.
    pub validation_one_in: usize,
}

impl Recipe {
    /// Optimiser steps for `size` training samples.
    pub fn steps(&self, size: usize) -> usize {
        ((self.steps_per_100 as f64 * (size as f64 / 100.0).sqrt()).round() as usize).max(self.epochs)
    }

    /// How many of `size` training samples are held out for validation.
    pub fn validation(&self, size: usize) -> usize {
        (size / self.validation_one_in).max(1)
    }

    /// The training configuration of a cell: AdamW, a warm-up over a twentieth of the steps, a cosine to zero.
    pub fn fit(&self, cell: &CellPlan) -> FitConfig {
        let steps = self.steps(cell.train_size);
        FitConfig {
            steps_per_epoch: steps.div_ceil(self.epochs),
            batch_size: self.batch_size,
            optimizer: Optimizer::AdamW { weight_decay: self.weight_decay },
            learning_rate: self.learning_rate,
            schedule: Schedule::Cosine { floor: 0.0 },
            ..FitConfig::new(cell.seed, steps)
        }
    }
}

/// Everything that decides what `results.json` will say. Kept as `plan.json` in the output folder.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// Version of `equi`, with the commit of the source where it is known.
    pub version: String,
    /// Name of the task.
    pub task: String,
    /// The preset.
    pub preset: Preset,
    /// Name of the device.
    pub device: String,
    /// What the networks have in common.
    pub matched_by: MatchBy,
    /// What is built in and what is augmented.
    pub symmetry: Symmetry,
    /// Networks, costs and augmentations.
    pub arms: Vec<ArmSummary>,
    /// How the cells are trained.
    pub recipe: Recipe,
}

/// One model to train.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CellPlan {
    /// The contestant.
    pub arm: Arm,
    /// Number of training samples, validation samples included.
    pub train_size: usize,
    /// Seed of the weights, the choice and order of the data, and the augmentation.
    pub seed: u64,
}

impl fmt::Display for CellPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-n{}-s{}", self.arm.name, self.train_size, self.seed)
    }
}

impl Plan {
    /// Completes `request` for `device`.
    ///
    /// # Errors
    ///
    /// [`CompareError::Request`], with a message that lists what is known.
    pub fn new(request: &Request, device: &NamedDevice) -> Result<Self, CompareError> {
        let task = known_task(&request.task)?;
        let preset = request.known_preset()?;
        let matched_by = match request.matched_by.as_deref() {
            None => MatchBy::default(),
            Some(name) => MatchBy::ALL
                .into_iter()
                .find(|known| known.name() == name)
                .ok_or_else(|| unknown("quantity to match", name, MatchBy::ALL.map(MatchBy::name)))?,
        };
        let mut recipe = task.recipe(preset);
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
            recipe.learning_rate = rate;
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
        if recipe.sizes.is_empty() {
            return Err(CompareError::Request("nothing to compare: give at least one size".to_string()));
        }

        let names = match &request.arms {
            Some(names) => names.clone(),
            None => ARMS.iter().map(|arm| arm.name.to_string()).collect(),
        };
        let mut arms: Vec<Arm> = Vec::new();
        for name in &names {
            let arm = arm(name).ok_or_else(|| unknown("arm", name, ARMS.map(|arm| arm.name)))?;
            if !arms.contains(&arm) {
                arms.push(arm);
            }
        }
        if arms.is_empty() {
            return Err(CompareError::Request("nothing to compare: give at least one arm".to_string()));
        }
        let symmetry = request.symmetry(task)?;
        let contestant = |arm| task.contestant(arm, matched_by, symmetry, &device.device);
        let arms = arms.iter().map(contestant).collect::<Result<_, _>>()?;

        Ok(Self {
            version: request.version.clone(),
            task: task.name().to_string(),
            preset,
            device: device.name.to_string(),
            matched_by,
            symmetry,
            arms,
            recipe,
        })
    }

    /// The cells, by size, then seed, then arm, so that a run that is stopped early has compared something.
    pub fn cells(&self) -> Vec<CellPlan> {
        let arms: Vec<Arm> = self.arms.iter().filter_map(|summary| arm(&summary.name)).collect();
        let mut cells = Vec::new();
        for &train_size in &self.recipe.sizes {
            for seed in 0..self.recipe.seeds {
                cells.extend(arms.iter().map(|&arm| CellPlan { arm, train_size, seed }));
            }
        }
        cells
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

    /// The options that ask for this plan again.
    pub fn command(&self) -> String {
        let join = |items: Vec<String>| items.join(",");
        format!(
            "equi compare {} --preset {} --arms {} --sizes {} --seeds {} --match {} --group {} --flips {} --learning-rate {} --device {}",
            self.task,
            self.preset.name(),
            join(self.arms.iter().map(|arm| arm.name.clone()).collect()),
            join(self.recipe.sizes.iter().map(usize::to_string).collect()),
            self.recipe.seeds,
            self.matched_by,
            self.symmetry.group,
            self.symmetry.flips,
            self.recipe.learning_rate,
            self.device,
        )
    }
}

impl Request {
    /// The symmetry: the task's, with what the user asked for.
    fn symmetry(&self, task: &dyn Task) -> Result<Symmetry, CompareError> {
        let mut symmetry = task.symmetry();
        if let Some(name) = &self.group {
            symmetry.group = name.parse().map_err(|error| CompareError::Request(format!("--group: {error}")))?;
        }
        let group = symmetry.group;
        if let Some(order) = group.order().filter(|&order| order > LARGEST_ORDER) {
            return Err(CompareError::Request(format!(
                "--group: {group} has {order} elements, and networks here have at most {LARGEST_ORDER}; more than C16 or D16 \
                 rarely helps"
            )));
        }
        if let Some(flips) = self.flips {
            if !(0.0..=1.0).contains(&flips) {
                return Err(CompareError::Request(format!("--flips: {flips} is not a probability from 0 to 1")));
            }
            symmetry.flips = flips;
        }
        Ok(symmetry)
    }

    /// The preset.
    pub(super) fn known_preset(&self) -> Result<Preset, CompareError> {
        let name = self.preset.as_deref().unwrap_or("quick");
        Preset::ALL
            .into_iter()
            .find(|known| known.name() == name)
            .ok_or_else(|| unknown("preset", name, Preset::ALL.map(Preset::name)))
    }
}

pub(super) fn known_task(name: &str) -> Result<&'static dyn Task, CompareError> {
    task(name).ok_or_else(|| unknown("task", name, TASKS.map(|task| task.name())))
}

fn unknown<const N: usize>(kind: &str, name: &str, known: [&str; N]) -> CompareError {
    CompareError::Request(format!("there is no {kind} `{name}`; known: {}", known.join(", ")))
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use super::*;
    use burn::tensor::Device;

    fn request() -> Request {
        Request { task: "mnist-rot".to_string(), version: "test".to_string(), ..Request::default() }
    }

    fn flex() -> NamedDevice {
        NamedDevice { name: "flex", device: Device::flex() }
    }

    fn message(request: Request) -> String {
        Plan::new(&request, &flex()).unwrap_err().to_string()
    }

    #[test]
    fn the_preset_fills_in_what_is_left_out() {
        let plan = Plan::new(&request(), &flex()).unwrap();
        assert_eq!(plan.recipe.sizes, [100, 400, 1600]);
        assert_eq!(plan.cells().len(), 3 * 2 * ARMS.len());
        assert_eq!(plan.cells()[0].to_string(), "plain-n100-s0");
        assert_eq!(plan.recipe.test_size, 2000);
    }

    #[test]
    fn options_win_over_the_preset() {
        let plan = Plan::new(
            &Request {
                arms: Some(vec!["augmented".to_string(), "augmented".to_string()]),
                sizes: Some(vec![80, 50, 80]),
                seeds: Some(1),
                matched_by: Some("params".to_string()),
                group: Some("d4".to_string()),
                flips: Some(0.5),
                learning_rate: Some(5e-3),
                ..request()
            },
            &flex(),
        )
        .unwrap();
        assert_eq!(
            plan.cells().iter().map(CellPlan::to_string).collect::<Vec<_>>(),
            ["augmented-n50-s0", "augmented-n80-s0"]
        );
        assert_eq!(plan.matched_by, MatchBy::Params);
        assert_eq!(
            plan.command(),
            "equi compare mnist-rot --preset quick --arms augmented --sizes 50,80 --seeds 1 --match params --group D4 --flips 0.5 --learning-rate 0.005 --device flex"
        );
    }

    #[test]
    fn unknown_names_list_the_known_ones() {
        assert!(message(Request { task: "mnist".to_string(), ..request() }).contains("mnist-rot"));
        assert!(message(Request { preset: Some("huge".to_string()), ..request() }).contains("quick, standard, paper"));
        assert!(message(Request { arms: Some(vec!["magic".to_string()]), ..request() }).contains("plain, augmented"));
        assert!(message(Request { matched_by: Some("time".to_string()), ..request() }).contains("flops, params"));
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
    fn differences_name_the_parts_that_differ() {
        let plan = Plan::new(&request(), &flex()).unwrap();
        assert!(plan.differences(&plan).is_empty());
        let other = Plan { device: "wgpu".to_string(), ..plan.clone() };
        assert_eq!(plan.differences(&other), ["device"]);
        let text = serde_json::to_string(&plan).unwrap();
        assert_eq!(serde_json::from_str::<Plan>(&text).unwrap(), plan);
    }

    #[test]
    fn steps_grow_with_the_square_root_of_the_samples() {
        let recipe = Plan::new(&request(), &flex()).unwrap().recipe;
        assert_eq!(recipe.steps(1600), 4 * recipe.steps(100));
        assert_eq!(recipe.steps(400), 2 * recipe.steps(100));
    }
}
