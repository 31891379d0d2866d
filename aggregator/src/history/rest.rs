//! The rest of a shard: rows that the log holds and no file does yet, as the files that they would make.

use std::collections::BTreeMap;

use headwater_protocol::identity::LogId;
use parquet::errors::ParquetError;

use super::columns::Columns;
use super::file::encode;
use super::sink::Parts;
use super::table::{Hour, Table};
use crate::limits::{SINK_BYTES_MAX, SINK_RECORDS_MAX};
use crate::sink::{Range, Unwritten, UnwrittenError};

/// The rest of a shard, in files of a bounded size. Their `range_first` is the cursor.
#[derive(Debug)]
pub struct Rest<'log> {
    log: LogId,
    unwritten: Unwritten<'log>,
    tables: Vec<Table>,
}

/// Rows of a table and an hour.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RestFile {
    /// The folder in which they will lie, below that of the history.
    pub folder: String,
    /// How many they are.
    pub rows: u64,
    /// They, as Parquet.
    pub bytes: Vec<u8>,
}

/// Why a rest can't be read.
#[derive(Debug, thiserror::Error)]
pub enum RestError {
    /// The log, or where the sink stands.
    #[error("read rows that are in no file yet")]
    Read(#[from] UnwrittenError),
    /// Rows that make no file.
    #[error("encode rows that are in no file yet")]
    Encode(#[from] ParquetError),
}

impl<'log> Rest<'log> {
    /// Tables whose rows are those of a shard's log.
    pub const TABLES: [Table; 3] = [Table::Samples, Table::Events, Table::Gaps];

    /// The rest of what a sink has not written, of some tables.
    #[must_use]
    pub fn new(log: LogId, unwritten: Unwritten<'log>, tables: Vec<Table>) -> Self {
        Self { log, unwritten, tables }
    }

    /// What it is of: from the cursor to the end of the log.
    #[must_use]
    pub fn range(&self) -> &Range {
        self.unwritten.range()
    }

    /// Entries that are not read yet.
    #[must_use]
    pub fn unread(&self) -> u64 {
        self.range().end.0.saturating_sub(self.unwritten.next().0)
    }

    /// Files of what comes next, as much as a range may have: none, where it has no rows of the tables. `None` once all is
    /// read.
    ///
    /// # Errors
    /// If it can't be read, or makes no file.
    pub fn next_files(&mut self) -> Result<Option<Vec<RestFile>>, RestError> {
        let range = *self.range();
        let (mut parts, mut records, mut bytes) = (Parts::default(), 0_u64, 0_u64);
        while records < SINK_RECORDS_MAX && bytes < SINK_BYTES_MAX {
            let Some(batch) = self.unwritten.next_applied()? else { break };
            records = records.saturating_add(batch.header.counts.records.max(1));
            bytes = bytes.saturating_add(u64::from(batch.header.packing.unpacked));
            parts.take_batch(&range, batch, &mut self.unwritten.known);
        }
        if records == 0 {
            return Ok(None);
        }
        let Parts { samples, events, gaps } = parts;
        let mut files = Vec::new();
        let rows = samples.into_iter().map(|(hour, it)| (hour, (it.rows(), it))).collect();
        self.files(Table::Samples, rows, &mut files, |it, columns| it.write(columns))?;
        let rows = events.into_iter().map(|(hour, it)| (hour, (it.rows(), it))).collect();
        self.files(Table::Events, rows, &mut files, |it, columns| it.write(columns))?;
        let rows = gaps.into_iter().map(|(hour, it)| (hour, (it.rows(), it))).collect();
        self.files(Table::Gaps, rows, &mut files, |it, columns| it.write(columns))?;
        Ok(Some(files))
    }

    fn files<T>(
        &self,
        table: Table,
        hours: BTreeMap<Hour, (u64, T)>,
        files: &mut Vec<RestFile>,
        write: impl Fn(T, &mut Columns<'_, '_, Vec<u8>>) -> Result<(), ParquetError>,
    ) -> Result<(), RestError> {
        if !self.tables.contains(&table) {
            return Ok(());
        }
        for (hour, (rows, of_hour)) in hours {
            let whose = (self.log, self.range());
            let bytes = encode(table, whose, |columns| write(of_hour, columns))?;
            let folder = table.folder(hour, self.range().shard);
            files.push(RestFile { folder, rows, bytes });
        }
        Ok(())
    }
}
