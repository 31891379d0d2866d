//! A spool that no agent has open, looked through: whether all of it is whole, and what it holds.

use std::fs::{self, File, TryLockError};
use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use headwater_protocol::body::Body;
use headwater_protocol::chain::{Pile, Row};
use headwater_protocol::identity::{DeviceId, Lane};
use headwater_protocol::record::{Record, SourceInfo};
use redb::backends::FileBackend;
use serde::Serialize;

use super::carve;
use super::damage;
use super::database::{self, Database, DatabaseError};
use super::format::FORMAT_VERSION;
use super::host::{Copied, HostFacts};
use super::open::{FILE, OpenError};

/// What a spool was found to be.
#[derive(Clone, Debug, Serialize)]
pub struct SpoolReport {
    /// The file.
    pub file: PathBuf,
    /// Its lanes; empty if the file can't be used at all.
    pub lanes: Vec<LaneReport>,
    /// What is damaged; empty if all of it is whole.
    pub damage: Vec<String>,
    /// Files that were set aside before.
    pub set_aside: Vec<PathBuf>,
}

/// What a spool holds of one lane.
#[derive(Clone, Debug, Serialize)]
pub struct LaneReport {
    /// The lane.
    pub lane: String,
    /// Batches that are not acked.
    pub unsent: PileReport,
    /// Acked batches, kept against an aggregator that comes back from a backup.
    pub grace: PileReport,
    /// Batches of older epochs.
    pub archive: PileReport,
    /// Streams whose positions are remembered.
    pub streams: u64,
    /// Batches that were read and compared.
    pub compared: u64,
}

/// A number of batches.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct PileReport {
    /// Batches.
    pub batches: u64,
    /// Records in them.
    pub records: u64,
    /// Bytes of them.
    pub bytes: u64,
}

impl PileReport {
    fn of(pile: Pile) -> Self {
        Self { batches: pile.batches, records: pile.records, bytes: pile.bytes }
    }
}

/// A record that stands in a spool's file.
#[derive(Clone, Debug)]
pub struct Held {
    /// The lane.
    pub lane: Lane,
    /// Seq of its batch.
    pub seq: u64,
    /// What its source is; `None` if the batch does not say.
    pub source: Option<SourceInfo>,
    /// The record.
    pub record: Record,
}

/// Reads all of a spool and compares each batch with the one before it.
///
/// # Errors
/// If the file is not there, can't be read, or is in use.
pub fn verify(folder: &Path) -> Result<SpoolReport, OpenError> {
    let file = folder.join(FILE);
    let no_file = |source| OpenError::File { path: file.clone(), source };
    let opened = File::options().read(true).write(true).open(&file).map_err(no_file)?;
    if let Err(TryLockError::WouldBlock) = opened.try_lock() {
        return Err(OpenError::Locked { path: file });
    }
    drop(opened);
    let mut report = SpoolReport {
        set_aside: set_aside(folder).map_err(no_file)?,
        file: file.clone(),
        lanes: Vec::new(),
        damage: damage::noted(folder).into_iter().collect(),
    };
    let looked = damage::watch(folder, || look(&file, &mut report));
    match looked.unwrap_or_else(|| Err(DatabaseError::Noted("by redb".into()))) {
        Ok(()) => {}
        Err(error) if error.is_damage() => report.damage.push(sentence(&error)),
        Err(source) => return Err(OpenError::Database { path: file, source }),
    }
    Ok(report)
}

fn look(file: &Path, report: &mut SpoolReport) -> Result<(), DatabaseError> {
    let no_file = |error: io::Error| DatabaseError::Open(redb::StorageError::Io(error).into());
    let opened = File::options().read(true).write(true).open(file).map_err(no_file)?;
    let database = Database::open(FileBackend::new(opened).map_err(DatabaseError::Open)?)?;
    if database.meta()?.is_none() {
        return Ok(());
    }
    for lane in Lane::ALL {
        let stored = database.lane(lane)?;
        let (head, stock) = (&stored.head, stored.head.stock());
        let mut found = LaneReport {
            lane: lane.to_string(),
            unsent: PileReport::of(stock.unsent),
            grace: PileReport::of(stock.grace),
            archive: PileReport::of(stock.archive),
            streams: stored.streams.len() as u64,
            compared: 0,
        };
        for row in head.archive_first().0..head.next().0 {
            match database.compare(lane, Row(row), head.first()) {
                Ok(()) => found.compared += 1,
                Err(error) if error.is_damage() => report.damage.push(sentence(&error)),
                Err(error) => return Err(error),
            }
        }
        report.lanes.push(found);
    }
    Ok(())
}

