//! The agent's chain of one lane: batches in order, each hanging on the one before.
//!
//! The spool holds the chain's newest part: rows `[first, next)`, of which those below `acked` are the
//! grace buffer. Rows `[archive_first, first)` are the archive: batches of older epochs, never sent as
//! they are, looked through each time an epoch opens.
//!
//! The machine decides; its driver owns the disk. Every method that takes `Rows` is one transaction:
//! the driver commits the rows, the head and the streams that changed together, or none of them.
//!
//! **Invariants.** A row below `acked` was acked by a triple that is this chain's own. Rows leave only
//! from the front: archive first, then acked rows, then, under a dropping policy alone, unsent ones,
//! which breaks the chain and so opens an epoch at the next handshake. Of each stream the highest
//! position ever sealed or adopted is remembered, so that what is missing is declared; of runs that were let
//! go their number and how much was read of them.

mod giving_up;
mod head;
mod letting_go;
mod opening;
mod recognition;
mod rows;
mod salvage;
mod stock;
mod twin;

use std::collections::{BTreeMap, BTreeSet};

use crate::batch::Batch;
use crate::body::BodyBuilder;
use crate::header::{Clock, Counts, Header, Packing};
use crate::identity::{DeviceId, Epoch, Lane, Receipt, Seq, Tip};
use crate::position::{Check, Mark, Run, SourceId, Stream};
use crate::record::SourceInfo;
use crate::rules::{Rule, Rules};
use crate::wire::LaneState;

pub use head::Head;
pub use opening::own_source;
pub use rows::{Link, Row, Rows};
pub use stock::{Pile, Stock};

/// What is missing of a stream, and said to be: records, and bytes that were gone before they could be read.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Declared {
    /// How many records.
    pub records: u64,
    /// How many bytes.
    pub bytes: u64,
}

/// What the chain remembers of a stream.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Sealed {
    /// Where the run began.
    pub origin: Mark,
    /// The highest position ever sealed or adopted.
    pub highest: Mark,
    /// The check at `highest`.
    pub check: Check,
    /// Up to which position unsent rows were dropped because the spool was full, and no gap says so yet; 0 if
    /// none was.
    pub dropped_to: u64,
    /// Whether what its file holds beyond `highest` may have been read by a state of this spool that
    /// was rolled back: it is declared undecided up to the file's present end, and read from there.
    pub undecided: bool,
    /// What was declared of the run when it was given up, because the ledger may have forgotten it. It is
    /// remembered for a ledger that comes back older, and is read no further. `None`: it was not.
    pub given_up: Option<Declared>,
    /// Where this spool itself had sealed it to, and the check there, while the ledger knows it further or
    /// otherwise: a file that went back with its host goes on from there. `None` mostly.
    pub before: Option<(u64, Check)>,
    /// Whether batches between those that are held were lost with a damaged spool, so that what is missing
    /// is still in its file: it is read again, not declared.
    pub torn: bool,
    /// What the source is; `None` if only the ledger knows the stream.
    pub info: Option<SourceInfo>,
}

/// A lane's chain. The head and the streams are durable; which run a sampler is in is not, so that
/// each start begins a new one.
#[derive(Clone, Debug)]
pub struct Chain {
    head: Head,
    streams: BTreeMap<Stream, Sealed>,
    changed: BTreeSet<Stream>,
    /// Runs of which nothing was sealed yet. They are not durable: after a crash a run without its first
    /// records would hide the one before it, whose rest may be lost by the same crash.
    begun: BTreeSet<Stream>,
    samplers: BTreeMap<SourceId, Stream>,
    /// Rows from here on were sealed by this process, or by one before it that heard nothing either.
    born: Row,
    /// Whether the ledger has spoken since this process began.
    heard: bool,
    rules: Rules,
}

/// What the driver brings to a seal.
#[derive(Clone, Copy, Debug)]
pub struct Sealing {
    /// The device's clocks.
    pub clock: Clock,
    /// zstd's level.
    pub level: i32,
    /// The version of the body: the newest that the node reads.
    pub body: u8,
}

/// Randomness for an epoch: drawn by the driver, used if one is opened.
#[derive(Clone, Copy, Debug)]
pub struct Fresh {
    /// The new epoch.
    pub epoch: Epoch,
    /// The nonce of the agent's own run, if one begins.
    pub seed: u64,
}

/// How a lane goes on after a handshake.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Resumed {
    /// The ledger's state is in the chain: go on from this row.
    InChain(Row),
    /// It is not: an epoch was opened on it.
    Opened {
        /// Go on from this row.
        from: Row,
        /// Records that were sealed anew.
        sealed_anew: u64,
        /// Records that gaps now stand for.
        gap_records: u64,
    },
}

