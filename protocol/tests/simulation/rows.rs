//! Rows of a chain in memory.

use std::collections::BTreeMap;
use std::rc::Rc;

use headwater_protocol::batch::Batch;
use headwater_protocol::chain::{Link, Row, Rows};

#[derive(Clone, Debug, Default)]
pub struct MemoryRows(pub BTreeMap<Row, Rc<Batch>>);

#[derive(Debug)]
pub struct NoRow;

impl Rows for MemoryRows {
    type Error = NoRow;

    fn read(&self, row: Row) -> Result<Batch, NoRow> {
        self.0.get(&row).map(|batch| Batch::clone(batch)).ok_or(NoRow)
    }

    fn link(&self, row: Row) -> Result<Link, NoRow> {
        self.0.get(&row).map(|batch| Link::of(batch)).ok_or(NoRow)
    }

    fn write(&mut self, row: Row, batch: &Batch) -> Result<(), NoRow> {
        assert!(self.0.insert(row, Rc::new(batch.clone())).is_none(), "a row is written once");
        Ok(())
    }

    fn remove(&mut self, row: Row) -> Result<(), NoRow> {
        self.0.remove(&row).map(|_| ()).ok_or(NoRow)
    }
}
