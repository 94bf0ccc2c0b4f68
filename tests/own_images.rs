//! A study of the user's own images, and what can be wrong with it.
#![cfg(feature = "flex")]

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use image::{GrayImage, Luma, Rgb, RgbImage};
use serde_json::Value;
use tempfile::TempDir;

/// Hooks and crosses of some pixels, each with noise of its own: six training and four test images of each.
fn data() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (part, count, seed) in [("train", 12u32, 1u32), ("test", 6, 100)] {
        for (class, cross) in [("cross", true), ("hook", false)] {
            let inside = folder.path().join(part).join(class);
            fs::create_dir_all(&inside).unwrap();
            for number in 0..count {
                let image = GrayImage::from_fn(9, 9, |x, y| {
                    let ink = if cross { x == 4 || y == 4 } else { (x == 4 && y > 3) || (y == 4 && x > 3) };
                    let noise = (x * 31 + y * 17 + (number + seed) * 13) % 23;
                    Luma([if ink { 200 } else { 0 } + noise as u8])
                });
                image.save(inside.join(format!("{number}.png"))).unwrap();
            }
        }
    }
    folder
}

const STUDY: &str = "# Two shapes.
[images]
train = \"train\"
test = \"test\"

[study]
preset = \"smoke\"
arms = [\"plain\", \"equivariant\"]
sizes = [20]
seeds = 2
group = \"C4\"
";

fn compare(folder: &Path, study: &str, options: &[&str]) -> Output {
    let file = folder.join("shapes.toml");
    fs::write(&file, study).unwrap();
    Command::new(env!("CARGO_BIN_EXE_equi"))
        .args(["compare", "shapes.toml", "--device", "flex"])
        .args(options)
        .current_dir(folder)
        .env_remove("BURN_DEVICE")
        .output()
        .expect("the command starts")
}

fn check(folder: &Path, options: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_equi"))
        .args(["check", "shapes.toml", "--device", "flex"])
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

#[test]
fn own_images_are_compared() {
    let folder = data();
    let output = compare(folder.path(), STUDY, &[]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let out = folder.path().join("runs/shapes-smoke");
    let results: Value = serde_json::from_str(&fs::read_to_string(out.join("results.json")).unwrap()).unwrap();
    assert_eq!(results["task"], "shapes");
    assert!(results["data"].as_str().unwrap().starts_with("training images: 12 cross, 12 hook (SHA-256 "));
    assert!(
        results["command"]
            .as_str()
            .unwrap()
            .starts_with("equi compare shapes.toml --preset smoke --arms plain,equivariant")
    );
    let cells = results["cells"].as_array().unwrap();
    assert_eq!(cells.len(), 4);
    for cell in cells {
        let layers = cell["layers"].as_array().unwrap();
        assert_eq!(layers[0]["layer"], "convolution 1");
        let exact = cell["equivariance_error"]["exact"].as_f64().unwrap();
        assert_eq!(exact < 1e-4, cell["arm"] == "equivariant", "{cell}");
        assert!((0.0..=100.0).contains(&cell["poses"]["random"].as_f64().unwrap()));
    }
    assert!(fs::read_to_string(out.join("report.html")).unwrap().contains("12 cross, 12 hook"));

    // The same again is found finished; with another image it is another study.
    assert!(compare(folder.path(), STUDY, &[]).status.success());
    let image = folder.path().join("train/hook/0.png");
    GrayImage::from_fn(9, 9, |x, _| Luma([if x == 4 { 255 } else { 0 }])).save(image).unwrap();
    fails(&compare(folder.path(), STUDY, &[]), 1, &["another comparison (different: data)"]);

    // The weights that are kept are those that were tested.
    let output = compare(folder.path(), STUDY, &["--keep-weights", "--out", "kept"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    for (arm, exact) in [("plain", false), ("equivariant", true)] {
        let weights = format!("kept/weights/{arm}-n20-s1.bpk");
        let checked = check(folder.path(), &["--arm", arm, "--weights", &weights]);
        assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
        let text = String::from_utf8_lossy(&checked.stdout).into_owned();
        let line = text.lines().find(|line| line.starts_with("quarter turns")).expect("its error");
        let error: f64 = line.split_whitespace().last().unwrap().parse().unwrap();
        assert_eq!(error < 1e-4, exact, "{text}");
        assert!(text.contains("convolution 1") && text.contains("Lie derivative"), "{text}");
    }
    let other = check(folder.path(), &["--arm", "plain", "--weights", "kept/weights/equivariant-n20-s0.bpk"]);
    fails(&other, 2, &["--weights: kept/weights/equivariant-n20-s0.bpk is not usable"]);
    fails(&check(folder.path(), &["--samples", "0"]), 2, &["--samples"]);
    let four = check(folder.path(), &["--samples", "4"]);
    assert!(String::from_utf8_lossy(&four.stdout).contains("4 test images"));
    fails(&check(folder.path(), &["--data", "elsewhere"]), 2, &["--data: shapes.toml says where its data are"]);
    fails(&check(folder.path(), &["--arm", "magic"]), 2, &["no arm `magic`"]);

    // What the command says goes before what the file says.
    let output = compare(folder.path(), STUDY, &["--seeds", "1", "--arms", "plain", "--out", "other"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let other: Value =
        serde_json::from_str(&fs::read_to_string(folder.path().join("other/results.json")).unwrap()).unwrap();
    assert_eq!(other["cells"].as_array().unwrap().len(), 1);
}

/// Two classes that nothing but colour tells apart: the same patterns in both, redder in one and greener in the other, pixel by pixel of the same luminance. Forty
/// training and ten test images of each.
fn tints() -> TempDir {
    // 0.2126 * 65 - 0.7152 * 17 - 0.0722 * 23 = 0.
    const TINT: [i32; 3] = [65, -17, -23];
    let folder = tempfile::tempdir().unwrap();
    for (part, numbers) in [("train", 0..40), ("test", 40..50)] {
        for (class, sign) in [("green", -1), ("red", 1)] {
            let inside = folder.path().join(part).join(class);
            fs::create_dir_all(&inside).unwrap();
            for number in numbers.clone() {
                let image = RgbImage::from_fn(9, 9, |x, y| {
                    let level = 80 + (31 * x * x + 17 * y + 7 * x * y + 13 * number) % 80;
                    Rgb(TINT.map(|tint| (level as i32 + sign * tint) as u8))
                });
                image.save(inside.join(format!("{number}.png"))).unwrap();
            }
        }
    }
    folder
}

const TINTS: &str = "[images]
train = \"train\"
test = \"test\"

[study]
preset = \"quick\"
arms = [\"plain\", \"equivariant\"]
sizes = [80]
seeds = 1
group = \"C4\"
";

/// The results of a study of [`tints`] in the folder `out`.
fn tinted(folder: &Path, study: &str, out: &str) -> Value {
    let output = compare(folder, study, &["--keep-weights", "--out", out]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let results = fs::read_to_string(folder.join(out).join("results.json")).unwrap();
    serde_json::from_str(&results).unwrap()
}

#[test]
fn colour_tells_classes_apart_that_luminance_does_not() {
    let folder = tints();
    let errors = |results: &Value| -> Vec<f64> {
        let cells = results["cells"].as_array().unwrap();
        cells.iter().map(|cell| cell["metric"]["value"].as_f64().unwrap()).collect()
    };
    let colour = tinted(folder.path(), TINTS, "colour");
    let found = errors(&colour);
    assert!(found.len() == 2 && found.iter().all(|&error| error <= 10.0), "{found:?}");
    for arm in colour["arms"].as_array().unwrap() {
        assert!(arm["model"].as_str().unwrap().contains("Cnn(3 -> "), "{arm}");
    }
    for cell in colour["cells"].as_array().unwrap() {
        let exact = cell["equivariance_error"]["exact"].as_f64().unwrap();
        assert_eq!(exact < 1e-4, cell["arm"] == "equivariant", "{cell}");
    }
    assert!(colour["data_symmetry"]["accuracy"].is_number(), "{}", colour["data_symmetry"]);
    let sample = &colour["turning"]["samples"][0];
    assert_eq!((&sample["channels"], sample["levels"].as_array().unwrap().len()), (&3.into(), 3 * 81));
    let checked = check(folder.path(), &["--weights", "colour/weights/equivariant-n80-s0.bpk"]);
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
    let text = String::from_utf8_lossy(&checked.stdout).into_owned();
    let line = text.lines().find(|line| line.starts_with("quarter turns")).expect("its error");
    assert!(line.split_whitespace().last().unwrap().parse::<f64>().unwrap() < 1e-4, "{text}");
    assert!(text.contains("Cnn(3 -> ") && text.contains("convolution 1"), "{text}");

    // Every test image has its like in the other class, and whatever is said of both is wrong of one.
    let grey = tinted(folder.path(), &TINTS.replace("\n[study]", "colour = false\n\n[study]"), "grey");
    assert_eq!(errors(&grey), [50.0, 50.0]);
    assert!(grey["arms"].as_array().unwrap().iter().all(|arm| arm["model"].as_str().unwrap().contains("Cnn(1 -> ")));
    assert!(grey["turning"]["samples"][0].get("channels").is_none());
    assert_ne!(grey["data"], colour["data"]);
    // The weights are of the other study.
    let weights = "colour/weights/equivariant-n80-s0.bpk";
    fails(&check(folder.path(), &["--weights", weights]), 2, &["is not usable"]);
}

#[test]
fn grey_images_have_three_channels_where_that_is_asked_for() {
    let folder = data();
    let study = STUDY.replace("test = \"test\"", "test = \"test\"\ncolour = true");
    let output = compare(folder.path(), &study, &["--seeds", "1"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let results = fs::read_to_string(folder.path().join("runs/shapes-smoke/results.json")).unwrap();
    let results: Value = serde_json::from_str(&results).unwrap();
    for arm in results["arms"].as_array().unwrap() {
        assert!(arm["model"].as_str().unwrap().contains("Cnn(3 -> "), "{arm}");
    }
    let levels = results["turning"]["samples"][0]["levels"].as_array().unwrap();
    assert!(levels.len() == 3 * 81 && levels[..81] == levels[81..162] && levels[..81] == levels[162..]);
}

#[test]
fn what_is_wrong_with_a_study_is_shown_where_it_stands() {
    let folder = data();
    let with = |from: &str, to: &str| {
        assert!(STUDY.contains(from));
        compare(folder.path(), &STUDY.replace(from, to), &[])
    };
    fails(&with("seeds = 2", "seed = 2"), 2, &["shapes.toml", "line 10", "unknown field `seed`", "seeds"]);
    fails(&with("seeds = 2", "seeds = \"two\""), 2, &["line 10", "invalid type"]);
    fails(&with("seeds = 2", "seeds = "), 2, &["line 10"]);
    fails(
        &with("[20]", "[20, 99]"),
        2,
        &["line 9", "99 training images were asked for, and there are 24", "sizes = [20, 99]"],
    );
    fails(&with("\"C4\"", "\"K4\""), 2, &["line 11", "K4", "group ="]);
    fails(&with("\"plain\",", "\"plane\","), 2, &["line 8", "no arm `plane`", "equivariant"]);
    fails(&with("\"smoke\"", "\"fast\""), 2, &["line 7", "no preset `fast`"]);
    fails(&with("test = \"test\"", "test = \"tests\""), 2, &["line 4", "tests does not exist"]);
    fails(&with("test = \"test\"", "test = \"test\"\nside = 3"), 2, &["line 5", "a side of 3 pixels", "9 to 257"]);
    let colour = |line: &str| with("test = \"test\"", &format!("test = \"test\"\n{line}"));
    fails(&colour("colour = \"yes\""), 2, &["line 5", "invalid type", "boolean"]);
    fails(&colour("color = true"), 2, &["line 5", "unknown field `color`", "colour"]);
    fails(&with("group", "flips = 1.5\ngroup"), 2, &["line 11", "1.5 is not a probability"]);
    fails(&with("group", "learning_rate = 0\ngroup"), 2, &["line 11"]);
    fails(&with("[images]", "[pictures]"), 2, &["line 2", "unknown field `pictures`"]);

    fs::rename(folder.path().join("test/hook"), folder.path().join("test/hooks")).unwrap();
    fails(&compare(folder.path(), STUDY, &[]), 1, &["class `hook` is missing"]);
    let missing = Command::new(env!("CARGO_BIN_EXE_equi")).args(["compare", "none.toml"]).output().unwrap();
    fails(&missing, 2, &["none.toml cannot be read"]);
}
