//! Names: who somebody is, as it stands in a certificate.
//!
//! A role is never guessed from a key usage or a host name. It is the path of the one SPIFFE URI in
//! the certificate: `spiffe://<trust domain>/device/<uuid>` or `spiffe://<trust domain>/node/<id>`.

mod device;
mod pin;
mod spiffe;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

pub use device::{DeviceUuid, DeviceUuidError};
pub use pin::{Pin, PinError};
pub use spiffe::{SpiffeId, SpiffeIdError};
pub(crate) use spiffe::{domain_of_uri, domain_uri};

/// What the holder of a certificate is allowed to be.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Role {
    /// An enrolled host. It may act as a TLS client and never as a server.
    Device,
    /// An aggregator node. It serves devices and talks to other nodes.
    Node,
}

impl fmt::Display for Role {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Device => "device",
            Self::Node => "node",
        })
    }
}

/// Name of one authority's realm, such as `fleet.example.com`: lower-case letters, digits, `.`, `-`
/// and `_`.
#[derive(Clone, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct TrustDomain(String);

impl TrustDomain {
    /// Returns the name as it stands in a URI.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for TrustDomain {
    type Err = LabelError;

    fn from_str(text: &str) -> Result<Self, LabelError> {
        let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || ".-_".contains(c);
        check_label(text, TRUST_DOMAIN_BYTES_MAX, allowed)?;
        Ok(Self(text.to_owned()))
    }
}

impl TryFrom<String> for TrustDomain {
    type Error = LabelError;

    fn try_from(text: String) -> Result<Self, LabelError> {
        text.parse()
    }
}

impl From<TrustDomain> for String {
    fn from(name: TrustDomain) -> Self {
        name.0
    }
}

impl fmt::Display for TrustDomain {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Name of an aggregator node within its trust domain: letters, digits, `.`, `-` and `_`.
#[derive(Clone, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct NodeId(String);

impl NodeId {
    /// Returns the name as it stands in a URI.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for NodeId {
    type Err = LabelError;

    fn from_str(text: &str) -> Result<Self, LabelError> {
        check_label(text, NODE_ID_BYTES_MAX, |c| c.is_ascii_alphanumeric() || ".-_".contains(c))?;
        Ok(Self(text.to_owned()))
    }
}

impl TryFrom<String> for NodeId {
    type Error = LabelError;

    fn try_from(text: String) -> Result<Self, LabelError> {
        text.parse()
    }
}

impl From<NodeId> for String {
    fn from(name: NodeId) -> Self {
        name.0
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Why a text is not the name of a trust domain or of a node.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum LabelError {
    /// There is nothing to name.
    #[error("read name: it is empty")]
    Empty,
    /// The text is longer than a name may be.
    #[error("read name: it has {bytes} bytes, expected at most {bytes_max}")]
    TooLong {
        /// Length of the text.
        bytes: usize,
        /// Longest name that is accepted.
        bytes_max: usize,
    },
    /// A character that cannot stand in the path or authority of our URIs.
    #[error(
        "read name: {character:?} at byte {at} is not allowed, expected letters, digits, '.', '-' or '_' (a trust domain in lower case)"
    )]
    Character {
        /// The first offending character.
        character: char,
        /// Where it starts.
        at: usize,
    },
    /// `.` and `..` mean something else in a path.
    #[error("read name: it consists of dots only")]
    Dots,
}

fn check_label(
    text: &str,
    bytes_max: usize,
    allowed: impl Fn(char) -> bool,
) -> Result<(), LabelError> {
    if text.is_empty() {
        return Err(LabelError::Empty);
    }
    if text.len() > bytes_max {
        return Err(LabelError::TooLong { bytes: text.len(), bytes_max });
    }
    if let Some((at, character)) = text.char_indices().find(|(_, c)| !allowed(*c)) {
        return Err(LabelError::Character { character, at });
    }
    if text.chars().all(|c| c == '.') {
        return Err(LabelError::Dots);
    }
    Ok(())
}

/// Longest trust domain. A certificate's organisation field ends there. Source: RFC 5280, appendix
/// A, `ub-organization-name`.
const TRUST_DOMAIN_BYTES_MAX: usize = 64;

/// Longest node name: one DNS label, since it is usually a host name. Source: RFC 1035, section
/// 2.3.4.
const NODE_ID_BYTES_MAX: usize = 63;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trust_domain_is_lower_case_and_cannot_hold_a_path() {
        for (text, expected) in [
            ("fleet.example.com", None),
            ("", Some(LabelError::Empty)),
            ("..", Some(LabelError::Dots)),
            ("Fleet", Some(LabelError::Character { character: 'F', at: 0 })),
            ("a/node/b", Some(LabelError::Character { character: '/', at: 1 })),
            ("a\n", Some(LabelError::Character { character: '\n', at: 1 })),
        ] {
            assert_eq!(text.parse::<TrustDomain>().err(), expected, "{text:?}");
        }
        let long = "a".repeat(65);
        assert!(matches!(long.parse::<TrustDomain>(), Err(LabelError::TooLong { .. })));
    }

    #[test]
    fn a_node_name_is_one_segment_of_a_path() {
        for text in ["node-1", "Node_2", "agg-1.example.com"] {
            assert!(text.parse::<NodeId>().is_ok(), "{text}");
        }
        for text in ["", ".", "..", "a/b", "a b", "a%2f", "ä"] {
            assert!(text.parse::<NodeId>().is_err(), "{text}");
        }
    }
}
