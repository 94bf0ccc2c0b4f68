//! Rows of one tensor that several threads write, each its own.

use std::marker::PhantomData;
use std::mem::MaybeUninit;

/// The rows of a slice.
pub(super) struct Disjoint<'a, F> {
    first: *mut MaybeUninit<F>,
    width: usize,
    rows: usize,
    slice: PhantomData<&'a mut [MaybeUninit<F>]>,
}

// SAFETY: rows are handed out by `row` only, whose caller sees to it that no row is held twice.
#[allow(unsafe_code)] // Which row a thread writes is known by the data only.
unsafe impl<F: Send> Sync for Disjoint<'_, F> {}

impl<'a, F> Disjoint<'a, F> {
    /// Rows of `width` numbers.
    pub fn new(numbers: &'a mut [MaybeUninit<F>], width: usize) -> Self {
        let rows = numbers.len().checked_div(width).unwrap_or(0);
        Self { first: numbers.as_mut_ptr(), width, rows, slice: PhantomData }
    }

    /// A row; empty where there are none.
    ///
    /// # Safety
    /// Nobody else may hold this row.
    #[allow(unsafe_code, clippy::mut_from_ref)]
    #[inline(always)]
    pub unsafe fn row(&self, row: usize) -> &'a mut [MaybeUninit<F>] {
        if self.rows == 0 {
            return &mut [];
        }
        assert!(row < self.rows, "the row exists");
        // SAFETY: the row lies in the slice, which is borrowed for `'a`, and is held by the caller alone.
        unsafe { std::slice::from_raw_parts_mut(self.first.add(row * self.width), self.width) }
    }
}
