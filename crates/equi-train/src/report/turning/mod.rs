//! "Under rotation": a few test samples that a slider turns, and what every arm says of them.
//!
//! Everything is in the page: answers at the angle 0 and lines over all angles as markup, which needs no script and prints, and the
//! answers at other angles as a block of JSON, which `turning.js` puts in their places. Numbers are formatted here alone.

mod answers;
mod drawing;

use std::fmt::Write;

use serde::Serialize;

use super::html::{escape, key};
use super::{number, plot};
use crate::compare::results::{CellStatus, Results, TurnedAnswer, TurnedSample, Turning};
use answers::{Measured, Sample, class, degrees, shown};
use drawing::{line, picture, system};

const SCRIPT: &str = include_str!("turning.js");

/// What the script needs.
#[derive(Serialize)]
struct Data {
    angles: Vec<f64>,
    samples: Vec<Sample>,
}

/// What samples are and what is asked of them, in words.
struct Words {
    /// A sample, and several.
    sample: [&'static str; 2],
    /// What is drawn, and what it means.
    drawn: &'static str,
    lines: &'static str,
    /// What a line is of.
    line: &'static str,
    /// What the buttons choose.
    chosen: &'static str,
}

const IMAGES: Words = Words {
    sample: ["image", "images"],
    drawn: "The class an arm finds likeliest, with its probability; at 0° the image is as the test has it. A quarter turn only exchanges pixels; in \
            between they are resampled, which blurs.",
    lines: "the probability of the true class over all angles, from 0° to 360°, between 0 and 100\u{a0}%",
    line: "Probability of the true class",
    chosen: "Image of class",
};

const POSITIONS: Words = Words {
    sample: ["system", "systems"],
    drawn: "Small dots are where particles begin, rings where they end, and the shapes of the arms where these say they end; what lies far outside \
            is not drawn. An arm that turns along has the same error at every angle.",
    lines: "the error over all angles, from 0° to 360°",
    line: "Squared error",
    chosen: "System",
};

const VECTORS: Words = Words {
    sample: ["sample", "samples"],
    drawn: "Small dots are the points, rings the tips of the true vectors, and the shapes of the arms the tips of theirs, all to one scale; what lies far outside \
            is not drawn. An arm whose vectors turn along has the same error at every angle.",
    lines: "the error over all angles, from 0° to 360°",
    line: "Mean distance",
    chosen: "Sample",
};

const NUMBERS: Words = Words {
    sample: ["sample", "samples"],
    drawn: "The number that is asked for is the same at every angle, and so is the answer of an arm that does not mind how a sample lies.",
    lines: "the answer over all angles, from 0° to 360°, and dashed the truth",
    line: "Answer",
    chosen: "Sample",
};

impl Words {
    fn of(turning: &Turning) -> &'static Self {
        match turning.samples.first() {
            Some(TurnedSample::Points { .. }) => &POSITIONS,
            Some(TurnedSample::Vectors { .. }) => &VECTORS,
            Some(TurnedSample::Number { .. }) => &NUMBERS,
            Some(TurnedSample::Image { .. }) | None => &IMAGES,
        }
    }
}

/// An arm, its colour, how its training ended, and what it says of the samples.
struct Arm<'a> {
    name: &'a str,
    style: usize,
    status: CellStatus,
    answers: Option<&'a [TurnedAnswer]>,
}

