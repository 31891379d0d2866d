//! Waiting for a condition, with a deadline.

use std::time::{Duration, Instant};

/// Longest wait for anything that is expected. Generous: tests share two processors with builds.
pub const DEADLINE: Duration = Duration::from_secs(120);

/// How often a condition is looked at.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);

/// Waits until there is something, and returns it.
///
/// # Panics
/// If there is nothing within `deadline`; `what` says what was expected.
pub fn wait_for<T>(what: &str, deadline: Duration, mut look: impl FnMut() -> Option<T>) -> T {
    let late = Instant::now() + deadline;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < late, "it does not come true within {deadline:?}: {what}");
        std::thread::sleep(LOOK_INTERVAL);
    }
}

/// Waits until something holds.
///
/// # Panics
/// If it does not within [`DEADLINE`].
pub fn until(what: &str, mut holds: impl FnMut() -> bool) {
    wait_for(what, DEADLINE, || holds().then_some(()));
}
