//! Why a handshake failed, in terms that a person can act on.

use std::time::Duration;

use rustls::{AlertDescription, CertificateError, Error};

use super::pinned::PinFault;
use crate::identity::PeerError;
use crate::name::Role;

/// Why two sides do not trust each other.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum TrustFault {
    /// The peer's certificate has ended.
    #[error(
        "verify peer: its certificate expired {} s ago; check the clocks of both hosts, then renew it",
        ago.as_secs()
    )]
    Expired {
        /// How long ago, by our clock. Zero if that is not known.
        ago: Duration,
    },
    /// The peer's certificate has not begun.
    #[error(
        "verify peer: its certificate becomes valid in {} s; check the clocks of both hosts",
        ahead.as_secs()
    )]
    NotYetValid {
        /// In which time, by our clock. Zero if that is not known.
        ahead: Duration,
    },
    /// The peer's certificate has ended or not begun; the alert does not tell which.
    #[error(
        "verify peer: its certificate is not valid at this time; check the clocks of both hosts"
    )]
    OutsideValidity,
    /// The peer's chain ends in a root that is not ours.
    #[error(
        "verify peer: its certificate comes from another authority; was it enrolled elsewhere?"
    )]
    OtherAuthority,
    /// A signature in the chain or in the handshake is wrong.
    #[error("verify peer: a signature in its chain or handshake is wrong")]
    BadSignature,
    /// A device where a node is due, or the reverse.
    #[error("verify peer: its certificate is that of a {presented}, expected a {expected}")]
    WrongRole {
        /// What the connection is for.
        expected: Role,
        /// What the certificate says.
        presented: Role,
    },
    /// The certificate may not be used for this side of a connection, as that of a device may not
    /// serve.
    #[error("verify peer: its certificate does not allow this side of a connection")]
    WrongPurpose,
    /// The certificate does not say, in one URI, who its holder is.
    #[error("verify peer: its certificate does not name a device or a node")]
    NoIdentity,
    /// The peer belongs to another trust domain under the same root.
    #[error("verify peer: it belongs to another trust domain")]
    OtherTrustDomain,
    /// The server is not the one of the join token.
    #[error(
        "verify server: it does not hold the key that the join token names; somebody may be in between, or the authority was replaced since"
    )]
    PinMismatch,
    /// The peer's certificate was revoked.
    #[error("verify peer: its certificate was revoked")]
    Revoked,
    /// The peer showed no certificate.
    #[error("verify peer: it showed no certificate")]
    Missing,
    /// The peer's certificate is malformed or unacceptable in some other way.
    #[error("verify peer: its certificate is malformed or not acceptable")]
    Unacceptable,
    /// The two sides speak different protocols, for instance because the port is that of another
    /// one.
    #[error(
        "agree with peer on a protocol: there is none in common; check the port and the versions"
    )]
    NoCommonProtocol,
    /// The peer refused us.
    #[error("be accepted by peer: {verdict}")]
    Refused {
        /// What it says of our certificate.
        verdict: PeerVerdict,
    },
    /// Nothing about trust; the [`rustls::Error`] itself says more.
    #[error("complete handshake")]
    Other,
}

/// What the peer's alert says of our certificate.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum PeerVerdict {
    /// It has ended or not begun, by the peer's clock.
    OutsideValidity,
    /// It comes from an authority that the peer does not know.
    OtherAuthority,
    /// It was revoked.
    Revoked,
    /// It does not allow this side of a connection.
    WrongPurpose,
    /// The peer wants one and got none.
    Missing,
    /// A signature is wrong.
    BadSignature,
    /// It has the wrong role or trust domain, or is not acceptable in some other way.
    Unacceptable,
}

impl std::fmt::Display for PeerVerdict {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::OutsideValidity => {
                "it says that our certificate is not valid at this time; check the clocks of both hosts, then renew or enrol again"
            }
            Self::OtherAuthority => {
                "it does not know the authority of our certificate; enrol again"
            }
            Self::Revoked => "it says that our certificate was revoked; enrol again",
            Self::WrongPurpose => {
                "it says that our certificate does not allow this side of a connection"
            }
            Self::Missing => "it wants a certificate and we showed none; enrol first",
            Self::BadSignature => "it says that a signature of ours is wrong",
            Self::Unacceptable => {
                "it does not accept our certificate; check role and trust domain"
            }
        })
    }
}

