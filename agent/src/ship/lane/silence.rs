//! Whether a connection that owes an answer is dead. Pure: the time is an argument.
//!
//! QUIC notices a dead peer when its idle time is over, 45 s; a batch that waits is worth asking
//! sooner. An answer is progress; so is data that leaves while the peer's packets come in: a slow link
//! takes minutes for a large batch and is not dead.

use std::time::{Duration, Instant};

/// What a connection has counted so far.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Traffic {
    /// Datagrams that came in.
    pub(super) received: u64,
    /// Frames of streams that went out.
    pub(super) sent: u64,
}

/// The watch over what one lane is owed.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Silence {
    since: Option<Instant>,
    looked: Option<Instant>,
    traffic: Traffic,
}

impl Silence {
    /// Something was sent that has to be answered.
    pub(super) fn owe(&mut self, now: Instant) {
        self.since.get_or_insert(now);
    }

    /// An answer came; `still` says whether another one is owed.
    pub(super) fn answered(&mut self, now: Instant, still: bool) {
        self.since = still.then_some(now);
    }

    /// When to look next; `None` while nothing is owed. Whatever else happens in the meantime does not
    /// put it off.
    pub(super) fn look_at(&self) -> Option<Instant> {
        let since = self.since?;
        Some(self.looked.map_or(since, |looked| looked.max(since)) + LOOK_INTERVAL)
    }

    /// Whether the connection is dead. `least` is the silence that is allowed at least.
    pub(super) fn is_dead(
        &mut self,
        now: Instant,
        traffic: Traffic,
        rtt: Duration,
        least: Duration,
    ) -> bool {
        self.looked = Some(now);
        let Some(since) = self.since else { return false };
        if traffic.received > self.traffic.received && traffic.sent > self.traffic.sent {
            self.since = Some(now);
        }
        self.traffic = traffic;
        // A probe time-out is three round trips at most, where the round trips are steady.
        let allowed = (rtt * 9 + Duration::from_secs(2)).max(least);
        self.since == Some(since) && now.duration_since(since) >= allowed
    }
}

const LOOK_INTERVAL: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    const LEAST: Duration = Duration::from_secs(10);
    const RTT: Duration = Duration::from_millis(20);

    #[test]
    fn a_connection_is_dead_after_ten_seconds_without_an_answer() {
        let (start, mut silence) = (Instant::now(), Silence::default());
        let at = |seconds| start + Duration::from_secs(seconds);
        let none = Traffic::default();
        assert!(!silence.is_dead(at(100), none, RTT, LEAST), "nothing is owed");
        silence.owe(at(100));
        silence.owe(at(105));
        assert!(!silence.is_dead(at(109), none, RTT, LEAST));
        assert!(silence.is_dead(at(110), none, RTT, LEAST), "counted from the first thing owed");
        silence.answered(at(111), true);
        assert!(!silence.is_dead(at(120), none, RTT, LEAST));
        silence.answered(at(120), false);
        assert!(!silence.is_dead(at(500), none, RTT, LEAST));
    }

    #[test]
    fn the_next_look_is_not_put_off_by_what_is_owed_since() {
        let (start, mut silence) = (Instant::now(), Silence::default());
        let at = |tenths: u64| start + Duration::from_millis(100 * tenths);
        assert_eq!(silence.look_at(), None);
        for tenths in 0..10 {
            silence.owe(at(tenths));
            assert_eq!(silence.look_at(), Some(at(10)));
        }
        assert!(!silence.is_dead(at(12), Traffic::default(), RTT, LEAST));
        silence.owe(at(15));
        assert_eq!(silence.look_at(), Some(at(22)), "an interval after the last look");
        silence.answered(at(30), true);
        assert_eq!(silence.look_at(), Some(at(40)), "an interval after the answer");
    }

    #[test]
    fn a_slow_link_is_not_dead_and_one_that_only_repeats_is() {
        let (start, mut silence) = (Instant::now(), Silence::default());
        silence.owe(start);
        for second in 1..100 {
            let traffic = Traffic { received: second, sent: second };
            assert!(!silence.is_dead(start + Duration::from_secs(second), traffic, RTT, LEAST));
        }
        let repeated = Traffic { received: 99, sent: 500 };
        assert!(silence.is_dead(start + Duration::from_secs(110), repeated, RTT, LEAST));
    }

    #[test]
    fn a_long_way_is_given_more_time() {
        let (start, mut silence) = (Instant::now(), Silence::default());
        silence.owe(start);
        let rtt = Duration::from_secs(2);
        let at = |seconds| start + Duration::from_secs(seconds);
        assert!(!silence.is_dead(at(19), Traffic::default(), rtt, LEAST));
        assert!(silence.is_dead(at(20), Traffic::default(), rtt, LEAST));
    }
}
