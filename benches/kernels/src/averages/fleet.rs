//! Devices with labels that stay, what they send, and what is averaged by.

use std::collections::BTreeMap;
use std::sync::Arc;

use headwater_protocol::batch::Batch;
use headwater_protocol::entry::WindowRules;
use headwater_protocol::identity::{DeviceId, ShardCount, ShardId};
use headwater_protocol::record::{Sample, Series};

use crate::Tick;
use crate::lane::Lane;

/// What is averaged by: eight combinations of five labels.
pub(super) const COMBINATIONS: [&[&str]; 8] = [
    &["device"],
    &["customer"],
    &["model"],
    &["product_version"],
    &["firmware_version"],
    &["customer", "product_version"],
    &["model", "firmware_version"],
    &["customer", "model", "product_version"],
];
/// How many values a label has: 10,000 keys of the last combination, as many as one may have by default.
const VALUES: [(&str, u64); 4] =
    [("customer", 200), ("model", 10), ("product_version", 5), ("firmware_version", 12)];
/// Batches of a round that differ: so few that a body is in the cache when it is added, as one that was just opened.
const BATCHES: usize = 4;

/// A device in the order in which batches come.
pub(super) struct Device {
    pub(super) id: DeviceId,
    pub(super) shard: usize,
}

pub(super) struct Fleet {
    random: Random,
    series: Vec<Arc<Series>>,
    values: Vec<Vec<i64>>,
}

impl Fleet {
    pub(super) fn new() -> Self {
        let metrics =
            [("cpu.busy_ratio", 4), ("memory.used_bytes", 0), ("disk.read_bytes_per_second", 0)];
        let series = metrics.map(|(metric, scale)| {
            Arc::new(Series { metric: metric.to_owned(), labels: Vec::new(), scale })
        });
        let values = vec![vec![4_000, 3_000_000_000, 1_000_000]; BATCHES];
        Self { random: Random(20), series: series.into(), values }
    }

    pub(super) fn rules(with_quantiles: bool) -> WindowRules {
        let combinations = COMBINATIONS.map(|it| it.iter().map(|&it| it.to_owned()).collect());
        WindowRules {
            version: 1,
            from_us: i64::MIN,
            length_us: 10_000_000,
            lateness_us: 1_000_000,
            keys_max: 10_000,
            combinations: combinations.clone().into(),
            quantiles: if with_quantiles { combinations.into() } else { Vec::new() },
        }
    }

    pub(super) fn devices(&mut self, count: usize) -> Vec<Device> {
        let device = |_| {
            let mut id = [0; 16];
            id[..8].copy_from_slice(&self.random.draw().to_le_bytes());
            id[8..].copy_from_slice(&self.random.draw().to_le_bytes());
            let id = DeviceId(id);
            Device { id, shard: usize::from(ShardId::of(id, ShardCount::DEFAULT).0) }
        };
        (0..count).map(device).collect()
    }

    /// Another order.
    pub(super) fn shuffle(&mut self, devices: &mut [Device]) {
        for last in (1..devices.len()).rev() {
            devices.swap(last, self.random.below(last as u64 + 1));
        }
    }

    /// What a device says of itself.
    pub(super) fn labels(&mut self) -> BTreeMap<String, String> {
        let random = &mut self.random;
        let labels = VALUES.map(|(label, values)| {
            (label.to_owned(), format!("{label}-{}", random.draw() % values))
        });
        BTreeMap::from(labels)
    }

    /// Batches of a round: ticks a second apart, values that wander.
    pub(super) fn batches(&mut self, first: i64, ticks: usize) -> Vec<Batch> {
        (0..BATCHES).map(|at| Lane::default().seal(&self.ticks(at, first, ticks))).collect()
    }

    fn ticks(&mut self, at: usize, first: i64, ticks: usize) -> Vec<Tick> {
        let values = &mut self.values[at];
        (first..)
            .take(ticks)
            .map(|second| {
                let samples = values.iter_mut().zip(&self.series).map(|(value, series)| {
                    *value += i64::try_from(self.random.below(65)).unwrap_or(0) - 32;
                    Sample { series: Arc::clone(series), value: *value }
                });
                (second * 1_000_000, samples.collect())
            })
            .collect()
    }
}

/// SplitMix64: the same on every machine.
struct Random(u64);

impl Random {
    fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }

    fn below(&mut self, end: u64) -> usize {
        usize::try_from(self.draw() % end).expect("below the length of a list")
    }
}
