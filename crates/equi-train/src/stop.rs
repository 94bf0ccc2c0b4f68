//! A wish to stop, seen at every optimiser step.

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
    /// # Errors
    ///
    /// When the process already has a handler for these signals.
    pub fn on_signal() -> Result<Self, ctrlc::Error> {
        let stop = Self::new();
        let raised = stop.clone();
        ctrlc::try_set_handler(move || {
            if raised.is_raised() {
                std::process::exit(INTERRUPTED.into());
            }
            raised.raise();
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
