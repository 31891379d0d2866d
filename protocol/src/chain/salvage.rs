//! Batches of a spool that is of no use any more: what could be read of it goes on, what is missing of it
//! is declared. Case F23 of the FAILURES page.
//!
//! Nothing but the batches is trusted. They become the archive of a fresh chain, which the next handshake
//! opens an epoch on: positions decide what of them the ledger knows.

use super::{Chain, Fresh, Link, Row, Rows, Sealed, Sealing};
use crate::batch::Batch;
use crate::body::{Body, BodyBuilder};
use crate::identity::{DeviceId, Lane, Tip};
use crate::position::{Check, Mark, Span, Stream};
use crate::record::{Cause, Content, Gap, Record, SourceInfo};

use super::opening::own_source;

impl Chain {
    /// A chain that takes over batches: it hangs on no state that a ledger can be in, so that the next
    /// handshake opens an epoch.
    #[must_use]
    pub fn salvaging(device: DeviceId, lane: Lane, fresh: Fresh) -> Self {
        let mut chain = Self::new(device, lane, fresh);
        let nowhere = Tip { epoch: fresh.epoch, ..Tip::GENESIS };
        (chain.head.parent, chain.head.base, chain.head.tip) = (nowhere, nowhere, nowhere);
        chain
    }

    /// Takes a batch over as the newest row of the archive. Batches of one epoch come in order; some may be
    /// missing between them.
    ///
    /// # Errors
    /// Those of the rows.
    ///
    /// # Panics
    /// If the chain has sealed anything: a caller's mistake.
    pub fn shelve<R: Rows>(&mut self, rows: &mut R, batch: &Batch) -> Result<(), R::Error> {
        assert!(self.head.sealed == 0, "batches are taken over before anything is sealed");
        let row = self.head.next;
        rows.write(row, batch)?;
        self.head.stock.archive.add(Link::of(batch));
        let next = row.next();
        (self.head.next, self.head.first, self.head.acked) = (next, next, next);
        // A body that can't be opened says nothing of its sources; the ledger will call it a gap.
        let infos = Body::open(batch).map(|body| body.streams).unwrap_or_default();
        for span in &batch.header().spans {
            let info = infos.iter().find(|(stream, _)| *stream == span.stream);
            self.learn(span, info.and_then(|(_, info)| info.clone()));
        }
        Ok(())
    }

    fn learn(&mut self, span: &Span, info: Option<SourceInfo>) {
        self.head.runs = self.head.runs.max(span.stream.run.number);
        self.changed.insert(span.stream);
        let is_whole = span.start.records == 0;
        let sealed = self.streams.entry(span.stream).or_insert_with(|| Sealed {
            // A run is counted from its beginning: where that was is known by its first batch alone.
            origin: if is_whole { span.start } else { Mark::default() },
            highest: span.start,
            check: Check::NONE,
            dropped_to: 0,
            undecided: false,
            given_up: None,
            before: None,
            torn: !is_whole,
            info: None,
        });
        sealed.info = info.or(sealed.info.take());
        sealed.torn |= span.start.position > sealed.highest.position;
        if span.end.position > sealed.highest.position {
            (sealed.highest, sealed.check) = (span.end, span.check);
        }
    }

    /// Declares, in a batch of its own, that more may be missing than can be shown: what the lane held
    /// beyond the last batch that could be read. Of files nothing is: they are read again.
    ///
    /// # Errors
    /// Those of the rows.
    pub fn suspect<R: Rows>(
        &mut self,
        rows: &mut R,
        sealing: Sealing,
        seed: u64,
    ) -> Result<Row, R::Error> {
        let about = self.last_sampler();
        let own = self.sampler(own_source(self.head.lane), &SourceInfo::Device, seed);
        let mut body = BodyBuilder::default();
        self.cover(&mut body, own);
        let gap = Gap { cause: Cause::Suspected, records: 0, bytes: 0, about };
        let (time_us, content) = (sealing.clock.wall_us, Content::Gap(gap));
        body.push(&Record { stream: own, start: 0, end: 1, time_us, content });
        self.seal(rows, &body, sealing)
    }

    /// The newest run of the host's sampler.
    fn last_sampler(&self) -> Option<Stream> {
        let hosts = self.streams.iter().filter(|(_, it)| it.info == Some(SourceInfo::Host));
        hosts.map(|(stream, _)| *stream).max_by_key(|stream| stream.run.number)
    }
}
