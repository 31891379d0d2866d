//! Runs that the ledger may have forgotten, and a spool that went back: what can't be decided is declared,
//! once, and such a run is never sealed anew.

use super::opening::{Opening, own_source};
use super::{Declared, Row, Rows};
use crate::body::Body;
use crate::position::{Check, Mark, Run, Span, Stream};
use crate::record::{Cause, Content, Gap, Record, SourceInfo};
use crate::rules::Rule;

impl<R: Rows> Opening<'_, R> {
    /// What is held of a stream, that which two batches hold once: records, and bytes of its gaps.
    pub(super) fn count_held(
        &mut self,
        stream: Stream,
        held: &[(Span, Row)],
    ) -> Result<Declared, R::Error> {
        let (mut at, mut position) = (0, 0);
        let mut missing = Declared::default();
        for (span, row) in held {
            if span.end.records > at {
                missing.records += span.end.records - span.start.records.max(at);
                at = span.end.records;
            }
            if span.end.position <= position {
                continue;
            }
            let batch = self.rows.read(*row)?;
            for record in Body::open(&batch).map(|body| body.records).unwrap_or_default() {
                let is_new = record.stream == stream && record.end > position;
                if let (true, Content::Gap(gap)) = (is_new, &record.content) {
                    missing.bytes += gap.bytes;
                }
            }
            position = span.end.position;
        }
        Ok(missing)
    }

    /// Declares what is held of runs that the ledger may have forgotten. Such a run is never stored
    /// again; its source, if it is a file, goes on in a new run.
    pub(super) fn give_up(&mut self, undecided: &[(Stream, Declared)]) {
        for (stream, missing) in undecided {
            let Some(known) = self.chain.streams.get_mut(stream) else { continue };
            if known.given_up.is_some() {
                continue;
            }
            known.given_up = Some(*missing);
            let sealed = known.clone();
            self.chain.changed.insert(*stream);
            if self.is_file(*stream) {
                let start = sealed.highest.position;
                let nonce = Run::nonce_of(stream.run.content(), self.seed ^ stream.run.nonce);
                let next = self.chain.begin(stream.source, sealed.info, start, nonce);
                self.set(next, Mark { position: start, records: 0 }, sealed.check);
                if let Some(sealed) = self.chain.streams.get_mut(&next) {
                    sealed.undecided = true;
                }
            }
            if *missing != Declared::default() {
                self.undecided(Some(*stream), *missing);
            }
        }
    }

    /// Declares what is missing of a run; `None`: of runs that nobody can name any more.
    pub(super) fn undecided(&mut self, about: Option<Stream>, missing: Declared) {
        let source = own_source(self.chain.head.lane);
        let own = self.chain.sampler(source, &SourceInfo::Device, self.seed);
        self.chain.cover(&mut self.body, own);
        let start = self.body.end(own).expect("the stream was covered above").position;
        let Declared { records, bytes } = missing;
        let gap = Gap { cause: Cause::Undecided, records, bytes, about };
        let time_us = self.sealing.clock.wall_us;
        let content = Content::Gap(gap);
        self.body.push(&Record { stream: own, start, end: start + 1, time_us, content });
    }

    /// A run that was given up, and a ledger that neither knows nor can have forgotten it: an older one
    /// that came back. All of it is missing there; what was not declared when it was given up is declared
    /// in its place.
    pub(super) fn declare_rest(&mut self, stream: Stream, declared: Declared) {
        let sealed = self.chain.streams[&stream].clone();
        let (origin, highest) = (sealed.origin, sealed.highest);
        let all = highest.records.saturating_sub(origin.records);
        let rest = all.saturating_sub(declared.records);
        let nothing_declared =
            declared == Declared::default() && highest.position > origin.position;
        if (rest == 0 && !nothing_declared) || !self.chain.rules.hold(Rule::WriteGaps) {
            return;
        }
        let from = Mark { position: origin.position, records: highest.records - rest };
        self.set(stream, from, Check::NONE);
        let gap = Gap { cause: Cause::Lost, records: rest, bytes: 0, about: None };
        let (start, end) = (from.position, highest.position);
        let time_us = self.sealing.clock.wall_us;
        let record = Record { stream, start, end, time_us, content: Content::Gap(gap) };
        self.record(&record);
        self.body.set_check(stream, sealed.check);
    }
}
