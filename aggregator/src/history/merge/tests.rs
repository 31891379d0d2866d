//! Files are merged, killed at every step, cut back, damaged: whoever lists the tables finds each row once.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use headwater_protocol::identity::{DeviceId, Generation, Lane, Offset};
use headwater_protocol::position::{Run, SourceId, Stream};
use headwater_protocol::record::{Cause, Event, Gap, Part, Sample, Series};
use parquet::file::reader::{FileReader, SerializedFileReader};

use super::super::events::Events;
use super::super::file::tests::joined;
use super::super::file::{Footer, encode};
use super::super::gaps::{self, Gaps};
use super::super::retention::Retention;
use super::super::samples::{Origin, Samples};
use super::super::sink::Parquet;
use super::super::table::{Hour, Table};
use super::*;
use crate::sink::{Destination, Place, Range, Tags};

const LOG: LogId = LogId([5; 16]);
const SHARD: ShardId = ShardId(7);
const HOUR: Hour = Hour(498_853);
/// Entries of a range.
const ENTRIES: u64 = 10;

#[test]
fn a_merged_file_holds_the_rows_of_all_in_the_order_of_its_table() {
    let (one, other) = (History::new(), History::new());
    for history in [&one, &other] {
        history.put_ranges(0..6);
        let before = history.all_rows();
        history.merge_to_the_end(6);
        assert_eq!(history.all_rows(), before);
        for table in Table::OF_RECORDS {
            assert_eq!(history.names(table), ["m0-000000000000-000000000060-6.parquet"]);
            expect_kept_properties(&history.files(table)[0], table);
        }
        history.expect_nothing_in_the_making();
    }
    for table in Table::OF_RECORDS {
        let (one, other) = (&one.files(table)[0], &other.files(table)[0]);
        assert_eq!(
            fs::read(one).unwrap(),
            fs::read(other).unwrap(),
            "the same rows, the same bytes"
        );
    }
    let rows = one.rows(Table::Samples);
    let unsorted = |row: &String| (text(row, "device"), text(row, "metric"), text(row, "labels"));
    let mut expected = rows.clone();
    expected.sort_by_key(|row| (unsorted(row), text(row, "time")));
    assert_eq!(rows, expected);
}

#[test]
fn files_of_several_groups_of_rows_are_merged() {
    let history = History::new();
    let (range, table) = (range(0, 2), Table::Events);
    let parts = [0, 1].map(|number| encoded(table, &self::range(number, number + 1)));
    let rows = 2 * ROWS;
    let mut footer = Footer::parse(&says(&parts[0]), ROWS).unwrap();
    footer.held[0] = Held { first: range.first.0, end: range.end.0, generation: 0, rows };
    // Rows say the range that they came by; both parts are of one here.
    let parts = [0, 1].map(|_| parts[0].clone()).to_vec();
    history.put(table, &range, &joined(table, &footer, parts));
    for number in 2..5 {
        let range = self::range(number, number + 1);
        history.put(table, &range, &encoded(table, &range));
    }
    let before = history.rows_sorted(table);
    history.merge_to_the_end(5);
    assert_eq!(history.names(table).len(), 1);
    assert_eq!(history.rows_sorted(table), before);
}

#[test]
fn late_files_lie_beside_the_merged_one_until_there_are_enough_of_them() {
    let history = History::new();
    history.put_ranges(0..20);
    history.merge_to_the_end(20);
    let mut files = Vec::new();
    for late in 20..60 {
        history.put_ranges(late..late + 1);
        let before = history.all_rows();
        history.merge_to_the_end(late + 1);
        assert_eq!(history.all_rows(), before);
        files.push(history.names(Table::Events).len());
    }
    assert_eq!(files[..7], [2, 3, 4, 5, 6, 7, 1], "eight small files become one");
    assert!(files.iter().all(|files| *files <= 10), "{files:?}");
    history.expect_nothing_in_the_making();
}

#[test]
fn an_hour_that_goes_on_and_ranges_that_are_not_finished_are_left_alone() {
    let history = History::new();
    history.put_ranges(0..4);
    let mut merger = history.merger();
    let folder = history.folder();
    let end_us = (HOUR.0 + 1) * HOUR_US;
    let at = |end: u64, clock_us| {
        BTreeMap::from([(SHARD, Settled { end: Offset(end * ENTRIES), clock_us })])
    };
    for settled in [at(4, end_us + SETTLE_US - 1), at(1, i64::MAX), BTreeMap::new()] {
        let merged = merger.step(&folder, &settled, Instant::now());
        assert!(merged.unwrap().is_none(), "{settled:?}");
        history.put_ranges(0..4);
        Table::OF_RECORDS.into_iter().for_each(|table| merger.note(spot(table)));
    }
    assert!(merger.step(&folder, &at(3, end_us + SETTLE_US), Instant::now()).unwrap().is_some());
    let merged = "m0-000000000000-000000000030-3.parquet".to_owned();
    assert!(Table::OF_RECORDS.iter().any(|table| history.names(*table).contains(&merged)));
}

