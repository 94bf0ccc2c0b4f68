//! Tensors as slices of numbers.

use std::mem::MaybeUninit;

use burn::backend::flex::FlexTensor;
use burn::tensor::{Shape, TensorData};

use super::float::Float;

/// Numbers from which a second thread is asked for help. Waking one takes about as long as a SiLU of 200,000 numbers.
const PARALLEL: usize = 1 << 19;

/// Whether a kernel on so many numbers is worth more than one thread.
pub(super) fn is_large(numbers: usize) -> bool {
    numbers >= PARALLEL && rayon::current_num_threads() > 1
}

/// The tensor with its numbers side by side, alone in its memory.
pub(super) fn contiguous(tensor: FlexTensor) -> FlexTensor {
    // The handle given is dropped on return, so the new one may be the only one.
    tensor.to_contiguous()
}

/// The numbers of a [`contiguous`] tensor.
pub(super) fn numbers<F: Float>(tensor: &FlexTensor) -> &[F] {
    tensor.storage()
}

/// The numbers of a [`contiguous`] tensor, to be overwritten: a copy where somebody else holds them, too.
pub(super) fn own_numbers<F: Float>(tensor: &mut FlexTensor) -> &mut [F] {
    tensor.storage_mut()
}

/// A tensor whose numbers `fill` writes into memory that nobody has cleared.
///
/// # Safety
/// `fill` must write every number.
#[allow(unsafe_code)] // Clearing the memory takes as long as filling it.
pub(super) unsafe fn filled<F: Float>(shape: impl Into<Shape>, fill: impl FnOnce(&mut [MaybeUninit<F>])) -> FlexTensor {
    let shape = shape.into();
    let length = shape.num_elements();
    let mut numbers = Vec::with_capacity(length);
    fill(&mut numbers.spare_capacity_mut()[..length]);
    // SAFETY: the capacity is at least `length`, and the caller promises that `fill` has written that many.
    unsafe { numbers.set_len(length) };
    tensor(numbers, shape)
}

/// A new tensor.
pub(super) fn tensor<F: Float>(numbers: Vec<F>, shape: impl Into<Shape>) -> FlexTensor {
    FlexTensor::from_data(TensorData::new(numbers, shape))
}

/// Rows and channels.
pub(super) fn dims(tensor: &FlexTensor) -> [usize; 2] {
    tensor.layout().shape().dims()
}
