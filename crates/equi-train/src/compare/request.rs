//! What a user asks for: names are looked up here, and told from those that do not exist.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{ARMS, Arm, CompareError, Symmetry, TASKS, Task, task};

/// The largest group: with more elements, the orbit of one feature is wider than the network of the comparison.
const LARGEST_ORDER: usize = 64;

/// What a user asks for. What is left out comes from the preset.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// Name of the task.
    pub task: String,
    /// Name of the preset; `quick` if left out.
    pub preset: Option<String>,
    /// Names of the arms; those of the preset if left out.
    pub arms: Option<Vec<String>>,
    /// Numbers of training samples.
    pub sizes: Option<Vec<usize>>,
    /// Number of seeds.
    pub seeds: Option<u64>,
    /// What the arms have in common: `flops`, the default, `params` or `time`.
    pub matched_by: Option<String>,
    /// Name of the network of the equivariant arm; the task's first if left out.
    pub model: Option<String>,
    /// The group of the equivariant network; the task's if left out.
    pub group: Option<String>,
    /// Probability of each flip in the augmentation; the task's if left out.
    pub flips: Option<f64>,
    /// Peak learning rate of all arms; the preset's, of each, if left out.
    pub learning_rate: Option<f64>,
    /// Trials of hyperparameters for every arm; the preset's if left out.
    pub tuning_trials: Option<usize>,
    /// Processes that train cells side by side; 0 and 1 for this one alone.
    pub jobs: usize,
    /// Name of the device.
    pub device: Option<String>,
    /// Folder of the data set.
    pub data: Option<PathBuf>,
    /// Output folder; `runs/TASK-PRESET` if left out.
    pub out: Option<PathBuf>,
    /// Whether to go on with a run found in the output folder.
    pub resume: bool,
    /// Whether to keep the trained weights, as `OUT/weights/ARM-nSIZE-sSEED.bpk`.
    pub keep_weights: bool,
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

impl Request {
    /// The arms, in the order asked for, each once.
    pub(super) fn arms(&self, task: &dyn Task, preset: Preset) -> Result<Vec<Arm>, CompareError> {
        let Some(names) = &self.arms else {
            let quick = matches!(preset, Preset::Smoke | Preset::Quick);
            let chosen = |arm: &&Arm| !quick || task.quick_arms().contains(&arm.name);
            return Ok(task.arms().iter().filter(chosen).copied().collect());
        };
        let mut arms: Vec<Arm> = Vec::new();
        for name in names {
            let arm = task.arms().iter().copied().find(|arm| arm.name == name);
            let arm = arm.ok_or_else(|| match ARMS.iter().any(|arm| arm.name == name) {
                true => CompareError::Request(format!(
                    "{} has no arm `{name}`; it has: {}",
                    task.name(),
                    list(task.arms().iter().map(|arm| arm.name))
                )),
                false => unknown("arm", name, task.arms().iter().map(|arm| arm.name)),
            })?;
            if !arms.contains(&arm) {
                arms.push(arm);
            }
        }
        if arms.is_empty() {
            return Err(CompareError::Request("nothing to compare: give at least one arm".to_string()));
        }
        Ok(arms)
    }

    /// The network of the equivariant arm, where there is a choice.
    pub(super) fn model(&self, task: &dyn Task) -> Result<Option<&'static str>, CompareError> {
        let models = task.models();
        match &self.model {
            None => Ok(models.first().copied()),
            Some(name) if models.is_empty() => Err(CompareError::Request(format!(
                "--model: {} has one equivariant network, so there is no `{name}` to choose; leave the option out",
                task.name()
            ))),
            Some(name) => match models.iter().find(|known| *known == name) {
                Some(known) => Ok(Some(known)),
                None => Err(unknown("model", name, models.iter().copied())),
            },
        }
    }

    /// The symmetry: the task's, with what the user asked for.
    pub(super) fn symmetry(&self, task: &dyn Task) -> Result<Symmetry, CompareError> {
        let Symmetry::Planar { mut group, mut flips } = task.symmetry() else {
            for (option, given) in [("--group", self.group.is_some()), ("--flips", self.flips.is_some())] {
                if given {
                    return Err(CompareError::Request(format!(
                        "{option}: {} has all symmetries of space built in and augmented, so there is nothing to choose; \
                         leave the option out",
                        task.name()
                    )));
                }
            }
            return Ok(task.symmetry());
        };
        if let Some(name) = &self.group {
            group = name.parse().map_err(|error| CompareError::Request(format!("--group: {error}")))?;
        }
        if let Some(order) = group.order().filter(|&order| order > LARGEST_ORDER) {
            return Err(CompareError::Request(format!(
                "--group: {group} has {order} elements, and networks here have at most {LARGEST_ORDER}; more than C16 or D16 \
                 rarely helps"
            )));
        }
        if let Some(asked) = self.flips {
            if !(0.0..=1.0).contains(&asked) {
                return Err(CompareError::Request(format!("--flips: {asked} is not a probability from 0 to 1")));
            }
            flips = asked;
        }
        Ok(Symmetry::Planar { group, flips })
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

pub(super) fn unknown<'a>(kind: &str, name: &str, known: impl IntoIterator<Item = &'a str>) -> CompareError {
    CompareError::Request(format!("there is no {kind} `{name}`; known: {}", list(known)))
}

fn list<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    names.into_iter().collect::<Vec<_>>().join(", ")
}
