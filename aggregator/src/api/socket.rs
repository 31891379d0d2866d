//! The socket in the data folder.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tokio::net::UnixListener;
use tokio::task::JoinHandle;

use super::router;
use crate::console::ConsoleHandle;
use crate::node::NodeHandle;

/// The socket of the node that keeps its data in a folder.
#[must_use]
pub fn file_of(data_dir: &Path) -> PathBuf {
    data_dir.join("headwater.sock")
}

/// Why the API does not answer.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// A socket's path has room for so many bytes only, by the kernel's own table.
    #[error("listen on {path:?}: its path has {bytes} bytes, expected at most {PATH_BYTES_MAX}")]
    TooLong {
        /// The socket.
        path: PathBuf,
        /// Bytes of its path.
        bytes: usize,
    },
    /// The folder does not let us.
    #[error("listen on {path:?}")]
    Listen {
        /// The socket.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
}

/// A socket that is answered. Ends when it is dropped.
#[derive(Debug)]
pub struct Served {
    task: JoinHandle<()>,
    path: PathBuf,
}

impl Drop for Served {
    fn drop(&mut self) {
        self.task.abort();
        // A socket that stays behind tells the next client that nobody listens: just as clear.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Answers on the socket of a node's data folder.
///
/// The node holds the lock of its folder, so a socket that is there is one that a killed process left.
///
/// # Errors
/// If the socket can't be made.
pub fn serve(
    node: NodeHandle,
    console: ConsoleHandle,
    data_dir: &Path,
) -> Result<Served, ListenError> {
    let path = file_of(data_dir);
    let bytes = path.as_os_str().len();
    if bytes > PATH_BYTES_MAX {
        return Err(ListenError::TooLong { path, bytes });
    }
    let failed = |source| ListenError::Listen { path: path.clone(), source };
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
        Ok(()) | Err(_) => {}
    }
    let listener = UnixListener::bind(&path).map_err(failed)?;
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).map_err(failed)?;
    let task = tokio::spawn(async move {
        let Err(error) = axum::serve(listener, router(node, console)).await else { return };
        tracing::error!(%error, "the local socket is not answered any more");
    });
    Ok(Served { task, path })
}

/// Bytes of a socket's path. Source: `sockaddr_un` in unix(7), 108 with the zero at its end.
const PATH_BYTES_MAX: usize = 107;
