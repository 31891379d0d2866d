//! What devices and nodes have in common: key, chain, bundle, and two files.

use std::path::{Path, PathBuf};

use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

use super::certificate::{Certificate, CertificateError};
use super::csr::{DeviceKey, KeyError};
use super::peer::{PeerError, identify};
use crate::files::{self, ReadError, WriteError};
use crate::name::{Role, SpiffeId};

/// A key, the chain that vouches for it (leaf first, without the root) and the roots it trusts.
#[derive(Debug)]
pub(super) struct Credential {
    pub(super) leaf: Certificate,
    pub(super) chain: Vec<CertificateDer<'static>>,
    pub(super) bundle: Vec<CertificateDer<'static>>,
    key: PrivatePkcs8KeyDer<'static>,
}

impl Clone for Credential {
    fn clone(&self) -> Self {
        Self {
            leaf: self.leaf.clone(),
            chain: self.chain.clone(),
            bundle: self.bundle.clone(),
            key: self.key.clone_key(),
        }
    }
}

impl Credential {
    pub(super) fn new(
        chain: Vec<CertificateDer<'static>>,
        key: &DeviceKey,
        bundle: Vec<CertificateDer<'static>>,
    ) -> Result<(Self, SpiffeId), CredentialError> {
        let (leaf, id) = identify(&chain).map_err(|source| CredentialError::Leaf { source })?;
        if leaf.pin != key.pin() {
            return Err(CredentialError::KeyMismatch);
        }
        if bundle.is_empty() {
            return Err(CredentialError::NoRoot);
        }
        for root in &bundle {
            Certificate::read(root).map_err(|source| CredentialError::Root { source })?;
        }
        Ok((Self { leaf, chain, bundle, key: key.key_der() }, id))
    }

    pub(super) fn key(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::Pkcs8(self.key.clone_key())
    }

    pub(super) fn save(&self, folder: &Path) -> Result<(), SaveError> {
        files::create_folder(folder).map_err(|source| SaveError { source })?;
        let bundle = files::certificates_pem(self.bundle.iter().map(AsRef::as_ref));
        let mut identity = files::pem("PRIVATE KEY", self.key.secret_pkcs8_der());
        identity.push_str(&files::certificates_pem(self.chain.iter().map(AsRef::as_ref)));
        // The roots first: an identity without roots could not be loaded, roots without an identity
        // harm nobody.
        files::write_private(folder, BUNDLE_FILE, bundle.as_bytes())
            .and_then(|()| files::write_private(folder, IDENTITY_FILE, identity.as_bytes()))
            .map_err(|source| SaveError { source })
    }

    pub(super) fn load(folder: &Path) -> Result<(Self, SpiffeId), LoadError> {
        let path = folder.join(IDENTITY_FILE);
        let identity = files::read(&path).map_err(|source| LoadError::Read { source })?;
        let key = PrivatePkcs8KeyDer::from_pem_slice(&identity)
            .map_err(|source| LoadError::Pem { path: path.clone(), source })?;
        let key = DeviceKey::from_der(&key)
            .map_err(|source| LoadError::Key { path: path.clone(), source })?;
        let chain = certificates(&path, &identity)?;

        let bundle_path = folder.join(BUNDLE_FILE);
        let bundle = files::read(&bundle_path).map_err(|source| LoadError::Read { source })?;
        let bundle = certificates(&bundle_path, &bundle)?;
        Self::new(chain, &key, bundle).map_err(|source| LoadError::Content { path, source })
    }
}

/// Reads the certificates of a PEM file in their order.
pub(crate) fn certificates(
    path: &Path,
    pem: &[u8],
) -> Result<Vec<CertificateDer<'static>>, LoadError> {
    CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .map_err(|source| LoadError::Pem { path: path.to_owned(), source })
}

/// Returns an error unless the certificate carries the role.
pub(super) fn wrong_role(expected: Role, presented: Role) -> CredentialError {
    CredentialError::Leaf { source: PeerError::WrongRole { expected, presented } }
}

/// Why key, chain and roots do not make an identity.
#[derive(Debug, thiserror::Error)]
pub enum CredentialError {
    /// The first certificate does not name its holder, or names one of the other role.
    #[error("assemble identity")]
    Leaf {
        /// What is wrong with it.
        source: PeerError,
    },
    /// The certificate was issued for another key.
    #[error("assemble identity: the certificate belongs to another private key")]
    KeyMismatch,
    /// Without a root nobody could be trusted.
    #[error("assemble identity: the bundle holds no root certificate")]
    NoRoot,
    /// One of the roots cannot be read.
    #[error("assemble identity: read root certificate")]
    Root {
        /// What is wrong with it.
        source: CertificateError,
    },
}

/// Why an identity could not be saved. What was there before is still there, whole.
#[derive(Debug, thiserror::Error)]
#[error("save identity")]
pub struct SaveError {
    /// The step that failed.
    pub source: WriteError,
}

/// Why an identity could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// A file is missing or unreadable; [`is_missing`](Self::is_missing) tells which.
    #[error("load identity")]
    Read {
        /// What the operating system said.
        source: ReadError,
    },
    /// A file is no PEM, or lacks a section.
    #[error("load identity: read PEM of {path:?}")]
    Pem {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        source: rustls_pki_types::pem::Error,
    },
    /// The private key is of no use.
    #[error("load identity: {path:?}")]
    Key {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        source: KeyError,
    },
    /// The parts do not belong together.
    #[error("load identity: {path:?}")]
    Content {
        /// The file with key and chain.
        path: PathBuf,
        /// What does not fit.
        source: CredentialError,
    },
}

impl LoadError {
    /// Says whether there is no identity at all, so that the next step is to enrol.
    #[must_use]
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::Read { source } if source.is_missing())
    }
}

const IDENTITY_FILE: &str = "identity.pem";
const BUNDLE_FILE: &str = "bundle.pem";
