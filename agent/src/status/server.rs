//! The socket: who asks gets one document.

use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use tokio::io::AsyncWriteExt;
use tokio::net::UnixListener;
use tokio::sync::watch;
use tracing::debug;

use super::{LaneStatus, SourceStatus, SpoolStatus, Status, own};
use crate::clock::wall_us;
use crate::ship::{SessionPath, Standing};
use crate::spool::SpoolView;
use crate::tail::FileStatuses;

/// Where the status comes from.
#[derive(Debug)]
pub struct StatusSource {
    /// What the device calls itself.
    pub name: String,
    /// The device's id.
    pub device: String,
    /// When the process started.
    pub started: Instant,
    /// The ship stage.
    pub standing: watch::Receiver<Standing>,
    /// Its session.
    pub path: SessionPath,
    /// The spool.
    pub spool: watch::Receiver<SpoolView>,
    /// The tail.
    pub files: FileStatuses,
}

/// Why the status can't be served or asked for.
#[derive(Debug, thiserror::Error)]
pub enum StatusError {
    /// The socket can't be made.
    #[error("listen on {}", path.display())]
    Listen {
        /// The socket.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another agent listens there.
    #[error("listen on {}: another agent does", path.display())]
    Taken {
        /// The socket.
        path: PathBuf,
    },
    /// Nobody answers.
    #[error("ask {}", path.display())]
    Ask {
        /// The socket.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The answer is something else: the agent may be of another version.
    #[error("read the answer of {}", path.display())]
    Answer {
        /// The socket.
        path: PathBuf,
        /// What is wrong with it.
        source: serde_json::Error,
    },
}

impl StatusSource {
    /// The status at this moment.
    #[must_use]
    pub fn status(&self) -> Status {
        let uptime = self.started.elapsed();
        let mut ship = self.standing.borrow().clone();
        self.path.measure(&mut ship);
        let spool = self.spool.borrow().clone();
        let files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        let sources = files.iter().map(|file| SourceStatus {
            path: file.path.to_string_lossy().into_owned(),
            position: file.position,
            size: file.size,
            stalled: file.stalled.clone(),
        });
        Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            name: self.name.clone(),
            device: self.device.clone(),
            uptime_s: uptime.as_secs(),
            time_us: wall_us(),
            ship,
            live: LaneStatus::of(&spool.live),
            bulk: LaneStatus::of(&spool.bulk),
            copied: spool.copied.clone(),
            spool: SpoolStatus::of(&spool, uptime),
            sources: sources.collect(),
            own: own::own(),
        }
    }
}

/// Serves the status until it is dropped.
///
/// # Errors
/// If the socket can't be made; the agent works without.
pub async fn serve(path: &Path, source: StatusSource) -> Result<(), StatusError> {
    let listener = listen(path)?;
    loop {
        match listener.accept().await {
            Ok((mut stream, _)) => {
                let document =
                    serde_json::to_vec(&source.status()).expect("a status has an encoding");
                let answer = async {
                    stream.write_all(&document).await?;
                    stream.shutdown().await
                };
                // One at a time: who does not read is cut off, and others are served.
                let answered = tokio::time::timeout(ANSWER_TIMEOUT, answer).await;
                debug!(?answered, "status was asked for");
            }
            Err(error) => {
                debug!(%error, "accept on the status socket");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// A socket that an agent left behind answers nobody, and is replaced.
fn listen(path: &Path) -> Result<UnixListener, StatusError> {
    let failed = |source| StatusError::Listen { path: path.to_owned(), source };
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(failed)?;
    }
    if UnixStream::connect(path).is_ok() {
        return Err(StatusError::Taken { path: path.to_owned() });
    }
    match fs::remove_file(path) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed(error)),
    }
    let listener = UnixListener::bind(path).map_err(failed)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o660)).map_err(failed)?;
    Ok(listener)
}

/// Asks a running agent.
///
/// # Errors
/// If none answers, or it answers something else.
pub fn ask(path: &Path) -> Result<Status, StatusError> {
    let failed = |source| StatusError::Ask { path: path.to_owned(), source };
    let stream = UnixStream::connect(path).map_err(failed)?;
    stream.set_read_timeout(Some(ASK_TIMEOUT)).map_err(failed)?;
    let mut document = Vec::new();
    stream.take(DOCUMENT_BYTES_MAX).read_to_end(&mut document).map_err(failed)?;
    let read = serde_json::from_slice(&document);
    read.map_err(|source| StatusError::Answer { path: path.to_owned(), source })
}

const ANSWER_TIMEOUT: Duration = Duration::from_secs(1);
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
const ASK_TIMEOUT: Duration = Duration::from_secs(5);
/// 256 files with paths of 4 KiB, and the rest.
const DOCUMENT_BYTES_MAX: u64 = 4 << 20;
