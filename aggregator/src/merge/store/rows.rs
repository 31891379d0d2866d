//! A row of the store: the figures of one key in one window.

use std::collections::BTreeMap;
use std::sync::Arc;

use headwater_protocol::codec::{DecodeError, Reader, put_varint};
use headwater_protocol::record::Series;

use super::names::{self, Names};
use super::{KeyWindow, StoredRow};
use crate::merge::Write;
use crate::window::partial::{GroupRow, narrow};
use crate::window::{Figures, Spread};

/// Series of one row, for a reader: above what one key can have in a shard.
const SERIES_MAX: usize = 1 << 20;

/// Figures by the numbers of their series.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct StoredWindow {
    revision: u32,
    known: u32,
    rows: BTreeMap<u32, Row>,
}

/// The figures of one series.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Row {
    figures: Figures,
    spread: Spread,
    devices: u32,
}

impl StoredWindow {
    pub(super) fn of(write: &Write, names: &mut Names<'_>) -> Result<Self, redb::Error> {
        let mut rows = BTreeMap::new();
        for row in &write.rows {
            let GroupRow { series, figures, spread, devices } = row;
            let row = Row { figures: *figures, spread: spread.clone(), devices: *devices };
            rows.insert(names.series(series)?, row);
        }
        Ok(Self { revision: write.revision, known: write.known, rows })
    }

    /// With names instead of numbers, in the order of these; `series` holds those that were looked up before.
    pub(super) fn named(
        self,
        start_us: i64,
        transaction: &redb::ReadTransaction,
        series: &mut BTreeMap<u32, Arc<Series>>,
    ) -> Result<KeyWindow, redb::Error> {
        let mut rows = Vec::with_capacity(self.rows.len());
        for (id, Row { figures, spread, devices }) in self.rows {
            let known = match series.get(&id) {
                Some(known) => Some(Arc::clone(known)),
                None => names::series_of(transaction, id)?,
            };
            if let Some(known) = known {
                series.insert(id, Arc::clone(&known));
                rows.push(StoredRow { series: known, figures, spread, devices });
            }
        }
        Ok(KeyWindow { start_us, revision: self.revision, known: self.known, rows })
    }
}

/// An addition on top of what was there: the next revision of it.
pub(super) fn add(before: Option<StoredWindow>, addition: StoredWindow) -> StoredWindow {
    let mut sum = before.unwrap_or_default();
    sum.revision = sum.revision.saturating_add(1);
    sum.known = sum.known.max(addition.known);
    for (id, more) in addition.rows {
        match sum.rows.get_mut(&id) {
            Some(row) => {
                row.spread.add(row.figures, &more.spread, more.figures);
                row.figures = row.figures.plus(more.figures);
                // Whether a device was counted before is not known any more; it mostly was.
                row.devices = row.devices.max(more.devices);
            }
            None => drop(sum.rows.insert(id, more)),
        }
    }
    sum
}

pub(super) fn encode(window: &StoredWindow) -> Vec<u8> {
    let mut out = Vec::new();
    put_varint(&mut out, u64::from(window.revision));
    put_varint(&mut out, u64::from(window.known));
    put_varint(&mut out, window.rows.len() as u64);
    for (id, row) in &window.rows {
        put_varint(&mut out, u64::from(*id));
        put_varint(&mut out, u64::from(row.devices));
        row.figures.encode(&mut out);
    }
    // Rows without it are as those of builds that knew no quantiles.
    if window.rows.values().any(|row| row.spread.is_known()) {
        for row in window.rows.values() {
            out.push(u8::from(row.spread.is_known()));
            row.spread.encode(&mut out);
        }
    }
    out
}

pub(super) fn decode(bytes: &[u8]) -> Result<StoredWindow, DecodeError> {
    let mut reader = Reader::new(bytes);
    let (revision, known) = (narrow(&mut reader, "revision")?, narrow(&mut reader, "known")?);
    let mut rows = BTreeMap::new();
    for _ in 0..reader.length("count of series", SERIES_MAX)? {
        let (id, devices) = (narrow(&mut reader, "series")?, narrow(&mut reader, "devices")?);
        let figures = Figures::decode(&mut reader)?;
        rows.insert(id, Row { figures, spread: Spread::Unknown, devices });
    }
    if reader.left() > 0 {
        for row in rows.values_mut() {
            if reader.u8("whether quantiles are kept")? != 0 {
                row.spread = Spread::decode(row.figures, &mut reader)?;
            }
        }
    }
    reader.finish("figures of a key")?;
    Ok(StoredWindow { revision, known, rows })
}
