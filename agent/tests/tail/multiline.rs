//! Records of several lines: gathered, waited for and never torn so that a byte is lost or doubled.

use std::fs;
use std::io::Write;
use std::time::Duration;

use headwater_agent::config::{LongLine, Multiline, Pattern};
use headwater_protocol::record::Part;

use crate::world::{Stretch, World};

const TRACE: &str = "error: it broke\n  at one\n\tat two\n";

#[test]
fn a_stack_trace_is_one_record_and_the_next_line_ends_it() {
    let mut world = World::new("x.log").with_multiline(Multiline::Indent);
    world.append("x.log", TRACE);
    world.turn();
    world.turn();
    world.assert_lines(&[]);
    world.append("x.log", "next\n");
    world.run();
    world.assert_lines(&["error: it broke\n  at one\n\tat two", "next"]);
}

#[test]
fn a_line_that_fits_begins_a_record() {
    let mut world = World::new("x.log").with_multiline(begins(r"^\d{4}-"));
    world.append(
        "x.log",
        "2026-11-25 one\r\nmore\r\n2026-11-25 two\n\n  {\n  }\n2026-11-25 three\n",
    );
    world.pass_the_wait();
    world.assert_lines(&[
        "2026-11-25 one\r\nmore",
        "2026-11-25 two\n\n  {\n  }",
        "2026-11-25 three",
    ]);
    assert_eq!(world.memory.0.borrow().last().file(), fs::read(world.path("x.log")).unwrap());
}

#[test]
fn a_record_whose_next_line_does_not_come_is_complete_after_a_second() {
    for multiline in [Multiline::Indent, begins("^error")] {
        let mut world = World::new("x.log").with_multiline(multiline);
        world.append("x.log", TRACE);
        for _ in 0..3 {
            world.pass(Duration::from_millis(300));
            world.turn();
        }
        world.assert_lines(&[]);
        world.append("x.log", "  at three\n  unfini");
        for _ in 0..3 {
            world.pass(Duration::from_millis(300));
            world.turn();
        }
        world.assert_lines(&[]);
        world.pass_the_wait();
        world.assert_lines(&["error: it broke\n  at one\n\tat two\n  at three"]);
        let status = world.status_of("x.log").unwrap();
        assert_eq!(status.position, 44, "the unfinished line waits as any other does");
        world.append("x.log", "shed\n");
        world.pass_the_wait();
        assert_eq!(world.lines().last().unwrap(), "  unfinished", "what comes late is a record");
    }
}

#[test]
fn a_record_that_waits_is_read_again_after_a_kill() {
    let mut world = World::new("x.log").with_multiline(Multiline::Indent);
    world.append("x.log", "first\nerror: it broke\n  at one\n");
    world.turn();
    world.turn();
    world.kill();
    world.append("x.log", "  at two\nlast\n");
    world.pass_the_wait();
    world.restart();
    world.assert_lines(&["first", "error: it broke\n  at one\n  at two", "last"]);
}

#[test]
fn a_record_at_the_end_of_a_file_that_was_rotated_is_whole() {
    for packed in [false, true] {
        let mut world = World::new("x.log").with_multiline(begins("^[a-z]"));
        world.append("x.log", "first\n");
        world.pass_the_wait();
        world.kill();
        world.append("x.log", "error: it broke\n  at one\n");
        world.append("x.log", "  at two\n  without an end");
        world.rename("x.log", "x.log.1");
        if packed {
            world.gzip("x.log.1");
        }
        world.append("x.log", "successor\n  of it\n");
        // Where the file itself is there it may still be written to.
        world.restart();
        world.pass_the_grace();
        let lines = world.lines();
        assert_eq!(lines.last().unwrap(), "successor\n  of it", "packed {packed}");
        if packed {
            let record = "error: it broke\n  at one\n  at two\n  without an end";
            assert_eq!(lines, ["first", record, "successor\n  of it"]);
        }
        let store = world.memory.0.borrow();
        let first = store.streams.values().find(|run| run.lines()[0] == "first").unwrap();
        assert!(matches!(first.records.last(), Some(Stretch::Line { part: Part::Unended, .. })));
        let whole = "first\nerror: it broke\n  at one\n  at two\n  without an end";
        assert_eq!(String::from_utf8(first.file()).unwrap(), whole, "packed {packed}");
    }
}

