//! The identity of a node.

use std::path::Path;

use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use super::certificate::Certificate;
use super::credential::{Credential, CredentialError, LoadError, SaveError, wrong_role};
use super::csr::DeviceKey;
use crate::name::{NodeId, Role, SpiffeId, TrustDomain};

/// A node's key, chain and trusted roots. `Debug` does not show the key.
#[derive(Clone, Debug)]
pub struct NodeIdentity {
    trust_domain: TrustDomain,
    node: NodeId,
    credential: Credential,
}

impl NodeIdentity {
    /// Puts an identity together from a chain (leaf first, without the root), its key and the roots
    /// to trust.
    ///
    /// It checks that the parts belong together and that the leaf carries the role; the chain
    /// itself is verified by whoever is shown it.
    ///
    /// # Errors
    /// The parts do not belong together, or the certificate is not that of a node.
    pub fn new(
        chain: Vec<CertificateDer<'static>>,
        key: &DeviceKey,
        bundle: Vec<CertificateDer<'static>>,
    ) -> Result<Self, CredentialError> {
        let (credential, id) = Credential::new(chain, key, bundle)?;
        Self::of(credential, id)
    }

    /// Writes the identity into a folder, replacing the former one in a single step.
    ///
    /// # Errors
    /// A step failed. The former identity is still there, whole.
    pub fn save(&self, folder: &Path) -> Result<(), SaveError> {
        self.credential.save(folder)
    }

    /// Reads the identity that [`save`](Self::save) wrote.
    ///
    /// # Errors
    /// There is none, or its parts do not belong together.
    pub fn load(folder: &Path) -> Result<Self, LoadError> {
        let (credential, id) = Credential::load(folder)?;
        Self::of(credential, id)
            .map_err(|source| LoadError::Content { path: folder.to_owned(), source })
    }

    fn of(credential: Credential, id: SpiffeId) -> Result<Self, CredentialError> {
        match id {
            SpiffeId::Node { trust_domain, node } => Ok(Self { trust_domain, node, credential }),
            SpiffeId::Device { .. } => Err(wrong_role(Role::Node, Role::Device)),
        }
    }

    /// Returns the realm that the node belongs to.
    #[must_use]
    pub const fn trust_domain(&self) -> &TrustDomain {
        &self.trust_domain
    }

    /// Returns the name of the node.
    #[must_use]
    pub const fn node(&self) -> &NodeId {
        &self.node
    }

    /// Returns serial and validity of the node's own certificate.
    #[must_use]
    pub const fn certificate(&self) -> &Certificate {
        &self.credential.leaf
    }

    /// Returns the certificates to present, leaf first, without the root.
    #[must_use]
    pub fn chain(&self) -> &[CertificateDer<'static>] {
        &self.credential.chain
    }

    /// Returns the trusted roots. There is at least one.
    #[must_use]
    pub fn bundle(&self) -> &[CertificateDer<'static>] {
        &self.credential.bundle
    }

    /// Returns a copy of the private key, for a TLS configuration.
    #[must_use]
    pub fn key(&self) -> PrivateKeyDer<'static> {
        self.credential.key()
    }
}
