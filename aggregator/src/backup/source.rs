//! What is backed up: the databases of a node at one moment, and the files beside them.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use redb::{Database, ReadTransaction, ReadableDatabase, TableHandle};

use super::piece::{Head, Piece, ROWS_BYTES, Told, put_row};
use super::table::{CopiedTable, Wanted};
use super::{AUTHORITY, LOG, MERGE, REGISTRY, SINKS, tables_of};
use crate::killpoint;
use crate::log::Space;
use crate::registry;

/// The databases of a node, open.
#[derive(Debug)]
pub(crate) struct Sources {
    /// What is said of them.
    pub(crate) head: Head,
    /// The folder of the authority.
    pub(crate) authority: PathBuf,
    /// The registry.
    pub(crate) registry: Arc<Database>,
    /// Where sinks stand. `None` if there are none.
    pub(crate) sinks: Option<Arc<Database>>,
    /// The files of the merge log.
    pub(crate) merge: Vec<Arc<Database>>,
    /// The files of the log.
    pub(crate) log: Vec<Arc<Database>>,
    /// The room on their disk: what is let go of in a database stays on the disk as long as somebody reads an older state of it.
    pub(crate) space: Option<Arc<Space>>,
}

/// Why a backup ends early. Nothing of the node was changed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SourceError {
    /// A file can't be read.
    #[error("read {path:?}")]
    File {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// A database can't be read.
    #[error("read {name}")]
    Database {
        /// Its file.
        name: String,
        /// What redb said.
        source: Box<redb::Error>,
    },
    /// A database holds what this build does not know.
    #[error(
        "read {name}: it has a table {table:?} that this build does not know; use the build that made it"
    )]
    Table {
        /// Its file.
        name: String,
        /// The table.
        table: String,
    },
    /// The disk of the node is short, and a backup keeps room from it.
    #[error(
        "read on: the disk of the data folder is short, and room is let go of only once nobody reads"
    )]
    Short,
    /// Whoever wanted it has gone.
    #[error("hand it over: nobody takes it any more")]
    Unwanted,
}

/// A database as it was at one moment.
struct Copied {
    name: String,
    moment: ReadTransaction,
    tables: Vec<&'static dyn CopiedTable>,
}

impl Sources {
    /// Hands everything over, piece by piece: as it was at one moment, but for what has to be older.
    ///
    /// The order in which the moments are taken makes the set safe. What says how far somebody has come is older than what
    /// he has come along: notices before the merge log that counts changes, cursors of sinks and the merge log before the
    /// log. And what an entry of the log hangs on is younger: devices and rules, so the registry comes last.
    ///
    /// # Errors
    /// Each leaves a backup that is not complete.
    pub(crate) fn send(&self, tell: &mut dyn FnMut(Piece) -> Wanted) -> Result<(), SourceError> {
        let notices = begin(REGISTRY, &self.registry)?;
        let mut copied = Vec::new();
        if let Some(database) = &self.sinks {
            copied.push(Copied::of(SINKS.to_owned(), database)?);
        }
        for (folder, files) in [(MERGE, &self.merge), (LOG, &self.log)] {
            for (number, database) in files.iter().enumerate() {
                copied.push(Copied::of(format!("{folder}/log-{number}.redb"), database)?);
            }
        }
        let registry = Copied::of(REGISTRY.to_owned(), &self.registry)?;
        let mut tell = |piece| match tell(piece) {
            Wanted::More => Ok(()),
            Wanted::Nothing => Err(SourceError::Unwanted),
        };
        tell(Piece::Told(Told::Head(self.head.clone())))?;
        for (name, bytes) in files_of(&self.authority)? {
            let name = format!("{AUTHORITY}/{name}");
            tell(Piece::Told(Told::File { name, bytes }))?;
        }
        for copied in copied {
            self.send_database(&copied, &copied.moment, &mut tell)?;
        }
        self.send_database(&registry, &notices, &mut tell)?;
        tell(Piece::Told(Told::End))
    }

    /// Hands a database over. Notices are told as of a moment of their own.
    fn send_database(
        &self,
        Copied { name, moment, tables }: &Copied,
        of_notices: &ReadTransaction,
        tell: &mut dyn FnMut(Piece) -> Result<(), SourceError>,
    ) -> Result<(), SourceError> {
        tell(Piece::Told(Told::Database(name.clone())))?;
        for table in tables {
            tell(Piece::Told(Told::Table(table.name().to_owned())))?;
            let is_of_notices = name == REGISTRY && table.name() == registry::NOTICES_TABLE;
            let (mut rows, mut failed) = (Vec::new(), None);
            let mut take = |key: &[u8], value: &[u8]| {
                put_row(&mut rows, key, value);
                if rows.len() < ROWS_BYTES {
                    return Wanted::More;
                }
                failed = self.send_rows(std::mem::take(&mut rows), tell).err();
                if failed.is_some() { Wanted::Nothing } else { Wanted::More }
            };
            let moment = if is_of_notices { of_notices } else { moment };
            let read = table.read(moment, &mut take);
            read.map_err(|source| SourceError::Database {
                name: name.clone(),
                source: source.into(),
            })?;
            failed.map_or(Ok(()), Err)?;
            if !rows.is_empty() {
                self.send_rows(rows, tell)?;
            }
        }
        Ok(())
    }

    fn send_rows(
        &self,
        rows: Vec<u8>,
        tell: &mut dyn FnMut(Piece) -> Result<(), SourceError>,
    ) -> Result<(), SourceError> {
        if self.space.as_ref().is_some_and(|space| space.is_short()) {
            return Err(SourceError::Short);
        }
        killpoint::pass("backup.rows");
        tell(Piece::Rows(rows))
    }
}

impl Copied {
    /// A database as it is; refused, if it has a table that would not be in the copy.
    fn of(name: String, database: &Database) -> Result<Self, SourceError> {
        let moment = begin(&name, database)?;
        let tables = tables_of(&name).unwrap_or_default();
        let there = moment.list_tables();
        let there = there.map_err(|source| SourceError::Database {
            name: name.clone(),
            source: Box::new(source.into()),
        })?;
        for table in there {
            if !tables.iter().any(|known| known.name() == table.name()) {
                return Err(SourceError::Table { name, table: table.name().to_owned() });
            }
        }
        Ok(Self { name, moment, tables })
    }
}

fn begin(name: &str, database: &Database) -> Result<ReadTransaction, SourceError> {
    database.begin_read().map_err(|source| SourceError::Database {
        name: name.to_owned(),
        source: Box::new(source.into()),
    })
}

/// Every file in a folder: those of an authority never change once they are there.
fn files_of(folder: &Path) -> Result<Vec<(String, Vec<u8>)>, SourceError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| SourceError::File { path, source }
    };
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed(folder))? {
        let path = entry.map_err(failed(folder))?.path();
        let name = path.file_name().and_then(|name| name.to_str()).map(str::to_owned);
        if let (Some(name), true) = (name, path.is_file()) {
            files.push((name, std::fs::read(&path).map_err(failed(&path))?));
        }
    }
    files.sort();
    Ok(files)
}
