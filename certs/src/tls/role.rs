//! Verifiers that ask for a role: a chain to our roots, the key usage for the side of the
//! connection, and the one URI.

use std::sync::Arc;
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, verify_tls13_signature};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ParsedCertificate, VerifierBuilderError, WebPkiClientVerifier};
use rustls::{
    DigitallySignedStruct, DistinguishedName, Error, OtherError, PeerIncompatible, RootCertStore,
    SignatureScheme,
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use crate::identity::{Certificate, PeerError, identify};
use crate::name::{Role, SpiffeId, TrustDomain};

/// What to do with a device whose certificate has expired within [`RENEWAL_GRACE`] and is valid
/// otherwise.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ExpiredDevices {
    /// Refuse it in the handshake.
    Refuse,
    /// Let it connect, for renewal only. The caller enforces that.
    RenewOnly,
}

/// How long after its end a certificate still serves to renew it. Source: SECURITY.md, section 4.
pub const RENEWAL_GRACE: Duration = Duration::from_secs(30 * 86_400);

/// Accepts a server that is a node of the trust domain.
#[derive(Debug)]
pub(super) struct NodeVerifier {
    roots: RootCertStore,
    trust_domain: TrustDomain,
    algorithms: WebPkiSupportedAlgorithms,
}

impl NodeVerifier {
    pub(super) const fn new(
        roots: RootCertStore,
        trust_domain: TrustDomain,
        algorithms: WebPkiSupportedAlgorithms,
    ) -> Self {
        Self { roots, trust_domain, algorithms }
    }
}

impl ServerCertVerifier for NodeVerifier {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _host: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        verify_server_chain((leaf, intermediates), &self.roots, now, &self.algorithms)?;
        require_role(leaf, Role::Node, Some(&self.trust_domain)).map_err(refusal)?;
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

/// Accepts a client that holds a role in the trust domain.
#[derive(Debug)]
pub(super) struct ClientVerifier {
    chain: Arc<dyn ClientCertVerifier>,
    role: Role,
    trust_domain: TrustDomain,
    expired: ExpiredDevices,
}

impl ClientVerifier {
    pub(super) fn new(
        roots: RootCertStore,
        (role, trust_domain): (Role, TrustDomain),
        expired: ExpiredDevices,
        provider: Arc<CryptoProvider>,
    ) -> Result<Self, VerifierBuilderError> {
        let chain =
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build()?;
        Ok(Self { chain, role, trust_domain, expired })
    }

    /// Returns the time to judge an expired leaf by: its last second, if that is within the grace.
    fn renewal_time(&self, leaf: &CertificateDer<'_>, now: UnixTime) -> Option<UnixTime> {
        let not_after = Certificate::read(leaf).ok()?.not_after;
        let late = now.as_secs().checked_sub(not_after.as_secs())?;
        let within = late <= RENEWAL_GRACE.as_secs();
        (self.expired == ExpiredDevices::RenewOnly && within).then_some(not_after)
    }
}

impl ClientCertVerifier for ClientVerifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.chain.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verified = match self.chain.verify_client_cert(leaf, intermediates, now) {
            Err(refused) => match self.renewal_time(leaf, now) {
                Some(then) => self.chain.verify_client_cert(leaf, intermediates, then)?,
                None => return Err(refused),
            },
            Ok(verified) => verified,
        };
        require_role(leaf, self.role, Some(&self.trust_domain)).map_err(refusal)?;
        Ok(verified)
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
        self.chain.verify_tls13_signature(message, leaf, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chain.supported_verify_schemes()
    }
}

/// Verifies a chain outside a handshake: what a device was given at enrolment, as a node will judge
/// it.
pub(crate) fn verify_device(
    chain: &[CertificateDer<'static>],
    bundle: &[CertificateDer<'static>],
    trust_domain: &TrustDomain,
    now: UnixTime,
) -> Result<(), Error> {
    let (leaf, intermediates) = chain.split_first().ok_or(Error::NoCertificatesPresented)?;
    let mut roots = RootCertStore::empty();
    bundle.iter().try_for_each(|root| roots.add(root.clone()))?;
    let scope = (Role::Device, trust_domain.clone());
    ClientVerifier::new(roots, scope, ExpiredDevices::Refuse, super::provider())
        .map_err(|_| Error::NoCertificatesPresented)?
        .verify_client_cert(leaf, intermediates, now)
        .map(|_verified| ())
}

/// Verifies that a chain to one of the roots allows its leaf to serve at `now`.
pub(super) fn verify_server_chain(
    (leaf, intermediates): (&CertificateDer<'_>, &[CertificateDer<'_>]),
    roots: &RootCertStore,
    now: UnixTime,
    algorithms: &WebPkiSupportedAlgorithms,
) -> Result<(), Error> {
    let leaf = ParsedCertificate::try_from(leaf)?;
    verify_server_cert_signed_by_trust_anchor(&leaf, roots, intermediates, now, algorithms.all)
}

/// Reads the identity of a verified leaf and compares its role and, if given, its trust domain.
pub(super) fn require_role(
    leaf: &CertificateDer<'_>,
    expected: Role,
    trust_domain: Option<&TrustDomain>,
) -> Result<SpiffeId, PeerError> {
    let (_certificate, id) = identify(std::slice::from_ref(leaf))?;
    if id.role() != expected {
        return Err(PeerError::WrongRole { expected, presented: id.role() });
    }
    match trust_domain {
        Some(domain) if domain != id.trust_domain() => Err(PeerError::OtherTrustDomain {
            expected: domain.clone(),
            presented: id.trust_domain().clone(),
        }),
        Some(_) | None => Ok(id),
    }
}

/// Wraps a reason of ours so that it survives in a [`rustls::Error`].
pub(super) fn refusal(reason: impl std::error::Error + Send + Sync + 'static) -> Error {
    rustls::CertificateError::Other(OtherError(Arc::new(reason))).into()
}
