//! Hyperparameters for every arm: the same number of trials each, chosen by validation.
//!
//! A trial trains the network of an arm on the middle size of the study, with samples and weights of a seed that the study does not use, and is
//! judged by its best score on the validation samples: test samples choose nothing. The first trial is the recipe as it is; the others are a Latin
//! hypercube about it (McKay, Beckman and Conover, Technometrics 1979): every range is cut into as many parts as there are trials, and every part is tried
//! once. All arms try the same multiples of what the recipe gives them. Every trial is logged in `OUT/tuning` and in the results.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use rand::RngExt;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::results::{Cell, CellStatus};
use super::{Arm, CellPlan, CompareError, Hyperparameters, Network, Plan, View};
use crate::fit::Score;
use crate::seed::{Purpose, stream};

/// The file in the output folder that says what was tried and chosen.
pub(super) const FILE: &str = "tuning.json";

/// Learning rates are tried from this fraction of the recipe's to as many times it.
const RATES: f64 = 5.0;
/// Weight decays.
const DECAYS: [f64; 2] = [1e-5, 1e-1];
/// Widths, as fractions of that of the matched network.
const WIDTHS: [f64; 3] = [0.5, 0.75, 1.0];
/// Probabilities of the augmentation, as fractions of the recipe's.
const AUGMENTATIONS: [f64; 3] = [0.5, 0.75, 1.0];

/// What was tried for all arms, and what was chosen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Tuning {
    /// Number of training samples of the trials.
    pub train_size: usize,
    /// Seed of their samples and weights.
    pub seed: u64,
    /// One entry for every network that is trained.
    pub arms: Vec<ArmTuning>,
}

/// What was tried for one arm.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ArmTuning {
    /// Name of the arm; arms that share its training share its hyperparameters.
    pub arm: String,
    /// The trial that was chosen, from 0: the best on the validation samples, the first of equals; that of the recipe if none has a score.
    pub chosen: usize,
    /// All trials; the first is that of the recipe.
    pub trials: Vec<Trial>,
}

/// One training run of the tuning.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Trial {
    /// What was tried.
    #[serde(flatten)]
    pub hyperparameters: Hyperparameters,
    /// How it ended; not there in results of earlier versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<CellStatus>,
    /// The best score on the validation samples; none if it diverged or panicked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validation: Option<Score>,
    /// Why there is no score.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Wall-clock seconds spent training.
    pub train_seconds: f64,
}

impl Tuning {
    /// What is chosen from the trials of [`trials`], trained.
    ///
    /// # Panics
    ///
    /// If there are not as many cells as trials.
    pub(super) fn of(plan: &Plan, trials: &[CellPlan], cells: &[Cell]) -> Self {
        assert_eq!(trials.len(), cells.len(), "every trial has been trained");
        let mut arms: Vec<ArmTuning> = Vec::new();
        for (trial, cell) in trials.iter().zip(cells) {
            let tried = Trial {
                hyperparameters: trial.hyperparameters,
                status: Some(cell.status),
                validation: cell.validation,
                message: cell.message.clone(),
                train_seconds: cell.train_seconds,
            };
            match arms.last_mut().filter(|last| last.arm == trial.arm.name) {
                Some(last) => last.trials.push(tried),
                None => arms.push(ArmTuning { arm: trial.arm.name.to_string(), chosen: 0, trials: vec![tried] }),
            }
        }
        for arm in &mut arms {
            arm.chosen = best(&arm.trials);
        }
        Self { train_size: size(plan), seed: plan.recipe.seeds, arms }
    }

    /// What was chosen, by the name of the training that arms share.
    pub(super) fn chosen(&self, known: &[Arm]) -> BTreeMap<&'static str, Hyperparameters> {
        let training =
            |name: &str| known.iter().find(|arm| arm.name == name).map_or("", |arm: &Arm| arm.training().name);
        self.arms.iter().map(|arm| (training(&arm.arm), arm.trials[arm.chosen].hyperparameters)).collect()
    }
}

/// The hyperparameters of the study that left these weights in its folder, of `OUT/weights`; none if it tuned nothing.
pub(super) fn beside(weights: Option<&Path>, arm: &Arm) -> Result<Option<Hyperparameters>, CompareError> {
    let Some(path) = weights.and_then(|weights| Some(weights.parent()?.parent()?.join(FILE))) else {
        return Ok(None);
    };
    let unreadable =
        |message: String| CompareError::Request(format!("--weights: {} is not usable ({message})", path.display()));
    let text = match fs::read(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        read => read.map_err(|error| unreadable(error.to_string()))?,
    };
    let tuning: Tuning = serde_json::from_slice(&text).map_err(|error| unreadable(error.to_string()))?;
    let same = |tuned: &&ArmTuning| Arm::named(&tuned.arm).is_some_and(|tuned| tuned.training() == arm.training());
    let tuned = tuning.arms.iter().find(same);
    Ok(tuned.and_then(|tuned| tuned.trials.get(tuned.chosen)).map(|trial| trial.hyperparameters))
}

