//! The URI that carries a role.

use std::fmt;
use std::str::FromStr;

use super::{DeviceUuid, DeviceUuidError, LabelError, NodeId, Role, TrustDomain};

/// Who the holder of a certificate is: a role and a name within a trust domain.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum SpiffeId {
    /// `spiffe://<trust domain>/device/<uuid>`
    Device {
        /// Realm of the authority that named it.
        trust_domain: TrustDomain,
        /// Name within the realm.
        device: DeviceUuid,
    },
    /// `spiffe://<trust domain>/node/<id>`
    Node {
        /// Realm of the authority that named it.
        trust_domain: TrustDomain,
        /// Name within the realm.
        node: NodeId,
    },
}

impl SpiffeId {
    /// Returns what the holder is allowed to be.
    #[must_use]
    pub const fn role(&self) -> Role {
        match self {
            Self::Device { .. } => Role::Device,
            Self::Node { .. } => Role::Node,
        }
    }

    /// Returns the realm of the authority that named the holder.
    #[must_use]
    pub const fn trust_domain(&self) -> &TrustDomain {
        match self {
            Self::Device { trust_domain, .. } | Self::Node { trust_domain, .. } => trust_domain,
        }
    }
}

impl fmt::Display for SpiffeId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Device { trust_domain, device } => {
                write!(formatter, "{SCHEME}{trust_domain}/device/{device}")
            }
            Self::Node { trust_domain, node } => {
                write!(formatter, "{SCHEME}{trust_domain}/node/{node}")
            }
        }
    }
}

impl FromStr for SpiffeId {
    type Err = SpiffeIdError;

    fn from_str(uri: &str) -> Result<Self, SpiffeIdError> {
        let path = uri.strip_prefix(SCHEME).ok_or(SpiffeIdError::Scheme)?;
        let mut segments = path.split('/');
        let trust_domain = segments
            .next()
            .unwrap_or_default()
            .parse()
            .map_err(|source| SpiffeIdError::TrustDomain { source })?;
        let (Some(role), Some(name), None) = (segments.next(), segments.next(), segments.next())
        else {
            return Err(SpiffeIdError::Path);
        };
        match role {
            "device" => {
                let device = name.parse().map_err(|source| SpiffeIdError::Device { source })?;
                Ok(Self::Device { trust_domain, device })
            }
            "node" => {
                let node = name.parse().map_err(|source| SpiffeIdError::Node { source })?;
                Ok(Self::Node { trust_domain, node })
            }
            _ => Err(SpiffeIdError::Path),
        }
    }
}

/// Returns the URI of a trust domain itself, which stands in the certificates of its authority.
pub(crate) fn domain_uri(trust_domain: &TrustDomain) -> String {
    format!("{SCHEME}{trust_domain}")
}

/// Reads what [`domain_uri`] wrote.
pub(crate) fn domain_of_uri(uri: &str) -> Result<TrustDomain, SpiffeIdError> {
    let name = uri.strip_prefix(SCHEME).ok_or(SpiffeIdError::Scheme)?;
    name.parse().map_err(|source| SpiffeIdError::TrustDomain { source })
}

/// Why a URI names neither a device nor a node.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum SpiffeIdError {
    /// Another scheme.
    #[error("read identity: expected a URI that starts with \"spiffe://\"")]
    Scheme,
    /// Neither of the two paths that carry a role.
    #[error("read identity: expected the path \"/device/<uuid>\" or \"/node/<id>\"")]
    Path,
    /// The realm is no name.
    #[error("read trust domain of identity")]
    TrustDomain {
        /// What is wrong with it.
        source: LabelError,
    },
    /// A device without a usable name.
    #[error("read device of identity")]
    Device {
        /// What is wrong with it.
        source: DeviceUuidError,
    },
    /// A node without a usable name.
    #[error("read node of identity")]
    Node {
        /// What is wrong with it.
        source: LabelError,
    },
}

const SCHEME: &str = "spiffe://";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_roles_read_back_as_they_were_written() {
        let trust_domain: TrustDomain = "fleet.example.com".parse().unwrap();
        let device = DeviceUuid::from_bytes([7; 16]);
        let node: NodeId = "agg-1".parse().unwrap();
        for id in [
            SpiffeId::Device { trust_domain: trust_domain.clone(), device },
            SpiffeId::Node { trust_domain, node },
        ] {
            assert_eq!(id.to_string().parse(), Ok(id));
        }
    }

    #[test]
    fn a_uri_that_is_almost_a_role_is_none() {
        let uuid = "07070707-0707-0707-0707-070707070707";
        for uri in [
            "".to_owned(),
            "https://a/node/b".to_owned(),
            "SPIFFE://a/node/b".to_owned(),
            "spiffe://a".to_owned(),
            "spiffe://a/node".to_owned(),
            "spiffe://a/node/".to_owned(),
            "spiffe://a/node/b/".to_owned(),
            "spiffe://a/node/b?x".to_owned(),
            "spiffe://a/node/..".to_owned(),
            "spiffe:///node/b".to_owned(),
            "spiffe://a:1/node/b".to_owned(),
            "spiffe://a/Node/b".to_owned(),
            "spiffe://a/device/b".to_owned(),
            format!("spiffe://a/device/{uuid}/node/b"),
            format!("spiffe://a//device/{uuid}"),
        ] {
            assert!(uri.parse::<SpiffeId>().is_err(), "{uri:?}");
        }
    }
}
