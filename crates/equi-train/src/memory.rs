//! How much memory the process takes.

use std::fs;

/// Peak resident memory of this process since the last [`reset_peak`], in MiB; none where the operating system does not
/// tell (Linux does).
pub fn peak_rss_mib() -> Option<f64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let kib =
        status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix("kB")?.trim().parse().ok());
    kib.map(|kib: f64| kib / 1024.0)
}

/// Forgets the peak, so that the next one belongs to what runs from here on.
pub fn reset_peak() {
    // Memory that is kept for later would count as used.
    equi_core::ops::release_memory();
    // 5 is the kernel's code for it (proc_pid_clear_refs(5)). Where it is refused, the peak stays that of the process.
    let _ = fs::write("/proc/self/clear_refs", "5");
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn touched_memory_counts_until_the_peak_is_reset() {
        let Some(before) = peak_rss_mib() else { return };
        let touched = std::hint::black_box(vec![1_u8; 256 << 20]);
        let during = peak_rss_mib().unwrap();
        assert!(before > 1.0 && during > 250.0, "{during} MiB with {} MiB in use", touched.len() >> 20);
        drop(touched);
        if fs::write("/proc/self/clear_refs", "5").is_ok() {
            reset_peak();
            let after = peak_rss_mib().unwrap();
            assert!(after < during - 100.0, "{after} MiB after, {during} MiB before the reset");
        }
    }
}
