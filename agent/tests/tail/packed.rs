//! Files that were rotated and compressed: the packed sibling is the end of what was being read.

use std::fs;
use std::ops::Range;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use headwater_agent::tail::Notice;
use headwater_protocol::record::Cause;

use crate::files::as_nobody;
use crate::world::{World, numbered, numbers, packed};

/// What stands before the position when the agent goes.
const READ: [(&str, &str); 4] = [
    ("one line", "2026-11-21T12:00:00Z line 000000 of the test\n"),
    ("in the middle of a line", "2026-11-21T12:00:00Z line 000000 of the test\n2026-11"),
    ("a short line", "x\n"),
    ("lines that end by CR LF", "one\r\ntwo\r\n"),
];

#[test]
fn the_rest_of_a_file_that_was_packed_while_the_agent_was_down_is_read_from_there() {
    for (name, read) in READ {
        for rest in ["", "rest\n", "rest\nand an end without a line's end", "\n\n"] {
            for sibling in ["x.log.1", "x.log-20261125", "x-20261125.log", "x.log.2"] {
                let mut world = World::new("x.log");
                world.append("x.log", read);
                world.run();
                world.kill();
                world.append("x.log", rest);
                let whole = fs::read(world.path("x.log")).unwrap();
                world.rename("x.log", sibling);
                world.gzip(sibling);
                world.append("x.log", "successor\n");
                world.restart();
                world.restart();
                let case = format!("{name}, rest {rest:?}, packed as {sibling}");
                assert_eq!((world.runs(), world.gaps()), (2, vec![]), "{case}");
                let store = world.memory.0.borrow();
                let files: Vec<Vec<u8>> = store.streams.values().map(|run| run.file()).collect();
                assert!(files.contains(&whole), "{case}: {files:?}");
                assert!(files.contains(&b"successor\n".to_vec()), "{case}");
                let told = world.was_told(|notice| matches!(notice, Notice::Unpacked { .. }));
                assert_eq!(
                    told,
                    usize::from(!rest.is_empty() || name.contains("middle")),
                    "{case}"
                );
            }
        }
    }
}

#[test]
fn lines_of_any_length_are_known_again_where_they_are_packed() {
    let lines = |numbers: Range<usize>, length: usize| -> String {
        numbers.map(|number| format!("{number:06} {}\n", "x".repeat(length - 8))).collect()
    };
    for length in 8..300 {
        let mut world = World::new("x.log");
        world.append("x.log", lines(0..3, length));
        world.run();
        world.kill();
        world.append("x.log", lines(3..5, length));
        world.rename("x.log", "x.log.1");
        world.gzip("x.log.1");
        world.append("x.log", lines(5..6, length));
        world.restart();
        let written = lines(0..6, length);
        world.assert_lines(&written.lines().collect::<Vec<_>>());
        assert_eq!(world.gaps(), [], "lines of {length} bytes");
    }
}

#[test]
fn a_packed_file_is_read_in_turns_that_are_bounded_and_from_the_position_after_each_kill() {
    let mut world = World::new("x.log");
    world.append("x.log", numbered(0..100_000));
    world.run();
    world.kill();
    world.append("x.log", numbered(100_000..250_000));
    world.rename("x.log", "x.log.1");
    world.gzip("x.log.1");
    world.append("x.log", numbered(250_000..250_010));
    let mut kills = 0;
    loop {
        let before = world.lines().len();
        world.pass(Duration::from_millis(1_100));
        // Two turns to pass 4.5 MB, some to hand over a chunk each.
        for _ in 0..7 {
            world.turn();
        }
        let got = world.lines().len() - before;
        assert!(got <= 7 * (512 << 10) / 45 + 10, "{got} lines in a few turns");
        if world.lines().len() == 250_010 {
            break;
        }
        world.kill();
        kills += 1;
        assert!(kills < 100, "each life comes further: {} lines", world.lines().len());
    }
    assert!(kills >= 3, "it was killed in the middle: {kills}");
    world.run();
    assert_eq!(numbers(&world.lines()), (0..250_010).collect::<Vec<_>>());
    assert_eq!((world.runs(), world.gaps()), (2, vec![]));
}

