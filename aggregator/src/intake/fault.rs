//! What a peer did wrong, and what it is told.

use headwater_protocol::codec::DecodeError;
use headwater_protocol::identity::{DeviceId, Lane};
use headwater_protocol::wire::CloseCode;

/// What a peer did wrong: its session is closed, it is counted, and nobody else is touched.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub(super) enum PeerFault {
    /// A frame that is malformed or above its limit.
    #[error("read a frame: {0}")]
    Malformed(DecodeError),
    /// The stream ended within a frame.
    #[error("read a frame: the stream ended within it")]
    Cut,
    /// A frame that has no place here.
    #[error("{found} came where {expected} was expected")]
    Unexpected { found: &'static str, expected: &'static str },
    /// A frame of another lane than its stream's.
    #[error("a frame of the {found} lane came on the stream of the {expected} lane")]
    OtherLane { expected: Lane, found: Lane },
    /// A second stream for a lane.
    #[error("the {0} lane has a stream already, which did not end within 5 s")]
    LaneTwice(Lane),
    /// A batch in another device's name.
    #[error("a batch names device {claimed}, the certificate says {certified}")]
    Identity { certified: DeviceId, claimed: DeviceId },
    /// No common version.
    #[error("agree on a protocol version: {0}; update the older side")]
    Version(DecodeError),
    /// It said nothing.
    #[error("no {0} within 5 s")]
    Silent(&'static str),
    /// It is not served.
    #[error("{0}")]
    NotServed(&'static str),
    /// Another live host uses the same identity.
    #[error(
        "two running hosts use this device's identity; on the copy: headwater-agent enrol --force; then here: headwater devices restore NAME"
    )]
    Cloned,
    /// Its certificate does not say who it is.
    #[error("its certificate names no device")]
    Nameless,
}

impl PeerFault {
    /// What the session is closed with.
    pub(super) fn close_code(&self) -> CloseCode {
        match self {
            Self::Malformed(DecodeError::Version { .. }) | Self::Version(_) => CloseCode::Version,
            Self::Malformed(_)
            | Self::Cut
            | Self::Unexpected { .. }
            | Self::OtherLane { .. }
            | Self::LaneTwice(_)
            | Self::Silent(_) => CloseCode::Protocol,
            Self::Identity { .. } | Self::Nameless => CloseCode::Identity,
            Self::NotServed(_) => CloseCode::Revoked,
            Self::Cloned => CloseCode::Cloned,
        }
    }

    /// One word for its label.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Malformed(DecodeError::Version { .. }) | Self::Version(_) => "version",
            Self::Malformed(_) | Self::Cut => "malformed",
            Self::Unexpected { .. } | Self::OtherLane { .. } | Self::LaneTwice(_) => "unexpected",
            Self::Identity { .. } | Self::Nameless => "identity",
            Self::Silent(_) => "silent",
            Self::NotServed(_) => "not-served",
            Self::Cloned => "cloned",
        }
    }
}

/// How a stream or a session ended before its time.
#[derive(Debug)]
pub(super) enum End {
    /// The peer is to blame.
    Fault(PeerFault),
    /// The connection is gone: the network, the peer or this side ended it.
    Gone,
}

impl From<PeerFault> for End {
    fn from(fault: PeerFault) -> Self {
        Self::Fault(fault)
    }
}
