//! The embedded log: what is durable is there, in order, whatever happens to the process.
#![allow(clippy::unwrap_used, reason = "a test says so by failing")]
#![allow(dead_code, reason = "each test file uses a part of what they share")]

#[path = "support/disk.rs"]
mod disk;

use std::error::Error;
use std::time::Instant;

use disk::{LOG, all, append, append_durably, copy, create, open, options};
use headwater_aggregator::limits::{ByteCount, ENTRY_BYTES_MAX};
use headwater_aggregator::log::{
    AppendError, DeadLetter, EmbeddedLog, Log, MetaError, OpenError, StoredSnapshot,
};
use headwater_aggregator::metrics::Metrics;
use headwater_protocol::entry::identity;
use headwater_protocol::identity::{LogId, Offset, ShardCount, ShardId};

#[test]
fn entries_are_there_in_order_after_the_log_was_opened_again() {
    let folder = tempfile::tempdir().unwrap();
    let log = create(folder.path());
    for number in 0..100_u16 {
        let stored = append_durably(&log, number % 7, &number.to_le_bytes());
        assert_eq!(stored.offset, Offset(u64::from(number / 7)), "offsets of a shard grow by one");
    }
    drop(log);
    let log = open(folder.path()).unwrap();
    for shard in 0..7 {
        let mut before = [0; 32];
        for (stored, number) in all(&log, shard).into_iter().zip((shard..100).step_by(7)) {
            assert_eq!(stored.entry, number.to_le_bytes());
            before = identity(&before, &stored.entry);
            assert_eq!(stored.identity, before, "an identity covers everything before it");
        }
        let end = log.end(ShardId(shard)).unwrap();
        assert_eq!(append_durably(&log, shard, b"next").offset, end);
    }
    assert_eq!(all(&log, 63), []);
}

#[test]
fn many_appends_of_many_shards_share_their_commits() {
    let folder = tempfile::tempdir().unwrap();
    EmbeddedLog::create(folder.path(), LOG, ShardCount::DEFAULT).unwrap();
    let metrics = Metrics::default();
    let log = EmbeddedLog::open(folder.path(), &options(folder.path(), &metrics)).unwrap();
    let waiting: Vec<_> =
        (0..2_000_u16).map(|number| append(&log, number % 64, b"entry")).collect();
    for durable in waiting {
        durable.recv_timeout(disk::DEADLINE).unwrap();
    }
    let commits = metrics.log.commits.get();
    assert!(commits < 400, "2,000 appends took {commits} commits");
    assert_eq!(metrics.log.entries.get(), 2_000);
}

#[test]
fn an_idle_log_does_not_wait_for_company() {
    let folder = tempfile::tempdir().unwrap();
    EmbeddedLog::create(folder.path(), LOG, ShardCount::DEFAULT).unwrap();
    let mut options = options(folder.path(), &Metrics::default());
    options.group_commit = disk::DEADLINE;
    let log = EmbeddedLog::open(folder.path(), &options).unwrap();
    let started = Instant::now();
    for _ in 0..10 {
        append_durably(&log, 3, b"alone");
    }
    assert!(started.elapsed() < disk::DEADLINE, "ten appends waited {:?}", started.elapsed());
}

#[test]
fn a_copy_of_the_files_taken_while_the_log_is_open_holds_a_prefix() {
    let folder = tempfile::tempdir().unwrap();
    let log = create(folder.path());
    for durable in 1..=20_u8 {
        append_durably(&log, 5, &[durable]);
        // No commit is under way: what is on the disk now is what a kill would leave behind.
        let copied = tempfile::tempdir().unwrap();
        copy(folder.path(), copied.path());
        let crashed = open(copied.path()).unwrap();
        let found: Vec<u8> = all(&crashed, 5).iter().map(|stored| stored.entry[0]).collect();
        assert_eq!(
            found,
            (1..=durable).collect::<Vec<u8>>(),
            "everything that was durable, in order"
        );
    }
}

#[test]
fn an_entry_above_the_limit_is_refused_and_nothing_is_appended() {
    let folder = tempfile::tempdir().unwrap();
    let log = create(folder.path());
    let error = log.append(ShardId(0), vec![0; ENTRY_BYTES_MAX + 1], Box::new(|_| ())).unwrap_err();
    let (bytes, most) = (ByteCount(ENTRY_BYTES_MAX as u64 + 1), ByteCount(ENTRY_BYTES_MAX as u64));
    assert_eq!(error, AppendError::TooLarge { bytes, most });
    assert_eq!(append_durably(&log, 0, &vec![1; ENTRY_BYTES_MAX]).offset, Offset(0));
}

