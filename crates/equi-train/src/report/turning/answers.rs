//! What the arms say of a sample, angle by angle, in words and numbers: the data of the script.

use serde::Serialize;

use super::super::number;
use super::drawing::{HALF, View, height, positions, turned};
use crate::compare::results::{TurnedAnswer, TurnedSample, Turning};
use crate::compare::turning::place_of_largest;
use crate::data::spatial::centre;

/// What the script needs to know of a sample.
#[derive(Serialize)]
pub(super) struct Sample {
    /// The image, if it is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<Picture>,
    /// Where the points are from which vectors are drawn, angle by angle: `x, y, x, y`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub roots: Vec<Vec<i32>>,
    /// What is said of all arms, angle by angle.
    pub readings: Vec<String>,
    /// In the order of the rows; none for an arm whose network is lost.
    pub arms: Vec<Option<Answers>>,
    /// Where the truth is on all lines, from above, if it is the same at every angle.
    #[serde(skip)]
    pub level: Option<f64>,
    /// What the numbers are, and the scale of the lines, where that is the sample's own.
    #[serde(skip)]
    pub scale: String,
}

#[derive(Serialize)]
pub(super) struct Picture {
    channels: usize,
    height: usize,
    width: usize,
    /// The level of zero, which is what lies outside.
    outside: f64,
    /// `[channels, height, width]`
    levels: Vec<u8>,
}

/// What one arm says of one sample, angle by angle.
#[derive(Default, Serialize)]
pub(super) struct Answers {
    pub says: Vec<String>,
    /// Whether the class is right.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub right: Vec<bool>,
    /// The probability of the class.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub share: Vec<f64>,
    /// Where the marker is on the line, from above; none where there is no number.
    pub heights: Vec<Option<f64>>,
    /// Where the points of the answer are drawn, or the tips of its vectors: `x, y, x, y`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub points: Vec<Vec<Option<i32>>>,
    /// Over all angles, in a few words.
    #[serde(skip)]
    pub all: String,
}

/// The numbers of an arm before they are put into words: one an angle.
pub(super) struct Measured<'a> {
    name: &'a str,
    answer: &'a TurnedAnswer,
    /// The probability of the true class, the error of positions or vectors, or the number that is the answer.
    values: Vec<f64>,
}

impl<'a> Measured<'a> {
    /// None for an answer that does not fit the sample, which no study writes.
    pub fn new(name: &'a str, sample: &TurnedSample, turning: &Turning, answer: &'a TurnedAnswer) -> Option<Self> {
        // Of rows of coordinates beside the truth as it is turned about `middle`.
        let errors = |rows: &[Vec<f64>], truth: &[[f64; 3]], middle: [f64; 3], error: fn(&[f64], &[f64]) -> f64| {
            let fitting = turning.angles.iter().zip(rows).filter(|(_, row)| row.len() == 3 * truth.len());
            let one = |(angle, row): (&f64, &Vec<f64>)| {
                let truth: Vec<f64> = truth.iter().flat_map(|x| turned(*x, middle, *angle)).collect();
                error(row, &truth)
            };
            fitting.map(one).collect()
        };
        let values: Vec<f64> = match (sample, answer) {
            (TurnedSample::Image { label, .. }, TurnedAnswer::Classes { classes, probabilities }) => {
                let truth = classes.iter().position(|class| class == label)?;
                probabilities.iter().filter(|row| row.len() == classes.len()).map(|row| row[truth]).collect()
            }
            (TurnedSample::Points { start, end, .. }, TurnedAnswer::Positions { positions }) => {
                errors(positions, end, centre(start), mean_square)
            }
            (TurnedSample::Vectors { vectors: truth, .. }, TurnedAnswer::Vectors { vectors }) => {
                errors(vectors, truth, [0.0; 3], mean_distance)
            }
            (TurnedSample::Number { .. }, TurnedAnswer::Numbers { numbers }) => numbers.clone(),
            _ => return None,
        };
        (values.len() == turning.angles.len()).then_some(Self { name, answer, values })
    }
}

/// The mean of the squared differences of coordinates.
fn mean_square(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f64>() / a.len().max(1) as f64
}

/// The mean distance of points.
fn mean_distance(a: &[f64], b: &[f64]) -> f64 {
    let distance = |(a, b): (&[f64], &[f64])| a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt();
    a.chunks(3).zip(b.chunks(3)).map(distance).sum::<f64>() / (a.len() / 3).max(1) as f64
}

