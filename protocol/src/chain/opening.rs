//! Opening an epoch on the ledger's state. Rule 6 of the contract, DESIGN page, section 3.
//!
//! Positions decide what is known. Per stream, in order of position: what lies at or below the
//! ledger's position is known and not sent; what is held beyond it is sealed anew; what lies between
//! and is not held becomes a gap in its place, up to the highest position ever sealed or adopted.
//! Everything that was in the spool becomes the archive.

use std::collections::{BTreeMap, BTreeSet};

use super::recognition::OtherName;
use super::{Chain, Declared, Fresh, Head, Resumed, Row, Rows, Sealed, Sealing};
use crate::body::{Body, BodyBuilder};
use crate::header::Counts;
use crate::identity::{Lane, Receipt};
use crate::limits;
use crate::position::{Check, Mark, SourceId, Span, Stream};
use crate::record::{Cause, Content, Gap, Record, SourceInfo};
use crate::rules::Rule;
use crate::wire::{KnownStream, LaneState};

/// A source of the agent itself in a lane: facts of the device, and gaps of runs that may not be
/// stored again.
#[must_use]
pub fn own_source(lane: Lane) -> SourceId {
    let mut source = *b"headwater.own:__";
    source[14] = b'0' + lane.code();
    SourceId(source)
}

/// Where a stream lies in the rows: from, to, row.
pub(super) type Held = BTreeMap<Stream, Vec<(Span, Row)>>;

/// A stream that goes on: under which name its records are held, and under which it is sealed anew.
#[derive(Clone, Copy)]
pub(super) struct Going {
    pub(super) held: Stream,
    pub(super) on: Stream,
}

pub(super) struct Opening<'a, R: Rows> {
    pub(super) chain: &'a mut Chain,
    pub(super) rows: &'a mut R,
    pub(super) sealing: Sealing,
    pub(super) seed: u64,
    pub(super) body: BodyBuilder,
    counts: Counts,
    /// Runs that were begun and of which nothing was sealed: what was read since is a run of its own, and
    /// may be what the ledger knows by such a name.
    pub(super) unread: BTreeSet<Stream>,
    /// Rows from here on the ledger may not have: they were not acked, or it lost what it had acked.
    pub(super) unsure_from: Row,
    /// Rows from here on the ledger does not have: their epoch was never opened, as it went on in the one before.
    /// `None` if that is not sure.
    pub(super) unopened_from: Option<Row>,
    /// What is held at positions that the ledger knows, and may be of another life of this agent.
    pub(super) unsure: Vec<(Stream, Declared)>,
}

impl Chain {
    pub(super) fn open_epoch<R: Rows>(
        &mut self,
        rows: &mut R,
        state: &LaneState,
        fresh: Fresh,
        sealing: Sealing,
    ) -> Result<Resumed, R::Error> {
        let held = self.held(rows)?;
        let is_news = |known: &KnownStream| {
            known.stream.run.number > self.head.let_go_through
                && !self.streams.contains_key(&known.stream)
        };
        let went_back = state.streams.iter().any(is_news);
        let regressed = self.shows_regressed(state);
        let read_before = self.head.totals.read();
        let unsure_from = if regressed { self.head.archive_first } else { self.head.acked };
        let Head { parent, epoch, first, .. } = self.head;
        let never_opened = state.tip.epoch == parent.epoch && epoch != parent.epoch;
        let unopened_from = never_opened.then_some(first);
        self.turn_to(state, fresh);
        self.head.files_undecided |= went_back && state.horizon > 0;
        let from = self.head.next;
        let known: BTreeMap<Stream, KnownStream> =
            state.streams.iter().map(|known| (known.stream, *known)).collect();
        let is_unread = |(_, sealed): &(&Stream, &Sealed)| sealed.highest == Mark::default();
        let unread = self.streams.iter().filter(is_unread).map(|(stream, _)| *stream).collect();
        let mut opening = Opening {
            chain: self,
            rows,
            sealing,
            seed: fresh.seed,
            body: BodyBuilder::default(),
            counts: Counts::default(),
            unread,
            unsure_from,
            unopened_from,
            unsure: Vec::new(),
        };
        let mut undecided = Vec::new();
        let streams: Vec<Stream> = opening.chain.streams.keys().copied().collect();
        for stream in streams {
            let held = held.get(&stream).map_or(&[][..], Vec::as_slice);
            // A spool that went back may hold a file anew that the ledger knew under a run which it
            // has forgotten since.
            let anew = went_back && state.horizon > 0 && opening.is_file(stream);
            let forgotten = stream.run.number <= state.horizon || anew;
            if !opening.decide(stream, &known, held, forgotten)? {
                let mut missing = opening.count_held(stream, held)?;
                let Sealed { origin, highest, dropped_to, .. } = &opening.chain.streams[&stream];
                // Not forgotten under this name: what was acked and is no longer held is not there either. So it
                // may be with what was forgotten, if the ledger lost what came after. And what a full
                // spool dropped was never sent.
                if stream.run.number > state.horizon || regressed || *dropped_to > 0 {
                    missing.records = highest.records.saturating_sub(origin.records);
                }
                undecided.push((stream, missing));
            }
        }
        opening.give_up(&undecided);
        opening.declare_unsure();
        opening.flush()?;
        opening.declare_let_go(read_before);
        opening.flush()?;
        let counts = opening.counts;
        self.adopt(&known);
        Ok(Resumed::Opened { from, sealed_anew: counts.records, gap_records: counts.gap_records })
    }

