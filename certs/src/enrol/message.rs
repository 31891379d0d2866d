//! The two messages and their limits.

use std::collections::BTreeMap;

use rustls_pki_types::CertificateDer;
use serde::{Deserialize, Serialize};

use super::binding::Binding;
use super::wire::{self, DecodeError, EncodeError};
use crate::csr::CSR_BYTES_MAX;
use crate::name::{DeviceUuid, TrustDomain};
use crate::token::{Address, RedeemError, Secret, TokenId};

/// What a device asks. `Debug` does not show the secret.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct EnrolRequest {
    /// Token that is to be redeemed.
    pub token_id: TokenId,
    /// Its secret.
    pub secret: Secret,
    /// Ties the secret to the session that carries this request.
    pub binding: Binding,
    /// Signing request of the device's key.
    #[serde(with = "crate::bytes")]
    pub csr_der: Vec<u8>,
    /// What the device calls itself. Shown, and never an identity.
    pub host_name: String,
    /// Labels that the device starts with, by their names.
    pub labels: BTreeMap<String, String>,
    /// What the device is.
    pub machine: MachineFacts,
}

/// What a device says about itself. Nothing is decided by it.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct MachineFacts {
    /// Operating system and its release. Empty if unknown, like each text here.
    pub operating_system: String,
    /// Release of the kernel.
    pub kernel: String,
    /// Kind of processor, such as `x86_64`.
    pub architecture: String,
    /// Version of the agent.
    pub agent_version: String,
    /// Number of logical processors. Zero if unknown.
    pub processors: u32,
    /// Main memory in bytes. Zero if unknown.
    pub memory_bytes: u64,
}

impl EnrolRequest {
    /// Writes the request as the payload of a frame.
    ///
    /// # Errors
    /// A field or the whole is larger than the node accepts.
    pub fn encode(&self) -> Result<Vec<u8>, EncodeError> {
        self.check().map_err(|source| EncodeError::Content { source })?;
        wire::encode(self)
    }

    /// Reads the payload of a frame.
    ///
    /// # Errors
    /// It is no request, or breaks a limit. The peer is to blame.
    pub fn decode(payload: &[u8]) -> Result<Self, DecodeError> {
        let request: Self = wire::decode(payload)?;
        request.check().map_err(|source| DecodeError::Content { source })?;
        Ok(request)
    }

    fn check(&self) -> Result<(), MessageError> {
        at_most("csr_der", self.csr_der.len(), CSR_BYTES_MAX)?;
        text("host_name", &self.host_name)?;
        at_most("labels", self.labels.len(), LABELS_MAX)?;
        for (name, value) in &self.labels {
            text("labels", name)?;
            text("labels", value)?;
        }
        text("machine.operating_system", &self.machine.operating_system)?;
        text("machine.kernel", &self.machine.kernel)?;
        text("machine.architecture", &self.machine.architecture)?;
        text("machine.agent_version", &self.machine.agent_version)
    }
}

/// What the node answers.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum EnrolResponse {
    /// The device has a name and a certificate.
    Enrolled(Enrolment),
    /// It has not.
    Refused(Refusal),
}

/// All that a device needs from then on.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Enrolment {
    /// Name that the authority gave.
    pub device: DeviceUuid,
    /// Realm of the authority.
    pub trust_domain: TrustDomain,
    /// Certificates to present, leaf first.
    pub chain: Vec<Der>,
    /// Roots to trust.
    pub bundle: Vec<Der>,
    /// Where the nodes serve devices, in the order to try.
    pub addresses: Vec<Address>,
    /// The node's time, in milliseconds since 1970.
    pub server_time_unix_ms: u64,
}

/// A certificate in a message.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Der(#[serde(with = "crate::bytes")] Vec<u8>);

impl From<&CertificateDer<'_>> for Der {
    fn from(certificate: &CertificateDer<'_>) -> Self {
        Self(certificate.to_vec())
    }
}

impl From<Der> for CertificateDer<'static> {
    fn from(der: Der) -> Self {
        CertificateDer::from(der.0)
    }
}

/// Why a device was not enrolled.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Refusal {
    /// What the agent acts on.
    pub reason: RefusalReason,
    /// What a person reads. From another host, so it is shown with control characters made visible.
    pub message: String,
}

/// Kinds of refusal.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum RefusalReason {
    /// No such token, or the secret is wrong. The two are not told apart.
    UnknownToken,
    /// All uses of the token are taken.
    TokenUsed,
    /// The token's time is over.
    TokenExpired,
    /// Wrong secrets were shown too often.
    TokenLocked,
    /// The request was made for another session.
    OtherSession,
    /// The request or its signing request is malformed.
    BadRequest,
    /// Too many tries from this address or overall. Try again in a minute.
    TooManyTries,
    /// A person has to approve. Try again later.
    AwaitingApproval,
    /// The node cannot enrol at the moment. Try another one.
    Unavailable,
}

impl From<RedeemError> for RefusalReason {
    fn from(error: RedeemError) -> Self {
        match error {
            RedeemError::UnknownSecret => Self::UnknownToken,
            RedeemError::Used => Self::TokenUsed,
            RedeemError::Expired { .. } => Self::TokenExpired,
            RedeemError::LockedOut => Self::TokenLocked,
        }
    }
}

impl EnrolResponse {
    /// Writes the answer as the payload of a frame.
    ///
    /// # Errors
    /// A field or the whole is larger than the device accepts.
    pub fn encode(&self) -> Result<Vec<u8>, EncodeError> {
        self.check().map_err(|source| EncodeError::Content { source })?;
        wire::encode(self)
    }

    /// Reads the payload of a frame.
    ///
    /// # Errors
    /// It is no answer, or breaks a limit. The peer is to blame.
    pub fn decode(payload: &[u8]) -> Result<Self, DecodeError> {
        let response: Self = wire::decode(payload)?;
        response.check().map_err(|source| DecodeError::Content { source })?;
        Ok(response)
    }

    fn check(&self) -> Result<(), MessageError> {
        match self {
            Self::Enrolled(enrolment) => {
                at_most("chain", enrolment.chain.len(), CERTIFICATES_MAX)?;
                at_most("bundle", enrolment.bundle.len(), CERTIFICATES_MAX)?;
                at_most("addresses", enrolment.addresses.len(), ADDRESSES_MAX)
            }
            Self::Refused(refusal) => at_most("message", refusal.message.len(), MESSAGE_BYTES_MAX),
        }
    }
}

fn text(field: &'static str, value: &str) -> Result<(), MessageError> {
    at_most(field, value.len(), TEXT_BYTES_MAX)
}

fn at_most(field: &'static str, size: usize, size_max: usize) -> Result<(), MessageError> {
    if size > size_max { Err(MessageError { field, size, size_max }) } else { Ok(()) }
}

/// A field of a message is larger than it may be.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("check {field}: it has a size of {size}, expected at most {size_max}")]
pub struct MessageError {
    /// Which field.
    pub field: &'static str,
    /// Bytes of a text, or entries of a list.
    pub size: usize,
    /// How much is accepted.
    pub size_max: usize,
}

/// Longest host name, label or fact. A DNS name has at most 253 bytes.
const TEXT_BYTES_MAX: usize = 256;

/// Labels of one device; with their longest texts they take half of a message.
const LABELS_MAX: usize = 64;

/// A chain has two certificates, a bundle two during a change of roots.
const CERTIFICATES_MAX: usize = 8;

/// One address for each node of a large cluster.
const ADDRESSES_MAX: usize = 16;

/// A few sentences.
const MESSAGE_BYTES_MAX: usize = 1_024;
