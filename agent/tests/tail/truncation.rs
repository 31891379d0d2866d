//! Files that are truncated, copied and truncated, rewritten, or lose their end.

use std::fs;
use std::io::Write;

use headwater_agent::tail::Notice;
use headwater_protocol::record::Cause;

use crate::world::{World, numbered, numbers};

#[test]
fn a_truncated_file_is_read_from_its_start_as_a_new_run() {
    let mut world = World::new("x.log");
    world.append("x.log", numbered(0..10));
    world.run();
    world.truncate("x.log", 0);
    world.append("x.log", numbered(10..12));
    world.run();
    world.restart();
    assert_eq!(numbers(&world.lines()), (0..12).collect::<Vec<_>>());
    assert_eq!(world.runs(), 2);
    assert_eq!(world.gaps(), [(Cause::Suspected, 0)], "what came between two looks is unknown");
}

#[test]
fn a_truncated_file_that_has_grown_beyond_its_position_is_seen_by_its_bytes() {
    for restarted in [false, true] {
        let mut world = World::new("x.log");
        world.append("x.log", numbered(0..10));
        world.run();
        if restarted {
            world.kill();
        }
        world.truncate("x.log", 0);
        world.append("x.log", numbered(10..40));
        world.run();
        assert_eq!(numbers(&world.lines()), (0..40).collect::<Vec<_>>());
        assert_eq!(world.gaps(), [(Cause::Suspected, 0)]);
    }
}

#[test]
fn bytes_that_were_seen_and_truncated_before_they_were_read_are_declared() {
    let mut world = World::new("x.log");
    // An unfinished line: it is seen, and cannot be read yet.
    world.append("x.log", numbered(0..10) + "unfinished");
    world.run();
    world.truncate("x.log", 0);
    world.append("x.log", numbered(10..11));
    world.run();
    world.restart();
    assert_eq!(numbers(&world.lines()), (0..11).collect::<Vec<_>>());
    assert_eq!(world.gaps(), [(Cause::Truncated, 10)]);
}

#[test]
fn an_emptied_file_is_declared_once_however_often_the_agent_starts() {
    let mut world = World::new("x.log");
    world.append("x.log", numbered(0..10));
    world.run();
    world.truncate("x.log", 0);
    world.restart();
    world.restart();
    assert_eq!(world.gaps(), [(Cause::Suspected, 0)]);
    world.append("x.log", numbered(10..11));
    world.restart();
    assert_eq!(numbers(&world.lines()), (0..11).collect::<Vec<_>>());
}

#[test]
fn the_rest_of_a_file_that_was_copied_and_truncated_is_read_from_the_copy() {
    for pattern in ["x.log", "x.log*"] {
        for (read_between, restarted) in
            [(false, false), (false, true), (true, false), (true, true)]
        {
            let mut world = World::new(pattern);
            world.append("x.log", numbered(0..10));
            world.run();
            if restarted {
                world.kill();
            }
            world.append("x.log", numbered(10..20));
            world.copy("x.log", "x.log.1");
            if read_between {
                world.run();
            }
            world.truncate("x.log", 0);
            world.append("x.log", numbered(20..25));
            world.run();
            world.pass_the_grace();
            world.restart();
            let name = format!("{pattern}, read between {read_between}, restarted {restarted}");
            assert_eq!(numbers(&world.lines()), (0..25).collect::<Vec<_>>(), "{name}");
            let declared = world.gaps();
            assert!(
                declared.iter().all(|gap| *gap == (Cause::Suspected, 0)),
                "{name}: {declared:?}"
            );
        }
    }
}

#[test]
fn copies_move_on_within_the_pattern_and_are_never_read() {
    for every in [1, 2, 3] {
        let mut world = World::new("x.log*");
        for generation in 0..20_u64 {
            world.append("x.log", numbered(generation * 10..generation * 10 + 10));
            if generation % every == 0 {
                world.run();
            }
            for name in (1..4).rev() {
                if world.path(&format!("x.log.{name}")).exists() {
                    world.rename(&format!("x.log.{name}"), &format!("x.log.{}", name + 1));
                }
            }
            world.copy("x.log", "x.log.1");
            if generation % 5 == 3 {
                world.kill();
            }
            world.truncate("x.log", 0);
        }
        world.run();
        world.restart();
        let mut found = numbers(&world.lines());
        found.sort_unstable();
        assert_eq!(found, (0..200).collect::<Vec<_>>(), "a look every {every} generations");
    }
}

#[test]
fn a_copy_that_is_behind_what_was_read_is_not_read_again() {
    for restarted in [false, true] {
        let mut world = World::new("x.log*");
        world.append("x.log", numbered(0..10));
        world.run();
        world.copy("x.log", "x.log.1");
        world.append("x.log", numbered(10..12));
        world.run();
        if restarted {
            world.kill();
        }
        world.truncate("x.log", 0);
        world.append("x.log", numbered(12..14));
        world.run();
        world.restart();
        assert_eq!(numbers(&world.lines()), (0..14).collect::<Vec<_>>(), "restarted {restarted}");
    }
}

