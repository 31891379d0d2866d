//! Letting runs go that have ended, so that a spool which lives for years does not remember each file that it
//! ever read.
//!
//! A run may go once all of it was acked and no batch that is held speaks of it. A host of little files would
//! hold many in few bytes: the grace buffer gives way to them. From then on it is a number: a
//! ledger that comes back older may lack some of those runs, and which ones nobody knows any more. How many
//! records they had is known by the totals, which count what was read, and that is declared undecided.

use super::opening::Opening;
use super::{Chain, Declared, Rows};
use crate::position::Stream;
use crate::rules::Rule;

impl Chain {
    /// Lets runs go, and gives those of the given ones, the oldest first, that went: of which all was acked and
    /// nothing is held. Where more than `runs_max` would be remembered, acked batches are trimmed that hold the
    /// oldest of them. Whether they ended is for the caller to know: a run that is let go is not recognised again.
    /// The headers of all rows are read.
    ///
    /// # Errors
    /// Those of the rows.
    pub fn let_go<R: Rows>(
        &mut self,
        rows: &mut R,
        ended: impl IntoIterator<Item = Stream>,
        runs_max: usize,
    ) -> Result<Vec<Stream>, R::Error> {
        let held = self.held(rows)?;
        let mut gone = Vec::new();
        for stream in ended {
            let Some(sealed) = self.streams.get(&stream) else { continue };
            let goes_on = self.samplers.get(&stream.source) == Some(&stream);
            let is_needed = sealed.dropped_to > 0 || sealed.before.is_some();
            let last = held.get(&stream).into_iter().flatten().map(|(_, row)| *row).max();
            let last = last.filter(|last| *last >= self.head.archive_first);
            let is_too_much = || self.streams.len() > runs_max;
            let may_go = last.is_none_or(|last| last < self.head.acked && is_too_much());
            if goes_on || is_needed || !may_go {
                continue;
            }
            let read = sealed.highest.records.saturating_sub(sealed.origin.records);
            while last.is_some_and(|last| self.head.archive_first <= last) {
                self.remove_front(rows)?;
            }
            self.head.let_go_through = self.head.let_go_through.max(stream.run.number);
            self.head.let_go_records = self.head.let_go_records.saturating_add(read);
            self.streams.remove(&stream);
            self.begun.remove(&stream);
            self.changed.insert(stream);
            gone.push(stream);
        }
        Ok(gone)
    }
}

impl<R: Rows> Opening<'_, R> {
    /// Declares what the ledger lost of runs that were let go: what was read before and is neither in the ledger's
    /// count nor in what was sealed anew.
    pub(super) fn declare_let_go(&mut self, read_before: u64) {
        let head = &self.chain.head;
        let read = head.totals.read();
        let missing = read_before.saturating_sub(read).min(head.let_go_records);
        if missing > 0 && self.rule(Rule::DeclareLetGo) {
            self.undecided(None, Declared { records: missing, bytes: 0 });
        }
    }
}
