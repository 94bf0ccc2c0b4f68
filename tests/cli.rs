//! The command as its users meet it: bad input, interruptions, and what is left on disk.
#![cfg(feature = "flex")]

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::Value;

fn equi(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_equi"));
    command.args(arguments).current_dir(env!("CARGO_MANIFEST_DIR")).env_remove("BURN_DEVICE");
    command
}

/// Cells of a few steps each, three for every arm: enough to be caught in the middle. Of systems, two arms share a network.
fn smoke_of(task: &str, out: &Path) -> Command {
    let mut command = equi(&["compare", task, "--preset", "smoke", "--device", "flex"]);
    command.args(["--sizes", "50,100,200", "--out"]).arg(out);
    command
}

fn smoke(out: &Path) -> Command {
    let mut command = smoke_of("mnist-rot", out);
    // Eight passes for every test image take longer than the training; systems, which are smaller, have all arms.
    command.args(["--arms", "plain,augmented,equivariant"]);
    command
}

fn run(mut command: Command) -> Output {
    command.output().expect("the command starts")
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[track_caller]
fn fails(output: &Output, code: i32, words: &[&str]) {
    let message = stderr(output);
    assert_eq!(output.status.code(), Some(code), "{}: {message}", output.status);
    for word in words {
        assert!(message.contains(word), "no `{word}` in: {message}");
    }
}

/// `results.json` without what a clock or the memory of the machine decides, and the verdict, which may quote it.
fn results(out: &Path) -> Value {
    let text = fs::read_to_string(out.join("results.json")).expect("results.json is there");
    let mut value: Value = serde_json::from_str(&text).expect("results.json is JSON");
    for cell in value["cells"].as_array_mut().expect("cells") {
        for measured in ["train_seconds", "samples_per_second", "peak_rss_mib"] {
            assert!(cell.as_object_mut().expect("a cell").remove(measured).is_some(), "no {measured}");
        }
    }
    for arm in value["tuning"]["arms"].as_array_mut().into_iter().flatten() {
        for trial in arm["trials"].as_array_mut().expect("trials") {
            assert!(trial.as_object_mut().expect("a trial").remove("train_seconds").is_some());
        }
    }
    value.as_object_mut().expect("an object").remove("verdict");
    value
}

/// Waits until `condition` holds or the child is done, which it must be without an error. Gives whether the child is
/// still at work.
#[track_caller]
fn wait(child: &mut Child, condition: impl Fn() -> bool) -> bool {
    let begin = Instant::now();
    loop {
        if let Some(status) = child.try_wait().expect("the child can be asked") {
            let mut message = String::new();
            child.stderr.take().expect("it is piped").read_to_string(&mut message).expect("it is text");
            assert!(status.success(), "{status}: {message}");
            return false;
        }
        if condition() {
            return true;
        }
        assert!(begin.elapsed() < Duration::from_secs(120), "nothing happens");
        sleep(Duration::from_millis(2));
    }
}

fn cells(out: &Path) -> usize {
    let Ok(entries) = fs::read_dir(out.join("cells")) else {
        return 0;
    };
    entries.flatten().filter(|entry| entry.path().extension().is_some_and(|extension| extension == "json")).count()
}

fn start(mut command: Command) -> Child {
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the command starts")
}

fn folder() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let out = folder.path().join("out");
    (folder, out)
}

