//! Whose a spool is, and what becomes of one that can't be used.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use headwater_agent::spool::OpenError;
use headwater_agent::tail::Landing;
use headwater_protocol::identity::{DeviceId, Lane};
use redb::TableDefinition;

use crate::world::{DEVICE, Node, World, numbered, open, quick, sample};

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn folder_and_files_are_for_their_owner_alone() {
    let folder = tempfile::tempdir().unwrap();
    let inner = folder.path().join("deep/spool");
    let mut config = quick(folder.path());
    config.dir.clone_from(&inner);
    drop(open(&config, DEVICE).unwrap());
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&inner), 0o700);
    assert_eq!(mode(&inner.join("spool.redb")), 0o600);
}

#[test]
fn a_second_process_is_refused_and_told_what_to_do() {
    let world = World::new();
    let error = open(&world.config, DEVICE).expect_err("the file is locked");
    assert!(matches!(error, OpenError::Locked { .. }), "{error:?}");
    let text = error.to_string();
    assert!(text.contains("spool.redb") && text.contains("stop that agent first"), "{text}");
}

#[test]
fn a_newer_format_is_refused_and_left_as_it_is() {
    let (folder, config) = World::new().stop();
    let path = folder.path().join("spool.redb");
    let database = redb::Database::open(&path).unwrap();
    let write = database.begin_write().unwrap();
    let meta = TableDefinition::<&str, &[u8]>::new("meta");
    let mut row = 3_u32.to_le_bytes().to_vec();
    let key = [6_u64.to_le_bytes().as_slice(), b"format", &row].concat();
    row.extend_from_slice(&blake3::hash(&key).as_bytes()[..8]);
    write.open_table(meta).unwrap().insert("format", row.as_slice()).unwrap();
    write.commit().unwrap();
    drop(database);
    let error = open(&config, DEVICE).expect_err("the format is newer");
    assert!(matches!(error, OpenError::Newer { found: 3, newest: 2, .. }), "{error:?}");
    assert!(error.to_string().contains("install the newer agent again"));
    assert!(path.exists() && names(folder.path()).len() <= 2, "nothing was set aside");
}

#[test]
fn a_file_that_is_no_database_is_set_aside_and_the_agent_goes_on() {
    let garbage = [&b"not a database"[..], &[0; 100_000], &[0xff; 5000]];
    for bytes in garbage {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("spool.redb");
        fs::write(&path, bytes).unwrap();
        let world = World::open(folder, quick(Path::new("")));
        world.writer.tick(1, sample(1)).unwrap();
        world.wait_sealed(Lane::Live, 1);
        let names = names(world.folder.path());
        let aside =
            names.iter().find(|name| name.starts_with("spool.redb.damaged-")).expect("kept");
        assert_eq!(fs::read(world.folder.path().join(aside)).unwrap(), bytes, "as it was");
    }
}

#[test]
fn a_spool_whose_making_was_cut_short_is_made_anew_and_nothing_is_set_aside() {
    // As redb leaves a file: its length first, what it is last.
    for bytes in [&[][..], &[0; 100_000], b"redb"] {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("spool.redb.partial"), bytes).unwrap();
        let world = World::open(folder, quick(Path::new("")));
        world.writer.tick(1, sample(1)).unwrap();
        world.wait_sealed(Lane::Live, 1);
        assert_eq!(names(world.folder.path()), ["reserve", "spool.redb"]);
    }
}

#[test]
fn a_spool_cut_short_is_set_aside() {
    let (folder, config) = filled();
    let path = folder.path().join("spool.redb");
    let bytes = fs::read(&path).unwrap();
    for length in [1, 100, 4096, bytes.len() / 3, bytes.len() / 2] {
        fs::write(&path, &bytes[..length]).unwrap();
        let world = World::open(tempfile::tempdir().unwrap(), config.clone());
        fs::copy(&path, world.folder.path().join("other")).unwrap();
        let (other, config) = world.stop();
        fs::rename(other.path().join("other"), other.path().join("spool.redb")).unwrap();
        let world = World::open(other, config);
        assert!(names(world.folder.path()).iter().any(|name| name.contains("damaged")), "{length}");
    }
}

