//! Files that are there, appear, grow, and cannot be read.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::time::Duration;

use headwater_agent::config::{LongLine, StartAt};
use headwater_agent::tail::Notice;
use headwater_protocol::record::{Cause, Part, SourceInfo};
use rustix::process::Uid;

use crate::world::{Stretch, World, is_named, numbered, numbers};

#[test]
fn a_file_that_is_there_is_read_from_its_beginning_if_told_so() {
    let mut world = World::new("*.log");
    world.append("a.log", "one\ntwo\n");
    world.append("b.txt", "no\n");
    world.run();
    world.assert_lines(&["one", "two"]);
    assert_eq!(world.gaps(), []);
    let SourceInfo::File { path, fingerprint } = world.memory.0.borrow().last().info.clone() else {
        panic!("a file's run says so");
    };
    assert_eq!(path, world.path("a.log").as_os_str().as_encoded_bytes());
    assert_eq!(fingerprint.length, 8);
}

#[test]
fn a_file_that_is_there_is_read_from_its_end_and_a_later_one_from_its_beginning() {
    let mut world = World::new("*.log").starting_at_the_end();
    world.append("a.log", "old\n");
    world.append("empty.log", "");
    world.run();
    world.assert_lines(&[]);
    world.append("a.log", "a\n");
    world.append("empty.log", "e\n");
    world.append("b.log", "b\n");
    world.run();
    let mut lines = world.lines();
    lines.sort();
    assert_eq!(lines, ["a", "b", "e"]);
}

#[test]
fn what_came_while_the_agent_was_down_is_read_from_where_it_was_left() {
    let mut world = World::new("*.log").starting_at_the_end();
    world.append("a.log", "old\n");
    world.append("empty.log", "");
    world.run();
    world.kill();
    world.append("a.log", "a\n");
    world.append("empty.log", "e\n");
    world.append("b.log", "b\n");
    world.restart();
    let mut lines = world.lines();
    lines.sort();
    assert_eq!(lines, ["a", "b", "e"], "the end was the end of the first look, not of this one");
}

#[test]
fn a_tail_that_is_added_later_begins_at_the_end_of_what_is_there() {
    let mut world = World::new("a/*.log");
    fs::create_dir(world.path("a")).unwrap();
    fs::create_dir(world.path("b")).unwrap();
    world.append("a/x.log", "a\n");
    world.append("b/x.log", "old\n");
    world.run();
    world.kill();
    world.add_tail(&["b/*.log"], StartAt::End);
    world.run();
    world.append("b/x.log", "b\n");
    world.run();
    world.assert_lines(&["a", "b"]);
}

#[test]
fn nothing_is_read_before_the_landing_knows_what_was_read() {
    let mut world = World::new("*.log");
    world.append("a.log", "one\n");
    world.memory.0.borrow_mut().waits = true;
    world.run();
    assert_eq!((world.runs(), world.statuses().len()), (0, 0));
    world.memory.0.borrow_mut().waits = false;
    world.run();
    world.assert_lines(&["one"]);
}

#[test]
fn growth_is_read_once_however_it_comes() {
    let mut world = World::new("*.log");
    for step in 0..50_u64 {
        world.append("a.log", numbered(step * 10..step * 10 + 10));
        if step % 7 == 3 {
            world.restart();
        } else {
            world.run();
        }
    }
    assert_eq!(numbers(&world.lines()), (0..500).collect::<Vec<_>>());
    assert_eq!(world.runs(), 1, "one file is one run");
}

#[test]
fn an_unfinished_line_waits_for_its_end() {
    let mut world = World::new("*.log");
    world.append("a.log", "one\nunfin");
    world.run();
    world.assert_lines(&["one"]);
    assert_eq!(world.status_of("a.log").unwrap().position, 4, "the position stays before it");
    world.restart();
    world.append("a.log", "ished\n");
    world.run();
    world.assert_lines(&["one", "unfinished"]);
}

#[test]
fn bytes_come_back_as_they_were() {
    let bytes = b"plain\ncrlf\r\n\r\n\n\xff\xfe\x00 no text\nlone \r inside\n\r\r\n".repeat(50);
    let mut world = World::new("*.log");
    world.append("a.log", &bytes);
    world.run();
    assert_eq!(world.memory.0.borrow().last().file(), bytes);
}

#[test]
fn a_long_line_is_split_and_nothing_of_it_is_lost_across_restarts() {
    let mut world = World::new("*.log").with_lines(100, LongLine::Split);
    let long: String = ('a'..='z').cycle().take(1_234).collect();
    for piece in long.as_bytes().chunks(77) {
        world.append("a.log", piece);
        world.restart();
    }
    world.append("a.log", "\nshort\n");
    world.restart();
    world.assert_lines(&[&long, "short"]);
    let store = world.memory.0.borrow();
    let parts = store.last().records.iter().filter_map(|record| match record {
        Stretch::Line { body, part, .. } => Some((body.len(), *part)),
        Stretch::Gap { .. } => None,
    });
    let parts: Vec<_> = parts.collect();
    assert_eq!(parts.len(), 14);
    assert!(parts[..12].iter().all(|part| *part == (100, Part::Continued)), "{parts:?}");
    assert_eq!(parts[12..], [(34, Part::Whole), (5, Part::Whole)]);
}

#[test]
fn a_cut_line_keeps_its_beginning_and_declares_the_rest_across_restarts() {
    let mut world = World::new("*.log").with_lines(100, LongLine::Cut);
    world.append("a.log", "first\n");
    for _ in 0..10 {
        world.append("a.log", "x".repeat(50));
        world.restart();
    }
    world.append("a.log", "\nlast\n");
    world.restart();
    world.assert_lines(&["first", &"x".repeat(100), "last"]);
    let gaps = world.gaps();
    assert!(gaps.iter().all(|(cause, _)| *cause == Cause::LineCut), "{gaps:?}");
    assert_eq!(gaps.iter().map(|(_, bytes)| bytes).sum::<u64>(), 401, "the rest and its LF");
}

