//! What becomes of the memory of tensors that are gone.
//!
//! A training step frees what it has computed, hundreds of times a second. By default the C library of Linux hands much of that back
//! to the kernel, which must clear it again for the next step. On an EGNN with 29,000 edges that was a third of the time.
//!
//! Kernels on flex take the memory of their larger tensors from a pool, which holds up to 512 MiB of what is no longer used. What Burn's own operations
//! allocate does not come from there.

/// Asks the allocator to keep the memory of what is freed for what comes next. A process then stays as large as it has ever been,
/// until [`release_memory`]. Meant for commands that train; nothing happens elsewhere than on Linux with the GNU C library.
pub fn retain_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: mallopt changes numbers of the allocator under its lock; both parameters exist, and their values are in range.
    #[allow(unsafe_code)] // There is no other way to reach the allocator.
    unsafe {
        // Large blocks, too, come from the heap, and none from a mapping of its own.
        libc::mallopt(libc::M_MMAP_MAX, 0);
        libc::mallopt(libc::M_TRIM_THRESHOLD, libc::c_int::MAX);
    }
}

/// Hands the memory that is free, that of the pool of flex included, back to the operating system, so that what is measured from here on is what is used from here on.
pub fn release_memory() {
    #[cfg(feature = "flex")]
    super::flex::pool::clear();
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: malloc_trim takes the locks that it needs, and touches only what is free.
    #[allow(unsafe_code)] // There is no other way to reach the allocator.
    unsafe {
        libc::malloc_trim(0);
    }
}