/// Steps after which the process ends while it merges.
const POINTS: [&str; 4] = [
    "history.merged_file_written",
    "history.next_folder_complete",
    "history.folder_exchanged",
    "history.old_file_deleted",
];

#[test]
fn a_process_that_ends_at_any_step_of_a_merge_leaves_each_row_once() {
    let mut ended = 0;
    for point in POINTS {
        for time in 1.. {
            let history = History::new();
            history.put_ranges(0..4);
            let before = history.all_rows();
            let has_ended = history.run_elsewhere("merge", point, time);
            assert_eq!(history.all_rows(), before, "{point}:{time}");
            history.expect_nothing_in_the_making();
            history.merge_to_the_end(4);
            assert_eq!(history.all_rows(), before, "{point}:{time}, and again");
            assert!(Table::OF_RECORDS.iter().all(|table| history.names(*table).len() == 1));
            if !has_ended {
                break;
            }
            ended += 1;
        }
    }
    assert_eq!(ended, 3 * 3 + 3 * 4, "each step of each table, and each old file");
}

#[test]
fn a_process_that_ends_at_any_step_of_a_cut_leaves_what_the_log_holds() {
    for point in POINTS {
        for time in 1.. {
            let history = History::new();
            history.put_ranges(0..2);
            let expected = history.all_rows();
            history.put_ranges(2..4);
            history.merge_to_the_end(4);
            let has_ended = history.run_elsewhere("cut", point, time);
            history.withdraw_beyond(2);
            assert_eq!(history.all_rows(), expected, "{point}:{time}");
            let aside = history.root().join(".withdrawn").join(spot(Table::Samples).folder());
            assert_eq!(fs::read_dir(aside).unwrap().count(), 1, "{point}:{time}");
            history.expect_nothing_in_the_making();
            if !has_ended {
                break;
            }
        }
    }
}

/// What another process does for the tests above, until it is ended. By itself it does nothing.
#[test]
fn what_another_process_does() {
    let Some(root) = std::env::var_os("HEADWATER_TEST_HISTORY") else { return };
    let root = Path::new(&root);
    if std::env::var("HEADWATER_TEST_DOES").unwrap() == "cut" {
        let mut sink = Parquet::new(root.to_owned(), LOG, &Retention::default());
        sink.withdraw(&places(2, None)).unwrap();
        drop(Folder::open(root).unwrap());
        return;
    }
    merge_to_the_end(root, 4);
}

#[test]
fn what_the_log_lost_is_withdrawn_from_merged_files_and_comes_again() {
    let history = History::new();
    history.put_ranges(0..3);
    let expected = history.all_rows();
    history.put_ranges(3..6);
    history.merge_to_the_end(6);
    let all = history.all_rows();
    history.put_ranges(6..7);
    assert_eq!(history.withdraw_beyond(3), 6, "three merged files and three of ranges");
    assert_eq!(history.all_rows(), expected);
    assert_eq!(history.names(Table::Gaps), ["m0-000000000000-000000000030-3.parquet"]);
    assert_eq!(history.withdraw_beyond(3), 0);
    history.put_ranges(3..6);
    assert_eq!(history.all_rows(), all);
    history.merge_to_the_end(6);
    // Back to before everything.
    assert!(history.withdraw_beyond(0) > 0);
    assert!(history.all_rows().is_empty());
    history.put_ranges(0..6);
    assert_eq!(history.all_rows(), all);
}

#[test]
fn a_range_that_is_written_again_is_found_in_the_merged_file() {
    let history = History::new();
    history.put_ranges(0..4);
    history.merge_to_the_end(4);
    let (folder, merger) = (history.folder(), history.merger());
    for (range, expected) in [(range(1, 2), true), (range(4, 5), false), (range(1, 3), false)] {
        for table in Table::OF_RECORDS {
            let holds = merger.holds(&folder, spot(table), FileName::of(&range)).unwrap();
            assert_eq!(holds, expected, "{range:?}");
        }
    }
    let other = Range { generation: Generation(1), ..range(1, 2) };
    assert!(!merger.holds(&folder, spot(Table::Gaps), FileName::of(&other)).unwrap());
}