#[test]
fn a_file_that_was_packed_while_it_was_read_is_not_read_twice() {
    for restarted in [false, true] {
        let mut world = World::new("x.log");
        world.append("x.log", numbered(0..10));
        world.run();
        world.append("x.log", numbered(10..20));
        world.rename("x.log", "x.log.1");
        world.append("x.log", numbered(20..30));
        world.gzip("x.log.1");
        world.run();
        world.pass_the_grace();
        if restarted {
            world.restart();
        }
        world.rename("x.log.1.gz", "x.log.2.gz");
        world.append("x.log", numbered(30..31));
        world.run();
        assert_eq!(numbers(&world.lines()), (0..31).collect::<Vec<_>>(), "restarted {restarted}");
        assert_eq!((world.runs(), world.gaps()), (2, vec![]));
    }
}

#[test]
fn packing_that_is_under_way_is_no_matter() {
    let mut world = World::new("x.log");
    world.append("x.log", numbered(0..10));
    world.run();
    world.kill();
    world.append("x.log", numbered(10..2_000));
    world.rename("x.log", "x.log.1");
    let whole = packed(&fs::read(world.path("x.log.1")).unwrap());
    fs::write(world.path("x.log.1.gz"), &whole[..whole.len() / 2]).unwrap();
    world.append("x.log", numbered(2_000..2_010));
    world.run();
    assert_eq!(world.lines().len(), 2_010, "the file itself is there");
    world.restart();
    fs::write(world.path("x.log.1.gz"), &whole).unwrap();
    world.remove("x.log.1");
    world.run();
    world.restart();
    assert_eq!(numbers(&world.lines()), (0..2_010).collect::<Vec<_>>());
    assert_eq!((world.runs(), world.gaps()), (2, vec![]));
}

#[test]
fn a_packed_file_that_is_still_being_written_is_waited_for() {
    let mut world = World::new("x.log");
    world.append("x.log", numbered(0..10));
    world.run();
    world.kill();
    world.append("x.log", numbered(10..2_000));
    let whole = packed(&fs::read(world.path("x.log")).unwrap());
    world.remove("x.log");
    world.append("x.log", numbered(2_000..2_010));
    for part in whole.chunks(whole.len() / 12) {
        world.append("x.log.1.gz", part);
        world.pass(Duration::from_secs(3));
        world.run();
    }
    let mut found = numbers(&world.lines());
    found.sort_unstable();
    assert_eq!(found, (0..2_010).collect::<Vec<_>>());
    assert_eq!((world.runs(), world.gaps()), (2, vec![]));
}

#[test]
fn a_packed_file_of_which_hardly_anything_was_there_at_first_is_looked_at_again() {
    let whole = packed(numbered(0..40).as_bytes());
    for length in (0..24).chain((24..whole.len()).step_by(7)) {
        let mut world = World::new("x.log");
        world.append("x.log", numbered(0..12));
        world.run();
        world.kill();
        world.append("x.log", numbered(12..40));
        world.remove("x.log");
        fs::write(world.path("x.log.1.gz"), &whole[..length]).unwrap();
        world.append("x.log", numbered(40..50));
        world.restart();
        fs::write(world.path("x.log.1.gz"), &whole).unwrap();
        for _ in 0..3 {
            world.pass(Duration::from_millis(1_100));
            world.run();
        }
        let mut found = numbers(&world.lines());
        found.sort_unstable();
        assert_eq!(found, (0..50).collect::<Vec<_>>(), "{length} bytes at first");
        // Where nothing of it showed, its run seemed to be lost for a while.
        let other = world.gaps().into_iter().find(|(cause, _)| *cause != Cause::Suspected);
        assert_eq!(other, None, "{length} bytes at first");
    }
}

