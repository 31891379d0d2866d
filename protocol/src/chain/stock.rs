//! How much a chain holds.

use serde::{Deserialize, Serialize};

use super::rows::Link;

/// What a chain's rows amount to.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
pub struct Stock {
    /// Rows of older epochs.
    pub archive: Pile,
    /// Acked rows.
    pub grace: Pile,
    /// Rows that are not acked.
    pub unsent: Pile,
}

/// A number of rows.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
pub struct Pile {
    /// Batches.
    pub batches: u64,
    /// Bytes of the batches.
    pub bytes: u64,
    /// Records that they hold or that their gaps stand for.
    pub records: u64,
}

impl Pile {
    pub(super) fn add(&mut self, link: Link) {
        self.batches += 1;
        self.bytes += link.bytes;
        self.records += link.records;
    }

    pub(super) fn remove(&mut self, link: Link) {
        self.batches -= 1;
        self.bytes -= link.bytes;
        self.records -= link.records;
    }
}

impl Stock {
    /// Bytes of all rows.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.archive.bytes + self.grace.bytes + self.unsent.bytes
    }

    /// Records of all rows.
    #[must_use]
    pub fn records(&self) -> u64 {
        self.archive.records + self.grace.records + self.unsent.records
    }

    /// Bytes that are kept against a ledger that comes back older.
    #[must_use]
    pub fn kept_bytes(&self) -> u64 {
        self.archive.bytes + self.grace.bytes
    }

    pub(super) fn ack(&mut self, link: Link) {
        self.unsent.remove(link);
        self.grace.add(link);
    }

    pub(super) fn take_back(&mut self, link: Link) {
        self.grace.remove(link);
        self.unsent.add(link);
    }

    /// Everything becomes archive: an epoch was opened.
    pub(super) fn shelve(&mut self) {
        let Self { archive, grace, unsent } = *self;
        let all = [archive, grace, unsent];
        *self = Self::default();
        self.archive = Pile {
            batches: all.iter().map(|pile| pile.batches).sum(),
            bytes: all.iter().map(|pile| pile.bytes).sum(),
            records: all.iter().map(|pile| pile.records).sum(),
        };
    }
}