/// What an ack did.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Acked {
    /// Rows below this one are acked.
    Through(Row),
    /// They had been.
    Known,
    /// The ack is not of this chain: it is older than a rollback, or the ledger is on another chain.
    /// It releases nothing, and the lane is greeted again (`Sender::handle_refused`).
    Foreign,
}

impl Chain {
    /// The chain of an empty spool.
    #[must_use]
    pub fn new(device: DeviceId, lane: Lane, fresh: Fresh) -> Self {
        let head = Head {
            device,
            lane,
            epoch: fresh.epoch,
            parent: Tip::GENESIS,
            base: Tip::GENESIS,
            tip: Tip::GENESIS,
            sealed: 0,
            archive_first: Row(0),
            first: Row(0),
            acked: Row(0),
            next: Row(0),
            stock: Stock::default(),
            totals: Counts::default(),
            runs: 0,
            anchored: false,
            files_undecided: false,
            receipt: None,
            epochs_opened: 0,
            unheard_from: None,
            let_go_through: 0,
            let_go_records: 0,
        };
        Self::restore(head, BTreeMap::new())
    }

    /// The chain that a spool holds.
    #[must_use]
    pub fn restore(head: Head, streams: BTreeMap<Stream, Sealed>) -> Self {
        let (changed, begun, samplers) = (BTreeSet::new(), BTreeSet::new(), BTreeMap::new());
        let born = head.unheard_from.unwrap_or(head.next);
        Self {
            head,
            streams,
            changed,
            begun,
            samplers,
            born,
            heard: false,
            rules: Rules::default(),
        }
    }

    /// Goes by other rules: for tests that break one.
    #[must_use]
    pub fn with_rules(mut self, rules: Rules) -> Self {
        self.rules = rules;
        self
    }

    /// The durable head.
    #[must_use]
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// The streams, by name.
    #[must_use]
    pub fn streams(&self) -> &BTreeMap<Stream, Sealed> {
        &self.streams
    }

    /// The streams that changed since this was last asked: they go into the same transaction. A
    /// stream that is no longer in `streams` was forgotten. One of which nothing was sealed is not durable.
    pub fn take_changed(&mut self) -> BTreeSet<Stream> {
        let mut changed = std::mem::take(&mut self.changed);
        changed.retain(|stream| !self.begun.contains(stream));
        changed
    }

    /// Whether a run was begun by this process, and nothing of it was sealed.
    #[must_use]
    pub fn is_only_begun(&self, stream: Stream) -> bool {
        self.begun.contains(&stream)
    }

    /// Begins a run of a source at a position.
    ///
    /// The nonce is random or, for a file, `Run::file_nonce`.
    pub fn begin_run(
        &mut self,
        source: SourceId,
        info: SourceInfo,
        start: u64,
        nonce: u64,
    ) -> Stream {
        let stream = self.begin(source, Some(info), start, nonce);
        self.begun.insert(stream);
        stream
    }

    fn begin(
        &mut self,
        source: SourceId,
        info: Option<SourceInfo>,
        start: u64,
        nonce: u64,
    ) -> Stream {
        self.head.runs += 1;
        let stream = Stream { source, run: Run { number: self.head.runs, nonce } };
        let origin = Mark { position: start, records: 0 };
        let sealed = Sealed {
            origin,
            highest: origin,
            check: Check::NONE,
            dropped_to: 0,
            undecided: false,
            given_up: None,
            before: None,
            torn: false,
            info,
        };
        self.streams.insert(stream, sealed);
        self.changed.insert(stream);
        stream
    }

    /// The present run of a sampler; begins one if there is none since the start or the last epoch.
    pub fn sampler(&mut self, source: SourceId, info: &SourceInfo, nonce: u64) -> Stream {
        if let Some(stream) = self.samplers.get(&source) {
            return *stream;
        }
        let last = self.streams.keys().rfind(|stream| stream.source == source).copied();
        let stream = match last {
            Some(last) if !self.rules.hold(Rule::NewRun) => last,
            _ => self.begin_run(source, info.clone(), 0, nonce),
        };
        self.samplers.insert(source, stream);
        stream
    }

    /// Covers a stream in a body from where the chain's knowledge of it ends.
    ///
    /// # Panics
    /// If the chain does not know the stream: a caller's mistake.
    pub fn cover(&self, body: &mut BodyBuilder, stream: Stream) {
        let sealed = self.streams.get(&stream).expect("a run is begun before it is covered");
        body.cover(stream, sealed.info.as_ref(), sealed.highest, sealed.check);
    }

