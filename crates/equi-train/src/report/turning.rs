//! "Under rotation": a few test samples that a slider turns, and what every arm says of them.
//!
//! Everything is in the page: answers at the angle 0 and lines over all angles as markup, which needs no script and prints, and the
//! answers at other angles as a block of JSON, which `turning.js` puts in their places. Numbers are formatted here alone.

use std::f64::consts::TAU;
use std::fmt::Write;

use serde::Serialize;

use super::html::{escape, key};
use super::{number, plot};
use crate::compare::results::{CellStatus, Results, TurnedAnswer, TurnedSample, Turning};
use crate::compare::turning::{centre, place_of_largest};

const SCRIPT: &str = include_str!("turning.js");

/// Width and height of the drawing of a line, and its margin above and below.
const LINE: (f64, f64, f64) = (240.0, 44.0, 6.0);
/// Half of the sides of the drawing of points, and the distance from its middle of the outermost true position.
const HALF: (f64, f64) = (500.0, 420.0);

/// What the script needs.
#[derive(Serialize)]
struct Data {
    angles: Vec<f64>,
    samples: Vec<Sample>,
}

#[derive(Serialize)]
struct Sample {
    /// The image, if it is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    image: Option<Picture>,
    /// What is said of all arms, angle by angle.
    readings: Vec<String>,
    /// In the order of the rows; none for an arm that diverged.
    arms: Vec<Option<Answers>>,
}

#[derive(Serialize)]
struct Picture {
    height: usize,
    width: usize,
    /// The level of zero, which is what lies outside.
    outside: f64,
    levels: Vec<u8>,
}

/// What one arm says of one sample, angle by angle.
#[derive(Default, Serialize)]
struct Answers {
    says: Vec<String>,
    /// Whether the class is right.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    right: Vec<bool>,
    /// The probability of the class.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    share: Vec<f64>,
    /// Where the marker is on the line, from above; none where there is no number.
    heights: Vec<Option<f64>>,
    /// Where the points of the answer are drawn: `x, y, x, y`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    points: Vec<Vec<Option<i32>>>,
    /// Over all angles, in a few words.
    #[serde(skip)]
    all: String,
}

/// An arm, its colour, and what it says of the samples.
struct Arm<'a> {
    name: &'a str,
    style: usize,
    answers: Option<&'a [TurnedAnswer]>,
}

/// The numbers of an arm before they are put into words: one an angle.
struct Measured<'a> {
    name: &'a str,
    answer: &'a TurnedAnswer,
    /// The probability of the true class, or the squared error.
    values: Vec<f64>,
}

