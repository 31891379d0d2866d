//! The certificate authority: an offline root, which devices pin, and an issuing intermediate,
//! which signs every leaf.
//!
//! The root's key is needed for a new intermediate only. It starts beside the others as `root.key`;
//! an operator may move it to a safe place, and [`Authority::load`] does without.

mod folder;
mod issue;
mod profile;

use std::path::Path;

use rcgen::KeyPair;
use rustls_pki_types::{CertificateDer, UnixTime};

use crate::identity::Certificate;
use crate::name::{Pin, TrustDomain};

pub use folder::{LoadError, SaveError};
pub use issue::{DEVICE_VALIDITY, IssueError, Issued, NODE_VALIDITY, VALIDITY_BACKDATED};

/// Signs the certificates of one trust domain. `Debug` shows no private key.
#[derive(Debug)]
pub struct Authority {
    trust_domain: TrustDomain,
    pin: Pin,
    root: CertificateDer<'static>,
    /// `None` once the operator has taken the root's key offline.
    root_key: Option<KeyPair>,
    issuing: CertificateDer<'static>,
    issuing_key: KeyPair,
    /// Last second at which a leaf can be valid.
    issuing_not_after: UnixTime,
}

impl Authority {
    /// Makes an authority with keys of its own, in memory. Nobody can pin it before it is saved.
    ///
    /// The root is valid for 20 years from `now`, the intermediate for 5.
    ///
    /// # Errors
    /// The operating system has no randomness to give, or signing failed.
    pub fn create(trust_domain: TrustDomain, now: UnixTime) -> Result<Self, CreateError> {
        let generate = || KeyPair::generate().map_err(|source| CreateError::Key { source });
        let (root_key, issuing_key) = (generate()?, generate()?);
        let random = |source| CreateError::Random { source };

        let root_profile = profile::root(&trust_domain, &root_key, now).map_err(random)?;
        let root =
            root_profile.self_signed(&root_key).map_err(|source| CreateError::Root { source })?;
        let issuing_profile = profile::issuing(&trust_domain, &issuing_key, now).map_err(random)?;
        let issuer = rcgen::Issuer::from_params(&root_profile, &root_key);
        let issuing = issuing_profile
            .signed_by(&issuing_key, &issuer)
            .map_err(|source| CreateError::Issuing { source })?;

        Ok(Self {
            trust_domain,
            pin: Pin::of_public_key(&rcgen::PublicKeyData::subject_public_key_info(&root_key)),
            root: root.into(),
            root_key: Some(root_key),
            issuing: issuing.into(),
            issuing_key,
            issuing_not_after: profile::issuing_not_after(now),
        })
    }

    /// Writes the authority as `root.key`, `root.crt`, `issuing.key` and `issuing.crt` into a
    /// folder that does not exist yet or is empty. The folder appears with all four files or not at
    /// all.
    ///
    /// # Errors
    /// The folder holds something, which is never replaced; or a step failed and the folder was not
    /// made.
    pub fn save(&self, folder: &Path) -> Result<(), SaveError> {
        folder::save(self, folder)
    }

    /// Reads what [`save`](Self::save) wrote. `root.key` may be missing.
    ///
    /// # Errors
    /// A file is missing or unreadable, or the files do not belong together.
    pub fn load(folder: &Path) -> Result<Self, LoadError> {
        folder::load(folder)
    }

    /// Returns the realm of the authority.
    #[must_use]
    pub const fn trust_domain(&self) -> &TrustDomain {
        &self.trust_domain
    }

    /// Returns the hash of the root's public key, which join tokens carry.
    #[must_use]
    pub const fn root_pin(&self) -> Pin {
        self.pin
    }

    /// Returns the certificates that verifiers trust: the root.
    #[must_use]
    pub fn bundle(&self) -> Vec<CertificateDer<'static>> {
        vec![self.root.clone()]
    }

    /// Returns the last second at which the intermediate is valid. No leaf outlives it.
    #[must_use]
    pub const fn issuing_not_after(&self) -> UnixTime {
        self.issuing_not_after
    }

    /// Says whether the root's key is here, rather than offline.
    #[must_use]
    pub const fn holds_root_key(&self) -> bool {
        self.root_key.is_some()
    }
}

/// Why an authority could not be made.
#[derive(Debug, thiserror::Error)]
pub enum CreateError {
    /// No serial could be drawn.
    #[error("create authority: draw serial")]
    Random {
        /// What the operating system said.
        source: getrandom::Error,
    },
    /// No key could be made.
    #[error("create authority: generate key")]
    Key {
        /// What failed.
        source: rcgen::Error,
    },
    /// The root could not be signed.
    #[error("create authority: sign root certificate")]
    Root {
        /// What failed.
        source: rcgen::Error,
    },
    /// The intermediate could not be signed.
    #[error("create authority: sign issuing certificate")]
    Issuing {
        /// What failed.
        source: rcgen::Error,
    },
}

/// Reads the trust domain that a certificate of an authority names. `None` if it names none, or
/// something else.
fn read_domain(certificate: &Certificate) -> Option<TrustDomain> {
    match certificate.uris.as_slice() {
        [uri] => crate::name::domain_of_uri(uri).ok(),
        _ => None,
    }
}
