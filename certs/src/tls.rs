//! TLS configurations, one per protocol and side. TLS 1.3 only, no resumption, no tickets, no early
//! data: early data can be replayed, and a resumed session would skip the check of the certificate.

mod clock;
mod fault;
mod pinned;
mod role;

use std::sync::Arc;

use rustls::client::Resumption;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::CryptoProvider;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoClientAuth, NoServerSessionStorage, VerifierBuilderError};
use rustls::time_provider::TimeProvider;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use crate::identity::{DeviceIdentity, NodeIdentity};
use crate::name::{Pin, Role};

pub use clock::Clock;
pub use fault::{PeerVerdict, TrustFault, explain, explain_received_alert, explain_sent_alert};
pub use pinned::PinFault;
pub use role::{ExpiredDevices, RENEWAL_GRACE};

pub(crate) use role::verify_device;

/// Protocol of devices over QUIC: lanes, handshake, renewal, control.
pub const ALPN_DEVICE: &[u8] = b"headwater/1";

/// Protocol of enrolment over TCP.
pub const ALPN_ENROL: &[u8] = b"headwater-enrol/1";

/// Protocol between aggregator nodes over QUIC.
pub const ALPN_NODE: &[u8] = b"headwater-node/1";

/// Returns how an agent connects with [`ALPN_DEVICE`]: it shows its certificate, and accepts a node
/// of its own trust domain whose chain ends in the bundle. Host names are not compared; the role
/// and the domain are.
///
/// # Errors
/// A root or the key of the identity cannot be used.
pub fn agent_client_config(
    identity: &DeviceIdentity,
    clock: Arc<dyn TimeProvider>,
) -> Result<Arc<ClientConfig>, ConfigError> {
    let roots = root_store(identity.bundle())?;
    let verifier = role::NodeVerifier::new(roots, identity.trust_domain().clone(), algorithms());
    let credential = (identity.chain().to_vec(), identity.key());
    client(Arc::new(verifier), Some(credential), ALPN_DEVICE, clock)
}

/// Returns how a node serves devices with [`ALPN_DEVICE`]: the client must show the certificate of
/// a device of the same trust domain.
///
/// With [`ExpiredDevices::RenewOnly`] the caller asks
/// [`PeerDevice::standing`](crate::identity::PeerDevice::standing) in each session.
///
/// # Errors
/// A root or the key of the identity cannot be used.
pub fn node_server_config(
    identity: &NodeIdentity,
    expired: ExpiredDevices,
    clock: Arc<dyn TimeProvider>,
) -> Result<Arc<ServerConfig>, ConfigError> {
    let verifier = client_verifier(identity, Role::Device, expired)?;
    server(verifier, identity.chain().to_vec(), identity.key(), (ALPN_DEVICE, clock))
}

/// Returns how a node connects to another with [`ALPN_NODE`].
///
/// # Errors
/// A root or the key of the identity cannot be used.
pub fn relay_client_config(
    identity: &NodeIdentity,
    clock: Arc<dyn TimeProvider>,
) -> Result<Arc<ClientConfig>, ConfigError> {
    let roots = root_store(identity.bundle())?;
    let verifier = role::NodeVerifier::new(roots, identity.trust_domain().clone(), algorithms());
    let credential = (identity.chain().to_vec(), identity.key());
    client(Arc::new(verifier), Some(credential), ALPN_NODE, clock)
}

/// Returns how a node serves other nodes with [`ALPN_NODE`]: a device is refused.
///
/// # Errors
/// A root or the key of the identity cannot be used.
pub fn relay_server_config(
    identity: &NodeIdentity,
    clock: Arc<dyn TimeProvider>,
) -> Result<Arc<ServerConfig>, ConfigError> {
    let verifier = client_verifier(identity, Role::Node, ExpiredDevices::Refuse)?;
    server(verifier, identity.chain().to_vec(), identity.key(), (ALPN_NODE, clock))
}

