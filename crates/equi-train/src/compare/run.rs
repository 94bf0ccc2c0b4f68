//! Runs the cells of a plan.

use std::io::{IsTerminal, Write};
use std::panic::{self, AssertUnwindSafe};
use std::path::{Path, PathBuf};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::folder::{Folder, Found, examine};
use super::plan::known_task;
use super::results::{Cell, CellStatus, Results, SCHEMA};
use super::study_file::from_file;
use super::{CellPlan, CompareError, Plan, Request, Task};
use crate::device::resolve;
use crate::fit::{FitError, Session};
use crate::memory::reset_peak;
use crate::report;
use crate::stop::Stop;

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
/// [`CompareError`]; a diverging cell is a result, not an error.
pub fn compare(request: &Request, stop: &Stop) -> Result<Study, CompareError> {
    if Path::new(&request.task).extension().is_some_and(|extension| extension == "toml") {
        let (task, request) = from_file(request)?;
        return compare_on(task.as_ref(), &request, stop);
    }
    compare_on(known_task(&request.task)?, request, stop)
}

/// The same for a task of your own, whatever task `request` names.
///
/// # Errors
///
/// As [`compare`].
pub fn compare_on(task: &dyn Task, request: &Request, stop: &Stop) -> Result<Study, CompareError> {
    // Names first: a spelling mistake should not have to wait for a GPU to start.
    let preset = request.known_preset()?;
    let device = resolve(request.device.as_deref())?;
    let plan = Plan::new(task, request, &device)?;
    let out =
        request.out.clone().unwrap_or_else(|| PathBuf::from("runs").join(format!("{}-{}", plan.task, preset.name())));

    let shown = |results| Study { results, out: out.clone(), found_finished: true };
    if let Some(results) = examine(&out, &plan, request.resume)? {
        return Ok(shown(results));
    }
    let cells = plan.cells_among(task.arms());
    let trials = task.open(&plan, request.data.as_deref(), &device.device)?;
    let folder = match Folder::open(&out, &plan, request.resume)? {
        Found::Work(folder) => folder,
        Found::Finished(results) => return Ok(shown(*results)),
    };
    let symmetry = trials.data_symmetry()?;
    if let Some(symmetry) = &symmetry {
        // Nobody may be listening, and that is no reason not to go on.
        let _ = writeln!(std::io::stderr(), "{}", report::data_symmetry(symmetry));
    }
    let mut progress = Progress::new(&plan, &cells);
    let mut finished = Vec::with_capacity(cells.len());
    for cell in &cells {
        if let Some(earlier) = folder.cell(cell)? {
            progress.skip(cell);
            finished.push(earlier);
            continue;
        }
        let interrupted = CompareError::Interrupted { done: finished.len(), total: cells.len(), out: out.clone() };
        if stop.is_raised() {
            return Err(interrupted);
        }
        reset_peak();
        let session = Session { stop: stop.clone(), checkpoints: Some(folder.checkpoints(cell)) };
        let result = match caught(cell, || trials.run(cell, &session, &mut progress.cell(cell))) {
            Err(CompareError::Fit { source: FitError::Interrupted { .. }, .. }) => return Err(interrupted),
            other => other?,
        };
        if request.keep_weights && result.status == CellStatus::Done {
            folder.keep_weights(cell)?;
        }
        folder.finish(cell, &result, &cells)?;
        progress.finished(cell, &result);
        finished.push(result);
    }
    progress.bar.finish_and_clear();

    // A task of a program's own has no file to name.
    let asked = if request.task.is_empty() { &plan.task } else { &request.task };
    let mut results = assemble(task, &plan, plan.command(asked), finished);
    results.data_symmetry = symmetry;
    report::conclude(&mut results);
    report::write(&results, folder.path())?;
    folder.tidy()?;
    Ok(Study { results, out, found_finished: false })
}

/// Runs a cell. A network that panics is a result, as one that diverges: the study goes on with the others.
fn caught(cell: &CellPlan, run: impl FnOnce() -> Result<Cell, CompareError>) -> Result<Cell, CompareError> {
    // What the closure was at work on is made anew for the next cell.
    panic::catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| {
        let said =
            panic.downcast_ref::<String>().cloned().or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string));
        let message = said.unwrap_or_else(|| "without a message".to_string());
        Ok(Cell { status: CellStatus::Diverged, message: Some(format!("it panicked: {message}")), ..Cell::begun(cell) })
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
        data_symmetry: None,
        poses: Some(task.poses().map(str::to_string)),
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
    plan: &'a Plan,
    cells: usize,
    /// Cells finished, and the steps planned for them.
    done: (usize, u64),
}

impl<'a> Progress<'a> {
    fn new(plan: &'a Plan, cells: &[CellPlan]) -> Self {
        let steps: usize = cells.iter().map(|cell| plan.steps_of(cell)).sum();
        let terminal = std::io::stderr().is_terminal();
        let target = if terminal { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(Some(steps as u64), target);
        let style = "{bar:30} {percent:>3} %  {elapsed} of about {duration}  {msg}";
        bar.set_style(ProgressStyle::with_template(style).unwrap_or_else(|_| ProgressStyle::default_bar()));
        Self { bar, terminal, plan, cells: cells.len(), done: (0, 0) }
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
        let found = match (&result.metric, &result.message) {
            (Some(metric), _) => format!("{} {}", metric.name, report::number(&metric.name, metric.value)),
            (None, Some(message)) => format!("diverged: {message}"),
            (None, None) => "diverged".to_string(),
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
