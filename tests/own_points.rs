//! A study of the user's own points, and what can be wrong with it.
#![cfg(feature = "flex")]

use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

/// Clusters of 4 to 6 points of two species, whose energy is that of springs between all pairs, with the forces: numbers that no motion changes, and vectors
/// that turn along. Every number comes from a linear congruence.
fn clusters(count: usize, seed: u64) -> String {
    let mut state = seed;
    let mut random = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as f64 / (1_u64 << 31) as f64
    };
    let mut text = String::new();
    for number in 0..count {
        let points = 4 + number % 3;
        let positions: Vec<[f64; 3]> = (0..points).map(|_| std::array::from_fn(|_| 3.0 * random())).collect();
        let (mut energy, mut forces) = (0.0, vec![[0.0; 3]; points]);
        for i in 0..points {
            for j in 0..i {
                let difference: [f64; 3] = std::array::from_fn(|k| positions[i][k] - positions[j][k]);
                let length = difference.iter().map(|x| x * x).sum::<f64>().sqrt();
                let stretched = length - if (i + j) % 2 == 0 { 2.0 } else { 1.5 };
                energy += stretched * stretched / 2.0;
                for k in 0..3 {
                    forces[i][k] -= stretched * difference[k] / length;
                    forces[j][k] += stretched * difference[k] / length;
                }
            }
        }
        let properties = "Properties=species:S:1:pos:R:3:forces:R:3";
        writeln!(text, "{points}\n{properties} energy={energy} pbc=\"F F F\"").unwrap();
        for (at, (x, f)) in positions.iter().zip(&forces).enumerate() {
            let name = if at % 2 == 0 { "Ar" } else { "Ne" };
            writeln!(text, "{name} {} {} {} {} {} {}", x[0], x[1], x[2], f[0], f[1], f[2]).unwrap();
        }
    }
    text
}

fn data() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("train.xyz"), clusters(60, 1)).unwrap();
    fs::write(folder.path().join("test.xyz"), clusters(30, 2)).unwrap();
    folder
}

const STUDY: &str = "# Springs.
[points]
train = \"train.xyz\"
test = \"test.xyz\"
target = \"energy\"

[study]
preset = \"smoke\"
arms = [\"plain\", \"equivariant\", \"canonical\"]
sizes = [40]
seeds = 1
";

fn compare(folder: &Path, study: &str, options: &[&str]) -> Output {
    fs::write(folder.join("springs.toml"), study).unwrap();
    Command::new(env!("CARGO_BIN_EXE_equi"))
        .args(["compare", "springs.toml", "--device", "flex"])
        .args(options)
        .current_dir(folder)
        .env_remove("BURN_DEVICE")
        .output()
        .expect("the command starts")
}

#[track_caller]
fn fails(output: &Output, code: i32, words: &[&str]) {
    let message = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{message}");
    for word in words {
        assert!(message.contains(word), "no `{word}` in: {message}");
    }
}

#[track_caller]
fn results(folder: &Path, out: &str) -> Value {
    serde_json::from_str(&fs::read_to_string(folder.join(out).join("results.json")).unwrap()).unwrap()
}

/// By how much an answer fails to turn along in a quarter turn, relative to the size of all that is said.
fn strays(answer: &Value) -> f64 {
    let row = |row: &Value| -> Vec<f64> { row.as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect() };
    // Numbers are shifted by the first, so that their size is how much they vary, and at least 1.
    let (before, after, size) = match answer.get("numbers") {
        Some(numbers) => {
            let numbers = row(numbers);
            assert_eq!(numbers.len(), 48);
            (vec![numbers[0]], vec![numbers[12]], 1.0)
        }
        None => {
            let rows: Vec<Vec<f64>> = answer["vectors"].as_array().unwrap().iter().map(row).collect();
            assert_eq!(rows.len(), 48);
            let turned = rows[0].chunks(3).flat_map(|v| [-v[1], v[0], v[2]]).collect();
            (turned, rows[12].clone(), rows[0].iter().fold(0.0, |size: f64, x| size.max(x.abs())))
        }
    };
    before.iter().zip(&after).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max) / size
}

