//! Files of the history, read back: whole, and what their names and their log say they are.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use headwater_protocol::identity::LogId;
use parquet::column::reader::get_typed_column_reader;
use parquet::data_type::{DataType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::reader::{FileReader, SerializedFileReader};

use super::super::file::{Footer, Seal, check_seal, schema};
use super::super::table::{FileName, Kind, Spot};

/// A file that is as it was written.
pub(super) struct Opened {
    pub(super) name: FileName,
    pub(super) footer: Footer,
    /// Of its columns, as they are coded, not packed.
    pub(super) unpacked_bytes: u64,
    path: PathBuf,
    reader: SerializedFileReader<Bytes>,
}

/// Why a file can't be read. It stays where it is.
#[derive(Debug, thiserror::Error)]
pub(in crate::history) enum OpenError {
    #[error("read {path:?}")]
    Read { path: PathBuf, source: io::Error },
    #[error(
        "read {path:?}: it is not as it was written; put it back from a backup, or move it away to go on without its rows"
    )]
    Altered { path: PathBuf },
    #[error("read {path:?}: a build wrote it that made no digests; it stays as it is")]
    Unsealed { path: PathBuf },
    #[error("read {path:?}: it is of another log, shard or range than where it lies; move it away")]
    Misplaced { path: PathBuf },
    #[error("decode {path:?}: move it away to go on without its rows")]
    Decode { path: PathBuf, source: ParquetError },
}

impl Opened {
    /// Reads the file of this name in a folder.
    ///
    /// # Errors
    /// If it can't be read, or is not what it should be.
    pub(super) fn read(
        folder: &Path,
        name: FileName,
        (log, spot): (LogId, Spot),
    ) -> Result<Self, OpenError> {
        let path = folder.join(name.to_string());
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(source) => return Err(OpenError::Read { path, source }),
        };
        match check_seal(&bytes) {
            Seal::Whole => {}
            Seal::Broken => return Err(OpenError::Altered { path }),
            Seal::Absent => return Err(OpenError::Unsealed { path }),
        }
        let opened = SerializedFileReader::new(Bytes::from(bytes)).and_then(|reader| {
            let is_ours = *reader.metadata().file_metadata().schema() == schema(spot.table)?;
            Ok((reader, is_ours))
        });
        let (reader, is_ours) = match opened {
            Ok(opened) => opened,
            Err(source) => return Err(OpenError::Decode { path, source }),
        };
        let about = reader.metadata().file_metadata();
        let rows = about.num_rows().unsigned_abs();
        let said = about.key_value_metadata().map_or(&[][..], |said| said);
        let footer = Footer::parse(said, rows).filter(|footer| {
            let is_place = (footer.log, footer.shard) == (log, spot.shard.0);
            let ranges = footer.held.len() as u64;
            let said = (footer.span(), ranges, footer.is_merged);
            let named = (name.first, name.end, name.generation);
            is_ours && is_place && said == (named, name.ranges, name.kind != Kind::Range)
        });
        let Some(footer) = footer else { return Err(OpenError::Misplaced { path }) };
        let groups = reader.metadata().row_groups().iter();
        let unpacked_bytes = groups.map(|group| group.total_byte_size().unsigned_abs()).sum();
        Ok(Self { name, footer, unpacked_bytes, path, reader })
    }

    /// Appends the values of a column that has one in each row.
    pub(super) fn values<T: DataType>(
        &self,
        column: usize,
        values: &mut Vec<T::T>,
    ) -> Result<(), OpenError> {
        let before = values.len();
        self.chunks::<T>(column, values, &mut Vec::new())?;
        self.expect_rows(values.len() - before)
    }

    /// Appends the values of a column that may have none in a row.
    pub(super) fn optional_values<T: DataType>(
        &self,
        column: usize,
        values: &mut Vec<Option<T::T>>,
    ) -> Result<(), OpenError> {
        let (mut present, mut levels) = (Vec::new(), Vec::new());
        self.chunks::<T>(column, &mut present, &mut levels)?;
        self.expect_rows(levels.len())?;
        let mut present = present.into_iter();
        values.extend(levels.iter().map(|level| (*level > 0).then(|| present.next()).flatten()));
        Ok(())
    }

    /// Rows by the range that brought them, by what each row says.
    ///
    /// # Errors
    /// If they are not those that the footer says.
    pub(super) fn ranges(&self, column: usize) -> Result<Vec<i64>, OpenError> {
        let mut firsts = Vec::new();
        self.values::<Int64Type>(column, &mut firsts)?;
        let mut found: BTreeMap<u64, u64> = BTreeMap::new();
        for part in firsts.chunk_by(|one, other| one == other) {
            *found.entry(part[0].cast_unsigned()).or_default() += part.len() as u64;
        }
        let said = self.footer.held.iter().map(|held| (held.first, held.rows)).collect();
        if found == said {
            Ok(firsts)
        } else {
            Err(OpenError::Misplaced { path: self.path.clone() })
        }
    }

    fn chunks<T: DataType>(
        &self,
        column: usize,
        values: &mut Vec<T::T>,
        levels: &mut Vec<i16>,
    ) -> Result<(), OpenError> {
        let mut read = || {
            for group in 0..self.reader.num_row_groups() {
                let group = self.reader.get_row_group(group)?;
                let column = group.get_column_reader(column)?;
                let mut column = get_typed_column_reader::<T>(column);
                let rows = usize::try_from(group.metadata().num_rows()).unwrap_or(usize::MAX);
                let mut left = rows;
                while left > 0 {
                    let (read, ..) = column.read_records(left, Some(levels), None, values)?;
                    if read == 0 {
                        break;
                    }
                    left -= read;
                }
            }
            Ok(())
        };
        read().map_err(|source| OpenError::Decode { path: self.path.clone(), source })
    }

    fn expect_rows(&self, found: usize) -> Result<(), OpenError> {
        if found as u64 == self.footer.rows() {
            return Ok(());
        }
        let text = format!("{found} values in place of {}", self.footer.rows());
        let (path, source) = (self.path.clone(), ParquetError::General(text));
        Err(OpenError::Decode { path, source })
    }
}
