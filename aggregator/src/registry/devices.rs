//! Devices: who is enrolled, and who is served.

use std::collections::BTreeMap;

use headwater_protocol::identity::DeviceId;
use redb::{ReadableTable, WriteTransaction};
use serde::{Deserialize, Serialize};

use super::audit::{Deed, note};
use super::tables::{DEVICES, NAMES, parse, row};
use super::{Actor, Registry, RegistryError};

/// A device as it was enrolled.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct DeviceRecord {
    /// Its id, as in its certificate.
    pub id: DeviceId,
    /// Its name on this node, unique.
    pub name: String,
    /// What it called itself.
    pub host_name: String,
    /// The group of its token. `None` if it joined none.
    pub group: Option<String>,
    /// The labels that it enrolled with.
    pub labels: BTreeMap<String, String>,
    /// The token it joined by.
    pub token: String,
    /// The serial of its certificate, hexadecimal.
    pub serial: String,
    /// Last second of its certificate, microseconds since 1970 UTC.
    pub certificate_ends_at_us: i64,
    /// When it was enrolled, microseconds since 1970 UTC.
    pub enrolled_at_us: i64,
    /// When it was revoked. `None` while it is served.
    pub revoked_at_us: Option<i64>,
    /// When two running hosts were found to use its identity. `None` while none are, and once a person
    /// has decided.
    #[serde(default)]
    pub cloned_at_us: Option<i64>,
}

/// Whether a device is served.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Served {
    /// It is.
    Yes,
    /// It was revoked.
    Revoked,
    /// Two running hosts use its identity, and nobody has decided yet.
    Cloned,
    /// It was never enrolled here, or this registry is older than its enrolment.
    Unknown,
}

/// Why it was not changed who is served.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// There is no such device.
    #[error("look up {0}: there is no such device")]
    Unknown(DeviceId),
    /// It can't be stored.
    #[error("change a device")]
    Store(#[source] RegistryError),
    /// The node is stopping.
    #[error("change a device: the node is stopping")]
    Stopping,
}

impl Registry {
    /// Every device, in order of ids.
    ///
    /// # Errors
    /// If they can't be read.
    pub fn devices(&self) -> Result<Vec<DeviceRecord>, RegistryError> {
        self.read("read devices", |transaction| {
            let table = transaction.open_table(DEVICES)?;
            table.iter()?.map(|row| parse(row?.1.value())).collect()
        })
    }

    /// A device by its id. `None` if there is none.
    ///
    /// # Errors
    /// If it can't be read.
    pub fn device(&self, id: DeviceId) -> Result<Option<DeviceRecord>, RegistryError> {
        self.read("look up a device", |transaction| {
            let table = transaction.open_table(DEVICES)?;
            table.get(id.0.as_slice())?.map(|device| parse(device.value())).transpose()
        })
    }

    /// The id of a device by its name. `None` if there is none.
    ///
    /// # Errors
    /// If it can't be read.
    pub fn device_by_name(&self, name: &str) -> Result<Option<DeviceId>, RegistryError> {
        self.read("look up a name", |transaction| {
            let table = transaction.open_table(NAMES)?;
            let id = table.get(name)?.and_then(|id| <[u8; 16]>::try_from(id.value()).ok());
            Ok(id.map(DeviceId))
        })
    }

    /// Whether a device is served.
    ///
    /// # Errors
    /// If it can't be read.
    pub fn served(&self, id: DeviceId) -> Result<Served, RegistryError> {
        Ok(match self.device(id)? {
            None => Served::Unknown,
            Some(DeviceRecord { revoked_at_us: Some(_), .. }) => Served::Revoked,
            Some(DeviceRecord { cloned_at_us: Some(_), .. }) => Served::Cloned,
            Some(_) => Served::Yes,
        })
    }

    /// Revokes a device. `false` if it had been revoked. Its sessions are for the caller to close.
    ///
    /// # Errors
    /// If there is no such device, or it can't be stored.
    pub fn revoke(&self, id: DeviceId, actor: &Actor) -> Result<bool, ServeError> {
        let revoked = self.write("revoke a device", |transaction| {
            change(transaction, id, actor, |device| {
                device.revoked_at_us.is_none().then(|| {
                    device.revoked_at_us = Some(actor.at_us);
                    let detail = format!("name {}, serial {}", device.name, device.serial);
                    ("device revoked", detail)
                })
            })
        });
        revoked.map_err(ServeError::Store)?.ok_or(ServeError::Unknown(id))
    }

    /// Marks a device as cloned: it is not served until a person has decided. Does nothing if it is
    /// marked already, or there is no such device.
    ///
    /// # Errors
    /// If it can't be stored.
    pub fn mark_cloned(
        &self,
        id: DeviceId,
        actor: &Actor,
        detail: &str,
    ) -> Result<(), RegistryError> {
        self.write("mark a device as cloned", |transaction| {
            let marked = change(transaction, id, actor, |device| {
                device.cloned_at_us.is_none().then(|| {
                    device.cloned_at_us = Some(actor.at_us);
                    ("device cloned", format!("name {}, {detail}", device.name))
                })
            });
            marked.map(drop)
        })
    }

    /// Serves a cloned device again: a person decided which host keeps its identity. `false` if it was
    /// not marked.
    ///
    /// # Errors
    /// If there is no such device, or it can't be stored.
    pub fn restore(&self, id: DeviceId, actor: &Actor) -> Result<bool, ServeError> {
        let restored = self.write("restore a device", |transaction| {
            change(transaction, id, actor, |device| {
                let cloned = device.cloned_at_us.take();
                cloned.map(|_| ("device restored", format!("name {}", device.name)))
            })
        });
        restored.map_err(ServeError::Store)?.ok_or(ServeError::Unknown(id))
    }
}

/// Changes a device together with its audit entry: what `deed` says was done, and its details; `None`
/// changes nothing. `None` if there is no such device, else whether it was changed.
fn change(
    transaction: &WriteTransaction,
    id: DeviceId,
    actor: &Actor,
    deed: impl FnOnce(&mut DeviceRecord) -> Option<(&'static str, String)>,
) -> Result<Option<bool>, redb::Error> {
    let mut table = transaction.open_table(DEVICES)?;
    let device = table.get(id.0.as_slice())?.map(|device| device.value().to_vec());
    let Some(device) = device else { return Ok(None) };
    let mut device: DeviceRecord = parse(&device)?;
    let Some((action, detail)) = deed(&mut device) else { return Ok(Some(false)) };
    table.insert(id.0.as_slice(), row(&device).as_slice())?;
    note(transaction, actor, Deed { action, subject: id.to_string(), detail })?;
    Ok(Some(true))
}