    /// Whether the ledger lost batches that it had acked: it stands before the oldest batch that is still held, or
    /// its log has begun another life since the last receipt.
    fn shows_regressed(&self, state: &LaneState) -> bool {
        let Head { base, receipt, .. } = &self.head;
        let stands_before = state.tip.epoch == base.epoch && state.tip.seq < base.seq;
        let life = |it: &Receipt| (it.log, it.generation) != (state.log, state.generation);
        stands_before || receipt.as_ref().is_some_and(life)
    }

    /// What the spool holds of each stream, by the headers of its batches, in order of position.
    pub(super) fn held<R: Rows>(&self, rows: &R) -> Result<Held, R::Error> {
        let keep = self.rules.hold(Rule::KeepArchive);
        let from = if keep { self.head.archive_first } else { self.head.first };
        let mut held = Held::new();
        for row in from.0..self.head.next.0 {
            for span in &rows.read(Row(row))?.header().spans {
                held.entry(span.stream).or_default().push((*span, Row(row)));
            }
        }
        for spans in held.values_mut() {
            spans.sort_by_key(|(span, row)| (span.start.position, *row));
        }
        Ok(held)
    }

    fn turn_to(&mut self, state: &LaneState, fresh: Fresh) {
        let head = &mut self.head;
        head.epoch = fresh.epoch;
        head.parent = state.tip;
        head.base = state.tip;
        head.tip = state.tip;
        head.sealed = 0;
        head.first = head.next;
        head.acked = head.next;
        head.stock.shelve();
        head.totals = state.totals;
        head.runs = head.runs.max(state.run_highest).max(state.horizon);
        head.epochs_opened += 1;
        if self.rules.hold(Rule::NewRun) {
            self.samplers.clear();
        }
    }

    /// Takes over what the ledger knows further than the spool: a spool that was lost or rolled back.
    fn adopt(&mut self, known: &BTreeMap<Stream, KnownStream>) {
        for (stream, known) in known {
            // Where it began is not known here; its count of records is from there on, so a gap from
            // 0 is exact in records.
            let sealed = self.streams.entry(*stream).or_insert(Sealed {
                origin: Mark::default(),
                highest: known.mark,
                check: known.check,
                dropped_to: 0,
                undecided: false,
                given_up: None,
                before: None,
                torn: false,
                info: None,
            });
            if sealed.highest.position < known.mark.position {
                (sealed.highest, sealed.check) = (known.mark, known.check);
            }
            self.changed.insert(*stream);
        }
    }
}

