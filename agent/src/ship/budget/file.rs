//! What was used, in a small file: it outlives the process.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::Path;

use super::spending::Record;

/// What was recorded; `None` if nothing was, or it can't be read: then nothing counts as used.
///
/// # Errors
/// If there is a file and it can't be read.
pub(super) fn read(path: &Path) -> io::Result<Option<Record>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut text = Vec::new();
    file.take(FILE_BYTES_MAX).read_to_end(&mut text)?;
    Ok(Some(serde_json::from_slice(&text)?))
}

/// Replaces what was recorded: whenever the host goes down, one or the other is there.
///
/// # Errors
/// If the disk refuses it.
pub(super) fn write(path: &Path, record: &Record) -> io::Result<()> {
    let next = path.with_extension("next");
    let mut file = File::create(&next)?;
    file.write_all(&serde_json::to_vec(record)?)?;
    file.sync_data()?;
    fs::rename(next, path)
}

const FILE_BYTES_MAX: u64 = 4096;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Period;

    #[test]
    fn what_is_written_is_read_back_and_what_is_damaged_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("budget");
        assert_eq!(read(&path).unwrap(), None);
        let record = Record { period: Period::Day, number: 20_000, used_bytes: 12, ran_s: 34 };
        write(&path, &Record { used_bytes: 11, ..record }).unwrap();
        write(&path, &record).unwrap();
        assert_eq!(read(&path).unwrap(), Some(record));
        for text in ["", "{}", "{\"period\":\"year\"}", "\0\0\0"] {
            fs::write(&path, text).unwrap();
            assert!(read(&path).is_err(), "{text:?}");
        }
    }
}
