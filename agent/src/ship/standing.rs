//! How the ship stage stands, for people.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use quinn::Connection;
use serde::{Deserialize, Serialize};

use super::budget::BudgetStanding;

/// How the ship stage stands.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct Standing {
    /// What it does.
    pub link: Link,
    /// Why the last try or session ended; `None` if none did since the start.
    pub fault: Option<String>,
    /// Tries since the last session; 0 in a session.
    pub tries: u32,
    /// When the certificate ends: seconds since 1970 UTC; 0 before it was read.
    pub certificate_ends_s: u64,
    /// Why a lane sends nothing although there is a session; `None` if both may.
    pub lane_paused: Option<String>,
    /// The budget of bytes; `None` without one.
    #[serde(default)]
    pub budget: Option<BudgetStanding>,
}

/// What the ship stage does.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Link {
    /// It tries to connect.
    #[default]
    Connecting,
    /// It waits before the next try.
    Waiting {
        /// How long, from the last change on, in milliseconds.
        pause_ms: u64,
    },
    /// It has a session.
    Connected(Connected),
}

/// A session.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Connected {
    /// The address as it was configured.
    pub address: String,
    /// What it was resolved to.
    pub peer: String,
    /// The node's name, as it gives it.
    pub node: String,
    /// The node's build, as it gives it.
    pub build: String,
    /// When the session began: microseconds since 1970 UTC.
    pub since_us: i64,
    /// Round trip, in microseconds.
    pub rtt_us: u64,
    /// Packets that were lost.
    pub lost_packets: u64,
    /// Packets that were sent.
    pub sent_packets: u64,
    /// By how much the node's clock was ahead of this host's when the session began, in microseconds, a
    /// round trip more or less; `None` of an agent that does not tell.
    #[serde(default)]
    pub node_ahead_us: Option<i64>,
}

/// The path of the present session, for whoever asks how it is at this moment.
#[derive(Clone, Debug, Default)]
pub struct SessionPath(Arc<Mutex<Option<Connection>>>);

impl SessionPath {
    /// Takes the connection of a session, or that there is none.
    pub(super) fn set(&self, connection: Option<Connection>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = connection;
    }

    /// Brings the figures of the path up to date.
    pub fn measure(&self, standing: &mut Standing) {
        let connection = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let (Link::Connected(connected), Some(connection)) = (&mut standing.link, &*connection) {
            connected.measure(connection);
        }
    }
}

impl Connected {
    /// Takes the figures of the path as they are at this moment.
    pub(super) fn measure(&mut self, connection: &Connection) {
        let path = connection.stats().path;
        self.rtt_us = u64::try_from(path.rtt.as_micros()).unwrap_or(u64::MAX);
        self.lost_packets = path.lost_packets;
        self.sent_packets = path.sent_packets;
    }
}

impl Standing {
    /// Waiting for the next try.
    pub(super) fn wait(&mut self, pause: Duration, fault: String) {
        let pause_ms = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX);
        self.link = Link::Waiting { pause_ms };
        self.fault = Some(fault);
        self.tries += 1;
        self.lane_paused = None;
    }

    /// In a session.
    pub(super) fn connect(&mut self, connected: Connected) {
        self.link = Link::Connected(connected);
        self.tries = 0;
        self.lane_paused = None;
    }
}