#[test]
fn two_rotations_while_the_agent_was_down_are_read_where_the_first_one_is_packed() {
    let mut world = World::new("x.log");
    world.append("x.log", numbered(0..10));
    world.run();
    world.kill();
    world.append("x.log", numbered(10..20));
    world.rename("x.log", "x.log.1");
    world.append("x.log", numbered(20..30));
    world.gzip("x.log.1");
    world.rename("x.log.1.gz", "x.log.2.gz");
    world.rename("x.log", "x.log.1");
    world.append("x.log", numbered(30..40));
    world.restart();
    world.restart();
    let mut found = numbers(&world.lines());
    found.sort_unstable();
    assert_eq!(found, (0..40).collect::<Vec<_>>());
    assert_eq!((world.runs(), world.gaps()), (3, vec![]));
}

#[test]
fn what_is_packed_of_a_file_of_which_nothing_was_read_is_left_alone_and_nothing_waits_for_it() {
    for copied in [false, true] {
        for (read, at_end) in [("", false), ("unfinished", false), ("", true)] {
            let mut world = World::new("x.log");
            if at_end {
                world = world.starting_at_the_end();
            }
            world.append("x.log.1", numbered(900..910));
            world.gzip("x.log.1");
            world.append("x.log", read);
            world.run();
            world.kill();
            world.append("x.log", numbered(0..10));
            world.rename("x.log.1.gz", "x.log.2.gz");
            if copied {
                world.copy("x.log", "x.log.1");
                world.truncate("x.log", 0);
            } else {
                world.rename("x.log", "x.log.1");
            }
            world.gzip("x.log.1");
            world.append("x.log", numbered(10..20));
            world.restart();
            world.restart();
            let case = format!("copied {copied}, {read:?} was there, at its end: {at_end}");
            assert_eq!(numbers(&world.lines()), (10..20).collect::<Vec<_>>(), "{case}");
            // Where a run had begun, its file is missed.
            let is_missed = at_end && !copied;
            let gaps = if is_missed { vec![(Cause::Suspected, 0)] } else { vec![] };
            assert_eq!(world.gaps(), gaps, "{case}");
        }
    }
}

#[test]
fn a_generation_that_came_and_was_packed_unseen_is_declared_once_and_not_read() {
    let mut world = World::new("x.log");
    world.append("x.log.1", numbered(900..910));
    world.gzip("x.log.1");
    world.append("x.log", numbered(0..10));
    world.run();
    world.kill();
    world.append("x.log", numbered(10..20));
    world.rename("x.log.1.gz", "x.log.3.gz");
    world.rename("x.log", "x.log.2");
    age(&world, "x.log.2", 100);
    world.gzip("x.log.2");
    world.append("x.log.1", numbered(20..30));
    world.gzip("x.log.1");
    world.append("x.log", numbered(30..40));
    world.restart();
    world.restart();
    let expected: Vec<u64> = (0..20).chain(30..40).collect();
    assert_eq!(numbers(&world.lines()), expected, "what no run is known of is never read");
    assert_eq!(world.gaps(), [(Cause::Suspected, 0)], "and said to be missing");
}

#[test]
fn a_copy_that_was_packed_of_what_nobody_had_read_is_declared_once() {
    let mut world = World::new("x.log");
    world.append("x.log", numbered(0..10));
    world.run();
    world.append("x.log", numbered(10..20));
    world.run();
    world.kill();
    let rotate = |name: &str, seconds| {
        world.copy("x.log", name);
        world.truncate("x.log", 0);
        age(&world, name, seconds);
        world.gzip(name);
    };
    rotate("x.log.2", 100);
    world.append("x.log", numbered(20..30));
    rotate("x.log.1", 0);
    world.append("x.log", numbered(30..40));
    world.restart();
    world.restart();
    assert_eq!(numbers(&world.lines()), (0..20).chain(30..40).collect::<Vec<_>>());
    assert_eq!(world.gaps(), [(Cause::Suspected, 0)]);
}