#[test]
fn a_big_file_does_not_keep_others_waiting() {
    let mut world = World::new("*.log");
    world.append("a-big.log", numbered(0..40_000));
    world.append("small.log", "small\n");
    assert!(world.turn(), "there is more of the big one");
    assert!(world.lines().contains(&"small".to_owned()), "one chunk of each file in a round");
    world.run();
    assert_eq!(world.lines().len(), 40_001);
}

#[test]
fn one_file_with_two_names_is_read_once() {
    let mut world = World::new("*.log");
    world.add_tail(&["a.*"], StartAt::Beginning);
    world.append("a.log", "one\n");
    fs::hard_link(world.path("a.log"), world.path("b.log")).unwrap();
    world.run();
    world.append("b.log", "two\n");
    world.restart();
    world.assert_lines(&["one", "two"]);
    assert!(world.was_told(|notice| matches!(notice, Notice::OneFile { .. })) >= 1);
}

#[test]
fn links_folders_pipes_and_compressed_files_are_left_alone() {
    let mut world = World::new("*");
    fs::create_dir(world.path("folder.log")).unwrap();
    world.append("target.txt", "once\n");
    symlink(world.path("target.txt"), world.path("link.log")).unwrap();
    for name in ["a.gz", "a.log.bz2", "a.xz", "a.zst"] {
        world.append(name, "compressed\n");
    }
    rustix::fs::mknodat(
        rustix::fs::CWD,
        world.path("pipe"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::from_raw_mode(0o600),
        0,
    )
    .unwrap();
    world.run();
    world.assert_lines(&["once"]);
}

#[test]
fn files_that_begin_alike_are_two_files() {
    let heading = "x".repeat(1_100) + "\n";
    let mut world = World::new("*.log");
    world.append("a.log", heading.clone() + "a\n");
    world.run();
    world.append("b.log", heading.clone() + "b\n");
    world.run();
    world.assert_lines(&[heading.trim_end(), "a", heading.trim_end(), "b"]);
    let told = |notice: &Notice| matches!(notice, Notice::SameBeginning { .. });
    assert_eq!(world.was_told(told), 1, "{:?}", world.notices);
}

#[test]
fn equal_lines_are_not_one_line() {
    let mut world = World::new("*.log");
    world.append("a.log", "beat\n".repeat(300));
    world.run();
    world.append("b.log", "beat\n".repeat(200));
    world.run();
    world.append("b.log", "beat\n".repeat(100));
    world.run();
    assert_eq!(world.lines().len(), 600, "a file that says the same is no copy");
}

/// The thread that runs this test gives up root's power to read everything, if it has it.
#[test]
fn a_file_that_may_not_be_read_is_told_once_and_tried_again() {
    let mut world = World::new("*.log");
    world.append("a.log", "readable\n");
    world.append("secret.log", "secret\n");
    let secret = world.path("secret.log");
    fs::set_permissions(world.path("."), fs::Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o000)).unwrap();
    as_nobody(|| world.run());
    world.assert_lines(&["readable"]);
    as_nobody(|| world.run());
    let told: Vec<String> = world.notices.iter().map(ToString::to_string).collect();
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains("secret.log cannot be read: Permission denied"), "{told:?}");
    assert!(told[0].contains("setfacl -m u:"), "{told:?}");
    let status = world.status_of("secret.log").unwrap();
    assert!(status.stalled.is_some_and(|reason| reason.contains("Permission denied")));

    fs::set_permissions(&secret, fs::Permissions::from_mode(0o644)).unwrap();
    as_nobody(|| world.run());
    world.assert_lines(&["readable"]);
    world.pass(Duration::from_secs(31));
    as_nobody(|| world.run());
    world.assert_lines(&["readable", "secret"]);
}

#[test]
fn a_file_above_the_limit_waits_for_one_that_comes_to_rest() {
    let mut world = World::new("*.log").starting_at_the_end();
    world.limits.max_files = 2;
    for name in ["a.log", "b.log", "c.log"] {
        world.append(name, "old\n");
    }
    world.run();
    let told = |notice: &Notice| matches!(notice, Notice::TooManyFiles { path, .. } if is_named(path, "c.log"));
    assert_eq!(world.was_told(told), 1, "{:?}", world.notices);
    world.append("c.log", "c 1\n");
    world.pass(Duration::from_secs(20));
    world.run();
    world.assert_lines(&["c 1"]);

    for round in 0..6 {
        for name in ["a", "b", "c"] {
            world.append(&format!("{name}.log"), format!("{name} {round}\n"));
        }
        for _ in 0..4 {
            world.pass(Duration::from_secs(20));
            world.run();
        }
        assert!(world.statuses().len() <= 3);
    }
    assert_eq!(world.lines().len(), 19, "each file has its turn: {:?}", world.lines());
    assert_eq!(world.runs(), 3, "a file that rested goes on as it was");
}

/// Does work as a user who may not read everything.
pub(crate) fn as_nobody(work: impl FnOnce()) {
    let root = Uid::ROOT;
    if !rustix::process::geteuid().is_root() {
        return work();
    }
    // Of this thread alone: the system call knows no process.
    rustix::thread::set_thread_res_uid(root, Uid::from_raw(65_534), root).unwrap();
    work();
    rustix::thread::set_thread_res_uid(root, root, root).unwrap();
}
