//! Runs the cells of a plan.

use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};
use std::panic::{self, AssertUnwindSafe};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::folder::{Folder, Found, examine, planned};
use super::jobs::{Workers, is_worker, share_processors, stop_with_parent};
use super::request::known_task;
use super::results::{Cell, CellStatus, Results, SCHEMA};
use super::study_file::from_file;
use super::tuning::{self, Tuning};
use super::{Arm, CellPlan, CompareError, Hyperparameters, Plan, Preset, Request, Task, Trials};
use crate::device::resolve;
use crate::fit::{FitError, Session};
use crate::memory::reset_peak;
use crate::report;
use crate::stop::{INTERRUPTED, Stop};

/// A comparison that is finished.
#[derive(Clone, Debug)]
pub struct Study {
    /// What it found.
    pub results: Results,
    /// Where it is written.
    pub out: PathBuf,
    /// Whether it was finished before, so that nothing had to be run.
    pub found_finished: bool,
}

/// Runs the comparison that `request` asks for, and writes `results.json`, `results.csv` and `report.html`.
///
/// Progress goes to standard error: a bar on a terminal, a line for every finished cell otherwise.
///
/// # Errors
///
/// [`CompareError`]; a cell that diverges or panics is a result, not an error.
pub fn compare(request: &Request, stop: &Stop) -> Result<Study, CompareError> {
    if Path::new(&request.task).extension().is_some_and(|extension| extension == "toml") {
        let (task, request) = from_file(request)?;
        return compare_on(task.as_ref(), &request, stop);
    }
    compare_on(known_task(&request.task)?, request, stop)
}

/// The same for a task of your own, whatever task `request` names.
///
/// With several [jobs](Request::jobs) this program is started again, with its arguments, to help: whatever it does before it gets here, it does again in
/// every process. Those that help end here.
///
/// # Errors
///
/// As [`compare`].
pub fn compare_on(task: &dyn Task, request: &Request, stop: &Stop) -> Result<Study, CompareError> {
    // Before anything starts threads.
    if request.jobs > 1 {
        share_processors(request.jobs);
    }
    if is_worker() {
        help(task, request, stop);
    }
    // Names first: a spelling mistake should not have to wait for a GPU to start.
    let preset = request.known_preset()?;
    let device = resolve(request.device.as_deref())?;
    let out = folder_of(task, request, preset);
    let plan = Plan::new(task, request, &device, planned(&out).as_ref())?;

    let shown = |results| Study { results, out: out.clone(), found_finished: true };
    if let Some(results) = examine(&out, &plan, request.resume)? {
        return Ok(shown(results));
    }
    let trials = task.open(&plan, request.data.as_deref(), &device.device)?;
    let folder = match Folder::open(&out, &plan, request.resume)? {
        Found::Work(folder) => folder,
        Found::Finished(results) => return Ok(shown(*results)),
    };
    let workers = Workers::start(request.jobs.saturating_sub(1))
        .map_err(|source| CompareError::Request(format!("--jobs: this program cannot be started again: {source}")))?;
    let symmetry = trials.data_symmetry()?;
    if let Some(symmetry) = &symmetry {
        // Nobody may be listening, and that is no reason not to go on.
        let _ = writeln!(std::io::stderr(), "{}", report::data_symmetry(symmetry));
    }
    let mut crew = Crew { task, plan: &plan, trials: &*trials, folder: &folder, request, stop };
    let Trained { tuning, chosen, cells } = crew.train(&mut Progress::new(&plan, task.arms()))?;
    drop(workers);

    // A task of a program's own has no file to name.
    let asked = if request.task.is_empty() { &plan.task } else { &request.task };
    let mut results = assemble(task, &plan, plan.command(asked), cells);
    if tuning.is_some() {
        let summary = |arm: &Arm| task.contestant(arm, &plan.setting, &plan.of(arm, &chosen), &device.device);
        results.arms = plan.arms_among(task.arms()).iter().map(summary).collect::<Result<_, _>>()?;
    }
    results.tuning = tuning;
    results.data_symmetry = symmetry;
    results.turning = trials.turning();
    report::conclude(&mut results);
    report::write(&results, folder.path())?;
    folder.tidy()?;
    Ok(Study { results, out, found_finished: false })
}

