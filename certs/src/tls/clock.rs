//! The time by which certificates are judged.

use std::sync::atomic::{AtomicU64, Ordering};

use rustls::time_provider::TimeProvider;
use rustls_pki_types::UnixTime;

/// The system's clock, but never earlier than a time that is known to have passed.
///
/// A device without a battery starts in 1970, where each certificate is not valid yet. The build
/// time and the last time that a node told are lower bounds that cost nothing.
#[derive(Debug, Default)]
pub struct Clock {
    /// Shared by all connections of a process, which only ever raise it; a message would be late
    /// for a handshake.
    floor_unix_s: AtomicU64,
}

impl Clock {
    /// Makes a clock that shows `floor` or later.
    #[must_use]
    pub fn no_earlier_than(floor: UnixTime) -> Self {
        Self { floor_unix_s: AtomicU64::new(floor.as_secs()) }
    }

    /// Notes that `time` has passed, on the word of somebody trusted. An earlier time than before
    /// changes nothing.
    pub fn raise(&self, time: UnixTime) {
        self.floor_unix_s.fetch_max(time.as_secs(), Ordering::Relaxed);
    }

    /// Returns the time by which certificates are judged.
    #[must_use]
    pub fn now(&self) -> UnixTime {
        let floor = self.floor_unix_s.load(Ordering::Relaxed);
        UnixTime::now().max(UnixTime::since_unix_epoch(std::time::Duration::from_secs(floor)))
    }
}

impl TimeProvider for Clock {
    fn current_time(&self) -> Option<UnixTime> {
        Some(self.now())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_clock_never_shows_a_time_before_one_that_has_passed() {
        let ahead = UnixTime::since_unix_epoch(Duration::from_secs(4_000_000_000));
        let clock = Clock::default();
        assert!(clock.now() < ahead);
        clock.raise(ahead);
        assert_eq!(clock.now(), ahead);
        clock.raise(UnixTime::since_unix_epoch(Duration::from_secs(1)));
        assert_eq!(clock.now(), ahead);
        assert_eq!(Clock::no_earlier_than(ahead).now(), ahead);
    }
}
