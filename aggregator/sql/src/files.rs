//! Files of one folder: opened all at once, checked, and cut to what lies before the sink's cursor.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use datafusion::parquet::errors::ParquetError;
use datafusion::parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader};
use rustix::fs::{Mode, OFlags};

use crate::cut::cut;
use crate::seal::{self, Seal};
use crate::spots::Spot;
use crate::store::Source;

/// A file that a query reads.
#[derive(Debug)]
pub(crate) struct Checked {
    /// Its name.
    pub(crate) name: String,
    /// Its bytes, or those of the rows that count.
    pub(crate) source: Source,
    /// What its footer says.
    pub(crate) about: ParquetMetaData,
}

/// A file that is left out.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct LeftOut {
    /// Its path, below the folder of the history.
    pub(crate) path: String,
    /// Why.
    pub(crate) why: String,
}

/// Files of a folder.
#[derive(Debug, Default)]
pub(crate) struct Files {
    /// Those that are read.
    pub(crate) checked: Vec<Checked>,
    /// Those that are not.
    pub(crate) left_out: Vec<LeftOut>,
}

/// Times that a folder is listed again, because a file of it had gone by when it was to be opened: an hour is merged a few times.
const TRIES: u32 = 5;

/// Opens and checks the files of a folder. `cursor` is where the sink stands in its shard: rows of entries from there on do not
/// count. `None`: all do.
///
/// # Errors
/// If the folder, or a file, can't be read.
pub(crate) fn read(history: &Path, spot: &Spot, cursor: Option<u64>) -> io::Result<Files> {
    let mut tries = 0;
    let opened = loop {
        match open(&history.join(&spot.folder), cursor) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && tries < TRIES => tries += 1,
            done => break done?,
        }
    };
    let (mut files, mut ranges) = (Files::default(), BTreeMap::new());
    for (name, file) in opened {
        let path = format!("{}/{name}", spot.folder);
        match check(spot, &name, file, cursor) {
            Ok(Some(checked)) => match overlap(&mut ranges, &checked) {
                None => files.checked.push(checked),
                Some(other) => {
                    let why = format!("{other} holds the same rows; move one of them away");
                    files.left_out.push(LeftOut { path, why });
                }
            },
            Ok(None) => {}
            Err(CheckError::Read(error)) => return Err(error),
            Err(error) => files.left_out.push(LeftOut { path, why: error.to_string() }),
        }
    }
    Ok(files)
}

/// What the footer of the newest file of a folder says. `None` if there is none that has one.
///
/// # Errors
/// If the folder can't be read.
pub(crate) fn newest(folder: &Path) -> io::Result<Option<ParquetMetaData>> {
    let mut files = open(folder, None)?;
    files.sort_by_key(|(name, _)| Name::parse(name).map(|name| name.end));
    let about =
        |(_, file): &(String, File)| ParquetMetaDataReader::new().parse_and_finish(file).ok();
    Ok(files.iter().rev().find_map(about))
}

/// Every file of a folder that may count, open. One list and one folder: it is exchanged as a whole when it is merged.
fn open(folder: &Path, cursor: Option<u64>) -> io::Result<Vec<(String, File)>> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let folder = match rustix::fs::open(folder, flags | OFlags::DIRECTORY, Mode::empty()) {
        Err(rustix::io::Errno::NOENT) => return Ok(Vec::new()),
        opened => opened?,
    };
    let mut names = Vec::new();
    for entry in rustix::fs::Dir::read_from(&folder)? {
        let entry = entry?;
        let name = entry.file_name().to_str().ok().map(str::to_owned);
        names.extend(name.filter(|name| Name::parse(name).is_some_and(|it| it.counts(cursor))));
    }
    names.sort();
    let open = |name: String| {
        let file = rustix::fs::openat(&folder, name.as_str(), flags, Mode::empty())?;
        Ok((name, File::from(file)))
    };
    names.into_iter().map(open).collect()
}

/// What the name of a file says.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Name {
    /// Whether it is named after a span of time, or a batch of what came late: it is of no range.
    is_span: bool,
    is_merged: bool,
    first: u64,
    end: u64,
}

