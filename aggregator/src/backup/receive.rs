//! Writing a backup: pieces become a folder, and the folder a backup once its manifest is there.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use redb::{Database, WriteTransaction};

use super::folder::{self, FolderError};
use super::manifest::{FORMAT, FileEntry, MANIFEST, Manifest, ShardEntry, digest, is_below};
use super::piece::{Head, Piece, STREAM, Told, rows};
use super::table::CopiedTable;
use super::{LOG, tables_of};
use crate::api::rows::{Moment, hex};
use crate::clock::wall_us;
use crate::log::{self, RowSays};

/// Bytes of rows that are committed at once: with the cache they bound what is held in memory.
const COMMIT_BYTES: usize = 16 << 20;
const CACHE_BYTES: usize = 16 << 20;

/// A folder that becomes a backup.
#[derive(Debug)]
pub(crate) struct Receiver {
    folder: PathBuf,
    made: Moment,
    head: Option<Head>,
    files: Vec<FileEntry>,
    target: Option<Target>,
    shards: BTreeMap<u16, ShardEntry>,
    is_whole: bool,
    /// Bytes of rows that came so far.
    bytes: u64,
}

/// Why a backup can't be written. What is in its folder is none.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReceiveError {
    /// The folder holds something.
    #[error("write into {folder:?}: it is not empty")]
    NotEmpty {
        /// The folder.
        folder: PathBuf,
    },
    /// A file or folder can't be written.
    #[error(transparent)]
    Folder(FolderError),
    /// A database can't be written.
    #[error("write {path:?}")]
    Database {
        /// Its file.
        path: PathBuf,
        /// What redb said.
        source: Box<redb::Error>,
    },
    /// Who sends is of another build.
    #[error(
        "take the backup: it comes from build {0}, which sends it in another way than this one; use its program"
    )]
    Build(String),
    /// Something came that is in no backup, or not in its turn.
    #[error("take the backup: {0} came, which is not expected there")]
    Unexpected(String),
    /// Who sends can't go on.
    #[error("{0}")]
    Failed(String),
    /// It was broken off.
    #[error("take the backup: it was broken off, the aggregator has gone")]
    BrokenOff,
}

/// A database that is being written.
struct Target {
    name: String,
    path: PathBuf,
    database: Database,
    tables: Vec<&'static dyn CopiedTable>,
    table: Option<&'static dyn CopiedTable>,
    /// `None` between two commits.
    transaction: Option<WriteTransaction>,
    waiting_bytes: usize,
}

impl std::fmt::Debug for Target {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Target").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Receiver {
    /// Begins in a folder that is empty, or made.
    ///
    /// # Errors
    /// If it holds something or can't be made.
    pub(crate) fn begin(folder: &Path) -> Result<Self, ReceiveError> {
        folder::make(folder).map_err(ReceiveError::Folder)?;
        let mut there = fs::read_dir(folder).map_err(failed(folder))?;
        if there.next().is_some() {
            return Err(ReceiveError::NotEmpty { folder: folder.to_owned() });
        }
        Ok(Self {
            folder: folder.to_owned(),
            made: Moment(wall_us()),
            head: None,
            files: Vec::new(),
            target: None,
            shards: BTreeMap::new(),
            is_whole: false,
            bytes: 0,
        })
    }

    /// Bytes that came so far, and about how many there are.
    pub(crate) fn progress(&self) -> (u64, u64) {
        let total = self.head.as_ref().map_or(0, |head| head.bytes);
        (self.bytes, total.max(self.bytes))
    }

    /// Takes a piece.
    ///
    /// # Errors
    /// If it can't be written, or has no place here.
    pub(crate) fn take(&mut self, piece: Piece) -> Result<(), ReceiveError> {
        match piece {
            Piece::Rows(bytes) => self.take_rows(&bytes),
            Piece::Told(Told::Head(head)) if head.stream != STREAM => {
                Err(ReceiveError::Build(head.build))
            }
            Piece::Told(Told::Head(head)) => {
                self.head = Some(head);
                Ok(())
            }
            Piece::Told(Told::File { name, bytes }) => self.put_file(&name, &bytes),
            Piece::Told(Told::Database(name)) => {
                self.end_database()?;
                self.target = Some(Target::begin(&self.folder, name)?);
                Ok(())
            }
            Piece::Told(Told::Table(name)) => {
                let target = self.target.as_mut().ok_or_else(|| unexpected("a table"))?;
                let known = target.tables.iter().find(|table| table.name() == name);
                target.table = Some(*known.ok_or_else(|| unexpected("an unknown table"))?);
                target.make_table()
            }
            Piece::Told(Told::Failed { why }) => Err(ReceiveError::Failed(why)),
            Piece::Told(Told::End) => {
                self.is_whole = true;
                self.end_database()
            }
        }
    }

    /// Puts a file beside the databases, for its owner alone.
    ///
    /// # Errors
    /// If it can't be written.
    pub(crate) fn put_file(&mut self, name: &str, bytes: &[u8]) -> Result<(), ReceiveError> {
        if !is_below(name) || name == MANIFEST {
            return Err(unexpected("a file outside of the folder"));
        }
        let path = self.folder.join(name);
        folder::make(path.parent().unwrap_or(&self.folder)).map_err(ReceiveError::Folder)?;
        folder::write(&path, bytes).map_err(ReceiveError::Folder)?;
        let blake3 = blake3::hash(bytes).to_hex().to_string();
        self.files.push(FileEntry { name: name.to_owned(), bytes: bytes.len() as u64, blake3 });
        Ok(())
    }

