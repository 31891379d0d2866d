//! The data folder: whose it is, what lies in it, and whether its disk works.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::time::{Duration, Instant};

use headwater_protocol::identity::{LogId, ShardCount};

use super::AS_ITS_USER;
use super::finding::Finding;
use crate::api::chain;
use crate::api::rows::{NodeRow, hex};
use crate::cli::output::units;
use crate::config::Config;
use crate::log::Space;
use crate::node::{GlanceError, Node};

pub(super) fn look(config: &Config, node: Option<&NodeRow>) -> Vec<Finding> {
    let folder = &config.node.data_dir;
    let found = match fs::metadata(folder) {
        Ok(found) if found.is_dir() => found,
        Ok(_) => return vec![missing(folder, "it is no folder")],
        Err(error) => return vec![missing(folder, &error.to_string())],
    };
    let me = rustix::process::geteuid().as_raw();
    let (owner, mode) = (found.uid(), found.permissions().mode() & 0o777);
    let shown = folder.display();
    let whose = if owner != me {
        Finding::warning("data folder", format!("{shown} is of the user {owner}, this is {me}"))
            .why("what the aggregator may use was tried as another user than its own")
            .next(format!("sudo -u '#{owner}' headwater doctor"))
    } else if mode & 0o077 != 0 {
        Finding::warning("data folder", format!("{shown} has mode {mode:04o}, expected 0700"))
            .why("others may look at what agents sent")
            .next(format!("chmod 0700 '{shown}'"))
    } else {
        Finding::ok("data folder", format!("{shown}, mode {mode:04o}"))
    };
    vec![whose, log(config, node), room(config), disk(folder)]
}

fn missing(folder: &Path, why: &str) -> Finding {
    Finding::failed("data folder", format!("{} can't be used", folder.display())).why(why).next(
        format!(
            "headwater init --dir '{0}', or restore it; node.data_dir names it",
            folder.display()
        ),
    )
}

/// Which log it is, and whether its files belong to it.
fn log(config: &Config, node: Option<&NodeRow>) -> Finding {
    let named = |id: &str, shards: u16| format!("log {id}, {shards} shards");
    if let Some(node) = node {
        let restored = node.restored.map(|it| {
            let (at, backup) = (units::time_to_second(it.at.0), units::time_to_second(it.backup.0));
            format!(", restored {at} from a backup of {backup}, generation {}", it.generation)
        });
        let log = named(&node.log, node.shards);
        return Finding::ok("log", format!("{log}, in use{}", restored.unwrap_or_default()));
    }
    let of = |id: LogId, shards: ShardCount| named(&hex(&id.0), shards.number());
    let folder = &config.node.data_dir;
    match Node::glance(folder) {
        Ok(glance) if glance.shards != config.log.shards => {
            let (is, set) = (glance.shards.number(), config.log.shards.number());
            Finding::failed("log", of(glance.log, glance.shards))
                .why(format!("the configuration says {set} shards, and the number is fixed"))
                .next(format!("set log.shards = {is}"))
        }
        Ok(glance) => Finding::ok("log", format!("{}, closed", of(glance.log, glance.shards))),
        Err(GlanceError::Unclosed) => {
            Finding::ok("log", "it was not closed: the next start puts it in order")
        }
        Err(error @ GlanceError::NoNode) => Finding::failed("log", "there is none")
            .why(chain(&error))
            .next(format!("headwater init --dir '{}'", folder.display())),
        Err(GlanceError::InUse) => {
            Finding::failed("log", "its files are in use, and nobody answers")
                .why("an aggregator is starting, or another process has them open")
                .next(format!("fuser -v '{}'", folder.join("control.redb").display()))
        }
        Err(error) => {
            let why = chain(&error);
            let next = match why.contains("ermission denied") {
                true => AS_ITS_USER,
                false => "restore the data folder from one backup, whole",
            };
            Finding::failed("log", "it can't be used").why(why).next(next)
        }
    }
}

/// What is left on the disk, against what is to stay free.
fn room(config: &Config) -> Finding {
    let space = match Space::of(&config.node.data_dir, config.intake.min_free) {
        Ok(space) => space,
        Err(error) => {
            return Finding::failed("room", "the filesystem does not tell")
                .why(error.to_string())
                .next("look at the disk: df, mount, dmesg");
        }
    };
    let (free, needed) = (space.free(), space.needed());
    let found =
        format!("{} free, {} of it stay free", units::bytes(free.0), units::bytes(needed.0));
    if space.is_short() {
        return Finding::failed("room", found)
            .why("nothing is taken: agents are answered BUSY and keep their spools (intake.min_free)")
            .next(format!("make room on the disk of {}", config.node.data_dir.display()));
    }
    if free.0 / 2 < needed.0 {
        return Finding::warning("room", found)
            .why("once no more than that is free, agents are answered BUSY and keep their spools")
            .next("make room before that, or lower intake.min_free");
    }
    Finding::ok("room", found)
}

/// Whether the disk keeps what it was told to.
fn disk(folder: &Path) -> Finding {
    match sync_a_file(folder) {
        Ok(took) => Finding::ok("disk", format!("writable, fsync took {}", units::duration(took))),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            Finding::failed("disk", format!("{} can't be written to", folder.display()))
                .why(error.to_string())
                .next(AS_ITS_USER)
        }
        Err(error) => {
            Finding::failed("disk", format!("no file can be kept in {}", folder.display()))
                .why(error.to_string())
                .next("look at the disk: df, mount, dmesg")
        }
    }
}

/// Writes a file of one page, has it synced, and takes it away again.
fn sync_a_file(folder: &Path) -> io::Result<Duration> {
    let path = folder.join(format!("doctor.{}", std::process::id()));
    let mut options = OpenOptions::new();
    let mut file = options.write(true).create_new(true).mode(0o600).open(&path)?;
    let started = Instant::now();
    let synced = file.write_all(&[0; 4096]).and_then(|()| file.sync_all());
    let took = started.elapsed();
    fs::remove_file(&path)?;
    synced.map(|()| took)
}