#[test]
fn a_damaged_file_is_named_and_nothing_of_its_folder_is_touched() {
    let damages: [fn(&mut Vec<u8>); 3] =
        [|bytes| bytes[100] ^= 1, |bytes| bytes.truncate(bytes.len() / 2), Vec::clear];
    for damage in damages {
        let history = History::new();
        history.put_ranges(0..4);
        let damaged = history.files(Table::Events)[2].clone();
        let mut bytes = fs::read(&damaged).unwrap();
        damage(&mut bytes);
        fs::write(&damaged, &bytes).unwrap();
        let folder = history.folder();
        let (mut merger, mut errors) = (history.merger(), Vec::new());
        for _ in 0..8 {
            if let Err((spot, error)) = merger.step(&folder, &settled(4), Instant::now()) {
                assert_eq!(spot, Some(self::spot(Table::Events)));
                errors.push(crate::api::chain(&error));
            }
        }
        assert_eq!(errors.len(), 1, "it is tried again after a while: {errors:?}");
        assert!(errors[0].contains(&damaged.display().to_string()), "{errors:?}");
        assert_eq!(history.names(Table::Events).len(), 4);
        assert_eq!(history.names(Table::Samples).len(), 1, "other folders are merged");
        fs::write(&damaged, encoded(Table::Events, &range(2, 3))).unwrap();
        let later = Instant::now() + TRY_AGAIN;
        assert!(merger.step(&folder, &settled(4), later).unwrap().is_some());
        assert_eq!(history.names(Table::Events).len(), 1);
    }
}

#[test]
fn files_of_another_log_of_older_builds_and_of_persons_stay_as_they_are() {
    let history = History::new();
    history.put_ranges(0..4);
    let events = history.root().join(spot(Table::Events).folder());
    fs::write(events.join("a person's.parquet"), b"notes").unwrap();
    // Of another range than its name says.
    let gaps = history.files(Table::Gaps);
    fs::copy(&gaps[0], &gaps[1]).unwrap();
    let (folder, mut merger) = (history.folder(), history.merger());
    let steps = (0..8).map(|_| merger.step(&folder, &settled(4), Instant::now()).is_err());
    assert_eq!(steps.filter(|is_error| *is_error).count(), 1);
    assert_eq!(history.names(Table::Gaps).len(), 4);
    assert_eq!(fs::read(events.join("a person's.parquet")).unwrap(), b"notes");
    assert_eq!(history.names(Table::Events).len(), 1, "it does not hinder");
}

#[test]
fn whoever_lists_and_reads_meanwhile_finds_each_row_once_or_is_told() {
    const HOURS: i64 = 30;
    let history = History::new();
    for hour in (0..HOURS).map(|more| Hour(HOUR.0 + more)) {
        for number in 0..4 {
            let range = range(number, number + 1);
            let place = Spot { hour, ..spot(Table::Gaps) }.folder();
            let bytes = encoded(Table::Gaps, &range);
            history.folder().put(&place, FileName::of(&range), &bytes).unwrap();
        }
    }
    let tables = history.root().join("table=gaps");
    let (is_over, asked) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|threads| {
        threads.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                if let Some(rows) = rows_below(&tables) {
                    assert_eq!(rows, 4 * ROWS * HOURS.unsigned_abs());
                    asked.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
        history.merge_to_the_end(4);
        let enough = asked.load(Ordering::Relaxed) + 1;
        let late = Instant::now() + Duration::from_secs(30);
        while asked.load(Ordering::Relaxed) < enough && Instant::now() < late {
            std::thread::yield_now();
        }
        is_over.store(true, Ordering::Relaxed);
    });
    assert!(asked.into_inner() > 0, "it was asked");
}

/// Rows of all files that a folder and those below it list, each opened later. `None` if one is not there any more.
fn rows_below(folder: &Path) -> Option<u64> {
    let (mut files, mut folders) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some() { files.push(path) } else { folders.push(path) }
        }
    }
    let rows = |path| {
        let reader = SerializedFileReader::new(fs::File::open(path).ok()?).unwrap();
        Some(reader.metadata().file_metadata().num_rows().unsigned_abs())
    };
    files.into_iter().map(rows).sum()
}

#[test]
fn what_one_file_may_hold_is_bounded() {
    let weight = |rows, unpacked, ranges| Weight { rows, unpacked, ranges };
    assert!(weight(1 << 20, 64 << 20, 4_096).fits());
    for more in [weight(1, 0, 0), weight(0, 1, 0), weight(0, 0, 1)] {
        assert!(!weight(1 << 20, 64 << 20, 4_096).plus(more).fits());
    }
}

