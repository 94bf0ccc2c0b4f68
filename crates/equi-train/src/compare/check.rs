//! How equivariant the networks of a task are, layer by layer, without a study.

use std::fmt;
use std::path::{Path, PathBuf};

use burn::module::Module;
use burn::store::ModuleRecord;
use equi_core::check::points::{PointLayerReports, PointLocalError};
use equi_core::check::{LayerReports, LocalError};

use super::request::known_task;
use super::results::EquivarianceError;
use super::study_file::from_file;
use super::{Arm, CompareError, Plan, Request, Task};
use crate::device::resolve;

/// What is checked.
#[derive(Clone, Debug, Default)]
pub struct CheckRequest {
    /// The task, its group, model, device and data; what concerns training is not used.
    pub of: Request,
    /// Name of the arm whose network it is; `equivariant` if left out.
    pub arm: Option<String>,
    /// Weights of a study, kept with `--keep-weights`; those that training begins with if left out.
    pub weights: Option<PathBuf>,
    /// Test samples that it is checked on.
    pub samples: usize,
}

/// What a check found.
#[derive(Clone, Debug)]
pub struct Checked {
    /// The arm, its network, its weights, the group and the samples, in words.
    pub what: String,
    /// The errors of the whole network.
    pub error: EquivarianceError,
    /// Its errors under small turns, and those of its layers.
    pub parts: CheckedParts,
}

/// What is found for images or for points.
#[derive(Clone, Debug)]
pub enum CheckedParts {
    /// Of a network on images.
    Images {
        /// Under small turns.
        local: LocalError,
        /// Those of its layers.
        layers: LayerReports,
    },
    /// Of a network on points.
    Points {
        /// Under small turns.
        local: PointLocalError,
        /// Those of its layers.
        layers: PointLayerReports,
    },
}

impl fmt::Display for Checked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, error, parts } = self;
        writeln!(f, "{what}\n")?;
        let mut line = |name: &str, value: Option<f64>| match value {
            Some(value) => writeln!(f, "{name:<52}{value:>12.3e}"),
            None => writeln!(f, "{name:<52}{:>12}", "-"),
        };
        match parts {
            CheckedParts::Images { local, layers } => {
                line("quarter turns and flips, |f(g x) - f(x)| / |f(x)|", error.exact)?;
                line("a turn by 45 degrees", error.rotation_45)?;
                line("  what resampling alone does to the images", error.resampling_floor_45)?;
                line("small turns, per radian (Lie derivative)", Some(local.relative))?;
                line("  of the images themselves", Some(local.input))?;
                line("  what resampling alone does to them", Some(local.resampling_floor))?;
                write!(f, "\n{layers}")
            }
            CheckedParts::Points { local, layers } => {
                line("moved and permuted, |f(g x) - g f(x)| / |f(x)|", error.exact)?;
                line("small turns, per radian (Lie derivative)", Some(local.relative))?;
                for (axis, error) in ["x", "y", "z"].into_iter().zip(local.axes) {
                    line(&format!("  about {axis}"), Some(error))?;
                }
                line("  of the points themselves", Some(local.input))?;
                write!(f, "\n{layers}")
            }
        }
    }
}

/// A network as it is, or with the weights of a file.
///
/// # Errors
///
/// [`CompareError::Request`] for a file that cannot be read, or has the weights of another network.
pub(super) fn with_weights<M: Module>(model: M, weights: Option<&Path>) -> Result<M, CompareError> {
    let Some(path) = weights else { return Ok(model) };
    let unusable = |message: String| {
        CompareError::Request(format!(
            "--weights: {} is not usable ({message}); give a file that `equi compare --keep-weights` left for this arm, network and task",
            path.display()
        ))
    };
    let record = ModuleRecord::load(path).map_err(|error| unusable(error.to_string()))?;
    model.try_load_record(record).map_err(|error| unusable(error.to_string()))
}

/// How many training samples a network had, and which seed, by the name that `equi compare --keep-weights` gave its file, `ARM-nSIZE-sSEED`.
pub(super) fn trained_on(weights: &Path) -> Option<(usize, u64)> {
    let (rest, seed) = weights.file_stem()?.to_str()?.rsplit_once("-s")?;
    let (_, size) = rest.rsplit_once("-n")?;
    Some((size.parse().ok()?, seed.parse().ok()?))
}

/// Where weights are from, in words.
pub(super) fn origin(weights: Option<&Path>) -> String {
    weights.map_or("before training, seed 0".to_string(), |path| format!("weights of {}", path.display()))
}

/// Checks a network of a task.
///
/// # Errors
///
/// [`CompareError`]: names that mean nothing, data or weights that cannot be used.
pub fn check(request: &CheckRequest) -> Result<Checked, CompareError> {
    let of = &request.of;
    if of.task.ends_with(".toml") {
        let (task, of) = from_file(of)?;
        return check_on(task.as_ref(), &CheckRequest { of, ..request.clone() });
    }
    check_on(known_task(&of.task)?, request)
}

fn check_on(task: &dyn Task, request: &CheckRequest) -> Result<Checked, CompareError> {
    let name = request.arm.as_deref().unwrap_or("equivariant");
    let of = Request { arms: Some(vec![name.to_string()]), ..request.of.clone() };
    if request.samples == 0 {
        return Err(CompareError::Request("--samples: there is nothing to check on no sample".to_string()));
    }
    let device = resolve(of.device.as_deref())?;
    let mut plan = Plan::new(task, &of, &device, None)?;
    plan.recipe.test_size = plan.recipe.test_size.min(request.samples);
    plan.recipe.validation_size = 0;
    let arm: Arm = task.arms().iter().copied().find(|arm| arm.name == name).expect("a plan has arms of its task");
    let trials = task.open(&plan, of.data.as_deref(), &device.device)?;
    trials.check(&arm, request.weights.as_deref())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_weights_say_what_they_were_trained_on() {
        let of = |name: &str| trained_on(Path::new(name));
        assert_eq!(of("out/weights/equivariant-augmented-n250-s3.bpk"), Some((250, 3)));
        assert_eq!([of("weights.bpk"), of("plain-n40-sx.bpk"), of("plain-s1-n40.bpk"), of("")], [None; 4]);
    }
}