#[test]
fn unknown_names_list_the_known_ones() {
    fails(&run(equi(&["compare", "mnist"])), 2, &["mnist-rot"]);
    fails(&run(equi(&["compare", "mnist-rot", "--preset", "huge"])), 2, &["`huge`", "quick", "paper"]);
    fails(&run(equi(&["compare", "mnist-rot", "--arms", "plain,magic"])), 2, &["`magic`", "augmented"]);
    fails(&run(equi(&["compare", "mnist-rot", "--match", "size"])), 2, &["flops, params, time"]);
    fails(&run(equi(&["compare", "mnist-rot", "--device", "tpu"])), 2, &["`tpu`", "flex"]);
    fails(&run(equi(&["compare", "mnist-rot", "--sizes", "50,999999"])), 2, &["999999", "12000"]);
    fails(&run(equi(&["compare", "mnist-rot", "--sizes", "many"])), 2, &["many"]);
    fails(&run(equi(&["compare", "mnist-rot", "--jobs", "0"])), 2, &["--jobs", "1..=256"]);
    fails(&run(equi(&["compare", "mnist-rot", "--tune", "5000"])), 2, &["--tune", "0 to 1000"]);
    fails(&run(equi(&["compare", "mnist-rot", "--seeds", "5000"])), 2, &["--seeds", "1 to 1000"]);
    fails(&run(equi(&["compare", "mnist-rot", "--group", "C128"])), 2, &["C128", "at most 64"]);
    fails(&run(equi(&["compare", "mnist-rot", "--learning-rate", "-1"])), 2, &["--learning-rate", "positive"]);
    fails(&run(equi(&["data", "imagenet"])), 2, &["mnist"]);
    fails(&run(equi(&["compare", "nbody", "--arms", "magic"])), 2, &["`magic`", "canonical", "linear"]);
    fails(
        &run(equi(&["compare", "mnist-rot", "--arms", "linear"])),
        2,
        &["mnist-rot has no arm `linear`", "augmented"],
    );
    fails(
        &run(equi(&["compare", "nbody", "--model", "cnn"])),
        2,
        &["`cnn`", "egnn, radial-field, se3-transformer, tensor-field"],
    );
    fails(&run(equi(&["compare", "mnist-rot", "--model", "egnn"])), 2, &["--model", "leave the option out"]);
    fails(&run(equi(&["compare", "nbody", "--group", "C8"])), 2, &["--group", "leave the option out"]);
    fails(&run(equi(&["compare", "nbody", "--flips", "0.5"])), 2, &["--flips", "leave the option out"]);
    fails(&run(equi(&["compare", "nbody", "--sizes", "0"])), 2, &["--sizes", "1 to 100000"]);
    let (_folder, out) = folder();
    let mut with_data = smoke_of("nbody", &out);
    with_data.args(["--data", "data"]);
    fails(&run(with_data), 2, &["--data", "simulated", "leave the option out"]);
    assert!(!out.exists());
    let mut by_variable = equi(&["compare", "mnist-rot"]);
    by_variable.env("BURN_DEVICE", "tpu");
    fails(&run(by_variable), 2, &["`tpu`", "BURN_DEVICE"]);
}

#[cfg(not(feature = "cuda"))]
#[test]
fn a_device_outside_this_build_names_its_feature() {
    fails(&run(equi(&["compare", "mnist-rot", "--device", "cuda"])), 2, &["--features cuda"]);
}

#[test]
fn the_data_set_is_verified() {
    let output = run(equi(&["data", "mnist"]));
    assert!(output.status.success(), "{}", stderr(&output));
    let (empty, _) = folder();
    let mut command = equi(&["data", "mnist", "--data"]);
    command.arg(empty.path());
    fails(&run(command), 1, &["not the real ones"]);
}

#[test]
fn missing_data_touches_nothing() {
    let (empty, out) = folder();
    let mut command = smoke(&out);
    command.arg("--data").arg(empty.path());
    fails(&run(command), 1, &["train-images", "missing"]);
    assert!(!out.exists());
}

#[test]
fn a_folder_that_cannot_be_written_is_named() {
    let (folder, _) = folder();
    let file = folder.path().join("file");
    fs::write(&file, "mine").unwrap();
    fails(&run(smoke(&file)), 1, &["is not a folder", "--out"]);
    fails(&run(smoke(&file.join("below"))), 1, &["--out"]);
    assert_eq!(fs::read_to_string(&file).unwrap(), "mine");
}

