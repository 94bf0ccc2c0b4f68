//! The report in a real browser: a slider turns samples, and every answer that is shown is that of `results.json`.
#![cfg(all(unix, feature = "flex"))]

mod browser;

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use browser::Page;

use equi::core::resample::{resample_host, rotation_inverse};
use image::{Rgb, RgbImage};
use serde_json::{Value, json};
use tempfile::TempDir;

/// Angles of a full turn.
const STEPS: usize = 48;

/// A study that takes seconds.
fn study(task: &str, arms: &str) -> (TempDir, PathBuf, Value) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let out = folder.path().join("out");
    let output = Command::new(env!("CARGO_BIN_EXE_equi"))
        .args(["compare", task, "--preset", "smoke", "--device", "flex", "--arms", arms, "--out"])
        .arg(&out)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env_remove("BURN_DEVICE")
        .output()
        .expect("the command starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let results = fs::read_to_string(out.join("results.json")).expect("results.json is there");
    (folder, out.join("report.html"), serde_json::from_str(&results).expect("it is JSON"))
}

fn numbers(list: &Value) -> Vec<f64> {
    list.as_array().expect("a list").iter().map(|number| number.as_f64().expect("a number")).collect()
}

/// A number between two texts.
fn between(text: &Value, before: &str, after: &str) -> f64 {
    let text = text.as_str().expect("a text");
    let inner = text.strip_prefix(before).and_then(|rest| rest.split(after).next());
    inner
        .and_then(|inner| inner.parse().ok())
        .unwrap_or_else(|| panic!("no number between {before} and {after}: {text}"))
}

/// What is seen of a report: the sample, the angle and the rows.
fn seen(page: &mut Page) -> Value {
    page.evaluate(
        "(() => {
           const shown = [...document.querySelectorAll('.turned')].filter((block) => block.offsetParent);
           const block = shown[0];
           const text = (at, what) => at.querySelector(what)?.textContent;
           const canvas = block.querySelector('canvas');
           return {
             blocks: shown.length,
             sample: Number(block.dataset.sample),
             angle: parseFloat(text(block, '.angle')),
             slider: Number(document.getElementById('turn').value),
             output: text(document, '.turning output'),
             rows: [...block.querySelectorAll('li')].map((row) => ({
               arm: text(row, '.arm'), says: text(row, '.says'), judged: text(row, '.judged'),
               bar: row.querySelector('.bar i')?.style.width,
               marker: row.querySelector('.now').getAttribute('transform'),
             })),
             image: canvas && [...canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data]
               .filter((_, channel) => channel % 4 !== 3),
             truth: block.querySelector('.truth')?.getAttribute('transform'),
             said: [...block.querySelectorAll('.said')].map((arm) =>
               [...arm.querySelectorAll('polygon')].map((shape) => shape.getAttribute('transform').match(/-?\\d+/g).map(Number))),
           };
         })()",
    )
}

/// Holds all that is seen to `results`, and gives the step of the angle.
fn agrees(results: &Value, seen: &Value) -> usize {
    let angle = seen["angle"].as_f64().expect("an angle");
    let step = (angle / 7.5).round() as usize;
    assert_eq!(angle, 7.5 * step as f64);
    assert_eq!(seen["slider"].as_f64().expect("a number") % 360.0, angle);
    assert_eq!((&seen["blocks"], &results["turning"]["angles"][step]), (&json!(1), &json!(angle)));
    assert!(seen["output"].as_str().expect("a text").starts_with(&format!("{angle}°: ")), "{}", seen["output"]);
    let place = seen["sample"].as_u64().expect("a place") as usize;
    let sample = &results["turning"]["samples"][place];
    let arms = results["arms"].as_array().expect("arms");
    let rows = seen["rows"].as_array().expect("rows");
    assert_eq!(rows.len(), arms.len());
    let cells = results["cells"].as_array().expect("cells");
    for (number, (row, arm)) in rows.iter().zip(arms).enumerate() {
        assert_eq!(row["arm"], arm["name"]);
        let cell = cells.iter().find(|cell| cell["arm"] == arm["name"] && cell["seed"] == 0).expect("its cell");
        // A line is 240 wide.
        let marker = between(&row["marker"], "translate(", " 0)") / 240.0 * 360.0;
        assert!((marker % 360.0 - angle).abs() < 1e-6, "{row}");
        let answer = &cell["turning"][place];
        match sample["kind"].as_str().expect("a kind") {
            "image" => class_agrees(sample, answer, step, row),
            "number" => {
                let all = cells.iter().filter_map(|cell| cell["turning"].get(place));
                number_agrees(sample, answer, all, step, row);
            }
            "vectors" => vectors_agree(sample, answer, step, row, &seen["said"][number]),
            _ => positions_agree(sample, answer, step, row, &seen["said"][number]),
        }
    }
    if sample["kind"] == "image" {
        image_agrees(sample, angle, &seen["image"]);
    } else {
        assert_eq!(between(&seen["truth"], "rotate(", ")"), -angle);
    }
    step
}

