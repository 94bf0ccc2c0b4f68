//! The `equi` command: parses, calls, prints. What it does is in `equi-train`.

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::run()
}