/// What is shown of a sample.
pub(super) fn shown(sample: &TurnedSample, turning: &Turning, measured: &[Option<Measured>]) -> Sample {
    match sample {
        TurnedSample::Image { label, channels, height, width, range: [low, high], levels, .. } => {
            let image = Picture {
                channels: *channels,
                height: *height,
                width: *width,
                outside: -255.0 * low / (high - low),
                levels: levels.clone(),
            };
            let arms: Vec<Option<Answers>> =
                measured.iter().map(|arm| Some(arm.as_ref()?.classes(turning, *label))).collect();
            let known = arms.iter().flatten().count();
            let reading = |angle: usize| {
                let right = arms.iter().flatten().filter(|arm| arm.right[angle]).count();
                format!("{}: {right} of {known} right", degrees(turning.angles[angle]))
            };
            let readings = (0..turning.angles.len()).map(reading).collect();
            Sample { image: Some(image), roots: Vec::new(), readings, arms, level: None, scale: String::new() }
        }
        TurnedSample::Points { .. } => {
            erring(sample, turning, measured, "mean squared error of the coordinates of this system")
        }
        TurnedSample::Vectors { .. } => {
            erring(sample, turning, measured, "mean distance from the true vectors of this sample")
        }
        TurnedSample::Number { number, .. } => telling(*number, turning, measured),
    }
}

/// A sample of which arms tell something that turns along: how large the errors are.
fn erring(sample: &TurnedSample, turning: &Turning, measured: &[Option<Measured>], numbers: &str) -> Sample {
    let known = || measured.iter().flatten();
    let positive = || known().flat_map(|arm| &arm.values).copied().filter(|&v| v.is_finite() && v > 0.0);
    let low = positive().fold(f64::INFINITY, f64::min);
    let high = positive().fold(0.0, f64::max);
    let arms = measured.iter().map(|arm| Some(arm.as_ref()?.errors(sample, turning, [low, high]))).collect();
    let scale = if low < high {
        format!(
            "Numbers: {numbers}. Lines: one logarithmic scale for all arms, from {} to {}.",
            number::plain(low),
            number::plain(high)
        )
    } else {
        format!("Numbers: {numbers}.")
    };
    let roots = match (sample, View::of(sample)) {
        (TurnedSample::Vectors { positions, .. }, Some(view)) => {
            let of_angle = |&angle: &f64| {
                let drawn = positions.iter().flat_map(|x| view.at(&view.turned(x, angle)));
                drawn.map(|x| x.round() as i32).collect()
            };
            turning.angles.iter().map(of_angle).collect()
        }
        _ => Vec::new(),
    };
    let readings = readings(turning, measured, |error| error, number::plain);
    Sample { image: None, roots, readings, arms, level: None, scale }
}

/// A sample of which arms tell a number, which is the same however it is turned.
fn telling(truth: f64, turning: &Turning, measured: &[Option<Measured>]) -> Sample {
    let finite = || {
        let said = measured.iter().flatten().flat_map(|arm| &arm.values).copied();
        said.filter(|value| value.is_finite()).chain([truth])
    };
    let (low, high) = (finite().fold(f64::INFINITY, f64::min), finite().fold(f64::NEG_INFINITY, f64::max));
    let written = |value: f64| number::among(value, high - low);
    let at = |value: f64| height(if low < high { (value - low) / (high - low) } else { 0.5 });
    let answers = |arm: &Measured| Answers {
        says: arm.values.iter().map(|&value| finite_or_not(value, written)).collect(),
        heights: arm.values.iter().map(|&value| value.is_finite().then(|| at(value))).collect(),
        all: over_all_angles(&arm.values, written),
        ..Answers::default()
    };
    let scale = format!(
        "Numbers: what the arms say; the truth is {}, the dashed line. Lines: one scale for all arms, from {} to {}.",
        written(truth),
        written(low),
        written(high)
    );
    Sample {
        image: None,
        roots: Vec::new(),
        readings: readings(turning, measured, |value| (value - truth).abs(), written),
        arms: measured.iter().map(|arm| arm.as_ref().map(answers)).collect(),
        level: Some(at(truth)),
        scale,
    }
}