#[test]
fn rows_that_do_not_fit_their_head_are_set_aside() {
    let (folder, config) = filled();
    let database = redb::Database::open(folder.path().join("spool.redb")).unwrap();
    let write = database.begin_write().unwrap();
    let links = TableDefinition::<u64, &[u8; 48]>::new("bulk_links");
    write.open_table(links).unwrap().remove(0).unwrap();
    write.commit().unwrap();
    drop(database);
    let world = World::open(folder, config);
    assert!(names(world.folder.path()).iter().any(|name| name.contains("damaged")));
}

#[test]
fn the_spool_of_another_device_is_set_aside() {
    let (folder, config) = filled();
    drop(open(&config, DeviceId([8; 16])).unwrap());
    let names = names(folder.path());
    assert!(names.iter().any(|name| name.contains("other-device")), "{names:?}");
}

/// A spool that holds a few rows.
fn filled() -> (tempfile::TempDir, headwater_agent::config::SpoolConfig) {
    let mut world = World::new();
    world.greet(&Node::new(), Lane::Bulk);
    world.landing.known();
    let stream = world.begin(0);
    let mut at = 0;
    for round in 0..5 {
        (at, _) = world.append(stream, at, &numbered(round * 2000..round * 2000 + 2000));
        world.wait_sealed(Lane::Bulk, round + 1);
    }
    world.stop()
}

#[test]
fn no_damage_of_the_file_reaches_a_panic() {
    let (folder, config) = filled();
    let path = folder.path().join("spool.redb");
    let bytes = fs::read(&path).unwrap();
    let mut usable = 0;
    for number in 0..120_usize {
        let mut damaged = bytes.clone();
        // The beginning holds what everything hangs on; the rest is hit evenly.
        let place = if number < 60 { number * 11 } else { bytes.len() / 60 * (number - 60) + 7 };
        for byte in &mut damaged[place..place + 4] {
            *byte ^= 0x5a;
        }
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("spool.redb"), damaged).unwrap();
        let config = headwater_agent::config::SpoolConfig {
            dir: folder.path().to_owned(),
            ..config.clone()
        };
        drop(open(&config, DEVICE).unwrap_or_else(|error| panic!("{place}: {error:?}")));
        usable += u32::from(!names(folder.path()).iter().any(|name| name.contains("damaged")));
    }
    assert!((1..120).contains(&usable), "some of it is noticed, some is not used: {usable}");
}

#[test]
fn a_note_of_damage_is_for_the_next_start_and_not_for_a_second_process() {
    let world = World::new();
    world.writer.tick(1, sample(1)).unwrap();
    world.wait_sealed(Lane::Live, 1);
    fs::write(world.folder.path().join("damaged"), "page 7").unwrap();
    let error = open(&world.config, DEVICE).expect_err("the file is in use");
    assert!(matches!(error, OpenError::Locked { .. }), "{error:?}");
    let (folder, config) = world.stop();
    drop(open(&config, DEVICE).unwrap());
    let found = names(folder.path());
    assert!(found.iter().any(|name| name.starts_with("spool.redb.damaged-")), "{found:?}");
    assert!(!found.contains(&"damaged".to_owned()), "a note is for one start: {found:?}");
}

#[test]
fn a_row_that_is_damaged_ends_the_process_once() {
    let (folder, config) = filled();
    let database = redb::Database::open(folder.path().join("spool.redb")).unwrap();
    let write = database.begin_write().unwrap();
    let rows = TableDefinition::<u64, &[u8]>::new("bulk_rows");
    write.open_table(rows).unwrap().insert(2, b"no batch".as_slice()).unwrap();
    write.commit().unwrap();
    drop(database);
    let world = World::open(folder, config);
    // Another ledger: everything is looked through, and the damage is met.
    let state = crate::world::foreign_state(Lane::Bulk);
    assert!(world.try_greet(state).is_none(), "the spool has ended");
    let (folder, config) = world.end();
    let world = World::open(folder, config);
    assert!(names(world.folder.path()).iter().any(|name| name.contains("damaged-")));
    world.greet(&Node::new(), Lane::Bulk);
}
