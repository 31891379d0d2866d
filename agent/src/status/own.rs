//! What the agent itself takes, as the kernel counts it.

use std::fs;

use super::OwnStatus;

/// Asks the kernel. What it does not tell is 0.
pub(super) fn own() -> OwnStatus {
    OwnStatus { cpu_ms: cpu_ms().unwrap_or(0), rss_bytes: rss_bytes().unwrap_or(0), fds: fds() }
}

/// Fields 14 and 15 of `/proc/self/stat`, counted after the name in brackets.
fn cpu_ms() -> Option<u64> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace().skip(11);
    let (user, system): (u64, u64) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    Some((user + system) * 1000 / rustix::param::clock_ticks_per_second().max(1))
}

/// The second field of `/proc/self/statm`, in pages.
fn rss_bytes() -> Option<u64> {
    let statm = fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = statm.split_ascii_whitespace().nth(1)?.parse().ok()?;
    Some(pages * rustix::param::page_size() as u64)
}

fn fds() -> u64 {
    // The listing itself holds one.
    fs::read_dir("/proc/self/fd").map_or(0, |fds| (fds.count() as u64).saturating_sub(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_tells_what_this_process_takes() {
        let own = own();
        assert!(own.rss_bytes > 100_000 && own.fds >= 3, "{own:?}");
    }
}
