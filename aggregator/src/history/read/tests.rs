//! Files are pruned, merged while they are read, damaged: each row that is wanted comes once, in order, or its file is named.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use headwater_protocol::identity::{Generation, LogId};
use headwater_protocol::position::{Run, SourceId};
use headwater_protocol::record::{Cause, Event, Gap};

use super::super::events::Events;
use super::super::file::encode;
use super::super::folder::Folder;
use super::super::gaps::{self, Gaps};
use super::super::merge::Merger;
use super::super::samples::Origin;
use super::super::table::{FileName, Spot};
use super::*;
use crate::sink::{Range, Settled, Tags};

const LOG: LogId = LogId([5; 16]);
const SHARD: ShardId = ShardId(7);
const HOUR: Hour = Hour(498_853);
const HOUR_US: i64 = 3_600_000_000;
/// Entries of a range.
const ENTRIES: u64 = 10;
/// Lines that each device has in a range, of each of two files.
const LINES: u64 = 3;
const A: DeviceId = DeviceId([1; 16]);
const B: DeviceId = DeviceId([3; 16]);

#[test]
fn only_folders_files_and_groups_are_read_that_may_hold_what_is_wanted() {
    let history = History::new();
    for hour in 0..3 {
        history.put(hour, 2 * hour, &[A]);
        history.put(hour, 2 * hour + 1, &[A, B]);
    }
    let effort = |wanted: Wanted| {
        let mut sweep = history.sweep(wanted, Order::Forward, 6);
        let rows = std::iter::from_fn(|| sweep.next_range()).map(|(_, rows)| rows.len()).sum();
        assert_eq!(sweep.take_warnings(), [""; 0]);
        let Effort { folders, files, groups, .. } = sweep.effort();
        (folders, files, groups, rows)
    };
    let lines = usize::try_from(2 * LINES).unwrap();
    let of = |device| Wanted { device: Some(device), ..Wanted::default() };
    assert_eq!(effort(Wanted::default()), (3, 6, 6, 9 * lines));
    assert_eq!(effort(of(A)), (3, 6, 6, 6 * lines));
    assert_eq!(effort(of(B)), (3, 6, 3, 3 * lines), "statistics say where it is not");
    // Between the two: only the bloom filter knows.
    assert_eq!(effort(of(DeviceId([2; 16]))), (3, 6, 0, 0));
    let hour = |from: i64, to: i64| Times { from_us: time_us(1) + from, to_us: time_us(1) + to };
    let in_times = |times| effort(Wanted { times, ..of(A) });
    assert_eq!(in_times(hour(0, HOUR_US)), (1, 2, 2, 2 * lines), "one folder of three");
    assert_eq!(in_times(hour(60_000_000, HOUR_US)), (1, 2, 0, 0), "statistics know the times");
    assert_eq!(in_times(hour(-HOUR_US, 8)), (2, 4, 3, 2 * lines + 2 * 2), "ends are exact");
    assert_eq!(in_times(hour(-HOUR_US, 0)), (1, 2, 2, 2 * lines), "the end is not in it");
}

#[test]
fn lines_are_found_by_path_stream_and_text() {
    let history = History::new();
    history.put(0, 0, &[A, B]);
    let found = |wanted: Wanted| {
        let rows = history.rows(wanted, Order::Forward, 1);
        rows.iter().map(body).collect::<Vec<_>>()
    };
    let path = Wanted { path: Some("/b.log".to_owned()), ..Wanted::default() };
    let lines = found(path.clone());
    assert_eq!(lines.len(), usize::try_from(2 * LINES).unwrap());
    assert!(lines.iter().all(|line| line.contains("/b.log")), "{lines:?}");
    let text = Wanted { contains: Some(b"line 2".to_vec()), device: Some(A), ..path };
    assert_eq!(found(text), ["/b.log line 2 of 0"]);
    let stream = Wanted { stream: Some(stream(1)), device: Some(A), ..Wanted::default() };
    assert_eq!(found(stream.clone()).len(), usize::try_from(LINES).unwrap());
    let heads = Wanted { is_without_bodies: true, ..stream };
    assert_eq!(found(heads), [""; 3]);
    let bytes = Wanted { contains: Some(b"\xff".to_vec()), ..Wanted::default() };
    assert_eq!(found(bytes).len(), 4, "each file has one that is no text");
}

