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
    /// lies where it knows something, and is not shown to be that, may be of another life: it is not
    /// sent, and noted.
    ///
    /// Batches of an earlier boot of the host were sealed before the present life began: what the ledger
    /// knows further is from after them.
    pub(super) fn compare(
        &mut self,
        going: Going,
        known: &KnownStream,
        held: &[(Span, Row)],
    ) -> Result<(), R::Error> {
        let position = known.mark.position;
        let mut from = None;
        for (span, row) in held {
            let lies_there = *row >= self.unsure_from && span.start.position < position;
            if lies_there && self.rows.read(*row)?.header().clock.boot == self.sealing.clock.boot {
                from = from.or(Some(span.start.position));
            }
        }
        let Some(from) = from.filter(|_| self.rule(Rule::CompareLives)) else {
            return Ok(());
        };
        if self.is_same(going, known, held)? {
            return Ok(());
        }
        let missing = self.count(going.held, (from, position), held)?;
        if missing != Declared::default() {
            self.unsure.push((going.held, missing));
        }
        Ok(())
    }

    /// Declares what was noted, in the agent's own run.
    pub(super) fn declare_unsure(&mut self) {
        for (stream, missing) in std::mem::take(&mut self.unsure) {
            self.undecided(stream, missing);
        }
    }

    /// Whether what stands before the ledger's position is shown to be held. A gap that is held there stands
    /// for what was given up since: it shows nothing, and nothing else is there to be lost.
    fn is_same(
        &self,
        going: Going,
        known: &KnownStream,
        held: &[(Span, Row)],
    ) -> Result<bool, R::Error> {
        let (position, is_file) = (known.mark.position, self.is_file(going.on));
        let mut differs = false;
        for (span, row) in held.iter().filter(|(span, _)| span.covers(position)) {
            let ends = span.end.position == position;
            if ends && span.check == known.check {
                return Ok(true);
            }
            let covers = |record: &&Record| {
                record.stream == going.held && record.start < position && record.end >= position
            };
            let records = self.records(*row)?;
            let Some(record) = records.iter().find(covers) else { continue };
            if matches!(record.content, Content::Gap(_)) {
                return Ok(true);
            }
            let own = record.end == position && !ends && !is_file;
            if own && record.check() == known.check {
                return Ok(true);
            }
            // Of a line in the middle of a batch the check is made of the lines before it, below.
            differs |= ends || !is_file || record.end > position;
        }
        let compares = is_file && !differs;
        Ok(compares && self.check_at(going.held, position, held)? == Some(known.check))
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