#[test]
fn a_generation_is_read_as_its_tail_says_also_after_a_restart() {
    let mut world = World::new("x.log").with_multiline(Multiline::Indent);
    world.append("x.log", "one\n");
    world.pass_the_wait();
    world.kill();
    world.rename("x.log", "x.log.2");
    world.append("x.log.1", "two\n  of it\nthree\n");
    world.append("x.log", "four\n");
    world.turn();
    world.restart();
    world.append("x.log.1", "five\n  of it\nsix\n");
    world.pass_the_wait();
    let mut lines = world.lines();
    lines.sort();
    assert_eq!(lines, ["five\n  of it", "four", "one", "six", "three", "two\n  of it"]);
}

#[test]
fn a_record_above_the_limit_is_split_and_comes_back_whole_across_restarts() {
    let mut world =
        World::new("x.log").with_lines(1_024, LongLine::Split).with_multiline(Multiline::Indent);
    let trace = format!("error\n{}", "  at a place that has a name\n".repeat(200));
    for part in trace.as_bytes().chunks(997) {
        world.append("x.log", part);
        world.turn();
        world.kill();
        world.turn();
    }
    world.append("x.log", "next\n");
    world.pass_the_wait();
    world.assert_lines(&[trace.trim_end(), "next"]);
}

#[test]
fn random_files_come_back_byte_by_byte_whatever_happens() {
    for seed in 1..=40 {
        let mut random = Random(seed);
        let multiline = match random.below(3) {
            0 => Multiline::Indent,
            1 => begins("^[0-9]"),
            _ => begins("x$"),
        };
        let mut world =
            World::new("x.log").with_lines(1_024, LongLine::Split).with_multiline(multiline);
        world.append("x.log", "2026-11-25 a first line by which the file can be told\n");
        world.run();
        let mut writer = world.writer("x.log");
        let mut rotated = false;
        for _ in 0..200 {
            match random.below(12) {
                0..6 => writer.write_all(&random.text()).unwrap(),
                6..9 => {
                    world.pass(Duration::from_millis(random.below(1_500)));
                    world.turn();
                }
                9 => world.kill(),
                10 => world.run(),
                _ if random.below(60) == 0 && !rotated => {
                    world.rename("x.log", "x.log.1");
                    rotated = true;
                }
                _ => world.memory.0.borrow_mut().resync = random.below(3) == 0,
            }
        }
        let name = if rotated { "x.log.1" } else { "x.log" };
        let whole = fs::read(world.path(name)).unwrap();
        world.kill();
        let packed = random.below(2) == 0;
        if packed {
            drop(writer);
            if rotated {
                world.gzip(name);
            } else {
                world.rename(name, "x.log.1");
                world.gzip("x.log.1");
            }
        } else if !rotated {
            world.rename(name, "x.log.1");
        }
        world.append("x.log", "the successor\n");
        world.run();
        world.pass_the_grace();
        world.restart();
        let store = world.memory.0.borrow();
        let read: Vec<u8> =
            store.streams.values().map(|run| run.file()).max_by_key(Vec::len).unwrap();
        let same = read.iter().zip(&whole).take_while(|(one, other)| one == other).count();
        assert!(
            read == whole,
            "seed {seed}: {same} of {} bytes came back, {} in all, packed {packed}, rotated {rotated}",
            whole.len(),
            read.len()
        );
        assert_eq!(store.gaps(), [], "seed {seed}");
    }
}

fn begins(pattern: &str) -> Multiline {
    Multiline::Begins(Pattern::new(pattern).unwrap())
}

/// As in the storm.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % limit
    }

    /// Up to 80 bytes, or a lot of them.
    fn text(&mut self) -> Vec<u8> {
        let count = if self.below(20) == 0 { self.below(4_000) } else { self.below(80) };
        (0..count)
            .map(|_| match self.below(40) {
                0..3 => b'\n',
                3 => b'\r',
                4..8 => b' ',
                8..12 => b'7',
                12 => b'x',
                other => other.to_le_bytes()[0].wrapping_mul(6),
            })
            .collect()
    }
}
