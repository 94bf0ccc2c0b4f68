//! What trained networks say of a few test samples while these are turned once around, for a look at single answers:
//! [`Results::turning`](super::results::Results::turning) has the samples, [`Cell::turning`](super::results::Cell::turning) the answers.
//!
//! The samples are the first of the test set, so nobody has chosen them for what they show. Only the networks of seed 0 with the
//! most training samples are asked. Numbers are rounded, which keeps the files small.

use std::borrow::Cow;

use burn::Tensor;
use burn::tensor::Device;
use equi_core::action::image::act;
use equi_core::group::{Element, Isometry};
use serde::{Deserialize, Deserializer, Serialize};

use super::{CellPlan, Plan};
use crate::data::Images;
use crate::data::files::resized;
use crate::data::nbody::Motion;
use crate::data::points::{PointSystem, PointTarget};
use crate::data::spatial::{Answer, Sample};
use crate::stop::Stop;

/// Angles of a full turn, 7.5 degrees apart: quarter turns and eighths are among them.
const STEPS: u32 = 48;
/// Samples that are turned.
const SAMPLES: usize = 6;
/// Pixels of the widest image that is kept as it is; wider ones are kept smaller, since they are only looked at.
const WIDEST: usize = 65;
/// Classes whose probabilities are kept; more only if more of them are answers.
const CLASSES: usize = 10;
/// Decimals of probabilities: tenths of a percent.
const DECIMALS: i32 = 3;
/// Points of all samples together: of samples with many points fewer are turned, and samples with more than these are left out.
const POINTS: usize = 60;

/// A few test samples, and the angles by which they are turned.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Turning {
    /// In degrees, counter-clockwise: of images about their middle, of points about the z axis through the mean of their positions.
    pub angles: Vec<f64>,
    /// The names of the classes, where they are not their numbers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub classes: Vec<String>,
    /// The samples as the test set has them, which is the angle 0.
    pub samples: Vec<TurnedSample>,
}

/// A test sample.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum TurnedSample {
    /// An image, for display: no larger than 65 pixels, in 256 levels.
    Image {
        /// Its place in the test set, from 0.
        place: usize,
        /// Its class.
        label: usize,
        /// Rows and columns of the image that networks are given.
        size: [usize; 2],
        /// Three, red, green and blue, or one.
        #[serde(default = "one", skip_serializing_if = "is_one")]
        channels: usize,
        /// Rows that are kept.
        height: usize,
        /// Columns that are kept.
        width: usize,
        /// The values of the levels 0 and 255. Zero, which is what lies outside an image, is between them.
        range: [f64; 2],
        /// `[channels, height, width]`, row-major.
        levels: Vec<u8>,
    },
    /// Points in space.
    Points {
        /// Its place in the test set, from 0.
        place: usize,
        /// `[points]`, if they have any.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        charges: Vec<f64>,
        /// `[points, 3]`
        start: Vec<[f64; 3]>,
        /// `[points, 3]`, if they have any.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        velocities: Vec<[f64; 3]>,
        /// The positions that are asked for, `[points, 3]`.
        end: Vec<[f64; 3]>,
    },
    /// Points in space, of which a number is asked for.
    Number {
        /// Its place in the test set, from 0.
        place: usize,
        /// `[points, 3]`
        positions: Vec<[f64; 3]>,
        /// The number, which is the same at every angle.
        number: f64,
    },
    /// Points in space, of each of which a vector is asked for.
    Vectors {
        /// Its place in the test set, from 0.
        place: usize,
        /// `[points, 3]`
        positions: Vec<[f64; 3]>,
        /// The vectors, `[points, 3]`, which turn along.
        vectors: Vec<[f64; 3]>,
    },
}

fn one() -> usize {
    1
}

fn is_one(channels: &usize) -> bool {
    *channels == 1
}

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

/// Samples of points that are turned.
pub(super) trait Turned: Sample {
    /// The size of what decides how many decimals are kept of answers.
    fn size(few: &[(usize, &Self)]) -> f64;

    /// The sample with so many decimals of what is asked for.
    fn kept(&self, place: usize, decimals: i32) -> TurnedSample;

    /// What is said of it, all numbers of the answer at every angle.
    fn said(&self, numbers: Vec<Vec<f64>>) -> TurnedAnswer;
}