/// Says why a handshake failed, from the error of either side.
#[must_use]
pub fn explain(error: &Error) -> TrustFault {
    match error {
        Error::InvalidCertificate(reason) => explain_certificate(reason),
        Error::NoCertificatesPresented => TrustFault::Missing,
        Error::NoApplicationProtocol => TrustFault::NoCommonProtocol,
        Error::AlertReceived(alert) => explain_received_alert(u8::from(*alert)),
        _ => TrustFault::Other,
    }
}

fn explain_certificate(reason: &CertificateError) -> TrustFault {
    let between = |later: u64, earlier: u64| Duration::from_secs(later.saturating_sub(earlier));
    match reason {
        CertificateError::ExpiredContext { time, not_after } => {
            TrustFault::Expired { ago: between(time.as_secs(), not_after.as_secs()) }
        }
        CertificateError::Expired => TrustFault::Expired { ago: Duration::ZERO },
        CertificateError::NotValidYetContext { time, not_before } => {
            TrustFault::NotYetValid { ahead: between(not_before.as_secs(), time.as_secs()) }
        }
        CertificateError::NotValidYet => TrustFault::NotYetValid { ahead: Duration::ZERO },
        CertificateError::UnknownIssuer => TrustFault::OtherAuthority,
        CertificateError::BadSignature => TrustFault::BadSignature,
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            TrustFault::WrongPurpose
        }
        CertificateError::Revoked => TrustFault::Revoked,
        CertificateError::Other(other) => {
            if other.0.is::<PinFault>() {
                TrustFault::PinMismatch
            } else {
                other.0.downcast_ref().map_or(TrustFault::Unacceptable, explain_peer)
            }
        }
        _ => TrustFault::Unacceptable,
    }
}

fn explain_peer(reason: &PeerError) -> TrustFault {
    match reason {
        PeerError::Missing => TrustFault::Missing,
        PeerError::Malformed { .. } => TrustFault::Unacceptable,
        PeerError::Names { .. } | PeerError::Name { .. } => TrustFault::NoIdentity,
        PeerError::WrongRole { expected, presented } => {
            TrustFault::WrongRole { expected: *expected, presented: *presented }
        }
        PeerError::OtherTrustDomain { .. } => TrustFault::OtherTrustDomain,
    }
}

/// Says what an alert of the peer means, by its number. QUIC hands it on as a connection error of
/// 0x100 plus the number.
#[must_use]
pub fn explain_received_alert(alert: u8) -> TrustFault {
    let verdict = match AlertDescription::from(alert) {
        AlertDescription::NoApplicationProtocol => return TrustFault::NoCommonProtocol,
        AlertDescription::CertificateExpired => PeerVerdict::OutsideValidity,
        AlertDescription::UnknownCA => PeerVerdict::OtherAuthority,
        AlertDescription::CertificateRevoked => PeerVerdict::Revoked,
        AlertDescription::UnsupportedCertificate => PeerVerdict::WrongPurpose,
        AlertDescription::CertificateRequired => PeerVerdict::Missing,
        AlertDescription::DecryptError => PeerVerdict::BadSignature,
        AlertDescription::CertificateUnknown
        | AlertDescription::BadCertificate
        | AlertDescription::AccessDenied => PeerVerdict::Unacceptable,
        _ => return TrustFault::Other,
    };
    TrustFault::Refused { verdict }
}

/// Says what an alert of ours means, by its number. QUIC libraries keep it, and the error's text,
/// where TLS over TCP keeps the [`rustls::Error`]; the text says more.
#[must_use]
pub fn explain_sent_alert(alert: u8) -> TrustFault {
    match explain_received_alert(alert) {
        TrustFault::Refused { verdict } => match verdict {
            PeerVerdict::OutsideValidity => TrustFault::OutsideValidity,
            PeerVerdict::OtherAuthority => TrustFault::OtherAuthority,
            PeerVerdict::Revoked => TrustFault::Revoked,
            PeerVerdict::WrongPurpose => TrustFault::WrongPurpose,
            PeerVerdict::Missing => TrustFault::Missing,
            PeerVerdict::BadSignature => TrustFault::BadSignature,
            PeerVerdict::Unacceptable => TrustFault::Unacceptable,
        },
        fault => fault,
    }
}