#[test]
fn packed_files_from_before_the_agent_and_of_other_content_are_left_alone() {
    let mut world = World::new("x.log");
    world.append("x.log.1", numbered(500..520));
    world.gzip("x.log.1");
    world.append("x.log", numbered(0..10));
    world.run();
    world.rename("x.log.1.gz", "x.log.2.gz");
    world.restart();
    assert_eq!((world.lines().len(), world.gaps()), (10, vec![]));
    // The file vanishes; what has the name of its generation holds something else.
    world.kill();
    world.append("x.log", numbered(10..12));
    world.remove("x.log");
    world.append("x.log.1", numbered(700..730));
    world.gzip("x.log.1");
    fs::write(world.path("x.log.3.gz"), "not packed at all").unwrap();
    fs::write(world.path("x.log.4.gz"), "").unwrap();
    world.append("x.log", numbered(20..30));
    for _ in 0..2 {
        world.restart();
        // The empty one might be written still: it is waited for until it stands still.
        world.pass(Duration::from_secs(6));
        world.run();
    }
    assert_eq!(numbers(&world.lines()), (0..10).chain(20..30).collect::<Vec<_>>());
    assert_eq!(world.gaps(), [(Cause::Suspected, 0)]);
}

#[test]
fn files_that_begin_alike_are_told_apart_by_the_bytes_before_the_position() {
    let heading = "a heading that every file of this log has\n".repeat(40);
    let mut world = World::new("x.log");
    world.append("x.log", heading.clone() + &numbered(0..10));
    world.run();
    world.kill();
    world.append("x.log", numbered(10..20));
    world.rename("x.log", "x.log.2");
    world.gzip("x.log.2");
    for (name, first) in [("x.log.1", 100), ("x.log.3", 200)] {
        world.append(name, heading.clone() + &numbered(first..first + 100));
        age(&world, name, 1_000);
        world.gzip(name);
    }
    world.append("x.log", numbered(20..30));
    world.restart();
    world.restart();
    let lines: Vec<String> =
        world.lines().into_iter().filter(|line| line.contains("line")).collect();
    assert_eq!(numbers(&lines), (0..30).collect::<Vec<_>>());
    assert_eq!(world.gaps(), []);
}

#[test]
fn a_long_file_that_was_read_up_is_known_by_its_length_and_a_rival_by_its_bytes() {
    let heading = "a heading that every file of this log has\n".repeat(40);
    let mut world = World::new("x.log");
    // 45 bytes each: above what is passed over in one turn.
    world.append("x.log", heading.clone() + &numbered(0..100_000));
    world.run();
    world.kill();
    world.copy("x.log", "copy");
    // Another generation, as long as what was read, hides the one that goes on.
    world.append("x.log.1", heading.clone() + &numbered(200_000..300_000));
    world.gzip("x.log.1");
    world.append("x.log", numbered(100_000..100_010));
    world.rename("x.log", "x.log.2");
    world.gzip("x.log.2");
    age(&world, "x.log.1.gz", 1_000);
    world.append("x.log", "the successor\n");
    world.restart();
    let read: Vec<String> =
        world.lines().into_iter().filter(|line| line.contains(" line ")).collect();
    assert_eq!(numbers(&read), (0..100_010).collect::<Vec<_>>());
    assert_eq!(world.gaps(), []);

    let mut world = World::new("x.log");
    world.append("x.log", numbered(0..100_000));
    world.run();
    world.kill();
    world.rename("x.log", "x.log.1");
    world.gzip("x.log.1");
    world.append("x.log", numbered(100_000..100_001));
    world.pass(Duration::from_secs(2));
    world.turn();
    assert_eq!(world.lines().len(), 100_001, "nothing is passed over for it");
    assert_eq!(world.gaps(), []);
}

#[test]
fn files_that_are_named_by_date_are_read_to_their_ends_where_they_were_packed() {
    let mut world = World::new("app-*.log");
    world.append("app-2026-11-25.log", numbered(0..10));
    world.run();
    world.kill();
    world.append("app-2026-11-25.log", numbered(10..20));
    world.gzip("app-2026-11-25.log");
    world.append("app-2026-11-26.log", numbered(20..30));
    world.restart();
    world.restart();
    let mut found = numbers(&world.lines());
    found.sort_unstable();
    assert_eq!((found, world.gaps()), ((0..30).collect(), vec![]));
}

