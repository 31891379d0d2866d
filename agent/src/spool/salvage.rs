//! A damaged spool: what can be read of it becomes a fresh one, and the damaged file is set aside.
//!
//! The fresh file is made beside the damaged one, whole, before anything is renamed. Killed at any moment,
//! the next start finds the damaged file and its note, and begins again, or the fresh one, and goes on.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use headwater_protocol::chain::{Chain, Fresh, Sealing};
use headwater_protocol::identity::{DeviceId, Lane};
use redb::backends::FileBackend;
use tracing::warn;

use super::carve::{self, Carved, Place};
use super::damage;
use super::database::{Database, DatabaseError, Meta};
use super::format::FORMAT_VERSION;
use super::keeper::{random, random_epoch};
use super::lane::LaneSpool;
use super::open::{OpenError, open_file, set_aside, settings};
use super::room::Disk;
use crate::config::SpoolConfig;
use crate::killpoint;

/// What became of a damaged file.
#[derive(Debug)]
pub(super) struct Salvaged {
    /// Where it is kept.
    pub(super) aside: PathBuf,
    /// Batches that were taken over.
    pub(super) batches: u64,
    /// Records in them.
    pub(super) records: u64,
    /// Places that look like a batch and can't be shown to be one that was sealed.
    pub(super) unproven: u64,
}

/// Puts a fresh file, with everything that can be read of a damaged one, in the place of that.
pub(super) fn salvage(
    path: &Path,
    config: &SpoolConfig,
    device: DeviceId,
    sealing: Sealing,
) -> Result<Salvaged, OpenError> {
    let damaged = open_file(path)?;
    let mut carved = carve::search(&damaged, device).unwrap_or_else(|error| {
        warn!(%error, "nothing of the damaged spool can be read");
        Carved::default()
    });
    keep_what_has_room(&mut carved.places, config);
    let fresh = fresh_of(path);
    let built = build((&damaged, &carved.places), &fresh, (config, device), sealing);
    let records = built.map_err(|source| OpenError::Salvage { path: fresh.clone(), source })?;
    let aside = set_aside(path, "damaged")?;
    put_in_place(path, &fresh)?;
    let (batches, unproven) = (carved.places.len() as u64, carved.unproven);
    Ok(Salvaged { aside, batches, records, unproven })
}

/// Ends what a killed process had begun.
pub(super) fn settle(path: &Path) -> Result<(), OpenError> {
    let fresh = fresh_of(path);
    if !fresh.exists() {
        return Ok(());
    }
    if !path.exists() {
        // It is whole: the damaged file is set aside only then.
        return put_in_place(path, &fresh);
    }
    fs::remove_file(&fresh).map_err(|source| OpenError::File { path: fresh, source })
}

fn fresh_of(path: &Path) -> PathBuf {
    path.with_extension("redb.salvaged")
}

fn put_in_place(path: &Path, fresh: &Path) -> Result<(), OpenError> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let put = || {
        killpoint::pass("salvage.before_rename");
        fs::rename(fresh, path)?;
        killpoint::pass("salvage.after_rename");
        File::open(folder)?.sync_all()?;
        damage::settle(folder)
    };
    put().map_err(|source| OpenError::File { path: fresh.to_owned(), source })
}

/// On a disk that is short the samples go first: lines are in their files.
fn keep_what_has_room(places: &mut Vec<Place>, config: &SpoolConfig) {
    let Ok(disk) = Disk::of(&config.dir, config.min_free) else { return };
    for lane in [None, Some(Lane::Bulk), Some(Lane::Live)] {
        places.retain(|place| Some(place.lane) != lane);
        let bytes: u64 = places.iter().map(|place| place.bytes).sum();
        if bytes + bytes / 8 + LEAST_BYTES <= disk.free {
            return;
        }
        warn!(free = disk.free, bytes, "the disk has no room for all that the damaged spool holds");
    }
}

/// Makes the fresh file. Gives the number of records in what was taken over.
fn build(
    (damaged, places): (&File, &[Place]),
    fresh: &Path,
    (config, device): (&SpoolConfig, DeviceId),
    sealing: Sealing,
) -> Result<u64, DatabaseError> {
    let no_file = |error: io::Error| DatabaseError::Open(redb::StorageError::Io(error).into());
    match fs::remove_file(fresh) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(no_file(error)),
        Ok(()) | Err(_) => {}
    }
    let file = open_file(fresh).map_err(|error| no_file(io::Error::other(error)))?;
    let database = Database::open(FileBackend::new(file).map_err(DatabaseError::Open)?)?;
    let lane = |lane| {
        let begun = Fresh { epoch: random_epoch(), seed: random() };
        LaneSpool::fresh(Chain::salvaging(device, lane, begun), settings(config, lane))
    };
    let (mut live, mut bulk) = (lane(Lane::Live), lane(Lane::Bulk));
    let write = database.begin()?;
    write.found(Meta { format: FORMAT_VERSION, device })?;
    let mut records = 0;
    for place in places {
        let spool = if place.lane == Lane::Live { &mut live } else { &mut bulk };
        if let Some(batch) = carve::read(damaged, place) {
            records += batch.header().counts.read();
            spool.shelve(&write, &batch)?;
        }
    }
    live.suspect(&write, sealing, random())?;
    live.store(&write)?;
    bulk.store(&write)?;
    killpoint::pass("salvage.before_commit");
    write.commit()?;
    killpoint::pass("salvage.after_commit");
    Ok(records)
}

/// What a fresh file takes when it holds nothing.
const LEAST_BYTES: u64 = 4 << 20;
