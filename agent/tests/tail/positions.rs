//! The landing's word on positions: it may wait, move, go back, and forget.

use headwater_agent::limits::{RUNS_KEPT, RUNS_STEP};
use headwater_agent::tail::Landing;
use headwater_protocol::position::{Check, Run, SourceId, Stream};
use headwater_protocol::record::{Cause, Fingerprint, SourceInfo};

use crate::world::{Store, World, numbered, numbers};

#[test]
fn a_tail_goes_on_where_the_landing_says_after_its_positions_moved() {
    let mut world = World::new("*.log");
    world.append("a.log", numbered(0..10));
    world.run();
    // The ledger knows more than this spool did: another life of it has sent five lines more.
    world.append("a.log", numbered(10..20));
    let ahead = {
        let mut other = world.memory.0.borrow().clone();
        std::mem::swap(&mut other, &mut world.memory.0.borrow_mut());
        world.run();
        let ahead = world.memory.0.borrow().clone();
        *world.memory.0.borrow_mut() = other;
        ahead
    };
    world.append("a.log", numbered(20..30));
    *world.memory.0.borrow_mut() = ahead;
    world.memory.0.borrow_mut().resync = true;
    world.run();
    assert_eq!(numbers(&world.lines()), (0..30).collect::<Vec<_>>());
    assert_eq!((world.runs(), world.gaps()), (1, vec![]));
}

#[test]
fn a_landing_that_was_rolled_back_gets_what_it_lacks() {
    for resynced in [true, false] {
        let mut world = World::new("x.log");
        world.append("x.log", numbered(0..10));
        world.run();
        let before = world.memory.0.borrow().clone();
        world.append("x.log", numbered(10..20));
        world.run();
        world.rename("x.log", "x.log.1");
        world.append("x.log", numbered(20..30));
        world.run();
        *world.memory.0.borrow_mut() = before;
        world.memory.0.borrow_mut().resync = resynced;
        if !resynced {
            world.kill();
        }
        world.append("x.log", numbered(30..31));
        world.run();
        assert_eq!(numbers(&world.lines()), (0..31).collect::<Vec<_>>());
        assert_eq!((world.runs(), world.gaps()), (2, vec![]));
    }
}

#[test]
fn a_file_that_was_begun_at_its_end_is_not_read_from_its_beginning_when_the_landing_forgot_it() {
    let mut world = World::new("*.log").starting_at_the_end();
    world.append("a.log", "old\n");
    let nothing = world.memory.0.borrow().clone();
    world.run();
    world.append("a.log", "one\n");
    world.run();
    *world.memory.0.borrow_mut() = nothing;
    world.memory.0.borrow_mut().resync = true;
    world.append("a.log", "two\n");
    world.run();
    world.assert_lines(&["one", "two"]);
}

#[test]
fn runs_that_the_ledger_may_have_forgotten_go_on_as_new_ones() {
    let mut world = World::new("*.log");
    world.append("a.log", numbered(0..10));
    world.run();
    world.kill();
    world.memory.0.borrow_mut().horizon = 1;
    world.run();
    assert_eq!(world.runs(), 1, "a run begins with its first line");
    world.append("a.log", numbered(10..20));
    world.restart();
    assert_eq!(world.runs(), 2);
    assert_eq!(world.memory.0.borrow().last().start, 450);
    assert_eq!(numbers(&world.lines()), (0..20).collect::<Vec<_>>());
}

#[test]
fn a_truncation_while_positions_move_loses_nothing() {
    let mut world = World::new("x.log");
    world.append("x.log", numbered(0..10));
    world.run();
    world.append("x.log", numbered(10..20));
    world.copy("x.log", "x.log.1");
    world.truncate("x.log", 0);
    world.append("x.log", numbered(20..25));
    for _ in 0..4 {
        world.memory.0.borrow_mut().resync = true;
        world.turn();
    }
    world.run();
    let mut found = numbers(&world.lines());
    found.sort_unstable();
    assert_eq!(found, (0..25).collect::<Vec<_>>());
    let gaps = world.gaps();
    assert!(gaps.iter().all(|(cause, _)| *cause == Cause::Suspected), "{gaps:?}");
}

