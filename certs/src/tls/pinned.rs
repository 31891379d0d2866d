//! The verifier of enrolment: all that the device knows is the hash of the root's public key.

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls13_signature};
use rustls::{
    CertificateError, DigitallySignedStruct, Error, PeerIncompatible, RootCertStore,
    SignatureScheme,
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use super::role::{refusal, require_role, verify_server_chain};
use crate::identity::Certificate;
use crate::name::{Pin, Role};

/// Accepts a server that is a node, and whose chain ends in a pinned root that it shows.
#[derive(Debug)]
pub(super) struct PinnedVerifier {
    pins: Vec<Pin>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl PinnedVerifier {
    pub(super) const fn new(pins: Vec<Pin>, algorithms: WebPkiSupportedAlgorithms) -> Self {
        Self { pins, algorithms }
    }

    /// Returns the first certificate above the leaf whose key is pinned. A certificate around a
    /// pinned key may be forged, but what matters is the key: the chain is then verified with it.
    fn pinned_root<'a, 'b>(
        &self,
        shown: &'a [CertificateDer<'b>],
    ) -> Result<(&'a CertificateDer<'b>, Certificate), Error> {
        for der in shown {
            let certificate = Certificate::read(der).map_err(refusal)?;
            if self.pins.contains(&certificate.pin) {
                return Ok((der, certificate));
            }
        }
        Err(refusal(PinFault { shown: shown.len() }))
    }
}

impl ServerCertVerifier for PinnedVerifier {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _host: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let (root, certificate) = self.pinned_root(intermediates)?;
        if now > certificate.not_after {
            let not_after = certificate.not_after;
            return Err(CertificateError::ExpiredContext { time: now, not_after }.into());
        }
        if now < certificate.not_before {
            let not_before = certificate.not_before;
            return Err(CertificateError::NotValidYetContext { time: now, not_before }.into());
        }
        let mut roots = RootCertStore::empty();
        roots.add(root.clone().into_owned())?;
        verify_server_chain((leaf, intermediates), &roots, now, &self.algorithms)?;
        // The trust domain is not known before enrolment; it is whatever the pinned root has
        // signed.
        require_role(leaf, Role::Node, None).map_err(refusal)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _leaf: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(PeerIncompatible::Tls12NotOfferedOrEnabled.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, leaf, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// The server does not belong to the authority of the join token. Somebody is in the middle, or the
/// authority was replaced since the token was made.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error(
    "verify server: none of the {shown} certificates above its own has the key that the join token names"
)]
pub struct PinFault {
    /// How many certificates the server showed above its own.
    pub shown: usize,
}