impl Turned for Motion {
    /// The largest coordinate: errors of small systems are small, too.
    fn size(few: &[(usize, &Self)]) -> f64 {
        largest(few.iter().flat_map(|(_, motion)| motion.start.positions.iter().chain(&motion.end)).flatten())
    }

    fn kept(&self, place: usize, decimals: i32) -> TurnedSample {
        TurnedSample::Points {
            place,
            charges: self.start.charges.clone(),
            start: rounded(&self.start.positions, decimals),
            velocities: rounded(&self.start.velocities, decimals),
            end: rounded(&self.end, decimals),
        }
    }

    fn said(&self, positions: Vec<Vec<f64>>) -> TurnedAnswer {
        TurnedAnswer::Positions { positions }
    }
}

impl Turned for PointSystem {
    /// Of vectors the largest coordinate, of numbers by how much they vary: they may be large and alike.
    fn size(few: &[(usize, &Self)]) -> f64 {
        let numbers: Vec<f64> = few.iter().flat_map(|(_, system)| system.target.numbers()).copied().collect();
        let one = few.iter().find(|(_, system)| system.target.is_scalar()).map_or(0.0, |_| numbers[0]);
        let varying: Vec<f64> = numbers.iter().map(|number| number - one).filter(|&number| number != 0.0).collect();
        largest(if varying.is_empty() { &numbers } else { &varying })
    }

    fn kept(&self, place: usize, decimals: i32) -> TurnedSample {
        let all = digits(largest(self.positions.as_flattened()));
        let positions = rounded(&self.positions, all);
        match &self.target {
            PointTarget::Scalar(number) => TurnedSample::Number { place, positions, number: round(*number, decimals) },
            PointTarget::Vectors(vectors) => {
                TurnedSample::Vectors { place, positions, vectors: rounded(vectors, decimals) }
            }
        }
    }

    fn said(&self, numbers: Vec<Vec<f64>>) -> TurnedAnswer {
        match self.target {
            PointTarget::Scalar(_) => TurnedAnswer::Numbers { numbers: numbers.concat() },
            PointTarget::Vectors(_) => TurnedAnswer::Vectors { vectors: numbers },
        }
    }
}

impl Turning {
    /// The first of these images, each class once before any comes twice, with the names of the classes if they have any.
    pub(super) fn of_images(images: &Images, classes: &[String]) -> Self {
        let samples = places(images.labels()).into_iter().map(|place| image_sample(images, place)).collect();
        Self { angles: angles(), classes: classes.to_vec(), samples }
    }

    /// The first of these samples that have few points; none if there are none.
    pub(super) fn of_points<S: Turned>(samples: &[S]) -> Option<Self> {
        let few = first(samples);
        let decimals = decimals(&few);
        let samples = few.iter().map(|&(place, sample)| sample.kept(place, decimals)).collect();
        (!few.is_empty()).then(|| Self { angles: angles(), classes: Vec::new(), samples })
    }
}

/// Whether the network of a cell is asked: that of seed 0 with the most training samples.
fn is_asked(plan: &Plan, cell: &CellPlan) -> bool {
    cell.seed == 0 && plan.recipe.sizes.iter().max() == Some(&cell.train_size)
}

