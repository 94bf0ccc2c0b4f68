//! The output folder of one comparison.
//!
//! ```text
//! <out>/plan.json          what is compared; written first
//!       tuning/<trial>.json a finished trial of hyperparameters
//!       tuning.json        all of them, and what was chosen
//!       cells/<cell>.json  a finished cell
//!       claims/<cell>      locked by the process that trains it
//!       checkpoints/<cell> the cell at work
//!       weights/<cell>.bpk of trained cells, if they are to be kept
//!       results.json ...   written last
//! ```

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::results::{Cell, Results};
use super::tuning::{self, Tuning};
use super::{CellPlan, CompareError, Plan};
use crate::atomic;
use crate::fit::Checkpoints;
use crate::report::{self, JSON, ReportError};

const PLAN: &str = "plan.json";
const LOCK: &str = ".lock";
const CELLS: &str = "cells";
const TRIALS: &str = "tuning";
const CLAIMS: &str = "claims";
const CHECKPOINTS: &str = "checkpoints";
const WEIGHTS: &str = "weights";

/// A folder that this process and its workers alone write to, for as long as the value lives.
pub(super) struct Folder {
    path: PathBuf,
    /// Released by the operating system, however the process ends; none in a worker.
    _lock: Option<File>,
}

/// A cell that this process alone trains, for as long as the value lives.
pub(super) struct Claim {
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
        if let Some(results) = look(path, plan, resume)? {
            return Ok(Found::Finished(Box::new(results)));
        }
        let folder = Self { path: path.to_path_buf(), _lock: Some(lock) };
        let mut inner = vec![path.to_path_buf(), path.join(CELLS), path.join(CLAIMS)];
        inner.extend((plan.recipe.tuning_trials > 0).then(|| path.join(TRIALS)));
        for inner in inner {
            fs::create_dir_all(&inner).map_err(failed(&inner))?;
            atomic::sweep(&inner).map_err(failed(&inner))?;
        }
        folder.write(Path::new(PLAN), plan)?;
        Ok(Found::Work(folder))
    }

    /// The folder that the process which started this one has taken.
    pub fn of_parent(path: &Path) -> Self {
        Self { path: path.to_path_buf(), _lock: None }
    }

    /// The right to train a cell, and those that are trained in the same way; none if another process has it.
    pub fn claim(&self, cell: &CellPlan) -> Result<Option<Claim>, CompareError> {
        let path = self.path.join(CLAIMS).join(cell.training().to_string());
        let failed = |source| CompareError::Write { path: path.clone(), source };
        let lock = File::create(&path).map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => Ok(Some(Claim { _lock: lock })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(source)) => Err(failed(source)),
        }
    }

    /// Keeps what was tried and chosen.
    pub fn keep_tuning(&self, tuning: &Tuning) -> Result<(), CompareError> {
        self.write(Path::new(tuning::FILE), tuning)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A cell finished earlier.
    pub fn cell(&self, cell: &CellPlan) -> Result<Option<Cell>, CompareError> {
        let path = self.path.join(cell_file(cell));
        let found = read::<Cell>(&path).map_err(|message| CompareError::Read { path: path.clone(), message })?;
        if let Some(Cell { arm, train_size, seed, .. }) = &found
            && (arm.as_str(), *train_size, *seed) != (cell.arm.name, cell.train_size, cell.seed)
        {
            let message = format!("it holds {arm} with {train_size} samples, seed {seed}, in the place of {cell}");
            return Err(CompareError::Read { path, message });
        }
        Ok(found)
    }

    /// Keeps a finished cell, and lets go of its checkpoints, unless one of `cells` that is not finished shares them.
    pub fn finish(&self, cell: &CellPlan, result: &Cell, cells: &[CellPlan]) -> Result<(), CompareError> {
        self.write(&cell_file(cell), result)?;
        let waits =
            |other: &CellPlan| other.training() == cell.training() && !self.path.join(cell_file(other)).exists();
        if cells.iter().any(waits) {
            return Ok(());
        }
        let checkpoints = self.checkpoints(cell);
        checkpoints.remove().map_err(|source| CompareError::Write { path: checkpoints.folder().to_path_buf(), source })
    }

    /// Keeps the weights of a cell that has been trained, those that it was tested with, under its name.
    pub fn keep_weights(&self, cell: &CellPlan) -> Result<(), CompareError> {
        let folder = self.path.join(WEIGHTS);
        let failed = |source| CompareError::Write { path: folder.clone(), source };
        if let Some(weights) = self.checkpoints(cell).best().map_err(failed)? {
            fs::create_dir_all(&folder).map_err(failed)?;
            fs::copy(weights, folder.join(format!("{cell}.bpk"))).map_err(failed)?;
        }
        Ok(())
    }

    /// Where a cell keeps its checkpoints, together with the cells that are trained in the same way.
    pub fn checkpoints(&self, cell: &CellPlan) -> Checkpoints {
        Checkpoints::new(self.path.join(CHECKPOINTS).join(cell.training().to_string()))
    }

    /// Removes what a finished comparison no longer needs.
    pub fn tidy(&self) -> Result<(), CompareError> {
        for name in [CHECKPOINTS, CLAIMS] {
            let path = self.path.join(name);
            match fs::remove_dir_all(&path) {
                Err(source) if source.kind() != io::ErrorKind::NotFound => {
                    return Err(CompareError::Write { path, source });
                }
                _ => {}
            }
        }
        Ok(())
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
    Path::new(if cell.trial.is_some() { TRIALS } else { CELLS }).join(format!("{cell}.json"))
}

/// The plan in the folder at `path`, if there is one that can be read.
pub(super) fn planned(path: &Path) -> Option<Plan> {
    read(&path.join(PLAN)).ok().flatten()
}

/// Looks at the folder at `path` without touching anything, for it may be somebody else's. Gives the results if it holds
/// `plan` finished, and none if it may be worked in.
pub(super) fn examine(path: &Path, plan: &Plan, resume: bool) -> Result<Option<Results>, CompareError> {
    look(path, plan, resume).map_err(|error| match error {
        // Not abandoned, but at work: `--resume` would be the wrong advice.
        CompareError::Unfinished { out } if is_locked(path) => CompareError::Locked { out },
        other => other,
    })
}

/// Whether a process holds the folder. This one, if it has opened it.
fn is_locked(path: &Path) -> bool {
    File::open(path.join(LOCK)).is_ok_and(|lock| matches!(lock.try_lock(), Err(TryLockError::WouldBlock)))
}

fn look(path: &Path, plan: &Plan, resume: bool) -> Result<Option<Results>, CompareError> {
    let out = path.to_path_buf();
    let entries = match fs::read_dir(path) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
            return Err(CompareError::NotOurs { out, problem: "is not a folder".to_string() });
        }
        Err(source) => return Err(CompareError::Write { path: out, source }),
    };
    let plan_file = path.join(PLAN);
    let unreadable = |message| CompareError::Plan { path: plan_file.clone(), message };
    let Some(found) = read::<Plan>(&plan_file).map_err(unreadable)? else {
        for entry in entries {
            let name = entry.map_err(|source| CompareError::Write { path: out.clone(), source })?.file_name();
            let name = name.to_string_lossy();
            // What a run killed before it wrote its plan leaves behind: no cell yet.
            if ![LOCK, CELLS, TRIALS, CLAIMS].contains(&&*name) && !name.starts_with(atomic::UNFINISHED) {
                return Err(CompareError::NotOurs { out, problem: format!("holds other files ({name})") });
            }
        }
        for entry in fs::read_dir(path.join(CELLS)).into_iter().flatten().flatten() {
            let name = PathBuf::from(entry.file_name());
            if name.extension().is_some_and(|extension| extension == "json") {
                let problem = format!("holds a finished cell ({}) without the {PLAN} it belongs to", name.display());
                return Err(CompareError::NotOurs { out, problem });
            }
        }
        return Ok(None);
    };
    if found != *plan {
        return Err(CompareError::OtherRun { out, differences: plan.differences(&found) });
    }
    match report::read(&path.join(JSON)) {
        Ok(results) => Ok(Some(results)),
        Err(ReportError::Read { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
            if resume {
                Ok(None)
            } else {
                Err(CompareError::Unfinished { out })
            }
        }
        Err(error) => Err(error.into()),
    }
}

