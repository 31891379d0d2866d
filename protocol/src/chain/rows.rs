//! The rows of a chain, as its driver keeps them.

use serde::{Deserialize, Serialize};

use crate::batch::Batch;
use crate::identity::Digest;

/// A row of a lane's spool. Rows are numbered over all epochs and never used again.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
pub struct Row(pub u64);

impl Row {
    /// The row after this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// What of a row is needed without reading its batch.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Link {
    /// The batch's chained digest.
    pub digest: Digest,
    /// Bytes of the batch.
    pub bytes: u64,
    /// Records that the batch holds or that its gaps stand for.
    pub records: u64,
}

impl Link {
    /// The link of a batch.
    #[must_use]
    pub fn of(batch: &Batch) -> Self {
        let bytes = batch.bytes().len() as u64;
        Self { digest: batch.digest(), bytes, records: batch.header().counts.read() }
    }
}

/// The rows of one lane inside one transaction.
pub trait Rows {
    /// Why a row can't be read or written. The transaction is given up, nothing of it is committed.
    type Error;

    /// The batch of a row that is held.
    ///
    /// # Errors
    /// If it is not there or damaged.
    fn read(&self, row: Row) -> Result<Batch, Self::Error>;

    /// The link of a row that is held.
    ///
    /// # Errors
    /// If it is not there or damaged.
    fn link(&self, row: Row) -> Result<Link, Self::Error>;

    /// Writes a row that is not there yet.
    ///
    /// # Errors
    /// If it can't be written.
    fn write(&mut self, row: Row, batch: &Batch) -> Result<(), Self::Error>;

    /// Deletes a row.
    ///
    /// # Errors
    /// If it can't be deleted.
    fn remove(&mut self, row: Row) -> Result<(), Self::Error>;
}
