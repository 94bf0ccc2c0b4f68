//! `equi check`.

use std::path::PathBuf;

use clap::Args;
use equi_train::compare::{self, CheckRequest, Request};

use super::{Failure, Outcome, print};

/// Measure how equivariant a network of a comparison is, layer by layer.
///
/// Networks are those that `equi compare` trains: with the weights they begin with, or with those that a comparison kept.
#[derive(Debug, Args)]
pub struct Check {
    /// Whose network: mnist-rot, nbody, or a TOML file that describes images of your own
    task: String,
    /// Whose of its arms [default: equivariant]
    #[arg(long)]
    arm: Option<String>,
    /// Trained weights, a file that `equi compare --keep-weights` left [default: those that training begins with]
    #[arg(long)]
    weights: Option<PathBuf>,
    /// Network of the equivariant arm, where the task has several: egnn, radial-field, se3-transformer or tensor-field
    /// [default: the first]
    #[arg(long)]
    model: Option<String>,
    /// Symmetry of the network, such as C4, C8, C16 or D8 [default: the task's]
    #[arg(long)]
    group: Option<String>,
    /// Test samples that it is measured on
    #[arg(long, default_value_t = 16)]
    samples: usize,
    /// auto, flex, wgpu, vulkan, metal, webgpu, cuda, rocm or ndarray
    #[arg(long, default_value = "auto")]
    device: String,
    /// Folder of the data set [default: where the task keeps it]
    #[arg(long)]
    data: Option<PathBuf>,
}

impl Check {
    pub fn run(self) -> Outcome {
        let of = Request {
            task: self.task,
            group: self.group,
            model: self.model,
            device: Some(self.device),
            data: self.data,
            ..Request::default()
        };
        let request = CheckRequest { of, arm: self.arm, weights: self.weights, samples: self.samples };
        let checked = compare::check(&request).map_err(Failure::from)?;
        print(&checked.to_string())
    }
}