/// Which arm is nearest to the truth, angle by angle.
fn readings(
    turning: &Turning,
    measured: &[Option<Measured>],
    error: impl Fn(f64) -> f64,
    written: impl Fn(f64) -> String,
) -> Vec<String> {
    let reading = |(step, &angle): (usize, &f64)| {
        let said = measured.iter().flatten().map(|arm| (arm.values[step], arm.name)).filter(|(v, _)| v.is_finite());
        let best = said.min_by(|a, b| error(a.0).total_cmp(&error(b.0)));
        let said = best.map_or_else(
            || "no answer is finite".to_string(),
            |(value, arm)| format!("{arm} is nearest, {}", written(value)),
        );
        format!("{}: {said}", degrees(angle))
    };
    turning.angles.iter().enumerate().map(reading).collect()
}

fn finite_or_not(value: f64, written: impl Fn(f64) -> String) -> String {
    if value.is_finite() { written(value) } else { "not finite".to_string() }
}

/// Numbers of all angles in a few words.
fn over_all_angles(values: &[f64], written: impl Fn(f64) -> String) -> String {
    let (least, most) = values.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), &v| (l.min(v), h.max(v)));
    if values.iter().any(|value| !value.is_finite()) {
        "not finite at every angle".to_string()
    } else if written(least) == written(most) {
        format!("{} at every angle", written(least))
    } else {
        format!("{} to {} over all angles", written(least), written(most))
    }
}

impl Measured<'_> {
    fn classes(&self, turning: &Turning, label: usize) -> Answers {
        let TurnedAnswer::Classes { classes, probabilities } = self.answer else { return Answers::default() };
        let found: Vec<Option<(usize, f64)>> =
            probabilities.iter().map(|row| place_of_largest(row).map(|place| (classes[place], row[place]))).collect();
        let says = |found: &Option<(usize, f64)>| match found {
            Some((answer, share)) => format!("{}, {}", class(turning, *answer), percent(*share)),
            None => "not finite".to_string(),
        };
        let right: Vec<bool> = found.iter().map(|found| found.is_some_and(|(answer, _)| answer == label)).collect();
        let times = right.iter().filter(|&&right| right).count();
        Answers {
            says: found.iter().map(says).collect(),
            share: found.iter().map(|found| found.map_or(0.0, |(_, share)| share)).collect(),
            heights: self.values.iter().map(|&value| value.is_finite().then(|| height(value))).collect(),
            all: format!("right at {times} of {} angles", right.len()),
            right,
            points: Vec::new(),
        }
    }

    /// Of positions or vectors.
    fn errors(&self, sample: &TurnedSample, turning: &Turning, [low, high]: [f64; 2]) -> Answers {
        let (rows, Some(view)) = (self.rows(), View::of(sample)) else { return Answers::default() };
        let range = (high / low).log10();
        let at = |value: f64| if range > 0.0 { (value.max(low) / low).log10() / range } else { 0.5 };
        let heights = self.values.iter().map(|&value| value.is_finite().then(|| height(at(value)))).collect();
        let drawn = |(row, &angle): (&Vec<f64>, &f64)| {
            let points = row.chunks_exact(3).zip(positions(sample)).flat_map(|(x, start)| {
                let x = [x[0], x[1], x[2]];
                view.at(&match self.answer {
                    TurnedAnswer::Vectors { .. } => view.tip(&view.turned(start, angle), &x),
                    _ => x,
                })
            });
            // Beyond twice the frame nothing is seen.
            points.map(|x| (x.abs() < 2.0 * HALF.0).then(|| x.round() as i32)).collect()
        };
        Answers {
            says: self.values.iter().map(|&value| finite_or_not(value, number::plain)).collect(),
            heights,
            points: rows.iter().zip(&turning.angles).map(drawn).collect(),
            all: over_all_angles(&self.values, number::plain),
            ..Answers::default()
        }
    }

    /// Coordinates, angle by angle.
    fn rows(&self) -> &[Vec<f64>] {
        match self.answer {
            TurnedAnswer::Positions { positions: rows } | TurnedAnswer::Vectors { vectors: rows } => rows,
            TurnedAnswer::Classes { .. } | TurnedAnswer::Numbers { .. } => &[],
        }
    }
}

/// The name of a class.
pub(super) fn class(turning: &Turning, class: usize) -> String {
    turning.classes.get(class).cloned().unwrap_or_else(|| class.to_string())
}

/// `93.4 %`.
fn percent(share: f64) -> String {
    format!("{:.1}\u{a0}%", 100.0 * share)
}

/// `37.5°`.
pub(super) fn degrees(angle: f64) -> String {
    format!("{}°", number::tick(angle))
}