#[test]
fn rows_come_range_by_range_from_either_end_also_where_a_range_lies_in_several_hours() {
    let history = History::new();
    for range in 0..4 {
        for hour in (0..3).rev() {
            history.put(hour, range, &[A]);
        }
    }
    let firsts = |order| {
        let mut sweep = history.sweep(Wanted::default(), order, 4);
        std::iter::from_fn(|| sweep.next_range()).map(|(first, _)| first.0).collect::<Vec<_>>()
    };
    assert_eq!(firsts(Order::Forward), [0, 10, 20, 30]);
    assert_eq!(firsts(Order::Backward), [30, 20, 10, 0]);
    let rows = history.rows(Wanted::default(), Order::Forward, 4);
    assert!(rows.chunks(18).all(|of_range| of_range.is_sorted_by_key(|row| row.time_us)));
    assert_eq!(history.rows(Wanted::default(), Order::Forward, 2).len(), 36, "up to the cursor");
}

#[test]
fn rows_for_which_there_is_no_room_to_wait_come_once_all_the_same() {
    let history = History::new();
    for range in 0..4 {
        for hour in 0..3 {
            history.put(hour, range, &[A, B]);
        }
    }
    let all = |waiting_bytes_max| {
        let mut sweep = history.sweep(Wanted::default(), Order::Forward, 4);
        sweep.set_waiting_bytes_max(waiting_bytes_max);
        let rows = std::iter::from_fn(|| sweep.next_range()).flat_map(|(_, rows)| rows);
        let mut places: Vec<_> = rows.map(|row| (row.device, row.stream, row.start)).collect();
        places.sort();
        places
    };
    assert_eq!(all(0), all(usize::MAX));
}

#[test]
fn gaps_are_rows_as_well() {
    let history = History::new();
    history.put(0, 0, &[A, B]);
    let listing = history.list(Table::Gaps, Times::default(), 1);
    let wanted = Wanted { device: Some(B), ..Wanted::default() };
    let mut sweep = listing.sweep(SHARD, wanted, Order::Forward);
    let (_, rows) = sweep.next_range().unwrap();
    assert_eq!(rows.len(), 1);
    assert_eq!((rows[0].start, rows[0].end), (1_000, 1_070));
    let expected = RowContent::Gap { cause: "truncated".into(), records: 0, bytes: 70 };
    assert_eq!(rows[0].content, expected);
    assert!(sweep.next_range().is_none());
}

#[test]
fn files_that_are_merged_while_they_are_read_give_each_row_once() {
    for order in [Order::Forward, Order::Backward] {
        for before in 0..6 {
            let history = History::new();
            for range in 0..6 {
                history.put(0, range, &[A]);
                history.put(1, range, &[A]);
            }
            let expected = history.places(order, 6);
            let mut sweep = history.sweep(Wanted::default(), order, 6);
            let mut rows = Vec::new();
            let mut next = |sweep: &mut Sweep| {
                let range = sweep.next_range();
                range.map(|(_, of_range)| rows.extend(of_range.iter().map(place)))
            };
            for _ in 0..before {
                next(&mut sweep).unwrap();
            }
            // Some of them first, as if the sink stood there; then all.
            if before % 2 == 0 {
                history.merge(3);
            }
            next(&mut sweep);
            history.merge(6);
            while next(&mut sweep).is_some() {}
            assert_eq!(sweep.take_warnings(), [""; 0], "{order:?} {before}");
            assert_eq!(rows, expected, "{order:?} after {before}");
        }
    }
}

