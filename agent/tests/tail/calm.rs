//! When a tail may rest: nothing that it waits for comes with time alone.

use std::time::Duration;

use headwater_agent::config::{Multiline, StartAt};

use crate::world::World;

#[test]
fn files_that_are_read_to_their_end_or_empty_only_wait_for_their_writers() {
    let mut world = World::new("*.log");
    world.run();
    assert!(world.is_calm, "no file is there");
    world.append("a.log", "one\n");
    world.append("empty.log", "");
    world.run();
    assert!(world.is_calm);
    world.append("a.log", "two\nunended");
    world.run();
    assert!(!world.is_calm, "a line without its end may never get one");
    world.append("a.log", "\n");
    world.run();
    assert!(world.is_calm);
    world.assert_lines(&["one", "two", "unended"]);
}

#[test]
fn a_rotated_file_is_waited_for_until_it_is_closed() {
    let mut world = World::new("*.log");
    world.append("a.log", "one\n");
    world.run();
    world.rename("a.log", "a.log.1");
    world.append("a.log", "two\n");
    world.run();
    assert!(!world.is_calm, "its writer may still have it open");
    world.pass_the_grace();
    world.run();
    assert!(world.is_calm);
    world.assert_lines(&["one", "two"]);
}

#[test]
fn a_deleted_file_is_waited_for_until_it_is_closed() {
    let mut world = World::new("*.log");
    world.append("a.log", "one\n");
    world.run();
    world.remove("a.log");
    world.run();
    assert!(!world.is_calm, "its descriptor is kept");
    world.pass_the_grace();
    world.run();
    assert!(world.is_calm);
}

#[test]
fn a_folder_that_is_not_there_is_looked_for() {
    let mut world = World::new("*.log");
    world.add_tail(&["later/*.log"], StartAt::Beginning);
    world.append("a.log", "one\n");
    world.run();
    assert!(!world.is_calm, "nobody tells of a folder that is made above what is watched");
    std::fs::create_dir(world.path("later")).unwrap();
    world.run();
    assert!(world.is_calm);
}

#[test]
fn lines_that_may_go_on_are_waited_for() {
    let mut world = World::new("*.log").with_multiline(Multiline::Indent);
    world.append("a.log", "one\n");
    world.turn();
    world.turn();
    assert!(!world.is_calm, "its next line may be of the same record");
    world.pass(Duration::from_secs(2));
    world.run();
    world.assert_lines(&["one"]);
    assert!(world.is_calm);
}

#[test]
fn nothing_rests_before_it_is_known_what_was_read() {
    let mut world = World::new("*.log");
    world.memory.0.borrow_mut().waits = true;
    world.append("a.log", "one\n");
    world.turn();
    assert!(!world.is_calm);
}
