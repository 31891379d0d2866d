//! Enrol: a join token becomes an identity.
//!
//! The key is made here and never leaves. The token's secret is sent inside a TLS session with a node
//! that proved to hold the pinned root, and nowhere else. The answer is believed only as far as every
//! verifier would. Nothing of an identity that is there is touched before a new one is complete.

mod conversation;
mod state;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use headwater_certs::csr::{DeviceKey, KeyError};
use headwater_certs::enrol::{AcceptError, MachineFacts, Refusal};
use headwater_certs::identity::{DeviceIdentity, LoadError, SaveError};
use headwater_certs::name::Pin;
use headwater_certs::token::JoinToken;

pub use self::conversation::ConversationError;
pub use self::state::{EnrolmentState, StateError};
use crate::clock::wall_us;

/// What a device joins with.
#[derive(Debug)]
pub struct Enrolling {
    /// The invitation.
    pub token: JoinToken,
    /// What the device calls itself.
    pub name: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// The folder for the identity.
    pub identity_dir: PathBuf,
    /// Whether an identity that is there is replaced.
    pub force: bool,
}

/// What came of it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Enrolled {
    /// The device has a new identity.
    Anew(EnrolmentState),
    /// It had one of the same authority before; nothing was sent.
    Before(EnrolmentState),
}

/// Why a device was not enrolled. An identity that was there is as it was.
#[derive(Debug, thiserror::Error)]
pub enum EnrolError {
    /// There is an identity of another authority.
    #[error("enrol: this host has an identity of another authority, as device {device}")]
    Elsewhere {
        /// Its device.
        device: String,
    },
    /// There is an identity that can't be read.
    #[error("enrol: look at the identity that is there")]
    Unreadable(#[source] LoadError),
    /// No node of the token answered.
    #[error("enrol: no aggregator can be reached")]
    Unreachable {
        /// Each address, and why.
        tried: Vec<(String, ConversationError)>,
    },
    /// The node refused.
    #[error("enrol: refused by the aggregator")]
    Refused {
        /// Which node.
        address: String,
        /// Why.
        refusal: Refusal,
    },
    /// A key could not be made.
    #[error("enrol")]
    Key(#[source] KeyError),
    /// The answer can't be believed.
    #[error("enrol: accept the answer of {address}")]
    Accept {
        /// Which node.
        address: String,
        /// What is wrong with it.
        source: AcceptError,
    },
    /// The identity could not be written.
    #[error("enrol: save the identity")]
    Save(#[source] SaveError),
    /// What goes with it could not be written.
    #[error("enrol")]
    State(#[source] StateError),
}

/// Enrols this host.
///
/// # Errors
/// Nothing changed on this host.
pub async fn enrol(enrolling: Enrolling) -> Result<Enrolled, EnrolError> {
    if let Some(state) = enrolled_before(&enrolling)? {
        return Ok(Enrolled::Before(state));
    }
    let key = DeviceKey::generate().map_err(EnrolError::Key)?;
    let request = conversation::Request {
        token: &enrolling.token,
        key: &key,
        name: &enrolling.name,
        labels: &enrolling.labels,
        machine: machine(),
    };
    let (address, enrolment) = conversation::with_any(&request).await?;
    let state = EnrolmentState {
        device: enrolment.device.to_string(),
        name: enrolling.name.clone(),
        fleet: enrolling.token.name().to_owned(),
        labels: enrolling.labels.clone(),
        addresses: enrolment.addresses.iter().map(ToString::to_string).collect(),
        enrolled_at: address.clone(),
        enrolled_us: wall_us(),
    };
    let now = conversation::now(&enrolment);
    let identity = enrolment
        .into_identity(&key, enrolling.token.pins(), now)
        .map_err(|source| EnrolError::Accept { address, source })?;
    // The identity comes last: without it nothing else counts.
    state.save(&enrolling.identity_dir).map_err(EnrolError::State)?;
    identity.save(&enrolling.identity_dir).map_err(EnrolError::Save)?;
    Ok(Enrolled::Anew(state))
}

/// What this host was enrolled as, if it was, by the authority of the token.
fn enrolled_before(enrolling: &Enrolling) -> Result<Option<EnrolmentState>, EnrolError> {
    if enrolling.force {
        return Ok(None);
    }
    let identity = match DeviceIdentity::load(&enrolling.identity_dir) {
        Ok(identity) => identity,
        Err(error) if error.is_missing() => return Ok(None),
        Err(error) => return Err(EnrolError::Unreadable(error)),
    };
    let device = identity.device().to_string();
    let pins = identity.bundle().iter().filter_map(|root| Pin::of_certificate(root).ok());
    if !pins.into_iter().any(|pin| enrolling.token.pins().contains(&pin)) {
        return Err(EnrolError::Elsewhere { device });
    }
    state_of(&enrolling.identity_dir, device).map(Some)
}

fn state_of(folder: &Path, device: String) -> Result<EnrolmentState, EnrolError> {
    let state = EnrolmentState::load(folder).map_err(EnrolError::State)?;
    Ok(EnrolmentState { device, ..state })
}

fn machine() -> MachineFacts {
    let facts = crate::sample::inventory();
    let fact = |name: &str| facts.get(name).cloned().unwrap_or_default();
    let system = [fact("os.name"), fact("os.version")].join(" ");
    MachineFacts {
        operating_system: system.trim().to_owned(),
        kernel: fact("kernel.version"),
        architecture: std::env::consts::ARCH.to_owned(),
        agent_version: env!("CARGO_PKG_VERSION").to_owned(),
        processors: fact("cpu.cores").parse().unwrap_or(0),
        memory_bytes: fact("memory.total_bytes").parse().unwrap_or(0),
    }
}