#[test]
fn a_packed_file_that_becomes_readable_is_read_then() {
    let mut world = World::new("x.log");
    fs::set_permissions(world.path(""), fs::Permissions::from_mode(0o755)).unwrap();
    world.append("x.log", numbered(0..10));
    world.run();
    world.kill();
    world.append("x.log", numbered(10..20));
    world.rename("x.log", "x.log.1");
    world.gzip("x.log.1");
    fs::set_permissions(world.path("x.log.1.gz"), fs::Permissions::from_mode(0o000)).unwrap();
    world.append("x.log", numbered(20..30));
    as_nobody(|| world.restart());
    assert_eq!(numbers(&world.lines()), (0..10).chain(20..30).collect::<Vec<_>>());
    assert_eq!(world.was_told(|notice| matches!(notice, Notice::Unreadable { .. })), 1);
    assert_eq!(world.gaps(), [(Cause::Suspected, 0)], "nobody knows whether there is more");
    fs::set_permissions(world.path("x.log.1.gz"), fs::Permissions::from_mode(0o644)).unwrap();
    world.pass(Duration::from_secs(31));
    as_nobody(|| world.run());
    assert_eq!(numbers(&world.lines()), (0..30).collect::<Vec<_>>());
}

#[test]
fn what_a_damaged_file_holds_is_read_and_the_rest_is_declared_once() {
    type Damage = fn(&mut Vec<u8>);
    let cases: [(&str, Damage); 3] = [
        ("cut off", |bytes| bytes.truncate(bytes.len() * 3 / 4)),
        ("its sum does not fit", |bytes| {
            let sum = bytes.len() - 8;
            bytes[sum] ^= 1;
        }),
        ("broken in the middle", |bytes| {
            let middle = bytes.len() / 2;
            bytes[middle..middle + 64].fill(0xff);
        }),
    ];
    for (name, damage) in cases {
        let mut world = World::new("x.log");
        world.append("x.log", numbered(0..10));
        world.run();
        world.kill();
        world.append("x.log", numbered(10..20_000));
        world.rename("x.log", "x.log.1");
        world.gzip("x.log.1");
        let mut bytes = fs::read(world.path("x.log.1.gz")).unwrap();
        damage(&mut bytes);
        fs::write(world.path("x.log.1.gz"), bytes).unwrap();
        world.append("x.log", "2026-11-21T12:00:00Z line 777777 of the test\n");
        for _ in 0..4 {
            world.pass(Duration::from_secs(10));
            world.restart();
            world.pass(Duration::from_secs(10));
            world.run();
        }
        let gone: Vec<_> = world.gaps();
        assert_eq!(gone, [(Cause::Unreadable, 0)], "{name}");
        assert_eq!(world.was_told(|notice| matches!(notice, Notice::Damaged { .. })), 1, "{name}");
        let store = world.memory.0.borrow();
        let first = store.streams.values().find(|run| run.lines().len() > 1).unwrap();
        let written = numbered(0..20_000);
        let read = first.file();
        assert!(read.len() > 10 * 45 + 1_000, "{name}: {} bytes were read", read.len());
        if name != "broken in the middle" {
            assert!(written.as_bytes().starts_with(&read), "{name}");
        }
        assert!(store.lines().iter().any(|line| line.contains("777777")), "{name}");
    }
}

