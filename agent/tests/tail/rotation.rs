//! Files that are renamed, replaced and deleted.

use std::fs;
use std::io::Write;
use std::time::Duration;

use headwater_agent::tail::Notice;
use headwater_protocol::record::{Cause, Part};

use crate::world::{Stretch, World, numbered, numbers, until};

#[test]
fn a_renamed_file_is_read_to_its_end_and_its_successor_from_the_beginning() {
    let mut world = World::new("x.log");
    world.append("x.log", "one\n");
    world.run();
    let mut writer = world.writer("x.log");
    world.rename("x.log", "x.log.1");
    world.run();
    writer.write_all(b"two\n").unwrap();
    world.append("x.log", "three\n");
    world.run();
    writer.write_all(b"late\n").unwrap();
    world.run();
    let mut lines = world.lines();
    lines.sort();
    assert_eq!(lines, ["late", "one", "three", "two"]);
    assert_eq!((world.runs(), world.gaps()), (2, vec![]));
}

#[test]
fn a_renamed_file_is_closed_once_it_stood_still_and_has_a_successor() {
    let mut world = World::new("x.log");
    world.append("x.log", "one\nrest");
    world.run();
    world.rename("x.log", "x.log.1");
    world.pass_the_grace();
    assert_eq!(world.statuses().len(), 1, "it may be all there is");
    world.append("x.log.1", " of it");
    world.run();
    world.append("x.log", "two\n");
    world.pass_the_grace();
    assert_eq!(world.statuses().len(), 1, "only the successor is left");
    world.assert_lines(&["one", "rest of it", "two"]);
    let store = world.memory.0.borrow();
    let ends_unended = store.streams.values().any(|stored| {
        matches!(stored.records.last(), Some(Stretch::Line { part: Part::Unended, .. }))
    });
    assert!(ends_unended, "a line without an end is emitted when the file is closed for good");
}

#[test]
fn what_was_read_of_a_file_without_its_name_waits_for_nothing() {
    for is_deleted in [false, true] {
        let mut world = World::new("x.log");
        world.append("x.log", "one\n");
        let mut writer = world.writer("x.log");
        world.run();
        let hurries = |world: &World| world.memory.0.borrow().hurries;
        assert_eq!(hurries(&world), 0, "it is there to be read again");
        if is_deleted {
            fs::remove_file(world.path("x.log")).unwrap();
        } else {
            world.rename("x.log", "x.log.1");
        }
        world.run();
        assert_eq!(hurries(&world), 1, "deleted: {is_deleted}");
        world.run();
        assert_eq!(hurries(&world), 1, "said once");
        writer.write_all(b"two\n").unwrap();
        world.run();
        assert_eq!(hurries(&world), 2, "and of what came after");
    }
}

#[test]
fn names_that_move_within_the_pattern_are_never_read_twice() {
    let mut world = World::new("x.log*");
    for generation in 0..30_u64 {
        for name in (1..6).rev() {
            if world.path(&format!("x.log.{name}")).exists() {
                world.rename(&format!("x.log.{name}"), &format!("x.log.{}", name + 1));
            }
        }
        if world.path("x.log").exists() {
            world.rename("x.log", "x.log.1");
        }
        world.append("x.log", numbered(generation * 10..generation * 10 + 10));
        if generation % 4 == 1 {
            world.kill();
        } else {
            world.run();
        }
        if world.path("x.log.6").exists() {
            world.remove("x.log.6");
        }
    }
    world.run();
    let mut found = numbers(&world.lines());
    found.sort_unstable();
    assert_eq!(found, (0..300).collect::<Vec<_>>());
    assert_eq!(world.gaps(), []);
}

#[test]
fn generations_that_came_and_went_while_the_agent_was_down_are_read() {
    for known_is_there in [true, false] {
        let mut world = World::new("x.log").starting_at_the_end();
        world.append("x.log.1", "from before the agent\n");
        world.run();
        world.append("x.log", numbered(0..10));
        world.run();
        world.kill();
        world.append("x.log", numbered(10..20));
        for generation in 2..5_u64 {
            for name in (1..5).rev() {
                if world.path(&format!("x.log.{name}")).exists() {
                    world.rename(&format!("x.log.{name}"), &format!("x.log.{}", name + 1));
                }
            }
            world.rename("x.log", "x.log.1");
            world.append("x.log", numbered(generation * 10..generation * 10 + 10));
        }
        if !known_is_there {
            // Rotation drops the oldest.
            world.remove("x.log.4");
            world.remove("x.log.3");
        }
        world.restart();
        let mut found = numbers(&world.lines());
        found.sort_unstable();
        let expected: Vec<u64> =
            (0..50).filter(|n| known_is_there || !(10..20).contains(n)).collect();
        assert_eq!(found, expected, "what is there is read, once");
        let gaps = if known_is_there { vec![] } else { vec![(Cause::Suspected, 0)] };
        assert_eq!(world.gaps(), gaps, "what may be missing is declared");
        world.restart();
        assert_eq!((world.lines().len(), world.gaps()), (expected.len(), gaps));
    }
}

