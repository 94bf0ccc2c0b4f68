//! The `equi` command: parses, calls, prints. What it does is in `equi-train`.

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    equi_core::ops::retain_memory();
    cli::run()
}
