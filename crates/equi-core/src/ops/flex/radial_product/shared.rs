//! Memory that threads fill part by part.

use std::mem::MaybeUninit;
use std::ops::Range;

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
