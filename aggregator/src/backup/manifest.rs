//! The manifest: what a backup holds. Written last, so that a folder without one is no backup.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::api::rows::Moment;

/// The version of a backup's folder that this build writes and reads.
pub(super) const FORMAT: u32 = 1;
/// The name of the manifest.
pub(crate) const MANIFEST: &str = "MANIFEST.json";

/// What a backup holds.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Manifest {
    /// The version of the folder.
    pub format: u32,
    /// The build that made it.
    pub build: String,
    /// As of when.
    pub made: Moment,
    /// The node's name.
    pub node: String,
    /// The id of its log, hexadecimal.
    pub log: String,
    /// How many shards the log has.
    pub shards: u16,
    /// Every file but this one.
    pub files: Vec<FileEntry>,
    /// How far the log reaches, by shard. Shards without an entry are left out.
    pub offsets: Vec<ShardEntry>,
}

/// A file of a backup.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct FileEntry {
    /// Below the folder.
    pub name: String,
    /// Its length.
    pub bytes: u64,
    /// BLAKE3 of its bytes, hexadecimal.
    pub blake3: String,
}

/// How far a shard's log reaches.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct ShardEntry {
    /// The shard.
    pub shard: u16,
    /// The first entry.
    pub start: u64,
    /// The entry that would have come next.
    pub end: u64,
    /// The generation at its end.
    pub generation: u64,
}

/// Why a folder is no backup, or not a whole one.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// There is no manifest.
    #[error("{path:?} is not there: the backup was interrupted, or this is none")]
    Missing {
        /// Where it would be.
        path: PathBuf,
    },
    /// A file can't be read.
    #[error("read {path:?}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The manifest is none.
    #[error("read {path:?}")]
    Json {
        /// The manifest.
        path: PathBuf,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// Another build made it.
    #[error(
        "{path:?} has format {found}, this build knows {FORMAT}; restore it with the build {build} that made it"
    )]
    Format {
        /// The manifest.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// Who made it.
        build: String,
    },
    /// A file is named that can't be in a backup.
    #[error("the manifest names the file {name:?}, which no backup has")]
    Name {
        /// The file.
        name: String,
    },
    /// A file has another length.
    #[error("{path:?} has {found} bytes, the manifest says {expected}")]
    Length {
        /// The file.
        path: PathBuf,
        /// Its length.
        found: u64,
        /// As it was made.
        expected: u64,
    },
    /// A file has other bytes.
    #[error("{path:?} is not what it was when the backup was made: its bytes have another digest")]
    Digest {
        /// The file.
        path: PathBuf,
    },
}

impl Manifest {
    /// Reads the manifest of a folder. Its files are not looked at.
    ///
    /// # Errors
    /// If there is none that this build understands.
    pub fn read(folder: &Path) -> Result<Self, ManifestError> {
        let path = folder.join(MANIFEST);
        let text = match std::fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(ManifestError::Missing { path });
            }
            Err(source) => return Err(ManifestError::Read { path, source }),
        };
        let json = |source| ManifestError::Json { path: path.clone(), source };
        let Version { format, build } = serde_json::from_slice(&text).map_err(json)?;
        if format != FORMAT {
            return Err(ManifestError::Format { path, found: format, build });
        }
        let manifest: Self = serde_json::from_slice(&text).map_err(json)?;
        match manifest.files.iter().find(|file| !is_below(&file.name)) {
            Some(file) => Err(ManifestError::Name { name: file.name.clone() }),
            None => Ok(manifest),
        }
    }

    /// Compares every file with what the manifest says of it. `tell` is called with the bytes that were read.
    ///
    /// # Errors
    /// The first file that is not what it was.
    pub fn check_files(
        &self,
        folder: &Path,
        mut tell: impl FnMut(u64),
    ) -> Result<(), ManifestError> {
        for file in &self.files {
            let path = folder.join(&file.name);
            let failed = |source| ManifestError::Read { path: path.clone(), source };
            let found = std::fs::metadata(&path).map_err(failed)?.len();
            if found != file.bytes {
                return Err(ManifestError::Length { path, found, expected: file.bytes });
            }
            let digest = digest(&path, &mut tell).map_err(failed)?;
            if digest != file.blake3 {
                return Err(ManifestError::Digest { path });
            }
        }
        Ok(())
    }

    /// Bytes of all files.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }

    /// Entries of the log, of all shards.
    #[must_use]
    pub fn entries(&self) -> u64 {
        self.offsets.iter().map(|shard| shard.end - shard.start.min(shard.end)).sum()
    }
}

