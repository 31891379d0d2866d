//! The name of a device: 128 random bits, written as a UUID.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Name of an enrolled device. The authority draws it at enrolment; no device chooses its own.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
pub struct DeviceUuid(#[serde(with = "crate::bytes")] [u8; 16]);

impl DeviceUuid {
    /// Takes the 16 bytes of a UUID in network order.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Returns the 16 bytes of the UUID in network order.
    #[must_use]
    pub const fn to_bytes(self) -> [u8; 16] {
        self.0
    }

    /// Draws a random name (UUID version 4).
    ///
    /// # Errors
    /// The operating system has no randomness to give. Nothing can be enrolled until it has.
    pub fn random() -> Result<Self, getrandom::Error> {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes)?;
        bytes[6] = bytes[6] & 0x0f | 0x40;
        bytes[8] = bytes[8] & 0x3f | 0x80;
        Ok(Self(bytes))
    }
}

impl fmt::Display for DeviceUuid {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, byte) in self.0.iter().enumerate() {
            if HYPHENS_BEFORE.contains(&at) {
                formatter.write_str("-")?;
            }
            write!(formatter, "{byte:02x}")?;
        }
        Ok(())
    }
}

impl FromStr for DeviceUuid {
    type Err = DeviceUuidError;

    /// Reads the canonical form only, so that two texts are never the same device.
    fn from_str(text: &str) -> Result<Self, DeviceUuidError> {
        let mut bytes = [0; 16];
        let mut digits = text.bytes();
        for (at, byte) in bytes.iter_mut().enumerate() {
            if HYPHENS_BEFORE.contains(&at) && digits.next() != Some(b'-') {
                return Err(DeviceUuidError);
            }
            let high = digits.next().and_then(hex_value).ok_or(DeviceUuidError)?;
            let low = digits.next().and_then(hex_value).ok_or(DeviceUuidError)?;
            *byte = high << 4 | low;
        }
        match digits.next() {
            None => Ok(Self(bytes)),
            Some(_) => Err(DeviceUuidError),
        }
    }
}

/// A text is not a UUID in its canonical form.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error(
    "read device id: expected a UUID of 36 characters in lower case, such as 0190a1b2-c3d4-4e5f-8a9b-0c1d2e3f4a5b"
)]
pub struct DeviceUuidError;

pub(super) fn hex_value(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

/// Bytes of a UUID that a hyphen stands before. Source: RFC 9562, section 4.
const HYPHENS_BEFORE: [usize; 4] = [4, 6, 8, 10];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_id_reads_back_as_it_was_written() {
        for _ in 0..100 {
            let device = DeviceUuid::random().unwrap();
            let text = device.to_string();
            assert_eq!(text.len(), 36);
            assert_eq!(text.parse(), Ok(device), "{text}");
            assert_eq!(text.as_bytes()[14], b'4', "version 4: {text}");
        }
    }

    #[test]
    fn only_the_canonical_form_is_a_device_id() {
        for text in [
            "",
            "0190a1b2c3d44e5f8a9b0c1d2e3f4a5b",
            "0190A1B2-c3d4-4e5f-8a9b-0c1d2e3f4a5b",
            "0190a1b2-c3d4-4e5f-8a9b-0c1d2e3f4a5b0",
            "0190a1b2-c3d4-4e5f-8a9b-0c1d2e3f4a5",
            "0190a1b2-c3d4-4e5f-8a9b_0c1d2e3f4a5b",
            "{0190a1b2-c3d4-4e5f-8a9b-0c1d2e3f4a5b}",
        ] {
            assert_eq!(text.parse::<DeviceUuid>(), Err(DeviceUuidError), "{text:?}");
        }
    }
}
