//! What a link does to a datagram, and how often it did.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::draws::Draws;

/// What goes wrong. The default is nothing. Shares are in thousandths of the datagrams.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    /// What is lost.
    pub loss: Loss,
    /// Those that come twice.
    pub doubled: u64,
    /// Those of which a byte is changed.
    pub damaged: u64,
    /// How late each is, drawn anew: so they overtake each other. Empty: not at all.
    pub delay_ms: Range<u64>,
    /// The largest that passes. `None`: any.
    pub largest: Option<usize>,
    /// What the link carries in each direction. `None`: anything.
    pub bytes_per_s: Option<u64>,
    /// How often the far end sees another address, as a NAT that forgets does it. `None`: never.
    pub rebinding: Option<Duration>,
    /// Nothing passes.
    pub blackout: bool,
}

/// How datagrams are lost.
#[derive(Clone, Copy, Debug, Default)]
pub enum Loss {
    /// None is.
    #[default]
    None,
    /// Each by itself, so many in a thousand.
    Each(u64),
    /// In bursts (Gilbert and Elliott): a burst begins and ends at a datagram with these chances, in
    /// thousandths; in a burst three of four are lost.
    Bursts {
        /// The chance to enter a burst.
        enter: u64,
        /// The chance to leave it.
        leave: u64,
    },
}

/// What happened to datagrams.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Seen {
    /// Carried, once or more.
    pub passed: u64,
    /// Lost.
    pub lost: u64,
    /// Carried twice.
    pub doubled: u64,
    /// Carried with another byte.
    pub damaged: u64,
    /// Dropped because they were too large.
    pub too_large: u64,
    /// Dropped because too many waited before a thin link.
    pub crowded_out: u64,
    /// New addresses that the far end saw.
    pub rebound: u64,
}

/// The same, as it grows.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) passed: AtomicU64,
    pub(super) lost: AtomicU64,
    pub(super) doubled: AtomicU64,
    pub(super) damaged: AtomicU64,
    pub(super) too_large: AtomicU64,
    pub(super) crowded_out: AtomicU64,
    pub(super) rebound: AtomicU64,
}

impl Counts {
    pub(super) fn seen(&self) -> Seen {
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Seen {
            passed: of(&self.passed),
            lost: of(&self.lost),
            doubled: of(&self.doubled),
            damaged: of(&self.damaged),
            too_large: of(&self.too_large),
            crowded_out: of(&self.crowded_out),
            rebound: of(&self.rebound),
        }
    }
}

/// One direction of a link.
#[derive(Debug)]
pub(super) struct Direction {
    draws: Draws,
    in_burst: bool,
    /// When the thin link has carried all that waits, in microseconds since the proxy's start.
    free_us: u64,
}

/// Longest queue before a thin link: what waits longer is dropped, as in a router with a short buffer.
const QUEUE_US_MAX: u64 = 300_000;

impl Direction {
    pub(super) fn new(seed: u64, purpose: u64) -> Self {
        Self { draws: Draws::new(seed, purpose), in_burst: false, free_us: 0 }
    }

    /// What becomes of a datagram: when each of its copies leaves, in microseconds since the start. It may be
    /// changed.
    pub(super) fn judge(
        &mut self,
        faults: &Faults,
        counts: &Counts,
        (now_us, datagram): (u64, &mut [u8]),
    ) -> Vec<u64> {
        let count = |counter: &AtomicU64| counter.fetch_add(1, Ordering::Relaxed);
        if faults.blackout || self.loses(faults.loss) {
            count(&counts.lost);
            return Vec::new();
        }
        if faults.largest.is_some_and(|largest| datagram.len() > largest) {
            count(&counts.too_large);
            return Vec::new();
        }
        let Some(carried_us) = self.carried_us(faults, now_us, datagram.len()) else {
            count(&counts.crowded_out);
            return Vec::new();
        };
        if self.draws.of(0..1_000) < faults.damaged && !datagram.is_empty() {
            let place = self.draws.place(datagram.len());
            datagram[place] ^= 1 << self.draws.of(0..8);
            count(&counts.damaged);
        }
        count(&counts.passed);
        let mut copies = 1;
        if self.draws.of(0..1_000) < faults.doubled {
            copies = 2;
            count(&counts.doubled);
        }
        (0..copies).map(|_| carried_us + self.late_us(faults)).collect()
    }

    fn loses(&mut self, loss: Loss) -> bool {
        match loss {
            Loss::None => false,
            Loss::Each(share) => self.draws.of(0..1_000) < share,
            Loss::Bursts { enter, leave } => {
                let turns = if self.in_burst { leave } else { enter };
                self.in_burst ^= self.draws.of(0..1_000) < turns;
                self.in_burst && self.draws.percent(75)
            }
        }
    }

    fn carried_us(&mut self, faults: &Faults, now_us: u64, length: usize) -> Option<u64> {
        let Some(rate) = faults.bytes_per_s else { return Some(now_us) };
        let begins_us = self.free_us.max(now_us);
        if begins_us - now_us > QUEUE_US_MAX {
            return None;
        }
        self.free_us = begins_us + length as u64 * 1_000_000 / rate.max(1);
        Some(self.free_us)
    }

    fn late_us(&mut self, faults: &Faults) -> u64 {
        if faults.delay_ms.is_empty() {
            return 0;
        }
        self.draws.of(faults.delay_ms.clone()) * 1_000
    }
}
