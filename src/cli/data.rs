//! `equi data`.

use std::path::{Path, PathBuf};

use clap::Args;
use equi_train::data::mnist;

use super::{Failure, Outcome, print};

/// Verify a data set byte by byte, and say where it comes from.
#[derive(Debug, Args)]
pub struct Data {
    /// Name of the data set: mnist
    name: String,
    /// Folder that holds it [default: data/NAME]
    #[arg(long)]
    data: Option<PathBuf>,
}

impl Data {
    pub fn run(self) -> Outcome {
        if self.name != "mnist" {
            let message = format!("there is no data set `{}`; known: mnist", self.name);
            return Err(Failure { message, code: 2 });
        }
        let description = mnist::describe(self.data.as_deref().unwrap_or(Path::new(mnist::FOLDER)));
        print(&description.to_string())?;
        if description.verified() {
            return Ok(());
        }
        let message =
            format!("the files in {} are not the real ones; see above for the cure", description.folder.display());
        Err(Failure { message, code: 1 })
    }
}
