//! Files that hold keys and certificates: written whole or not at all, readable by their owner
//! only.
//!
//! A file is replaced by temporary file, fsync, rename, fsync of the folder, so that a reader sees
//! the former content or the latter and a crash leaves one of both. One process writes a folder at
//! a time.

use std::ffi::OsString;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// Why a private file could not be written. The former content, if any, is still in place unless
/// the step is `Sync folder`.
#[derive(Debug, thiserror::Error)]
#[error("{step} {path:?}")]
pub struct WriteError {
    /// What was attempted.
    pub step: WriteStep,
    /// On which file or folder.
    pub path: PathBuf,
    /// What the operating system said.
    pub source: io::Error,
}

/// One step of replacing a file.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum WriteStep {
    /// Making the folder, mode 0700.
    CreateFolder,
    /// Removing what an interrupted attempt left behind.
    RemoveLeftover,
    /// Making the temporary file, mode 0600.
    Create,
    /// Writing its content.
    Write,
    /// Bringing its content to the disk.
    Sync,
    /// Putting it in place.
    Rename,
    /// Bringing its name to the disk.
    SyncFolder,
}

impl std::fmt::Display for WriteStep {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::CreateFolder => "create folder",
            Self::RemoveLeftover => "remove leftover",
            Self::Create => "create temporary file",
            Self::Write => "write",
            Self::Sync => "sync",
            Self::Rename => "rename into",
            Self::SyncFolder => "sync folder",
        })
    }
}

impl WriteStep {
    pub(crate) fn failed(self, path: &Path) -> impl FnOnce(io::Error) -> WriteError {
        move |source| WriteError { step: self, path: path.to_owned(), source }
    }
}

/// Why a file of keys or certificates could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// It is missing or may not be read by this user.
    #[error("read {path:?}")]
    Read {
        /// Which file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// It is larger than any such file can be.
    #[error(
        "read {path:?}: it has more than {bytes_max} bytes, so it is not a file of certificates"
    )]
    TooLarge {
        /// Which file.
        path: PathBuf,
        /// Largest size that is read.
        bytes_max: u64,
    },
}

impl ReadError {
    /// Says whether the file does not exist, as opposed to being unreadable.
    #[must_use]
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::Read { source, .. } if source.kind() == ErrorKind::NotFound)
    }
}

/// Makes a folder for its owner only. One that exists is left as it is.
pub(crate) fn create_folder(folder: &Path) -> Result<(), WriteError> {
    let mut builder = DirBuilder::new();
    builder.recursive(true).mode(0o700);
    builder.create(folder).map_err(WriteStep::CreateFolder.failed(folder))
}

/// Replaces `folder/name` by `content`, mode 0600.
pub(crate) fn write_private(folder: &Path, name: &str, content: &[u8]) -> Result<(), WriteError> {
    let path = folder.join(name);
    let partial = with_suffix(&path, PARTIAL_SUFFIX);
    match std::fs::remove_file(&partial) {
        Err(source) if source.kind() != ErrorKind::NotFound => {
            return Err(WriteStep::RemoveLeftover.failed(&partial)(source));
        }
        Ok(()) | Err(_) => {}
    }
    let mut options = OpenOptions::new();
    let mut file = options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&partial)
        .map_err(WriteStep::Create.failed(&partial))?;
    file.write_all(content).map_err(WriteStep::Write.failed(&partial))?;
    file.sync_all().map_err(WriteStep::Sync.failed(&partial))?;
    std::fs::rename(&partial, &path).map_err(WriteStep::Rename.failed(&path))?;
    sync_folder(folder)
}

/// Brings the names within a folder to the disk.
pub(crate) fn sync_folder(folder: &Path) -> Result<(), WriteError> {
    File::open(folder)
        .and_then(|opened| opened.sync_all())
        .map_err(WriteStep::SyncFolder.failed(folder))
}

/// Reads a whole file, up to [`FILE_BYTES_MAX`].
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, ReadError> {
    let failed = |source| ReadError::Read { path: path.to_owned(), source };
    let mut content = Vec::new();
    File::open(path)
        .and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_end(&mut content))
        .map_err(failed)?;
    if content.len() as u64 > FILE_BYTES_MAX {
        return Err(ReadError::TooLarge { path: path.to_owned(), bytes_max: FILE_BYTES_MAX });
    }
    Ok(content)
}

/// Writes one PEM section.
pub(crate) fn pem(label: &str, der: &[u8]) -> String {
    let mut text = format!("-----BEGIN {label}-----\n");
    let encoded = STANDARD.encode(der);
    for (at, character) in encoded.chars().enumerate() {
        if at > 0 && at % PEM_LINE_CHARACTERS == 0 {
            text.push('\n');
        }
        text.push(character);
    }
    text.push_str("\n-----END ");
    text.push_str(label);
    text.push_str("-----\n");
    text
}

/// Writes certificates as PEM sections, in the order given.
pub(crate) fn certificates_pem<'a>(ders: impl IntoIterator<Item = &'a [u8]>) -> String {
    ders.into_iter().map(|der| pem("CERTIFICATE", der)).collect()
}

/// Appends to the last component of a path.
pub(crate) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path.as_os_str());
    name.push(suffix);
    PathBuf::from(name)
}

/// Largest file that is read: a chain of 3 and a bundle of 4 need less than 8 KiB, so this leaves
/// room and still bounds memory.
const FILE_BYTES_MAX: u64 = 65_536;

/// Marks what an interrupted attempt left behind.
pub(crate) const PARTIAL_SUFFIX: &str = ".partial";

/// Source: RFC 7468, section 2.
const PEM_LINE_CHARACTERS: usize = 64;

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use rustls_pki_types::CertificateDer;
    use rustls_pki_types::pem::PemObject;

    use super::*;

    #[test]
    fn a_private_file_belongs_to_its_owner_and_replaces_the_former_one() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("a/b");
        create_folder(&inner).unwrap();
        assert_eq!(mode(&inner), 0o700);
        std::fs::write(inner.join("key.partial"), "left behind by a crash").unwrap();
        for content in ["first", "second"] {
            write_private(&inner, "key", content.as_bytes()).unwrap();
            assert_eq!(read(&inner.join("key")).unwrap(), content.as_bytes());
            assert_eq!(mode(&inner.join("key")), 0o600);
        }
        assert_eq!(std::fs::read_dir(&inner).unwrap().count(), 1, "no temporary file stays");
    }

    #[test]
    fn an_oversized_file_is_refused_before_it_is_in_memory() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("large");
        std::fs::write(&path, vec![b'-'; 65_537]).unwrap();
        assert!(matches!(read(&path), Err(ReadError::TooLarge { .. })));
        assert!(read(&folder.path().join("none")).unwrap_err().is_missing());
    }

    #[test]
    fn pem_of_every_length_reads_back() {
        for length in 0..200_u8 {
            let der: Vec<u8> = (0..length).collect();
            let text = pem("CERTIFICATE", &der);
            let read_back = CertificateDer::from_pem_slice(text.as_bytes()).unwrap();
            assert_eq!(read_back.as_ref(), der);
        }
    }

    fn mode(path: &Path) -> u32 {
        std::fs::metadata(path).unwrap().permissions().mode() & 0o777
    }
}