/// Rows of each file that is put.
const ROWS: u64 = 12;

/// A history in a folder of its own.
struct History(tempfile::TempDir);

impl History {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn root(&self) -> &Path {
        self.0.path()
    }

    fn folder(&self) -> Folder {
        Folder::open(self.root()).unwrap()
    }

    fn merger(&self) -> Merger {
        let mut merger = Merger::new(LOG);
        let folder = self.folder();
        folder.spots().unwrap().into_iter().for_each(|spot| merger.note(spot));
        merger
    }

    fn put(&self, table: Table, range: &Range, bytes: &[u8]) {
        self.folder().put(&spot(table).folder(), FileName::of(range), bytes).unwrap();
    }

    fn put_ranges(&self, numbers: std::ops::Range<u64>) {
        for number in numbers {
            let range = range(number, number + 1);
            for table in Table::OF_RECORDS {
                self.put(table, &range, &encoded(table, &range));
            }
        }
    }

    /// Merges until there is nothing left to merge, and deletes what was there before.
    fn merge_to_the_end(&self, ranges: u64) {
        merge_to_the_end(self.root(), ranges);
    }

    fn withdraw_beyond(&self, ranges: u64) -> u64 {
        let mut sink = Parquet::new(self.root().to_owned(), LOG, &Retention::default());
        sink.withdraw(&places(ranges, None)).unwrap()
    }

    /// Has another process do something until it ends at a point; whether it did is returned.
    fn run_elsewhere(&self, does: &str, point: &str, time: u32) -> bool {
        let test = "history::merge::tests::what_another_process_does";
        let done = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", test, "--test-threads=1"])
            .env("HEADWATER_TEST_HISTORY", self.root())
            .env("HEADWATER_TEST_DOES", does)
            .env("HEADWATER_KILL_AT", format!("{point}:{time}"))
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&done.stdout);
        assert!(done.status.code().is_none_or(|code| code == 0), "{said}");
        !done.status.success()
    }

    fn files(&self, table: Table) -> Vec<PathBuf> {
        let folder = self.root().join(spot(table).folder());
        let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
        let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
        files.retain(|path| !path.ends_with("a person's.parquet"));
        files.sort();
        files
    }

    fn names(&self, table: Table) -> Vec<String> {
        let name = |path: &PathBuf| path.file_name().unwrap().to_str().unwrap().to_owned();
        self.files(table).iter().map(name).collect()
    }

    /// All rows of a table, file after file, as text.
    fn rows(&self, table: Table) -> Vec<String> {
        let rows = |path: PathBuf| {
            let reader = SerializedFileReader::new(fs::File::open(path).unwrap()).unwrap();
            let rows: Vec<String> =
                reader.get_row_iter(None).unwrap().map(|row| row.unwrap().to_string()).collect();
            rows
        };
        self.files(table).into_iter().flat_map(rows).collect()
    }

    fn rows_sorted(&self, table: Table) -> Vec<String> {
        let mut rows = self.rows(table);
        rows.sort();
        rows
    }

    fn all_rows(&self) -> Vec<String> {
        Table::OF_RECORDS.into_iter().flat_map(|table| self.rows_sorted(table)).collect()
    }

    /// Once it is opened again.
    fn expect_nothing_in_the_making(&self) {
        drop(self.folder());
        let left = fs::read_dir(self.root().join(".partial")).unwrap().count();
        assert_eq!(left, 0, "nothing is left in the making");
    }
}

fn merge_to_the_end(root: &Path, ranges: u64) {
    let folder = Folder::open(root).unwrap();
    let mut merger = Merger::new(LOG);
    folder.spots().unwrap().into_iter().for_each(|spot| merger.note(spot));
    while merger.step(&folder, &settled(ranges), Instant::now()).unwrap().is_some() {}
    let later = Instant::now() + RETIRED_FOR;
    assert!(merger.step(&folder, &settled(ranges), later).unwrap().is_none());
}

fn settled(ranges: u64) -> BTreeMap<ShardId, Settled> {
    let end = Offset(ranges * ENTRIES);
    BTreeMap::from([(SHARD, Settled { end, clock_us: i64::MAX })])
}

fn places(ranges: u64, begun: Option<Offset>) -> BTreeMap<ShardId, Place> {
    let from = range(0, ranges);
    BTreeMap::from([(SHARD, Place { from, begun, has_lost: true })])
}

fn spot(table: Table) -> Spot {
    Spot { hour: HOUR, table, shard: SHARD }
}

