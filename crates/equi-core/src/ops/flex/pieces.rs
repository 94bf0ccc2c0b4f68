//! Work in pieces, on the thread that asks and those of rayon.

use std::any::{Any, TypeId};
use std::cell::RefCell;
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};

use super::float::Float;

/// Multiplications and additions from which a second thread is asked for help: as long as waking it takes.
const PARALLEL: usize = 1 << 20;

/// Runs every piece of `work`, which takes `operations` multiplications and additions together. Who runs which is left to chance: what comes out must not
/// depend on it.
///
/// The calling thread begins at once. Others come to its help when they have woken up; it waits for those that have begun, and for no others.
pub(super) fn for_each<T: Send>(work: Vec<T>, operations: usize, run: impl Fn(T) + Sync) {
    let threads = rayon::current_num_threads().min(work.len());
    if operations < PARALLEL || threads < 2 {
        work.into_iter().for_each(run);
        return;
    }
    let queue = Mutex::new(work.into_iter());
    let all = || {
        loop {
            let next = queue.lock().expect("a queue whose lock is held for one step only").next();
            let Some(piece) = next else { return };
            run(piece);
        }
    };
    help(threads - 1, &all);
}

/// Runs `all` on this thread, and on up to `helpers` others that have begun before it is done here.
fn help(helpers: usize, all: &(dyn Fn() + Sync)) {
    // SAFETY: helpers call it only between `enter` and `leave`, and `close` waits for all that have entered and lets none enter any more.
    // `close` is called before this function returns or unwinds, so the closure and what it borrows are alive in between.
    #[allow(unsafe_code)] // A scope of rayon would wait for threads that sleep, too.
    let forever: &'static (dyn Fn() + Sync) = unsafe { std::mem::transmute(all) };
    let door = Arc::new(Door::default());
    for _ in 0..helpers {
        let door = door.clone();
        rayon::spawn(move || {
            if door.enter() {
                door.leave(catch_unwind(AssertUnwindSafe(forever)).err());
            }
        });
    }
    let here = catch_unwind(AssertUnwindSafe(all)).err();
    let elsewhere = door.close();
    if let Some(panic) = here.or(elsewhere) {
        resume_unwind(panic);
    }
}

/// Where helpers come in, until it is closed.
#[derive(Default)]
struct Door {
    inside: Mutex<Inside>,
    empty: Condvar,
}

#[derive(Default)]
struct Inside {
    closed: bool,
    helpers: usize,
    panic: Option<Box<dyn Any + Send>>,
}

impl Door {
    fn lock(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().expect("nothing panics behind this lock")
    }

    /// Whether there is still something to do.
    fn enter(&self) -> bool {
        let mut inside = self.lock();
        inside.helpers += usize::from(!inside.closed);
        !inside.closed
    }

    fn leave(&self, panic: Option<Box<dyn Any + Send>>) {
        let mut inside = self.lock();
        inside.helpers -= 1;
        inside.panic = inside.panic.take().or(panic);
        if inside.helpers == 0 {
            self.empty.notify_all();
        }
    }

    /// Lets nobody in any more, and waits until all are out. Gives the panic of one of them.
    fn close(&self) -> Option<Box<dyn Any + Send>> {
        let mut inside = self.lock();
        inside.closed = true;
        // The last piece takes less time than falling asleep and waking up.
        for _ in 0..SPINS {
            if inside.helpers == 0 {
                break;
            }
            drop(inside);
            std::hint::spin_loop();
            inside = self.lock();
        }
        while inside.helpers > 0 {
            inside = self.empty.wait(inside).expect("nothing panics behind this lock");
        }
        inside.panic.take()
    }
}

/// How often the door is looked at before its thread sleeps.
const SPINS: usize = 2000;

thread_local! {
    /// Memory of pieces of work that are done, for the next ones of the same thread: fresh memory must be mapped and cleared.
    static SCRATCH: RefCell<HashMap<TypeId, Vec<Box<dyn Any>>>> = RefCell::new(HashMap::new());
}

/// Calls `run` with `lengths` numbers that may be anything, and are this thread's alone.
pub(super) fn with_scratch<F: Float, const N: usize, R>(
    lengths: [usize; N],
    run: impl FnOnce([&mut [F]; N]) -> R,
) -> R {
    // The last first: where one is within another, each finds its own again.
    let kept = SCRATCH.with_borrow_mut(|kept| kept.entry(TypeId::of::<F>()).or_default().pop());
    let mut numbers: Vec<F> = kept.map_or_else(Vec::new, |kept| *kept.downcast().expect("kept by its type"));
    let length = lengths.iter().sum();
    if numbers.len() < length {
        numbers.resize(length, F::ZERO);
    }
    let mut rest = &mut numbers[..];
    let result = run(lengths.map(|length| rest.split_off_mut(..length).expect("long enough")));
    SCRATCH.with_borrow_mut(|kept| kept.entry(TypeId::of::<F>()).or_default().push(Box::new(numbers)));
    result
}
