//! Who a peer is, from the certificate it presented in a handshake that has succeeded.

use std::time::Duration;

use rustls_pki_types::{CertificateDer, UnixTime};

use super::certificate::{Certificate, CertificateError, Serial};
use crate::name::{DeviceUuid, NodeId, Role, SpiffeId, SpiffeIdError, TrustDomain};

/// A device, as its certificate names it. Nothing that a frame says of its sender is believed over
/// this.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PeerDevice {
    /// Realm of its authority.
    pub trust_domain: TrustDomain,
    /// Its name.
    pub device: DeviceUuid,
    /// Number of the certificate, which revocation goes by.
    pub serial: Serial,
    /// Last second at which the certificate is valid.
    pub not_after: UnixTime,
}

impl PeerDevice {
    /// Says what the device may do at `now`.
    #[must_use]
    pub fn standing(&self, now: UnixTime) -> Standing {
        if now <= self.not_after { Standing::Current } else { Standing::RenewOnly }
    }

    /// Returns how long the certificate stays valid, zero once it has expired.
    #[must_use]
    pub fn remaining(&self, now: UnixTime) -> Duration {
        Duration::from_secs(self.not_after.as_secs().saturating_sub(now.as_secs()))
    }
}

/// What a device may do with the certificate it presented.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Standing {
    /// Everything a device may do.
    Current,
    /// Renew its certificate and nothing else: it has expired.
    RenewOnly,
}

/// A node, as its certificate names it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PeerNode {
    /// Realm of its authority.
    pub trust_domain: TrustDomain,
    /// Its name.
    pub node: NodeId,
    /// Number of the certificate, which revocation goes by.
    pub serial: Serial,
    /// Last second at which the certificate is valid.
    pub not_after: UnixTime,
}

/// Returns the device that presented `chain` (leaf first), as `peer_certificates()` of a connection
/// gives it.
///
/// It reads and does not verify: the handshake has done that.
///
/// # Errors
/// There is no certificate, or it does not name exactly one device.
pub fn peer_device(chain: &[CertificateDer<'_>]) -> Result<PeerDevice, PeerError> {
    let (certificate, id) = identify(chain)?;
    match id {
        SpiffeId::Device { trust_domain, device } => Ok(PeerDevice {
            trust_domain,
            device,
            serial: certificate.serial,
            not_after: certificate.not_after,
        }),
        SpiffeId::Node { .. } => {
            Err(PeerError::WrongRole { expected: Role::Device, presented: Role::Node })
        }
    }
}

/// Returns the node that presented `chain` (leaf first), as `peer_certificates()` of a connection
/// gives it.
///
/// It reads and does not verify: the handshake has done that.
///
/// # Errors
/// There is no certificate, or it does not name exactly one node.
pub fn peer_node(chain: &[CertificateDer<'_>]) -> Result<PeerNode, PeerError> {
    let (certificate, id) = identify(chain)?;
    match id {
        SpiffeId::Node { trust_domain, node } => Ok(PeerNode {
            trust_domain,
            node,
            serial: certificate.serial,
            not_after: certificate.not_after,
        }),
        SpiffeId::Device { .. } => {
            Err(PeerError::WrongRole { expected: Role::Node, presented: Role::Device })
        }
    }
}

/// Reads leaf and name of whoever presented `chain`.
pub(crate) fn identify(chain: &[CertificateDer<'_>]) -> Result<(Certificate, SpiffeId), PeerError> {
    let leaf = chain.first().ok_or(PeerError::Missing)?;
    let certificate = Certificate::read(leaf).map_err(|source| PeerError::Malformed { source })?;
    let [uri] = certificate.uris.as_slice() else {
        return Err(PeerError::Names { count: certificate.uris.len() });
    };
    let id = uri.parse().map_err(|source| PeerError::Name { source })?;
    Ok((certificate, id))
}

/// Why a certificate does not say who its holder is, or says the wrong thing.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum PeerError {
    /// No certificate was presented.
    #[error("identify peer: it presented no certificate")]
    Missing,
    /// The leaf cannot be read.
    #[error("identify peer")]
    Malformed {
        /// What is wrong with it.
        source: CertificateError,
    },
    /// Not exactly one URI, so the role is not clear.
    #[error("identify peer: its certificate carries {count} URIs, expected exactly one identity")]
    Names {
        /// How many there are.
        count: usize,
    },
    /// The URI is none of ours.
    #[error("identify peer")]
    Name {
        /// What is wrong with it.
        source: SpiffeIdError,
    },
    /// A valid certificate of the other role.
    #[error("identify peer: its certificate is that of a {presented}, expected a {expected}")]
    WrongRole {
        /// What the connection is for.
        expected: Role,
        /// What the certificate says.
        presented: Role,
    },
    /// A valid role in a realm that is not ours.
    #[error("identify peer: it belongs to trust domain {presented}, expected {expected}")]
    OtherTrustDomain {
        /// Our realm.
        expected: TrustDomain,
        /// The realm in the certificate.
        presented: TrustDomain,
    },
}
