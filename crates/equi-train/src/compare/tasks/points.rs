//! What tasks on points have in common: how training samples are moved, and how an arm is asked, tested and checked.

use std::path::Path;

use burn::tensor::Device;
use equi_core::check::points::{PointLayerReports, PointLocalError};
use equi_core::group::Isometry;
use rand::Rng;

use crate::augment::PointAugmentation;
use crate::compare::cell::Tested;
use crate::compare::check::origin;
use crate::compare::probe::motion::{exact_error_within, layer_errors, small_turns};
use crate::compare::results::{EquivarianceError, Metric, Poses};
use crate::compare::turning::{self, Turned};
use crate::compare::view::motion::{among_frames, averaged, passes, shown};
use crate::compare::view::posed;
use crate::compare::{Arm, CellPlan, Checked, CheckedParts, Hyperparameters, Plan, View};
use crate::data::spatial::{Sample, Spatial};
use crate::seed::{Purpose, stream};
use crate::stop::Stop;

/// Test samples on which equivariance is measured.
const PROBE: usize = 50;
/// Seed of the poses of test samples, whatever the seeds of a run are.
const POSES: u64 = 1;

/// A task on points with its samples in memory.
pub(super) trait PointTrials {
    /// A sample.
    type Sample: Turned;

    /// What is going to be compared.
    fn plan(&self) -> &Plan;

    /// Where.
    fn device(&self) -> &Device;

    /// The test samples.
    fn test(&self) -> &[Self::Sample];

    /// How the metric is named.
    fn metric(&self) -> &'static str;

    /// The metric of what is said of samples.
    fn error(&self, answers: &[AnswerOf<Self>], samples: &[Self::Sample]) -> f64;

    /// Samples where training shows none.
    fn outside(&self, samples: &[Self::Sample]) -> Vec<Self::Sample>;

    /// What leaves the law as it is, as augmented arms are shown it.
    fn everywhere(&self) -> PointAugmentation;

    /// Standard deviation of the coordinates of the translations by which equivariance is measured: about the size of a sample.
    fn translation(&self) -> f64;
}

/// What is said of a sample of a task.
pub(super) type AnswerOf<T> = <<T as PointTrials>::Sample as Sample>::Answer;

/// A network of a task on points.
pub(super) trait Network<S: Sample> {
    /// What it says of samples as they are.
    fn answers(&self, samples: &[S]) -> Vec<S::Answer>;

    /// The errors of its layers on the first of the samples; none where it does not say what they are.
    fn layers(&self, samples: &[S]) -> PointLayerReports;
}

/// A network, as the arm of a cell asks it.
pub(super) struct Asked<'a, T, N> {
    /// The samples.
    pub trials: &'a T,
    /// The cell.
    pub cell: &'a CellPlan,
    /// The network.
    pub network: N,
}

