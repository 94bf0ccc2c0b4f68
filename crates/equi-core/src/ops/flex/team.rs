//! Threads that stand by between pieces of work.
//!
//! Operations on small graphs take tens of microseconds, which is as long as it takes to wake a thread. Helpers therefore look out for the next work for a
//! while before they sleep, and whoever asks for help begins without them and, when nothing is left, waits only for those who have begun.

use std::any::Any;
use std::hint::spin_loop;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::ptr::null_mut;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

/// How long a helper looks out for work before it sleeps.
const PATIENCE: Duration = Duration::from_micros(200);

/// Looks between two glances at the clock.
const LOOKS: usize = 64;

/// The helpers, for one caller at a time.
static TEAM: Mutex<Vec<Helper>> = Mutex::new(Vec::new());

struct Helper {
    post: Arc<Post>,
    thread: Thread,
}

/// Where a helper finds its work.
#[derive(Default)]
struct Post {
    /// Null where there is none. Who takes it out, the helper or the caller, decides whether the helper takes part.
    task: AtomicPtr<Task<'static>>,
    asleep: AtomicBool,
}

struct Task<'a> {
    run: &'a (dyn Fn() + Sync),
    /// Helpers that have not said yet that they are done, or were not needed.
    pending: AtomicUsize,
    panic: Mutex<Option<Box<dyn Any + Send>>>,
}

/// Calls `run` on this thread, and on up to `helpers` others if they come in time. False, and nothing is called, where the team is at work for somebody else
/// or there are no threads.
pub(super) fn together(helpers: usize, run: &(dyn Fn() + Sync)) -> bool {
    let Ok(mut team) = TEAM.try_lock() else { return false };
    while team.len() < helpers {
        let Some(helper) = hire() else { return false };
        team.push(helper);
    }
    let task = Task { run, pending: AtomicUsize::new(helpers), panic: Mutex::new(None) };
    for Helper { post, thread } in &team[..helpers] {
        post.task.store((&raw const task).cast_mut().cast(), Ordering::SeqCst);
        if post.asleep.load(Ordering::SeqCst) {
            thread.unpark();
        }
    }
    let result = catch_unwind(AssertUnwindSafe(run));
    for Helper { post, .. } in &team[..helpers] {
        if !post.task.swap(null_mut(), Ordering::AcqRel).is_null() {
            task.pending.fetch_sub(1, Ordering::AcqRel);
        }
    }
    let mut looks = 0_usize;
    while task.pending.load(Ordering::Acquire) > 0 {
        looks += 1;
        // A helper that has been interrupted may need this core.
        if looks.is_multiple_of(1 << 12) { thread::yield_now() } else { spin_loop() }
    }
    drop(team);
    let panic = task.panic.into_inner().unwrap_or_default();
    if let Some(panic) = result.err().or(panic) {
        resume_unwind(panic);
    }
    true
}

fn hire() -> Option<Helper> {
    let post = Arc::new(Post::default());
    let own = post.clone();
    let thread = thread::Builder::new().name("equi".into()).spawn(move || own.serve()).ok()?;
    Some(Helper { post, thread: thread.thread().clone() })
}

impl Post {
    fn serve(&self) {
        loop {
            let task = self.wait();
            // SAFETY: the caller keeps the task until `pending` is zero, which takes this thread: it has taken the task out of its post. It is not touched
            // after that.
            #[allow(unsafe_code)]
            let task = unsafe { &*task };
            if let Err(panic) = catch_unwind(AssertUnwindSafe(task.run))
                && let Ok(mut first) = task.panic.lock()
            {
                first.get_or_insert(panic);
            }
            task.pending.fetch_sub(1, Ordering::AcqRel);
        }
    }

    fn wait(&self) -> *const Task<'static> {
        loop {
            let start = Instant::now();
            while start.elapsed() < PATIENCE {
                for _ in 0..LOOKS {
                    if !self.task.load(Ordering::Relaxed).is_null() {
                        let task = self.task.swap(null_mut(), Ordering::AcqRel);
                        if !task.is_null() {
                            return task;
                        }
                    }
                    spin_loop();
                }
            }
            self.asleep.store(true, Ordering::SeqCst);
            // A task that is posted from here on wakes the thread.
            if self.task.load(Ordering::SeqCst).is_null() {
                thread::park();
            }
            self.asleep.store(false, Ordering::SeqCst);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everybody_works_and_panics_reach_the_caller() {
        for round in 0..200 {
            let count = AtomicUsize::new(0);
            let left = AtomicUsize::new(100);
            let work = || {
                while left.fetch_update(Ordering::AcqRel, Ordering::Acquire, |left| left.checked_sub(1)).is_ok() {
                    count.fetch_add(1, Ordering::AcqRel);
                }
            };
            assert!(together(3, &work));
            assert_eq!(count.into_inner(), 100);
            if round % 50 == 0 {
                // They sleep, and wake up again.
                thread::sleep(2 * PATIENCE);
            }
        }
        let caller = thread::current().id();
        let helped = AtomicBool::new(false);
        let panic = catch_unwind(|| {
            together(1, &|| {
                if thread::current().id() != caller {
                    helped.store(true, Ordering::Release);
                    panic!("of a helper");
                }
                while !helped.load(Ordering::Acquire) {
                    spin_loop();
                }
            })
        });
        assert_eq!(panic.expect_err("it panics").downcast_ref::<&str>(), Some(&"of a helper"));
        assert!(together(1, &|| assert!(!together(1, &|| ())))); // Busy for others, and then free again.
    }
}
