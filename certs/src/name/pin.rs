//! The pin: what a device knows of an authority before it has met it.

use std::fmt;
use std::str::FromStr;

use ring::digest;
use rustls_pki_types::CertificateDer;
use serde::{Deserialize, Serialize};

use super::device::hex_value;
use crate::identity::{Certificate, CertificateError};

/// SHA-256 of a public key (the DER of its SubjectPublicKeyInfo). It survives a re-issue of the
/// certificate.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
pub struct Pin(#[serde(with = "crate::bytes")] [u8; 32]);

impl Pin {
    /// Returns the pin of a public key, given the DER of its SubjectPublicKeyInfo.
    #[must_use]
    pub fn of_public_key(spki_der: &[u8]) -> Self {
        let mut hash = [0; 32];
        hash.copy_from_slice(digest::digest(&digest::SHA256, spki_der).as_ref());
        Self(hash)
    }

    /// Returns the pin of a certificate's public key.
    ///
    /// # Errors
    /// The bytes are no X.509 certificate.
    pub fn of_certificate(der: &CertificateDer<'_>) -> Result<Self, CertificateError> {
        Ok(Certificate::read(der)?.pin)
    }

    /// Takes the 32 bytes of a hash.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Returns the 32 bytes of the hash.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for Pin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(PREFIX)?;
        for byte in self.0 {
            write!(formatter, "{byte:02x}")?;
        }
        Ok(())
    }
}

impl FromStr for Pin {
    type Err = PinError;

    fn from_str(text: &str) -> Result<Self, PinError> {
        let digits = text.strip_prefix(PREFIX).ok_or(PinError)?.as_bytes();
        let mut hash = [0; 32];
        if digits.len() != 2 * hash.len() {
            return Err(PinError);
        }
        for (byte, pair) in hash.iter_mut().zip(digits.chunks_exact(2)) {
            let high = hex_value(pair[0]).ok_or(PinError)?;
            let low = hex_value(pair[1]).ok_or(PinError)?;
            *byte = high << 4 | low;
        }
        Ok(Self(hash))
    }
}

/// A text is not a pin.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("read pin: expected \"sha256:\" and 64 hexadecimal digits in lower case")]
pub struct PinError;

const PREFIX: &str = "sha256:";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pin_reads_back_as_it_was_written() {
        let pin = Pin::of_public_key(b"a key");
        assert_eq!(pin.to_string().parse(), Ok(pin));
        for text in ["", "sha256:", "sha1:00", &pin.to_string()[..70], &format!("{pin}0")] {
            assert_eq!(text.parse::<Pin>(), Err(PinError), "{text:?}");
        }
    }
}