#[test]
fn files_that_the_ledger_may_have_forgotten_are_undecided_so_far_and_read_from_there() {
    for resynced in [true, false] {
        let mut world = World::new("*.log");
        world.append("a.log", numbered(0..10));
        world.run();
        world.append("b.log", numbered(100..105));
        // The spool is lost, and the ledger knows nothing of either file any more.
        let mut lost = Store::default();
        (lost.files_undecided, lost.resync) = (true, resynced);
        *world.memory.0.borrow_mut() = lost;
        if !resynced {
            world.kill();
        }
        world.run();
        assert!(!world.memory.0.borrow().files_undecided, "each was looked at");
        let held: u64 =
            [numbered(0..10), numbered(100..105)].iter().map(|it| it.len() as u64).sum();
        let gaps = world.gaps();
        assert!(gaps.iter().all(|(cause, _)| *cause == Cause::Undecided), "{gaps:?}");
        assert_eq!(gaps.iter().map(|(_, bytes)| bytes).sum::<u64>(), held);
        world.append("a.log", numbered(10..12));
        world.append("c.log", numbered(200..202));
        world.run();
        world.restart();
        let mut read = numbers(&world.lines());
        read.sort_unstable();
        assert_eq!(
            read,
            [10, 11, 200, 201],
            "what came since is read, and new files from their start"
        );
        assert_eq!(world.gaps().len(), 2, "nothing is declared twice");
    }
}

#[test]
fn what_a_forgotten_name_may_have_read_of_a_file_is_undecided() {
    for more in [0, 5] {
        let mut world = World::new("a.log");
        world.append("a.log", numbered(0..10));
        world.run();
        world.append("a.log", numbered(10..10 + more));
        let mut store = world.memory.0.borrow().clone();
        store.streams.values_mut().for_each(|stored| {
            (stored.undecided, stored.start) = (true, stored.position);
        });
        store.resync = more > 0;
        *world.memory.0.borrow_mut() = store;
        world.run();
        world.kill();
        world.run();
        let undecided = numbered(10..10 + more).len() as u64;
        let expected = if more > 0 { vec![(Cause::Undecided, undecided)] } else { Vec::new() };
        assert_eq!(world.gaps(), expected);
        assert!(world.memory.0.borrow().streams.values().all(|stored| !stored.undecided));
        world.append("a.log", numbered(20..22));
        world.run();
        let expected: Vec<_> = (0..10).chain(20..22).collect();
        assert_eq!((numbers(&world.lines()), world.runs()), (expected, 1));
    }
}

#[test]
fn a_file_that_went_back_goes_on_where_this_life_had_read_it_and_not_where_another_had() {
    let mut world = World::new("a.log");
    world.append("a.log", numbered(0..10));
    world.run();
    {
        let mut store = world.memory.0.borrow_mut();
        let (stream, mut stored) = store.streams.pop_first().unwrap();
        // Another life read a run of its own of the first three lines, which the file still has.
        let start = numbered(0..3);
        let mut other = stored.clone();
        (other.position, other.check) = (start.len() as u64, Check::of(start.as_bytes()));
        other.records.clear();
        let run = Run { number: stream.run.number + 7, ..stream.run };
        // And it read further what this life had read of the first run.
        let own = (stored.position, stored.check);
        (stored.position, stored.check, stored.before) = (5_000, Check(7), Some(own));
        store.streams.insert(stream, stored);
        store.streams.insert(Stream { run, ..stream }, other);
    }
    world.kill();
    world.append("a.log", numbered(10..12));
    world.run();
    let mut read = numbers(&world.lines());
    read.sort_unstable();
    assert_eq!(read, (0..12).collect::<Vec<_>>());
    assert_eq!((world.runs(), world.gaps()), (3, vec![]));
}

#[test]
fn a_host_that_rotates_for_years_remembers_the_newest_runs_and_those_whose_files_are_there() {
    let mut world = World::new("*.log");
    world.append("old.log", numbered(0..3));
    world.run();
    let years = u64::try_from(RUNS_KEPT + RUNS_STEP).unwrap();
    {
        let mut store = world.memory.0.borrow_mut();
        let still_there = store.last().clone();
        for number in 2..=years {
            let mut source = [0xee; 16];
            source[..8].copy_from_slice(&number.to_le_bytes());
            let stream = Stream { source: SourceId(source), run: Run { number, nonce: number } };
            // Gone from a folder in which others are.
            let path = world.path(&format!("{number}.log")).into_os_string().into_encoded_bytes();
            let info = SourceInfo::File { path, fingerprint: Fingerprint::default() };
            let mut stored = still_there.clone();
            stored.info = info;
            store.streams.insert(stream, stored);
        }
    }
    world.kill();
    world.append("old.log", numbered(3..4));
    world.run();
    let runs = |world: &World| -> Vec<u64> {
        let known = world.memory.clone().known().unwrap();
        known.streams.keys().map(|stream| stream.run.number).collect()
    };
    let mut kept = runs(&world);
    kept.sort_unstable();
    let newest = years - u64::try_from(RUNS_KEPT).unwrap() + 1;
    assert_eq!(kept[0], 1, "its file is there");
    assert_eq!(kept[1..], (newest..=years).collect::<Vec<_>>());
    assert_eq!(numbers(&world.lines()).iter().filter(|number| **number == 3).count(), 1);
    world.append("old.log", numbered(4..5));
    world.kill();
    world.run();
    assert_eq!(runs(&world).len(), kept.len(), "there is nothing more to let go");
}