#[test]
fn a_file_that_is_damaged_before_the_position_is_declared_and_its_successor_is_read() {
    let mut world = World::new("x.log");
    world.append("x.log", numbered(0..10_000));
    world.run();
    world.kill();
    world.append("x.log", numbered(10_000..10_010));
    world.rename("x.log", "x.log.1");
    world.gzip("x.log.1");
    let bytes = fs::read(world.path("x.log.1.gz")).unwrap();
    fs::write(world.path("x.log.1.gz"), &bytes[..bytes.len() / 2]).unwrap();
    world.append("x.log", numbered(10_010..10_020));
    for _ in 0..3 {
        world.pass(Duration::from_secs(10));
        world.run();
    }
    world.restart();
    assert_eq!(numbers(&world.lines()), (0..10_000).chain(10_010..10_020).collect::<Vec<_>>());
    assert_eq!(world.gaps(), [(Cause::Suspected, 0)]);
}

#[test]
fn the_rest_of_a_file_that_was_copied_packed_and_truncated_is_read_from_the_packed_copy() {
    for restarted in [false, true] {
        let mut world = World::new("x.log");
        world.append("x.log", numbered(0..10));
        world.run();
        if restarted {
            world.kill();
        }
        world.append("x.log", numbered(10..20));
        world.copy("x.log", "x.log.1");
        world.truncate("x.log", 0);
        world.gzip("x.log.1");
        world.append("x.log", numbered(20..25));
        world.run();
        world.pass_the_grace();
        world.restart();
        let mut found = numbers(&world.lines());
        found.sort_unstable();
        assert_eq!(found, (0..25).collect::<Vec<_>>(), "restarted {restarted}");
        assert_eq!((world.runs(), world.gaps()), (2, vec![]), "restarted {restarted}");
    }
}

#[test]
fn a_packed_rest_that_is_read_when_positions_move_is_begun_again_at_the_right_place() {
    let mut world = World::new("x.log");
    world.append("x.log", numbered(0..1_000));
    world.run();
    world.kill();
    world.append("x.log", numbered(1_000..60_000));
    world.rename("x.log", "x.log.1");
    world.gzip("x.log.1");
    world.append("x.log", numbered(60_000..60_010));
    world.pass(Duration::from_secs(2));
    for turn in 0..40 {
        world.memory.0.borrow_mut().resync = turn % 5 == 4;
        world.turn();
    }
    world.run();
    world.restart();
    let mut found = numbers(&world.lines());
    found.sort_unstable();
    assert_eq!(found, (0..60_010).collect::<Vec<_>>());
    assert_eq!(world.gaps(), []);
}

#[test]
fn a_packed_rest_of_a_run_that_the_ledger_may_have_forgotten_is_read_as_a_new_run() {
    let mut world = World::new("x.log");
    world.append("x.log", numbered(0..10));
    world.run();
    world.kill();
    world.memory.0.borrow_mut().horizon = 1;
    world.append("x.log", numbered(10..20));
    world.rename("x.log", "x.log.1");
    world.gzip("x.log.1");
    world.append("x.log", numbered(20..30));
    world.restart();
    world.restart();
    assert_eq!(numbers(&world.lines()), (0..30).collect::<Vec<_>>());
    assert_eq!((world.runs(), world.gaps()), (3, vec![]));
}

#[test]
fn a_packed_rest_is_found_by_its_content_where_only_the_position_of_its_run_is_known() {
    let mut world = World::new("x.log");
    world.append("x.log", numbered(0..100));
    world.run();
    world.kill();
    world.memory.0.borrow_mut().lost_spool = true;
    world.append("x.log", numbered(100..200));
    world.rename("x.log", "x.log.2");
    world.gzip("x.log.2");
    world.append("x.log.1", numbered(500..700));
    world.gzip("x.log.1");
    world.append("x.log", numbered(200..210));
    world.restart();
    world.restart();
    assert_eq!(numbers(&world.lines()), (0..210).collect::<Vec<_>>());
    assert_eq!((world.runs(), world.gaps()), (2, vec![]));
}

/// Makes a file older.
fn age(world: &World, name: &str, seconds: u64) {
    let file = fs::File::options().append(true).open(world.path(name)).unwrap();
    let modified = file.metadata().unwrap().modified().unwrap() - Duration::from_secs(seconds);
    file.set_modified(modified).unwrap();
}