/// What every version has.
#[derive(Deserialize)]
struct Version {
    format: u32,
    #[serde(default)]
    build: String,
}

/// Whether a name stays below the folder that it is joined to.
pub(super) fn is_below(name: &str) -> bool {
    let mut parts = Path::new(name).components();
    !name.is_empty() && parts.all(|part| matches!(part, Component::Normal(_)))
}

/// BLAKE3 of a file, hexadecimal.
pub(super) fn digest(path: &Path, tell: &mut impl FnMut(u64)) -> io::Result<String> {
    let mut file = File::open(path)?;
    let (mut hasher, mut buffer) = (blake3::Hasher::new(), vec![0; READ_BYTES]);
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            return Ok(hasher.finalize().to_hex().to_string());
        }
        hasher.update(&buffer[..read]);
        tell(read as u64);
    }
}

/// Bytes that are read at once.
const READ_BYTES: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    fn backup(folder: &Path) -> Manifest {
        std::fs::create_dir(folder.join("log")).unwrap();
        std::fs::write(folder.join("log/log-0.redb"), b"entries").unwrap();
        let blake3 = blake3::hash(b"entries").to_hex().to_string();
        let manifest = Manifest {
            format: FORMAT,
            build: "0.1.0".to_owned(),
            made: Moment(5),
            node: "one".to_owned(),
            log: "07".repeat(16),
            shards: 64,
            files: vec![FileEntry { name: "log/log-0.redb".to_owned(), bytes: 7, blake3 }],
            offsets: vec![ShardEntry { shard: 3, start: 0, end: 9, generation: 1 }],
        };
        write(folder, &manifest);
        manifest
    }

    fn write(folder: &Path, manifest: &Manifest) {
        std::fs::write(folder.join(MANIFEST), serde_json::to_vec(manifest).unwrap()).unwrap();
    }

    #[test]
    fn a_folder_is_a_backup_if_all_that_its_manifest_names_is_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        assert!(matches!(Manifest::read(folder), Err(ManifestError::Missing { .. })));
        let manifest = backup(folder);
        assert_eq!(Manifest::read(folder).unwrap(), manifest);
        manifest.check_files(folder, |_| ()).unwrap();
        let file = folder.join("log/log-0.redb");
        for (bytes, expected) in [(&b"Entries"[..], "digest"), (b"entrie", "6 bytes")] {
            std::fs::write(&file, bytes).unwrap();
            let error = manifest.check_files(folder, |_| ()).unwrap_err().to_string();
            assert!(error.contains("log-0.redb") && error.contains(expected), "{error}");
        }
        std::fs::remove_file(&file).unwrap();
        assert!(matches!(manifest.check_files(folder, |_| ()), Err(ManifestError::Read { .. })));
    }

    #[test]
    fn a_manifest_of_another_format_or_with_foreign_names_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let manifest = backup(folder);
        write(folder, &Manifest { format: 2, ..manifest.clone() });
        assert!(matches!(Manifest::read(folder), Err(ManifestError::Format { found: 2, .. })));
        for name in ["../one", "/etc/one", "a/../../b", ""] {
            let mut manifest = manifest.clone();
            manifest.files[0].name = name.to_owned();
            write(folder, &manifest);
            assert!(matches!(Manifest::read(folder), Err(ManifestError::Name { .. })), "{name}");
        }
    }
}
