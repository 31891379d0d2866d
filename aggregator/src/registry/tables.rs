//! The tables of the registry, and how rows become bytes.

use redb::TableDefinition;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::backup::CopiedTable;

/// The version of the tables that this build writes.
pub(super) const FORMAT: u32 = 1;

/// `format`, `node`: the record of this node, `reset_key`: its secret for stateless resets, and `restored`: from which backup it comes.
pub(super) const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");
/// Devices by id.
pub(super) const DEVICES: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("devices");
/// Ids of devices by name.
pub(super) const NAMES: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("names");
/// Tokens by id.
pub(super) const TOKENS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("tokens");
/// Ids of devices by the serial of each certificate that was issued.
pub(super) const SERIALS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("serials");
/// Sessions of the console by the hash of their cookie.
pub(super) const SESSIONS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("sessions");
/// Audit entries in order.
pub(super) const AUDIT: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("audit");

/// Sets of thresholds by revision.
pub(super) const RULE_SETS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("rule_sets");
/// How far along the changes of alerts each destination of notices is, by its name.
pub(super) const NOTICES: TableDefinition<'_, &str, &[u8]> = TableDefinition::new(NOTICES_TABLE);
/// Window rules by version.
pub(super) const WINDOWS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("windows");

/// The name of the table of `NOTICES`: in a backup it is older than the others.
pub(crate) const NOTICES_TABLE: &str = "notices";

/// What is in a backup.
pub(crate) fn copied_tables() -> Vec<&'static dyn CopiedTable> {
    vec![
        &META, &DEVICES, &NAMES, &TOKENS, &SERIALS, &SESSIONS, &AUDIT, &RULE_SETS, &NOTICES,
        &WINDOWS,
    ]
}

/// A row's bytes.
pub(super) fn row(value: &impl Serialize) -> Vec<u8> {
    rmp_serde::to_vec_named(value).expect("a row of numbers, bytes and text has an encoding")
}

/// Reads a row.
pub(super) fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, redb::Error> {
    let damaged = |error| redb::Error::Corrupted(format!("a row of the registry: {error}"));
    rmp_serde::from_slice(bytes).map_err(damaged)
}
