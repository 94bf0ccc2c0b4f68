//! The command line.

mod check;
mod compare;
mod convert;
mod data;
mod report;

use std::io::{self, ErrorKind, Write};
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
    Check(check::Check),
    Compare(Box<compare::Compare>),
    Convert(convert::Convert),
    Data(data::Data),
    Report(report::Report),
}

/// What a subcommand gives: the exit code of a failure has been decided where it is understood.
type Outcome = Result<(), Failure>;

/// A message for standard error, and an exit code.
#[derive(Debug)]
struct Failure {
    message: String,
    code: u8,
}

/// Writes to standard output. Whoever reads it may stop early, as `head` does; all else that fails is a failure.
fn print(text: &str) -> Outcome {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Failure { message: format!("cannot write to standard output: {error}"), code: 1 })
        }
        _ => Ok(()),
    }
}

/// Parses the command line and does what it says.
pub fn run() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Check(check) => check.run(),
        Command::Compare(compare) => compare.run(),
        Command::Convert(convert) => convert.run(),
        Command::Data(data) => data.run(),
        Command::Report(report) => report.run(),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure { message, code }) => {
            // With standard error closed, the exit code still tells.
            let _ = writeln!(io::stderr(), "equi: {message}");
            ExitCode::from(code)
        }
    }
}