#[test]
fn generations_that_came_and_went_between_two_looks_are_read() {
    let mut world = World::new("x.log");
    world.append("x.log", numbered(0..10));
    world.run();
    for generation in 1..5_u64 {
        for name in (1..5).rev() {
            if world.path(&format!("x.log.{name}")).exists() {
                world.rename(&format!("x.log.{name}"), &format!("x.log.{}", name + 1));
            }
        }
        world.rename("x.log", "x.log.1");
        world.append("x.log", numbered(generation * 10..generation * 10 + 10));
    }
    world.run();
    let mut found = numbers(&world.lines());
    found.sort_unstable();
    assert_eq!(found, (0..50).collect::<Vec<_>>());
}

#[test]
fn files_from_before_the_agent_are_left_alone_when_others_rotate() {
    let mut world = World::new("x.log").starting_at_the_end();
    world.append("x.log.2", "old\n");
    world.append("x.log.1", "old\n");
    world.append("x.log", "old\n");
    world.run();
    rotate_and_expect_the_new_line_alone(world);
}

#[test]
fn files_from_before_the_agent_that_hold_the_same_are_no_copies_of_what_is_read() {
    let mut world = World::new("x.log").starting_at_the_end();
    world.append("x.log.2", "started\n");
    for (younger, older) in [("x.log.1", "x.log.2"), ("x.log", "x.log.1")] {
        let born = |name: &str| world.path(name).metadata().unwrap().created().unwrap();
        // The clock of a file system moves in steps.
        until("one file is younger than the other", || {
            let _ = fs::remove_file(world.path(younger));
            world.append(younger, "started\n");
            born(younger) > born(older)
        });
    }
    world.run();
    rotate_and_expect_the_new_line_alone(world);
}

fn rotate_and_expect_the_new_line_alone(mut world: World) {
    world.rename("x.log.2", "x.log.3");
    world.rename("x.log.1", "x.log.2");
    world.rename("x.log", "x.log.1");
    world.append("x.log", "new\n");
    world.run();
    world.restart();
    world.assert_lines(&["new"]);
}

#[test]
fn other_files_of_a_family_are_left_alone() {
    let mut world = World::new("x.log");
    world.append("x.log", "one\n");
    world.run();
    world.rename("x.log", "x.log.1");
    world.append("x.log", "two\n");
    world.append("x.log.err", "not ours\n");
    world.append("x-error.log", "not ours\n");
    world.append("x.log.2.gz", "not ours\n");
    world.run();
    world.restart();
    world.assert_lines(&["one", "two"]);
}

#[test]
fn a_rotated_file_is_found_again_after_a_restart_even_under_a_name_that_no_tail_has() {
    let mut world = World::new("x.log");
    world.append("x.log", "one\n");
    world.run();
    world.kill();
    world.append("x.log", "two\nunended");
    world.rename("x.log", "x.old-name");
    world.append("x.log", "three\n");
    world.restart();
    world.assert_lines(&["one", "two", "three"]);
    world.pass_the_grace();
    world.assert_lines(&["one", "two", "unended", "three"]);
    world.restart();
    world.restart();
    world.assert_lines(&["one", "two", "unended", "three"]);
    assert_eq!(world.statuses().len(), 1, "what was read up is not opened again");
}

#[test]
fn a_rotated_file_that_is_still_written_to_after_a_restart_is_read_on() {
    let mut world = World::new("x.log");
    world.append("x.log", "one\n");
    world.run();
    let mut writer = world.writer("x.log");
    world.rename("x.log", "x.log.1");
    world.append("x.log", "two\n");
    world.run();
    world.restart();
    writer.write_all(b"late\n").unwrap();
    world.run();
    world.assert_lines(&["one", "late", "two"]);
}

