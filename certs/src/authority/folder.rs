//! The authority on disk: four PEM files in a folder for its owner only.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use rcgen::{KeyPair, PublicKeyData};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivatePkcs8KeyDer};

use super::{Authority, read_domain};
use crate::files::{self, PARTIAL_SUFFIX, ReadError, WriteError, WriteStep};
use crate::identity::{Certificate, CertificateError, is_signed_by};
use crate::name::Pin;

/// Writes all files into a folder beside the final one and renames it, so that half an authority
/// never exists.
pub(super) fn save(authority: &Authority, folder: &Path) -> Result<(), SaveError> {
    let failed = |source| SaveError::Write { source };
    let parent = match folder.parent() {
        Some(parent) if parent != Path::new("") => parent,
        Some(_) | None => Path::new("."),
    };
    let partial = files::with_suffix(folder, PARTIAL_SUFFIX);
    files::create_folder(parent).map_err(failed)?;
    match std::fs::remove_dir_all(&partial) {
        Err(source) if source.kind() != ErrorKind::NotFound => {
            return Err(failed(WriteStep::RemoveLeftover.failed(&partial)(source)));
        }
        Ok(()) | Err(_) => {}
    }
    files::create_folder(&partial).map_err(failed)?;
    for (name, content) in contents(authority) {
        files::write_private(&partial, name, content.as_bytes()).map_err(failed)?;
    }
    match std::fs::rename(&partial, folder) {
        Ok(()) => files::sync_folder(parent).map_err(failed),
        Err(source)
            if matches!(
                source.kind(),
                ErrorKind::DirectoryNotEmpty | ErrorKind::AlreadyExists | ErrorKind::NotADirectory
            ) =>
        {
            // The refusal is what counts; a leftover is removed by the next attempt.
            drop(std::fs::remove_dir_all(&partial));
            Err(SaveError::Occupied { folder: folder.to_owned() })
        }
        Err(source) => Err(failed(WriteStep::Rename.failed(folder)(source))),
    }
}

fn contents(authority: &Authority) -> Vec<(&'static str, String)> {
    let mut contents = vec![
        (ROOT_CERTIFICATE, files::pem("CERTIFICATE", &authority.root)),
        (ISSUING_KEY, authority.issuing_key.serialize_pem()),
        (ISSUING_CERTIFICATE, files::pem("CERTIFICATE", &authority.issuing)),
    ];
    if let Some(key) = &authority.root_key {
        contents.push((ROOT_KEY, key.serialize_pem()));
    }
    contents
}

pub(super) fn load(folder: &Path) -> Result<Authority, LoadError> {
    let (root, root_certificate) = certificate(&folder.join(ROOT_CERTIFICATE))?;
    let (issuing, issuing_certificate) = certificate(&folder.join(ISSUING_CERTIFICATE))?;
    let issuing_key = key(&folder.join(ISSUING_KEY), issuing_certificate.pin)?;
    let root_key = match key(&folder.join(ROOT_KEY), root_certificate.pin) {
        Ok(key) => Some(key),
        Err(LoadError::Read { source }) if source.is_missing() => None,
        Err(error) => return Err(error),
    };
    let signed = is_signed_by(&issuing, &root).map_err(|source| LoadError::Certificate {
        path: folder.join(ISSUING_CERTIFICATE),
        source,
    })?;
    if !signed {
        return Err(LoadError::OtherRoot { folder: folder.to_owned() });
    }
    let trust_domain = read_domain(&root_certificate)
        .ok_or_else(|| LoadError::TrustDomain { path: folder.join(ROOT_CERTIFICATE) })?;
    Ok(Authority {
        trust_domain,
        pin: root_certificate.pin,
        root,
        root_key,
        issuing,
        issuing_key,
        issuing_not_after: issuing_certificate.not_after.min(root_certificate.not_after),
    })
}

fn certificate(path: &Path) -> Result<(CertificateDer<'static>, Certificate), LoadError> {
    let content = files::read(path).map_err(|source| LoadError::Read { source })?;
    let der = CertificateDer::from_pem_slice(&content)
        .map_err(|source| LoadError::Pem { path: path.to_owned(), source })?;
    let certificate = Certificate::read(&der)
        .map_err(|source| LoadError::Certificate { path: path.to_owned(), source })?;
    Ok((der, certificate))
}

fn key(path: &Path, expected: Pin) -> Result<KeyPair, LoadError> {
    let content = files::read(path).map_err(|source| LoadError::Read { source })?;
    let der = PrivatePkcs8KeyDer::from_pem_slice(&content)
        .map_err(|source| LoadError::Pem { path: path.to_owned(), source })?;
    let pair = KeyPair::try_from(&der)
        .map_err(|source| LoadError::Key { path: path.to_owned(), source })?;
    if Pin::of_public_key(&pair.subject_public_key_info()) == expected {
        Ok(pair)
    } else {
        Err(LoadError::KeyMismatch { path: path.to_owned() })
    }
}

/// Why an authority was not saved.
#[derive(Debug, thiserror::Error)]
pub enum SaveError {
    /// Something is there. An authority is never replaced, since devices may have pinned it.
    #[error(
        "save authority: {folder:?} is not an empty folder, and an authority is never replaced"
    )]
    Occupied {
        /// Where it should have been saved.
        folder: PathBuf,
    },
    /// A step failed. The folder was not made.
    #[error("save authority")]
    Write {
        /// The step that failed.
        source: WriteError,
    },
}

/// Why an authority could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// A file is missing or unreadable; [`is_missing`](Self::is_missing) tells which.
    #[error("load authority")]
    Read {
        /// What the operating system said.
        source: ReadError,
    },
    /// A file lacks its PEM section.
    #[error("load authority: read PEM of {path:?}")]
    Pem {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        source: rustls_pki_types::pem::Error,
    },
    /// A certificate is malformed.
    #[error("load authority: {path:?}")]
    Certificate {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        source: CertificateError,
    },
    /// A key is malformed.
    #[error("load authority: read private key of {path:?}")]
    Key {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        source: rcgen::Error,
    },
    /// A key and its certificate do not belong together.
    #[error("load authority: {path:?} is not the key of the certificate beside it")]
    KeyMismatch {
        /// The key's file.
        path: PathBuf,
    },
    /// The intermediate was signed by another root.
    #[error("load authority: in {folder:?}, issuing.crt was not signed by root.crt")]
    OtherRoot {
        /// Where both are.
        folder: PathBuf,
    },
    /// The root names no trust domain.
    #[error("load authority: {path:?} names no trust domain, so it is not a root of Headwater")]
    TrustDomain {
        /// The root's file.
        path: PathBuf,
    },
}

impl LoadError {
    /// Says whether a file does not exist, so that there may be no authority at all.
    #[must_use]
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::Read { source } if source.is_missing())
    }
}

const ROOT_KEY: &str = "root.key";
const ROOT_CERTIFICATE: &str = "root.crt";
const ISSUING_KEY: &str = "issuing.key";
const ISSUING_CERTIFICATE: &str = "issuing.crt";