#[test]
fn a_damaged_file_is_named_and_all_others_are_read() {
    let damages: [fn(&mut Vec<u8>); 4] = [
        |bytes| bytes[100] ^= 1,
        |bytes| bytes.truncate(bytes.len() / 2),
        Vec::clear,
        |bytes| {
            let at = bytes.len() - 20;
            bytes[at] ^= 1;
        },
    ];
    let why = "not as it was written";
    for damage in damages {
        let history = History::new();
        (0..3).for_each(|range| history.put(0, range, &[A]));
        let file = history.file(0, 1);
        let mut bytes = fs::read(&file).unwrap();
        damage(&mut bytes);
        fs::write(&file, bytes).unwrap();
        // Also for a device that is not in it: nobody knows.
        for device in [A, B] {
            let wanted = Wanted { device: Some(device), ..Wanted::default() };
            let mut sweep = history.sweep(wanted, Order::Forward, 3);
            let ranges = std::iter::from_fn(|| sweep.next_range()).count();
            assert_eq!(ranges, if device == A { 2 } else { 0 });
            let warnings = sweep.take_warnings();
            assert_eq!(warnings.len(), 1);
            let name = file.file_name().unwrap().to_str().unwrap();
            assert!(warnings[0].contains(name) && warnings[0].contains(why), "{warnings:?}");
        }
    }
    let history = History::new();
    (0..2).for_each(|range| history.put(0, range, &[A]));
    fs::copy(history.file(0, 0), history.file(0, 1)).unwrap();
    let mut sweep = history.sweep(Wanted::default(), Order::Forward, 2);
    assert_eq!(std::iter::from_fn(|| sweep.next_range()).count(), 1);
    let warnings = sweep.take_warnings();
    assert!(warnings[0].contains("of another log, shard or range"), "{warnings:?}");
}

/// Ranges that are written while queries run.
const WRITTEN: u64 = 60;

