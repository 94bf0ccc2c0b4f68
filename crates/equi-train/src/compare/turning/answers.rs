//! What trained networks say of the samples, angle by angle.

use burn::Tensor;
use burn::tensor::Device;
use equi_core::action::image::act;
use equi_core::group::{Element, Isometry};
use serde::{Deserialize, Deserializer, Serialize};

use super::STEPS;
use super::points::{Turned, decimals};
use super::rounding::round;
use super::samples::{first, places};
use crate::compare::{CellPlan, Plan};
use crate::data::Images;
use crate::data::spatial::Answer;
use crate::stop::Stop;

/// Classes whose probabilities are kept; more only if more of them are answers.
const CLASSES: usize = 10;
/// Decimals of probabilities: tenths of a percent.
const DECIMALS: i32 = 3;

/// What a network says of one sample, angle by angle. A number that is not finite is `null` in the file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum TurnedAnswer {
    /// Which class it is.
    Classes {
        /// The true class, all that are likeliest at some angle, and the likeliest of the others, up to ten: all, if there are no more.
        classes: Vec<usize>,
        /// `[angles, classes]`
        #[serde(deserialize_with = "null_is_nan")]
        probabilities: Vec<Vec<f64>>,
    },
    /// Where the points will be, for the sample as it is turned.
    Positions {
        /// `[angles, 3 points]`
        #[serde(deserialize_with = "null_is_nan")]
        positions: Vec<Vec<f64>>,
    },
    /// Which number the sample has.
    Numbers {
        /// `[angles]`
        #[serde(deserialize_with = "null_is_nan_list")]
        numbers: Vec<f64>,
    },
    /// Which vectors the points have, for the sample as it is turned.
    Vectors {
        /// `[angles, 3 points]`
        #[serde(deserialize_with = "null_is_nan")]
        vectors: Vec<Vec<f64>>,
    },
}

fn null_is_nan<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Vec<f64>>, D::Error> {
    let rows: Vec<Vec<Option<f64>>> = Deserialize::deserialize(deserializer)?;
    Ok(rows.into_iter().map(or_nan).collect())
}

fn null_is_nan_list<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<f64>, D::Error> {
    Ok(or_nan(Deserialize::deserialize(deserializer)?))
}

fn or_nan(numbers: Vec<Option<f64>>) -> Vec<f64> {
    numbers.into_iter().map(|number| number.unwrap_or(f64::NAN)).collect()
}

/// Whether the network of a cell is asked: that of seed 0 with the most training samples.
fn is_asked(plan: &Plan, cell: &CellPlan) -> bool {
    cell.seed == 0 && plan.recipe.sizes.iter().max() == Some(&cell.train_size)
}

/// `[samples][angles]`, of answers that are given for all samples at one step of the turn.
fn around<A>(answers: impl Fn(u32) -> Option<Vec<A>>) -> Option<Vec<Vec<A>>> {
    let mut of_samples: Vec<Vec<A>> = Vec::new();
    for step in 0..STEPS {
        for (sample, answer) in answers(step)?.into_iter().enumerate() {
            match of_samples.get_mut(sample) {
                Some(known) => known.push(answer),
                None => of_samples.push(vec![answer]),
            }
        }
    }
    Some(of_samples)
}

/// What `answer`, which gives logits `[batch, classes]`, says of the samples of [`Turning::of_images`](super::Turning::of_images) as they are turned; nothing
/// if this cell is not asked, and none if `stop` was raised before the last angle.
pub fn image_answers(
    (plan, cell): (&Plan, &CellPlan),
    images: &Images,
    answer: impl Fn(Tensor<4>) -> Tensor<2>,
    device: &Device,
    stop: &Stop,
) -> Option<Vec<TurnedAnswer>> {
    if !is_asked(plan, cell) {
        return Some(Vec::new());
    }
    let places = places(images.labels());
    let (batch, _) = images.batch(&places, device);
    let found = around(|step| {
        if stop.is_raised() {
            return None;
        }
        let logits = answer(act(&Element::turn(step, STEPS), batch.clone()));
        let classes = logits.dims()[1];
        let logits: Vec<f64> = logits.into_data().iter::<f64>().collect();
        Some(logits.chunks(classes).map(softmax).collect())
    })?;
    let labels = places.iter().map(|&place| usize::from(images.labels()[place]));
    Some(found.into_iter().zip(labels).map(|(probabilities, label)| likeliest(&probabilities, label)).collect())
}

/// What `predict` says of the samples of [`Turning::of_points`](super::Turning::of_points) as they are turned; nothing if this cell is not asked, and none if
/// `predict` gives none.
pub fn point_answers<S: Turned>(
    (plan, cell): (&Plan, &CellPlan),
    samples: &[S],
    predict: impl Fn(&[S]) -> Option<Vec<S::Answer>>,
) -> Option<Vec<TurnedAnswer>> {
    if !is_asked(plan, cell) {
        return Some(Vec::new());
    }
    let few = first(samples);
    let decimals = decimals(&few);
    // One step after the other, so that an arm that draws poses draws the same ones at every angle, those of its test.
    let found = around(|step| {
        let angle = 360.0 * f64::from(step) / f64::from(STEPS);
        let rotation = Isometry::rotation([0.0, 0.0, 1.0], angle.to_radians()).expect("the axis has a direction");
        let turned: Vec<S> = few.iter().map(|(_, sample)| sample.about_centre(rotation)).collect();
        let rounded = |answer: S::Answer| answer.numbers().iter().map(|&x| round(x, decimals)).collect::<Vec<f64>>();
        Some(predict(&turned)?.into_iter().map(rounded).collect())
    })?;
    Some(few.iter().zip(found).map(|((_, sample), numbers)| sample.said(numbers)).collect())
}

