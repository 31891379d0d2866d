//! The file after one that was packed: nothing of it is handed over before the rest of that one, after which
//! nobody would wait for it.

use std::fs::File;
use std::time::Duration;

use crate::world::{World, numbered, numbers};

#[test]
fn no_line_of_a_successor_comes_before_the_rest_that_is_packed() {
    let mut world = World::new("x.log");
    world.append("x.log", numbered(0..1));
    world.run();
    world.kill();
    world.append("x.log", numbered(1..60_000));
    world.rename("x.log", "x.log.1");
    world.gzip("x.log.1");
    world.append("x.log", numbered(60_000..60_010));
    until_all_is_read(&mut world, 60_010);
    assert_eq!((world.runs(), world.gaps()), (2, vec![]));
}

#[test]
fn a_file_that_went_after_it_was_sighted_and_before_it_was_opened_is_looked_for() {
    let mut world = World::new("x.log");
    world.append("x.log", numbered(0..1));
    world.run();
    world.kill();
    world.limits.max_files = 1;
    world.append("x.log", numbered(1..60_000));
    world.rename("x.log", "x.log.1");
    world.append("x.log", "");
    world.turn();
    world.gzip("x.log.1");
    world.append("x.log", numbered(60_000..60_010));
    world.touch("x.log");
    until_all_is_read(&mut world, 60_010);
    assert_eq!((world.runs(), world.gaps()), (2, vec![]));
}

#[test]
fn a_file_that_was_renamed_since_its_folder_was_listed_is_looked_for() {
    let mut world = World::new("x.log");
    world.append("x.log", numbered(0..1));
    world.run();
    world.kill();
    world.append("x.log", numbered(1..10));
    world.rename("x.log", "moved");
    world.append("x.log", "");
    world.pass(Duration::from_secs(5));
    world.turn();
    let folder = File::open(world.path("")).unwrap();
    let changed = folder.metadata().unwrap().modified().unwrap();
    world.rename("moved", "x.log.1");
    world.append("successor", numbered(10..20));
    world.rename("successor", "x.log");
    // As a network file system shows it that has not heard of the change.
    folder.set_modified(changed).unwrap();
    world.pass(Duration::from_secs(2));
    until_all_is_read(&mut world, 20);
    assert_eq!(world.gaps(), []);
}

#[test]
fn what_was_rotated_last_is_read_first_however_much_else_is_packed() {
    let mut world = World::new("*.log");
    for other in 0..40 {
        let name = format!("other{other}.log");
        world.append(&name, numbered(1_000 + 10 * other..1_010 + 10 * other));
        world.run();
        world.gzip(&name);
    }
    world.append("x.log", numbered(0..1));
    world.run();
    world.kill();
    world.append("x.log", numbered(1..10));
    world.rename("x.log", "x.log.1");
    world.gzip("x.log.1");
    world.append("x.log", numbered(10..20));
    for _ in 0..6 {
        world.pass(Duration::from_millis(1_100));
        world.turn();
    }
    let found = numbers(&world.lines()).into_iter().filter(|number| *number < 1_000);
    assert_eq!(found.collect::<Vec<_>>(), (0..20).collect::<Vec<_>>());
}

/// Lets everything be read. At each turn all that was read is the beginning of what was written.
fn until_all_is_read(world: &mut World, count: usize) {
    for _ in 0..100 {
        while world.turn() {
            // Each turn looks at every file.
            world.pass(Duration::from_millis(1_100));
            let mut found = numbers(&world.lines());
            found.sort_unstable();
            let first = found.len() as u64;
            assert_eq!(found, (0..first).collect::<Vec<_>>(), "what was written first comes first");
        }
        if world.lines().len() == count {
            return;
        }
        world.pass(Duration::from_millis(100));
    }
    assert_eq!(numbers(&world.lines()), (0..count as u64).collect::<Vec<_>>());
}