#[test]
fn queries_while_ranges_are_written_and_merged_see_each_row_below_the_cursor_once() {
    let history = History::new();
    let (cursor, is_over) = (AtomicU64::new(0), AtomicBool::new(false));
    let queries = AtomicU64::new(0);
    std::thread::scope(|threads| {
        for order in [Order::Forward, Order::Backward] {
            let (history, cursor, is_over, queries) = (&history, &cursor, &is_over, &queries);
            threads.spawn(move || {
                while !is_over.load(Ordering::Acquire) {
                    let ranges = cursor.load(Ordering::Acquire);
                    let places = history.places(order, ranges);
                    let once: BTreeSet<_> = places.iter().collect();
                    assert_eq!(once.len(), places.len(), "no row comes twice");
                    assert_eq!(places.len() as u64, ranges * 2 * 2 * LINES, "none is missing");
                    queries.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        for range in 0..WRITTEN {
            history.put(0, range, &[A]);
            history.put(1, range, &[A]);
            cursor.store(range + 1, Ordering::Release);
            if range % 5 == 4 {
                history.merge(range + 1);
            }
        }
        is_over.store(true, Ordering::Release);
    });
    assert!(queries.into_inner() > 2, "queries ran meanwhile");
}

/// A history in a folder of its own.
struct History(tempfile::TempDir);

impl History {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn root(&self) -> &Path {
        self.0.path()
    }

    /// Writes what a range has of an hour: lines of two files of each device, and a gap.
    fn put(&self, hour: u64, number: u64, devices: &[DeviceId]) {
        let range = range(number);
        let (mut events, mut gaps) = (Events::default(), Gaps::default());
        for device in devices {
            for (source, path) in [(1, "/a.log"), (2, "/b.log")] {
                let path: Arc<str> = path.into();
                for line in 0..LINES {
                    let start = (number * LINES + line) * 100 + hour * 1_000_000;
                    let mut body = format!("{path} line {line} of {number}").into_bytes();
                    body.extend((line == 0).then_some(0xff));
                    let event = Event { body, part: Part::Whole };
                    let time_us = time_us(hour) + i64_of(number * LINES + line);
                    let origin = origin(source);
                    let place = (time_us, start, start + 100);
                    events.add(*device, place, event, (Some(&path), &origin));
                }
            }
            let gap = Gap { cause: Cause::Truncated, records: 0, bytes: 70, about: None };
            gaps.add(gaps::Row {
                device: *device,
                lane: headwater_protocol::identity::Lane::Bulk,
                path: Some("/a.log".into()),
                origin: origin(1),
                time_us: time_us(hour),
                start: 1_000,
                end: 1_070,
                gap,
            });
        }
        let hour = Hour(HOUR.0 + i64_of(hour));
        let put = |table, bytes: Vec<u8>| {
            let spot = Spot { hour, table, shard: SHARD };
            let folder = Folder::at(self.root());
            fs::create_dir_all(self.root().join(".partial")).unwrap();
            folder.put(&spot.folder(), FileName::of(&range), &bytes).unwrap();
        };
        let whose = (LOG, &range);
        put(Table::Events, encode(Table::Events, whose, |it| events.write(it)).unwrap());
        put(Table::Gaps, encode(Table::Gaps, whose, |it| gaps.write(it)).unwrap());
    }

    fn file(&self, hour: i64, number: u64) -> PathBuf {
        let spot = Spot { hour: Hour(HOUR.0 + hour), table: Table::Events, shard: SHARD };
        self.root().join(spot.folder()).join(FileName::of(&range(number)).to_string())
    }

    /// Merges what the first so many ranges have written. What was there before is deleted later than any test ends.
    fn merge(&self, ranges: u64) {
        let folder = Folder::at(self.root());
        let mut merger = Merger::new(LOG);
        folder.spots().unwrap().into_iter().for_each(|spot| merger.note(spot));
        let settled = Settled { end: Offset(ranges * ENTRIES), clock_us: i64::MAX };
        let settled = BTreeMap::from([(SHARD, settled)]);
        while merger.step(&folder, &settled, Instant::now()).unwrap().is_some() {}
    }

    fn list(&self, table: Table, times: Times, ranges: u64) -> Listing {
        let cursors = BTreeMap::from([(SHARD, Offset(ranges * ENTRIES))]);
        Listing::of((self.root(), LOG), table, times, &cursors).unwrap()
    }

    fn sweep(&self, wanted: Wanted, order: Order, ranges: u64) -> Sweep {
        self.list(Table::Events, wanted.times, ranges).sweep(SHARD, wanted, order)
    }

    fn rows(&self, wanted: Wanted, order: Order, ranges: u64) -> Vec<Row> {
        let mut sweep = self.sweep(wanted, order, ranges);
        let rows = std::iter::from_fn(|| sweep.next_range()).flat_map(|(_, rows)| rows).collect();
        assert_eq!(sweep.take_warnings(), [""; 0]);
        rows
    }

    fn places(&self, order: Order, ranges: u64) -> Vec<Place> {
        self.rows(Wanted::default(), order, ranges).iter().map(place).collect()
    }
}

/// What a row is: its time, stream and position.
type Place = (i64, Stream, u64);

fn place(row: &Row) -> Place {
    (row.time_us, row.stream, row.start)
}

fn body(row: &Row) -> String {
    match &row.content {
        RowContent::Line { body, .. } => String::from_utf8_lossy(body).into_owned(),
        RowContent::Gap { .. } => String::new(),
    }
}

fn range(number: u64) -> Range {
    let (first, end) = (Offset(number * ENTRIES), Offset((number + 1) * ENTRIES));
    Range { shard: SHARD, generation: Generation(0), first, end, tip: [4; 32], clock_us: 0 }
}

fn stream(source: u8) -> Stream {
    Stream { source: SourceId([source; 16]), run: Run { number: 1, nonce: 9 } }
}

fn origin(source: u8) -> Origin {
    Origin { tags: Arc::new(Tags::default()), stream: stream(source), shift_us: 0 }
}

fn time_us(hour: u64) -> i64 {
    (HOUR.0 + i64_of(hour)) * HOUR_US
}

fn i64_of(number: u64) -> i64 {
    i64::try_from(number).unwrap()
}
