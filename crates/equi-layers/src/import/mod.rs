//! Models trained elsewhere, and files of our own.
//!
//! A [`StateDict`] is what `torch.save` or safetensors left on disk. An [`EgnnCheckpoint`] recognises in it a model of the EGNN's
//! reference implementation and builds ours with its weights:
//!
//! ```no_run
//! use burn::tensor::Device;
//! use equi_layers::import::{EgnnCheckpoint, EgnnOptions};
//!
//! let checkpoint = EgnnCheckpoint::open("nbody.pt")?;
//! println!("{}", checkpoint.architecture());
//! // `EGNN_vel(..., recurrent=True)`: what has no parameters, no state dict tells.
//! let config = checkpoint.config(&EgnnOptions::new().with_residual(true))?;
//! let egnn = checkpoint.to_egnn(&config, &Device::default())?;
//! egnn.save("nbody.safetensors")?;
//! # Ok::<(), equi_layers::import::ImportError>(())
//! ```

mod architecture;
mod archive;
mod differences;
mod egnn;
mod error;
mod mapping;
mod qm9;
mod saved;
mod se3_transformer;
mod state_dict;

pub use architecture::{Architecture, Variant};
pub use differences::{Difference, Differences};
pub use egnn::{EgnnCheckpoint, EgnnOptions};
pub use error::{ImportError, Result};
pub use qm9::Qm9Egnn;
pub use saved::{SavedModel, inspect};
pub use se3_transformer::SE3Checkpoint;
pub use state_dict::StateDict;
