//! Keys and signing requests: the key is made where it is used and never travels.

use rcgen::{CertificateParams, DistinguishedName, KeyPair, PublicKeyData, SubjectPublicKeyInfo};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateSigningRequestDer, PrivatePkcs8KeyDer};
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::prelude::FromDer;

use crate::name::Pin;

/// A private key of curve P-256, made on the host that uses it. `Debug` shows its public half only.
#[derive(Debug)]
pub struct DeviceKey(KeyPair);

impl DeviceKey {
    /// Makes a key.
    ///
    /// # Errors
    /// The operating system has no randomness to give.
    pub fn generate() -> Result<Self, KeyError> {
        KeyPair::generate().map(Self).map_err(|source| KeyError::Generate { source })
    }

    /// Reads what [`key_pem`](Self::key_pem) wrote.
    ///
    /// # Errors
    /// The text holds no PKCS #8 key of a kind that can sign here.
    pub fn from_pem(pem: &str) -> Result<Self, KeyError> {
        let der = PrivatePkcs8KeyDer::from_pem_slice(pem.as_bytes())
            .map_err(|source| KeyError::Pem { source })?;
        Self::from_der(&der)
    }

    pub(crate) fn from_der(der: &PrivatePkcs8KeyDer<'_>) -> Result<Self, KeyError> {
        KeyPair::try_from(der).map(Self).map_err(|source| KeyError::Read { source })
    }

    /// Returns the key as PEM (PKCS #8). It belongs in a file of mode 0600 and nowhere else.
    #[must_use]
    pub fn key_pem(&self) -> String {
        self.0.serialize_pem()
    }

    /// Returns the key as DER (PKCS #8).
    #[must_use]
    pub fn key_der(&self) -> PrivatePkcs8KeyDer<'static> {
        PrivatePkcs8KeyDer::from(self.0.serialize_der())
    }

    /// Makes a signing request: the public key and the proof that its private half is here. It asks
    /// for no name, since the authority gives the name.
    ///
    /// # Errors
    /// Signing failed, which has no cause outside this program.
    pub fn csr_der(&self) -> Result<CertificateSigningRequestDer<'static>, KeyError> {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params
            .serialize_request(&self.0)
            .map(CertificateSigningRequestDer::from)
            .map_err(|source| KeyError::Sign { source })
    }

    /// Returns the hash of the public key.
    #[must_use]
    pub fn pin(&self) -> Pin {
        Pin::of_public_key(&self.0.subject_public_key_info())
    }

    pub(crate) const fn pair(&self) -> &KeyPair {
        &self.0
    }
}

/// Why a key could not be made, read or used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// No key was made.
    #[error("generate private key")]
    Generate {
        /// What failed.
        source: rcgen::Error,
    },
    /// The text holds no key.
    #[error("read private key: expected a PEM section \"PRIVATE KEY\"")]
    Pem {
        /// What is wrong with it.
        source: rustls_pki_types::pem::Error,
    },
    /// The key is of no kind that can sign here.
    #[error("read private key: expected PKCS #8 of curve P-256 or Ed25519")]
    Read {
        /// What is wrong with it.
        source: rcgen::Error,
    },
    /// The request could not be signed.
    #[error("sign certificate request")]
    Sign {
        /// What failed.
        source: rcgen::Error,
    },
}

/// Reads the public key of a signing request and checks that the sender holds its private half.
/// Names and extensions in the request are ignored.
pub(crate) fn requested_key(csr_der: &[u8]) -> Result<SubjectPublicKeyInfo, CsrError> {
    if csr_der.len() > CSR_BYTES_MAX {
        return Err(CsrError::TooLarge { bytes: csr_der.len(), bytes_max: CSR_BYTES_MAX });
    }
    let (rest, request) = X509CertificationRequest::from_der(csr_der)
        .map_err(|source| CsrError::Malformed { source })?;
    if !rest.is_empty() {
        return Err(CsrError::TrailingBytes { bytes: rest.len() });
    }
    let key = SubjectPublicKeyInfo::from_der(request.certification_request_info.subject_pki.raw)
        .map_err(|source| CsrError::Key { source })?;
    if *key.algorithm() != rcgen::PKCS_ECDSA_P256_SHA256 && *key.algorithm() != rcgen::PKCS_ED25519
    {
        return Err(CsrError::KeyKind);
    }
    request.verify_signature().map_err(|source| CsrError::Signature { source })?;
    Ok(key)
}

