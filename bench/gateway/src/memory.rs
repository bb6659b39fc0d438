//! How much memory a process holds. Linux only, like the rest of the benchmark.

use std::fs;

/// Bytes of memory that a process holds at the moment.
pub(crate) fn resident(pid: u32) -> Result<u64, String> {
    let path = format!("/proc/{pid}/status");
    let status = fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))?;
    in_bytes(&status).ok_or_else(|| format!("{path}: names no memory:\n{status}"))
}

/// The line `VmRSS:`, which is in KiB.
fn in_bytes(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kib * 1024)
}

/// Megabytes, 10^6 bytes.
pub(crate) fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

/// How many megabytes one is more than another; negative where it is less.
pub(crate) fn more(bytes: u64, than: u64) -> f64 {
    megabytes(bytes) - megabytes(than)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_of_the_kernel() {
        let status = "Name:\tenvoy\nVmHWM:\t   9 kB\nVmRSS:\t   59120 kB\nThreads:\t7\n";
        assert_eq!(in_bytes(status), Some(59_120 * 1024));
        assert_eq!(in_bytes("Name:\tenvoy\n"), None);
    }

    #[test]
    fn our_own_memory_grows_with_what_we_hold() {
        let pid = std::process::id();
        let before = resident(pid).unwrap();
        let held = std::hint::black_box(vec![1_u8; 64 << 20]);
        let after = resident(pid).unwrap();
        assert!(after > before + (32 << 20), "{before}, then {after}");
        drop(held);
        assert!(resident(u32::MAX).is_err());
    }

    #[test]
    fn differences() {
        assert_eq!(more(3_000_000, 1_000_000), 2.0);
        assert_eq!(more(1_000_000, 3_000_000), -2.0);
    }
}