/// The section, if there is anything to show.
pub(super) fn turning(page: &mut String, results: &Results) -> std::fmt::Result {
    let Some(turning) = &results.turning else { return Ok(()) };
    let Some(asked) = results.cells.iter().find(|cell| !cell.turning.is_empty()) else { return Ok(()) };
    let (size, seed) = (asked.train_size, asked.seed);
    // Arms whose networks are lost have no answers and are named as such.
    let arms: Vec<Arm> = results
        .arms
        .iter()
        .filter_map(|arm| {
            let cell = results.at(&arm.name, size).find(|cell| cell.seed == seed)?;
            let answers = Some(&cell.turning[..]).filter(|answers| answers.len() == turning.samples.len());
            (answers.is_some() || cell.status.is_lost()).then_some(Arm {
                name: &arm.name,
                style: plot::style(results, &arm.name),
                status: cell.status,
                answers,
            })
        })
        .collect();
    let samples: Vec<Sample> = turning
        .samples
        .iter()
        .enumerate()
        .map(|(place, sample)| {
            let measured: Vec<Option<Measured>> =
                arms.iter().map(|arm| Measured::new(arm.name, sample, turning, &arm.answers?[place])).collect();
            shown(sample, turning, &measured)
        })
        .collect();

    page.push_str("<h2>Under rotation</h2>\n");
    introduction(page, turning, size, seed)?;
    page.push_str("<div class=\"turning\">\n");
    controls(page, turning)?;
    for (place, (sample, data)) in turning.samples.iter().zip(&samples).enumerate() {
        let title = title(sample, turning);
        write!(
            page,
            "<div class=\"turned\" role=\"group\" aria-label=\"{}\" data-sample=\"{place}\">\n<figure>",
            escape(&title)
        )?;
        match sample {
            TurnedSample::Image { height, width, levels, .. } => picture(page, [*height, *width], levels, &title)?,
            _ => system(page, sample, data, &arms, &title)?,
        }
        let zero = turning.angles.first().map_or(String::new(), |&angle| degrees(angle));
        writeln!(
            page,
            "<figcaption>{}, turned by <span class=\"angle\">{zero}</span></figcaption></figure>",
            escape(&title)
        )?;
        rows(page, results, &arms, data, Words::of(turning))?;
        if !data.scale.is_empty() {
            writeln!(page, "<p class=\"note\">{}</p>", data.scale)?;
        }
        page.push_str("</div>\n");
    }
    page.push_str("</div>\n");
    let data = Data { angles: turning.angles.clone(), samples };
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
fn introduction(page: &mut String, turning: &Turning, size: usize, seed: u64) -> std::fmt::Result {
    let Words { sample: [one, several], drawn, lines, .. } = Words::of(turning);
    let count = turning.samples.len();
    let few = if count == 1 { one.to_string() } else { format!("{count} {several}") };
    let which = match turning.samples.first() {
        Some(TurnedSample::Image { .. }) | None => {
            let smaller = turning.samples.iter().any(|sample| {
                matches!(sample, TurnedSample::Image { size, height, width, .. } if *size != [*height, *width])
            });
            format!(
                "The first {few} of the test set, each class once before any comes twice, not chosen for what they show, turned counter-clockwise as they \
                 are for the networks{}.",
                if smaller { ", which see them larger" } else { "" }
            )
        }
        Some(_) => {
            // Where some are left out, places are not those of the list.
            let all = turning.samples.iter().enumerate().all(|(at, sample)| at == place(sample));
            format!(
                "The first {few} of the test set{}, not chosen for what they show, turned counter-clockwise about the vertical axis through their centres, and seen \
                 from above: heights do not show, but count.",
                if all { "" } else { " with few enough points to be shown" }
            )
        }
    };
    writeln!(
        page,
        "<p>{which} {drawn}</p>\n<p class=\"note\">Lines: {lines}. Networks of seed {seed}, trained with {} samples: single answers, \
         not averages.</p>\n<noscript><p class=\"note\">The slider needs JavaScript. Without it, all samples are shown at 0°, with their lines \
         over all angles.</p></noscript>",
        number::count(size as u64)
    )
}

/// The choice of the sample, and the slider: for the script, which shows them.
fn controls(page: &mut String, turning: &Turning) -> std::fmt::Result {
    let legend = Words::of(turning).chosen;
    write!(page, "<div class=\"controls\" hidden>\n<fieldset><legend>{legend}</legend>")?;
    for (at, sample) in turning.samples.iter().enumerate() {
        let name = match sample {
            TurnedSample::Image { label, .. } => class(turning, *label),
            _ => (place(sample) + 1).to_string(),
        };
        write!(
            page,
            "<label><input type=\"radio\" name=\"turned\" value=\"{at}\"{}><span>{}</span></label>",
            if at == 0 { " checked" } else { "" },
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
fn rows(page: &mut String, results: &Results, arms: &[Arm], data: &Sample, words: &Words) -> std::fmt::Result {
    page.push_str(if data.image.is_none() { "<ul class=\"points\">\n" } else { "<ul>\n" });
    for (place, (arm, answers)) in arms.iter().zip(&data.arms).enumerate() {
        let name = format!("<span class=\"arm\">{}{}</span>", key(results, arm.name), escape(arm.name));
        let Some(answers) = answers else {
            // Answers of another kind than the sample are not shown.
            let why = if arm.status.is_lost() { arm.status.name() } else { "–" };
            writeln!(page, "<li>{name}<span class=\"lost\">{why}</span></li>")?;
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
        let named = format!("{}, angle by angle: {}", words.line, answers.all);
        line(page, &answers.heights, data.level, arm.style, &named)?;
        writeln!(page, "<small>{}</small></li>", escape(&answers.all))?;
    }
    page.push_str("</ul>\n");
    Ok(())
}

fn title(sample: &TurnedSample, turning: &Turning) -> String {
    let number = place(sample) + 1;
    match sample {
        TurnedSample::Image { label, .. } => format!("Test image {number}, class {}", class(turning, *label)),
        _ => format!("Test {} {number}", Words::of(turning).sample[0]),
    }
}

/// The place of a sample in the test set.
fn place(sample: &TurnedSample) -> usize {
    match sample {
        TurnedSample::Image { place, .. }
        | TurnedSample::Points { place, .. }
        | TurnedSample::Number { place, .. }
        | TurnedSample::Vectors { place, .. } => *place,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::html;
    use crate::report::sample::{crash, diverge, points, sample};

    const ANGLES: [f64; 4] = [0.0, 90.0, 180.0, 270.0];

    /// `sample` with answers of the first two arms; the third diverged.
    fn images(classes: &[&str]) -> Results {
        let mut results = sample(2);
        let image = |place, label| TurnedSample::Image {
            place,
            label,
            size: [2, 3],
            channels: 1,
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
        assert_eq!(first["image"]["channels"], 1);
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
    fn an_arm_that_panicked_is_not_said_to_have_diverged() {
        let mut results = images(&[]);
        results.cells.iter_mut().filter(|cell| cell.status.is_lost()).for_each(crash);
        let page = section(&results);
        assert!(page.contains("</svg>equivariant</span><span class=\"lost\">panicked</span>"), "{page}");
        assert!(!page.contains("diverged"));
    }

    #[test]
    fn colours_are_there_for_the_script_and_in_the_still_picture() {
        let mut results = images(&[]);
        let samples = &mut results.turning.as_mut().unwrap().samples;
        let TurnedSample::Image { channels, levels, .. } = &mut samples[0] else { panic!("an image") };
        *channels = 3;
        *levels = vec![0, 0, 255, 255, 0, 0, 0, 16, 0, 0, 16, 0, 0, 0, 255, 255, 0, 0];
        let page = section(&results);
        let data = data(&page);
        assert_eq!(
            (&data["samples"][0]["image"]["channels"], &data["samples"][1]["image"]["channels"]),
            (&3.into(), &1.into())
        );
        assert_eq!(data["samples"][0]["image"]["levels"].as_array().unwrap().len(), 18);
        assert!(page.contains("<path fill=\"#ff00ff\" d=\"M2 0h1v1h-1zM0 1h1v1h-1z\"/>"), "{page}");
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

    /// Results in which `plain`, `augmented` and `equivariant` have these answers to one sample.
    fn answered(sample: TurnedSample, answers: [TurnedAnswer; 3]) -> Results {
        let mut results = points(2);
        results.turning = Some(Turning { angles: ANGLES.to_vec(), classes: Vec::new(), samples: vec![sample] });
        for (name, answer) in ["plain", "augmented", "equivariant"].into_iter().zip(answers) {
            let asked = results
                .cells
                .iter_mut()
                .find(|cell| (cell.arm.as_str(), cell.train_size, cell.seed) == (name, 1600, 0));
            asked.unwrap().turning = vec![answer];
        }
        results
    }

    #[test]
    fn numbers_are_told_beside_the_truth_on_one_scale() {
        let sample = TurnedSample::Number { place: 3, positions: vec![[0.0; 3], [2.0, 0.0, 0.0]], number: -40.0 };
        let numbers = |numbers: [f64; 4]| TurnedAnswer::Numbers { numbers: numbers.to_vec() };
        let varying = numbers([-40.0, -39.75, -39.0, f64::NAN]);
        let results = answered(sample, [varying, numbers([-39.5; 4]), numbers([f64::INFINITY; 4])]);
        let page = section(&results);
        let data = data(&page);
        let arms = &data["samples"][0]["arms"];
        assert_eq!(arms[0]["says"], serde_json::json!(["-40.00", "-39.75", "-39.00", "not finite"]));
        // 38 is the least of all, the truth, and 6 the most.
        assert_eq!(arms[0]["heights"], serde_json::json!([38.0, 30.0, 6.0, null]));
        assert_eq!(arms[1]["heights"], serde_json::json!([22.0, 22.0, 22.0, 22.0]));
        assert_eq!(arms[2]["says"][0], "not finite");
        let readings = &data["samples"][0]["readings"];
        assert_eq!(
            (&readings[1], &readings[3]),
            (
                &serde_json::json!("90°: plain is nearest, -39.75"),
                &serde_json::json!("270°: augmented is nearest, -39.50")
            )
        );
        assert_eq!(readings[2], "180°: augmented is nearest, -39.50");
        for part in [
            "the truth is -40.00, the dashed line",
            "from -40.00 to -39.00.",
            "<path class=\"level\" d=\"M0 38H240\"/>",
            "<small>-39.50 at every angle</small>",
            "Test sample 4, turned by",
            "The first sample of the test set with few enough points to be shown",
            "Answer, angle by angle",
        ] {
            assert!(page.contains(part), "no {part} in {page}");
        }
        assert!(!page.contains("class=\"said\""), "a number has no place");
        assert!(data["samples"][0].get("roots").is_none());
    }

    #[test]
    fn vectors_turn_with_the_points_they_are_drawn_from() {
        // About (1, 0), with a vector to the right and one upwards.
        let truth = vec![[0.5, 0.0, 0.0], [0.0, 0.5, 0.0]];
        let sample = TurnedSample::Vectors { place: 0, positions: vec![[0.0; 3], [2.0, 0.0, 0.0]], vectors: truth };
        let along = vec![
            vec![0.5, 0.0, 0.0, 0.0, 0.5, 0.0],
            vec![0.0, 0.5, 0.0, -0.5, 0.0, 0.0],
            vec![-0.5, 0.0, 0.0, 0.0, -0.5, 0.0],
            vec![0.0, -0.5, 0.0, 0.5, 0.0, 0.0],
        ];
        let still = vec![along[0].clone(); 4];
        let broken = vec![vec![f64::NAN; 6]; 4];
        let results = answered(sample, [still, along, broken].map(|vectors| TurnedAnswer::Vectors { vectors }));
        let page = section(&results);
        let data = data(&page);
        let arms = &data["samples"][0]["arms"];
        // Both are as far from what they should be as the sides and the diagonal of a square of 0.5.
        assert_eq!(arms[0]["says"], serde_json::json!(["0", "0.707", "1.00", "0.707"]));
        assert_eq!(arms[1]["says"][0], "0");
        assert_eq!(arms[2]["points"][0], serde_json::json!([null, null, null, null]));
        // Vectors are 0.6 long where points are 1 from the centre; the farthest tip, sqrt(1.36) away, comes to 420.
        let unit = 420.0 / 1.36_f64.sqrt();
        let drawn = |at: [f64; 4]| serde_json::json!(at.map(|x| (unit * x).round() as i32));
        let roots = &data["samples"][0]["roots"];
        assert_eq!((&roots[0], &roots[1]), (&drawn([-1.0, 0.0, 1.0, 0.0]), &drawn([0.0, 1.0, 0.0, -1.0])));
        assert_eq!(arms[1]["points"][0], drawn([-0.4, 0.0, 1.0, -0.6]));
        assert_eq!(arms[1]["points"][1], drawn([0.0, 0.4, -0.6, -1.0]));
        assert_eq!(arms[0]["points"][1], drawn([0.6, 1.0, 0.0, -1.6]));
        let [u, v] = [unit, 0.6 * unit].map(|x| x.round() as i32);
        let near = (0.4 * unit).round() as i32;
        let shaft = format!("<path stroke=\"var(--arm-1)\" d=\"M-{u} 0L-{near} 0M{u} 0L{u} -{v}\"/>");
        assert!(page.contains(&shaft), "no {shaft} in {page}");
        assert!(page.contains("rings the tips of the true vectors") && page.contains("Test sample 1, turned by"));
        assert!(page.contains("Numbers: mean distance from the true vectors of this sample. Lines: one logarithmic"));
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
        let page = section(&results);
        let data = data(&page);
        assert!(data["samples"][0]["arms"][0].is_null() && !data["samples"][1]["arms"][0].is_null());
        assert!(page.contains("</svg>plain</span><span class=\"lost\">–</span>"), "it did not diverge");
    }
}