fn best(trials: &[Trial]) -> usize {
    let scored = trials.iter().enumerate().filter_map(|(place, trial)| Some((place, trial.validation?)));
    scored.reduce(|best, other| if other.1.beats(&best.1) { other } else { best }).map_or(0, |(place, _)| place)
}

/// The size that trials are trained with: the middle one of the study, the smaller of two.
fn size(plan: &Plan) -> usize {
    let sizes = &plan.recipe.sizes;
    sizes[(sizes.len() - 1) / 2]
}

/// The trials of a plan, arm by arm; none if nothing is tuned.
pub(super) fn trials(plan: &Plan, known: &[Arm]) -> Vec<CellPlan> {
    let mut arms: Vec<Arm> = Vec::new();
    for arm in plan.arms_among(known).into_iter().filter(Arm::is_trained) {
        if arms.iter().all(|other| other.training() != arm.training()) {
            arms.push(arm);
        }
    }
    let count = plan.recipe.tuning_trials;
    let of = |arm: Arm| {
        let hyperparameters = draw(&arm, plan.recipe.hyperparameters(&arm), count);
        hyperparameters.into_iter().enumerate().map(move |(trial, hyperparameters)| CellPlan {
            trial: Some(trial),
            ..CellPlan::new(arm, size(plan), plan.recipe.seeds, hyperparameters)
        })
    };
    arms.into_iter().flat_map(of).collect()
}

/// `count` points about `center`, itself the first. What does not concern an arm stays as it is.
fn draw(arm: &Arm, center: Hyperparameters, count: usize) -> Vec<Hyperparameters> {
    let parts = count.saturating_sub(1);
    let mut rng = stream(0, Purpose::Tuning, parts as u64);
    let [rates, decays, widths, augmentations] = [(); 4].map(|()| spread(parts, &mut rng));
    let moved = arm.augmented && arm.view != View::Frames;
    let one_of = |values: [f64; 3], at: f64| values[((at * 3.0) as usize).min(2)];
    let trial = |place: usize| Hyperparameters {
        learning_rate: rounded(center.learning_rate * RATES.powf(2.0 * rates[place] - 1.0)),
        weight_decay: rounded(DECAYS[0] * (DECAYS[1] / DECAYS[0]).powf(decays[place])) as f32,
        width: if matches!(arm.network, Network::Own(_)) { center.width } else { one_of(WIDTHS, widths[place]) },
        augmentation: if moved { one_of(AUGMENTATIONS, augmentations[place]) } else { center.augmentation },
    };
    (0..count.min(1)).map(|_| center).chain((0..parts).map(trial)).collect()
}

/// A number in each of the equal parts of [0, 1), in random order.
fn spread(parts: usize, rng: &mut ChaCha8Rng) -> Vec<f64> {
    let mut numbers: Vec<f64> = (0..parts).map(|part| (part as f64 + rng.random::<f64>()) / parts as f64).collect();
    numbers.shuffle(rng);
    numbers
}