#[test]
fn own_points_are_compared() {
    let folder = data();
    // A number of a sample, and a vector of every point; all pairs, and near ones.
    for (target, near, model, metric, kind) in [
        ("energy", "", "invariant EGNN, 4 layers", "test MAE", "number"),
        ("forces", "radius = 2.5\n", "EGNN, 4 layers", "test mean distance", "vectors"),
    ] {
        let study = STUDY.replace("target = \"energy\"\n", &format!("target = \"{target}\"\n{near}"));
        let output = compare(folder.path(), &study, &["--out", target]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let found = results(folder.path(), target);
        assert_eq!((&found["task"], &found["domain"]), (&Value::from("springs"), &Value::from("points")));
        let described = found["data"].as_str().unwrap();
        assert!(described.starts_with("60 training samples (SHA-256 ") && described.contains("30 test samples"));
        assert!(found["arms"][1]["model"].as_str().unwrap().starts_with(model), "{}", found["arms"]);
        let cells = found["cells"].as_array().unwrap();
        assert_eq!(cells.len(), 3);
        let turning = found["turning"]["samples"].as_array().unwrap();
        assert!(turning.len() == 6 && turning.iter().all(|sample| sample["kind"] == kind), "{turning:?}");
        for cell in cells {
            assert_eq!(cell["metric"]["name"], metric);
            let value = cell["metric"]["value"].as_f64().unwrap();
            let exact = cell["arm"] != "plain";
            for error in ["exact_untrained", "exact"] {
                // Rounding in f32 of coordinates of size 10 through four layers, before training of outputs a thousandth in size.
                let error = cell["equivariance_error"][error].as_f64().unwrap();
                assert!(if exact { error < 1e-4 } else { error > 1e-3 }, "{target}: {cell}");
            }
            for pose in ["random", "outside"] {
                let other = cell["poses"][pose].as_f64().unwrap();
                // Far away, a coordinate is rounded to a millionth of the size of a sample.
                assert!(!exact || (other / value - 1.0).abs() < 1e-3, "{target}: {cell}");
            }
            // That of a difference quotient in f32 for small turns; only arms that see samples as they are have layers.
            let small_turns = cell["equivariance_error"]["small_turns"].as_f64().unwrap();
            assert!(if exact { small_turns < 1e-2 } else { small_turns > 1e-2 }, "{target}: {cell}");
            let layers = cell["layers"].as_array();
            assert_eq!(layers.is_none(), cell["arm"] == "canonical", "{cell}");
            let worst = layers.into_iter().flatten().map(|layer| layer["exact"].as_f64().unwrap()).fold(0.0, f64::max);
            assert_eq!(worst < 1e-3, exact, "{target}: {cell}");
            let turned = cell["turning"].as_array().unwrap();
            assert_eq!(turned.len(), 6);
            let moved = turned.iter().map(strays).fold(0.0, f64::max);
            assert_eq!(moved < 1e-3, exact, "{target}: {moved} {cell}");
            // A plain network knows where it is.
            let outside = cell["poses"]["outside"].as_f64().unwrap();
            assert!(cell["arm"] != "plain" || (outside / value - 1.0).abs() > 1e-2, "{cell}");
        }
        let report = fs::read_to_string(folder.path().join(target).join("report.html")).unwrap();
        assert!(report.contains(&metric.replacen('t', "T", 1)), "{metric}");
    }

    // With another number it is another study.
    let file = folder.path().join("train.xyz");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replacen("energy=", "energy=1", 1)).unwrap();
    fails(&compare(folder.path(), STUDY, &["--out", "energy"]), 1, &["another comparison", "data"]);
    fs::write(&file, text).unwrap();

    // All arms, and no more than the file says of them; what the command says goes before.
    let study = STUDY.replace("arms = [\"plain\", \"equivariant\", \"canonical\"]\n", "");
    let options =
        ["--out", "all", "--sizes", "20", "--arms", "augmented,augmented-tta,equivariant-augmented,frame-averaged"];
    let output = compare(folder.path(), &study, &options);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let found = results(folder.path(), "all");
    let errors: Vec<f64> = found["cells"]
        .as_array()
        .unwrap()
        .iter()
        .map(|cell| cell["equivariance_error"]["exact"].as_f64().unwrap())
        .collect();
    // As above; averages over poses are no symmetry.
    assert!(errors[0] > 1e-3 && errors[1] > 1e-4 && errors[2] < 1e-4 && errors[3] < 1e-4, "{errors:?}");
}