impl Name {
    /// `None` if it is not of a file of a history.
    fn parse(name: &str) -> Option<Self> {
        if is_span(name) {
            return Some(Self { is_span: true, is_merged: false, first: 0, end: 0 });
        }
        let is_merged = match name.chars().next()? {
            'g' => false,
            'm' | 'f' => true,
            _ => return None,
        };
        let numbers = name[1..].strip_suffix(".parquet")?.split('-');
        let numbers = numbers.map(|it| it.parse().ok()).collect::<Option<Vec<u64>>>()?;
        match numbers[..] {
            [_, first, end] if !is_merged => Some(Self { is_span: false, is_merged, first, end }),
            [_, first, end, _] if is_merged => Some(Self { is_span: false, is_merged, first, end }),
            _ => None,
        }
    }

    /// Whether rows of it lie before a cursor.
    fn counts(self, cursor: Option<u64>) -> bool {
        cursor.is_none_or(|cursor| self.first < cursor)
    }
}

/// Whether a file is of averages or alerts: `w` or `f`, from when to when, and as of which entry, or `a` and a batch.
fn is_span(name: &str) -> bool {
    let Some(said) = name.strip_suffix(".parquet") else { return false };
    let (letter, numbers) = said.split_at_checked(1).unwrap_or_default();
    let are_numbers = numbers.split('_').all(|it| it.parse::<i64>().is_ok());
    match letter {
        "w" | "f" => are_numbers && numbers.split('_').count() == 3,
        "a" => numbers.parse::<u64>().is_ok(),
        _ => false,
    }
}

/// Why a file is left out.
#[derive(Debug, thiserror::Error)]
enum CheckError {
    #[error("it can't be read: {0}")]
    Read(io::Error),
    #[error("it is cut short, or its bytes are not those that were written")]
    Broken,
    #[error("it is no Parquet file: {0}")]
    Decode(#[from] ParquetError),
    #[error("it is of another shard or range than its path says")]
    Misplaced,
}

fn check(
    spot: &Spot,
    name: &str,
    file: File,
    cursor: Option<u64>,
) -> Result<Option<Checked>, CheckError> {
    let size = file.metadata().map_err(CheckError::Read)?.len();
    let source = Source::File(Arc::new(file), size);
    let bytes = source.read().map_err(CheckError::Read)?;
    let seal = seal::check(&bytes);
    if seal == Seal::Broken {
        return Err(CheckError::Broken);
    }
    let about = ParquetMetaDataReader::new().parse_and_finish(&bytes)?;
    let named = Name::parse(name).ok_or(CheckError::Misplaced)?;
    if seal == Seal::Whole && !is_of(&about, spot, named) {
        return Err(CheckError::Misplaced);
    }
    let name = name.to_owned();
    match cursor.filter(|cursor| named.end > *cursor) {
        None => Ok(Some(Checked { name, source, about })),
        // It was merged after the cursor was asked for, of ranges on both sides of it.
        Some(cursor) if named.is_merged => {
            let bytes: Bytes = cut(bytes, cursor)?;
            let about = ParquetMetaDataReader::new().parse_and_finish(&bytes)?;
            Ok(Some(Checked { name, source: Source::Memory(bytes), about }))
        }
        // A range has either all its entries before the cursor or none.
        Some(_) => Ok(None),
    }
}

/// Whether a file is what its path says.
fn is_of(about: &ParquetMetaData, spot: &Spot, named: Name) -> bool {
    let number = |key: &str| said(about, key)?.parse::<u64>().ok();
    let is_of_shard = spot
        .shard()
        .is_none_or(|shard| number("headwater.shard").is_some_and(|said| said == u64::from(shard)));
    if named.is_span {
        return number("headwater.as_of").is_some();
    }
    let range = (number("headwater.first"), number("headwater.end"));
    is_of_shard && range == (Some(named.first), Some(named.end))
}

fn said<'about>(about: &'about ParquetMetaData, key: &str) -> Option<&'about str> {
    let said = about.file_metadata().key_value_metadata()?;
    said.iter().find(|it| it.key == key)?.value.as_deref()
}