fn softmax(logits: &[f64]) -> Vec<f64> {
    let largest = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let powers: Vec<f64> = logits.iter().map(|logit| (logit - largest).exp()).collect();
    let sum: f64 = powers.iter().sum();
    powers.into_iter().map(|power| power / sum).collect()
}

/// Of the probabilities `[angles][classes]` those of the true class, of the answers, and of the likeliest others.
fn likeliest(probabilities: &[Vec<f64>], label: usize) -> TurnedAnswer {
    let count = probabilities.first().map_or(0, Vec::len);
    let most = |class: usize| probabilities.iter().map(|row| row[class]).fold(0.0, f64::max);
    let mut order: Vec<usize> = (0..count).collect();
    order.sort_by(|&a, &b| most(b).total_cmp(&most(a)));
    let mut kept: Vec<usize> = probabilities.iter().filter_map(|row| place_of_largest(row)).chain([label]).collect();
    kept.sort_unstable();
    kept.dedup();
    for class in order {
        if kept.len() < CLASSES && !kept.contains(&class) {
            kept.push(class);
        }
    }
    kept.sort_unstable();
    let row = |row: &Vec<f64>| kept.iter().map(|&class| round(row[class], DECIMALS)).collect();
    TurnedAnswer::Classes { probabilities: probabilities.iter().map(row).collect(), classes: kept }
}

/// The place of the largest of these numbers, the first if there are several; none if one is not a number.
pub fn place_of_largest(row: &[f64]) -> Option<usize> {
    let larger = |best: usize, place: usize| if row[place] > row[best] { place } else { best };
    row.iter().all(|value| !value.is_nan()).then(|| (0..row.len()).reduce(larger)).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_of_few_classes_are_kept_and_the_likeliest_of_many() {
        let rows = vec![vec![0.0123, 0.9, 0.0877], vec![0.5, 0.25, 0.25]];
        let TurnedAnswer::Classes { classes, probabilities } = likeliest(&rows, 2) else { panic!("classes") };
        assert_eq!(classes, [0, 1, 2]);
        assert_eq!(probabilities, [[0.012, 0.9, 0.088], [0.5, 0.25, 0.25]]);
        // Class `k` of 50 is likeliest at angle `k` of the first 12.
        let peak =
            |angle: usize| (0..50).map(|class| if class == angle { 0.5 } else { class as f64 / 2500.0 }).collect();
        let rows: Vec<Vec<f64>> = (0..12).map(peak).collect();
        let TurnedAnswer::Classes { classes, .. } = likeliest(&rows, 30) else { panic!("classes") };
        assert_eq!(classes, (0..12).chain([30]).collect::<Vec<_>>(), "answers and the truth, however many");
        let TurnedAnswer::Classes { classes, .. } = likeliest(&rows[..2], 30) else { panic!("classes") };
        assert_eq!(classes, [0, 1, 30, 43, 44, 45, 46, 47, 48, 49]);
    }

    #[test]
    fn there_is_a_largest_of_numbers_alone() {
        assert_eq!(place_of_largest(&[0.2, 0.4, 0.4]), Some(1));
        assert_eq!((place_of_largest(&[f64::NAN, 0.4]), place_of_largest(&[])), (None, None));
    }

    #[test]
    fn broken_answers_are_read_back_as_such() {
        let answers = [
            TurnedAnswer::Classes { classes: vec![1, 4], probabilities: vec![vec![0.25, 0.75], vec![f64::NAN; 2]] },
            TurnedAnswer::Positions { positions: vec![vec![1.5, f64::INFINITY, -2.0]] },
            TurnedAnswer::Numbers { numbers: vec![2.5, f64::NAN] },
            TurnedAnswer::Vectors { vectors: vec![vec![0.5, 0.0, f64::NAN]] },
        ];
        let text = serde_json::to_string(&answers).unwrap();
        let back: Vec<TurnedAnswer> = serde_json::from_str(&text).unwrap();
        let TurnedAnswer::Classes { classes, probabilities } = &back[0] else { panic!("{text}") };
        assert_eq!((&classes[..], &probabilities[0][..]), (&[1, 4][..], &[0.25, 0.75][..]));
        assert!(probabilities[1][0].is_nan());
        let TurnedAnswer::Positions { positions } = &back[1] else { panic!("{text}") };
        assert!(positions[0][0] == 1.5 && positions[0][1].is_nan());
        let TurnedAnswer::Numbers { numbers } = &back[2] else { panic!("{text}") };
        assert!(numbers[0] == 2.5 && numbers[1].is_nan());
        let TurnedAnswer::Vectors { vectors } = &back[3] else { panic!("{text}") };
        assert!(vectors[0][..2] == [0.5, 0.0] && vectors[0][2].is_nan());
        assert_eq!(serde_json::to_string(&back).unwrap(), text);
    }
}