/// Two digits: nobody chooses more, and they print well.
fn rounded(value: f64) -> f64 {
    format!("{value:.1e}").parse().expect("what was just printed")
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use super::*;
    use crate::compare::{ARMS, Request, task};
    use crate::device::resolve;

    fn plan(task_name: &str, trials: usize, arms: &[&str]) -> Plan {
        let request = Request {
            task: task_name.to_string(),
            arms: Some(arms.iter().map(|arm| arm.to_string()).collect()),
            tuning_trials: Some(trials),
            ..Request::default()
        };
        Plan::new(task(task_name).unwrap(), &request, &resolve(Some("flex")).unwrap(), None).unwrap()
    }

    fn trained(trials: &[CellPlan], metric: impl Fn(usize) -> Option<f64>) -> Vec<Cell> {
        let cell = |(place, trial): (usize, &CellPlan)| Cell {
            validation: metric(place).map(|metric| Score { metric, loss: 1.0 }),
            ..Cell::begun(trial)
        };
        trials.iter().enumerate().map(cell).collect()
    }

    #[test]
    fn every_network_has_as_many_trials_the_recipe_first() {
        let plan = plan("nbody", 5, &["augmented-tta", "plain", "equivariant", "augmented", "linear"]);
        let trials = trials(&plan, &ARMS);
        let names: Vec<String> = trials.iter().map(CellPlan::to_string).collect();
        assert_eq!(names.len(), 3 * 5, "two arms share a network, and one has none: {names:?}");
        assert_eq!(
            [&names[0], &names[4], &names[14]],
            ["augmented-tta-trial0", "augmented-tta-trial4", "equivariant-trial4"]
        );
        for (place, trial) in trials.iter().enumerate() {
            assert_eq!((trial.train_size, trial.seed), (400, plan.recipe.seeds), "middle size, a seed of its own");
            if place % 5 == 0 {
                assert_eq!(trial.hyperparameters, plan.recipe.hyperparameters(&trial.arm));
            }
            assert_eq!(plan.steps_of(trial), plan.recipe.steps(400));
        }
    }

    #[test]
    fn every_part_of_a_range_is_tried_once_and_alike_for_all_arms() {
        let center = Hyperparameters { learning_rate: 0.02, weight_decay: 1e-4, width: 1.0, augmentation: 1.0 };
        let of = |name: &str| draw(&Arm::named(name).unwrap(), center, 9);
        let (plain, augmented) = (of("plain"), of("augmented"));
        assert_eq!((plain.len(), plain[0], augmented[0]), (9, center, center));
        let mut parts: Vec<usize> = plain[1..]
            .iter()
            .map(|tried| (((tried.learning_rate / 0.02).ln() / RATES.ln() + 1.0) / 2.0 * 8.0) as usize)
            .collect();
        parts.sort_unstable();
        // Two digits of a rate may carry it over the border of its part.
        assert!(parts.iter().enumerate().all(|(place, part)| place.abs_diff(*part) <= 1), "{parts:?}");
        for (plain, augmented) in plain.iter().zip(&augmented) {
            assert_eq!(Hyperparameters { augmentation: 1.0, ..*augmented }, *plain, "the same multiples");
            assert!(WIDTHS.contains(&plain.width) && AUGMENTATIONS.contains(&augmented.augmentation));
            assert!((DECAYS[0] * 0.9..=DECAYS[1] * 1.1).contains(&f64::from(plain.weight_decay)) || *plain == center);
        }
        assert!(augmented.iter().any(|tried| tried.augmentation < 1.0) && plain.iter().any(|tried| tried.width < 1.0));
        assert!(draw(&ARMS[0], center, 0).is_empty() && draw(&ARMS[0], center, 1) == [center]);
        assert!(
            of("frame-averaged").iter().all(|tried| tried.augmentation == 1.0),
            "there are as many frames as there are"
        );
    }

    #[test]
    fn the_best_score_is_chosen_and_arms_that_share_a_network_share_it() {
        let plan = plan("mnist-rot", 3, &["augmented-tta", "augmented", "plain"]);
        let trials = trials(&plan, &ARMS);
        // Of three trials each: the last is best; all diverged.
        let cells = trained(&trials, |place| [Some(9.0), None, Some(4.0)].get(place).copied().flatten());
        let tuning = Tuning::of(&plan, &trials, &cells);
        assert_eq!(tuning.arms.iter().map(|arm| arm.chosen).collect::<Vec<_>>(), [2, 0]);
        let chosen = tuning.chosen(&ARMS);
        let cells = plan.cells_among(&ARMS, &chosen);
        let tuned: Vec<Hyperparameters> = cells[..3].iter().map(|cell| cell.hyperparameters).collect();
        assert_eq!(tuned, [trials[2].hyperparameters, trials[2].hyperparameters, trials[3].hyperparameters]);
        assert_eq!(cells[0].training(), CellPlan { arm: cells[1].arm, ..cells[0].clone() }, "one network");
    }

    #[test]
    fn weights_are_built_as_the_study_beside_them_says() {
        let plan = plan("mnist-rot", 2, &["augmented", "plain"]);
        let trials = trials(&plan, &ARMS);
        let tuning = Tuning::of(&plan, &trials, &trained(&trials, |place| Some(10.0 - place as f64)));
        let out = tempfile::tempdir().unwrap();
        let weights = out.path().join("weights").join("augmented-tta-n100-s0.bpk");
        let tta = Arm::named("augmented-tta").unwrap();
        assert_eq!(beside(Some(&weights), &tta).unwrap(), None);
        fs::write(out.path().join(FILE), serde_json::to_vec(&tuning).unwrap()).unwrap();
        assert_eq!(beside(Some(&weights), &tta).unwrap(), Some(trials[1].hyperparameters));
        assert_eq!(beside(Some(&weights), &Arm::named("canonical").unwrap()).unwrap(), None);
        fs::write(out.path().join(FILE), "{").unwrap();
        assert!(beside(Some(&weights), &tta).unwrap_err().to_string().contains("tuning.json is not usable"));
        assert_eq!(beside(None, &tta).unwrap(), None);
    }
}
