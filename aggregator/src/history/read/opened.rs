//! A file, opened to be read: as it was written, and what its name and its log say it is.

use std::fs;
use std::io;
use std::path::Path;

use bytes::Bytes;
use headwater_protocol::identity::LogId;
use parquet::errors::ParquetError;
use parquet::file::metadata::RowGroupMetaData;
use parquet::file::properties::ReaderProperties;
use parquet::file::reader::FileReader;
use parquet::file::serialized_reader::{ReadOptionsBuilder, SerializedFileReader};
use parquet::file::statistics::Statistics;

use super::super::file::{Footer, Seal, check_seal};
use super::super::table::{FileName, Kind, Spot};
use super::Wanted;

/// A file that is as it was written.
pub(super) struct Opened {
    pub(super) footer: Footer,
    pub(super) bytes: u64,
    pub(super) reader: SerializedFileReader<Bytes>,
}

/// Why a file can't be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum OpenError {
    /// It was merged meanwhile, or taken away.
    #[error("it is not there")]
    Gone,
    #[error("it can't be read")]
    Read(#[source] io::Error),
    #[error("it is not as it was written")]
    Altered,
    #[error("a build wrote it that made no digests")]
    Unsealed,
    #[error("it is of another log, shard or range than where it lies")]
    Misplaced,
    #[error("it can't be decoded")]
    Decode(#[source] ParquetError),
}

impl Opened {
    /// Reads a file of a folder.
    pub(super) fn read(
        root: &Path,
        log: LogId,
        (spot, name): (Spot, FileName),
    ) -> Result<Self, OpenError> {
        let bytes = match fs::read(root.join(spot.folder()).join(name.to_string())) {
            Ok(bytes) => Bytes::from(bytes),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(OpenError::Gone),
            Err(error) => return Err(OpenError::Read(error)),
        };
        match check_seal(&bytes) {
            Seal::Whole => {}
            Seal::Broken => return Err(OpenError::Altered),
            Seal::Absent => return Err(OpenError::Unsealed),
        }
        let properties = ReaderProperties::builder().set_read_bloom_filter(true).build();
        let options = ReadOptionsBuilder::new().with_reader_properties(properties).build();
        let length = bytes.len() as u64;
        let reader = SerializedFileReader::new_with_options(bytes, options);
        let reader = reader.map_err(OpenError::Decode)?;
        let about = reader.metadata().file_metadata();
        let said = about.key_value_metadata().map_or(&[][..], |said| said);
        let footer = Footer::parse(said, about.num_rows().unsigned_abs()).filter(|footer| {
            let is_place = (footer.log, footer.shard) == (log, spot.shard.0);
            let ranges = footer.held.len() as u64;
            let said = (footer.span(), ranges, footer.is_merged);
            let named = (name.first, name.end, name.generation);
            is_place && said == (named, name.ranges, name.kind != Kind::Range)
        });
        let footer = footer.ok_or(OpenError::Misplaced)?;
        Ok(Self { footer, bytes: length, reader })
    }

    /// The place of a column.
    pub(super) fn place(&self, name: &str) -> Result<usize, ParquetError> {
        let schema = self.reader.metadata().file_metadata().schema_descr();
        let place = schema.columns().iter().position(|column| column.name() == name);
        place.ok_or_else(|| ParquetError::General(format!("it has no column {name:?}")))
    }

    /// Whether a group of rows may have some that are wanted, by what its footer says of it.
    pub(super) fn may_hold(&self, group: usize, wanted: &Wanted) -> Result<bool, ParquetError> {
        let about = self.reader.metadata().row_group(group);
        if let Some((least, most)) = times_of(about, self.place("time")?)
            && (most < wanted.times.from_us
                || (least >= wanted.times.to_us && wanted.times.to_us != i64::MAX))
        {
            return Ok(false);
        }
        let Some(device) = wanted.device else { return Ok(true) };
        let (device, column) = (device.to_string(), self.place("device")?);
        if !may_be_between(about, column, &device) {
            return Ok(false);
        }
        let reader = self.reader.get_row_group(group)?;
        let filter = reader.get_column_bloom_filter(column);
        Ok(filter.is_none_or(|filter| filter.check(device.as_bytes())))
    }
}

/// The least and the most time of a group.
fn times_of(group: &RowGroupMetaData, column: usize) -> Option<(i64, i64)> {
    match group.column(column).statistics()? {
        Statistics::Int64(times) => Some((*times.min_opt()?, *times.max_opt()?)),
        _ => None,
    }
}

/// Whether a text may stand in a column of a group.
fn may_be_between(group: &RowGroupMetaData, column: usize, text: &str) -> bool {
    let Some(known) = group.column(column).statistics() else { return true };
    let (least, most) = (known.min_bytes_opt(), known.max_bytes_opt());
    least.is_none_or(|least| least <= text.as_bytes())
        && most.is_none_or(|most| text.as_bytes() <= most)
}
