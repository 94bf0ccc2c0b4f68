//! `equi convert`.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use burn::tensor::{DType, Device};
use clap::{Args, ValueEnum};
use equi_layers::import::{EgnnCheckpoint, EgnnOptions, ImportError, StateDict, Variant};

use super::{Failure, Outcome, print};

/// Convert trained PyTorch weights to a model of this library.
#[derive(Debug, Args)]
pub struct Convert {
    /// The state dict: a .pt or .safetensors file
    checkpoint: PathBuf,
    /// The library that it comes from
    #[arg(long)]
    from: Library,
    /// The file to write, such as model.safetensors
    #[arg(long)]
    out: PathBuf,
    /// Replace the file if it is there
    #[arg(long)]
    force: bool,
    /// Key of the outermost dictionary that holds the state dict [default: itself, or state_dict, model_state_dict, model, net]
    #[arg(long, value_name = "KEY")]
    container: Option<String>,
    /// Part of the state dict that is the model, such as encoder for encoder.gcl_0...
    #[arg(long, value_name = "PREFIX")]
    part: Option<String>,
    /// `residual` or `recurrent` of the model; must be stated for EGNN_vel [default elsewhere: yes]
    #[arg(long, value_name = "YES|NO")]
    residual: Option<Answer>,
    /// The model had `normalize=True` or `norm_diff=True`
    #[arg(long)]
    normalize: bool,
    /// The model had `tanh=True`
    #[arg(long)]
    tanh: bool,
    /// Its layers had `coords_agg='sum'`
    #[arg(long)]
    sum_coordinates: bool,
    /// The model had `act_fn=nn.SiLU()`; must be stated for EGNN of n_body_system, whose default is another
    #[arg(long)]
    silu: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Library {
    /// github.com/vgsatorras/egnn
    Egnn,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Answer {
    Yes,
    No,
}

impl Convert {
    pub fn run(self) -> Outcome {
        match self.from {
            Library::Egnn => self.egnn(),
        }
    }

    fn egnn(&self) -> Outcome {
        let failed = |error: ImportError| {
            let code = if matches!(error, ImportError::Unstated(_)) { 2 } else { 1 };
            Failure { message: error.to_string(), code }
        };
        if !self.force && self.out.symlink_metadata().is_ok() {
            let message =
                format!("{} is there already: choose another --out, or --force to replace it", self.out.display());
            return Err(Failure { message, code: 1 });
        }
        let checkpoint = self.checkpoint().map_err(failed)?;
        let config = checkpoint.config(&self.options()).map_err(failed)?;
        let architecture = checkpoint.architecture();
        let options = (&Device::default(), checkpoint.dtype());
        let model = if architecture.variant == Variant::Qm9 {
            let model = checkpoint.to_qm9(&config, options).map_err(failed)?;
            if self.force { model.save(&self.out) } else { model.save_new(&self.out) }.map_err(failed)?;
            "Qm9Egnn"
        } else {
            let model = checkpoint.to_egnn(&config, options).map_err(failed)?;
            if self.force { model.save(&self.out) } else { model.save_new(&self.out) }.map_err(failed)?;
            "Egnn"
        };
        let precision = if checkpoint.dtype() == DType::F64 { "float64" } else { "float32" };
        let mut text = format!("found    {architecture}, {} parameters\n", architecture.parameters());
        let _ = writeln!(text, "config   {config:#?}");
        let _ = writeln!(text, "written  {} ({precision})", self.out.display());
        text.push_str(&how_to_load(model, &self.out));
        print(&text)
    }

    fn checkpoint(&self) -> Result<EgnnCheckpoint, ImportError> {
        let dict = match (&self.container, &self.part) {
            (None, None) => return EgnnCheckpoint::open(&self.checkpoint),
            (Some(container), _) => StateDict::open_at(&self.checkpoint, container)?,
            (None, _) => StateDict::open(&self.checkpoint)?,
        };
        EgnnCheckpoint::new(match &self.part {
            Some(part) => dict.part(part)?,
            None => dict,
        })
    }

    fn options(&self) -> EgnnOptions {
        EgnnOptions {
            residual: self.residual.map(|answer| matches!(answer, Answer::Yes)),
            normalize: self.normalize,
            tanh: self.tanh,
            sum_coordinates: self.sum_coordinates,
            silu: self.silu,
        }
    }
}

fn how_to_load(model: &str, path: &Path) -> String {
    let module = if model == "Egnn" { "graph" } else { "import" };
    format!("load it  use equi::layers::{module}::{model};\n         let model = {model}::load({path:?}, &device)?;\n")
}
