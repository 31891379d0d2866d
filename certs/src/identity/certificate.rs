//! What is read from a certificate, in one function.

use std::fmt;

use rustls_pki_types::{CertificateDer, UnixTime};
use serde::{Deserialize, Serialize};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;

use crate::name::Pin;

/// The fields of a certificate that this crate uses. Reading them proves nothing about who signed
/// it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Certificate {
    /// Number that its authority gave it.
    pub serial: Serial,
    /// First second at which it is valid.
    pub not_before: UnixTime,
    /// Last second at which it is valid.
    pub not_after: UnixTime,
    /// Hash of its public key.
    pub pin: Pin,
    /// URIs among its subject alternative names, in their order. Empty if there are none.
    pub uris: Vec<String>,
}

impl Certificate {
    /// Reads a certificate.
    ///
    /// # Errors
    /// The bytes are no X.509 certificate of a time since 1970, or something follows it.
    pub fn read(der: &CertificateDer<'_>) -> Result<Self, CertificateError> {
        let x509 = parse(der)?;
        let names = x509
            .subject_alternative_name()
            .map_err(|source| CertificateError::AlternativeNames { source })?;
        let uris = names
            .iter()
            .flat_map(|extension| &extension.value.general_names)
            .filter_map(|name| match name {
                GeneralName::URI(uri) => Some((*uri).to_owned()),
                _ => None,
            })
            .collect();
        Ok(Self {
            serial: Serial::read(x509.raw_serial())?,
            not_before: unix_time(x509.validity().not_before.timestamp())?,
            not_after: unix_time(x509.validity().not_after.timestamp())?,
            pin: Pin::of_public_key(x509.public_key().raw),
            uris,
        })
    }
}

/// Says whether `issuer` holds the key that signed `certificate`. Validity and constraints are the
/// verifier's business.
pub(crate) fn is_signed_by(
    certificate: &CertificateDer<'_>,
    issuer: &CertificateDer<'_>,
) -> Result<bool, CertificateError> {
    let issuer = parse(issuer)?;
    Ok(parse(certificate)?.verify_signature(Some(issuer.public_key())).is_ok())
}

fn parse<'a>(der: &'a CertificateDer<'_>) -> Result<X509Certificate<'a>, CertificateError> {
    let (rest, x509) =
        X509Certificate::from_der(der).map_err(|source| CertificateError::Malformed { source })?;
    if rest.is_empty() {
        Ok(x509)
    } else {
        Err(CertificateError::TrailingBytes { bytes: rest.len() })
    }
}

fn unix_time(unix_s: i64) -> Result<UnixTime, CertificateError> {
    let unix_s = u64::try_from(unix_s).map_err(|_| CertificateError::BeforeEpoch)?;
    Ok(UnixTime::since_unix_epoch(std::time::Duration::from_secs(unix_s)))
}

/// Number of a certificate, unique within its authority: up to 20 bytes, the most significant
/// first.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
pub struct Serial(#[serde(with = "crate::bytes")] [u8; SERIAL_BYTES_MAX]);

impl Serial {
    /// Draws a number of 127 random bits, so that no two certificates share one.
    pub(crate) fn random() -> Result<Self, getrandom::Error> {
        let mut bytes = [0; SERIAL_BYTES_MAX];
        getrandom::fill(&mut bytes[SERIAL_BYTES_MAX - SERIAL_BYTES_DRAWN..])?;
        let first = &mut bytes[SERIAL_BYTES_MAX - SERIAL_BYTES_DRAWN];
        // A set top bit would read as negative; a zero byte would be dropped.
        *first = *first & 0x7f | 0x40;
        Ok(Self(bytes))
    }

    /// Takes the content of a DER integer.
    fn read(der: &[u8]) -> Result<Self, CertificateError> {
        let digits = match der {
            [0, rest @ ..] => rest,
            whole => whole,
        };
        let mut bytes = [0; SERIAL_BYTES_MAX];
        let start = SERIAL_BYTES_MAX
            .checked_sub(digits.len())
            .ok_or(CertificateError::Serial { bytes: digits.len() })?;
        bytes[start..].copy_from_slice(digits);
        Ok(Self(bytes))
    }

    /// Returns the number as 20 bytes, the most significant first, padded with zeros in front.
    #[must_use]
    pub const fn to_bytes(self) -> [u8; SERIAL_BYTES_MAX] {
        self.0
    }

    /// Returns the significant bytes.
    pub(crate) fn digits(&self) -> &[u8] {
        let zeros = self.0.iter().take_while(|byte| **byte == 0).count();
        &self.0[zeros..]
    }
}

impl fmt::Display for Serial {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.digits().iter().try_for_each(|byte| write!(formatter, "{byte:02x}"))
    }
}

/// Why bytes are not a certificate this crate can use.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum CertificateError {
    /// Not DER, or not the structure of a certificate.
    #[error("read certificate")]
    Malformed {
        /// Where reading stopped.
        source: x509_parser::nom::Err<x509_parser::error::X509Error>,
    },
    /// Something follows the certificate.
    #[error("read certificate: {bytes} bytes follow its end")]
    TrailingBytes {
        /// How much.
        bytes: usize,
    },
    /// The list of names is malformed or stands there twice.
    #[error("read alternative names of certificate")]
    AlternativeNames {
        /// What is wrong with them.
        source: x509_parser::error::X509Error,
    },
    /// A serial longer than the standard allows. Source: RFC 5280, section 4.1.2.2.
    #[error("read serial of certificate: it has {bytes} bytes, expected at most 20")]
    Serial {
        /// Its length.
        bytes: usize,
    },
    /// A validity that starts or ends before 1970.
    #[error("read validity of certificate: it lies before 1970")]
    BeforeEpoch,
}

/// Source: RFC 5280, section 4.1.2.2.
const SERIAL_BYTES_MAX: usize = 20;

/// 16 bytes cannot collide in practice and stay well below the 20 that are allowed.
const SERIAL_BYTES_DRAWN: usize = 16;