fn angles() -> Vec<f64> {
    (0..STEPS).map(|step| 360.0 * f64::from(step) / f64::from(STEPS)).collect()
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

/// What `answer`, which gives logits `[batch, classes]`, says of the samples of [`Turning::of_images`] as they are turned; nothing
/// if this cell is not asked, and none if `stop` was raised before the last angle.
pub(super) fn image_answers(
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

/// What `predict` says of the samples of [`Turning::of_points`] as they are turned; nothing if this cell is not asked, and none if
/// `predict` gives none.
pub(super) fn point_answers<S: Turned>(
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

/// The places of the images that are turned: the first ones, each class once before any comes twice.
fn places(labels: &[u8]) -> Vec<usize> {
    let mut seen = [0usize; 256];
    let mut places: Vec<(usize, usize)> = labels
        .iter()
        .enumerate()
        .map(|(place, &label)| {
            seen[usize::from(label)] += 1;
            (seen[usize::from(label)], place)
        })
        .collect();
    places.sort_unstable();
    places.into_iter().take(SAMPLES).map(|(_, place)| place).collect()
}

/// The samples that are turned, and their places: the first ones, but for those with too many points for all that are kept.
fn first<S: Sample>(samples: &[S]) -> Vec<(usize, &S)> {
    let mut room = POINTS;
    let fits = |(_, sample): &(usize, &S)| {
        let points = sample.points().max(1);
        let fits = points <= room;
        room -= if fits { points } else { 0 };
        fits
    };
    samples.iter().enumerate().filter(fits).take(SAMPLES).collect()
}

/// An image for display: with red, green and blue, or else its luminance.
fn image_sample(images: &Images, place: usize) -> TurnedSample {
    let (rows, columns) = (images.height(), images.width());
    let (channels, shown) = match images.channels() {
        3 => (3, Cow::Borrowed(images.image(place))),
        _ => (1, images.luminance(place)),
    };
    let (mut height, mut width, mut pixels) = (rows, columns, shown.into_owned());
    let longest = rows.max(columns);
    if longest > WIDEST {
        let scaled = |side: usize| (side * WIDEST).div_ceil(longest);
        (height, width) = (scaled(rows), scaled(columns));
        let small = |plane: &[f32]| resized(plane, [rows, columns], [height, width]);
        pixels = pixels.chunks(rows * columns).flat_map(small).collect();
    }
    let (low, high) = pixels.iter().fold((0f32, 0f32), |(low, high), &value| (low.min(value), high.max(value)));
    // An image of zeros has levels of zero.
    let (low, high) = (f64::from(low), f64::from(if high > low { high } else { low + 1.0 }));
    let level = |value: f32| (255.0 * (f64::from(value) - low) / (high - low)).round() as u8;
    TurnedSample::Image {
        place,
        label: usize::from(images.labels()[place]),
        size: [rows, columns],
        channels,
        height,
        width,
        range: [low, high],
        levels: pixels.into_iter().map(level).collect(),
    }
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

/// The size of the largest of these numbers.
fn largest<'a>(numbers: impl IntoIterator<Item = &'a f64>) -> f64 {
    numbers.into_iter().fold(0.0, |largest, x| largest.max(x.abs()))
}

/// Decimals that leave numbers of a size six digits.
fn digits(size: f64) -> i32 {
    (5 - size.max(f64::MIN_POSITIVE).log10().floor() as i32).clamp(0, 12)
}

/// Decimals of answers to these samples.
fn decimals<S: Turned>(few: &[(usize, &S)]) -> i32 {
    digits(S::size(few))
}

fn rounded(vectors: &[[f64; 3]], decimals: i32) -> Vec<[f64; 3]> {
    vectors.iter().map(|x| x.map(|x| round(x, decimals))).collect()
}

/// Rounded to this many decimals, without the sign of a zero.
fn round(value: f64, decimals: i32) -> f64 {
    let unit = 10f64.powi(decimals);
    (value * unit).round() / unit + 0.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::nbody::NBody;
    use crate::data::points::{Neighbourhood, PointSample};
    use crate::data::spatial::centre;

    #[test]
    fn the_first_of_every_class_come_before_the_second() {
        assert_eq!(places(&[3, 3, 1, 3, 1, 2, 9]), [0, 2, 5, 6, 1, 4]);
        assert_eq!(places(&[0, 1, 2, 3, 4, 5, 6]), [0, 1, 2, 3, 4, 5]);
        assert_eq!(places(&[7, 7]), [0, 1]);
        assert!(places(&[]).is_empty());
    }

    #[test]
    fn angles_go_once_around_and_contain_the_eighths() {
        let angles = angles();
        assert_eq!((angles.len(), angles[0], angles[1]), (48, 0.0, 7.5));
        for eighth in 0..8 {
            assert!(angles.contains(&(45.0 * f64::from(eighth))));
        }
    }

    #[test]
    fn images_are_kept_in_levels_that_know_where_zero_is() {
        let pixels = vec![-0.5, 0.0, 1.5, 0.5];
        let images = Images::new(pixels, vec![4], 2, 2).unwrap();
        let Turning { samples, classes, .. } = Turning::of_images(&images, &[]);
        assert!(classes.is_empty());
        let TurnedSample::Image { place: 0, label: 4, size: [2, 2], channels: 1, height: 2, width: 2, range, levels } =
            &samples[0]
        else {
            panic!("{samples:?}")
        };
        assert_eq!((range, &levels[..]), (&[-0.5, 1.5], &[0, 64, 255, 128][..]));
        let dark = Images::new(vec![0.0; 9], vec![0], 3, 3).unwrap();
        let TurnedSample::Image { range, levels, .. } = image_sample(&dark, 0) else { panic!("an image") };
        assert_eq!((range, levels), ([0.0, 1.0], vec![0; 9]));
    }

    #[test]
    fn colours_are_kept_in_levels_of_one_scale_and_other_channels_as_their_mean() {
        let pixels = vec![0.5, 0.0, 1.0, 2.0, 0.0, 0.25];
        let images = Images::with_channels(pixels.clone(), vec![4], 3, 1, 2).unwrap();
        let kept = image_sample(&images, 0);
        let TurnedSample::Image { channels: 3, height: 1, width: 2, range, levels, .. } = &kept else {
            panic!("{kept:?}")
        };
        assert_eq!((range, &levels[..]), (&[0.0, 2.0], &[64, 0, 128, 255, 0, 32][..]));
        let text = serde_json::to_string(&kept).unwrap();
        assert!(text.contains(r#""channels":3"#), "{text}");
        assert_eq!(serde_json::from_str::<TurnedSample>(&text).unwrap(), kept);

        let images = Images::with_channels(pixels, vec![4], 2, 1, 3).unwrap();
        let kept = image_sample(&images, 0);
        let TurnedSample::Image { channels: 1, width: 3, range, levels, .. } = &kept else { panic!("{kept:?}") };
        assert_eq!((range, &levels[..]), (&[0.0, 1.25], &[255, 0, 128][..]));
        assert!(!serde_json::to_string(&kept).unwrap().contains("channels"));
    }

    #[test]
    fn wide_images_are_kept_smaller() {
        let pixels = (0..257 * 257).map(|at| f32::from(at % 257 > 128)).collect();
        let images = Images::new(pixels, vec![0], 257, 257).unwrap();
        let TurnedSample::Image { size, height, width, levels, .. } = image_sample(&images, 0) else {
            panic!("an image")
        };
        assert_eq!((size, height, width, levels.len()), ([257, 257], 65, 65, 65 * 65));
        assert_eq!((levels[0], levels[64]), (0, 255), "left is dark, right is bright");
        // Red on the right and blue on the left.
        let planes = [|at: usize| at % 257 > 128, |_| false, |at: usize| at % 257 <= 128];
        let pixels = planes.iter().flat_map(|plane| (0..257 * 257).map(|at| f32::from(plane(at)))).collect();
        let images = Images::with_channels(pixels, vec![0], 3, 257, 257).unwrap();
        let TurnedSample::Image { channels, height, width, levels, .. } = image_sample(&images, 0) else {
            panic!("an image")
        };
        assert_eq!((channels, height, width, levels.len()), (3, 65, 65, 3 * 65 * 65));
        let corners = [0, 1, 2].map(|channel| (levels[channel * 65 * 65], levels[channel * 65 * 65 + 64]));
        assert_eq!(corners, [(0, 255), (0, 0), (255, 0)]);
    }

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
    fn rounding_keeps_what_is_not_finite_and_no_sign_of_zero() {
        assert_eq!([round(0.12349, 3), round(-2.5e-9, 4), round(12.0, 2)], [0.123, 0.0, 12.0]);
        assert!(round(-1e-9, 3).is_sign_positive() && round(f64::NAN, 3).is_nan());
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

    #[test]
    fn samples_and_answers_of_earlier_versions_are_read_and_those_of_this_one_come_back() {
        let text = r#"{"angles":[0.0],"samples":[
            {"kind":"points","place":3,"charges":[1.0],"start":[[0.5,0.0,0.0]],"velocities":[[1.0,0.0,0.0]],"end":[[1.5,0.0,0.0]]},
            {"kind":"image","place":0,"label":1,"size":[1,1],"height":1,"width":1,"range":[0.0,1.0],"levels":[7]}]}"#;
        let Turning { samples, .. } = serde_json::from_str(text).unwrap();
        assert!(matches!(&samples[0], TurnedSample::Points { place: 3, end, .. } if end[0] == [1.5, 0.0, 0.0]));
        assert!(matches!(&samples[1], TurnedSample::Image { label: 1, channels: 1, levels, .. } if levels[..] == [7]));
        let answers: Vec<TurnedAnswer> =
            serde_json::from_str(r#"[{"positions":[[1.0,null,0.0]]},{"classes":[1],"probabilities":[[1.0]]}]"#)
                .unwrap();
        assert!(matches!(&answers[0], TurnedAnswer::Positions { positions } if positions[0][1].is_nan()));
        assert!(matches!(&answers[1], TurnedAnswer::Classes { classes, .. } if classes[..] == [1]));
        let vectors = PointTarget::Vectors(vec![[0.5, 0.25, 0.0]; 2]);
        for target in [PointTarget::Scalar(2.5), vectors] {
            let kept = Turning::of_points(&[system(2, target)]).unwrap();
            assert_eq!(serde_json::from_str::<Turning>(&serde_json::to_string(&kept).unwrap()).unwrap(), kept);
        }
    }

    #[test]
    fn motions_turn_about_their_centre_and_large_systems_are_left_out() {
        let motions = NBody::new(0).test(8).unwrap();
        let quarter = Isometry::rotation([0.0, 0.0, 1.0], std::f64::consts::FRAC_PI_2).unwrap();
        let turned = motions[0].about_centre(quarter);
        let (before, after) = (centre(&motions[0].start.positions), centre(&turned.start.positions));
        for k in 0..3 {
            assert!((before[k] - after[k]).abs() < 1e-12);
        }
        let [x, y, z] = motions[0].end[0];
        let expected = [before[0] - (y - before[1]), before[1] + (x - before[0]), z];
        for (found, expected) in turned.end[0].iter().zip(expected) {
            assert!((found - expected).abs() < 1e-12, "counter-clockwise, seen from above");
        }
        assert_eq!(Turning::of_points(&motions).unwrap().samples.len(), SAMPLES);
        let crowd = |count: usize| {
            let mut motion = motions[0].clone();
            let repeat = |points: &[[f64; 3]]| points.iter().copied().cycle().take(count).collect::<Vec<_>>();
            motion.start.charges = vec![1.0; count];
            motion.start.velocities = repeat(&motion.start.velocities);
            motion.start.positions = repeat(&motion.start.positions);
            motion.end = repeat(&motion.end);
            vec![motion; 8]
        };
        assert_eq!(Turning::of_points(&crowd(20)).unwrap().samples.len(), 3);
        assert_eq!(Turning::of_points(&crowd(61)), None);
    }

    /// A sample of points on the x axis.
    fn system(points: usize, target: PointTarget) -> PointSystem {
        let sample = PointSample {
            positions: (0..points).map(|at| [at as f64 / 3.0, 0.0, 0.0]).collect(),
            velocities: None,
            species: Vec::new(),
            features: Vec::new(),
            target,
        };
        PointSystem::new(&sample, [0.0; 3], &[], Neighbourhood::All).unwrap()
    }

    #[test]
    fn wide_samples_are_left_out_and_the_others_keep_their_places() {
        let of = |counts: &[usize]| -> Vec<usize> {
            let systems: Vec<PointSystem> = counts.iter().map(|&n| system(n, PointTarget::Scalar(0.0))).collect();
            first(&systems).into_iter().map(|(place, _)| place).collect()
        };
        assert_eq!(of(&[61, 4, 50, 7, 6, 61, 1]), [1, 2, 4]);
        assert_eq!(of(&[2; 9]), [0, 1, 2, 3, 4, 5]);
        assert!(of(&[61, 70]).is_empty() && of(&[]).is_empty());
    }

    #[test]
    fn numbers_keep_digits_of_what_varies_and_vectors_of_their_coordinates() {
        let numbers = [-40_000.123_456_78, -39_999.823_456_78].map(|number| system(2, PointTarget::Scalar(number)));
        let Turning { samples, .. } = Turning::of_points(&numbers).unwrap();
        let kept: Vec<f64> = samples
            .iter()
            .map(|sample| match sample {
                TurnedSample::Number { number, .. } => *number,
                other => panic!("{other:?}"),
            })
            .collect();
        // They differ by three tenths.
        assert_eq!(kept, [-40_000.123_457, -39_999.823_457]);
        let alike = [system(2, PointTarget::Scalar(12.345_678_9))];
        let TurnedSample::Number { number, .. } = Turning::of_points(&alike).unwrap().samples[0] else { panic!() };
        assert_eq!(number, 12.3457);
        let vectors = [system(2, PointTarget::Vectors(vec![[1.0 / 3.0, 0.0, 200.0 / 3.0], [0.0; 3]]))];
        let TurnedSample::Vectors { positions, vectors, .. } = &Turning::of_points(&vectors).unwrap().samples[0] else {
            panic!("vectors")
        };
        assert_eq!((vectors[0], positions[1]), ([0.3333, 0.0, 66.6667], [0.333_333, 0.0, 0.0]));
    }
}