    /// Seals a body as the chain's next batch and gives its row.
    ///
    /// # Errors
    /// Those of the rows.
    ///
    /// # Panics
    /// If the body does not start where the chain ends: a caller's mistake.
    pub fn seal<R: Rows>(
        &mut self,
        rows: &mut R,
        body: &BodyBuilder,
        sealing: Sealing,
    ) -> Result<Row, R::Error> {
        let packed = body.pack_as(sealing.body, sealing.level);
        self.seal_packed(rows, body, packed, sealing.clock)
    }

    /// As `seal`, of a body that is packed.
    ///
    /// # Errors
    /// Those of the rows.
    ///
    /// # Panics
    /// As `seal`.
    pub fn seal_packed<R: Rows>(
        &mut self,
        rows: &mut R,
        body: &BodyBuilder,
        packed: (Packing, Vec<u8>),
        clock: Clock,
    ) -> Result<Row, R::Error> {
        for span in body.spans() {
            // The file went on where the ledger knows it.
            if let Some(sealed) = self.streams.get_mut(&span.stream) {
                sealed.before = None;
            }
        }
        self.append_packed(rows, body, packed, clock)
    }

    fn append<R: Rows>(
        &mut self,
        rows: &mut R,
        body: &BodyBuilder,
        sealing: Sealing,
    ) -> Result<Row, R::Error> {
        let packed = body.pack_as(sealing.body, sealing.level);
        self.append_packed(rows, body, packed, sealing.clock)
    }

    fn append_packed<R: Rows>(
        &mut self,
        rows: &mut R,
        body: &BodyBuilder,
        (packing, packed): (Packing, Vec<u8>),
        clock: Clock,
    ) -> Result<Row, R::Error> {
        let spans = body.spans();
        for span in &spans {
            let sealed =
                self.streams.get_mut(&span.stream).expect("a run is begun before it is sealed");
            assert!(span.start == sealed.highest, "a batch starts where its streams ended");
            (sealed.highest, sealed.check) = (span.end, span.check);
            sealed.undecided = false;
            self.changed.insert(span.stream);
            self.begun.remove(&span.stream);
        }
        if !self.heard {
            self.head.unheard_from = Some(self.born);
        }
        let head = &mut self.head;
        let first = head.sealed == 0;
        let counts = body.counts();
        let header = Header {
            device: head.device,
            lane: head.lane,
            epoch: head.epoch,
            seq: Seq::new(head.sealed + 1).expect("a count plus one is not 0"),
            parent: first.then_some(head.parent),
            rekeyed: true,
            lane_state: 0,
            clock,
            counts,
            totals: head.totals.plus(counts),
            spans,
            packing,
        };
        let before = if first { head.parent.digest } else { head.tip.digest };
        let batch = Batch::seal(header, &packed, before);
        let row = head.next;
        rows.write(row, &batch)?;
        head.stock.unsent.add(Link::of(&batch));
        head.totals = batch.header().totals;
        head.tip = batch.tip();
        head.sealed += 1;
        head.next = row.next();
        Ok(row)
    }

    /// Every file that was there when the spool went back has been declared undecided.
    pub fn settle_files(&mut self) {
        self.head.files_undecided = false;
    }

    /// Looks an ack up in the chain and moves the rows that it covers to the grace buffer.
    ///
    /// # Errors
    /// Those of the rows.
    pub fn handle_ack<R: Rows>(
        &mut self,
        rows: &R,
        tip: Tip,
        receipt: Receipt,
    ) -> Result<Acked, R::Error> {
        let Some(after) = self.locate(rows, tip, self.rules.hold(Rule::CompareAck))? else {
            return Ok(Acked::Foreign);
        };
        if after <= self.head.acked {
            return Ok(Acked::Known);
        }
        self.move_acked(rows, after)?;
        self.head.receipt = Some(receipt);
        Ok(Acked::Through(after))
    }

    /// Goes on from the ledger's state: after it if it is in the chain, else by opening an epoch.
    ///
    /// # Errors
    /// Those of the rows.
    pub fn handle_state<R: Rows>(
        &mut self,
        rows: &mut R,
        state: &LaneState,
        fresh: Fresh,
        sealing: Sealing,
    ) -> Result<Resumed, R::Error> {
        self.hear(state);
        if let Some(after) = self.locate(rows, state.tip, true)? {
            self.move_acked(rows, after)?;
            return Ok(Resumed::InChain(after));
        }
        self.open_epoch(rows, state, fresh, sealing)
    }

