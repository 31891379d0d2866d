//! Who is connected: one session per device, the newest one.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use headwater_protocol::identity::DeviceId;
use headwater_protocol::wire::CloseCode;
use quinn::Connection;

use super::clone::Question;
use crate::clock::wall_us;
use crate::metrics::IntakeMetrics;

/// A session, as it is shown.
#[derive(Clone, Debug)]
pub struct SessionSeen {
    /// Where the device is.
    pub address: SocketAddr,
    /// When the session began, microseconds since 1970 UTC.
    pub since_us: i64,
    /// Round trip time.
    pub rtt: Duration,
    /// The agent's build, from a stranger.
    pub build: String,
    /// Whether its device opened too many epochs within a day.
    pub unstable: bool,
}

/// A session that has been welcomed.
#[derive(Debug)]
pub(super) struct Session {
    connection: Connection,
    /// The number of the agent's process.
    process: u64,
    /// Asks the process whether it is alive.
    question: Question,
    since_us: i64,
    build: String,
}

/// Who is connected.
///
/// Shared by the tasks of all sessions, and by whoever looks at devices or revokes one: each touch is a
/// look-up, and a message would let two sessions of one device begin before either is known.
#[derive(Clone, Debug)]
pub(super) struct Sessions {
    by_device: Arc<Mutex<BTreeMap<DeviceId, Session>>>,
    metrics: IntakeMetrics,
}

impl Sessions {
    pub(super) fn new(metrics: IntakeMetrics) -> Self {
        Self { by_device: Arc::default(), metrics }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<DeviceId, Session>> {
        self.by_device.lock().expect("nobody panics while holding the sessions")
    }

    /// A session begins. An older one of the same process ends: it came again by another way. One of
    /// another process is returned, still open: it may be of a second host.
    pub(super) fn begin(&self, device: DeviceId, session: Session) -> Option<Session> {
        let process = session.process;
        let older = self.lock().insert(device, session);
        self.metrics.sessions_opened.inc();
        match older {
            Some(older) if older.process == process => {
                let reason = b"a newer session of this device took over";
                older.connection.close((CloseCode::Replaced as u32).into(), reason);
                None
            }
            Some(older) => Some(older),
            None => {
                self.metrics.sessions.inc();
                None
            }
        }
    }

    /// A session has ended, whoever ended it.
    pub(super) fn end(&self, device: DeviceId, connection: &Connection) {
        let mut sessions = self.lock();
        let same = |it: &Session| it.connection.stable_id() == connection.stable_id();
        if sessions.get(&device).is_some_and(same) {
            sessions.remove(&device);
            self.metrics.sessions.dec();
        }
    }

    /// Closes a device's session.
    pub(super) fn close(&self, device: DeviceId, code: CloseCode, reason: &str) {
        if let Some(session) = self.lock().get(&device) {
            session.connection.close((code as u32).into(), reason.as_bytes());
        }
    }

    /// A device's session.
    pub(super) fn of(&self, device: DeviceId) -> Option<SessionSeen> {
        self.lock().get(&device).map(Session::seen)
    }

    /// All sessions, in order of devices.
    pub(super) fn all(&self) -> Vec<(DeviceId, SessionSeen)> {
        self.lock().iter().map(|(device, session)| (*device, session.seen())).collect()
    }
}

impl Session {
    pub(super) fn new(
        connection: Connection,
        process: u64,
        build: String,
        question: Question,
    ) -> Self {
        Self { connection, process, question, since_us: wall_us(), build }
    }

    /// Its connection, and the question that it has not been asked.
    pub(super) fn part(self) -> (Connection, Question) {
        (self.connection, self.question)
    }

    fn seen(&self) -> SessionSeen {
        SessionSeen {
            address: self.connection.remote_address(),
            since_us: self.since_us,
            rtt: self.connection.rtt(),
            build: self.build.clone(),
            unstable: false,
        }
    }
}
