//! Why a session ended or did not come about, what a person can do, and how soon to try again.

use std::io;
use std::time::Duration;

use headwater_certs::identity::LoadError;
use headwater_certs::tls::{ConfigError, TrustFault, explain_received_alert, explain_sent_alert};
use headwater_protocol::codec::DecodeError;
use headwater_protocol::wire::CloseCode;
use quinn::ConnectionError;

use super::backoff::Patience;
use crate::clock::minute;
use crate::config::Budget;
use crate::spool::{DatabaseError, SpoolClosed};

/// Why a session ended or did not come about. Nothing of the spool is lost by it.
#[derive(Debug, thiserror::Error)]
pub enum SessionFault {
    /// No address is configured, and none came from enrolment.
    #[error("find an aggregator: there is no address; set ship.addresses, or enrol again")]
    NoAddress,
    /// There is no identity, or it can't be read.
    #[error("read the identity; if this host was never enrolled: headwater-agent enrol")]
    Identity(#[source] LoadError),
    /// The name of an aggregator was not resolved.
    #[error("resolve the address")]
    Resolve(#[source] io::Error),
    /// No local socket could be opened.
    #[error("open a UDP socket")]
    Socket(#[source] io::Error),
    /// The identity cannot be used for TLS.
    #[error("use the identity")]
    Tls(#[source] ConfigError),
    /// The connection cannot be begun.
    #[error("begin a connection")]
    Connect(#[source] quinn::ConnectError),
    /// Nobody answered.
    #[error("connect: no answer within {} s; is the aggregator up, and UDP open on the way? headwater-agent doctor finds out", .0.as_secs())]
    Unanswered(Duration),
    /// The two sides do not trust each other.
    #[error("{fault}{}", detail(reason))]
    Trust {
        /// Why.
        fault: TrustFault,
        /// What TLS said.
        reason: Box<str>,
    },
    /// The node closed the session.
    #[error("{}{}", closing(*code), detail(reason))]
    Closed {
        /// Why.
        code: CloseCode,
        /// What it said.
        reason: Box<str>,
    },
    /// The node closed the session for a reason that this build does not know.
    #[error(
        "closed by the aggregator with code {code}{}; this agent may be too old",
        detail(reason)
    )]
    ClosedOtherwise {
        /// The code.
        code: u64,
        /// What it said.
        reason: Box<str>,
    },
    /// The connection broke.
    #[error("keep the connection")]
    Lost(#[source] ConnectionError),
    /// The aggregator owes an answer and gives none.
    #[error("wait for an answer: the aggregator has gone silent")]
    Silent,
    /// The aggregator ended a stream that lives as long as the session.
    #[error("read from the aggregator: it ended a stream")]
    StreamEnded,
    /// The aggregator chose a version that it was not offered.
    #[error("agree on a protocol version: the aggregator chose {0}")]
    Version(u16),
    /// A frame that can't be read.
    #[error("read a frame of the aggregator")]
    Frame(#[source] DecodeError),
    /// A frame that has no place here.
    #[error("read a frame of the aggregator: {0} has no place here")]
    Unexpected(&'static str),
    /// The budget of bytes is used up.
    #[error(
        "the budget of {budget} is used up: what is read waits in the spool until {}",
        minute(*renews_s)
    )]
    Spent {
        /// The budget.
        budget: Budget,
        /// When it renews: seconds since 1970 UTC.
        renews_s: i64,
    },
    /// The spool has ended: so does the process.
    #[error("ask the spool")]
    Spool(#[source] SpoolClosed),
    /// A row can't be read: the process ends.
    #[error("read the spool")]
    Row(#[source] DatabaseError),
}

impl SessionFault {
    /// What a broken connection says.
    pub(super) fn of(error: ConnectionError) -> Self {
        match error {
            ConnectionError::TransportError(fault) => {
                match (alert(u64::from(fault.code)), fault.reason.as_str()) {
                    (Some(alert), reason) => {
                        Self::trust(explain_sent_alert(alert), reason.as_bytes())
                    }
                    (None, _) => Self::Lost(ConnectionError::TransportError(fault)),
                }
            }
            ConnectionError::ConnectionClosed(close) => match alert(u64::from(close.error_code)) {
                Some(alert) => Self::trust(explain_received_alert(alert), &close.reason),
                None => Self::Lost(ConnectionError::ConnectionClosed(close)),
            },
            ConnectionError::ApplicationClosed(close) => {
                let (number, reason) = (close.error_code.into_inner(), printable(&close.reason));
                match CloseCode::from_number(number) {
                    Some(code) => Self::Closed { code, reason },
                    None => Self::ClosedOtherwise { code: number, reason },
                }
            }
            error => Self::Lost(error),
        }
    }

    fn trust(fault: TrustFault, reason: &[u8]) -> Self {
        Self::Trust { fault, reason: printable(reason) }
    }

    /// Whether trying again is hopeful.
    pub(super) fn patience(&self) -> Patience {
        match self {
            Self::Trust { .. }
            | Self::NoAddress
            | Self::Identity(_)
            | Self::Tls(_)
            | Self::Version(_)
            | Self::Spent { .. }
            | Self::ClosedOtherwise { .. } => Patience::Long,
            Self::Closed { code, .. } => match code {
                CloseCode::Stopping | CloseCode::Replaced | CloseCode::Limit => Patience::Usual,
                CloseCode::Protocol
                | CloseCode::Version
                | CloseCode::Identity
                | CloseCode::Revoked
                | CloseCode::Cloned => Patience::Long,
            },
            Self::Resolve(_)
            | Self::Socket(_)
            | Self::Connect(_)
            | Self::Unanswered(_)
            | Self::Lost(_)
            | Self::Silent
            | Self::StreamEnded
            | Self::Frame(_)
            | Self::Unexpected(_)
            | Self::Spool(_)
            | Self::Row(_) => Patience::Usual,
        }
    }

    /// Whether the process has to end: the spool did.
    pub(super) fn is_fatal(&self) -> bool {
        matches!(self, Self::Spool(_) | Self::Row(_))
    }
}

/// QUIC hands a TLS alert on as an error of 0x100 plus its number.
fn alert(code: u64) -> Option<u8> {
    u8::try_from(code.checked_sub(0x100)?).ok()
}

fn closing(code: CloseCode) -> &'static str {
    match code {
        CloseCode::Stopping => "closed by the aggregator: it is stopping",
        CloseCode::Protocol => {
            "closed by the aggregator: it did not understand this agent; compare the versions of both"
        }
        CloseCode::Version => {
            "closed by the aggregator: no protocol version that both speak; upgrade the older side"
        }
        CloseCode::Identity => {
            "closed by the aggregator: the spool belongs to another device than the certificate; enrol again"
        }
        CloseCode::Replaced => {
            "closed by the aggregator: another session of this device took over; if no second host uses this identity, nothing is wrong"
        }
        CloseCode::Revoked => {
            "closed by the aggregator: this device's certificate was revoked; enrol again with a fresh token"
        }
        CloseCode::Limit => "closed by the aggregator: it has too many sessions",
        CloseCode::Cloned => {
            "closed by the aggregator: two running hosts use this identity; on the copy: headwater-agent enrol --force, with a fresh token; then, on the aggregator: headwater devices restore NAME"
        }
    }
}

fn detail(reason: &str) -> String {
    if reason.is_empty() { String::new() } else { format!(" ({reason})") }
}

/// A stranger's text with its control characters made visible, cut where nobody reads on.
fn printable(text: &[u8]) -> Box<str> {
    let text = String::from_utf8_lossy(&text[..text.len().min(200)]);
    text.escape_debug().to_string().into_boxed_str()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_needs_a_person_waits_longer() {
        let revoked = SessionFault::Closed { code: CloseCode::Revoked, reason: "".into() };
        assert_eq!(revoked.patience(), Patience::Long);
        assert!(revoked.to_string().contains("enrol again"), "the next step is in the message");
        let stopping = SessionFault::Closed { code: CloseCode::Stopping, reason: "".into() };
        assert_eq!(stopping.patience(), Patience::Usual);
        let silent = SessionFault::of(ConnectionError::TimedOut);
        assert!(matches!(silent, SessionFault::Lost(_)) && silent.patience() == Patience::Usual);
    }

    #[test]
    fn a_strangers_text_cannot_forge_a_line() {
        let reason = printable(b"fine\nERROR all lost\x1b[31m");
        assert!(!reason.contains('\n') && !reason.contains('\x1b'), "{reason}");
    }
}