/// The section, if there is anything to show.
pub(super) fn turning(page: &mut String, results: &Results) -> std::fmt::Result {
    let Some(turning) = &results.turning else { return Ok(()) };
    let Some(asked) = results.cells.iter().find(|cell| !cell.turning.is_empty()) else { return Ok(()) };
    let (size, seed) = (asked.train_size, asked.seed);
    // Arms that diverged have no answers and are named as such.
    let arms: Vec<Arm> = results
        .arms
        .iter()
        .filter_map(|arm| {
            let cell = results.at(&arm.name, size).find(|cell| cell.seed == seed)?;
            let answers = Some(&cell.turning[..]).filter(|answers| answers.len() == turning.samples.len());
            (answers.is_some() || cell.status == CellStatus::Diverged).then_some(Arm {
                name: &arm.name,
                style: plot::style(results, &arm.name),
                answers,
            })
        })
        .collect();
    let samples: Vec<(Sample, String)> = turning
        .samples
        .iter()
        .enumerate()
        .map(|(place, sample)| {
            let measured: Vec<Option<Measured>> =
                arms.iter().map(|arm| Measured::new(arm.name, sample, turning, &arm.answers?[place])).collect();
            shown(sample, turning, &measured)
        })
        .collect();

    let points = matches!(turning.samples.first(), Some(TurnedSample::Points { .. }));
    page.push_str("<h2>Under rotation</h2>\n");
    introduction(page, turning, points, size, seed)?;
    page.push_str("<div class=\"turning\">\n");
    controls(page, turning)?;
    for (place, (sample, (data, scale))) in turning.samples.iter().zip(&samples).enumerate() {
        let title = title(sample, turning);
        write!(
            page,
            "<div class=\"turned\" role=\"group\" aria-label=\"{}\" data-sample=\"{place}\">\n<figure>",
            escape(&title)
        )?;
        match sample {
            TurnedSample::Image { height, width, levels, .. } => picture(page, *height, *width, levels, &title)?,
            TurnedSample::Points { .. } => system(page, sample, data, &arms, &title)?,
        }
        let zero = turning.angles.first().map_or(String::new(), |&angle| degrees(angle));
        writeln!(
            page,
            "<figcaption>{}, turned by <span class=\"angle\">{zero}</span></figcaption></figure>",
            escape(&title)
        )?;
        rows(page, results, &arms, data, points)?;
        if !scale.is_empty() {
            writeln!(page, "<p class=\"note\">{scale}</p>")?;
        }
        page.push_str("</div>\n");
    }
    page.push_str("</div>\n");
    let data =
        Data { angles: turning.angles.clone(), samples: samples.into_iter().map(|(sample, _)| sample).collect() };
    writeln!(
        page,
        "<script type=\"application/json\" id=\"turning-data\">{}</script>\n<script>\n{SCRIPT}</script>",
        in_script(&serde_json::to_string(&data).expect("strings, numbers and lists"))
    )
}

/// JSON that ends no script element, whatever names it has.
fn in_script(json: &str) -> String {
    json.replace('<', "\\u003c")
}

/// What is shown, and what it is not.
fn introduction(page: &mut String, turning: &Turning, points: bool, size: usize, seed: u64) -> std::fmt::Result {
    let count = turning.samples.len();
    let (which, lines) = if points {
        (
            format!(
                "The first {} of the test set, not chosen for what they show, turned counter-clockwise about the vertical axis through their centres, and seen \
                 from above: heights do not show, but count. Small dots are where particles begin, rings where they end, and the shapes of \
                 the arms where these say they end; what lies far outside is not drawn. An arm that turns along has the same error at \
                 every angle.",
                if count == 1 { "system".to_string() } else { format!("{count} systems") }
            ),
            "the error over all angles, from 0° to 360°",
        )
    } else {
        let smaller = turning.samples.iter().any(
            |sample| matches!(sample, TurnedSample::Image { size, height, width, .. } if *size != [*height, *width]),
        );
        (
            format!(
                "The first {} of the test set, each class once before any comes twice, not chosen for what they show, turned counter-clockwise as they \
                 are for the networks{}. The class an arm finds likeliest, with its probability; at 0° the image is as the test has it. A quarter turn only \
                 exchanges pixels; in between they are resampled, which blurs.",
                if count == 1 { "image".to_string() } else { format!("{count} images") },
                if smaller { ", which see them larger" } else { "" }
            ),
            "the probability of the true class over all angles, from 0° to 360°, between 0 and 100\u{a0}%",
        )
    };
    writeln!(
        page,
        "<p>{which}</p>\n<p class=\"note\">Lines: {lines}. Networks of seed {seed}, trained with {} samples: single answers, \
         not averages.</p>\n<noscript><p class=\"note\">The slider needs JavaScript. Without it, all samples are shown at 0°, with their lines \
         over all angles.</p></noscript>",
        number::count(size as u64)
    )
}

