//! A slice that several threads write to, each to numbers of its own.

use std::marker::PhantomData;

/// What [`Shared::write`] and its like promise is the caller's to keep.
pub(super) struct Shared<'a, T> {
    first: *mut T,
    length: usize,
    borrow: PhantomData<&'a mut [T]>,
}

// SAFETY: the pointer comes from a slice that was borrowed for writing, and whoever uses it promises that threads keep apart.
#[allow(unsafe_code)]
unsafe impl<T: Send> Send for Shared<'_, T> {}
// SAFETY: as above.
#[allow(unsafe_code)]
unsafe impl<T: Send> Sync for Shared<'_, T> {}

#[allow(unsafe_code)]
impl<'a, T: Copy> Shared<'a, T> {
    pub(super) fn new(slice: &'a mut [T]) -> Self {
        Self { first: slice.as_mut_ptr(), length: slice.len(), borrow: PhantomData }
    }

    /// # Safety
    /// No other thread uses this place.
    #[inline(always)]
    pub(super) unsafe fn write(&self, place: usize, value: T) {
        debug_assert!(place < self.length);
        // SAFETY: within the slice; nobody else's.
        unsafe { *self.first.add(place) = value };
    }

    /// # Safety
    /// No other thread uses this place.
    #[inline(always)]
    pub(super) unsafe fn update(&self, place: usize, update: impl FnOnce(T) -> T) {
        debug_assert!(place < self.length);
        // SAFETY: within the slice; nobody else's.
        unsafe { *self.first.add(place) = update(*self.first.add(place)) };
    }

    /// # Safety
    /// No other thread uses these places.
    #[inline(always)]
    #[allow(clippy::mut_from_ref)] // That is what it is for.
    pub(super) unsafe fn slice(&self, first: usize, length: usize) -> &mut [T] {
        assert!(first + length <= self.length);
        // SAFETY: within the slice; nobody else's.
        unsafe { std::slice::from_raw_parts_mut(self.first.add(first), length) }
    }
}
