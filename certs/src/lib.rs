//! Headwater certs: who may speak, and for whom.
//!
//! An [`Authority`](authority::Authority) holds an offline root, which devices pin, and an issuing
//! intermediate, which signs every leaf. In order of a device's life:
//!
//! 1. An operator makes a [`JoinToken`](token::JoinToken): where to go, which root to expect, and a
//!    secret that works once. The aggregator keeps a [`TokenRecord`](token::TokenRecord), which
//!    knows the secret's hash only.
//! 2. The device makes a [`DeviceKey`](csr::DeviceKey), which never leaves it, and connects with
//!    [`enrol_client_config`](tls::enrol_client_config): no certificate is believed but a chain to
//!    the pinned root.
//! 3. Inside that session it sends an [`EnrolRequest`](enrol::EnrolRequest): secret, proof that the
//!    secret was meant for this very session, and signing request. Names in the request are
//!    ignored.
//! 4. The authority names the device and answers a chain and the roots to trust: a
//!    [`DeviceIdentity`](identity::DeviceIdentity).
//! 5. From then on both sides show certificates ([`agent_client_config`](tls::agent_client_config),
//!    [`node_server_config`](tls::node_server_config)). Verifiers check chain, key usage **and**
//!    role, so that a device can never serve and a node is never taken for a device.
//! 6. [`peer_device`](identity::peer_device) says who is connected. Nothing else does.
//!
//! The crate has no network code. Time is an argument, except in TLS, where it is a
//! [`Clock`](tls::Clock). Private keys are written to files of mode 0600 and appear in no `Debug`
//! output. There is no way to skip a verification.

mod bytes;
mod files;

pub mod authority;
pub mod enrol;
pub mod identity;
pub mod name;
pub mod tls;
pub mod token;

pub use files::{ReadError, WriteError, WriteStep};
pub use identity::csr;
pub use rustls_pki_types::UnixTime;