    /// Makes the folder a backup.
    ///
    /// # Errors
    /// If not all came, or the manifest can't be written.
    pub(crate) fn finish(self) -> Result<Manifest, ReceiveError> {
        let head = self.head.filter(|_| self.is_whole).ok_or(ReceiveError::BrokenOff)?;
        let manifest = Manifest {
            format: FORMAT,
            build: head.build,
            made: self.made,
            node: head.node,
            log: hex(&head.log.0),
            shards: head.shards.number(),
            files: self.files,
            offsets: self.shards.into_values().collect(),
        };
        for folder in manifest.files.iter().filter_map(|file| Path::new(&file.name).parent()) {
            folder::sync(&self.folder.join(folder)).map_err(ReceiveError::Folder)?;
        }
        let path = self.folder.join(MANIFEST);
        let partial = path.with_extension("json.partial");
        let text = serde_json::to_vec_pretty(&manifest).expect("a manifest has a JSON form");
        folder::write(&partial, &text).map_err(ReceiveError::Folder)?;
        fs::rename(&partial, &path).map_err(failed(&path))?;
        folder::sync(&self.folder).map_err(ReceiveError::Folder)?;
        // A folder that was just made has to be found again as well.
        let above = self.folder.parent().filter(|above| !above.as_os_str().is_empty());
        folder::sync(above.unwrap_or(Path::new("."))).map_err(ReceiveError::Folder)?;
        Ok(manifest)
    }

    fn take_rows(&mut self, bytes: &[u8]) -> Result<(), ReceiveError> {
        self.bytes += bytes.len() as u64;
        let target = self.target.as_mut().ok_or_else(|| unexpected("rows"))?;
        let table = target.table.ok_or_else(|| unexpected("rows"))?;
        if target.name.starts_with(LOG) {
            for (key, value) in rows(bytes) {
                note_row(&mut self.shards, table.name(), key, value);
            }
        }
        target.write(table, bytes)
    }

    fn end_database(&mut self) -> Result<(), ReceiveError> {
        let Some(target) = self.target.take() else { return Ok(()) };
        self.files.push(target.end()?);
        Ok(())
    }
}

impl Target {
    fn begin(folder: &Path, name: String) -> Result<Self, ReceiveError> {
        let tables = tables_of(&name).ok_or_else(|| unexpected("an unknown database"))?;
        let path = folder.join(&name);
        folder::make(path.parent().unwrap_or(folder)).map_err(ReceiveError::Folder)?;
        let file = folder::new_file(&path).map_err(ReceiveError::Folder)?;
        let database = Database::builder().set_cache_size(CACHE_BYTES).create_file(file);
        let database = database.map_err(|error| failed_database(&path, error.into()))?;
        let (table, transaction, waiting_bytes) = (None, None, 0);
        Ok(Self { name, path, database, tables, table, transaction, waiting_bytes })
    }

    /// A table without rows is one as well.
    fn make_table(&mut self) -> Result<(), ReceiveError> {
        match self.table {
            Some(table) => self.write(table, &[]),
            None => Ok(()),
        }
    }

    fn write(&mut self, table: &dyn CopiedTable, bytes: &[u8]) -> Result<(), ReceiveError> {
        let Self { path, database, .. } = self;
        let failed = |source| failed_database(path, source);
        let transaction = match self.transaction.take() {
            Some(transaction) => transaction,
            None => begin_write(database).map_err(failed)?,
        };
        table.write(&transaction, &mut rows(bytes)).map_err(failed)?;
        self.waiting_bytes += bytes.len();
        if self.waiting_bytes < COMMIT_BYTES {
            self.transaction = Some(transaction);
            return Ok(());
        }
        self.waiting_bytes = 0;
        transaction.commit().map_err(|error| failed(error.into()))
    }

    /// Closes it; what is in it from now on.
    fn end(self) -> Result<FileEntry, ReceiveError> {
        let Self { name, path, database, transaction, .. } = self;
        let committed = transaction.map_or(Ok(()), WriteTransaction::commit);
        committed.map_err(|error| failed_database(&path, error.into()))?;
        drop(database);
        File::open(&path).and_then(|closed| closed.sync_all()).map_err(failed(&path))?;
        let mut bytes = 0;
        let blake3 = digest(&path, &mut |read| bytes += read).map_err(failed(&path))?;
        Ok(FileEntry { name, bytes, blake3 })
    }
}

fn begin_write(database: &Database) -> Result<WriteTransaction, redb::Error> {
    let mut transaction = database.begin_write()?;
    transaction.set_quick_repair(true);
    Ok(transaction)
}

/// Takes from the rows of a log how far it reaches.
fn note_row(shards: &mut BTreeMap<u16, ShardEntry>, table: &str, key: &[u8], value: &[u8]) {
    let Some((shard, said)) = log::said_by_row(table, key, value) else { return };
    let none = ShardEntry { shard: shard.0, start: 0, end: 0, generation: 0 };
    let entry = shards.entry(shard.0).or_insert(none);
    match said {
        RowSays::Bounds { start, end } => (entry.start, entry.end) = (start.0, end.0),
        RowSays::Generation(generation) => entry.generation = entry.generation.max(generation.0),
    }
}

fn failed(path: &Path) -> impl FnOnce(std::io::Error) -> ReceiveError {
    let named = FolderError::at(path);
    move |source| ReceiveError::Folder(named(source))
}

fn unexpected(what: &str) -> ReceiveError {
    ReceiveError::Unexpected(what.to_owned())
}

fn failed_database(path: &Path, source: redb::Error) -> ReceiveError {
    ReceiveError::Database { path: path.to_owned(), source: Box::new(source) }
}