#[test]
fn a_read_keeps_its_budget_and_gives_at_least_one_entry() {
    let folder = tempfile::tempdir().unwrap();
    let log = create(folder.path());
    (0..10).for_each(|_| drop(append_durably(&log, 1, &[0; 1000])));
    let read = |budget| log.read(ShardId(1), Offset(2), ByteCount(budget)).unwrap().len();
    assert_eq!([read(0), read(2_500), read(1 << 20)], [1, 2, 8]);
}

#[test]
fn trimming_moves_the_start_and_never_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let log = create(folder.path());
    (0..10).for_each(|number| drop(append_durably(&log, 2, &[number])));
    log.trim(ShardId(2), Offset(99));
    assert_eq!(append_durably(&log, 2, b"after").offset, Offset(10));
    drop(log);
    let log = open(folder.path()).unwrap();
    assert_eq!(log.start(ShardId(2)).unwrap(), Offset(10));
    assert_eq!(log.end(ShardId(2)).unwrap(), Offset(11));
    assert_eq!(all(&log, 2).len(), 1);
}

#[test]
fn two_snapshots_of_a_shard_are_kept_whatever_their_size() {
    let folder = tempfile::tempdir().unwrap();
    let log = create(folder.path());
    let snapshot = |next: u64| StoredSnapshot {
        next: Offset(next),
        ledger: vec![7; 1_300_000],
        view: next.to_le_bytes().to_vec(),
        windows: vec![3; 700_000],
    };
    (1..=4).for_each(|next| log.put_snapshot(ShardId(4), snapshot(next)));
    append_durably(&log, 4, b"after them");
    assert_eq!(log.snapshots(ShardId(4)).unwrap(), [Offset(4), Offset(3)]);
    assert_eq!(log.snapshot(ShardId(4), Offset(3)).unwrap(), Some(snapshot(3)));
    log.drop_snapshot(ShardId(4), Offset(4));
    append_durably(&log, 4, b"after that");
    assert_eq!(log.snapshots(ShardId(4)).unwrap(), [Offset(3)]);
    assert_eq!(log.snapshot(ShardId(4), Offset(4)).unwrap(), None);
    assert_eq!(log.snapshots(ShardId(0)).unwrap(), []);
}

#[test]
fn the_same_dead_letter_twice_is_one() {
    let folder = tempfile::tempdir().unwrap();
    let log = create(folder.path());
    let letter = |offset: u64| DeadLetter {
        offset: Offset(offset),
        reason: "damaged".to_owned(),
        batch: vec![1, 2, 3],
    };
    [5, 5, 8].into_iter().for_each(|offset| log.put_dead_letter(ShardId(1), letter(offset)));
    append_durably(&log, 1, b"after them");
    assert_eq!(log.dead_letters(ShardId(1)).unwrap(), [letter(5), letter(8)]);
}

#[test]
fn a_log_that_is_not_the_right_one_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let log = create(folder.path());
    let in_use = open(folder.path()).unwrap_err();
    assert!(matches!(in_use, OpenError::InUse { .. }), "{in_use}");
    drop(log);

    let mut other = options(folder.path(), &Metrics::default());
    other.shards = ShardCount::new(32).unwrap();
    let error = EmbeddedLog::open(folder.path(), &other).unwrap_err();
    let cause = error.source().unwrap().to_string();
    assert!(
        cause.contains("created with 64 shards") && cause.contains("log.shards = 64"),
        "{cause}"
    );

    let mut other = options(folder.path(), &Metrics::default());
    other.id = LogId([1; 16]);
    let error = EmbeddedLog::open(folder.path(), &other).unwrap_err();
    assert!(matches!(error, OpenError::Meta { source: MetaError::OtherLog { .. } }), "{error}");

    std::fs::rename(folder.path().join("log-1.redb"), folder.path().join("aside")).unwrap();
    let error = open(folder.path()).unwrap_err();
    assert!(matches!(error, OpenError::Missing { .. }), "{error}");
    std::fs::copy(folder.path().join("log-0.redb"), folder.path().join("log-1.redb")).unwrap();
    let error = open(folder.path()).unwrap_err();
    assert!(matches!(error, OpenError::Meta { source: MetaError::OtherFile { .. } }), "{error}");
}