/// The choice of the sample, and the slider: for the script, which shows them.
fn controls(page: &mut String, turning: &Turning) -> std::fmt::Result {
    let points = matches!(turning.samples.first(), Some(TurnedSample::Points { .. }));
    let legend = if points { "System" } else { "Image of class" };
    write!(page, "<div class=\"controls\" hidden>\n<fieldset><legend>{legend}</legend>")?;
    for (place, sample) in turning.samples.iter().enumerate() {
        let name = match sample {
            TurnedSample::Image { label, .. } => class(turning, *label),
            TurnedSample::Points { place, .. } => (place + 1).to_string(),
        };
        write!(
            page,
            "<label><input type=\"radio\" name=\"turned\" value=\"{place}\"{}><span>{}</span></label>",
            if place == 0 { " checked" } else { "" },
            escape(&name)
        )?;
    }
    let step = 360.0 / turning.angles.len().max(1) as f64;
    writeln!(
        page,
        "</fieldset>\n<div class=\"dial\"><label for=\"turn\">Turned by</label>\n<input type=\"range\" id=\"turn\" min=\"0\" max=\"360\" step=\"{step}\" \
         value=\"0\" autocomplete=\"off\">\n<output for=\"turn\" aria-live=\"polite\"></output></div>\n</div>"
    )
}

/// The arms, one a row, at the first angle.
fn rows(page: &mut String, results: &Results, arms: &[Arm], data: &Sample, points: bool) -> std::fmt::Result {
    page.push_str(if points { "<ul class=\"points\">\n" } else { "<ul>\n" });
    for (place, (arm, answers)) in arms.iter().zip(&data.arms).enumerate() {
        let name = format!("<span class=\"arm\">{}{}</span>", key(results, arm.name), escape(arm.name));
        let Some(answers) = answers else {
            writeln!(page, "<li>{name}<span class=\"lost\">diverged</span></li>")?;
            continue;
        };
        let first = answers.says.first().map_or("", String::as_str);
        write!(page, "<li data-arm=\"{place}\">{name}<span class=\"says\">{}</span>", escape(first))?;
        if let (Some(&right), Some(share)) = (answers.right.first(), answers.share.first()) {
            let word = if right { "right" } else { "wrong" };
            write!(
                page,
                "<span class=\"judged {word}\">{word}</span><span class=\"bar\" aria-hidden=\"true\"><i style=\"width:{:.1}%\"></i></span>",
                100.0 * share
            )?;
        }
        let what = if points { "Squared error" } else { "Probability of the true class" };
        line(page, &answers.heights, arm.style, &format!("{what}, angle by angle: {}", answers.all))?;
        writeln!(page, "<small>{}</small></li>", escape(&answers.all))?;
    }
    page.push_str("</ul>\n");
    Ok(())
}

/// A line once around, and the marker at its beginning.
fn line(page: &mut String, heights: &[Option<f64>], style: usize, named: &str) -> std::fmt::Result {
    let (width, height, margin) = LINE;
    write!(
        page,
        "<svg class=\"around\" viewBox=\"0 0 {width} {height}\" role=\"img\" aria-label=\"{}\"><path class=\"frame\" d=\"",
        escape(named)
    )?;
    for quarter in 0..=4 {
        write!(page, "M{} {margin}V{}", f64::from(quarter) * width / 4.0, height - margin)?;
    }
    write!(page, "M0 {margin}H{width}M0 {}H{width}\"/><path d=\"", height - margin)?;
    let mut pen = 'M';
    // The first angle again at the end: the circle closes.
    for (step, y) in heights.iter().chain(heights.first()).enumerate() {
        match y {
            Some(y) => {
                write!(page, "{pen}{} {y}", width * step as f64 / heights.len() as f64)?;
                pen = 'L';
            }
            None => pen = 'M',
        }
    }
    let (y, hidden) = match heights.first() {
        Some(Some(y)) => (*y, ""),
        _ => (0.0, " visibility=\"hidden\""),
    };
    write!(
        page,
        "\" fill=\"none\" stroke=\"var(--arm-{style})\"/><g class=\"now\"{hidden}><path d=\"M0 {margin}V{}\"/><circle cy=\"{y}\" r=\"4.5\" \
         fill=\"var(--arm-{style})\"/></g></svg>",
        height - margin
    )
}

