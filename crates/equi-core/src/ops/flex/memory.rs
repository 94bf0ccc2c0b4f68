//! Tensors as slices of numbers.

use std::marker::PhantomData;
use std::mem::MaybeUninit;

use burn::backend::flex::FlexTensor;
use burn::tensor::{Shape, TensorData};
use burn_std::{AccessError, AccessPolicy, AllocationController, AllocationProperty, Bytes};

use super::float::Float;
use super::pool::Buffer;

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

/// A tensor whose numbers `fill` writes into memory that nobody has cleared: what it leaves out is whatever was there.
pub(super) fn filled<F: Float>(shape: impl Into<Shape>, fill: impl FnOnce(&mut [MaybeUninit<F>])) -> FlexTensor {
    let shape = shape.into();
    let mut memory = Unwritten::new(shape.num_elements());
    fill(memory.numbers());
    memory.tensor(shape)
}

/// The same for kernels that overwrite numbers of all sorts.
pub(super) fn written<F: Float>(shape: impl Into<Shape>, fill: impl FnOnce(&mut [F])) -> FlexTensor {
    let shape = shape.into();
    let length = shape.num_elements();
    let mut buffer = Buffer::any::<F>(length);
    fill(&mut buffer.numbers_mut()[..length]);
    pooled::<F>(buffer, shape)
}

/// Memory of the pool that becomes a tensor when it is written.
pub(super) struct Unwritten<F> {
    buffer: Buffer,
    length: usize,
    numbers: PhantomData<F>,
}

impl<F: Float> Unwritten<F> {
    pub(super) fn new(length: usize) -> Self {
        Self { buffer: Buffer::any::<F>(length), length, numbers: PhantomData }
    }

    #[allow(unsafe_code)]
    pub(super) fn numbers(&mut self) -> &mut [MaybeUninit<F>] {
        let numbers: *mut [F] = &mut self.buffer.numbers_mut::<F>()[..self.length];
        // SAFETY: numbers may be seen as memory that might not hold any; kernels write there and do not empty it.
        unsafe { &mut *(numbers as *mut [MaybeUninit<F>]) }
    }

    /// What is not written is whatever was there.
    pub(super) fn tensor(self, shape: impl Into<Shape>) -> FlexTensor {
        pooled::<F>(self.buffer, shape)
    }

    /// What is not written is whatever was there.
    pub(super) fn as_slice(&self) -> &[F] {
        &self.buffer.numbers()[..self.length]
    }
}

/// A tensor of the first numbers of a buffer, whose memory goes back to the pool when the tensor is gone.
#[allow(unsafe_code)]
pub(super) fn pooled<F: Float>(buffer: Buffer, shape: impl Into<Shape>) -> FlexTensor {
    let shape = shape.into();
    let bytes = shape.num_elements() * size_of::<F>();
    let memory = Pooled { buffer, bytes };
    assert!(memory.bytes().len() >= bytes, "a buffer with room for the tensor");
    // SAFETY: there are so many bytes, and a buffer has no others than numbers.
    let bytes = unsafe { Bytes::from_controller(Box::new(memory), bytes) };
    FlexTensor::from_data(TensorData::from_bytes(bytes, shape, F::dtype()))
}

/// The memory of a tensor.
struct Pooled {
    buffer: Buffer,
    /// Of the tensor.
    bytes: usize,
}

impl Pooled {
    fn bytes(&self) -> &[u8] {
        &self.buffer.numbers()[..self.bytes]
    }
}

#[allow(unsafe_code)] // The trait's.
impl AllocationController for Pooled {
    fn alloc_align(&self) -> usize {
        64
    }

    fn property(&self) -> AllocationProperty {
        AllocationProperty::Other
    }

    unsafe fn memory_mut(&mut self, _: AccessPolicy) -> Result<&mut [MaybeUninit<u8>], AccessError> {
        let bytes: *mut [u8] = &mut self.buffer.numbers_mut::<u8>()[..self.bytes];
        // SAFETY: bytes may be seen as memory that might not hold any; the caller promises not to empty it.
        Ok(unsafe { &mut *(bytes as *mut [MaybeUninit<u8>]) })
    }

    fn memory(&self, _: AccessPolicy) -> Result<&[MaybeUninit<u8>], AccessError> {
        let bytes: *const [u8] = self.bytes();
        // SAFETY: as above, and nobody writes.
        Ok(unsafe { &*(bytes as *const [MaybeUninit<u8>]) })
    }
}

/// A new tensor.
pub(super) fn tensor<F: Float>(numbers: Vec<F>, shape: impl Into<Shape>) -> FlexTensor {
    FlexTensor::from_data(TensorData::new(numbers, shape))
}

/// Rows and channels.
pub(super) fn dims(tensor: &FlexTensor) -> [usize; 2] {
    tensor.layout().shape().dims()
}
