//! Memory for the kernels.

use std::cell::RefCell;
use std::sync::Mutex;

use super::lanes::Lanes;

/// Numbers that begin with a line of the cache, so that vectors do not lie across two, and have room for one more vector at their end.
#[derive(Default)]
pub(super) struct Buffer {
    memory: Vec<u64>,
    /// Before the first line of the cache.
    skipped: usize,
}

/// Memory of buffers that are no longer used: asking the system for pages takes as long as filling them.
static POOL: Mutex<Vec<Vec<u64>>> = Mutex::new(Vec::new());

/// What the pool holds at most: 64 MiB.
const POOLED: usize = 8 << 20;

impl Buffer {
    /// Room for `count` numbers, whatever they are.
    pub(super) fn any<F: Lanes>(count: usize) -> Self {
        // A line more for the one that is cut off, and one for the vector at the end.
        let length = (count.div_ceil(F::MOST) + 2) * 8;
        let mut memory = take(length).unwrap_or_default();
        memory.resize(length, 0);
        let skipped = memory.as_ptr().align_offset(64) % 8;
        Self { memory, skipped }
    }

    pub(super) fn zeros<F: Lanes>(count: usize) -> Self {
        let mut buffer = Self::any::<F>(count);
        buffer.memory.fill(0);
        buffer
    }

    pub(super) fn numbers<F: Lanes>(&self) -> &[F] {
        pulp::bytemuck::cast_slice(&self.memory[self.skipped..])
    }

    pub(super) fn numbers_mut<F: Lanes>(&mut self) -> &mut [F] {
        pulp::bytemuck::cast_slice_mut(&mut self.memory[self.skipped..])
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let Ok(mut pool) = POOL.lock() else { return };
        let pooled: usize = pool.iter().map(Vec::capacity).sum();
        if self.memory.capacity() > 0 && pooled + self.memory.capacity() <= POOLED {
            pool.push(std::mem::take(&mut self.memory));
        }
    }
}

/// The smallest memory of the pool with room for `length` words.
fn take(length: usize) -> Option<Vec<u64>> {
    let mut pool = POOL.lock().ok()?;
    let fits = |(_, memory): &(usize, &Vec<u64>)| memory.capacity() >= length;
    let (place, _) = pool.iter().enumerate().filter(fits).min_by_key(|(_, memory)| memory.capacity())?;
    Some(pool.swap_remove(place))
}

thread_local! {
    static SCRATCH: RefCell<Buffer> = RefCell::default();
}

/// Calls with `count` numbers, which hold what earlier calls on this thread left there.
pub(super) fn with_scratch<F: Lanes, R>(count: usize, call: impl FnOnce(&mut [F]) -> R) -> R {
    SCRATCH.with_borrow_mut(|buffer| {
        if buffer.numbers::<F>().len() < count + F::MOST {
            *buffer = Buffer::any::<F>(count);
        }
        call(buffer.numbers_mut())
    })
}