/// Another file that holds rows of a range which this one has too; if there is none, its own are noted.
fn overlap(ranges: &mut BTreeMap<u64, String>, file: &Checked) -> Option<String> {
    let first = |range: &str| range.split(':').nth(1)?.parse::<u64>().ok();
    let own: Vec<u64> = match said(&file.about, "headwater.ranges") {
        Some(ranges) => ranges.split(',').filter_map(first).collect(),
        None => {
            let named = Name::parse(&file.name).filter(|name| !name.is_span);
            named.map(|name| name.first).into_iter().collect()
        }
    };
    let other = own.iter().find_map(|first| ranges.get(first).cloned());
    if other.is_none() {
        ranges.extend(own.into_iter().map(|first| (first, file.name.clone())));
    }
    other
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_says_of_which_entries_a_file_is_and_whether_they_count() {
        let range = Name::parse("g0-000000000123-000000000456.parquet").unwrap();
        assert_eq!(range, Name { is_span: false, is_merged: false, first: 123, end: 456 });
        let merged = Name::parse("m1-000000000123-000000000456-60.parquet").unwrap();
        assert_eq!(merged, Name { is_span: false, is_merged: true, first: 123, end: 456 });
        assert!(range.counts(None) && range.counts(Some(124)) && !range.counts(Some(123)));
        for span in
            ["w60_120_000000000007.parquet", "f-60_0_000000000007.parquet", "a000000000003.parquet"]
        {
            assert!(Name::parse(span).is_some_and(|name| name.is_span), "{span}");
        }
        for other in [
            "",
            "x.parquet",
            "w1_2.parquet",
            "a.parquet",
            "g0-1-2.parquet.tmp",
            "m0-1-2.parquet",
            "é-1-2.parquet",
        ] {
            assert_eq!(Name::parse(other), None, "{other}");
        }
    }

    const FOLDER: &str = "table=events/dt=2026-11-28/hour=13/shard=07";

    /// A file whose rows are of ranges that begin at these entries.
    fn put(history: &Path, name: &str, firsts: &[i64]) {
        use datafusion::arrow::array::{ArrayRef, Int64Array, RecordBatch};
        let firsts: ArrayRef = Arc::new(Int64Array::from(firsts.to_vec()));
        let batch = RecordBatch::try_from_iter([("range_first", firsts)]).unwrap();
        let mut writer =
            datafusion::parquet::arrow::ArrowWriter::try_new(Vec::new(), batch.schema(), None)
                .unwrap();
        writer.write(&batch).unwrap();
        std::fs::create_dir_all(history.join(FOLDER)).unwrap();
        std::fs::write(history.join(FOLDER).join(name), writer.into_inner().unwrap()).unwrap();
    }

    #[test]
    fn what_lies_before_the_cursor_counts_whatever_was_merged_since() {
        let root = tempfile::tempdir().unwrap();
        put(root.path(), "m0-000000000000-000000000009-2.parquet", &[0, 0, 5]);
        put(root.path(), "m0-000000000010-000000000030-2.parquet", &[10, 10, 20, 10]);
        put(root.path(), "g0-000000000030-000000000040.parquet", &[30]);
        std::fs::write(root.path().join(FOLDER).join("notes.txt"), "a person's").unwrap();
        let (_, spot) = Spot::parse(FOLDER).unwrap();
        let rows = |cursor| {
            let files = read(root.path(), &spot, cursor).unwrap();
            assert_eq!(files.left_out, []);
            files.checked.iter().map(|it| it.about.file_metadata().num_rows()).collect::<Vec<_>>()
        };
        assert_eq!(rows(None), [1, 3, 4]);
        assert_eq!(rows(Some(40)), [1, 3, 4]);
        assert_eq!(rows(Some(30)), [3, 4]);
        assert_eq!(rows(Some(20)), [3, 3], "one range of it");
        assert_eq!(rows(Some(9)), [3]);
        assert_eq!(rows(Some(0)), [] as [i64; 0]);
    }

    #[test]
    fn files_that_hold_the_same_range_are_not_both_read() {
        let root = tempfile::tempdir().unwrap();
        put(root.path(), "g0-000000000030-000000000040.parquet", &[30]);
        put(root.path(), "g1-000000000030-000000000050.parquet", &[30]);
        put(root.path(), "g1-000000000060-000000000070.parquet", &[60]);
        std::fs::write(
            root.path().join(FOLDER).join("g1-000000000050-000000000060.parquet"),
            "cut",
        )
        .unwrap();
        let (_, spot) = Spot::parse(FOLDER).unwrap();
        let files = read(root.path(), &spot, None).unwrap();
        assert_eq!(files.checked.len(), 2);
        let why: Vec<&str> = files.left_out.iter().map(|it| it.why.as_str()).collect();
        assert!(why[0].contains("holds the same rows") && why[1].contains("cut short"), "{why:?}");
    }
}
