//! Numbers that stand for keys and series in the store's rows.

use std::collections::BTreeMap;
use std::sync::Arc;

use headwater_protocol::codec::Reader;
use headwater_protocol::record::Series;
use redb::{
    ReadTransaction, ReadableTable, ReadableTableMetadata, Table, TableDefinition, WriteTransaction,
};

use crate::window::partial::{decode_texts, encode_texts};
use crate::window::{Combination, Key};

/// Numbers of keys, by combination and key as bytes.
const KEYS: TableDefinition<'_, &[u8], u32> = TableDefinition::new("keys");
/// Numbers of series, by their bytes.
const SERIES: TableDefinition<'_, &[u8], u32> = TableDefinition::new("series");
/// Series by their numbers.
const SERIES_OF: TableDefinition<'_, u32, &[u8]> = TableDefinition::new("series_of");

/// Gives numbers, in a transaction that writes.
pub(super) struct Names<'t> {
    keys: Table<'t, &'static [u8], u32>,
    series: Table<'t, &'static [u8], u32>,
    series_of: Table<'t, u32, &'static [u8]>,
    /// Numbers that were asked for in this transaction: by series, which keys mostly share.
    known: BTreeMap<Arc<Series>, u32>,
}

impl<'t> Names<'t> {
    pub(super) fn prepare(transaction: &WriteTransaction) -> Result<(), redb::Error> {
        Names::open(transaction).map(drop)
    }

    pub(super) fn open(transaction: &'t WriteTransaction) -> Result<Self, redb::Error> {
        Ok(Self {
            keys: transaction.open_table(KEYS)?,
            series: transaction.open_table(SERIES)?,
            series_of: transaction.open_table(SERIES_OF)?,
            known: BTreeMap::new(),
        })
    }

    /// The number of a key.
    pub(super) fn key(&mut self, combination: &Combination, key: &Key) -> Result<u32, redb::Error> {
        let bytes = bytes_of(combination, key);
        if let Some(id) = self.keys.get(bytes.as_slice())? {
            return Ok(id.value());
        }
        let id = narrow(self.keys.len()?);
        self.keys.insert(bytes.as_slice(), id)?;
        Ok(id)
    }

    /// The number of a series.
    pub(super) fn series(&mut self, series: &Arc<Series>) -> Result<u32, redb::Error> {
        if let Some(id) = self.known.get(series) {
            return Ok(*id);
        }
        let mut bytes = Vec::new();
        series.encode(&mut bytes);
        let stored = self.series.get(bytes.as_slice())?.map(|id| id.value());
        let id = match stored {
            Some(id) => id,
            None => {
                let id = narrow(self.series.len()?);
                self.series.insert(bytes.as_slice(), id)?;
                self.series_of.insert(id, bytes.as_slice())?;
                id
            }
        };
        self.known.insert(Arc::clone(series), id);
        Ok(id)
    }
}

/// The number of a key. `None` if it never had figures.
pub(super) fn key_id(
    transaction: &ReadTransaction,
    combination: &Combination,
    key: &Key,
) -> Result<Option<u32>, redb::Error> {
    let keys = transaction.open_table(KEYS)?;
    Ok(keys.get(bytes_of(combination, key).as_slice())?.map(|id| id.value()))
}

/// The keys of a combination, in order.
pub(super) fn keys(
    transaction: &ReadTransaction,
    combination: &Combination,
) -> Result<Vec<Key>, redb::Error> {
    let mut prefix = Vec::new();
    encode_texts(combination.labels(), &mut prefix);
    let table = transaction.open_table(KEYS)?;
    let mut keys = Vec::new();
    for row in table.range(prefix.as_slice()..)? {
        let (bytes, _) = row?;
        let Some(key) = bytes.value().strip_prefix(prefix.as_slice()) else { break };
        keys.extend(Key::decode(&mut Reader::new(key)));
    }
    keys.sort();
    Ok(keys)
}

/// A key of a combination, and its number.
pub(super) type Numbered = (Arc<Combination>, Arc<Key>, u32);

/// All keys but those of single devices, in order of combination and key.
pub(super) fn all(transaction: &ReadTransaction) -> Result<Vec<Numbered>, redb::Error> {
    let mut keys: Vec<Numbered> = Vec::new();
    for row in transaction.open_table(KEYS)?.iter()? {
        let (bytes, id) = row?;
        let mut reader = Reader::new(bytes.value());
        // What was written here can be read.
        let Ok(labels) = decode_texts(&mut reader) else { continue };
        let combination = Combination::new(labels);
        if let (false, Ok(key)) = (combination.is_device(), Key::decode(&mut reader)) {
            let combination = match keys.last() {
                Some((last, _, _)) if **last == combination => Arc::clone(last),
                _ => Arc::new(combination),
            };
            keys.push((combination, Arc::new(key), id.value()));
        }
    }
    keys.sort();
    Ok(keys)
}

/// A series by its number. `None` if there is none, which a row of ours never names.
pub(super) fn series_of(
    transaction: &ReadTransaction,
    id: u32,
) -> Result<Option<Arc<Series>>, redb::Error> {
    let table = transaction.open_table(SERIES_OF)?;
    let bytes = table.get(id)?;
    let series = bytes.and_then(|bytes| Series::decode(&mut Reader::new(bytes.value())).ok());
    Ok(series.map(Arc::new))
}

fn bytes_of(combination: &Combination, key: &Key) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode_texts(combination.labels(), &mut bytes);
    key.encode(&mut bytes);
    bytes
}

/// Numbers are given in order; four billion names would fill a disk first.
fn narrow(count: u64) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}