impl<T: PointTrials, N: Network<T::Sample>> Asked<'_, T, N> {
    /// What the arm says of samples; none if it was stopped.
    fn answers(&self, samples: &[T::Sample], stop: &Stop) -> Option<Vec<AnswerOf<T>>> {
        let CellPlan { arm, seed, .. } = self.cell;
        averaged(arm.view, samples, self.trials.everywhere(), *seed, stop, |samples| self.network.answers(samples))
    }

    /// The same where nobody stops it.
    fn all_answers(&self, samples: &[T::Sample]) -> Vec<AnswerOf<T>> {
        self.answers(samples, &Stop::new()).expect("nobody stops it")
    }

    fn probes(&self) -> &[T::Sample] {
        let test = self.trials.test();
        &test[..PROBE.min(test.len())]
    }

    /// How far the arm as a whole is from equivariant: its network, and the poses it is shown.
    pub fn exact_error(&self) -> Option<f64> {
        exact_error_within(self.trials.translation(), |samples| self.all_answers(samples), self.probes())
    }

    /// What small turns do to the arm as a whole.
    fn small_turns(&self) -> Option<PointLocalError> {
        small_turns(|samples| self.all_answers(samples), self.probes(), self.trials.device())
    }

    /// What the arm is worth; none if it was stopped.
    pub fn tested(&self, exact_untrained: Option<f64>, stop: &Stop) -> Option<Tested> {
        let Self { trials, cell, network } = self;
        let test = trials.test();
        let error = |samples: Vec<T::Sample>| Some(trials.error(&self.answers(&samples, stop)?, &samples));
        let predicted = self.answers(test, stop)?;
        let few = posed(test.len());
        Some(Tested {
            metric: Metric { name: trials.metric().to_string(), value: trials.error(&predicted, test) },
            equivariance_error: EquivarianceError {
                exact_untrained,
                exact: self.exact_error(),
                rotation_45: None,
                resampling_floor_45: None,
                small_turns: self.small_turns().map(|error| error.relative),
            },
            poses: Poses {
                canonical: trials.error(&predicted[..few], &test[..few]),
                random: error(turned(&test[..few]))?,
                outside: error(trials.outside(&test[..few]))?,
            },
            layers: match cell.arm.view {
                View::AsIs => layer_errors(network.layers(test)),
                _ => Vec::new(),
            },
            turning: turning::point_answers((trials.plan(), cell), test, |samples| self.answers(samples, stop))?,
        })
    }

    /// The arm as a whole, and the layers of its network on what it is shown; `weights` are those it has.
    pub fn checked(&self, weights: Option<&Path>) -> Checked {
        let Self { trials, cell: CellPlan { arm, .. }, network } = self;
        let test = trials.test();
        let local = self.small_turns().expect("there is a sample at least");
        let summary = trials.plan().arms.iter().find(|summary| summary.name == arm.name);
        Checked {
            what: format!(
                "{}: {}, {}; rotations, reflections, translations and permutations, {} test systems",
                arm.name,
                summary.map_or("", |summary| &summary.model),
                origin(weights),
                test.len()
            ),
            error: EquivarianceError {
                exact_untrained: None,
                exact: self.exact_error(),
                rotation_45: None,
                resampling_floor_45: None,
                small_turns: Some(local.relative),
            },
            parts: CheckedParts::Points { local, layers: network.layers(&shown(arm.view, test)) },
        }
    }
}

/// How a view is called behind the name of a network.
pub(super) fn described(view: View) -> String {
    match view {
        View::AsIs => String::new(),
        View::Averaged => format!(", averaged over {} poses in tests", passes(view)),
        View::Canonical => ", in the frame of the principal components".to_string(),
        View::Frames => format!(", averaged over {} frames of the principal components", passes(view)),
    }
}

/// What an arm does to its training samples: `everywhere` or nothing; one of the frames.
pub(super) fn augmentation(
    arm: &Arm,
    everywhere: PointAugmentation,
    hyperparameters: &Hyperparameters,
) -> PointAugmentation {
    match arm.view {
        View::Frames => among_frames(),
        _ if arm.augmented => everywhere.scaled(hyperparameters.augmentation),
        _ => PointAugmentation::none(),
    }
}

/// The seed of the weights of a cell.
pub(super) fn weights_seed(cell: &CellPlan) -> u64 {
    stream(cell.seed, Purpose::Weights, 0).next_u64()
}

/// Samples, each turned at random about its centre.
pub(super) fn turned<S: Sample>(samples: &[S]) -> Vec<S> {
    samples.iter().enumerate().map(|(place, sample)| sample.about_centre(pose(place))).collect()
}

/// Samples, each mirrored about its `middle` and moved by `distance` in a direction of its own.
pub(super) fn far<S: Sample>(samples: &[S], distance: f64, middle: impl Fn(&S) -> [f64; 3]) -> Vec<S> {
    let away = |(place, sample): (usize, &S)| {
        let offset = Isometry::translation(pose(place).act([distance, 0.0, 0.0])).expect("a finite offset");
        let there = Isometry::translation(middle(sample)).expect("positions are finite");
        Spatial::moved(sample, &(offset * there * PointAugmentation::mirror(1) * there.inverse()))
    };
    samples.iter().enumerate().map(away).collect()
}

/// The rotation of the test sample at a place.
fn pose(place: usize) -> Isometry {
    Isometry::random_rotation(&mut stream(POSES, Purpose::Poses, place as u64))
}
