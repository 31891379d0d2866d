//! What enrolment told besides the identity: where the aggregators are, and what the device is called.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// What enrolment told besides the identity.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub struct EnrolmentState {
    /// The device's id.
    pub device: String,
    /// What the device calls itself.
    pub name: String,
    /// What people call the fleet; empty if nobody named it.
    pub fleet: String,
    /// Labels that the device started with.
    pub labels: BTreeMap<String, String>,
    /// Where the aggregators serve devices: `host:port`, in the order to try.
    pub addresses: Vec<String>,
    /// Where this host enrolled: `host:port`; empty if an earlier build did it.
    pub enrolled_at: String,
    /// When: microseconds since 1970 UTC.
    pub enrolled_us: i64,
}

/// Why it can't be read or written.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// The system says no.
    #[error("{attempt} {}", path.display())]
    File {
        /// What was attempted.
        attempt: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It is something else.
    #[error("read {}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: serde_json::Error,
    },
}

impl EnrolmentState {
    /// Reads it; the default if there is none.
    ///
    /// # Errors
    /// If it is there and can't be read.
    pub fn load(folder: &Path) -> Result<Self, StateError> {
        let path = folder.join(FILE);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(source) => return Err(StateError::File { attempt: "read", path, source }),
        };
        serde_json::from_slice(&bytes).map_err(|source| StateError::Content { path, source })
    }

    /// Writes it, whole or not at all.
    ///
    /// # Errors
    /// A step failed.
    ///
    /// # Panics
    /// Never: texts and numbers always have an encoding.
    pub fn save(&self, folder: &Path) -> Result<(), StateError> {
        let bytes = serde_json::to_vec_pretty(self).expect("texts and numbers have an encoding");
        let (path, temporary) = (folder.join(FILE), folder.join(TEMPORARY_FILE));
        let step = |attempt, path: &Path| {
            let path = path.to_owned();
            move |source| StateError::File { attempt, path, source }
        };
        let mut make = fs::DirBuilder::new();
        make.recursive(true).mode(0o700).create(folder).map_err(step("make", folder))?;
        let mut options = OpenOptions::new();
        let options = options.write(true).create(true).truncate(true).mode(0o600);
        let mut file = options.open(&temporary).map_err(step("create", &temporary))?;
        file.write_all(&bytes).map_err(step("write", &temporary))?;
        file.sync_all().map_err(step("sync", &temporary))?;
        fs::rename(&temporary, &path).map_err(step("rename into", &path))?;
        let folder_file = File::open(folder).map_err(step("open", folder))?;
        folder_file.sync_all().map_err(step("sync", folder))
    }
}

const FILE: &str = "enrolment.json";
const TEMPORARY_FILE: &str = "enrolment.json.new";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_told_is_read_back_and_absence_is_no_error() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("deep/identity");
        assert_eq!(EnrolmentState::load(&inner).unwrap(), EnrolmentState::default());
        let state = EnrolmentState {
            name: "edge-1".to_owned(),
            addresses: vec!["agg:4433".to_owned()],
            ..EnrolmentState::default()
        };
        state.save(&inner).unwrap();
        assert_eq!(EnrolmentState::load(&inner).unwrap(), state);
        fs::write(inner.join(FILE), b"{\"later\": 1}").unwrap();
        assert_eq!(EnrolmentState::load(&inner).unwrap(), EnrolmentState::default());
        fs::write(inner.join(FILE), b"no").unwrap();
        assert!(matches!(EnrolmentState::load(&inner), Err(StateError::Content { .. })));
    }
}