fn class_agrees(sample: &Value, answer: &Value, step: usize, row: &Value) {
    let probabilities = numbers(&answer["probabilities"][step]);
    // Rounding leaves each within 0.0005 of what it was, and ten classes are all there are.
    assert!((probabilities.iter().sum::<f64>() - 1.0).abs() < 0.006, "{probabilities:?}");
    let largest = probabilities.iter().copied().fold(0.0, f64::max);
    let best = probabilities.iter().position(|&probability| probability == largest).expect("there are some");
    let class = &answer["classes"][best];
    assert_eq!(row["says"], format!("{class}, {:.1}\u{a0}%", 100.0 * largest));
    assert_eq!(row["judged"], if *class == sample["label"] { "right" } else { "wrong" });
    assert!((between(&row["bar"], "", "%") - 100.0 * largest).abs() < 1e-3, "{row}");
}

/// The script turns an image as the data, the augmentation and the checks do.
fn image_agrees(sample: &Value, angle: f64, image: &Value) {
    let [height, width] = ["height", "width"].map(|side| sample[side].as_u64().expect("a size") as usize);
    let levels: Vec<f32> = numbers(&sample["levels"]).into_iter().map(|level| level as f32).collect();
    assert_eq!(sample["range"][0], 0.0, "zero is the level 0");
    let plane = |levels: &[f32]| resample_host(levels, height, width, rotation_inverse(angle.to_radians()));
    let planes: Vec<Vec<f32>> = levels.chunks(height * width).map(plane).collect();
    assert_eq!(planes.len() as u64, sample.get("channels").map_or(1, |channels| channels.as_u64().expect("a number")));
    let shown = numbers(image);
    assert_eq!(shown.len(), 3 * height * width);
    for (at, pixel) in shown.chunks(3).enumerate() {
        for (channel, shown) in pixel.iter().enumerate() {
            // A single channel is red, green and blue.
            let level = f64::from(planes[channel % planes.len()][at]);
            // Half a level of rounding to bytes, and that of the resampler to f32.
            assert!((shown - level).abs() < 0.501, "{shown} {level} at {angle}");
        }
    }
}

fn positions_agree(sample: &Value, answer: &Value, step: usize, row: &Value, said: &Value) {
    let points =
        |name: &str| -> Vec<Vec<f64>> { sample[name].as_array().expect("points").iter().map(numbers).collect() };
    let (start, end) = (points("start"), points("end"));
    let [cx, cy] = [0, 1].map(|k| start.iter().map(|x| x[k]).sum::<f64>() / start.len() as f64);
    let (sin, cos) = (7.5 * step as f64).to_radians().sin_cos();
    let predicted = numbers(&answer["positions"][step]);
    let truth = end.iter().flat_map(|x| {
        let (u, v) = (x[0] - cx, x[1] - cy);
        [cx + cos * u - sin * v, cy + sin * u + cos * v, x[2]]
    });
    let error = predicted.iter().zip(truth).map(|(a, b)| (a - b).powi(2)).sum::<f64>() / predicted.len() as f64;
    let shown: f64 = row["says"].as_str().expect("a text").replace(',', "").parse().expect("a number");
    // Three digits.
    assert!((shown - error).abs() <= 0.0051 * error, "{shown} {error}");
    let distance = |x: &Vec<f64>| (x[0] - cx).hypot(x[1] - cy);
    let scale = 420.0 / start.iter().chain(&end).map(distance).fold(0.0, f64::max);
    for (point, mark) in predicted.chunks(3).zip(said.as_array().expect("marks")) {
        let (x, y) = (scale * (point[0] - cx), -scale * (point[1] - cy));
        let mark = numbers(mark);
        // Marks are at whole units.
        assert!((mark[0] - x).abs() < 0.501 && (mark[1] - y).abs() < 0.501, "{mark:?} {x} {y}");
    }
}

/// A number is shown with three digits of what all arms say at any angle, and the truth.
fn number_agrees<'a>(sample: &Value, answer: &Value, all: impl Iterator<Item = &'a Value>, step: usize, row: &Value) {
    let truth = sample["number"].as_f64().expect("a number");
    let said: Vec<f64> = all.flat_map(|answer| numbers(&answer["numbers"])).chain([truth]).collect();
    let range = said.iter().copied().fold(f64::MIN, f64::max) - said.iter().copied().fold(f64::MAX, f64::min);
    let shown: f64 = row["says"].as_str().expect("a text").parse().expect("a number");
    assert!((shown - numbers(&answer["numbers"])[step]).abs() <= 0.0051 * range, "{shown} {answer}");
}

