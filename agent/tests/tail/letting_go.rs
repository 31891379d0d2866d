//! Runs of files that are gone are forgotten once there are thousands of them, and no others.

use std::fs;

use headwater_agent::limits::{RUNS_KEPT, RUNS_STEP};

use crate::world::World;

/// Files that come and go, as many as make the oldest runs go.
fn rotate_for_long(world: &mut World) {
    let files = RUNS_KEPT + 2 * RUNS_STEP;
    let names: Vec<String> = (0..files).map(|number| format!("logs/a/{number}.log")).collect();
    for names in names.chunks(200) {
        names.iter().for_each(|name| world.append(name, format!("{name}\n")));
        world.run();
        names.iter().for_each(|name| world.remove(name));
        world.pass_the_grace();
    }
    world.append("logs/a/present.log", "present\n");
    world.run();
}

fn is_known(world: &World, line: &str) -> bool {
    let store = world.memory.0.borrow();
    let known = store.streams.values().filter(|stored| !stored.is_gone);
    known.into_iter().any(|stored| stored.lines().iter().any(|found| found == line))
}

#[test]
fn a_file_that_is_gone_is_forgotten_and_one_whose_disk_is_not_mounted_is_not() {
    let mut world = World::new("logs/*/*.log");
    fs::create_dir_all(world.path("logs/a")).unwrap();
    fs::create_dir_all(world.path("logs/b")).unwrap();
    world.append("logs/a/old.log", "gone\n");
    world.append("logs/b/x.log", "away\n");
    world.run();
    world.remove("logs/a/old.log");
    // As after a start without a disk: the folder is there, and nothing is in it.
    world.kill();
    world.rename("logs/b", "elsewhere");
    fs::create_dir(world.path("logs/b")).unwrap();
    world.pass_the_grace();
    rotate_for_long(&mut world);
    assert!(!is_known(&world, "gone"), "thousands of files came after it");
    assert!(is_known(&world, "away"), "its folder shows nothing, which says nothing of it");
    assert!(!is_known(&world, "logs/a/0.log"), "thousands of files came after it");

    fs::remove_dir(world.path("logs/b")).unwrap();
    world.rename("elsewhere", "logs/b");
    world.append("logs/b/x.log", "back\n");
    world.run();
    let of_it: Vec<String> = world
        .lines()
        .into_iter()
        .filter(|line| ["away", "back"].contains(&line.as_str()))
        .collect();
    assert_eq!(of_it, ["away", "back"], "it goes on where it was left");
}
