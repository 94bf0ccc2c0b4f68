//! `equi convert` as its users meet it: what it prints, writes, refuses, and leaves alone.
#![cfg(feature = "flex")]

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use burn::tensor::{DType, Device};
use equi::layers::graph::{Egnn, Normalization};
use equi::layers::import::{EgnnCheckpoint, EgnnOptions, Qm9Egnn, inspect};
use tempfile::TempDir;

const VELOCITY: &str = "tests/golden/egnn/vel_norm_tanh.state.pt";
const CLEAN: &str = "tests/golden/egnn/clean_default_init_f32.state.safetensors";

fn convert(checkpoint: &str, out: &Path, options: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_equi"));
    command.current_dir(env!("CARGO_MANIFEST_DIR")).env_remove("BURN_DEVICE");
    command.args(["convert", checkpoint, "--from", "egnn", "--out"]).arg(out).args(options);
    command.output().expect("the command starts")
}

/// What a conversion says that has to succeed.
#[track_caller]
fn converts(checkpoint: &str, out: &Path, options: &[&str]) -> String {
    let output = convert(checkpoint, out, options);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("it is text")
}

/// A conversion has to fail with a code and a message.
#[track_caller]
fn fails(output: &Output, code: i32, words: &[&str]) {
    let message = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{message}");
    assert!(output.stdout.is_empty(), "a failure prints nothing on standard output");
    for word in words {
        assert!(message.contains(word), "no `{word}` in: {message}");
    }
}

/// Names of everything in a folder, hidden files too.
fn names(folder: &TempDir) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(folder.path())
        .expect("the folder is there")
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder")
}

#[test]
fn a_converted_model_has_the_weights_and_options_of_the_checkpoint() {
    let folder = folder();
    let out = folder.path().join("model.safetensors");
    let said = converts(VELOCITY, &out, &["--residual", "yes", "--normalize", "--tanh"]);
    for words in [
        "EGNN_vel of n_body_system/model.py (3 layers, width 8, 3 node features, 2 edge features)",
        "parameters",
        "residual: true",
        "normalization: Shifted",
        "float64",
        "Egnn::load(",
    ] {
        assert!(said.contains(words), "no `{words}` in: {said}");
    }
    assert_eq!(names(&folder), ["model.safetensors"]);
    let egnn = Egnn::load(&out, &Device::flex()).expect("it loads");
    assert_eq!(egnn.embedding.weight.val().dtype(), DType::F64);
    let config = egnn.config();
    assert!(config.residual && config.tanh && config.velocity && config.normalization == Normalization::Shifted);
    let checkpoint = EgnnCheckpoint::open(VELOCITY).expect("it opens");
    assert_eq!(&checkpoint.architecture().state_dict(&egnn), checkpoint.state_dict());
}

#[test]
fn both_formats_become_the_same_file() {
    let folder = folder();
    let [a, b] = ["a", "b"].map(|name| folder.path().join(name));
    converts(CLEAN, &a, &[]);
    converts(&CLEAN.replace(".safetensors", ".pt"), &b, &[]);
    assert_eq!(fs::read(&a).expect("a file"), fs::read(&b).expect("a file"));
    assert!(inspect(&a).expect("one of ours").config.residual, "the reference's default");
}

#[test]
fn molecules_have_a_model_of_their_own() {
    let folder = folder();
    let out = folder.path().join("qm9.safetensors");
    let said = converts("tests/golden/egnn_import/qm9_attention.state.pt", &out, &[]);
    assert!(said.contains("Qm9Egnn::load(") && said.contains("attention"), "{said}");
    let model = Qm9Egnn::load(&out, &Device::flex()).expect("it loads");
    let checkpoint = EgnnCheckpoint::open("tests/golden/egnn_import/qm9_attention.state.pt").expect("it opens");
    assert_eq!(&checkpoint.architecture().qm9_state_dict(&model), checkpoint.state_dict());
}

#[test]
fn no_file_is_replaced_unless_forced() {
    let folder = folder();
    let out = folder.path().join("model.safetensors");
    fs::write(&out, "precious").expect("it is written");
    fails(&convert(CLEAN, &out, &[]), 1, &["is there already", "--force"]);
    assert_eq!(fs::read_to_string(&out).expect("a file"), "precious");
    // Nor when what would replace it is no EGNN.
    fails(&convert("tests/golden/egnn_import/mlp.pt", &out, &["--force"]), 1, &["4 differences"]);
    assert_eq!(fs::read_to_string(&out).expect("a file"), "precious");
    converts(CLEAN, &out, &["--force"]);
    assert!(inspect(&out).is_ok());
    assert_eq!(names(&folder), ["model.safetensors"]);
    // What was converted is not converted again.
    let again = folder.path().join("again.safetensors");
    fails(&convert(out.to_str().expect("text"), &again, &[]), 1, &["is a model of this library already", "Egnn::load"]);
}

#[test]
fn failures_say_what_to_do_and_leave_nothing_behind() {
    let folder = folder();
    let out = folder.path().join("model.safetensors");
    let cases: [(&str, &[&str], i32, &[&str]); 9] = [
        (VELOCITY, &[], 2, &["recurrent=True", "--residual yes"]),
        ("tests/golden/egnn_import/positions.state.pt", &[], 2, &["LeakyReLU(0.2)", "--silu"]),
        ("tests/golden/egnn_import/gnn.pt", &[], 1, &["missing    embedding.weight", "GNN of n_body_system/model.py"]),
        ("tests/golden/egnn_import/mlp.pt", &[], 1, &["unknown    0.weight [5, 3] F32", "unknown    2.bias [2] F32"]),
        ("no/such/file.pt", &[], 1, &["cannot read no/such/file.pt"]),
        ("tests/golden", &[], 1, &["it is a folder"]),
        ("Cargo.toml", &[], 1, &["holds no state dict"]),
        (CLEAN, &["--part", "encoder"], 1, &["begins with `encoder.`", "`gcl_0`"]),
        ("tests/golden/egnn_import/data_parallel.pt", &["--container", "ema"], 1, &["no `ema`", "`state_dict`"]),
    ];
    for (checkpoint, options, code, words) in cases {
        fails(&convert(checkpoint, &out, options), code, words);
    }
    let nowhere = folder.path().join("missing/model.safetensors");
    fails(&convert(CLEAN, &nowhere, &[]), 1, &["cannot write"]);
    assert!(names(&folder).is_empty());
    let mut unknown = Command::new(env!("CARGO_BIN_EXE_equi"));
    unknown.args(["convert", CLEAN, "--from", "keras", "--out", "x"]);
    fails(&unknown.output().expect("the command starts"), 2, &["keras", "egnn"]);
}

#[test]
fn a_training_checkpoint_is_unwrapped() {
    let folder = folder();
    let [found, named] = ["found", "named"].map(|name| folder.path().join(name));
    let checkpoint = "tests/golden/egnn_import/data_parallel.pt";
    converts(checkpoint, &found, &["--residual", "yes"]);
    converts(checkpoint, &named, &["--residual", "yes", "--container", "state_dict", "--part", "module"]);
    assert_eq!(fs::read(&found).expect("a file"), fs::read(&named).expect("a file"));
    let dict = EgnnCheckpoint::open(checkpoint).expect("it opens");
    let config = dict.config(&EgnnOptions::new().with_residual(true)).expect("all is stated");
    assert_eq!(inspect(&found).expect("one of ours").config, config);
}