/// Vectors end where they are drawn to, from points that turn, all to the scale of the longest true one.
fn vectors_agree(sample: &Value, answer: &Value, step: usize, row: &Value, said: &Value) {
    let points =
        |name: &str| -> Vec<Vec<f64>> { sample[name].as_array().expect("points").iter().map(numbers).collect() };
    let (start, truth) = (points("positions"), points("vectors"));
    let (sin, cos) = (7.5 * step as f64).to_radians().sin_cos();
    let turned = |[x, y, z]: [f64; 3]| [cos * x - sin * y, sin * x + cos * y, z];
    let predicted = numbers(&answer["vectors"][step]);
    let lengths = predicted.chunks(3).zip(&truth).map(|(found, v)| {
        let truth = turned([v[0], v[1], v[2]]);
        found.iter().zip(truth).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt()
    });
    let error = lengths.sum::<f64>() / truth.len() as f64;
    let shown: f64 = row["says"].as_str().expect("a text").replace(',', "").parse().expect("a number");
    // Three digits.
    assert!((shown - error).abs() <= 0.0051 * error, "{shown} {error}");
    let [cx, cy] = [0, 1].map(|k| start.iter().map(|x| x[k]).sum::<f64>() / start.len() as f64);
    let centred: Vec<[f64; 3]> = start.iter().map(|x| [x[0] - cx, x[1] - cy, x[2]]).collect();
    let across = |x: &[f64]| x[0].hypot(x[1]);
    let radius = centred.iter().map(|x| across(x)).fold(0.0, f64::max);
    let stretch = 0.6 * radius / truth.iter().map(|v| across(v)).fold(0.0, f64::max);
    let end = |x: &[f64; 3], v: &[f64]| [x[0] + stretch * v[0], x[1] + stretch * v[1]];
    let farthest = centred.iter().zip(&truth).map(|(x, v)| across(&end(x, v))).fold(radius, f64::max);
    let marks = said.as_array().expect("marks");
    assert_eq!(marks.len(), start.len());
    for ((x, found), mark) in centred.iter().zip(predicted.chunks(3)).zip(marks) {
        let [x, y] = end(&turned(*x), found);
        // What is far outside is not drawn.
        let seen = |x: f64| if x.abs() < 1000.0 { x } else { 0.0 };
        let (x, y, mark) = (seen(420.0 / farthest * x), seen(-420.0 / farthest * y), numbers(mark));
        // Marks are at whole units.
        assert!((mark[0] - x).abs() < 0.501 && (mark[1] - y).abs() < 0.501, "{mark:?} {x} {y}");
    }
}

/// A study of springs between all pairs of four to six points, of their energy or their forces: the folder, and the file.
fn springs(target: &str) -> (TempDir, String) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).expect("a file in it");
    for (name, count, phase) in [("train.xyz", 40, 0.0), ("test.xyz", 10, 0.5)] {
        let mut text = String::new();
        for number in 0..count {
            let points = 4 + number % 3;
            // Far from any symmetry.
            let at = |i: usize, k: usize| {
                2.0 * ((1 + i) as f64 * (7.1 + 2.3 * k as f64) + 0.7 * number as f64 + phase).sin()
            };
            let x: Vec<[f64; 3]> = (0..points).map(|i| [0, 1, 2].map(|k| at(i, k))).collect();
            let mean = [0, 1, 2].map(|k| x.iter().map(|x| x[k]).sum::<f64>() / points as f64);
            // Springs of length zero pull to the mean.
            let force = |x: &[f64; 3]| [0, 1, 2].map(|k| points as f64 * (mean[k] - x[k]));
            let energy = x.iter().flat_map(force).map(|f| f * f).sum::<f64>() / (2 * points) as f64;
            text += &format!("{points}\nProperties=species:S:1:pos:R:3:forces:R:3 energy={energy}\n");
            for x in &x {
                let row: Vec<String> = x.iter().chain(&force(x)).map(f64::to_string).collect();
                text += &format!("Ar {}\n", row.join(" "));
            }
        }
        write(name, &text);
    }
    write("springs.toml", &format!("[points]\ntrain = \"train.xyz\"\ntest = \"test.xyz\"\ntarget = \"{target}\"\n"));
    let file = folder.path().join("springs.toml").to_str().expect("a path in UTF-8").to_string();
    (folder, file)
}

