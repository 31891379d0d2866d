//! Latencies in buckets of an eighth of an octave, whose difference gives the quantiles of a while.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Buckets per octave: a quantile is right to 9 %.
const PER_OCTAVE: f64 = 8.0;
/// 32 octaves from 1 µs: more than an hour.
const BUCKETS: usize = 256;

/// How often each latency was seen. Written by many sessions, each a single add; read once a second.
#[derive(Debug)]
pub(crate) struct Latency {
    buckets: [AtomicU64; BUCKETS],
}

impl Default for Latency {
    fn default() -> Self {
        Self { buckets: std::array::from_fn(|_| AtomicU64::new(0)) }
    }
}

impl Latency {
    pub(crate) fn observe(&self, latency: Duration) {
        self.buckets[bucket(latency)].fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn counts(&self) -> LatencyCounts {
        LatencyCounts(self.buckets.iter().map(|bucket| bucket.load(Ordering::Relaxed)).collect())
    }
}

/// The buckets at one moment.
#[derive(Clone, Debug, Default)]
pub(crate) struct LatencyCounts(Vec<u64>);

impl LatencyCounts {
    /// The latency that so many of 100 observations since `before` did not exceed; `None` if there
    /// were none.
    pub(crate) fn percentile_since(&self, before: &Self, percent: u64) -> Option<Duration> {
        let since = |index: usize| {
            let before = before.0.get(index).copied().unwrap_or_default();
            self.0[index].saturating_sub(before)
        };
        let total: u64 = (0..self.0.len()).map(since).sum();
        let wanted = (total * percent).div_ceil(100);
        let mut seen = 0;
        (0..self.0.len()).filter(|_| total > 0).find_map(|index| {
            seen += since(index);
            (seen >= wanted).then(|| upper(index))
        })
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 255")]
fn bucket(latency: Duration) -> usize {
    let micros = (latency.as_secs_f64() * 1e6).max(1.0);
    ((micros.log2() * PER_OCTAVE).ceil() as usize).min(BUCKETS - 1)
}

fn upper(bucket: usize) -> Duration {
    #[expect(clippy::cast_precision_loss, reason = "0 to 255")]
    let octaves = bucket as f64 / PER_OCTAVE;
    Duration::from_secs_f64(octaves.exp2() / 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_the_time_since_they_were_last_asked() {
        let latency = Latency::default();
        latency.observe(Duration::from_secs(9));
        let before = latency.counts();
        for ms in 1..=100 {
            latency.observe(Duration::from_millis(ms));
        }
        let counts = latency.counts();
        for percent in [1, 50, 99, 100] {
            let found = counts.percentile_since(&before, percent).unwrap().as_secs_f64() * 1000.0;
            let expected = f64::from(u32::try_from(percent).unwrap());
            assert!((expected..expected * 1.1).contains(&found), "p{percent}: {found} ms");
        }
        assert_eq!(counts.percentile_since(&counts, 50), None);
    }
}