/// An image as a drawing: runs of pixels, one path for every grey of sixteen.
fn picture(page: &mut String, height: usize, width: usize, levels: &[u8], title: &str) -> std::fmt::Result {
    write!(
        page,
        "<svg class=\"still\" viewBox=\"0 0 {width} {height}\" shape-rendering=\"crispEdges\" role=\"img\" aria-label=\"{}\">\
         <path d=\"M0 0H{width}V{height}H0z\"/>",
        escape(title)
    )?;
    for grey in 1..16u8 {
        let mut path = String::new();
        for (row, levels) in levels.chunks(width.max(1)).enumerate() {
            let mut column = 0;
            for run in levels.chunk_by(|a, b| a / 16 == b / 16) {
                if run[0] / 16 == grey {
                    write!(path, "M{column} {row}h{}v1h-{}z", run.len(), run.len())?;
                }
                column += run.len();
            }
        }
        if !path.is_empty() {
            write!(page, "<path fill=\"#{0:02x}{0:02x}{0:02x}\" d=\"{path}\"/>", grey * 17)?;
        }
    }
    page.push_str("</svg>");
    Ok(())
}

/// Points seen along the axis: where they begin and end, which turns as one, and where the arms say they end.
fn system(page: &mut String, sample: &TurnedSample, data: &Sample, arms: &[Arm], title: &str) -> std::fmt::Result {
    let (TurnedSample::Points { start, end, .. }, Some(view)) = (sample, View::of(sample)) else { return Ok(()) };
    let (half, _) = HALF;
    write!(
        page,
        "<svg class=\"system\" viewBox=\"-{half} -{half} {} {}\" role=\"img\" aria-label=\"{}, seen from above\"><g class=\"truth\">",
        2.0 * half,
        2.0 * half,
        escape(title)
    )?;
    for (start, end) in start.iter().zip(end) {
        let ([x, y], [u, v]) = (view.at(start), view.at(end));
        write!(
            page,
            "<path d=\"M{x:.0} {y:.0}L{u:.0} {v:.0}\"/><circle class=\"start\" cx=\"{x:.0}\" cy=\"{y:.0}\" r=\"11\"/>\
             <circle cx=\"{u:.0}\" cy=\"{v:.0}\" r=\"26\"/>"
        )?;
    }
    page.push_str("</g>");
    for (place, (Arm { style, .. }, answers)) in arms.iter().zip(&data.arms).enumerate() {
        let Some(answers) = answers else { continue };
        let outline: Vec<String> = plot::outline(*style, 15.0).iter().map(|(x, y)| format!("{x},{y}")).collect();
        write!(page, "<g class=\"said\" data-arm=\"{place}\" fill=\"var(--arm-{style})\">")?;
        for point in answers.points.first().map_or(&[][..], |points| points).chunks(2) {
            let (at, hidden) = match point {
                [Some(x), Some(y)] => ([*x, *y], ""),
                _ => ([0, 0], " visibility=\"hidden\""),
            };
            write!(
                page,
                "<polygon points=\"{}\" transform=\"translate({} {})\"{hidden}/>",
                outline.join(" "),
                at[0],
                at[1]
            )?;
        }
        page.push_str("</g>");
    }
    page.push_str("</svg>");
    Ok(())
}

/// How points are drawn: about the centre they turn about, so that the outermost comes to a constant distance.
struct View {
    centre: [f64; 3],
    scale: f64,
}

impl View {
    fn of(sample: &TurnedSample) -> Option<Self> {
        let TurnedSample::Points { start, end, .. } = sample else { return None };
        let centre = centre(start);
        let distance = |x: &[f64; 3]| (x[0] - centre[0]).hypot(x[1] - centre[1]);
        let farthest = start.iter().chain(end).map(distance).fold(0.0, f64::max);
        Some(Self { centre, scale: if farthest > 0.0 { HALF.1 / farthest } else { 1.0 } })
    }

    /// To the right and downwards.
    fn at(&self, x: &[f64; 3]) -> [f64; 2] {
        [self.scale * (x[0] - self.centre[0]), -self.scale * (x[1] - self.centre[1])]
    }
}

