//! Work in pieces, on the thread that asks and those that help it.

use std::any::{Any, TypeId};
use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Mutex;

use super::float::Float;
use super::team::together;

/// Multiplications and additions from which a second thread is asked for help: as long as waking it takes.
const PARALLEL: usize = 1 << 20;

/// Runs every piece of `work`, which takes `operations` multiplications and additions together. Who runs which is left to chance: what comes out must not
/// depend on it.
///
/// The calling thread begins at once, and the others come to its help when they have woken up.
pub(super) fn for_each<T: Send>(work: Vec<T>, operations: usize, run: impl Fn(T) + Sync) {
    for_each_with(work, operations, || (), |(), piece| run(piece));
}

/// The same with something that every thread makes for itself with `init`, once.
pub(super) fn for_each_with<T: Send, W>(
    work: Vec<T>,
    operations: usize,
    init: impl Fn() -> W + Sync,
    run: impl Fn(&mut W, T) + Sync,
) {
    let threads = rayon::current_num_threads().min(work.len());
    if operations < PARALLEL || threads < 2 {
        let mut own = init();
        work.into_iter().for_each(|piece| run(&mut own, piece));
        return;
    }
    let queue = Mutex::new(work.into_iter());
    let next = || queue.lock().expect("a queue whose lock is held for one step only").next();
    let all = || {
        let Some(first) = next() else { return };
        let mut own = init();
        run(&mut own, first);
        while let Some(piece) = next() {
            run(&mut own, piece);
        }
    };
    if together(threads - 1, &all) {
        return;
    }
    rayon::in_place_scope(|scope| {
        for _ in 1..threads {
            scope.spawn(|_| all());
        }
        all();
    });
}

/// Bytes in a line of the cache. A vector that lies across two takes twice as long.
pub(super) const LINE: usize = 64;

/// The numbers from the first that begins a line of the cache.
pub(super) fn on_a_line<F>(numbers: &mut [F]) -> &mut [F] {
    let skipped = numbers.as_ptr().align_offset(LINE).min(numbers.len());
    &mut numbers[skipped..]
}

thread_local! {
    /// Memory of pieces of work that are done, for the next ones of the same thread: fresh memory must be mapped and cleared.
    static SCRATCH: RefCell<HashMap<TypeId, Vec<Box<dyn Any>>>> = RefCell::new(HashMap::new());
}

/// Calls `run` with `lengths` numbers that may be anything, and are this thread's alone. The first begin with a line of the cache, and so do those that
/// follow whole lines.
pub(super) fn with_scratch<F: Float, const N: usize, R>(
    lengths: [usize; N],
    run: impl FnOnce([&mut [F]; N]) -> R,
) -> R {
    // The last first: where one is within another, each finds its own again.
    let kept = SCRATCH.with_borrow_mut(|kept| kept.entry(TypeId::of::<F>()).or_default().pop());
    let mut numbers: Vec<F> = kept.map_or_else(Vec::new, |kept| *kept.downcast().expect("kept by its type"));
    let length = lengths.iter().sum::<usize>() + LINE;
    if numbers.len() < length {
        numbers.resize(length, F::ZERO);
    }
    let mut rest = on_a_line(&mut numbers);
    let result = run(lengths.map(|length| rest.split_off_mut(..length).expect("long enough")));
    SCRATCH.with_borrow_mut(|kept| kept.entry(TypeId::of::<F>()).or_default().push(Box::new(numbers)));
    result
}
