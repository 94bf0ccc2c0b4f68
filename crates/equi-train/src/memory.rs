//! How much memory the process took.

/// Peak resident memory of this process so far, in MiB; 0 where the operating system does not tell (it does on Linux).
pub fn peak_rss_mib() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix("kB")?.trim().parse::<f64>().ok())
        .map_or(0.0, |kib| kib / 1024.0)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn touched_memory_counts() {
        let before = peak_rss_mib();
        let touched = std::hint::black_box(vec![1_u8; 256 << 20]);
        assert!(before > 1.0);
        assert!(peak_rss_mib() > 250.0, "{} MiB with {} MiB in use", peak_rss_mib(), touched.len() >> 20);
    }
}
