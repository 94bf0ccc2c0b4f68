//! Memory that nobody has written, and that threads fill part by part.

use std::cell::RefCell;
use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::ops::Range;

use pulp::bytemuck::Pod;

/// Memory that threads write, each its own part.
pub(super) struct Shared<F>(*mut F, usize);

#[allow(unsafe_code)] // Parts of a tensor that lie between each other are no slices.
// SAFETY: every part is written by one thread, see the places where it is.
unsafe impl<F: Send> Sync for Shared<F> {}

impl<F> Shared<F> {
    pub(super) fn new(numbers: &mut [MaybeUninit<F>]) -> Self {
        Self(numbers.as_mut_ptr().cast(), numbers.len())
    }

    /// # Safety
    /// Nobody else reads or writes the range while the slice lives.
    #[allow(unsafe_code, clippy::mut_from_ref)] // See above.
    pub(super) unsafe fn part(&self, range: Range<usize>) -> &mut [MaybeUninit<F>] {
        assert!(range.start <= range.end && range.end <= self.1, "a part of the memory");
        // SAFETY: in the memory, and the caller's promise.
        unsafe { std::slice::from_raw_parts_mut(self.0.add(range.start).cast(), range.len()) }
    }
}

/// Memory that nobody has written.
pub(super) fn unwritten<F>(length: usize) -> Vec<MaybeUninit<F>> {
    let mut numbers = Vec::with_capacity(length);
    ask_for_large_pages(&mut numbers);
    // SAFETY: nothing is promised about what is in it.
    #[allow(unsafe_code)] // Clearing it takes as long as filling it.
    unsafe {
        numbers.set_len(length);
    }
    numbers
}

/// Asks the kernel for pages of 2 MiB: it clears them four times as fast as those of 4 KiB, and to get the memory for the gradient of a large
/// weight took longer than to compute it.
fn ask_for_large_pages<F>(numbers: &mut Vec<F>) {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        const LARGE: usize = 2 << 20;
        let start = numbers.as_mut_ptr() as usize;
        let first = start.next_multiple_of(LARGE);
        let end = (start + numbers.capacity() * size_of::<F>()) / LARGE * LARGE;
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

/// Bytes that a thread keeps for the next time.
const KEPT: usize = 32 << 20;

/// As many numbers of whatever kind as fit.
type Memory = Vec<MaybeUninit<u128>>;

thread_local! {
    static SPARE: RefCell<Vec<Memory>> = const { RefCell::new(Vec::new()) };
}

/// Memory for what an operation needs while it runs. It is taken from what earlier ones have left: what is mapped anew for every operation, the
/// kernel clears anew.
pub(super) struct Workspace<F> {
    memory: Memory,
    length: usize,
    numbers: PhantomData<F>,
}

impl<F: Pod> Workspace<F> {
    /// Memory that nobody has written, or somebody else.
    pub(super) fn new(length: usize) -> Self {
        const { assert!(align_of::<F>() <= align_of::<u128>(), "the memory is aligned") };
        let needed = (length * size_of::<F>()).div_ceil(size_of::<u128>());
        let spare = SPARE.with_borrow_mut(|spare| {
            let fits = |memory: &Memory| memory.len() >= needed;
            let best = (0..spare.len()).filter(|&place| fits(&spare[place])).min_by_key(|&place| spare[place].len());
            best.map(|place| spare.swap_remove(place))
        });
        Self { memory: spare.unwrap_or_else(|| unwritten(needed)), length, numbers: PhantomData }
    }

    pub(super) fn numbers(&mut self) -> &mut [MaybeUninit<F>] {
        // SAFETY: the memory has room for as many numbers, and is aligned for larger ones.
        #[allow(unsafe_code)] // Memory for numbers of several kinds.
        unsafe {
            std::slice::from_raw_parts_mut(self.memory.as_mut_ptr().cast(), self.length)
        }
    }

    /// # Safety
    /// Every number is written.
    #[allow(unsafe_code)] // See `unwritten`.
    pub(super) unsafe fn written(&self) -> &[F] {
        // SAFETY: as above, and the caller's promise.
        unsafe { std::slice::from_raw_parts(self.memory.as_ptr().cast(), self.length) }
    }
}

impl<F> Drop for Workspace<F> {
    fn drop(&mut self) {
        let memory = std::mem::take(&mut self.memory);
        // A thread that ends has nothing to keep.
        let _ = SPARE.try_with(|spare| {
            let mut spare = spare.borrow_mut();
            let kept: usize = spare.iter().map(|memory| memory.len() * size_of::<u128>()).sum();
            if kept + memory.len() * size_of::<u128>() <= KEPT {
                spare.push(memory);
            }
        });
    }
}

/// # Safety
/// Every number is written.
#[allow(unsafe_code)] // See `unwritten`.
pub(super) unsafe fn written<F>(numbers: Vec<MaybeUninit<F>>) -> Vec<F> {
    let mut numbers = std::mem::ManuallyDrop::new(numbers);
    // SAFETY: the same memory, and the caller's promise.
    unsafe { Vec::from_raw_parts(numbers.as_mut_ptr().cast(), numbers.len(), numbers.capacity()) }
}
