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
    /// Averages of windows, in order of combination, key, metric, labels and time.
    Averages,
    /// Changes of alerts, in order of time and number.
    Alerts,
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

    /// An hour of a day. `None` if there is none.
    pub(super) fn at(day: jiff::civil::Date, of_day: i8) -> Option<Self> {
        let at = day.to_datetime(jiff::civil::Time::new(of_day, 0, 0, 0).ok()?);
        let at = at.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp();
        Some(Self(at.as_second().div_euclid(3_600)))
    }

    /// Its end, microseconds since 1970 UTC.
    #[must_use]
    pub fn end_us(self) -> i64 {
        self.0.saturating_add(1).saturating_mul(HOUR_US)
    }

    /// The folder of an hour, below that of a table.
    #[must_use]
    pub fn folder(self) -> String {
        let (day, of_day) = self.civil();
        format!("dt={day}/hour={of_day:02}")
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
    pub const ALL: [Self; 5] =
        [Self::Samples, Self::Events, Self::Gaps, Self::Averages, Self::Alerts];
    /// Those whose rows are records: they come from ranges of the shards' logs.
    pub const OF_RECORDS: [Self; 3] = [Self::Samples, Self::Events, Self::Gaps];

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Samples => "samples",
            Self::Events => "events",
            Self::Gaps => "gaps",
            Self::Averages => "averages",
            Self::Alerts => "alerts",
        }
    }

    /// Its folder, below that of the history.
    pub(super) fn place(self) -> String {
        format!("table={}", self.name())
    }

    /// The folder of an hour and a shard, below that of the history.
    #[must_use]
    pub fn folder(self, hour: Hour, shard: ShardId) -> String {
        format!("{}/{}/shard={:02}", self.place(), hour.folder(), shard.0)
    }
}

/// A folder of files: of a table, an hour and a shard.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Spot {
    pub(super) hour: Hour,
    pub(super) table: Table,
    pub(super) shard: ShardId,
}

impl Spot {
    /// The folder, below that of the history.
    pub(super) fn folder(self) -> String {
        self.table.folder(self.hour, self.shard)
    }

    /// What the path of a folder says. `None` if it is none of ours.
    pub(super) fn parse(folder: &str) -> Option<Self> {
        let mut parts = folder.split('/');
        let mut value = |key: &str| parts.next()?.strip_prefix(key)?.strip_prefix('=');
        let table = value("table")?;
        let table = Table::ALL.into_iter().find(|it| it.name() == table)?;
        let day: jiff::civil::Date = value("dt")?.parse().ok()?;
        let of_day: i8 = value("hour")?.parse().ok()?;
        let shard = ShardId(value("shard")?.parse().ok()?);
        let spot = Self { hour: Hour::at(day, of_day)?, table, shard };
        (spot.folder() == folder).then_some(spot)
    }
}

/// What a file is called.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct FileName {
    pub(super) kind: Kind,
    pub(super) generation: u64,
    pub(super) first: u64,
    pub(super) end: u64,
    /// Ranges that it holds rows of, so that a file that is merged again has another name than before.
    pub(super) ranges: u64,
}

/// What a file holds.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Kind {
    /// What one range brought.
    Range,
    /// What several ranges brought, all of them between first entry and end; its footer says which.
    Merged,
    /// The same, and so much of it that it is merged no more.
    Full,
}

impl Kind {
    const ALL: [Self; 3] = [Self::Range, Self::Merged, Self::Full];

    fn letter(self) -> char {
        match self {
            Self::Range => 'g',
            Self::Merged => 'm',
            Self::Full => 'f',
        }
    }
}

impl FileName {
    pub(super) fn of(range: &Range) -> Self {
        let (generation, first, end) = (range.generation.0, range.first.0, range.end.0);
        Self { kind: Kind::Range, generation, first, end, ranges: 1 }
    }

    /// What a name says. `None` if it is not of a file of ours.
    pub(super) fn parse(name: &str) -> Option<Self> {
        let kind = Kind::ALL.into_iter().find(|kind| name.starts_with(kind.letter()))?;
        let (generation, range) =
            name.strip_suffix(".parquet")?.strip_prefix(kind.letter())?.split_once('-')?;
        let (first, end) = range.split_once('-')?;
        let (end, ranges) = match kind {
            Kind::Range => (end, "1"),
            Kind::Merged | Kind::Full => end.split_once('-')?,
        };
        let number = |text: &str| text.parse().ok();
        let (generation, first, end) = (number(generation)?, number(first)?, number(end)?);
        let parsed = Self { kind, generation, first, end, ranges: number(ranges)? };
        (parsed.to_string() == name).then_some(parsed)
    }
}

impl fmt::Display for FileName {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, generation, first, end, ranges } = self;
        write!(out, "{}{generation}-{first:012}-{end:012}", kind.letter())?;
        match kind {
            Kind::Range => write!(out, ".parquet"),
            Kind::Merged | Kind::Full => write!(out, "-{ranges}.parquet"),
        }
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
        let named = |kind| FileName { kind, generation: 1, first: 123, end: 456, ranges: 1 };
        assert_eq!(named(Kind::Range).to_string(), "g1-000000000123-000000000456.parquet");
        let merged = FileName { ranges: 60, ..named(Kind::Merged) };
        assert_eq!(merged.to_string(), "m1-000000000123-000000000456-60.parquet");
        assert_eq!(FileName::parse(&merged.to_string()), Some(merged));
        for name in Kind::ALL.map(named) {
            assert_eq!(FileName::parse(&name.to_string()), Some(name));
        }
        for other in [
            "",
            "g1-1-2.parquet",
            "x.parquet",
            "g1-000000000123-000000000456.parquet.tmp",
            "m1-000000000123-000000000456.parquet",
        ] {
            assert_eq!(FileName::parse(other), None, "{other}");
        }
    }

    #[test]
    fn a_folder_says_what_it_is_of() {
        for hour in [Hour(0), Hour(-1), Hour::of(1_795_874_399_999_999)] {
            let spot = Spot { hour, table: Table::Gaps, shard: ShardId(7) };
            assert_eq!(Spot::parse(&spot.folder()), Some(spot));
        }
        let day = "table=events/dt=2026-11-28";
        for other in [day, "table=other/dt=2026-11-28/hour=13/shard=07"] {
            assert_eq!(Spot::parse(other), None, "{other}");
        }
        for other in ["hour=24/shard=07", "hour=13/shard=7", "hour=13/shard=07/more"] {
            assert_eq!(Spot::parse(&format!("{day}/{other}")), None, "{other}");
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
