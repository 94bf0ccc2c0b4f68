//! Processes that train the cells of one study side by side.
//!
//! Threads would not do: Burn draws what layers draw on a device, such as dropout, from one seed of the process, and cells would mix theirs. So this program is
//! started again with the same arguments, as often as there are further jobs. Every process goes through the same list of cells and trains those that no
//! other one has claimed; a claim is a lock of the operating system, so that of a process that was killed is free. The first process alone reports.

use std::env;
use std::io::{self, Read};
use std::process::{Child, Command, Stdio};
use std::thread;

use crate::stop::Stop;

/// Tells a process that it is one of the others.
const VARIABLE: &str = "EQUI_WORKER";

/// Whether this process is one that another one has started to train cells.
pub(super) fn is_worker() -> bool {
    env::var_os(VARIABLE).is_some()
}

/// Takes a share of the processors, so that `jobs` processes do not wait for one another.
pub(super) fn share_processors(jobs: usize) {
    let all = thread::available_parallelism().map_or(1, usize::from);
    // A program that has set up its threads before keeps them.
    let _ = rayon::ThreadPoolBuilder::new().num_threads((all / jobs).max(1)).build_global();
}

/// Raises `stop` when the process that started this one ends, however it does.
pub(super) fn stop_with_parent(stop: &Stop) {
    let stop = stop.clone();
    thread::spawn(move || {
        // Nothing is ever written: reading ends when the other end of the pipe is closed.
        let _ = io::stdin().lock().read(&mut [0]);
        stop.raise();
    });
}

/// The other processes. They are stopped, and waited for, when this value is dropped.
pub(super) struct Workers(Vec<Child>);

impl Workers {
    /// Starts this program `count` times, with the arguments that it has.
    pub fn start(count: usize) -> io::Result<Self> {
        let program = env::current_exe()?;
        let mut workers = Self(Vec::with_capacity(count));
        for _ in 0..count {
            let mut command = Command::new(&program);
            command.args(env::args_os().skip(1)).env(VARIABLE, "1");
            workers.0.push(command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn()?);
        }
        Ok(workers)
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        for worker in &mut self.0 {
            drop(worker.stdin.take());
        }
        for worker in &mut self.0 {
            // One that failed has said so, and its cells have been trained by another.
            let _ = worker.wait();
        }
    }
}
