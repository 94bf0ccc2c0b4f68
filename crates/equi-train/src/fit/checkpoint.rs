//! Checkpoints: a folder per finished epoch that appears whole or not at all.
//!
//! ```text
//! <folder>/00012/state.json       step, history, seconds, and the configuration it belongs to
//!                model.bpk        weights and running statistics
//!                average.bpk      the same with averaged weights, if they are averaged
//!                best.bpk         the same, of the best epoch so far
//!                optimizer.bpk    moments
//! ```
//!
//! The `.bpk` files are Burn's own: `model.load_file("best.bpk")` reads them.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use burn::module::Module;
use burn::optim::ModuleOptimizer;
use burn::store::{ModuleRecord, RecordError};
use serde::{Deserialize, Serialize};

use super::{Epoch, FitConfig, FitError};
use crate::atomic;

/// Layout version of `state.json`.
const FORMAT: u32 = 1;

/// The folder of one run's checkpoints. Only the newest is kept.
#[derive(Clone, Debug)]
pub struct Checkpoints {
    folder: PathBuf,
}

/// What a checkpoint knows besides tensors.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct State {
    format: u32,
    pub config: FitConfig,
    pub history: Vec<Epoch>,
    pub best: usize,
    pub seconds: f64,
}

impl State {
    pub fn new(config: &FitConfig) -> Self {
        Self { format: FORMAT, config: config.clone(), history: Vec::new(), best: 0, seconds: 0.0 }
    }

    /// Optimiser steps done.
    pub fn step(&self) -> usize {
        self.history.last().map_or(0, |epoch| epoch.step)
    }

    /// Whether all steps are done, or the patience is spent.
    pub fn is_over(&self) -> bool {
        let patience_spent =
            self.config.patience.is_some_and(|patience| self.history.len() - self.best >= patience.max(1));
        self.step() >= self.config.steps || patience_spent
    }
}

/// A run as it stood after an epoch.
pub(super) struct Restored<M> {
    pub state: State,
    pub model: M,
    pub average: Option<M>,
    pub best: M,
    pub optimizer: ModuleOptimizer,
}

impl Checkpoints {
    /// Checkpoints in `folder`, which is made when the first one is written.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into() }
    }

    /// Where they are.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Removes them all.
    ///
    /// # Errors
    ///
    /// When the folder cannot be removed.
    pub fn remove(&self) -> io::Result<()> {
        match fs::remove_dir_all(&self.folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// The file with the weights of the best epoch, of the newest checkpoint; none when there is none.
    ///
    /// # Errors
    ///
    /// When the folder cannot be read.
    pub fn best(&self) -> io::Result<Option<PathBuf>> {
        let newest = self.epochs()?.into_iter().max();
        Ok(newest.map(|epoch| self.folder.join(format!("{epoch:05}")).join("best.bpk")))
    }

    pub(super) fn save<M: Module>(
        &self,
        state: &State,
        model: &M,
        average: Option<&M>,
        best: &M,
        optimizer: &ModuleOptimizer,
    ) -> Result<(), FitError> {
        let epoch = state.history.len();
        let path = self.folder.join(format!("{epoch:05}"));
        let write = || -> Result<(), Box<dyn std::error::Error>> {
            fs::create_dir_all(&self.folder)?;
            atomic::sweep(&self.folder)?;
            let state = serde_json::to_vec_pretty(state)?;
            let model = model.clone().into_record().into_bytes()?;
            let average = average.map(|average| average.clone().into_record().into_bytes()).transpose()?;
            let best = best.clone().into_record().into_bytes()?;
            let optimizer = optimizer.into_bytes()?;
            let mut files = vec![
                ("state.json", &state[..]),
                ("model.bpk", &model[..]),
                ("best.bpk", &best[..]),
                ("optimizer.bpk", &optimizer[..]),
            ];
            files.extend(average.as_ref().map(|average| ("average.bpk", &average[..])));
            atomic::write_folder(&path, &files)?;
            for older in self.epochs()?.into_iter().filter(|&older| older < epoch) {
                fs::remove_dir_all(self.folder.join(format!("{older:05}")))?;
            }
            Ok(())
        };
        write().map_err(|error| FitError::Checkpoint { path, message: error.to_string() })
    }

    /// The newest checkpoint, put into clones of `model`; none when there is none.
    pub(super) fn load<M: Module>(&self, config: &FitConfig, model: &M) -> Result<Option<Restored<M>>, FitError> {
        let failed = |path: &Path, message: String| FitError::Checkpoint { path: path.to_path_buf(), message };
        let epochs = self.epochs().map_err(|error| failed(&self.folder, error.to_string()))?;
        let Some(epoch) = epochs.into_iter().max() else {
            return Ok(None);
        };
        let path = self.folder.join(format!("{epoch:05}"));

        let bytes = fs::read(path.join("state.json")).map_err(|error| failed(&path, error.to_string()))?;
        let state: State = serde_json::from_slice(&bytes).map_err(|error| failed(&path, error.to_string()))?;
        if state.format != FORMAT || state.config != *config {
            return Err(FitError::OtherRun { path });
        }
        let record = |name: &str| -> Result<M, RecordError> {
            // `valid` gives running statistics of its own: loading into a clone would overwrite the original's.
            model.valid().try_load_record(ModuleRecord::load(path.join(name))?)
        };
        let unreadable = |error: RecordError| failed(&path, error.to_string());
        Ok(Some(Restored {
            model: record("model.bpk").map_err(unreadable)?,
            average: config.weight_average.map(|_| record("average.bpk")).transpose().map_err(unreadable)?,
            best: record("best.bpk").map_err(unreadable)?,
            optimizer: config.optimizer().load(path.join("optimizer.bpk")).map_err(unreadable)?,
            state,
        }))
    }

    fn epochs(&self) -> io::Result<Vec<usize>> {
        match fs::read_dir(&self.folder) {
            Ok(entries) => {
                let mut epochs = Vec::new();
                for entry in entries {
                    epochs.extend(entry?.file_name().to_str().and_then(|name| name.parse::<usize>().ok()));
                }
                Ok(epochs)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }
}
