//! Points at which a test has the process end as if it were killed there. In a release build there are none.

/// Ends the process when it passes here for the time that `HEADWATER_KILL_AT=NAME:TIME` says: nothing is
/// flushed, nothing unwinds. What was written stays in the page cache, as after a SIGKILL.
#[cfg(debug_assertions)]
pub(crate) fn pass(name: &str) {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU32, Ordering};

    static WANTED: OnceLock<Option<(String, u32)>> = OnceLock::new();
    static PASSED: AtomicU32 = AtomicU32::new(0);
    let wanted = WANTED.get_or_init(|| {
        let wanted = std::env::var("HEADWATER_KILL_AT").ok()?;
        let (name, time) = wanted.split_once(':')?;
        Some((name.to_owned(), time.parse().ok()?))
    });
    let Some((wanted, time)) = wanted else { return };
    if wanted == name && PASSED.fetch_add(1, Ordering::Relaxed) + 1 == *time {
        std::process::abort();
    }
}

/// Does nothing.
#[cfg(not(debug_assertions))]
pub(crate) fn pass(_name: &str) {}
