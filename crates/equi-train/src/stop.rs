//! A wish to stop, seen at every optimiser step.

use std::io::Write;
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
    /// Where one of these signals is ignored, as under `nohup` and in the background of a script, or has a handler
    /// already, all are left as they are: nobody means to interrupt, and the flag is never raised.
    ///
    /// # Errors
    ///
    /// When the operating system refuses the handler.
    pub fn on_signal() -> Result<Self, ctrlc::Error> {
        let stop = Self::new();
        let raised = stop.clone();
        let set = ctrlc::try_set_handler(move || {
            if raised.is_raised() {
                std::process::exit(INTERRUPTED.into());
            }
            raised.raise();
            // Standard error may be closed by now, and that is no reason not to stop.
            let _ = writeln!(
                std::io::stderr(),
                "\nequi: stopping after this step; press again to stop at once; --resume goes on"
            );
        });
        match set {
            Ok(()) | Err(ctrlc::Error::MultipleHandlers) => Ok(stop),
            Err(error) => Err(error),
        }
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
