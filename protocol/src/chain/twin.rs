//! Two lives of one agent: a machine that was saved while it ran, and went on from there again without a
//! start. Case F1 of the FAILURES page.
//!
//! Both lives give the same positions of a run to other records. What the ledger knows of them is one
//! life's; what is held at such a position may be the other's, and which can be told by its check alone.

use super::opening::{Going, Opening};
use super::{Declared, Row, Rows};
use crate::body::Body;
use crate::position::{Span, Stream};
use crate::record::{Content, Record};
use crate::rules::Rule;
use crate::wire::KnownStream;

impl<R: Rows> Opening<'_, R> {
    /// Compares what is held of a stream with what the ledger knows of it. What the ledger need not have,
    /// lies where it knows something, and is shown to be something else, is of another life: it is not
    /// sent, and noted. So is what may be something else, if this process sealed it, or if the ledger never opened
    /// its epoch: other things sealed before a start are taken for known, as a spool that was rolled back is
    /// started again.
    pub(super) fn compare(
        &mut self,
        going: Going,
        known: &KnownStream,
        held: &[(Span, Row)],
    ) -> Result<(), R::Error> {
        let position = known.mark.position;
        let there = held.iter().filter(|(span, _)| span.start.position < position);
        let there: Vec<_> = there.filter(|(_, row)| *row >= self.unsure_from).collect();
        if there.is_empty() || !self.rule(Rule::CompareLives) {
            return Ok(());
        }
        let born = self.chain.born;
        let from = match self.is_same(going, known, held)? {
            Some(true) => None,
            Some(false) => there.first(),
            None => there.iter().find(|(_, row)| {
                *row >= born || self.unopened_from.is_some_and(|from| *row >= from)
            }),
        };
        let Some((first, _)) = from else { return Ok(()) };
        let missing = self.count(going.held, (first.start.position, position), held)?;
        if missing != Declared::default() {
            self.unsure.push((going.held, missing));
        }
        Ok(())
    }

    /// Declares what was noted, in the agent's own run.
    pub(super) fn declare_unsure(&mut self) {
        for (stream, missing) in std::mem::take(&mut self.unsure) {
            self.undecided(Some(stream), missing);
        }
    }

    /// Whether what stands before the ledger's position is held; `None` if too little is held to say so. A gap
    /// that is held there stands for what was given up since: nothing else is there to be lost.
    fn is_same(
        &self,
        going: Going,
        known: &KnownStream,
        held: &[(Span, Row)],
    ) -> Result<Option<bool>, R::Error> {
        let (position, is_file) = (known.mark.position, self.is_file(going.on));
        let mut differs = false;
        for (span, row) in held.iter().filter(|(span, _)| span.covers(position)) {
            let ends = span.end.position == position;
            if ends && span.check == known.check {
                return Ok(Some(true));
            }
            let covers = |record: &&Record| {
                record.stream == going.held && record.start < position && record.end >= position
            };
            let records = self.records(*row)?;
            let Some(record) = records.iter().find(covers) else { continue };
            if matches!(record.content, Content::Gap(_)) {
                return Ok(Some(true));
            }
            let own = record.end == position && !ends && !is_file;
            if own && record.check() == known.check {
                return Ok(Some(true));
            }
            // Of a line in the middle of a batch the check is made of the lines before it, below.
            differs |= ends || !is_file || record.end > position;
        }
        if differs || !is_file {
            return Ok(differs.then_some(false));
        }
        let check = self.check_at(going.held, position, held)?;
        Ok(check.map(|check| check == known.check))
    }

    /// What is held of a stream between two positions, that which two batches hold once.
    fn count(
        &self,
        stream: Stream,
        (from, to): (u64, u64),
        held: &[(Span, Row)],
    ) -> Result<Declared, R::Error> {
        let (mut count, mut at) = (Declared::default(), from);
        for (span, row) in held {
            if span.end.position <= at || span.start.position >= to {
                continue;
            }
            for record in self.records(*row)? {
                if record.stream != stream || record.start < at || record.start >= to {
                    continue;
                }
                at = record.end;
                count.records += record.count();
                if let Content::Gap(gap) = &record.content {
                    count.bytes += gap.bytes;
                }
            }
        }
        Ok(count)
    }

    fn records(&self, row: Row) -> Result<Vec<Record>, R::Error> {
        Ok(Body::open(&self.rows.read(row)?).map(|body| body.records).unwrap_or_default())
    }
}

impl Span {
    /// Whether a position lies in it, its end included.
    fn covers(&self, position: u64) -> bool {
        self.start.position < position && position <= self.end.position
    }
}