/// A study of images with colour, of two classes: the folder, and the file.
fn tints() -> (TempDir, String) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for (part, count) in [("train", 12), ("test", 4)] {
        for class in 0..2 {
            let inside = folder.path().join(part).join(class.to_string());
            fs::create_dir_all(&inside).expect("a folder in it");
            for number in 0..count {
                let image = RgbImage::from_fn(9, 9, |x, y| {
                    let ink = ((31 * x + 17 * y + 13 * number) % 120) as u8;
                    Rgb([ink + 120 * class, 60, 200 - ink])
                });
                image.save(inside.join(format!("{number}.png"))).expect("a file in it");
            }
        }
    }
    let file = folder.path().join("tints.toml");
    fs::write(&file, "[images]\ntrain = \"train\"\ntest = \"test\"\n").expect("a file in it");
    (folder, file.to_str().expect("a path in UTF-8").to_string())
}

/// Drags, keys and another sample.
fn is_turned(task: &str, arms: &str) {
    let Some(program) = browser::find() else { return };
    let (_folder, file, results) = study(task, arms);
    assert_eq!(results["turning"]["angles"].as_array().expect("angles").len(), STEPS);
    let mut page = Page::open(&program);
    page.show(&file);
    let shown = seen(&mut page);
    assert_eq!((agrees(&results, &shown), &shown["sample"]), (0, &json!(0)));

    // From the left end of the slider, where its thumb is, to three quarters of its length.
    let [x, y] = page.middle("document.getElementById('turn')");
    let width =
        page.evaluate("document.getElementById('turn').getBoundingClientRect().width").as_f64().expect("a width");
    // Half a thumb.
    let end = 0.8 * 16.0;
    let at = |share: f64| [x - width / 2.0 + end + share * (width - 2.0 * end), y];
    page.mouse("mouseMoved", at(0.0));
    page.mouse("mousePressed", at(0.0));
    let mut steps = Vec::new();
    for part in 1..=9 {
        page.mouse("mouseMoved", at(f64::from(part) / 12.0));
        steps.push(agrees(&results, &seen(&mut page)));
    }
    page.mouse("mouseReleased", at(0.75));
    assert_eq!(steps, [4, 8, 12, 16, 20, 24, 28, 32, 36], "a twelfth of the way is a twelfth of a turn");
    let dragged = agrees(&results, &seen(&mut page));
    assert_eq!(dragged, 36);

    page.press("ArrowRight", 39);
    page.press("ArrowRight", 39);
    page.press("ArrowLeft", 37);
    assert_eq!(agrees(&results, &seen(&mut page)), dragged + 1);

    // Another sample, at the same angle.
    let last = results["turning"]["samples"].as_array().expect("samples").len() - 1;
    for sample in [last, 1] {
        let point = page.middle(&format!("document.querySelectorAll('.turning input[type=radio]')[{sample}]"));
        page.mouse("mousePressed", point);
        page.mouse("mouseReleased", point);
        let shown = seen(&mut page);
        assert_eq!((agrees(&results, &shown), &shown["sample"]), (dragged + 1, &json!(sample)));
    }

    // Once around is where it was.
    page.evaluate("document.getElementById('turn').focus()");
    page.press("End", 35);
    let shown = seen(&mut page);
    assert_eq!((agrees(&results, &shown), &shown["slider"]), (0, &json!(360)));

    // Nothing sticks out of a phone.
    page.size(360, 740);
    let wide = page.evaluate(
        "[document.documentElement, ...document.querySelectorAll('.turning *')]
           .filter((e) => Math.max(e.getBoundingClientRect().right, e.scrollWidth) > document.documentElement.clientWidth + 0.5)
           .map((e) => e.outerHTML)",
    );
    assert_eq!(wide, json!([]));
    page.size(1200, 900);

    // Without scripts all samples are there as the test set has them, with their lines.
    page.call("Emulation.setScriptExecutionDisabled", json!({ "value": true }));
    page.show(&file);
    let still = page.evaluate(
        "[[...document.querySelectorAll('.turned')].filter((block) => block.offsetParent).length,
          [...document.querySelectorAll('.turned .around')].filter((line) => line.getBoundingClientRect().width > 60).length,
          document.querySelector('.turning .controls').offsetParent === null, document.body.innerText.includes('needs JavaScript')]",
    );
    let lines = (last + 1) * results["arms"].as_array().expect("arms").len();
    assert_eq!(still, json!([last + 1, lines, true, true]));
    page.is_clean(&file);
}

#[test]
fn a_slider_turns_images_and_shows_the_answers_of_the_results() {
    is_turned("mnist-rot", "plain,augmented-tta,equivariant");
}

#[test]
fn a_slider_turns_images_with_colour() {
    let (_folder, file) = tints();
    is_turned(&file, "plain,equivariant");
}

#[test]
fn a_slider_turns_points_and_shows_the_answers_of_the_results() {
    is_turned("nbody", "plain,augmented-tta,equivariant,linear");
}

#[test]
fn a_slider_turns_samples_with_a_number_and_with_vectors() {
    for target in ["energy", "forces"] {
        let (_folder, file) = springs(target);
        is_turned(&file, "plain,augmented-tta,equivariant");
    }
}