    /// Opens an epoch on the ledger's state, also if that is in the chain: the chain goes on at another
    /// place than before, as that of a host which was copied does.
    ///
    /// # Errors
    /// Those of the rows.
    pub fn handle_state_anew<R: Rows>(
        &mut self,
        rows: &mut R,
        state: &LaneState,
        fresh: Fresh,
        sealing: Sealing,
    ) -> Result<Resumed, R::Error> {
        self.hear(state);
        self.open_epoch(rows, state, fresh, sealing)
    }

    fn hear(&mut self, state: &LaneState) {
        self.head.unheard_from = None;
        self.heard = true;
        if !self.head.anchored {
            self.head.anchored = true;
            self.head.files_undecided = state.horizon > 0;
        }
    }

    /// Whether a state is in the chain, so that `handle_state` would open no epoch.
    ///
    /// # Errors
    /// Those of the rows.
    pub fn holds<R: Rows>(&self, rows: &R, tip: Tip) -> Result<bool, R::Error> {
        Ok(self.locate(rows, tip, true)?.is_some())
    }

    /// The row after a state, if the state is in the chain.
    fn locate<R: Rows>(&self, rows: &R, tip: Tip, compare: bool) -> Result<Option<Row>, R::Error> {
        let head = &self.head;
        if tip == head.base {
            return Ok(Some(head.first));
        }
        let held = head.next.0 - head.first.0;
        if tip.epoch != head.epoch || tip.seq > head.sealed || tip.seq + held <= head.sealed {
            return Ok(None);
        }
        let row = Row(head.next.0 - 1 - (head.sealed - tip.seq));
        let same = !compare || rows.link(row)?.digest == tip.digest;
        Ok(same.then(|| row.next()))
    }

    fn move_acked<R: Rows>(&mut self, rows: &R, to: Row) -> Result<(), R::Error> {
        let head = &mut self.head;
        while head.acked < to {
            head.stock.ack(rows.link(head.acked)?);
            head.acked = head.acked.next();
        }
        while head.acked > to {
            head.acked = Row(head.acked.0 - 1);
            head.stock.take_back(rows.link(head.acked)?);
        }
        Ok(())
    }

    /// Deletes rows from the front until archive and grace buffer together are within `grace_bytes`.
    /// Never an unsent one. Gives the number of rows.
    ///
    /// # Errors
    /// Those of the rows.
    pub fn trim<R: Rows>(&mut self, rows: &mut R, grace_bytes: u64) -> Result<u64, R::Error> {
        let mut removed = 0;
        while self.head.stock.kept_bytes() > grace_bytes
            && self.head.archive_first < self.head.acked
        {
            self.remove_front(rows)?;
            removed += 1;
        }
        Ok(removed)
    }

    /// Deletes rows from the front until `bytes` are free: the archive, then the grace buffer, then
    /// unsent rows, which later become gaps. Gives the bytes that were freed.
    ///
    /// # Errors
    /// Those of the rows.
    pub fn drop_oldest<R: Rows>(&mut self, rows: &mut R, bytes: u64) -> Result<u64, R::Error> {
        let before = self.head.stock.bytes();
        while before - self.head.stock.bytes() < bytes && self.head.archive_first < self.head.next {
            if self.head.archive_first >= self.head.acked {
                for span in &rows.read(self.head.archive_first)?.header().spans {
                    if let Some(sealed) = self.streams.get_mut(&span.stream) {
                        sealed.dropped_to = span.end.position;
                        self.changed.insert(span.stream);
                    }
                }
            }
            self.remove_front(rows)?;
        }
        Ok(before - self.head.stock.bytes())
    }

    fn remove_front<R: Rows>(&mut self, rows: &mut R) -> Result<(), R::Error> {
        let head = &mut self.head;
        let row = head.archive_first;
        let link = rows.link(row)?;
        if row < head.first {
            head.stock.archive.remove(link);
        } else {
            let seq = head.sealed - (head.next.0 - 1 - row.0);
            head.base = Tip { epoch: head.epoch, seq, digest: link.digest };
            if row < head.acked {
                head.stock.grace.remove(link);
            } else {
                head.stock.unsent.remove(link);
                head.acked = row.next();
            }
            head.first = row.next();
        }
        rows.remove(row)?;
        head.archive_first = row.next();
        Ok(())
    }

    /// A chain as if the batches of its epoch had not been committed with it: what an opening in two
    /// transactions leaves behind when the second one is lost.
    #[cfg(feature = "sabotage")]
    #[must_use]
    pub fn without_rows(&self) -> Self {
        let mut torn = self.clone();
        torn.head.next = torn.head.first;
        torn.head.tip = torn.head.parent;
        torn.head.sealed = 0;
        torn.head.stock.unsent = Pile::default();
        torn
    }
}
