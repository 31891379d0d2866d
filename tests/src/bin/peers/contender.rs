//! Who is compared: a sender that reads the file, and the receiver that it sends to.

mod collector;
mod headwater;
mod launched;
mod otlp;
mod rsyslog;

use std::net::TcpListener;
use std::path::{Path, PathBuf};

use crate::tally::Tally;

/// A sender and its receiver, in a folder of their own. The sender reads [`feed_in`] that folder.
pub(crate) trait Contender {
    /// The configurations that it runs with.
    fn configurations(&self) -> Vec<Configuration>;
    /// Starts the receiver, which keeps what it has through all that follows.
    fn start_receiver(&mut self);
    /// Starts the sender and does not wait.
    fn start_sender(&mut self);
    /// Kills the sender (SIGKILL). Returns whether it ran until then.
    fn kill_sender(&mut self) -> bool;
    /// How much has been received: it grows as long as something arrives, in whatever unit.
    fn received(&self) -> u64;
    /// Stops the sender in an orderly way. Returns whether it did so in time.
    fn stop_sender(&mut self) -> bool;
    /// Stops the receiver and counts what it has. Returns what its own books say; `None` if it keeps none.
    fn finish(&mut self, tally: &mut Tally) -> Option<String>;
}

/// A configuration file, or a command line.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Configuration {
    /// Whose it is.
    pub(crate) of: &'static str,
    /// Its text. The run's folder stands in it as [`FOLDER`].
    pub(crate) text: String,
}

/// What stands for the folder of a run in what is printed.
const FOLDER: &str = "DIR";

impl Configuration {
    /// A text as it is on the disk of a run.
    fn new(of: &'static str, text: &str, folder: &Path) -> Self {
        let text = text.replace(&folder.display().to_string(), FOLDER);
        Self { of, text: text.trim_end().to_owned() }
    }
}

/// The programs, each with its configuration.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Kind {
    Headwater,
    Collector,
    /// The collector, with the documented switch against loss when it is killed.
    CollectorSynchronous,
    Rsyslog,
    /// rsyslog, with its queue's books written for each message.
    RsyslogCheckpoints,
}

impl Kind {
    pub(crate) const ALL: [Self; 5] = [
        Self::Headwater,
        Self::Collector,
        Self::CollectorSynchronous,
        Self::Rsyslog,
        Self::RsyslogCheckpoints,
    ];

    /// Its name for readers.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Headwater => "Headwater",
            Self::Collector => "OpenTelemetry Collector",
            Self::CollectorSynchronous => "OpenTelemetry Collector, synchronous emitter",
            Self::Rsyslog => "rsyslog, disk queue",
            Self::RsyslogCheckpoints => "rsyslog, disk queue, checkpoint each message",
        }
    }

    /// Sets it up in a folder. Nothing of it runs yet.
    pub(crate) fn set_up(self, folder: &Path, programs: &Path) -> Box<dyn Contender> {
        let is_thorough = matches!(self, Self::CollectorSynchronous | Self::RsyslogCheckpoints);
        match self {
            Self::Headwater => Box::new(headwater::Headwater::new(folder)),
            Self::Collector | Self::CollectorSynchronous => {
                Box::new(collector::Collector::new(folder, programs, is_thorough))
            }
            Self::Rsyslog | Self::RsyslogCheckpoints => {
                Box::new(rsyslog::Rsyslog::new(folder, programs, is_thorough))
            }
        }
    }
}

/// What each program says of its version.
pub(crate) fn versions(programs: &Path) -> Vec<String> {
    vec![headwater::version(), collector::version(programs), rsyslog::version(programs)]
}

/// The file that is written, in the folder of a run.
pub(crate) fn feed_in(folder: &Path) -> PathBuf {
    folder.join("in.log")
}

/// A port on loopback that nobody listens on. It is none that the kernel gives to clients: while the
/// receiver is away, a client that tries long enough would be given it and connect to itself.
fn free_port() -> u16 {
    let first = 20_000 + u16::try_from(std::process::id() % 5_000).expect("below 5000");
    let is_free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
    (first..30_000).find(is_free).expect("a free port between 20000 and 30000")
}