/// Trains what the process that started this one plans, and ends.
fn help(task: &dyn Task, request: &Request, stop: &Stop) -> ! {
    stop_with_parent(stop);
    let work = || -> Result<(), CompareError> {
        let device = resolve(request.device.as_deref())?;
        let out = folder_of(task, request, request.known_preset()?);
        let plan = Plan::new(task, request, &device, planned(&out).as_ref())?;
        let trials = task.open(&plan, request.data.as_deref(), &device.device)?;
        let folder = Folder::of_parent(&out);
        let mut crew = Crew { task, plan: &plan, trials: &*trials, folder: &folder, request, stop };
        crew.train(&mut Progress::silent(&plan, task.arms())).map(|_| ())
    };
    std::process::exit(match work() {
        Ok(()) => 0,
        // The first process says so.
        Err(CompareError::Interrupted { .. }) => i32::from(INTERRUPTED),
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "equi, a helping process: {error}");
            1
        }
    })
}

fn folder_of(task: &dyn Task, request: &Request, preset: Preset) -> PathBuf {
    request.out.clone().unwrap_or_else(|| PathBuf::from("runs").join(format!("{}-{}", task.name(), preset.name())))
}

/// What trains the cells of a plan, alone or with others.
struct Crew<'a> {
    task: &'a dyn Task,
    plan: &'a Plan,
    trials: &'a dyn Trials,
    folder: &'a Folder,
    request: &'a Request,
    stop: &'a Stop,
}

/// What has been trained.
struct Trained {
    tuning: Option<Tuning>,
    chosen: BTreeMap<&'static str, Hyperparameters>,
    cells: Vec<Cell>,
}

impl Crew<'_> {
    /// Hyperparameters first, if they are to be tuned; then the cells with what was chosen.
    fn train(&mut self, progress: &mut Progress<'_>) -> Result<Trained, CompareError> {
        let planned = tuning::trials(self.plan, self.task.arms());
        let tuning = match planned.is_empty() {
            true => None,
            false => Some(Tuning::of(self.plan, &planned, &self.all(&planned, progress)?)),
        };
        if let Some(tuning) = &tuning {
            self.folder.keep_tuning(tuning)?;
        }
        let chosen = tuning.as_ref().map(|tuning| tuning.chosen(self.task.arms())).unwrap_or_default();
        let cells = self.all(&self.plan.cells_among(self.task.arms(), &chosen), progress)?;
        progress.bar.finish_and_clear();
        Ok(Trained { tuning, chosen, cells })
    }

    /// All cells of a list: those of earlier, those that nobody else trains, and, when they are finished, those that others train.
    fn all(&self, cells: &[CellPlan], progress: &mut Progress<'_>) -> Result<Vec<Cell>, CompareError> {
        let mut finished: Vec<Option<Cell>> = Vec::with_capacity(cells.len());
        for cell in cells {
            let earlier = self.folder.cell(cell)?;
            if earlier.is_some() {
                progress.skip(cell);
            }
            finished.push(earlier);
        }
        loop {
            if self.stop.is_raised() {
                return Err(self.interrupted(progress));
            }
            let mut mine = None;
            for (place, cell) in cells.iter().enumerate() {
                if finished[place].is_some() {
                    continue;
                }
                finished[place] = self.folder.cell(cell)?;
                match &finished[place] {
                    Some(found) => progress.finished(cell, found),
                    None if mine.is_none() => mine = self.folder.claim(cell)?.map(|claim| (place, claim)),
                    None => {}
                }
            }
            if let Some((place, _claim)) = mine {
                // Another process may have finished it, and let go of it, since this one looked.
                let cell = &cells[place];
                let result = match self.folder.cell(cell)? {
                    Some(found) => found,
                    None => self.one(cell, cells, progress)?,
                };
                progress.finished(cell, &result);
                finished[place] = Some(result);
            } else if finished.iter().all(Option::is_some) {
                return Ok(finished.into_iter().flatten().collect());
            } else {
                thread::sleep(POLL);
            }
        }
    }

    /// Trains a cell, and keeps it.
    fn one(&self, cell: &CellPlan, cells: &[CellPlan], progress: &mut Progress<'_>) -> Result<Cell, CompareError> {
        reset_peak();
        let session = Session { stop: self.stop.clone(), checkpoints: Some(self.folder.checkpoints(cell)) };
        let result = match caught(cell, || self.trials.run(cell, &session, &mut progress.cell(cell))) {
            Err(CompareError::Fit { source: FitError::Interrupted { .. }, .. }) => {
                return Err(self.interrupted(progress));
            }
            other => other?,
        };
        if self.request.keep_weights && !result.status.is_lost() && cell.trial.is_none() {
            self.folder.keep_weights(cell)?;
        }
        self.folder.finish(cell, &result, cells)?;
        Ok(result)
    }

    fn interrupted(&self, progress: &Progress<'_>) -> CompareError {
        let out = self.folder.path().to_path_buf();
        CompareError::Interrupted { done: progress.done.0, total: progress.cells, out }
    }
}

