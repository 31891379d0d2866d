//! The two random numbers of a token: the one that may be logged and the one that may not.

use std::fmt;

use ring::{digest, hmac};
use serde::{Deserialize, Serialize};

/// Name of a token: 128 random bits, no secret.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
pub struct TokenId(#[serde(with = "crate::bytes")] [u8; 16]);

impl TokenId {
    /// Takes the 16 bytes of an id.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Returns the 16 bytes of the id.
    #[must_use]
    pub const fn to_bytes(self) -> [u8; 16] {
        self.0
    }
}

impl fmt::Display for TokenId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(formatter, "{byte:02x}"))
    }
}

/// What makes a token valid: 128 random bits. `Debug` does not show them, and there is no `==`,
/// since comparing byte by byte would tell by its duration how much was right.
#[derive(Clone, Deserialize, Serialize)]
pub struct Secret(#[serde(with = "crate::bytes")] [u8; 16]);

impl Secret {
    /// Takes the 16 bytes of a secret.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    pub(crate) const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// Returns the hash that is stored in its place. A fast hash will do, since 128 random bits
    /// cannot be guessed.
    pub(crate) fn hash(&self) -> [u8; 32] {
        let mut hash = [0; 32];
        hash.copy_from_slice(digest::digest(&digest::SHA256, &self.0).as_ref());
        hash
    }

    /// Says whether this is the secret that was hashed, in a time that does not depend on the
    /// answer.
    pub(crate) fn matches(&self, stored_hash: &[u8; 32]) -> bool {
        // The MACs of equal messages are equal, and `verify` compares MACs in constant time.
        let key = hmac::Key::new(hmac::HMAC_SHA256, COMPARISON_KEY);
        let stored = hmac::sign(&key, stored_hash);
        hmac::verify(&key, &self.hash(), stored.as_ref()).is_ok()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Secret(..)")
    }
}

/// The comparison needs some key, not a secret one.
const COMPARISON_KEY: &[u8] = b"headwater token comparison";