fn set_aside(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
        if name.is_some_and(|name| name.starts_with(&format!("{FILE}.")) && name.contains('-')) {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// What can be told of a spool at a glance.
#[derive(Clone, Debug)]
pub struct Outline {
    /// The file.
    pub file: PathBuf,
    /// What it is.
    pub state: FileState,
    /// Files that were set aside before.
    pub set_aside: Vec<PathBuf>,
}

/// What a spool's file is, at a glance.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum FileState {
    /// It is not there: the first start of the agent makes it.
    Missing,
    /// A process has it open.
    InUse,
    /// It says whose it is; its batches were not looked at.
    Closed {
        /// Whose it is.
        device: DeviceId,
        /// Since when the host is another one, or would be found to be; `None` if it is the same.
        copied: Option<Copied>,
    },
    /// It was not closed: the next start of the agent puts it in order.
    Unclosed,
    /// It can't be used by this build, or not at all.
    Unusable(String),
}

/// Looks at a spool without a change of it, in an instant. `facts` are those of the host.
///
/// # Errors
/// If the folder or the file can't be read.
pub fn outline(folder: &Path, facts: &HostFacts) -> io::Result<Outline> {
    let file = folder.join(FILE);
    let set_aside = match set_aside(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        found => found.unwrap_or_default(),
    };
    let outline = |state| Ok(Outline { file: file.clone(), state, set_aside });
    match File::open(&file) {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return outline(FileState::Missing);
        }
        Err(error) => return Err(error),
    }
    if let Some(note) = damage::noted(folder) {
        return outline(FileState::Unusable(note));
    }
    outline(match database::glance(&file) {
        Ok(Some((meta, host))) if meta.format == FORMAT_VERSION => {
            FileState::Closed { device: meta.device, copied: host.copied_or_met(facts) }
        }
        Ok(Some((meta, _))) => FileState::Unusable(format!(
            "its format has version {}, this build knows version {FORMAT_VERSION}",
            meta.format
        )),
        Ok(None) | Err(DatabaseError::Open(redb::DatabaseError::RepairAborted)) => {
            FileState::Unclosed
        }
        Err(DatabaseError::Open(redb::DatabaseError::DatabaseAlreadyOpen)) => FileState::InUse,
        Err(error) => FileState::Unusable(sentence(&error)),
    })
}

/// Goes through every record that stands in a file, damaged or not, in use or not: batch by batch, those
/// of a lane in their order. What stands in two batches is given twice. Gives how many places look like a
/// batch and can't be shown to be one.
///
/// # Errors
/// If the file can't be read.
pub fn records(
    file: &Path,
    device: DeviceId,
    mut visit: impl FnMut(&Held) -> ControlFlow<()>,
) -> io::Result<u64> {
    let opened = File::open(file)?;
    let carved = carve::search(&opened, device)?;
    for place in &carved.places {
        let Some(batch) = carve::read(&opened, place) else { continue };
        let Ok(body) = Body::open(&batch) else { continue };
        for record in body.records {
            let stream = body.streams.iter().find(|(stream, _)| *stream == record.stream);
            let source = stream.and_then(|(_, info)| info.clone());
            let seq = batch.header().seq.number();
            if visit(&Held { lane: place.lane, seq, source, record }).is_break() {
                return Ok(carved.unproven);
            }
        }
    }
    Ok(carved.unproven)
}

/// An error with its causes.
fn sentence(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(&format!(": {cause}"));
        source = cause.source();
    }
    text
}
