//! A wish to stop, seen at every optimiser step.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A flag that asks a training run to stop at its next step. Clones share the flag.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<AtomicBool>);

/// The exit code of a process ended by Ctrl-C.
pub const INTERRUPTED: u8 = 130;

impl Stop {
    /// A flag that is not raised.
    pub fn new() -> Self {
        Self::default()
    }

    /// A flag raised by Ctrl-C, SIGTERM and SIGHUP. A second signal ends the process at once; what is on disk stays whole.
    ///
    /// A signal that is ignored stays so: SIGHUP under `nohup`, Ctrl-C in the background of a script. Which these are is known on Linux; on other Unix systems it
    /// is taken to be SIGHUP.
    ///
    /// # Errors
    ///
    /// When the operating system refuses the handler.
    pub fn on_signal() -> io::Result<Self> {
        let stop = Self::new();
        let raised = stop.clone();
        on_signals(move || {
            if raised.is_raised() {
                std::process::exit(INTERRUPTED.into());
            }
            raised.raise();
            // Standard error may be closed by now, and that is no reason not to stop.
            let _ = writeln!(
                io::stderr(),
                "\nequi: stopping after this step; press again to stop at once; --resume goes on"
            );
        })?;
        Ok(stop)
    }

    /// Asks to stop.
    pub fn raise(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    /// Whether to stop.
    pub fn is_raised(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

/// Calls `heard`, on a thread of its own, whenever a signal asks this process to end.
fn on_signals(heard: impl FnMut() + Clone + Send + 'static) -> io::Result<()> {
    match ctrlc::try_set_handler(heard.clone()) {
        Ok(()) => Ok(()),
        Err(ctrlc::Error::MultipleHandlers) => on_others(heard),
        Err(error) => Err(io::Error::other(error)),
    }
}

/// The same where one of the signals is ignored or has a handler: that one goes on as it was, and the others are heard.
#[cfg(unix)]
fn on_others(mut heard: impl FnMut() + Send + 'static) -> io::Result<()> {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

    let ignored = ignored().unwrap_or(1 << (SIGHUP - 1));
    let asking = [SIGINT, SIGTERM, SIGHUP].into_iter().filter(|signal| (ignored >> (signal - 1)) & 1 == 0);
    let mut signals = signal_hook::iterator::Signals::new(asking)?;
    std::thread::Builder::new().name("signals".into()).spawn(move || signals.forever().for_each(|_| heard()))?;
    Ok(())
}

/// A bit for every signal that this process ignores, from signal 1 on, as Linux tells it.
#[cfg(unix)]
fn ignored() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"))?;
    u64::from_str_radix(mask.trim(), 16).ok()
}

/// There is only one signal elsewhere.
#[cfg(not(unix))]
fn on_others(_: impl FnMut() + Send + 'static) -> io::Result<()> {
    Ok(())
}
