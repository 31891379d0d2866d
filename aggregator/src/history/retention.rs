//! What is deleted because a person said so: hours that are older than a table keeps, or beyond its bytes.
//!
//! Whole hours go, the oldest first, and only some at a time: a clock that is wrong, or a limit with a nought too few, takes a
//! day's worth before it is looked again, and not all there is.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::folder::{Folder, FolderError};
use super::table::{Hour, Table};
use crate::limits::ByteCount;

/// How often it is looked for what is to be deleted.
const LOOK_INTERVAL: Duration = Duration::from_secs(300);
/// Hours of one table that are deleted at a time.
const HOURS_MAX: usize = 24;

/// How much of a table is kept.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Keep {
    /// For how long after its end an hour is kept. `None`: forever.
    pub age: Option<Duration>,
    /// How many bytes of files are kept; the newest hours are, however large they are. `None`: all.
    pub bytes: Option<ByteCount>,
}

/// How much is kept of each table; of one that is not named, everything.
pub type Retention = BTreeMap<Table, Keep>;

/// Deletes what is not kept of some tables.
#[derive(Debug)]
pub(super) struct Expiry {
    keeps: Vec<(Table, Keep)>,
    /// When it was last looked. `None`: not yet.
    looked: Option<Instant>,
}

/// What was deleted.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Expired {
    pub(super) hours: usize,
    pub(super) files: u64,
}

impl Expiry {
    /// Of those tables that one thread writes.
    pub(super) fn new(retention: &Retention, tables: &[Table]) -> Self {
        let of = |table: &Table| Some((*table, *retention.get(table)?));
        let has_limit = |(_, keep): &(Table, Keep)| *keep != Keep::default();
        Self { keeps: tables.iter().filter_map(of).filter(has_limit).collect(), looked: None }
    }

    /// Deletes some of what is not kept, if it is time to look. `now_us`: microseconds since 1970 UTC.
    pub(super) fn step(
        &mut self,
        folder: &Folder,
        now_us: i64,
        now: Instant,
    ) -> Result<Expired, FolderError> {
        let mut expired = Expired::default();
        let is_due = self.looked.is_none_or(|at| now.duration_since(at) >= LOOK_INTERVAL);
        if self.keeps.is_empty() || !is_due {
            return Ok(expired);
        }
        self.looked = Some(now);
        for (table, keep) in &self.keeps {
            let mut hours = BTreeMap::new();
            for hour in folder.hours(*table)? {
                let bytes = keep.bytes.map_or(Ok(0), |_| folder.bytes_of(*table, hour))?;
                hours.insert(hour, bytes);
            }
            for hour in not_kept(&hours, *keep, now_us) {
                let files = folder.delete_hour(*table, hour)?;
                let (table, folder) = (table.name(), hour.folder());
                tracing::info!(
                    table,
                    hour = folder,
                    files,
                    "an hour is deleted: history.keep or history.max_bytes"
                );
                expired.hours += 1;
                expired.files += files;
            }
        }
        Ok(expired)
    }
}

/// Hours that go now, the oldest first. The present one and the one before stay whatever is said.
fn not_kept(hours: &BTreeMap<Hour, u64>, keep: Keep, now_us: i64) -> Vec<Hour> {
    let newest = Hour(Hour::of(now_us).0.saturating_sub(1));
    let oldest_us = keep
        .age
        .map(|age| now_us.saturating_sub(i64::try_from(age.as_micros()).unwrap_or(i64::MAX)));
    let mut bytes: u64 = hours.values().fold(0, |sum, bytes| sum.saturating_add(*bytes));
    let mut going = Vec::new();
    for (hour, of_hour) in hours.range(..newest) {
        let is_old = oldest_us.is_some_and(|oldest_us| hour.end_us() <= oldest_us);
        let is_beyond = keep.bytes.is_some_and(|most| bytes > most.0);
        if going.len() == HOURS_MAX || !(is_old || is_beyond) {
            break;
        }
        bytes = bytes.saturating_sub(*of_hour);
        going.push(*hour);
    }
    going
}

#[cfg(test)]
mod tests {
    use std::fs;

    use headwater_protocol::identity::ShardId;

    use super::*;

    const HOUR: Duration = Duration::from_secs(3_600);
    const NOW: Hour = Hour(498_853);

    fn hours(count: i64) -> BTreeMap<Hour, u64> {
        (0..count).map(|back| (Hour(NOW.0 - back), 10)).collect()
    }

    #[test]
    fn the_oldest_hours_go_and_never_the_newest() {
        let now_us = NOW.end_us() - 1;
        let going =
            |keep: Keep| not_kept(&hours(10), keep, now_us).into_iter().map(|it| NOW.0 - it.0);
        let age = |age| Keep { age: Some(age), bytes: None };
        let bytes = |bytes| Keep { age: None, bytes: Some(ByteCount(bytes)) };
        assert_eq!(going(age(3 * HOUR)).collect::<Vec<_>>(), [9, 8, 7, 6, 5, 4]);
        assert_eq!(going(bytes(85)).collect::<Vec<_>>(), [9, 8], "down to the limit, not below");
        assert_eq!(going(bytes(100)).count(), 0);
        assert_eq!(going(Keep::default()).count(), 0, "nothing is deleted unasked");
        for keep in [age(Duration::ZERO), bytes(0)] {
            assert_eq!(
                going(keep).next_back(),
                Some(2),
                "the present hour and the one before stay"
            );
        }
        let many = not_kept(&hours(1_000), age(HOUR), now_us);
        assert_eq!((many.len(), many[0]), (HOURS_MAX, Hour(NOW.0 - 999)), "a day at a time");
    }

    #[test]
    fn an_hour_is_deleted_with_its_folders_and_other_tables_stay() {
        let root = tempfile::tempdir().unwrap();
        let folder = Folder::open(root.path()).unwrap();
        for back in [0, 1, 2, 30] {
            for (table, shard) in [(Table::Samples, 0), (Table::Samples, 7), (Table::Events, 0)] {
                let place = table.folder(Hour(NOW.0 - back), ShardId(shard));
                folder.put(&place, "g0-000000000000-000000000001.parquet", b"rows").unwrap();
            }
        }
        let keep = Keep { age: Some(HOUR), bytes: None };
        let retention = Retention::from([(Table::Samples, keep)]);
        let mut expiry = Expiry::new(&retention, &Table::OF_RECORDS);
        let (now_us, now) = (NOW.end_us() - 1, Instant::now());
        let expired = expiry.step(&folder, now_us, now).unwrap();
        assert_eq!(expired, Expired { hours: 2, files: 4 });
        assert_eq!(folder.hours(Table::Samples).unwrap(), [Hour(NOW.0 - 1), NOW]);
        assert_eq!(folder.hours(Table::Events).unwrap().len(), 4);
        let day = Table::Samples.folder(Hour(NOW.0 - 30), ShardId(0));
        let day = root.path().join(day).ancestors().nth(2).unwrap().to_owned();
        assert!(!day.exists(), "nor is an empty day left");
        assert_eq!(fs::read_dir(root.path().join(".partial")).unwrap().count(), 0);
        let place = Table::Samples.folder(Hour(NOW.0 - 30), ShardId(0));
        folder.put(&place, "g0-000000000001-000000000002.parquet", b"late").unwrap();
        assert_eq!(expiry.step(&folder, now_us, now).unwrap(), Expired::default(), "not yet");
        let later = expiry.step(&folder, now_us, now + LOOK_INTERVAL).unwrap();
        assert_eq!(later, Expired { hours: 1, files: 1 });
    }
}
