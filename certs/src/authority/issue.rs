//! Issuing: one leaf for one public key. The authority names its holder, whatever the request says.

use std::time::Duration;

use rcgen::{CertificateParams, Issuer, PublicKeyData};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use super::Authority;
use super::profile::{self, Validity};
use crate::files;
use crate::identity::csr::{CsrError, DeviceKey, KeyError, requested_key};
use crate::identity::{CredentialError, NodeIdentity, Serial};
use crate::name::{DeviceUuid, NodeId, SpiffeId};

/// A certificate that was issued, with what the audit needs to know of it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Issued {
    /// Certificates to present: the leaf, then the intermediate.
    pub chain: Vec<CertificateDer<'static>>,
    /// Number of the leaf, which revocation goes by.
    pub serial: Serial,
    /// Last second at which the leaf is valid.
    pub not_after: UnixTime,
}

impl Issued {
    /// Returns the chain as PEM, leaf first.
    #[must_use]
    pub fn chain_pem(&self) -> String {
        files::certificates_pem(self.chain.iter().map(AsRef::as_ref))
    }
}

impl Authority {
    /// Issues a certificate for the key in `csr_der` to a device, at enrolment and at each renewal.
    ///
    /// The leaf is valid from a few minutes before `now` until `validity` after it, or until the
    /// intermediate ends.
    ///
    /// # Errors
    /// The request is refused, for which its sender is to blame; or nothing can be issued any more.
    pub fn issue_device(
        &self,
        csr_der: &[u8],
        device: DeviceUuid,
        validity: Duration,
        now: UnixTime,
    ) -> Result<Issued, IssueError> {
        let key = requested_key(csr_der).map_err(|source| IssueError::Csr { source })?;
        let id = SpiffeId::Device { trust_domain: self.trust_domain.clone(), device };
        let (params, serial) = self.leaf(&id, validity, now)?;
        self.sign(&params, serial, &key)
    }

    /// Makes a key for a node and issues its certificate, which serves devices and connects to
    /// other nodes.
    ///
    /// `hosts` are the names and addresses that it is reached at, for clients that check them;
    /// agents do not.
    ///
    /// # Errors
    /// A host cannot stand in a certificate, or nothing can be issued any more.
    pub fn issue_node(
        &self,
        node: &NodeId,
        hosts: &[ServerName<'_>],
        validity: Duration,
        now: UnixTime,
    ) -> Result<NodeIdentity, IssueError> {
        let key = DeviceKey::generate().map_err(|source| IssueError::Key { source })?;
        let id = SpiffeId::Node { trust_domain: self.trust_domain.clone(), node: node.clone() };
        let (mut params, serial) = self.leaf(&id, validity, now)?;
        for (position, name) in hosts.iter().enumerate() {
            let name = profile::host(name).ok_or(IssueError::Host { position })?;
            params.subject_alt_names.push(name);
        }
        let issued = self.sign(&params, serial, key.pair())?;
        NodeIdentity::new(issued.chain, &key, self.bundle())
            .map_err(|source| IssueError::Assemble { source })
    }

    fn leaf(
        &self,
        id: &SpiffeId,
        length: Duration,
        now: UnixTime,
    ) -> Result<(CertificateParams, Serial), IssueError> {
        if now >= self.issuing_not_after {
            let ago = now.as_secs() - self.issuing_not_after.as_secs();
            return Err(IssueError::AuthorityExpired { ago: Duration::from_secs(ago) });
        }
        let serial = Serial::random().map_err(|source| IssueError::Random { source })?;
        let validity = Validity::starting(now, length, self.issuing_not_after);
        Ok((profile::leaf(id, serial, validity), serial))
    }

    fn sign(
        &self,
        params: &CertificateParams,
        serial: Serial,
        key: &impl PublicKeyData,
    ) -> Result<Issued, IssueError> {
        let issuer = Issuer::from_ca_cert_der(&self.issuing, &self.issuing_key)
            .map_err(|source| IssueError::Sign { source })?;
        let leaf = params.signed_by(key, &issuer).map_err(|source| IssueError::Sign { source })?;
        let not_after = u64::try_from(params.not_after.unix_timestamp()).unwrap_or_default();
        Ok(Issued {
            chain: vec![leaf.into(), self.issuing.clone()],
            serial,
            not_after: UnixTime::since_unix_epoch(Duration::from_secs(not_after)),
        })
    }
}

/// Why no certificate was issued.
#[derive(Debug, thiserror::Error)]
pub enum IssueError {
    /// The request is unusable. Its sender is to blame.
    #[error("issue certificate")]
    Csr {
        /// What is wrong with it.
        source: CsrError,
    },
    /// The intermediate has ended. An operator has to replace it with the root's key.
    #[error("issue certificate: the issuing certificate expired {} s ago", ago.as_secs())]
    AuthorityExpired {
        /// How long ago.
        ago: Duration,
    },
    /// The operating system has no randomness to give.
    #[error("issue certificate: draw serial")]
    Random {
        /// What it said.
        source: getrandom::Error,
    },
    /// No key could be made for the node.
    #[error("issue certificate")]
    Key {
        /// What failed.
        source: KeyError,
    },
    /// A host name that cannot stand in a certificate.
    #[error("issue certificate: host {position} is neither a DNS name nor an address")]
    Host {
        /// Its position in the list, from 0.
        position: usize,
    },
    /// Signing failed, which has no cause outside this program and its key file.
    #[error("issue certificate: sign")]
    Sign {
        /// What failed.
        source: rcgen::Error,
    },
    /// The identity of a node could not be put together.
    #[error("issue certificate")]
    Assemble {
        /// What does not fit.
        source: CredentialError,
    },
}

/// Validity of a device's certificate unless configured otherwise. It is renewed at two thirds, so
/// a device may be offline for 10 days without noticing. Source: SECURITY.md, section 4.
pub const DEVICE_VALIDITY: Duration = Duration::from_secs(30 * 86_400);

/// Validity of a node's certificate. Source: SECURITY.md, section 4.
pub const NODE_VALIDITY: Duration = Duration::from_secs(7 * 86_400);

/// How long before its issue a certificate becomes valid, so that a device whose clock is behind
/// can use it at once. Clocks that are kept by NTP are within seconds; 5 min is what Kerberos
/// allows for those that are not.
pub const VALIDITY_BACKDATED: Duration = Duration::from_secs(300);