impl<'a> Measured<'a> {
    /// None for an answer that does not fit the sample, which no study writes.
    fn new(name: &'a str, sample: &TurnedSample, turning: &Turning, answer: &'a TurnedAnswer) -> Option<Self> {
        let values: Vec<f64> = match (sample, answer) {
            (TurnedSample::Image { label, .. }, TurnedAnswer::Classes { classes, probabilities }) => {
                let truth = classes.iter().position(|class| class == label)?;
                probabilities.iter().filter(|row| row.len() == classes.len()).map(|row| row[truth]).collect()
            }
            (TurnedSample::Points { start, end, .. }, TurnedAnswer::Positions { positions }) => turning
                .angles
                .iter()
                .zip(positions)
                .filter(|(_, row)| row.len() == 3 * end.len())
                .map(|(angle, row)| {
                    let truth = end.iter().flat_map(|x| turned(*x, centre(start), *angle));
                    row.iter().zip(truth).map(|(a, b)| (a - b).powi(2)).sum::<f64>() / row.len().max(1) as f64
                })
                .collect(),
            _ => return None,
        };
        (values.len() == turning.angles.len()).then_some(Self { name, answer, values })
    }
}

/// A point turned about the z axis through `centre`, counter-clockwise.
fn turned(x: [f64; 3], centre: [f64; 3], degrees: f64) -> [f64; 3] {
    let (sin, cos) = (TAU * degrees / 360.0).sin_cos();
    let (u, v) = (x[0] - centre[0], x[1] - centre[1]);
    [centre[0] + cos * u - sin * v, centre[1] + sin * u + cos * v, x[2]]
}

/// What is shown of a sample, and the scale of its lines where that is its own.
fn shown(sample: &TurnedSample, turning: &Turning, measured: &[Option<Measured>]) -> (Sample, String) {
    let known = || measured.iter().flatten();
    match sample {
        TurnedSample::Image { label, height, width, range: [low, high], levels, .. } => {
            let image = Picture {
                height: *height,
                width: *width,
                outside: -255.0 * low / (high - low),
                levels: levels.clone(),
            };
            let arms: Vec<Option<Answers>> =
                measured.iter().map(|arm| Some(arm.as_ref()?.classes(turning, *label))).collect();
            let reading = |angle: usize| {
                let right = arms.iter().flatten().filter(|arm| arm.right[angle]).count();
                format!("{}: {right} of {} right", degrees(turning.angles[angle]), known().count())
            };
            let readings = (0..turning.angles.len()).map(reading).collect();
            (Sample { image: Some(image), readings, arms }, String::new())
        }
        TurnedSample::Points { .. } => {
            let positive = || known().flat_map(|arm| &arm.values).copied().filter(|&v| v.is_finite() && v > 0.0);
            let low = positive().fold(f64::INFINITY, f64::min);
            let high = positive().fold(0.0, f64::max);
            let arms = measured.iter().map(|arm| Some(arm.as_ref()?.positions(sample, [low, high]))).collect();
            let reading = |angle: usize| {
                let errors = known().map(|arm| (arm.values[angle], arm.name)).filter(|(v, _)| v.is_finite());
                let best = errors.min_by(|a, b| a.0.total_cmp(&b.0));
                let said = best.map_or_else(
                    || "no answer is finite".to_string(),
                    |(error, arm)| format!("{arm} is nearest, {}", number::plain(error)),
                );
                format!("{}: {said}", degrees(turning.angles[angle]))
            };
            let readings = (0..turning.angles.len()).map(reading).collect();
            let scale = if low < high {
                format!(
                    "Numbers: mean squared error of the coordinates of this system. Lines: one logarithmic scale for all arms, from {} to {}.",
                    number::plain(low),
                    number::plain(high)
                )
            } else {
                "Numbers: mean squared error of the coordinates of this system.".to_string()
            };
            (Sample { image: None, readings, arms }, scale)
        }
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

    fn positions(&self, sample: &TurnedSample, [low, high]: [f64; 2]) -> Answers {
        let (TurnedAnswer::Positions { positions }, Some(view)) = (self.answer, View::of(sample)) else {
            return Answers::default();
        };
        let says = |&value: &f64| if value.is_finite() { number::plain(value) } else { "not finite".to_string() };
        let range = (high / low).log10();
        let at = |value: f64| if range > 0.0 { (value.max(low) / low).log10() / range } else { 0.5 };
        let heights = self.values.iter().map(|&value| value.is_finite().then(|| height(at(value)))).collect();
        let drawn = |row: &Vec<f64>| {
            let points = row.chunks_exact(3).flat_map(|x| view.at(&[x[0], x[1], x[2]]));
            // Beyond twice the frame nothing is seen.
            points.map(|x| (x.abs() < 2.0 * HALF.0).then(|| x.round() as i32)).collect()
        };
        let (least, most) =
            self.values.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), &v| (l.min(v), h.max(v)));
        let all = if self.values.iter().any(|value| !value.is_finite()) {
            "not finite at every angle".to_string()
        } else if number::plain(least) == number::plain(most) {
            format!("{} at every angle", number::plain(least))
        } else {
            format!("{} to {} over all angles", number::plain(least), number::plain(most))
        };
        Answers {
            says: self.values.iter().map(says).collect(),
            heights,
            points: positions.iter().map(drawn).collect(),
            all,
            ..Answers::default()
        }
    }
}

