//! Enrolment: one use off the token, id, name, serial and audit entry in one commit.

use std::time::Duration;

use headwater_certs::authority::{Authority, IssueError, Issued};
use headwater_certs::enrol::EnrolRequest;
use headwater_certs::name::DeviceUuid;
use headwater_certs::token::{RedeemError, TokenRecord};
use headwater_protocol::identity::DeviceId;
use redb::{ReadableTable, WriteTransaction};

use super::audit::{Deed, note};
use super::devices::DeviceRecord;
use super::tables::{DEVICES, NAMES, SERIALS, TOKENS, parse, row};
use super::tokens::time;
use super::{Actor, Registry, RegistryError};

/// Longest name of a device: one DNS label. Source: RFC 1035, section 2.3.4.
const NAME_BYTES_MAX: usize = 63;

/// Who applies, and on what terms. The session's binding was checked.
#[derive(Debug)]
pub struct Applicant<'a> {
    /// What it asks.
    pub request: &'a EnrolRequest,
    /// Who signs.
    pub authority: &'a Authority,
    /// For how long.
    pub life: Duration,
    /// From where, and when.
    pub actor: Actor,
}

/// A device that was enrolled.
#[derive(Debug)]
pub struct Enrolled {
    /// Its record.
    pub device: DeviceRecord,
    /// Its id as certificates write it.
    pub uuid: DeviceUuid,
    /// Its certificate.
    pub issued: Issued,
}

/// Why a device was not enrolled.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// The token is not accepted.
    #[error(transparent)]
    Token(RedeemError),
    /// No certificate was issued.
    #[error("enrol a device")]
    Issue(#[source] IssueError),
    /// No id could be drawn.
    #[error("enrol a device: draw its id")]
    Random(#[source] getrandom::Error),
    /// It can't be stored.
    #[error("enrol a device")]
    Store(#[source] RegistryError),
}

impl Registry {
    /// Enrols a device. Of two that show the same last use, one is refused.
    ///
    /// # Errors
    /// Why not. A wrong secret is counted; everything else leaves the token as it was.
    pub fn enrol(&self, applicant: &Applicant<'_>) -> Result<Enrolled, Refused> {
        let uuid = DeviceUuid::random().map_err(Refused::Random)?;
        let enrolled =
            self.write("enrol a device", |transaction| redeem(transaction, applicant, uuid));
        enrolled.map_err(Refused::Store)?
    }
}

fn redeem(
    transaction: &WriteTransaction,
    applicant: &Applicant<'_>,
    uuid: DeviceUuid,
) -> Result<Result<Enrolled, Refused>, redb::Error> {
    let Applicant { request, actor, .. } = applicant;
    let id = request.token_id.to_bytes();
    let mut tokens = transaction.open_table(TOKENS)?;
    let found = tokens.get(id.as_slice())?.map(|token| token.value().to_vec());
    let Some(found) = found else { return Ok(Err(Refused::Token(RedeemError::UnknownSecret))) };
    let mut token: TokenRecord = parse(&found)?;
    let tries = token.wrong_tries;
    let now = time(actor.at_us);
    if let Err(error) = token.redeem(&request.secret, now) {
        // Only what changes the token is worth a commit: what a stranger repeats must not fill the disk.
        if token.wrong_tries != tries {
            tokens.insert(id.as_slice(), row(&token).as_slice())?;
            let (subject, detail) = (request.token_id.to_string(), error.to_string());
            note(transaction, actor, Deed { action: "enrolment refused", subject, detail })?;
        }
        return Ok(Err(Refused::Token(error)));
    }
    let issued = match applicant.authority.issue_device(&request.csr_der, uuid, applicant.life, now)
    {
        Ok(issued) => issued,
        Err(error) => return Ok(Err(Refused::Issue(error))),
    };
    tokens.insert(id.as_slice(), row(&token).as_slice())?;
    let device = DeviceRecord {
        id: DeviceId(uuid.to_bytes()),
        name: free_name(transaction, &request.host_name)?,
        host_name: request.host_name.clone(),
        group: token.group.clone(),
        labels: request.labels.clone(),
        token: request.token_id.to_string(),
        serial: issued.serial.to_string(),
        certificate_ends_at_us: micros(issued.not_after.as_secs()),
        enrolled_at_us: actor.at_us,
        revoked_at_us: None,
        cloned_at_us: None,
    };
    store(transaction, actor, &device)?;
    Ok(Ok(Enrolled { device, uuid, issued }))
}

fn store(
    transaction: &WriteTransaction,
    actor: &Actor,
    device: &DeviceRecord,
) -> Result<(), redb::Error> {
    let id = device.id.0.as_slice();
    transaction.open_table(DEVICES)?.insert(id, row(device).as_slice())?;
    transaction.open_table(NAMES)?.insert(device.name.as_str(), id)?;
    transaction.open_table(SERIALS)?.insert(device.serial.as_bytes(), id)?;
    let detail = format!(
        "name {}, host name {:?}, serial {}, token {}",
        device.name, device.host_name, device.serial, device.token
    );
    let subject = device.id.to_string();
    note(transaction, actor, Deed { action: "device enrolled", subject, detail })
}

/// The host name, or the first of `-2`, `-3` … after it that is free. What can't stand in a name becomes
/// a dash: names are typed and printed.
fn free_name(transaction: &WriteTransaction, host_name: &str) -> Result<String, redb::Error> {
    let plain = |c: char| c.is_ascii_alphanumeric() || ".-_".contains(c);
    let name: String = host_name.chars().map(|c| if plain(c) { c } else { '-' }).collect();
    let name = name.trim_matches(['-', '.']);
    let name = if name.is_empty() { "device" } else { &name[..name.len().min(NAME_BYTES_MAX)] };
    let names = transaction.open_table(NAMES)?;
    if names.get(name)?.is_none() {
        return Ok(name.to_owned());
    }
    let mut number = 2_u64;
    loop {
        let numbered = format!("{name}-{number}");
        if names.get(numbered.as_str())?.is_none() {
            return Ok(numbered);
        }
        number += 1;
    }
}

fn micros(unix_s: u64) -> i64 {
    i64::try_from(unix_s.saturating_mul(1_000_000)).unwrap_or(i64::MAX)
}
