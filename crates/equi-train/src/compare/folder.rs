//! The output folder of one comparison.
//!
//! ```text
//! <out>/plan.json          what is compared; written first
//!       cells/<cell>.json  a finished cell
//!       checkpoints/<cell> the cell at work
//!       results.json ...   written last
//! ```

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::results::{Cell, Results};
use super::{CellPlan, CompareError, Plan};
use crate::atomic;
use crate::fit::Checkpoints;
use crate::report::JSON;

const PLAN: &str = "plan.json";
const LOCK: &str = ".lock";
const CELLS: &str = "cells";
const CHECKPOINTS: &str = "checkpoints";

/// A folder that this process alone writes to, for as long as the value lives.
pub(super) struct Folder {
    path: PathBuf,
    /// Released by the operating system, however the process ends.
    _lock: File,
}

/// What a folder turned out to be.
pub(super) enum Found {
    /// There is work to do.
    Work(Folder),
    /// This very comparison, finished.
    Finished(Box<Results>),
}

impl Folder {
    /// Takes the folder at `path` for `plan`; `resume` allows one that was begun before.
    pub fn open(path: &Path, plan: &Plan, resume: bool) -> Result<Found, CompareError> {
        let failed = |path: &Path| {
            let path = path.to_path_buf();
            move |source| CompareError::Write { path, source }
        };
        fs::create_dir_all(path).map_err(failed(path))?;
        let lock = File::create(path.join(LOCK)).map_err(failed(path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(CompareError::Locked { out: path.to_path_buf() });
            }
            Err(TryLockError::Error(source)) => return Err(failed(path)(source)),
        }
        // Another process may have begun, or finished, since the caller looked.
        if let Some(results) = examine(path, plan, resume)? {
            return Ok(Found::Finished(Box::new(results)));
        }
        let folder = Self { path: path.to_path_buf(), _lock: lock };
        for inner in [path.to_path_buf(), path.join(CELLS)] {
            fs::create_dir_all(&inner).map_err(failed(&inner))?;
            atomic::sweep(&inner).map_err(failed(&inner))?;
        }
        folder.write(Path::new(PLAN), plan)?;
        Ok(Found::Work(folder))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A cell finished earlier.
    pub fn cell(&self, cell: &CellPlan) -> Result<Option<Cell>, CompareError> {
        read(&self.path.join(cell_file(cell)))
    }

    /// Keeps a finished cell, and lets go of its checkpoints.
    pub fn finish(&self, cell: &CellPlan, result: &Cell) -> Result<(), CompareError> {
        self.write(&cell_file(cell), result)?;
        let checkpoints = self.checkpoints(cell);
        checkpoints.remove().map_err(|source| CompareError::Write { path: checkpoints.folder().to_path_buf(), source })
    }

    /// Where a cell keeps its checkpoints.
    pub fn checkpoints(&self, cell: &CellPlan) -> Checkpoints {
        Checkpoints::new(self.path.join(CHECKPOINTS).join(cell.to_string()))
    }

    /// Removes what a finished comparison no longer needs.
    pub fn tidy(&self) -> Result<(), CompareError> {
        let path = self.path.join(CHECKPOINTS);
        match fs::remove_dir_all(&path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => Err(CompareError::Write { path, source }),
            _ => Ok(()),
        }
    }

    fn write(&self, name: &Path, value: &impl Serialize) -> Result<(), CompareError> {
        let path = self.path.join(name);
        serde_json::to_vec_pretty(value)
            .map_err(io::Error::from)
            .and_then(|bytes| atomic::write(&path, &bytes))
            .map_err(|source| CompareError::Write { path, source })
    }
}

fn cell_file(cell: &CellPlan) -> PathBuf {
    Path::new(CELLS).join(format!("{cell}.json"))
}

/// Looks at the folder at `path` without touching anything, for it may be somebody else's. Gives the results if it holds
/// `plan` finished, and none if it may be worked in.
pub(super) fn examine(path: &Path, plan: &Plan, resume: bool) -> Result<Option<Results>, CompareError> {
    let out = path.to_path_buf();
    let entries = match fs::read_dir(path) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
            return Err(CompareError::NotOurs { out, problem: "is not a folder".to_string() });
        }
        Err(source) => return Err(CompareError::Write { path: out, source }),
    };
    let Some(found) = read::<Plan>(&path.join(PLAN))? else {
        for entry in entries {
            let name = entry.map_err(|source| CompareError::Write { path: out.clone(), source })?.file_name();
            let name = name.to_string_lossy();
            // What a run killed before it wrote its plan leaves behind.
            if name != LOCK && name != CELLS && !name.starts_with(".tmp-") {
                return Err(CompareError::NotOurs { out, problem: format!("holds other files ({name})") });
            }
        }
        return Ok(None);
    };
    if found != *plan {
        return Err(CompareError::OtherRun { out, differences: plan.differences(&found) });
    }
    match read(&path.join(JSON))? {
        Some(results) => Ok(Some(results)),
        None if resume => Ok(None),
        None => Err(CompareError::Unfinished { out }),
    }
}

fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, CompareError> {
    let failed = |message: String| CompareError::Read { path: path.to_path_buf(), message };
    match fs::read(path) {
        Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(|error| failed(error.to_string())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed(error.to_string())),
    }
}
