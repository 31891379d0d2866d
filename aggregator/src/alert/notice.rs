//! Notices: each change of an alert, told once to every destination.
//!
//! One task per destination, with a durable cursor of its own, so that a slow one holds up no other and
//! a restart neither forgets nor repeats what was taken. Between an answer and its cursor lies a crash
//! now and then: a notice comes at least once, and its key (alert and number of the change) says which
//! are one.

mod address;
mod body;
mod destination;
mod post;
mod url;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use headwater_protocol::identity::LogId;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::board::AlertBoard;
use crate::limits::{NOTICE_TRIES_MAX, NOTICE_WAIT_FIRST, NOTICE_WAIT_MAX};
use crate::metrics::AlertMetrics;
use crate::registry::Registry;
use destination::{Destination, Task};
use post::Poster;

pub use url::{Url, UrlError};

/// A webhook, as it is configured.
#[derive(Clone, Debug)]
pub struct Webhook {
    /// What thresholds call it.
    pub name: String,
    /// Where it is.
    pub url: Url,
    /// The file of the secret that signs its notices. `None`: they are not signed.
    pub secret_file: Option<PathBuf>,
    /// The file of the roots that its certificate may end in. `None`: those of the host.
    pub ca_file: Option<PathBuf>,
    /// Whether its address may be one of this network or host.
    pub allow_private: bool,
}

/// What notices are made with.
#[derive(Clone, Debug)]
pub struct NoticeOptions {
    /// Who is told, beside our own log.
    pub webhooks: Vec<Webhook>,
    /// What there is to tell.
    pub board: AlertBoard,
    /// Where cursors are kept, and names of devices.
    pub registry: Registry,
    /// The log that the alerts come from.
    pub log: LogId,
    /// How often and how soon a destination that fails is tried again.
    pub pace: Pace,
    /// Where it is counted.
    pub metrics: AlertMetrics,
}

/// How often and how soon a destination that fails is tried again.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// The longest first wait; each later one may be twice as long.
    pub first: Duration,
    /// The longest wait.
    pub most: Duration,
    /// Tries after which a notice is given up.
    pub tries: u32,
}

impl Default for Pace {
    fn default() -> Self {
        Self { first: NOTICE_WAIT_FIRST, most: NOTICE_WAIT_MAX, tries: NOTICE_TRIES_MAX }
    }
}

/// Why notices can't be sent.
#[derive(Debug, thiserror::Error)]
pub enum NoticeError {
    /// A file of a webhook can't be read.
    #[error("webhook {name}: read {path:?}")]
    File {
        /// The webhook.
        name: String,
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// A file of a webhook is empty, or not what it should be.
    #[error("webhook {name}: {path:?} holds no {expected}")]
    Content {
        /// The webhook.
        name: String,
        /// The file.
        path: PathBuf,
        /// What should be in it.
        expected: &'static str,
    },
    /// The host has no roots that the webhook's certificate could end in.
    #[error("webhook {name}: this host has no root certificates; install them, or set ca_file")]
    NoRoots {
        /// The webhook.
        name: String,
    },
    /// TLS can't be set up.
    #[error("webhook {name}: set up TLS")]
    Tls {
        /// The webhook.
        name: String,
        /// What rustls said.
        source: rustls::Error,
    },
}

/// The tasks that tell.
#[derive(Debug)]
pub struct Notices {
    stop: watch::Sender<bool>,
    tasks: std::sync::Mutex<Vec<JoinHandle<()>>>,
}

impl Notices {
    /// Starts a task for each webhook and one for the log. To be called inside a tokio runtime.
    ///
    /// # Errors
    /// If a webhook's files can't be read.
    pub fn start(options: NoticeOptions) -> Result<Self, NoticeError> {
        let NoticeOptions { webhooks, board, registry, log, pace, metrics } = options;
        let (stop, stopped) = watch::channel(false);
        let mut destinations = vec![(LOG.to_owned(), Destination::Log)];
        for webhook in webhooks {
            let poster = Poster::new(&webhook)?;
            destinations.push((webhook.name, Destination::Webhook(Arc::new(poster))));
        }
        let tasks = destinations.into_iter().map(|(name, destination)| {
            let task = Task {
                name,
                destination,
                board: board.clone(),
                registry: registry.clone(),
                log,
                pace,
                metrics: metrics.clone(),
                stopped: stopped.clone(),
            };
            tokio::spawn(task.run())
        });
        let tasks = std::sync::Mutex::new(tasks.collect());
        Ok(Self { stop, tasks })
    }

    /// Stops all tasks. What is under way is told again after the next start.
    pub async fn stop(&self) {
        self.stop.send_replace(true);
        let tasks = {
            let mut tasks = self.tasks.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            std::mem::take(&mut *tasks)
        };
        for task in tasks {
            // It ends with the runtime if that ends first.
            drop(task.await);
        }
    }
}

/// What the destination is called that is our own log; no webhook may be.
pub const LOG: &str = "log";

#[cfg(test)]
mod tests;
