//! Tells the command which commit it was built from.

use std::process::Command;

fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_string())
}

/// What decides the numbers that the command prints.
const SOURCES: [&str; 4] = ["src", "crates", "Cargo.toml", "Cargo.lock"];

/// Whether the sources differ from the commit.
fn is_modified() -> bool {
    let status = ["--no-optional-locks", "status", "--porcelain", "--untracked-files=no", "--"];
    git(&[&status[..], &SOURCES[..]].concat()).is_some_and(|changes| !changes.is_empty())
}

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    // The log of HEAD grows with every commit and checkout. Outside a clone there is neither log nor commit.
    if let Some(log) = git(&["rev-parse", "--git-path", "logs/HEAD"]) {
        println!("cargo::rerun-if-changed={log}");
    }
    for source in SOURCES {
        println!("cargo::rerun-if-changed={source}");
    }
    let version = env!("CARGO_PKG_VERSION");
    let version = match git(&["rev-parse", "--short=12", "HEAD"]) {
        Some(commit) if is_modified() => format!("{version} ({commit}-modified)"),
        Some(commit) => format!("{version} ({commit})"),
        None => version.to_string(),
    };
    println!("cargo::rustc-env=EQUI_VERSION={version}");
}