#[test]
fn a_copy_beside_a_file_that_goes_on_is_not_read_until_it_differs() {
    let mut world = World::new("x.log*");
    world.append("x.log", numbered(0..10));
    world.run();
    world.copy("x.log", "x.log.1");
    world.append("x.log", numbered(10..12));
    world.run();
    assert_eq!(numbers(&world.lines()), (0..12).collect::<Vec<_>>());
    assert_eq!(world.was_told(|notice| matches!(notice, Notice::Ambiguous { .. })), 1);
    world.restart();
    assert_eq!(world.lines().len(), 12);
    world.append("x.log.1", numbered(90..91));
    world.run();
    assert_eq!(world.lines().len(), 12 + 11, "it is a file of its own");
}

#[test]
fn a_copy_that_is_still_being_made_is_waited_for() {
    let mut world = World::new("x.log*");
    world.append("x.log", numbered(0..1_000));
    world.run();
    let whole = fs::read(world.path("x.log")).unwrap();
    let mut copy = world.writer("x.log.1");
    for part in whole.chunks(8_192) {
        copy.write_all(part).unwrap();
        world.run();
    }
    world.append("x.log", numbered(1_000..1_001));
    world.run();
    world.truncate("x.log", 0);
    world.run();
    world.restart();
    assert_eq!(numbers(&world.lines()), (0..1_001).collect::<Vec<_>>());
}

#[test]
fn several_generations_that_were_copied_away_between_two_looks_are_read() {
    for restarted in [false, true] {
        let mut world = World::new("x.log");
        world.append("x.log.1", "from before the agent\n");
        world.append("x.log", numbered(0..10));
        world.run();
        if restarted {
            world.kill();
        }
        world.append("x.log", numbered(10..20));
        for generation in 2..5_u64 {
            for name in (1..5).rev() {
                if world.path(&format!("x.log.{name}")).exists() {
                    world.rename(&format!("x.log.{name}"), &format!("x.log.{}", name + 1));
                }
            }
            world.copy("x.log", "x.log.1");
            world.truncate("x.log", 0);
            world.append("x.log", numbered(generation * 10..generation * 10 + 10));
        }
        world.run();
        world.pass_the_grace();
        world.restart();
        let mut found = numbers(&world.lines());
        found.sort_unstable();
        assert_eq!(found, (0..50).collect::<Vec<_>>(), "restarted {restarted}");
    }
}

#[test]
fn a_file_that_lost_its_end_goes_on_there_and_nothing_is_read_twice() {
    for restarted in [false, true] {
        let mut world = World::new("x.log");
        world.append("x.log", numbered(0..100));
        world.run();
        if restarted {
            world.kill();
        }
        // In the middle of line 50.
        world.truncate("x.log", 50 * 45 + 12);
        world.run();
        assert_eq!(world.lines().len(), 100, "nothing is read again");
        world.append("x.log", "\n".to_owned() + &numbered(200..203));
        world.run();
        world.restart();
        let lines = world.lines();
        assert_eq!(lines[100], "", "the end of the line whose end was lost");
        assert_eq!(numbers(&lines[101..]), [200, 201, 202]);
        assert_eq!(world.gaps(), [(Cause::Regressed, 0)]);
        assert_eq!(world.was_told(|notice| matches!(notice, Notice::Regressed { .. })), 1);
    }
}

#[test]
fn a_file_that_lost_its_end_and_grew_before_anybody_looked_goes_on_where_it_differs() {
    // Cut within a batch, at its start, to less than a fingerprint; grown less and more than it had been.
    for (read, kept, new, restarted) in [
        (100, 50, 20, false),
        (100, 50, 20, true),
        (100, 50, 90, false),
        (100, 50, 90, true),
        (100, 49, 90, true),
        (100, 23, 300, true),
        (30, 16, 3, true),
        (30, 16, 90, true),
    ] {
        let mut world = World::new("x.log");
        world.append("x.log", numbered(0..read));
        world.run();
        if restarted {
            world.kill();
        }
        world.truncate("x.log", kept * LINE);
        world.append("x.log", numbered(200..200 + new));
        world.run();
        world.append("x.log", numbered(900..901));
        world.restart();
        let expected: Vec<u64> = (0..read).chain(200..200 + new).chain(900..901).collect();
        let name = format!("{kept} of {read} lines kept, {new} new ones, restarted {restarted}");
        assert_eq!(numbers(&world.lines()), expected, "{name}");
        assert_eq!((world.gaps(), world.runs()), (vec![(Cause::Regressed, 0)], 2), "{name}");
    }
}

