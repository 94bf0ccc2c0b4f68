//! The command line.

mod compare;
mod data;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Equivariant deep learning: compare it with data augmentation, on your own machine.
#[derive(Debug, Parser)]
#[command(name = "equi", version = env!("EQUI_VERSION"), arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Compare(compare::Compare),
    Data(data::Data),
}

/// What a subcommand gives: the exit code of a failure has been decided where it is understood.
type Outcome = Result<(), Failure>;

/// A message for standard error, and an exit code.
#[derive(Debug)]
struct Failure {
    message: String,
    code: u8,
}

/// Parses the command line and does what it says.
pub fn run() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Compare(compare) => compare.run(),
        Command::Data(data) => data.run(),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure { message, code }) => {
            eprintln!("equi: {message}");
            ExitCode::from(code)
        }
    }
}