/// Returns how a node serves enrolment with [`ALPN_ENROL`]: no certificate is asked of the client,
/// and the roots are shown along with the chain, so that the client can find the one it has pinned.
///
/// # Errors
/// The key of the identity cannot be used.
pub fn enrol_server_config(
    identity: &NodeIdentity,
    clock: Arc<dyn TimeProvider>,
) -> Result<Arc<ServerConfig>, ConfigError> {
    let chain = [identity.chain(), identity.bundle()].concat();
    server(Arc::new(NoClientAuth), chain, identity.key(), (ALPN_ENROL, clock))
}

/// Returns how a device enrols with [`ALPN_ENROL`]: it accepts a node whose chain ends in a root
/// with one of these pins, which the server has to show. There are no system roots and nothing is
/// skipped.
///
/// # Errors
/// There is no pin.
pub fn enrol_client_config(
    pins: &[Pin],
    clock: Arc<dyn TimeProvider>,
) -> Result<Arc<ClientConfig>, ConfigError> {
    if pins.is_empty() {
        return Err(ConfigError::NoPin);
    }
    let verifier = pinned::PinnedVerifier::new(pins.to_vec(), algorithms());
    client(Arc::new(verifier), None, ALPN_ENROL, clock)
}

fn client(
    verifier: Arc<dyn ServerCertVerifier>,
    credential: Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>,
    alpn: &[u8],
    clock: Arc<dyn TimeProvider>,
) -> Result<Arc<ClientConfig>, ConfigError> {
    let builder = ClientConfig::builder_with_details(provider(), clock)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|source| ConfigError::Protocol { source })?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    let mut config = match credential {
        Some((chain, key)) => builder
            .with_client_auth_cert(chain, key)
            .map_err(|source| ConfigError::Key { source })?,
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![alpn.to_vec()];
    config.resumption = Resumption::disabled();
    config.enable_early_data = false;
    Ok(Arc::new(config))
}

fn server(
    verifier: Arc<dyn ClientCertVerifier>,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    (alpn, clock): (&[u8], Arc<dyn TimeProvider>),
) -> Result<Arc<ServerConfig>, ConfigError> {
    let mut config = ServerConfig::builder_with_details(provider(), clock)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|source| ConfigError::Protocol { source })?
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)
        .map_err(|source| ConfigError::Key { source })?;
    config.alpn_protocols = vec![alpn.to_vec()];
    config.send_tls13_tickets = 0;
    config.max_early_data_size = 0;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    Ok(Arc::new(config))
}

fn client_verifier(
    identity: &NodeIdentity,
    role: Role,
    expired: ExpiredDevices,
) -> Result<Arc<dyn ClientCertVerifier>, ConfigError> {
    let roots = root_store(identity.bundle())?;
    let domain = identity.trust_domain().clone();
    let verifier = role::ClientVerifier::new(roots, (role, domain), expired, provider())
        .map_err(|source| ConfigError::Verifier { source })?;
    Ok(Arc::new(verifier))
}

fn root_store(bundle: &[CertificateDer<'static>]) -> Result<RootCertStore, ConfigError> {
    let mut roots = RootCertStore::empty();
    for root in bundle {
        roots.add(root.clone()).map_err(|source| ConfigError::Root { source })?;
    }
    Ok(roots)
}

/// The cryptography is named here and never taken from a process-wide default, which another crate
/// could have set.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

fn algorithms() -> rustls::crypto::WebPkiSupportedAlgorithms {
    rustls::crypto::ring::default_provider().signature_verification_algorithms
}

/// Why a TLS configuration could not be made.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A certificate of the bundle cannot serve as a root.
    #[error("configure TLS: use root certificate")]
    Root {
        /// What is wrong with it.
        source: rustls::Error,
    },
    /// The chain or its key cannot be used.
    #[error("configure TLS: use own certificate and key")]
    Key {
        /// What is wrong with them.
        source: rustls::Error,
    },
    /// The verifier of clients could not be made.
    #[error("configure TLS: make verifier")]
    Verifier {
        /// What is missing.
        source: VerifierBuilderError,
    },
    /// The cryptography lacks TLS 1.3, which has no cause outside this program.
    #[error("configure TLS: choose TLS 1.3")]
    Protocol {
        /// What is missing.
        source: rustls::Error,
    },
    /// Nothing could be trusted.
    #[error("configure TLS: no pin of an authority, expected at least one from the join token")]
    NoPin,
}