#[test]
fn a_deleted_file_is_read_to_its_end_and_let_go() {
    let mut world = World::new("x.log");
    world.append("x.log", "one\n");
    world.run();
    let mut writer = world.writer("x.log");
    world.remove("x.log");
    writer.write_all(b"two\nunended").unwrap();
    world.run();
    world.assert_lines(&["one", "two"]);
    assert_eq!(world.statuses().len(), 1, "its descriptor is kept");
    world.pass_the_grace();
    world.assert_lines(&["one", "two", "unended"]);
    assert_eq!((world.statuses().len(), world.gaps()), (0, vec![]), "its disk space is free again");
}

#[test]
fn a_file_that_is_deleted_and_made_again_is_another_one_even_with_its_inode() {
    let mut world = World::new("x.log");
    for round in 0..20 {
        world.append("x.log", format!("round {round}\n"));
        world.run();
        if round % 3 == 0 {
            // The agent lets go of the inode: it is given to the next file.
            world.kill();
        }
        world.remove("x.log");
    }
    world.run();
    let expected: Vec<String> = (0..20).map(|round| format!("round {round}")).collect();
    assert_eq!(world.lines(), expected);
}

#[test]
fn a_file_that_vanished_while_the_agent_was_down_is_suspected_once() {
    let mut world = World::new("x.log");
    world.append("x.log", "one\n");
    world.run();
    world.kill();
    world.append("x.log", "nobody saw this\n");
    world.remove("x.log");
    world.restart();
    assert_eq!(world.gaps(), [], "its successor tells");
    world.append("x.log", "two\n");
    world.run();
    world.restart();
    world.restart();
    world.assert_lines(&["one", "two"]);
    assert_eq!(world.gaps(), [(Cause::Suspected, 0)]);
    assert_eq!(world.was_told(|notice| matches!(notice, Notice::Vanished { .. })), 1);
}

#[test]
fn a_file_that_was_read_up_and_closed_is_not_missed() {
    let mut world = World::new("x.log");
    world.append("x.log", "one\n");
    world.run();
    world.remove("x.log");
    world.pass_the_grace();
    world.append("x.log", "two\n");
    world.run();
    world.assert_lines(&["one", "two"]);
    assert_eq!(world.gaps(), []);
}

#[test]
fn a_file_that_comes_back_in_its_place_with_the_same_content_goes_on() {
    for restarted in [false, true] {
        let mut world = World::new("x.log");
        world.append("x.log", numbered(0..20));
        world.run();
        if restarted {
            world.kill();
        }
        // As an editor or a restore does: a new file, renamed over the old one.
        world.copy("x.log", "x.tmp");
        world.append("x.tmp", numbered(20..25));
        world.rename("x.tmp", "x.log");
        world.run();
        world.append("x.log", numbered(25..30));
        world.run();
        world.restart();
        world.append("x.log", numbered(30..35));
        world.run();
        assert_eq!(numbers(&world.lines()), (0..35).collect::<Vec<_>>(), "restarted: {restarted}");
        assert_eq!(world.gaps(), []);
    }
}

#[test]
fn a_folder_that_goes_and_comes_back_is_followed() {
    let mut world = World::new("logs/*.log");
    world.run();
    for round in 0..3 {
        fs::create_dir(world.path("logs")).unwrap();
        world.append("logs/x.log", format!("round {round}\n"));
        world.run();
        fs::remove_dir_all(world.path("logs")).unwrap();
        world.run();
    }
    world.pass(Duration::from_secs(3_600));
    world.run();
    world.assert_lines(&["round 0", "round 1", "round 2"]);
    assert_eq!(world.statuses().len(), 0);
}

#[test]
fn generations_that_came_and_went_are_found_although_the_file_is_read_by_a_hard_link() {
    for restarted in [false, true] {
        let mut world = World::new("*.log");
        let relink = |world: &World| {
            fs::hard_link(world.path("x.log"), world.path("x.new")).unwrap();
            world.rename("x.new", "x-link.log");
        };
        world.append("x.log", numbered(0..10));
        relink(&world);
        world.run();
        if restarted {
            world.kill();
        }
        for generation in 1..4_u64 {
            for name in (1..4).rev() {
                if world.path(&format!("x.log.{name}")).exists() {
                    world.rename(&format!("x.log.{name}"), &format!("x.log.{}", name + 1));
                }
            }
            world.rename("x.log", "x.log.1");
            world.append("x.log", numbered(generation * 10..generation * 10 + 10));
            relink(&world);
        }
        world.run();
        world.pass_the_grace();
        let mut found = numbers(&world.lines());
        found.sort_unstable();
        assert_eq!(found, (0..40).collect::<Vec<_>>(), "restarted {restarted}");
    }
}
