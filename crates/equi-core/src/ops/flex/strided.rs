//! Rows of tensors where they are, side by side or not.

use burn::backend::flex::FlexTensor;

use super::float::Float;
use super::memory::{contiguous, dims, numbers};

/// The tensor `[rows, columns]`, copied only if the numbers of a row are not side by side: columns cut out of a wider tensor stay where they are.
pub(super) fn in_rows(tensor: FlexTensor) -> FlexTensor {
    let [_, columns] = dims(&tensor);
    match tensor.layout().strides() {
        &[row, 1] if row >= columns as isize => tensor,
        _ => contiguous(tensor),
    }
}

/// The rows of a tensor, and of any that follow in its memory.
#[derive(Clone, Copy)]
pub(super) struct Strided<'a, F> {
    /// From the first row on.
    pub(super) numbers: &'a [F],
    /// From one row to the next.
    pub(super) stride: usize,
    pub(super) columns: usize,
}

impl<'a, F: Float> Strided<'a, F> {
    /// Of a tensor from [`in_rows`].
    pub(super) fn of(tensor: &'a FlexTensor) -> Self {
        let layout = tensor.layout();
        let [_, columns] = dims(tensor);
        let stride = layout.strides()[0].unsigned_abs().max(columns);
        Self { numbers: &numbers(tensor)[layout.start_offset()..], stride, columns }
    }

    /// The same from a row on.
    pub(super) fn from(&self, row: usize) -> Self {
        Self { numbers: &self.numbers[row * self.stride..], ..*self }
    }

    /// One after the other, to the last that is whole.
    #[inline(always)]
    pub(super) fn rows(&self) -> impl Iterator<Item = &'a [F]> {
        let columns = self.columns;
        self.numbers.chunks(self.stride).filter_map(move |row| row.get(..columns))
    }
}
