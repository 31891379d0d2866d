//! Backup: all that a node can't do without, as of one moment, in a folder of its own.
//!
//! Who has the databases open reads them (`Sources`), each inside of one read transaction, and hands the rows over in pieces;
//! who wants the backup writes them into databases of the same names (`Receiver`). So a running aggregator stops nothing and
//! needs no right to write anywhere else, and a stopped one is backed up by the same code in one process. The moments are
//! taken in an order that makes the set safe: see `Sources::send`. The manifest is written last: a folder without one is no
//! backup.
//!
//! A restore checks every file against the manifest before it writes anything, and notes in the registry from which generation
//! on the log goes on: it lost what came after the backup, and the next start says so in every shard (docs/adr/0017).

mod check;
mod folder;
mod manifest;
mod piece;
mod receive;
mod restore;
mod source;
mod table;

pub(crate) use check::{Checked, check_databases};
pub use manifest::{FileEntry, Manifest, ManifestError, ShardEntry};
pub(crate) use piece::{Head, Piece, Pieces, STREAM, Told};
pub(crate) use receive::{ReceiveError, Receiver};
pub use restore::RestoreError;
pub(crate) use restore::restore;
pub(crate) use source::{SourceError, Sources};
pub(crate) use table::{CopiedTable, Wanted};

use crate::{log, registry, sink};

/// The registry, in the data folder and in a backup.
pub(crate) const REGISTRY: &str = "control.redb";
/// Where sinks stand.
pub(crate) const SINKS: &str = "sinks.redb";
/// The folder of the log.
pub(crate) const LOG: &str = "log";
/// The folder of the merge log.
pub(crate) const MERGE: &str = "merge";
/// The folder of the authority.
pub(crate) const AUTHORITY: &str = "ca";
/// The configuration, as it was when the backup was made. A restore leaves it where it is.
pub(crate) const CONFIGURATION: &str = "headwater.toml";

/// The tables of a database in a backup. `None` if there is no such database.
fn tables_of(name: &str) -> Option<Vec<&'static dyn CopiedTable>> {
    match name.split_once('/') {
        None if name == REGISTRY => Some(registry::copied_tables()),
        None if name == SINKS => Some(sink::copied_tables()),
        Some((LOG | MERGE, file)) if is_file_of_log(file) => Some(log::copied_tables()),
        None | Some(_) => None,
    }
}

/// `log-0.redb` and so on.
fn is_file_of_log(name: &str) -> bool {
    let number = name.strip_prefix("log-").and_then(|rest| rest.strip_suffix(".redb"));
    number.is_some_and(|number| number.parse::<u16>().is_ok())
}
