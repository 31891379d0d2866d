//! Whether a backup can be restored: opened and replayed where it lies, without a change of it.

use std::path::{Path, PathBuf};

use headwater_certs::authority::{self, Authority};
use headwater_protocol::identity::{Offset, ShardCount, ShardId};

use super::manifest::Manifest;
use super::{AUTHORITY, LOG, MERGE, REGISTRY, SINKS};
use crate::api::rows::hex;
use crate::fold::{self, RecoveryError, Standing};
use crate::log::{ChainError, Log, OpenError, ReadOnlyLog};
use crate::merge;
use crate::node::{VerifyError, VerifyReport, audit_shard};
use crate::registry::{NodeRecord, Registry};
use crate::sink::{SinkStore, StoreError};

/// What was found in a backup that can be restored.
#[derive(Debug)]
pub(crate) struct Checked {
    /// The audit of its log.
    pub(crate) report: VerifyReport,
    /// Entries of the merge log.
    pub(crate) merged: u64,
}

/// Why a backup whose files are as they were can't be restored.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CheckError {
    /// The registry can't be read.
    #[error("read {path:?}")]
    Registry {
        /// Its file.
        path: PathBuf,
        /// What redb said.
        source: Box<redb::Error>,
    },
    /// The registry is of no node, or of another one.
    #[error("{path:?} is not the registry of the node that the manifest names")]
    OtherNode {
        /// Its file.
        path: PathBuf,
    },
    /// The authority can't be loaded.
    #[error("load the authority")]
    Authority(#[source] authority::LoadError),
    /// Where sinks stand can't be read.
    #[error("look at where sinks stand")]
    Sinks(#[source] StoreError),
    /// A log can't be opened.
    #[error("open the log of {folder:?}")]
    Open {
        /// Its folder.
        folder: PathBuf,
        /// What is wrong.
        source: Box<OpenError>,
    },
    /// A log can't be read, or is no chain.
    #[error("go through the log of {folder:?}")]
    Chain {
        /// Its folder.
        folder: PathBuf,
        /// What is wrong.
        source: ChainError,
    },
    /// A shard ends elsewhere than the manifest says.
    #[error("the log of shard {shard} ends at offset {found}, the manifest says {expected}")]
    End {
        /// The shard.
        shard: ShardId,
        /// Where it ends.
        found: Offset,
        /// As it was made.
        expected: Offset,
    },
    /// A shard can't be replayed.
    #[error("replay the log")]
    Replay(#[source] RecoveryError),
    /// A shard can't be audited.
    #[error("audit the log")]
    Audit(#[source] VerifyError),
}

/// Opens everything and replays the log; its files are known to be as they were. `tell` is called with the entries that were gone
/// through.
///
/// # Errors
/// The first thing that would be in the way of a start. What the audit finds is in the report.
pub(crate) fn check_databases(
    folder: &Path,
    manifest: &Manifest,
    mut tell: impl FnMut(u64),
) -> Result<Checked, CheckError> {
    let path = folder.join(REGISTRY);
    let record = Registry::record_of(&path).map_err(|source| {
        let (path, source) = (path.clone(), Box::new(source));
        CheckError::Registry { path, source }
    })?;
    let is_of = |node: &NodeRecord| {
        let (log, shards) = (hex(&node.log.0), node.shards.number());
        node.complete && (&log, shards) == (&manifest.log, manifest.shards)
    };
    let node = record.filter(is_of).ok_or(CheckError::OtherNode { path })?;
    Authority::load(&folder.join(AUTHORITY)).map_err(CheckError::Authority)?;
    if manifest.files.iter().any(|file| file.name == SINKS) {
        SinkStore::look(&folder.join(SINKS), node.log).map_err(CheckError::Sinks)?;
    }
    let report = check_log(&folder.join(LOG), &node, manifest, &mut tell)?;
    let folder = folder.join(MERGE);
    let one = ShardCount::new(1).expect("one shard is a number of shards");
    let log = ReadOnlyLog::open(&folder, merge::log_id(node.log), one);
    let log = log.map_err(|source| failed_open(&folder, source))?;
    let merged = merge::check_chain(&log);
    let merged = merged.map_err(|source| CheckError::Chain { folder, source })?;
    Ok(Checked { report, merged })
}

fn check_log(
    folder: &Path,
    node: &NodeRecord,
    manifest: &Manifest,
    tell: &mut impl FnMut(u64),
) -> Result<VerifyReport, CheckError> {
    let folder = folder.to_owned();
    let log = ReadOnlyLog::open(&folder, node.log, node.shards);
    let log = log.map_err(|source| failed_open(&folder, source))?;
    let mut report = VerifyReport::default();
    for shard in node.shards.shards() {
        log.check_chain(shard, |_| true)
            .map_err(|source| CheckError::Chain { folder: folder.clone(), source })?;
        let told = manifest.offsets.iter().find(|entry| entry.shard == shard.0);
        let recovered = fold::recover(&log, shard, None).map_err(CheckError::Replay)?;
        let (found, expected) = (recovered.state.next(), told.map_or(0, |entry| entry.end));
        let expected = Offset(expected);
        if found != expected || log.end(shard).ok() != Some(expected) {
            return Err(CheckError::End { shard, found, expected });
        }
        let lanes =
            audit_shard(&log, &Standing::of(&recovered.state, None), None, |count, bytes| {
                report.entries += count;
                report.bytes += bytes;
                tell(count);
            });
        report.lanes.extend(lanes.map_err(CheckError::Audit)?);
    }
    Ok(report)
}

fn failed_open(folder: &Path, source: OpenError) -> CheckError {
    CheckError::Open { folder: folder.to_owned(), source: Box::new(source) }
}