/// How often a process that waits for others looks what they have done.
const POLL: Duration = Duration::from_millis(100);

/// Runs a cell. A network that panics is a result, as one that diverges: the study goes on with the others.
fn caught(cell: &CellPlan, run: impl FnOnce() -> Result<Cell, CompareError>) -> Result<Cell, CompareError> {
    // What the closure was at work on is made anew for the next cell.
    panic::catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| {
        let message =
            panic.downcast_ref::<String>().cloned().or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string));
        Ok(Cell { status: CellStatus::Panicked, message, ..Cell::begun(cell) })
    })
}

/// The results without what [`report::conclude`] draws from them.
fn assemble(task: &dyn Task, plan: &Plan, command: String, cells: Vec<Cell>) -> Results {
    Results {
        schema: SCHEMA,
        task: plan.task.clone(),
        domain: task.domain(),
        preset: plan.preset.name().to_string(),
        device: plan.device.clone(),
        burn: BURN.to_string(),
        commit: plan.version.clone(),
        matched_by: plan.setting.matched_by.to_string(),
        data: plan.data.clone(),
        command,
        recipe: plan.recipe.clone(),
        arms: plan.arms.clone(),
        tuning: None,
        data_symmetry: None,
        poses: Some(task.poses().map(str::to_string)),
        turning: None,
        cells,
        summary: Vec::new(),
        differences: Vec::new(),
        curves: Vec::new(),
        verdict: String::new(),
    }
}

/// The version of Burn that the workspace pins.
const BURN: &str = "0.22.1";

/// A bar over the optimiser steps of all cells.
struct Progress<'a> {
    bar: ProgressBar,
    terminal: bool,
    speaks: bool,
    plan: &'a Plan,
    cells: usize,
    /// Cells finished, and the steps planned for them.
    done: (usize, u64),
}

impl<'a> Progress<'a> {
    fn new(plan: &'a Plan, known: &[Arm]) -> Self {
        let terminal = std::io::stderr().is_terminal();
        // The hyperparameters of a cell change nothing of its steps.
        let cells = [tuning::trials(plan, known), plan.cells_among(known, &BTreeMap::new())].concat();
        let steps: usize = cells.iter().map(|cell| plan.steps_of(cell)).sum();
        let target = if terminal { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(Some(steps as u64), target);
        let style = "{bar:30} {percent:>3} %  {elapsed} of about {duration}  {msg}";
        bar.set_style(ProgressStyle::with_template(style).unwrap_or_else(|_| ProgressStyle::default_bar()));
        Self { bar, terminal, speaks: true, plan, cells: cells.len(), done: (0, 0) }
    }

    /// Of a process that another one speaks for.
    fn silent(plan: &'a Plan, known: &[Arm]) -> Self {
        let quiet = Self::new(plan, known);
        quiet.bar.set_draw_target(ProgressDrawTarget::hidden());
        Self { speaks: false, ..quiet }
    }

    /// Counts a cell finished in an earlier part of the run.
    fn skip(&mut self, cell: &CellPlan) {
        self.done.0 += 1;
        self.done.1 += self.plan.steps_of(cell) as u64;
        self.bar.set_position(self.done.1);
        self.bar.reset_eta();
    }

    /// Counts the steps of the cell at work, which may begin at a checkpoint.
    fn cell(&self, cell: &CellPlan) -> impl FnMut(usize) + use<> {
        self.bar.set_message(cell.to_string());
        let (bar, begin) = (self.bar.clone(), self.done.1);
        move |step| bar.set_position(begin + step as u64)
    }

    fn finished(&mut self, cell: &CellPlan, result: &Cell) {
        self.done.0 += 1;
        self.done.1 += self.plan.steps_of(cell) as u64;
        if !self.speaks {
            return;
        }
        // Others may have done more than this process has counted so far.
        self.bar.set_position(self.done.1);
        let found = match (&result.metric, &result.message) {
            (None, None) if let (Some(_), Some(score)) = (cell.trial, result.validation) => {
                format!("validation {}", report::number("validation", score.metric))
            }
            (Some(metric), _) => format!("{} {}", metric.name, report::number(&metric.name, metric.value)),
            (None, Some(message)) => format!("{}: {}", result.status.name(), report::in_a_line(message)),
            (None, None) => result.status.name().to_string(),
        };
        let line = format!("[{}/{}] {cell}: {found}, trained {:.1} s", self.done.0, self.cells, result.train_seconds);
        if self.terminal {
            self.bar.println(line);
        } else {
            // Nobody may be listening, and that is no reason not to finish.
            let _ = writeln!(std::io::stderr(), "{line}");
        }
    }
}