/// From above, in tenths of a unit, for a number from 0 to 1.
fn height(value: f64) -> f64 {
    let (_, height, margin) = LINE;
    (10.0 * (height - margin - value.clamp(0.0, 1.0) * (height - 2.0 * margin))).round() / 10.0
}

fn title(sample: &TurnedSample, turning: &Turning) -> String {
    match sample {
        TurnedSample::Image { place, label, .. } => {
            format!("Test image {}, class {}", place + 1, class(turning, *label))
        }
        TurnedSample::Points { place, .. } => format!("Test system {}", place + 1),
    }
}

fn class(turning: &Turning, class: usize) -> String {
    turning.classes.get(class).cloned().unwrap_or_else(|| class.to_string())
}

/// `93.4 %`.
fn percent(share: f64) -> String {
    format!("{:.1}\u{a0}%", 100.0 * share)
}

/// `37.5°`.
fn degrees(angle: f64) -> String {
    format!("{}°", number::tick(angle))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::html;
    use crate::report::sample::{diverge, points, sample};

    const ANGLES: [f64; 4] = [0.0, 90.0, 180.0, 270.0];

    /// `sample` with answers of the first two arms; the third diverged.
    fn images(classes: &[&str]) -> Results {
        let mut results = sample(2);
        let image = |place, label| TurnedSample::Image {
            place,
            label,
            size: [2, 3],
            height: 2,
            width: 3,
            range: [-0.5, 1.5],
            levels: vec![0, 16, 255, 255, 64, 0],
        };
        results.turning = Some(Turning {
            angles: ANGLES.to_vec(),
            classes: classes.iter().map(ToString::to_string).collect(),
            samples: vec![image(0, 1), image(41, 0)],
        });
        let answer = |shares: [f64; 4]| TurnedAnswer::Classes {
            classes: vec![0, 1],
            probabilities: shares.iter().map(|share| vec![1.0 - share, *share]).collect(),
        };
        for cell in results.cells.iter_mut().filter(|cell| cell.train_size == 1600 && cell.seed == 0) {
            match cell.arm.as_str() {
                "plain" => cell.turning = vec![answer([0.75, 0.25, 0.125, f64::NAN]), answer([0.0; 4])],
                "augmented" => cell.turning = vec![answer([1.0; 4]), answer([1.0; 4])],
                _ => diverge(cell),
            }
        }
        results
    }

    /// Two points on the x axis, about (1, 0): `plain` stays where it is right at the angle 0, `augmented` turns along.
    fn systems() -> Results {
        let mut results = points(2);
        let sample = TurnedSample::Points {
            place: 0,
            charges: Vec::new(),
            start: vec![[0.0, 0.0, 0.5], [2.0, 0.0, 0.5]],
            velocities: Vec::new(),
            end: vec![[0.0, 0.0, 1.0], [3.0, 0.0, 1.0]],
        };
        results.turning = Some(Turning { angles: ANGLES.to_vec(), classes: Vec::new(), samples: vec![sample] });
        let still = vec![0.0, 0.0, 1.0, 3.0, 0.0, 1.0];
        let along = vec![
            vec![0.0, 0.0, 2.0, 3.0, 0.0, 1.0],
            vec![1.0, -1.0, 2.0, 1.0, 2.0, 1.0],
            vec![2.0, 0.0, 2.0, -1.0, 0.0, 1.0],
            vec![1.0, 1.0, 2.0, 1.0, -2.0, 1.0],
        ];
        let mut broken = vec![still.clone(); 4];
        broken[1][0] = f64::NAN;
        broken[2][0] = 1e9;
        for cell in results.cells.iter_mut().filter(|cell| cell.train_size == 1600 && cell.seed == 0) {
            let positions = match cell.arm.as_str() {
                "plain" => vec![still.clone(); 4],
                "augmented" => along.clone(),
                "equivariant" => broken.clone(),
                _ => continue,
            };
            cell.turning = vec![TurnedAnswer::Positions { positions }];
        }
        results
    }

    fn section(results: &Results) -> String {
        let mut page = String::new();
        turning(&mut page, results).unwrap();
        page
    }

    /// The block of JSON.
    fn data(page: &str) -> serde_json::Value {
        let (_, rest) = page.split_once("id=\"turning-data\">").unwrap();
        serde_json::from_str(rest.split_once("</script>").unwrap().0).unwrap()
    }

    #[test]
    fn results_without_answers_have_no_section() {
        assert!(section(&sample(2)).is_empty() && !html(&sample(2)).contains("<script"));
        let mut none = images(&[]);
        none.cells.iter_mut().for_each(|cell| cell.turning.clear());
        assert!(section(&none).is_empty(), "all diverged");
        let mut none = images(&[]);
        none.turning = None;
        assert!(section(&none).is_empty());
    }

    #[test]
    fn images_have_their_answers_and_diverged_arms_are_named() {
        let results = images(&[]);
        let page = section(&results);
        let data = data(&page);
        assert_eq!(data["angles"], serde_json::json!(ANGLES));
        let first = &data["samples"][0];
        assert_eq!(
            first["arms"][0]["says"],
            serde_json::json!(["1, 75.0\u{a0}%", "0, 75.0\u{a0}%", "0, 87.5\u{a0}%", "not finite"])
        );
        assert_eq!(first["arms"][0]["right"], serde_json::json!([true, false, false, false]));
        // 38 is nothing, 6 is everything.
        assert_eq!(first["arms"][0]["heights"], serde_json::json!([14.0, 30.0, 34.0, null]));
        assert!(first["arms"][2].is_null(), "it diverged");
        assert_eq!(first["readings"][1], "90°: 1 of 2 right");
        assert_eq!(first["image"]["outside"], 63.75, "a quarter of the way from -0.5 to 1.5");
        for part in [
            "right at 1 of 4 angles",
            "right at 4 of 4 angles",
            "Test image 42, class 0, turned by <span class=\"angle\">0°</span>",
            "</svg>equivariant</span><span class=\"lost\">diverged</span>",
            "<span class=\"judged right\">right</span><span class=\"bar\" aria-hidden=\"true\"><i style=\"width:75.0%\">",
            "step=\"90\"",
            "1,600 samples",
            ", which see them larger",
        ] {
            assert_eq!(page.contains(part), part != ", which see them larger", "{part}");
        }
        // The line breaks where there is no number, and the circle closes.
        assert!(page.contains("d=\"M0 14L60 30L120 34M240 14\" fill=\"none\""), "{page}");
    }

    #[test]
    fn the_still_image_has_runs_of_grey() {
        let mut page = String::new();
        picture(&mut page, 2, 3, &[0, 16, 255, 255, 250, 0], "x").unwrap();
        assert!(page.contains("<path fill=\"#111111\" d=\"M1 0h1v1h-1z\"/>"), "{page}");
        assert!(page.contains("<path fill=\"#ffffff\" d=\"M2 0h1v1h-1zM0 1h2v1h-2z\"/>"), "{page}");
    }

    #[test]
    fn points_turn_about_their_centre_and_errors_are_those_of_the_turned_truth() {
        let page = section(&systems());
        let data = data(&page);
        let arms = &data["samples"][0]["arms"];
        // At a half turn the truth is (2, 0) and (-1, 0): squares of 2 and 4 over six coordinates.
        assert_eq!(arms[0]["says"], serde_json::json!(["0", "1.67", "3.33", "1.67"]));
        assert_eq!(arms[1]["says"], serde_json::json!(["0.167", "0.167", "0.167", "0.167"]));
        assert!(
            page.contains("<small>0.167 at every angle</small>")
                && page.contains("<small>0 to 3.33 over all angles</small>")
        );
        assert_eq!(arms[2]["says"][1], "not finite");
        // 420 for the farthest, 2 from the centre.
        assert_eq!(arms[1]["points"][0], serde_json::json!([-210, 0, 420, 0]));
        assert_eq!(arms[1]["points"][1], serde_json::json!([0, 210, 0, -420]), "upwards is negative");
        assert_eq!(arms[2]["points"][1], serde_json::json!([null, 0, 420, 0]));
        assert_eq!(arms[2]["points"][2], serde_json::json!([null, 0, 420, 0]), "far outside");
        assert_eq!(data["samples"][0]["readings"][1], "90°: augmented is nearest, 0.167");
        assert!(arms.get(3).is_none(), "linear has no answers, and did not diverge");
        let (seen, _) = page.split_once("<script").unwrap();
        assert!(seen.contains("seen from above") && !seen.contains("image"));
    }

    #[test]
    fn names_end_no_element() {
        let evil = "</script><script>alert('x')</script>&\"";
        let mut results = images(&[evil, "<!--"]);
        results.arms[0].name = evil.into();
        results.cells.iter_mut().filter(|cell| cell.arm == "plain").for_each(|cell| cell.arm = evil.into());
        let page = section(&results);
        assert_eq!((page.matches("<script").count(), page.matches("</script").count()), (2, 2));
        assert!(!page.contains("<!--"));
        assert_eq!(data(&page)["samples"][0]["arms"][0]["says"][1], format!("{evil}, 75.0\u{a0}%"));
        assert!(!SCRIPT.contains("</") && !SCRIPT.contains("<!--"));
    }

    #[test]
    fn the_whole_page_needs_nothing_from_outside() {
        for results in [images(&["hook", "cross"]), systems()] {
            let page = html(&results).replace("xmlns=\"http://www.w3.org/2000/svg\"", "");
            for outside in ["http://", "https://", "src=", "@import", "url(", "<link"] {
                assert!(!page.contains(outside), "{outside}");
            }
            let text = serde_json::to_string(&results).unwrap();
            let read: Results = serde_json::from_str(&text).unwrap();
            assert_eq!(html(&read), html(&results), "numbers that are not finite, too");
        }
    }

    #[test]
    fn answers_that_do_not_fit_are_left_out() {
        let mut results = images(&[]);
        let cell = results.cells.iter_mut().find(|cell| !cell.turning.is_empty()).unwrap();
        cell.turning[0] = TurnedAnswer::Positions { positions: vec![vec![0.0; 3]; 4] };
        let data = data(&section(&results));
        assert!(data["samples"][0]["arms"][0].is_null() && !data["samples"][1]["arms"][0].is_null());
    }
}