impl<R: Rows> Opening<'_, R> {
    pub(super) fn rule(&self, rule: Rule) -> bool {
        self.chain.rules.hold(rule)
    }

    /// Seals a stream anew if it can be told what of it the ledger knows. False if it can't.
    fn decide(
        &mut self,
        stream: Stream,
        known: &BTreeMap<Stream, KnownStream>,
        held: &[(Span, Row)],
        forgotten: bool,
    ) -> Result<bool, R::Error> {
        let same = Going { held: stream, on: stream };
        if let Some(known) = known.get(&stream) {
            return self.stream(same, Some(known), held).map(|()| true);
        }
        if let Some(declared) = self.chain.streams[&stream].given_up {
            if !forgotten {
                self.declare_rest(stream, declared);
            }
            return Ok(!forgotten);
        }
        match self.other_name(stream, known, held)? {
            OtherName::Is(known) => {
                self.rename(stream, known);
                self.stream(Going { held: stream, on: known.stream }, Some(known), held)?;
            }
            OtherName::None if !(forgotten && self.rule(Rule::KeepHorizon)) => {
                self.stream(same, None, held)?;
            }
            OtherName::MayBe | OtherName::None => return Ok(false),
        }
        Ok(true)
    }

    /// Whether a stream is a file's. What the bulk lane has from the ledger alone is taken for one.
    pub(super) fn is_file(&self, stream: Stream) -> bool {
        match self.chain.streams[&stream].info {
            Some(SourceInfo::File { .. }) => true,
            Some(SourceInfo::Host | SourceInfo::Device) => false,
            None => self.chain.head.lane == Lane::Bulk && stream.source != own_source(Lane::Bulk),
        }
    }

    /// Takes the ledger's name for a stream.
    fn rename(&mut self, from: Stream, to: &KnownStream) {
        if let Some(mut sealed) = self.chain.streams.remove(&from) {
            self.chain.changed.extend([from, to.stream]);
            sealed.origin = Mark::default();
            self.chain.streams.insert(to.stream, sealed);
        }
    }

    /// Seals one stream anew, from what the ledger knows of it on.
    fn stream(
        &mut self,
        going: Going,
        known: Option<&KnownStream>,
        held: &[(Span, Row)],
    ) -> Result<(), R::Error> {
        let sealed = self.chain.streams[&going.on].clone();
        let file = self.is_file(going.on);
        let known = known.filter(|_| self.rule(Rule::FilterKnown));
        if let Some(known) = known {
            self.compare(going, known, held)?;
        }
        let mut at = known.map_or(sealed.origin, |known| known.mark);
        if let Some(again) = self.chain.streams.get_mut(&going.on) {
            again.given_up = None;
            again.torn = false;
            let own = (sealed.highest.position, sealed.check);
            let differs = known.is_some_and(|known| (at.position, known.check) != own);
            let may_go_back = file && own.1 != Check::NONE && differs && at.position >= own.0;
            again.before = sealed.before.or(may_go_back.then_some(own));
        }
        let unread = if at == sealed.highest { sealed.check } else { Check::NONE };
        self.set(going.on, at, known.map_or(unread, |known| known.check));
        if file && !self.rule(Rule::SealHeld) {
            return Ok(());
        }
        let reread = file && sealed.torn;
        for (span, row) in held {
            if reread && span.start.position > at.position {
                return Ok(());
            }
            if span.end.position > at.position {
                at = self.held_batch(going, at, (span, *row), &sealed)?;
            }
        }
        let remembered = !held.is_empty() || self.rule(Rule::RememberEnded);
        if sealed.highest.position > at.position && remembered {
            self.gap(going, at, sealed.highest, &sealed)?;
            // A sampler's check is that of the gap: what lies in it is not what was read there.
            if self.rule(Rule::WriteGaps) && file {
                self.body.set_check(going.on, sealed.check);
            }
        }
        if let Some(declared) = self.chain.streams.get_mut(&going.on) {
            declared.dropped_to = 0;
        }
        Ok(())
    }

    /// Seals anew what one held batch has of a stream beyond `at`. It ends where the held batch ends,
    /// never in its middle: there alone the check is known.
    fn held_batch(
        &mut self,
        going: Going,
        mut at: Mark,
        (span, row): (&Span, Row),
        sealed: &Sealed,
    ) -> Result<Mark, R::Error> {
        let batch = self.rows.read(row)?;
        let weight = batch.header().packing.unpacked as usize;
        let count = usize::try_from(batch.header().counts.records).unwrap_or(usize::MAX);
        let records = Body::open(&batch).map(|body| body.records).unwrap_or_default();
        let facts = records.iter().map(Record::facts).sum();
        let full = self.body.weight() + weight > limits::BATCH_BYTES_AIM * 2;
        if full || !self.body.has_room(count.saturating_add(2), count, facts, weight) {
            self.flush()?;
        }
        if span.start.position > at.position {
            at = self.gap(going, at, span.start, sealed)?;
        }
        let mut end = span.start;
        for mut record in records {
            if record.stream != going.held {
                continue;
            }
            end = Mark { position: record.end, records: end.records + record.count() };
            if record.end > at.position {
                record.stream = going.on;
                at = if record.start < at.position {
                    self.rest(going, &record, at, end)
                } else {
                    self.record(&record)
                };
            }
        }
        if self.body.end(going.on) == Some(at) && at.position == span.end.position {
            self.body.set_check(going.on, span.check);
        }
        Ok(at)
    }

    pub(super) fn record(&mut self, record: &Record) -> Mark {
        self.chain.cover(&mut self.body, record.stream);
        self.body.push(record);
        self.body.end(record.stream).expect("the stream was covered above")
    }

    /// Seals anew what lies beyond `at` of a record that reaches from before it to `end`: a gap whose
    /// beginning was applied since. A line or a sample there is of another life than what the ledger knows,
    /// and is declared with what lies before it (`compare`).
    fn rest(&mut self, going: Going, record: &Record, at: Mark, end: Mark) -> Mark {
        let gap = match &record.content {
            Content::Gap(gap) => missing(going, gap.cause, at, end),
            Content::Tick(_) | Content::Event(_) | Content::Facts(_) => {
                let noted = self.unsure.iter().any(|(stream, _)| *stream == going.held);
                let records = if noted { 0 } else { record.count() };
                Gap { cause: Cause::Undecided, records, bytes: 0, about: None }
            }
        };
        self.record(&Record { start: at.position, content: Content::Gap(gap), ..record.clone() })
    }

    /// Declares what lies between two marks and is not held.
    fn gap(
        &mut self,
        going: Going,
        from: Mark,
        to: Mark,
        sealed: &Sealed,
    ) -> Result<Mark, R::Error> {
        if !self.rule(Rule::WriteGaps) {
            self.flush()?;
            self.set(going.on, to, Check::NONE);
            return Ok(to);
        }
        let full = to.position <= sealed.dropped_to;
        let gap = missing(going, if full { Cause::SpoolFull } else { Cause::Lost }, from, to);
        let time_us = self.sealing.clock.wall_us;
        let (start, end) = (from.position, to.position);
        let content = Content::Gap(gap);
        Ok(self.record(&Record { stream: going.on, start, end, time_us, content }))
    }

    /// Where the stream goes on: the chain seals from here.
    pub(super) fn set(&mut self, stream: Stream, mark: Mark, check: Check) {
        if let Some(sealed) = self.chain.streams.get_mut(&stream) {
            (sealed.highest, sealed.check) = (mark, check);
            self.chain.changed.insert(stream);
        }
    }

    fn flush(&mut self) -> Result<(), R::Error> {
        let body = std::mem::take(&mut self.body);
        if body.is_empty() {
            return Ok(());
        }
        self.counts = self.counts.plus(body.counts());
        self.chain.append(self.rows, &body, self.sealing)?;
        Ok(())
    }
}

/// What lies between two marks. Under another name records were counted from another origin: bytes
/// alone are known.
fn missing(going: Going, cause: Cause, from: Mark, to: Mark) -> Gap {
    let same = going.held == going.on;
    Gap {
        cause,
        records: if same { to.records.saturating_sub(from.records) } else { 0 },
        bytes: if same { 0 } else { to.position.saturating_sub(from.position) },
        about: None,
    }
}