/// The numbers of the line that begins with these words.
#[track_caller]
fn numbers(text: &str, line: &str) -> Vec<f64> {
    let found =
        text.lines().find_map(|text| text.strip_prefix(line)).unwrap_or_else(|| panic!("no `{line}` in: {text}"));
    found.split_whitespace().filter_map(|word| word.parse().ok()).collect()
}

#[test]
fn networks_on_own_points_are_checked_layer_by_layer() {
    let folder = data();
    let check = |options: &[&str]| {
        Command::new(env!("CARGO_BIN_EXE_equi"))
            .args(["check", "springs.toml", "--device", "flex", "--samples"])
            .args(options)
            .current_dir(folder.path())
            .env_remove("BURN_DEVICE")
            .output()
            .expect("the command starts")
    };
    for (target, last) in [("energy", "readout"), ("forces", "layer 4")] {
        let study = STUDY.replace("\"energy\"", &format!("\"{target}\""));
        let output = compare(folder.path(), &study, &["--out", target, "--keep-weights"]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        for arm in ["equivariant", "plain"] {
            let weights = format!("{target}/weights/{arm}-n40-s0.bpk");
            for options in [&["4", "--arm", arm][..], &["4", "--arm", arm, "--weights", &weights]] {
                let output = check(options);
                assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
                let text = String::from_utf8_lossy(&output.stdout).into_owned();
                let begin = if options.len() == 3 { "before training, seed 0" } else { "weights of " };
                assert!(text.starts_with(&format!("{arm}: ")) && text.contains(begin), "{text}");
                assert!(text.contains("4 test systems"), "{text}");
                let count = if options.len() == 3 { 60 } else { 40 };
                let units = format!("in the units of {count} training samples of seed 0");
                assert!(text.replace('\n', " ").contains(&units), "{text}");
                let exact = numbers(&text, "moved and permuted, |f(g x) - g f(x)| / |f(x)|")[0];
                let small_turns = numbers(&text, "small turns, per radian (Lie derivative)")[0];
                let [embedding, layer] = ["embedding", "layer 1"].map(|layer| numbers(&text, layer));
                if arm == "equivariant" {
                    // Rounding in f32, and a hundred times that in a difference quotient.
                    assert!(exact < 1e-4 && small_turns < 1e-2, "{text}");
                    let errors = numbers(&text, last);
                    assert!(errors.len() == 5 && errors.iter().all(|&error| error < 1e-3), "{text}");
                } else {
                    assert!(exact > 1e-3 && small_turns > 1e-3, "{text}");
                    assert!(embedding[..3].iter().all(|&error| error > 1e-2) && embedding[3] < 1e-5, "{text}");
                    assert!(layer[..4].iter().all(|&error| error < 1e-4) && layer[4] > 1e-2, "{text}");
                }
            }
        }
        // What it is told after training is what the study found, on more samples.
        let of_study = |arm: &str| {
            let found = results(folder.path(), target);
            let cells = found["cells"].as_array().unwrap();
            let cell = cells.iter().find(|cell| cell["arm"] == arm).unwrap();
            cell["equivariance_error"]["exact"].as_f64().unwrap()
        };
        let weights = format!("{target}/weights/plain-n40-s0.bpk");
        let output = check(&["30", "--arm", "plain", "--weights", &weights]);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let exact = numbers(&text, "moved and permuted, |f(g x) - g f(x)| / |f(x)|")[0];
        assert!((exact / of_study("plain") - 1.0).abs() < 1e-2, "{exact} {}", of_study("plain"));
    }
}

#[test]
fn what_is_wrong_with_a_study_is_shown_where_it_stands() {
    let folder = data();
    let with = |from: &str, to: &str| {
        assert!(STUDY.contains(from));
        compare(folder.path(), &STUDY.replace(from, to), &[])
    };
    let target = "target = \"energy\"\n";
    fails(&with(target, ""), 2, &["springs.toml", "missing field `target`"]);
    fails(&with(target, "targets = \"energy\"\n"), 2, &["line 5", "unknown field `targets`"]);
    fails(&with(target, &format!("{target}radius = -1\n")), 2, &["line 6", "a radius of -1 is not possible"]);
    fails(&with(target, &format!("{target}neighbours = 0\n")), 2, &["line 6", "0 neighbours see nothing"]);
    let both = format!("{target}radius = 2\nneighbours = 3\n");
    fails(&with(target, &both), 2, &["line 7", "not both"]);
    fails(&with("\"test.xyz\"", "\"tests.xyz\""), 2, &["line 4", "tests.xyz does not exist"]);
    fails(&with("seeds = 1", "group = \"C4\""), 2, &["line 11", "no `group` to choose"]);
    fails(&with("seeds = 1", "flips = 0.5"), 2, &["line 11", "no `flips` to choose"]);
    fails(&with("[40]", "[40, 99]"), 2, &["line 10", "99 training samples were asked for, and there are 60"]);
    let images = "[images]\ntrain = \".\"\ntest = \".\"\n[points]";
    fails(&with("[points]", images), 2, &["line 5", "take out [images] or [points]"]);
    fails(&compare(folder.path(), "\n[study]\nseeds = 1\n", &[]), 2, &["line 1", "neither [images] nor [points]"]);
    fails(&with("\"canonical\"", "\"linear\""), 2, &["line 9", "no arm `linear`"]);
    fails(&compare(folder.path(), STUDY, &["--model", "egnn"]), 2, &["--model"]);

    fails(&with("\"energy\"", "\"energi\""), 1, &["train.xyz", "line 2", "no `energi`", "energy"]);
    fails(&with("\"energy\"", "\"species\""), 1, &["train.xyz", "line 2", "cannot be predicted"]);
    let near = format!("{target}radius = 1e-6\n");
    fails(&with(target, &near), 1, &["no two points of a sample are neighbours (pairs within 0.000001)"]);

    let write = |name: &str, text: String| fs::write(folder.path().join(name), text).unwrap();
    write("test.xyz", clusters(30, 2).replacen("Ne", "Xe", 1));
    fails(&compare(folder.path(), STUDY, &[]), 1, &["test.xyz", "species `Xe` is in no training sample"]);
    write("test.xyz", clusters(30, 2).replace("species:S", "name:S"));
    fails(&compare(folder.path(), STUDY, &[]), 1, &["test.xyz", "has no species"]);
    write("test.xyz", String::new());
    fails(&compare(folder.path(), STUDY, &[]), 1, &["test.xyz", "there is no sample"]);
    write("test.xyz", clusters(30, 2));
    write("train.xyz", clusters(9, 1));
    fails(&compare(folder.path(), STUDY, &[]), 1, &["9 training and 30 test samples are too few"]);
    let constant: Vec<String> = clusters(20, 1)
        .lines()
        .map(|line| match line.split_once(" energy=") {
            Some((before, _)) => format!("{before} energy=2.5"),
            None => line.to_string(),
        })
        .collect();
    write("train.xyz", constant.join("\n"));
    fails(&with("[40]", "[20]"), 1, &["all `energy` are 2.5: there is nothing to learn"]);
    write("train.xyz", "1\nenergy=1\nAr 0 0 0\n1\nenergy=2\nAr 0 0 0\n".repeat(5));
    write("test.xyz", "1\nenergy=1\nAr 0 0 0\n".to_string());
    fails(&with("[40]", "[10]"), 1, &["every sample has a single point"]);
    let many: String = (0..60).map(|at| format!("Ar {at} 0 0\n")).collect();
    write("train.xyz", (0..10).map(|number| format!("60\nenergy={number}\n{many}")).collect());
    fails(&with("[40]", "[10]"), 1, &["up to 60 points", "give a `radius`, or a number of `neighbours`"]);
}
