//! Identities: a key, the certificates that vouch for it, and the roots it trusts.
//!
//! On disk an identity is a folder (mode 0700) of two files (mode 0600): `identity.pem` holds key
//! and chain together, so that a renewal replaces both in one rename; `bundle.pem` holds the roots.

mod certificate;
mod credential;
pub mod csr;
mod device;
mod node;
mod peer;

pub(crate) use certificate::is_signed_by;
pub use certificate::{Certificate, CertificateError, Serial};
pub use credential::{CredentialError, LoadError, SaveError};
pub use device::DeviceIdentity;
pub use node::NodeIdentity;
pub(crate) use peer::identify;
pub use peer::{PeerDevice, PeerError, PeerNode, Standing, peer_device, peer_node};
