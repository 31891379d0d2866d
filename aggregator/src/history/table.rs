//! The tables, and where their files lie.

use std::fmt;

use headwater_protocol::identity::ShardId;

use crate::sink::Range;

/// A table of the history.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Table {
    /// Samples, in order of device, metric, labels and time.
    Samples,
    /// Lines of logs, in order of device, source and position.
    Events,
    /// What could not be kept, in order of device, source and position.
    Gaps,
}

/// An hour of UTC: how many have passed since 1970.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Hour(pub i64);

const HOUR_US: i64 = 3_600_000_000;

impl Hour {
    /// The hour of a time in microseconds since 1970 UTC.
    #[must_use]
    pub fn of(time_us: i64) -> Self {
        Self(time_us.div_euclid(HOUR_US))
    }

    /// Day and hour; the first or last one that a calendar has, for times beyond.
    fn civil(self) -> (jiff::civil::Date, i8) {
        let at = jiff::Timestamp::from_second(self.0.saturating_mul(3_600))
            .unwrap_or(if self.0 < 0 { jiff::Timestamp::MIN } else { jiff::Timestamp::MAX });
        let at = at.to_zoned(jiff::tz::TimeZone::UTC).datetime();
        (at.date(), at.hour())
    }
}

impl Table {
    /// Every table.
    pub const ALL: [Self; 3] = [Self::Samples, Self::Events, Self::Gaps];

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Samples => "samples",
            Self::Events => "events",
            Self::Gaps => "gaps",
        }
    }

    /// The folder of an hour and a shard, below that of the history.
    #[must_use]
    pub fn folder(self, hour: Hour, shard: ShardId) -> String {
        let (day, of_day) = hour.civil();
        format!("table={}/dt={day}/hour={of_day:02}/shard={:02}", self.name(), shard.0)
    }
}

/// What a file of a range is called.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct FileName {
    pub(super) generation: u64,
    pub(super) first: u64,
    pub(super) end: u64,
}

impl FileName {
    pub(super) fn of(range: &Range) -> Self {
        Self { generation: range.generation.0, first: range.first.0, end: range.end.0 }
    }

    /// What a name says. `None` if it is not of a file of ours.
    pub(super) fn parse(name: &str) -> Option<Self> {
        let (generation, range) =
            name.strip_suffix(".parquet")?.strip_prefix('g')?.split_once('-')?;
        let (first, end) = range.split_once('-')?;
        let number = |text: &str| text.parse().ok();
        let parsed =
            Self { generation: number(generation)?, first: number(first)?, end: number(end)? };
        (parsed.to_string() == name).then_some(parsed)
    }
}

impl fmt::Display for FileName {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { generation, first, end } = self;
        write!(out, "g{generation}-{first:012}-{end:012}.parquet")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_and_names_sort_as_time_and_offsets_do() {
        let hour = Hour::of(1_795_874_399_999_999);
        let folder = Table::Samples.folder(hour, ShardId(7));
        assert_eq!(folder, "table=samples/dt=2026-11-28/hour=13/shard=07");
        let name = FileName { generation: 1, first: 123, end: 456 };
        assert_eq!(name.to_string(), "g1-000000000123-000000000456.parquet");
        assert_eq!(FileName::parse(&name.to_string()), Some(name));
        for other in ["", "g1-1-2.parquet", "x.parquet", "g1-000000000123-000000000456.parquet.tmp"]
        {
            assert_eq!(FileName::parse(other), None, "{other}");
        }
    }

    #[test]
    fn times_that_no_calendar_has_have_a_folder() {
        for time_us in [i64::MIN, -1, 0, i64::MAX] {
            let folder = Table::Gaps.folder(Hour::of(time_us), ShardId(0));
            assert!(folder.starts_with("table=gaps/dt="), "{folder}");
        }
        assert!(Table::Events.folder(Hour::of(-1), ShardId(0)).contains("dt=1969-12-31/hour=23"));
    }
}
