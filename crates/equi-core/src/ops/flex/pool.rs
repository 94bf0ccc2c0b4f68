//! Memory that is used again: asking the system for pages takes as long as filling them.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::sync::Mutex;

use pulp::bytemuck::{self, Pod};

/// Numbers that begin with a line of the cache, so that vectors do not lie across two, and have room for one more vector at their end.
#[derive(Default)]
pub(crate) struct Buffer {
    memory: Vec<u64>,
    /// Before the first line of the cache.
    skipped: usize,
}

/// Memory of buffers that are no longer used, the oldest first.
static POOL: Mutex<VecDeque<Vec<u64>>> = Mutex::new(VecDeque::new());

/// What the pool holds at most, in words: 512 MiB.
const POOLED: usize = 64 << 20;

/// Below, the allocator keeps memory itself: 128 KiB.
const SMALLEST: usize = 16 << 10;

/// Words of a line of the cache.
const LINE: usize = 8;

impl Buffer {
    /// Room for `count` numbers, whatever they are.
    pub(crate) fn any<F: Pod>(count: usize) -> Self {
        // A line more for the one that is cut off, and one for the vector at the end.
        let length = ((count * size_of::<F>()).div_ceil(64) + 2) * LINE;
        let memory = take(length).unwrap_or_else(|| fresh(length));
        Self { skipped: memory.as_ptr().align_offset(64) % LINE, memory }
    }

    pub(crate) fn zeros<F: Pod>(count: usize) -> Self {
        let mut buffer = Self::any::<F>(count);
        buffer.memory.fill(0);
        buffer
    }

    pub(crate) fn numbers<F: Pod>(&self) -> &[F] {
        bytemuck::cast_slice(&self.memory[self.skipped..])
    }

    pub(crate) fn numbers_mut<F: Pod>(&mut self) -> &mut [F] {
        bytemuck::cast_slice_mut(&mut self.memory[self.skipped..])
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let memory = std::mem::take(&mut self.memory);
        if (SMALLEST..=POOLED).contains(&memory.len())
            && let Ok(mut pool) = POOL.lock()
        {
            let mut pooled: usize = pool.iter().map(Vec::len).sum();
            while pooled + memory.len() > POOLED {
                pooled -= pool.pop_front().map_or(0, |memory| memory.len());
            }
            pool.push_back(memory);
        }
    }
}

fn fresh(length: usize) -> Vec<u64> {
    let mut memory = vec![0; length];
    ask_for_large_pages(&mut memory);
    memory
}

/// Asks the kernel for pages of 2 MiB: it clears them four times as fast as those of 4 KiB, and to get the memory for the gradient of a large
/// weight took longer than to compute it.
fn ask_for_large_pages(numbers: &mut Vec<u64>) {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        const LARGE: usize = 2 << 20;
        let start = numbers.as_mut_ptr() as usize;
        let first = start.next_multiple_of(LARGE);
        let end = (start + numbers.capacity() * size_of::<u64>()) / LARGE * LARGE;
        if end > first {
            // SAFETY: whole pages of memory that is ours; what is in them stays. If the kernel refuses, nothing is lost.
            #[allow(unsafe_code)] // There is no other way to ask.
            unsafe {
                libc::madvise(first as *mut libc::c_void, end - first, libc::MADV_HUGEPAGE);
            }
        }
    }
    #[cfg(not(all(target_os = "linux", target_env = "gnu")))]
    let _ = numbers;
}

/// The smallest memory of the pool with room for `length` words, and no more than twice as much.
fn take(length: usize) -> Option<Vec<u64>> {
    if length < SMALLEST {
        return None;
    }
    let mut pool = POOL.lock().ok()?;
    let fits = |(_, memory): &(usize, &Vec<u64>)| (length..=2 * length).contains(&memory.len());
    // The one that was used last, of those alike: it may be in the cache.
    let (place, _) = pool.iter().enumerate().rev().filter(fits).min_by_key(|(_, memory)| memory.len())?;
    pool.remove(place)
}

/// Gives back what the pool holds.
pub(crate) fn clear() {
    if let Ok(mut pool) = POOL.lock() {
        pool.clear();
    }
}

thread_local! {
    static SCRATCH: RefCell<Buffer> = RefCell::default();
}

/// Calls with `count` numbers and a vector more, which hold what earlier calls on this thread left there.
pub(crate) fn with_scratch<F: Pod, R>(count: usize, call: impl FnOnce(&mut [F]) -> R) -> R {
    SCRATCH.with_borrow_mut(|buffer| {
        if buffer.numbers::<F>().len() < count + 64 / size_of::<F>() {
            *buffer = Buffer::any::<F>(count);
        }
        call(buffer.numbers_mut())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_room() {
        for count in [0, 1, 15, 16, 17, 100_000, 1_000_001] {
            let mut buffer = Buffer::any::<f32>(count);
            assert_eq!(buffer.numbers::<f32>().as_ptr() as usize % 64, 0, "{count}");
            assert!(buffer.numbers::<f32>().len() >= count + 16, "{count}");
            buffer.numbers_mut::<f32>().fill(1.0);
            assert!(Buffer::zeros::<f64>(count).numbers::<f64>().iter().all(|&x| x == 0.0), "{count}");
        }
    }

    #[test]
    fn memory_comes_back() {
        // A size that nobody else asks for at the same time.
        let count = 12_345_677;
        let buffer = Buffer::any::<u8>(count);
        let first = buffer.numbers::<u8>().as_ptr();
        drop(buffer);
        assert_eq!(Buffer::any::<u8>(count - 100).numbers::<u8>().as_ptr(), first);
        let large = Buffer::any::<u8>(3 * count);
        assert!(large.numbers::<u8>().len() >= 3 * count);
    }
}
