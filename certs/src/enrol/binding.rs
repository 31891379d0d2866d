//! The tie between a secret and the TLS session it is sent in.

use ring::hmac;
use rustls::ConnectionCommon;
use serde::{Deserialize, Serialize};

use crate::token::Secret;

/// Label under which both sides draw the same number from their session. Source: RFC 8446, section
/// 7.5.
pub const EXPORTER_LABEL: &[u8] = b"EXPORTER-headwater-enrol";

/// A number that both sides of one TLS session know, and nobody else.
#[derive(Clone)]
pub struct Exporter([u8; 32]);

impl Exporter {
    /// Draws the number from a session whose handshake is complete. A `ClientConnection` and a
    /// `ServerConnection` both dereference to what this takes.
    ///
    /// # Errors
    /// The handshake is not complete.
    pub fn of_session<Side>(session: &ConnectionCommon<Side>) -> Result<Self, ExporterError> {
        session
            .export_keying_material([0; 32], EXPORTER_LABEL, None)
            .map(Self)
            .map_err(|source| ExporterError { source })
    }
}

impl std::fmt::Debug for Exporter {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Exporter(..)")
    }
}

/// Proof that the holder of a secret meant it for one TLS session: HMAC-SHA256 of the session's
/// number under the secret.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Binding(#[serde(with = "crate::bytes")] [u8; 32]);

impl Binding {
    /// Ties a secret to a session.
    #[must_use]
    pub fn new(secret: &Secret, exporter: &Exporter) -> Self {
        let mut mac = [0; 32];
        mac.copy_from_slice(hmac::sign(&key(secret), &exporter.0).as_ref());
        Self(mac)
    }

    /// Checks that a secret was meant for this session, in a time that does not depend on the
    /// answer.
    ///
    /// # Errors
    /// It was meant for another session: somebody passes messages on.
    pub fn verify(&self, secret: &Secret, exporter: &Exporter) -> Result<(), BindingError> {
        hmac::verify(&key(secret), &exporter.0, &self.0).map_err(|_| BindingError)
    }
}

fn key(secret: &Secret) -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes())
}

/// The session has no number yet.
#[derive(Debug, thiserror::Error)]
#[error("draw number of TLS session: complete the handshake first")]
pub struct ExporterError {
    /// What TLS said.
    pub source: rustls::Error,
}

/// A request that was made for another session.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("check enrolment request: it was made for another TLS session, so somebody is in between")]
pub struct BindingError;