/// Why a signing request is refused. The peer is to blame in every case.
#[derive(Debug, thiserror::Error)]
pub enum CsrError {
    /// It was not looked at.
    #[error("read certificate request: it has {bytes} bytes, expected at most {bytes_max}")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// Largest size that is read.
        bytes_max: usize,
    },
    /// Not DER, or not the structure of a request.
    #[error("read certificate request")]
    Malformed {
        /// Where reading stopped.
        source: x509_parser::nom::Err<x509_parser::error::X509Error>,
    },
    /// Something follows the request.
    #[error("read certificate request: {bytes} bytes follow its end")]
    TrailingBytes {
        /// How much.
        bytes: usize,
    },
    /// The public key cannot be read.
    #[error("read public key of certificate request")]
    Key {
        /// What is wrong with it.
        source: rcgen::Error,
    },
    /// A key of a kind that is not used here.
    #[error("read public key of certificate request: expected curve P-256 or Ed25519")]
    KeyKind,
    /// The sender does not hold the private key.
    #[error("check signature of certificate request: it was not made by the key in the request")]
    Signature {
        /// What the check said.
        source: x509_parser::error::X509Error,
    },
}

/// Largest signing request that is read. Ours has 220 bytes; other tools add names and extensions.
pub const CSR_BYTES_MAX: usize = 4_096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_proves_that_its_sender_holds_the_key() {
        let key = DeviceKey::generate().unwrap();
        let csr = key.csr_der().unwrap();
        let requested = requested_key(&csr).unwrap();
        assert_eq!(Pin::of_public_key(&requested.subject_public_key_info()), key.pin());

        let (_, read) = X509CertificationRequest::from_der(&csr).unwrap();
        let signed_part = read.certification_request_info.raw.as_ptr_range();
        for at in 0..csr.len() {
            let mut forged = csr.to_vec();
            forged[at] ^= 1;
            // What surrounds the signed part can be written in more than one way, but never for
            // another key.
            if let Ok(accepted) = requested_key(&forged) {
                let pin = Pin::of_public_key(&accepted.subject_public_key_info());
                assert_eq!(pin, key.pin(), "byte {at} makes it another key");
                assert!(!signed_part.contains(&csr[at..].as_ptr()), "byte {at} is not checked");
            }
        }
    }

    #[test]
    fn a_request_with_a_key_of_another_kind_is_refused() {
        let pair = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap();
        let csr = CertificateParams::default().serialize_request(&pair).unwrap();
        assert!(matches!(requested_key(csr.der()), Err(CsrError::KeyKind)));

        let pair = KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
        let csr = CertificateParams::default().serialize_request(&pair).unwrap();
        assert!(requested_key(csr.der()).is_ok(), "Ed25519 is welcome");
    }

    #[test]
    fn cut_and_extended_requests_are_refused() {
        let csr = DeviceKey::generate().unwrap().csr_der().unwrap();
        for length in 0..csr.len() {
            assert!(requested_key(&csr[..length]).is_err(), "cut at {length}");
        }
        let extended = [&csr[..], b"x"].concat();
        assert!(matches!(requested_key(&extended), Err(CsrError::TrailingBytes { bytes: 1 })));
        assert!(matches!(requested_key(&[0x30; 4_097]), Err(CsrError::TooLarge { .. })));
    }

    #[test]
    fn a_key_reads_back_and_is_not_printed() {
        let key = DeviceKey::generate().unwrap();
        assert_eq!(DeviceKey::from_pem(&key.key_pem()).unwrap().pin(), key.pin());
        let der = key.key_der();
        let printed = format!("{key:?}");
        // The scalar of a P-256 key stands at byte 36 of its PKCS #8 form.
        let scalar: Vec<String> =
            der.secret_pkcs8_der()[36..68].iter().map(u8::to_string).collect();
        assert!(!printed.contains(&scalar.join(", ")), "the private scalar is printed");
        assert!(DeviceKey::from_pem("no key").is_err());
    }
}