#[test]
fn a_folder_with_other_files_is_left_alone() {
    let (folder, _) = folder();
    fs::write(folder.path().join("thesis.tex"), "mine").unwrap();
    fails(&run(smoke(folder.path())), 1, &["thesis.tex", "--out"]);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn killed_at_any_moment_and_resumed_gives_the_results_of_an_undisturbed_run() {
    survives_kills(smoke);
}

#[test]
fn points_killed_at_any_moment_and_resumed_give_the_results_of_an_undisturbed_run() {
    survives_kills(|out| smoke_of("nbody", out));
}

/// Trials first, then cells, by two processes: what one alone does undisturbed.
#[test]
fn two_tuning_processes_killed_twenty_times_and_resumed_give_the_results_of_one_undisturbed() {
    let tuned = |out: &Path| {
        let mut command = equi(&["compare", "mnist-rot", "--preset", "smoke", "--device", "flex", "--sizes", "50,100"]);
        command.args(["--arms", "plain,equivariant", "--tune", "2", "--out"]).arg(out);
        command
    };
    let (_undisturbed, whole) = folder();
    let begin = Instant::now();
    let output = run(tuned(&whole));
    let whole_time = begin.elapsed();
    assert!(output.status.success(), "{}", stderr(&output));
    let found = results(&whole);
    let arms = found["tuning"]["arms"].as_array().expect("what was tuned");
    assert!(arms.len() == 2 && arms.iter().all(|arm| arm["trials"].as_array().unwrap().len() == 2));
    assert!(whole.join("tuning.json").exists() && whole.join("tuning/plain-trial1.json").exists());
    assert!(stderr(&output).contains("equivariant-trial1: validation"), "{}", stderr(&output));

    let (_killed, out) = folder();
    let two = |out: &Path| {
        let mut command = tuned(out);
        command.args(["--jobs", "2", "--resume"]);
        command
    };
    for kill in 0..20_u32 {
        let mut child = start(two(&out));
        // Moments all over a run, in no order.
        sleep(whole_time * (7 * kill % 20) / 40 + Duration::from_millis(30));
        child.kill().unwrap();
        child.wait().unwrap();
    }
    // The process that helped the last one may need a moment to notice.
    let output = run(two(&out));
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(results(&out), found);
}

#[test]
fn networks_are_matched_by_the_clock_and_the_width_is_kept() {
    let (_folder, out) = folder();
    let timed = || {
        let mut command = equi(&["compare", "nbody", "--preset", "smoke", "--device", "flex", "--match", "time"]);
        command.args(["--arms", "plain,equivariant", "--out"]).arg(&out);
        command
    };
    let mut child = start(timed());
    assert!(wait(&mut child, || out.join("plan.json").exists()), "over before it began");
    child.kill().unwrap();
    child.wait().unwrap();
    let width = |file: &str| {
        let plan: Value = serde_json::from_str(&fs::read_to_string(out.join(file)).unwrap()).unwrap();
        plan["plain_width"].as_u64().expect("a width")
    };
    let measured = width("plan.json");
    // A clock would not measure the same again.
    let mut resumed = timed();
    resumed.arg("--resume");
    let output = run(resumed);
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(width("plan.json"), measured);
    let found = results(&out);
    assert_eq!(found["matched_by"], "time");
    let model = found["arms"][0]["model"].as_str().expect("a model");
    assert!(model.contains(&format!("{measured} features")), "{model}");
}

fn survives_kills(smoke: impl Fn(&Path) -> Command) {
    let (_undisturbed, whole) = folder();
    let begin = Instant::now();
    let output = run(smoke(&whole));
    assert!(output.status.success(), "{}", stderr(&output));
    let half_a_cell = begin.elapsed() / (2 * cells(&whole) as u32);
    let files = |out: &Path| {
        let mut names: Vec<_> = fs::read_dir(out).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    };
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(printed.contains("augmented") && printed.contains("results.json"), "{printed}");

    let (_killed, out) = folder();
    let mut kills = 0;
    // As soon as there is a plan, then between two cells and within one, by turns.
    for delay in [Duration::ZERO, Duration::ZERO, half_a_cell, Duration::ZERO, half_a_cell] {
        let seen = cells(&out);
        let mut command = smoke(&out);
        command.arg("--resume");
        let mut child = start(command);
        if !wait(&mut child, || if kills == 0 { out.join("plan.json").exists() } else { cells(&out) > seen }) {
            break;
        }
        sleep(delay);
        child.kill().unwrap();
        if !child.wait().unwrap().success() {
            kills += 1;
        }
    }
    assert!(kills > 0, "all was over as soon as there was a plan");
    let mut resumed = smoke(&out);
    resumed.arg("--resume");
    let output = run(resumed);
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(results(&out), results(&whole));
    assert_eq!(files(&out), files(&whole));

    // Its report can be drawn again from its results.
    let page = fs::read(out.join("report.html")).unwrap();
    fs::remove_file(out.join("report.html")).unwrap();
    let drawn = run(equi(&["report", out.join("results.json").to_str().unwrap()]));
    assert!(drawn.status.success(), "{}", stderr(&drawn));
    assert_eq!(fs::read(out.join("report.html")).unwrap(), page);
    assert!(fs::read_to_string(out.join("learning-curves.svg")).unwrap().contains("augmented</text>"));
    fails(&run(equi(&["report", out.join("none.json").to_str().unwrap()])), 1, &["none.json"]);

    // A finished run is shown, not run again and not overwritten; another one is refused.
    let before = fs::read(out.join("results.json")).unwrap();
    let again = run(smoke(&out));
    assert!(again.status.success());
    assert!(String::from_utf8_lossy(&again.stdout).contains("finished before"));
    let mut other = smoke(&out);
    other.args(["--match", "params"]);
    fails(&run(other), 1, &["holds another comparison", "matched_by", "--out"]);
    assert_eq!(fs::read(out.join("results.json")).unwrap(), before);
}

#[cfg(unix)]
#[test]
fn ctrl_c_exits_with_130_and_says_how_to_go_on() {
    // Long enough that the signal comes before the end, on a busy machine, too.
    let long = |out: &Path| {
        let mut command = smoke(out);
        command.args(["--seeds", "3"]);
        command
    };
    let (_undisturbed, whole) = folder();
    assert!(run(long(&whole)).status.success());

    let (_interrupted, out) = folder();
    let mut child = start(long(&out));
    assert!(wait(&mut child, || cells(&out) > 0), "all cells were over with the first");
    let signal = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(signal.success());
    fails(&child.wait_with_output().unwrap(), 130, &["stopping after this step", "interrupted", "--resume"]);

    fails(&run(long(&out)), 1, &["unfinished", "--resume"]);
    let mut resumed = long(&out);
    resumed.arg("--resume");
    assert!(run(resumed).status.success());
    assert_eq!(results(&out), results(&whole));
}

#[test]
fn two_processes_cannot_share_a_folder() {
    let (_folder, out) = folder();
    let mut first = start(smoke(&out));
    assert!(wait(&mut first, || cells(&out) > 0), "all cells were over with the first");
    fails(&run(smoke(&out)), 1, &["another process", "--out"]);
    let mut second = smoke(&out);
    second.arg("--resume");
    fails(&run(second), 1, &["another process", "--out"]);
    first.kill().unwrap();
    first.wait().unwrap();
}

/// One cell, over in a moment.
#[cfg(unix)]
fn tiny(out: &Path) -> Vec<String> {
    let out = out.to_str().expect("a temporary folder has a plain name");
    let words =
        ["compare", "mnist-rot", "--preset", "smoke", "--device", "flex", "--sizes", "20", "--arms", "plain", "--out"];
    words.into_iter().chain([out]).map(str::to_string).collect()
}

/// Runs the command from a shell script, which calls it `"$0" "$@"`.
#[cfg(unix)]
fn from_a_shell(script: &str, arguments: &[String]) -> Output {
    let mut shell = Command::new("sh");
    shell.args(["-c", script, env!("CARGO_BIN_EXE_equi")]).args(arguments);
    shell.current_dir(env!("CARGO_MANIFEST_DIR")).env_remove("BURN_DEVICE");
    run(shell)
}

/// `nohup` ignores SIGHUP for it, and nothing else.
#[cfg(unix)]
#[test]
fn under_nohup_it_stops_when_it_is_asked_to() {
    let (_folder, out) = folder();
    let mut long = smoke(&out);
    long.args(["--seeds", "3"]);
    let mut shell = Command::new("sh");
    shell.args(["-c", "trap '' HUP; exec \"$0\" \"$@\""]).arg(long.get_program()).args(long.get_args());
    shell.current_dir(env!("CARGO_MANIFEST_DIR")).env_remove("BURN_DEVICE");
    let mut child = start(shell);
    assert!(wait(&mut child, || cells(&out) > 0), "all cells were over with the first");
    let id = child.id().to_string();
    let signal = |name: &str| assert!(Command::new("kill").args([name, &id]).status().unwrap().success());
    signal("-HUP");
    let seen = cells(&out);
    assert!(wait(&mut child, || cells(&out) > seen + 1), "SIGHUP stopped it");
    signal("-TERM");
    fails(&child.wait_with_output().unwrap(), 130, &["stopping after this step", "interrupted", "--resume"]);
}

/// First seen under `nohup` and in the background of a script, where the shell ignores these signals for its children.
#[cfg(unix)]
#[test]
fn ignored_signals_do_not_keep_it_from_starting() {
    let (_folder, out) = folder();
    let output = from_a_shell("trap '' INT HUP; exec \"$0\" \"$@\"", &tiny(&out));
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(out.join("results.json").exists());
}

#[cfg(unix)]
#[test]
fn a_reader_that_leaves_is_no_failure() {
    let (_folder, out) = folder();
    let output = from_a_shell("{ \"$0\" \"$@\"; echo \"code $?\" >&2; } | true", &tiny(&out));
    let message = stderr(&output);
    assert!(message.contains("code 0") && !message.contains("panicked"), "{message}");
    let output = from_a_shell("{ \"$0\" data mnist; echo \"code $?\" >&2; } | true", &[]);
    assert!(stderr(&output).contains("code 0"), "{}", stderr(&output));
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_standard_output_is_a_failure_and_a_full_standard_error_none() {
    let (_folder, out) = folder();
    let output = from_a_shell("exec \"$0\" \"$@\" > /dev/full", &tiny(&out));
    fails(&output, 1, &["cannot write to standard output"]);
    assert!(out.join("results.json").exists() && !stderr(&output).contains("panicked"));
    let (_other, out) = folder();
    let output = from_a_shell("exec \"$0\" \"$@\" 2> /dev/full", &tiny(&out));
    assert!(output.status.success(), "{}", stderr(&output));
}

/// What `equi check nbody` says.
fn checked(options: &[&str]) -> String {
    let mut command = equi(&["check", "nbody", "--device", "flex", "--samples", "4"]);
    command.args(options);
    let output = run(command);
    assert!(output.status.success(), "{}", stderr(&output));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The numbers of the line that begins with these words.
#[track_caller]
fn numbers(text: &str, line: &str) -> Vec<f64> {
    let found =
        text.lines().find_map(|text| text.strip_prefix(line)).unwrap_or_else(|| panic!("no `{line}` in: {text}"));
    found.split_whitespace().filter_map(|word| word.parse().ok()).collect()
}

#[test]
fn networks_on_points_are_checked_layer_by_layer() {
    for (model, layer) in [
        ("egnn", "layer 4"),
        ("radial-field", "layer 4"),
        ("se3-transformer", "attention 2"),
        ("tensor-field", "convolution 3"),
    ] {
        let text = checked(&["--model", model]);
        assert!(text.starts_with("equivariant: ") && text.contains("before training, seed 0"), "{text}");
        assert!(text.contains("4 test systems") && !text.contains("resampling"), "{text}");
        // Rounding in f32: of a difference quotient for small turns.
        assert!(numbers(&text, "moved and permuted, |f(g x) - g f(x)| / |f(x)|")[0] < 1e-5, "{text}");
        assert!(numbers(&text, "small turns, per radian (Lie derivative)")[0] < 1e-3, "{text}");
        let errors = numbers(&text, layer);
        assert!(errors.len() == 5 && errors.iter().all(|&error| error < 1e-3), "{text}");
    }
    // Weights of a study, where the plain network reads raw coordinates.
    let (_folder, out) = folder();
    let mut command = equi(&["compare", "nbody", "--preset", "smoke", "--device", "flex", "--arms", "plain,canonical"]);
    command.args(["--keep-weights", "--out"]).arg(&out);
    let output = run(command);
    assert!(output.status.success(), "{}", stderr(&output));
    let weights = out.join("weights/plain-n20-s0.bpk").to_str().expect("a path in UTF-8").to_owned();
    let text = checked(&["--arm", "plain", "--weights", &weights]);
    assert!(text.contains("plain-n20-s0.bpk"), "{text}");
    assert!(numbers(&text, "small turns, per radian (Lie derivative)")[0] > 1e-3, "{text}");
    let [embedding, first] = ["embedding", "layer 1"].map(|layer| numbers(&text, layer));
    assert!(embedding[..3].iter().all(|&error| error > 1e-2) && embedding[3] < 1e-5, "{text}");
    assert!(first[..4].iter().all(|&error| error < 1e-4) && first[4] > 1e-2, "{text}");
    for cell in results(&out)["cells"].as_array().expect("cells") {
        let small_turns = cell["equivariance_error"]["small_turns"].as_f64().expect("an error");
        let layers = cell["layers"].as_array();
        if cell["arm"] == "plain" {
            assert_eq!(layers.expect("layers")[0]["layer"], "embedding");
            assert!(small_turns > 1e-3, "{cell}");
        } else {
            assert!(layers.is_none() && small_turns < 1e-3, "{cell}");
        }
    }
    let page = fs::read_to_string(out.join("report.html")).expect("a report");
    assert!(page.contains("Layer by layer") && !page.contains("resampled,<br>alone"), "a page of points");

    let check = |options: &[&str]| {
        let mut command = equi(&["check", "nbody", "--device", "flex"]);
        command.args(options);
        run(command)
    };
    fails(&check(&["--arm", "linear"]), 2, &["--arm: linear has no layers"]);
    fails(&check(&["--model", "cnn"]), 2, &["`cnn`", "egnn, radial-field"]);
    fails(&check(&["--model", "tensor-field", "--weights", &weights]), 2, &["--weights", "not usable"]);
    fails(&check(&["--group", "C8"]), 2, &["--group", "leave the option out"]);
    fails(&check(&["--samples", "0"]), 2, &["--samples"]);
}

#[cfg(unix)]
#[test]
fn diverged_networks_are_reported_and_the_exit_code_tells() {
    let (_folder, out) = folder();
    let arguments = tiny(&out);
    let mut arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    arguments.extend(["--learning-rate", "1e30"]);
    for _ in ["fresh", "finished before"] {
        let output = run(equi(&arguments));
        fails(&output, 3, &["1 of 1 networks diverged", "lower --learning-rate"]);
        assert!(String::from_utf8_lossy(&output.stdout).contains("results.json"));
    }
    assert!(out.join("report.html").exists());
    let mut other = arguments.clone();
    other.truncate(arguments.len() - 2);
    fails(&run(equi(&other)), 1, &["holds another comparison", "recipe"]);
}