fn range(from: u64, to: u64) -> Range {
    Range {
        shard: SHARD,
        generation: Generation(0),
        first: Offset(from * ENTRIES),
        end: Offset(to * ENTRIES),
        tip: [u8::try_from(to).unwrap(); 32],
        clock_us: HOUR.0 * HOUR_US,
    }
}

/// The file of a range: rows of two devices, with and without all that may be absent.
fn encoded(table: Table, range: &Range) -> Vec<u8> {
    let (devices, start) = ([2, 1].map(|it| DeviceId([it; 16])), range.first.0);
    let time = |at: u64| range.clock_us + i64::try_from(start + at).unwrap();
    let mut tags = Tags::default();
    "edge".clone_into(&mut tags.host);
    let stream = Stream { source: SourceId([3; 16]), run: Run { number: 1, nonce: u64::MAX } };
    let origin = Origin { tags: Arc::new(tags), stream, shift_us: -5 };
    let (mut samples, mut events, mut gaps) =
        (Samples::default(), Events::default(), Gaps::default());
    for device in devices {
        for at in 0..ROWS / 2 {
            let body = if at == 1 { vec![0xff] } else { format!("line {start} {at}").into_bytes() };
            let line = (time(at), start + at, start + at + 1 + body.len() as u64 + at % 2);
            let event = Event { body, part: Part::Whole };
            events.add(device, line, event, (Some(&"/log".into()), &origin));
            let cause = if at == 0 { Cause::SpoolFull } else { Cause::Vanished };
            let gap = Gap { cause, records: at, bytes: start, about: None };
            let (path, origin) = (None, origin.clone());
            let (time_us, start, end, lane) = (time(at), start, start, Lane::Bulk);
            gaps.add(gaps::Row { device, lane, path, origin, time_us, start, end, gap });
        }
        for at in 0..ROWS / 6 {
            let sample = |labels: &[(&str, &str)], value| {
                let text = |it: &&str| (*it).to_owned();
                let labels = labels.iter().map(|(name, it)| (text(name), text(it))).collect();
                let series = Series { metric: "cpu.busy_ratio".to_owned(), labels, scale: 4 };
                Sample { series: Arc::new(series), value }
            };
            let all = [
                sample(&[], i64::try_from(start + at).unwrap()),
                sample(&[("cpu", "0")], i64::MAX),
                sample(&[("cpu", "1")], -1),
            ];
            samples.add(device, (time(at), start + at), &all.into_iter().collect(), &origin);
        }
    }
    let whose = (LOG, range);
    let encoded = match table {
        Table::Samples => encode(table, whose, |columns| samples.write(columns)),
        Table::Events => encode(table, whose, |columns| events.write(columns)),
        Table::Gaps => encode(table, whose, |columns| gaps.write(columns)),
        Table::Averages | Table::Alerts => panic!("{table:?} has no ranges"),
    };
    encoded.unwrap()
}

fn says(file: &[u8]) -> Vec<parquet::file::metadata::KeyValue> {
    let reader = SerializedFileReader::new(bytes::Bytes::copy_from_slice(file)).unwrap();
    reader.metadata().file_metadata().key_value_metadata().unwrap().clone()
}

/// What makes queries fast is there as in the file of a range.
fn expect_kept_properties(path: &Path, table: Table) {
    let file = SerializedFileReader::new(fs::File::open(path).unwrap()).unwrap();
    let range =
        SerializedFileReader::new(bytes::Bytes::from(encoded(table, &range(0, 1)))).unwrap();
    let (merged, range) = (file.metadata().row_group(0), range.metadata().row_group(0).clone());
    assert_eq!(merged.sorting_columns(), range.sorting_columns());
    for (merged, range) in merged.columns().iter().zip(range.columns()) {
        let name = merged.column_path().string();
        assert_eq!(
            merged.bloom_filter_offset().is_some(),
            range.bloom_filter_offset().is_some(),
            "{name}"
        );
        assert_eq!(merged.statistics().is_some(), range.statistics().is_some(), "{name}");
        assert_eq!(merged.compression(), range.compression(), "{name}");
    }
    let has_filter = merged.columns().iter().filter(|it| it.bloom_filter_offset().is_some());
    assert_eq!(has_filter.count(), 1, "of the device");
}

/// The text of a column in a row as the library writes it.
fn text(row: &str, column: &str) -> String {
    let from = row.split_once(&format!("{column}: ")).unwrap().1;
    from.split_once(", ").unwrap_or((from, "")).0.to_owned()
}
