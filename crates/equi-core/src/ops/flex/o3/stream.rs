//! Writing what is too large for the caches, past them, and reading it in time.

use std::mem::MaybeUninit;

/// Numbers of a tensor from which it is written past the caches: most of it would be driven out before it is read again, and a
/// line that is written as a whole needs not be read first.
const LARGE: usize = 1 << 21;

/// Whether a tensor of so many numbers is written past the caches.
pub(super) fn is_streamed(numbers: usize) -> bool {
    cfg!(target_arch = "x86_64") && numbers >= LARGE
}

/// Where rows are written: at once, or by way of `row` past the caches, if there is room in it. Then [`fence`] must follow.
#[inline(always)]
pub(super) fn write<F: Copy>(
    row: &mut [MaybeUninit<F>],
    to: &mut [MaybeUninit<F>],
    fill: impl FnOnce(&mut [MaybeUninit<F>]),
) {
    if row.is_empty() {
        return fill(to);
    }
    let row = &mut row[..to.len()];
    fill(row);
    stream(row, to);
}

/// Copies numbers past the caches. What other threads see is in order only after [`fence`].
#[inline(always)]
#[allow(unsafe_code)] // There is no safe store of this kind.
fn stream<F: Copy>(from: &[MaybeUninit<F>], to: &mut [MaybeUninit<F>]) {
    assert_eq!(from.len(), to.len(), "as many numbers as places");
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{__m128i, _mm_loadu_si128, _mm_stream_si128};

        let width = 16 / size_of::<F>();
        let head = to.as_ptr().align_offset(16).min(from.len());
        let body = (from.len() - head) / width * width;
        to[..head].copy_from_slice(&from[..head]);
        for place in (head..head + body).step_by(width) {
            // SAFETY: `width` numbers from `place` on are in both slices; the target is aligned to 16 bytes from `head` on, since `body` counts
            // whole vectors of 16 bytes, and instructions of SSE2 are there on every processor of this architecture.
            unsafe {
                let number = _mm_loadu_si128(from.as_ptr().add(place).cast::<__m128i>());
                _mm_stream_si128(to.as_mut_ptr().add(place).cast::<__m128i>(), number);
            }
        }
        to[head + body..].copy_from_slice(&from[head + body..]);
    }
    #[cfg(not(target_arch = "x86_64"))]
    to.copy_from_slice(from);
}

/// Has the line of the cache with this number read, if there is such a number: it is needed a while from now, and nobody can tell from what is read before.
#[inline(always)]
pub(super) fn prefetch<F>(numbers: &[F], place: usize) {
    #[cfg(target_arch = "x86_64")]
    if let Some(number) = numbers.get(place) {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};

        #[allow(unsafe_code)]
        // SAFETY: an instruction of SSE, which is there on every processor of this architecture and changes nothing.
        unsafe {
            _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(number).cast());
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (numbers, place);
}

/// Has everything that was streamed seen before what is written from now on.
#[inline(always)]
pub(super) fn fence() {
    #[cfg(target_arch = "x86_64")]
    #[allow(unsafe_code)]
    // SAFETY: an instruction of SSE, which is there on every processor of this architecture.
    unsafe {
        std::arch::x86_64::_mm_sfence();
    }
}
