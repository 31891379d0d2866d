//! Devices whose chains begin anew again and again: slowed down and shown as unstable, never refused.
//!
//! A spool that goes back every hour, or a peer that opens epochs for sport, costs an entry and a lane's
//! state each time. What is counted is asked for, whether or not the fold then applies it.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use headwater_protocol::header::Header;
use headwater_protocol::identity::{DeviceId, Tip};

use crate::limits::{EPOCHS_PER_DAY_MAX, OPENING_WAIT_MAX};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Epochs that devices opened within a day. Held in memory: after a restart of the node the day begins anew.
#[derive(Debug, Default)]
pub(super) struct Openings {
    by_device: Mutex<BTreeMap<DeviceId, Opened>>,
}

#[derive(Clone, Copy, Debug)]
struct Opened {
    /// When the first one of this day was.
    since: Instant,
    last: Instant,
    count: u32,
}

impl Openings {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<DeviceId, Opened>> {
        self.by_device.lock().expect("nobody panics while holding the openings")
    }

    /// Whether a batch opens an epoch. The first one of a lane is none too many.
    pub(super) fn is_one(header: &Header) -> bool {
        header.parent.is_some_and(|parent| parent != Tip::GENESIS)
    }

    /// Takes note of an opening; true if it makes its device unstable.
    pub(super) fn note(&self, device: DeviceId, now: Instant) -> bool {
        let mut opened = self.lock();
        opened.retain(|_, it| now - it.since < DAY);
        let fresh = Opened { since: now, last: now, count: 0 };
        let device = opened.entry(device).or_insert(fresh);
        device.last = now;
        device.count = device.count.saturating_add(1);
        device.count == EPOCHS_PER_DAY_MAX + 1
    }

    /// How long a device waits until its lane is told where the ledger stands: twice as long after each
    /// opening too many. Zero for one that need not.
    pub(super) fn wait(&self, device: DeviceId, now: Instant) -> Duration {
        let opened = self.lock();
        let Some(it) = opened.get(&device) else { return Duration::ZERO };
        let Some(beyond) = it.count.checked_sub(EPOCHS_PER_DAY_MAX + 1) else {
            return Duration::ZERO;
        };
        let wait = Duration::from_secs(1).saturating_mul(1 << beyond.min(16)).min(OPENING_WAIT_MAX);
        (it.last + wait).saturating_duration_since(now)
    }

    /// Whether a device opened too many within a day.
    pub(super) fn is_unstable(&self, device: DeviceId, now: Instant) -> bool {
        let opened = self.lock();
        opened.get(&device).is_some_and(|it| it.count > EPOCHS_PER_DAY_MAX && now - it.since < DAY)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_opens_too_many_epochs_waits_longer_each_time_and_is_stable_again_after_a_day() {
        let openings = Openings::default();
        let (device, now) = (DeviceId([7; 16]), Instant::now());
        for _ in 0..EPOCHS_PER_DAY_MAX {
            assert!(!openings.note(device, now));
            assert_eq!(openings.wait(device, now), Duration::ZERO);
        }
        assert!(openings.note(device, now), "one too many");
        assert!(openings.is_unstable(device, now));
        assert_eq!(openings.wait(device, now), Duration::from_secs(1));
        assert!(!openings.note(device, now), "it is told once");
        assert_eq!(openings.wait(device, now), Duration::from_secs(2));
        assert_eq!(openings.wait(device, now + Duration::from_secs(2)), Duration::ZERO);
        for _ in 0..100 {
            openings.note(device, now);
        }
        assert_eq!(openings.wait(device, now), OPENING_WAIT_MAX);
        assert!(!openings.is_unstable(device, now + DAY));
        assert_eq!(openings.wait(DeviceId([8; 16]), now), Duration::ZERO);
    }
}