/// A JSON file, if it is there; what is wrong with it otherwise.
fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, String> {
    match fs::read(path) {
        Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(|error| error.to_string()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.to_string()),
    }
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use super::*;
    use crate::compare::task;
    use crate::compare::{Arm, Request};
    use crate::device::resolve;

    fn plan() -> Plan {
        let request = Request {
            task: "mnist-rot".to_string(),
            preset: Some("smoke".to_string()),
            arms: Some(vec!["plain".to_string()]),
            ..Request::default()
        };
        Plan::new(task("mnist-rot").unwrap(), &request, &resolve(Some("flex")).unwrap(), None).unwrap()
    }

    fn begun(path: &Path) -> Folder {
        match Folder::open(path, &plan(), true).unwrap() {
            Found::Work(folder) => folder,
            Found::Finished(_) => panic!("nothing is finished"),
        }
    }

    #[test]
    fn cells_without_a_plan_are_not_adopted() {
        let out = tempfile::tempdir().unwrap();
        drop(begun(out.path()));
        fs::remove_file(out.path().join(PLAN)).unwrap();
        assert!(examine(out.path(), &plan(), false).unwrap().is_none(), "killed before the plan was written");
        fs::write(out.path().join(CELLS).join("plain-n50-s0.json"), "{}").unwrap();
        for resume in [false, true] {
            let message = examine(out.path(), &plan(), resume).unwrap_err().to_string();
            assert!(message.contains("plain-n50-s0.json") && message.contains("without the plan.json"), "{message}");
        }
    }

    #[test]
    fn an_unreadable_plan_is_not_to_be_removed() {
        let out = tempfile::tempdir().unwrap();
        drop(begun(out.path()));
        fs::write(out.path().join(PLAN), "{").unwrap();
        let message = examine(out.path(), &plan(), true).unwrap_err().to_string();
        assert!(message.contains("plan.json") && message.contains("restore it, or choose another"), "{message}");
    }

    #[test]
    fn a_cell_in_the_place_of_another_is_refused() {
        let out = tempfile::tempdir().unwrap();
        let folder = begun(out.path());
        let cell = plan().cells().remove(0);
        let file = out.path().join(cell_file(&cell));
        let other = Cell { seed: 7, ..Cell::begun(&cell) };
        fs::write(&file, serde_json::to_string(&other).unwrap()).unwrap();
        let message = folder.cell(&cell).unwrap_err().to_string();
        assert!(message.contains("seed 7") && message.contains("remove this file"), "{message}");
        folder.finish(&cell, &Cell::begun(&cell), &plan().cells()).unwrap();
        assert!(folder.cell(&cell).unwrap().is_some());
    }

    #[test]
    fn checkpoints_stay_for_the_cell_that_shares_them() {
        let out = tempfile::tempdir().unwrap();
        let folder = begun(out.path());
        let cells =
            ["augmented", "plain", "augmented-tta"].map(|name| plan().recipe.cell(Arm::named(name).unwrap(), 50, 0));
        let kept = folder.checkpoints(&cells[0]);
        assert_eq!(kept.folder(), folder.checkpoints(&cells[2]).folder());
        fs::create_dir_all(kept.folder()).unwrap();
        for (finished, stays) in [(0, true), (1, true), (2, false)] {
            folder.finish(&cells[finished], &Cell::begun(&cells[finished]), &cells).unwrap();
            assert_eq!(kept.folder().exists(), stays, "{}", cells[finished]);
        }
    }

    #[test]
    fn results_of_another_schema_are_named_as_such() {
        let out = tempfile::tempdir().unwrap();
        drop(begun(out.path()));
        fs::write(out.path().join(JSON), "{\"schema\": 2}").unwrap();
        let message = examine(out.path(), &plan(), true).unwrap_err().to_string();
        assert!(message.contains("it has schema 2"), "{message}");
    }

    #[test]
    fn a_folder_at_work_is_locked_and_an_abandoned_one_unfinished() {
        let out = tempfile::tempdir().unwrap();
        let folder = begun(out.path());
        assert!(matches!(examine(out.path(), &plan(), false), Err(CompareError::Locked { .. })));
        drop(folder);
        assert!(matches!(examine(out.path(), &plan(), false), Err(CompareError::Unfinished { .. })));
    }
}
