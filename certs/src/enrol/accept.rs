//! What a device does with an answer: it believes nothing that its verifiers would refuse later.

use rustls_pki_types::{CertificateDer, UnixTime};

use super::message::Enrolment;
use crate::csr::DeviceKey;
use crate::identity::{Certificate, CertificateError, CredentialError, DeviceIdentity};
use crate::name::Pin;
use crate::tls;

impl Enrolment {
    /// Makes an identity of the answer, for the key that the request was made with.
    ///
    /// `pins` are those of the join token: the bundle must hold a root with one of them, and the
    /// chain must end in the bundle. `now` is the device's time or the node's, whichever is later.
    ///
    /// # Errors
    /// The answer contradicts itself, the token or the key. Nothing of it may be saved.
    pub fn into_identity(
        self,
        key: &DeviceKey,
        pins: &[Pin],
        now: UnixTime,
    ) -> Result<DeviceIdentity, AcceptError> {
        let certificates = |ders: Vec<super::message::Der>| -> Vec<CertificateDer<'static>> {
            ders.into_iter().map(CertificateDer::from).collect()
        };
        let (chain, bundle) = (certificates(self.chain), certificates(self.bundle));
        let mut pinned = false;
        for root in &bundle {
            let root = Certificate::read(root).map_err(|source| AcceptError::Root { source })?;
            pinned |= pins.contains(&root.pin);
        }
        if !pinned {
            return Err(AcceptError::NotPinned);
        }
        tls::verify_device(&chain, &bundle, &self.trust_domain, now)
            .map_err(|source| AcceptError::Chain { source })?;
        let identity = DeviceIdentity::new(chain, key, bundle)
            .map_err(|source| AcceptError::Identity { source })?;
        if identity.device() != self.device {
            return Err(AcceptError::OtherDevice);
        }
        Ok(identity)
    }
}

/// Why an answer to an enrolment is not accepted.
#[derive(Debug, thiserror::Error)]
pub enum AcceptError {
    /// A root cannot be read.
    #[error("accept enrolment: read root certificate")]
    Root {
        /// What is wrong with it.
        source: CertificateError,
    },
    /// The node answers roots that the join token does not know.
    #[error("accept enrolment: none of the roots has the key that the join token names")]
    NotPinned,
    /// No node would accept the certificate.
    #[error("accept enrolment: verify own certificate")]
    Chain {
        /// What [`explain`](crate::tls::explain) takes.
        source: rustls::Error,
    },
    /// The certificate belongs to another key, or is not that of a device.
    #[error("accept enrolment")]
    Identity {
        /// What does not fit.
        source: CredentialError,
    },
    /// The answer names one device and the certificate another.
    #[error("accept enrolment: the certificate is that of another device than the answer names")]
    OtherDevice,
}