#[test]
fn a_file_that_loses_its_end_again_and_again_doubles_nothing() {
    let mut world = World::new("x.log");
    world.append("x.log", numbered(0..100));
    world.run();
    let mut expected: Vec<u64> = (0..100).collect();
    // Within the last run, before it, and before the one before it.
    for (round, kept) in [60, 80, 50, 30, 90].into_iter().enumerate() {
        let first = 1_000 * (round as u64 + 1);
        world.truncate("x.log", kept * LINE);
        world.append("x.log", numbered(first..first + 90));
        if round % 2 == 0 {
            world.kill();
        }
        world.run();
        expected.extend(first..first + 90);
        assert_eq!(numbers(&world.lines()), expected, "round {round}");
    }
    assert_eq!(world.gaps(), [(Cause::Regressed, 0); 5]);
}

#[test]
fn a_line_that_was_cut_and_written_on_is_read_whole_and_the_ones_before_it_are_not() {
    let mut world = World::new("x.log");
    world.append("x.log", numbered(0..100));
    world.run();
    world.kill();
    world.truncate("x.log", 50 * LINE + 12);
    world.append("x.log", numbered(200..290));
    world.run();
    let lines = world.lines();
    assert_eq!(lines[100], format!("2026-11-21T1{}", numbered(200..201).trim_end()));
    assert_eq!(numbers(&lines[101..]), (201..290).collect::<Vec<_>>());
}

#[test]
fn beyond_what_the_spool_holds_a_file_that_grew_again_is_read_from_its_start() {
    for lost_spool in [false, true] {
        let mut world = World::new("x.log");
        world.append("x.log", numbered(0..100));
        world.run();
        world.kill();
        world.memory.0.borrow_mut().held_from = 70 * LINE;
        world.memory.0.borrow_mut().lost_spool = lost_spool;
        world.truncate("x.log", 50 * LINE);
        world.append("x.log", numbered(200..290));
        world.run();
        let expected: Vec<u64> = (0..100).chain(0..50).chain(200..290).collect();
        assert_eq!(numbers(&world.lines()), expected, "nothing is lost where it cannot be told");
    }
}

#[test]
fn a_heading_that_is_kept_is_no_evidence_and_what_is_new_behind_it_is_read() {
    for new in [3, 90] {
        let heading = format!("{}\n", "=".repeat(500));
        let mut world = World::new("x.log");
        world.append("x.log", heading.clone() + &numbered(0..50));
        world.run();
        fs::write(world.path("x.log"), heading + &numbered(100..100 + new)).unwrap();
        world.run();
        let mut lines = world.lines();
        lines.retain(|line| !line.starts_with('='));
        let expected: Vec<u64> = (0..50).chain(100..100 + new).collect();
        assert_eq!(numbers(&lines), expected, "{new} new lines");
    }
}

#[test]
fn a_file_that_was_copied_and_truncated_keeps_its_copy_however_long_its_heading() {
    for restarted in [false, true] {
        let heading = format!("{}\n", "=".repeat(2_000));
        let mut world = World::new("x.log");
        world.append("x.log", heading.clone() + &numbered(0..10));
        world.run();
        if restarted {
            world.kill();
        }
        world.append("x.log", numbered(10..20));
        world.copy("x.log", "x.log.1");
        world.truncate("x.log", 0);
        world.append("x.log", heading.clone() + &numbered(20..60));
        world.run();
        world.pass_the_grace();
        let mut lines = world.lines();
        lines.retain(|line| !line.starts_with('='));
        let mut found = numbers(&lines);
        found.sort_unstable();
        assert_eq!(found, (0..60).collect::<Vec<_>>(), "restarted {restarted}");
    }
}

/// Bytes of a numbered line.
const LINE: u64 = 45;

#[test]
fn a_new_log_with_the_same_heading_is_not_taken_for_the_old_one() {
    for restarted in [false, true] {
        let mut world = World::new("x.log");
        world.append("x.log", "service started\n".to_owned() + &numbered(0..100));
        world.run();
        if restarted {
            world.kill();
        }
        fs::write(world.path("x.log"), "service started\n".to_owned() + &numbered(100..120))
            .unwrap();
        world.run();
        let lines = world.lines();
        assert_eq!(numbers(&lines[102..]), (100..120).collect::<Vec<_>>(), "restarted {restarted}");
    }
}

#[test]
fn a_file_that_is_rewritten_with_the_same_content_goes_on() {
    let mut world = World::new("x.log");
    world.append("x.log", numbered(0..10));
    world.run();
    fs::write(world.path("x.log"), numbered(0..15)).unwrap();
    world.run();
    assert_eq!(numbers(&world.lines()), (0..15).collect::<Vec<_>>());
    assert_eq!((world.runs(), world.gaps()), (1, vec![]));
}
