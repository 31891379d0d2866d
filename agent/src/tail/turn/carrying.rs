//! Unpacking a compressed file: past what was read of its run, then on from there as that run.

use std::fs::File;
use std::path::{Path, PathBuf};

use headwater_protocol::position::{Check, Stream};
use headwater_protocol::record::{Cause, Fingerprint, Gap, SourceInfo};

use super::packed::UNPACKED_BYTES_MAX;
use super::reading::chunk_of;
use super::unpacking::{Unpacked, Unpacker};
use super::{Interrupt, Tail};
use crate::tail::file::Cursor;
use crate::tail::identity::{FileKey, STRETCH_BYTES, is_repetitive};
use crate::tail::lines::Splitter;
use crate::tail::notice::Notice;
use crate::tail::resume::{Kind, Likeness, Original, alike, classify};
use crate::tail::{CHUNK_BYTES_MAX, Chunk, FileStatus, KnownStream, Landing, Moment, Start};

/// What is to be unpacked, and for which run.
#[derive(Debug)]
pub(super) struct Order {
    pub(super) key: FileKey,
    pub(super) path: PathBuf,
    pub(super) stream: Stream,
    /// Up to which the run was read.
    pub(super) position: u64,
    /// Of the content, modulo 4 GiB.
    pub(super) length: u64,
    /// What became of the run's own file.
    pub(super) original: Original,
    /// How much of the run was seen of its own file; `None` where that is not known.
    pub(super) owed: Option<u64>,
    /// Of the compressed file.
    pub(super) size: u64,
    /// It has had this size for so long that nobody writes to it.
    pub(super) is_settled: bool,
}

/// A compressed file that is unpacked for the sake of a run.
#[derive(Debug)]
pub(super) struct Carrier {
    order: Order,
    unpacker: Unpacker,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    /// Before the run's position.
    Passing {
        /// How far.
        passed: u64,
        /// The first bytes, at most as many as a fingerprint covers.
        head: Vec<u8>,
        /// The last bytes.
        recent: Vec<u8>,
    },
    /// At the position or behind it.
    Reading {
        cursor: Cursor,
        /// Unpacked and not handed over.
        unread: Vec<u8>,
        /// How the content ended; `None` while it goes on.
        end: Option<Unpacked>,
    },
}

impl Carrier {
    pub(super) fn new(order: Order, file: File) -> Self {
        let stage = Stage::Passing { passed: 0, head: Vec::new(), recent: Vec::new() };
        Self { order, unpacker: Unpacker::new(file), stage }
    }

    /// Whether it is a file.
    pub(super) fn is(&self, key: FileKey) -> bool {
        self.order.key == key
    }

    /// Whether it is unpacked for the sake of a run.
    pub(super) fn is_for(&self, stream: Stream) -> bool {
        self.order.stream == stream
    }

    pub(super) fn status(&self) -> FileStatus {
        let position = match &self.stage {
            Stage::Passing { .. } => self.order.position,
            Stage::Reading { cursor, .. } => cursor.position(),
        };
        FileStatus {
            path: self.order.path.clone(),
            stream: Some(self.order.stream),
            position,
            // Above 4 GiB how long the content is shows only at its end.
            size: self.order.length.max(position),
            stalled: None,
        }
    }
}

impl<L: Landing> Tail<L> {
    /// Goes on with each compressed file that is being unpacked. True if there is more to do at once.
    pub(super) fn unpack_on(&mut self, now: Moment) -> Result<bool, Interrupt> {
        let carriers = std::mem::take(&mut self.packed.carriers);
        let count = carriers.len();
        for carrier in carriers {
            if let Some(carrier) = self.step(carrier, now)? {
                self.packed.carriers.push(carrier);
            }
        }
        if self.packed.carriers.len() < count {
            // Who waited for an answer may have it.
            self.files.values_mut().for_each(|file| file.due = true);
            self.look_into_packed(now);
        }
        Ok(!self.packed.carriers.is_empty())
    }

    /// Goes on with one of them; `None` if it is not unpacked any further.
    fn step(&mut self, carrier: Carrier, now: Moment) -> Result<Option<Carrier>, Interrupt> {
        let stream = carrier.order.stream;
        // The file itself has been found after all, or the run went on by other means.
        let is_read = self.files.values().any(|file| file.stream() == Some(stream));
        let known = self.streams().get(stream).filter(|_| !is_read).cloned();
        let known = known.filter(|known| match &carrier.stage {
            Stage::Passing { .. } => known.position == carrier.order.position,
            Stage::Reading { cursor, .. } => known.position == cursor.position(),
        });
        match (&carrier.stage, known) {
            (_, None) => {
                self.release_packed(carrier.order.key);
                Ok(None)
            }
            (Stage::Passing { .. }, Some(known)) => self.pass_on(carrier, &known, now),
            (Stage::Reading { .. }, Some(_)) => self.carry_on(carrier, now),
        }
    }

    /// Unpacks what was read before, and decides at its end whether it is this.
    fn pass_on(
        &mut self,
        mut carrier: Carrier,
        known: &KnownStream,
        now: Moment,
    ) -> Result<Option<Carrier>, Interrupt> {
        let splitter = self.splitter_of(&carrier.order);
        let kept = splitter.looks_back().max(STRETCH_BYTES);
        let Stage::Passing { passed, head, recent } = &mut carrier.stage else {
            return Ok(Some(carrier));
        };
        let goal = known.position.min(*passed + PASSED_BYTES_PER_TURN);
        while *passed < goal {
            let before = recent.len();
            let count = usize::try_from(goal - *passed).unwrap_or(PASSED_BYTES).min(PASSED_BYTES);
            let unpacked = carrier.unpacker.read(recent, count);
            let wanted = Fingerprint::BYTES - head.len();
            head.extend_from_slice(&recent[before..][..wanted.min(recent.len() - before)]);
            *passed += (recent.len() - before) as u64;
            recent.drain(..recent.len().saturating_sub(kept));
            match unpacked {
                Ok(Unpacked::Full) => {}
                Ok(Unpacked::Cut) if !carrier.order.is_settled => {
                    return Ok(self.wait_for(&carrier, now));
                }
                Ok(Unpacked::End | Unpacked::Cut | Unpacked::Corrupt) | Err(_) => {
                    self.refuse_packed(carrier.order.key, carrier.order.stream);
                    return Ok(None);
                }
            }
        }
        if *passed < known.position {
            return Ok(Some(carrier));
        }
        let window = &recent[recent.len().saturating_sub(Check::BYTES)..];
        let likeness = Likeness {
            alike: alike(known, self.heads.get(&carrier.order.stream).map(Vec::as_slice), head),
            size: *passed,
            window,
            is_named_after: known.info.is_some(),
            is_in_place_of: false,
            is_repetitive: is_repetitive(&recent[recent.len().saturating_sub(STRETCH_BYTES)..]),
        };
        if classify(known, carrier.order.original, &likeness) != Kind::Continuation {
            self.refuse_packed(carrier.order.key, carrier.order.stream);
            return Ok(None);
        }
        let cursor = Cursor::after(recent, known.position, splitter);
        self.hold_packed(carrier.order.key, carrier.order.stream);
        if self.streams().is_forgotten(carrier.order.stream) {
            self.carry_anew(&mut carrier)?;
        }
        carrier.stage = Stage::Reading { cursor, unread: Vec::new(), end: None };
        Ok(Some(carrier))
    }

    /// As the run's own file was split.
    fn splitter_of(&self, order: &Order) -> Splitter {
        let home = self.home_of(order);
        self.splitter(&[self.streams().path(order.stream).unwrap_or(home), home])
    }

    /// The path that a compressed file is a rotated generation of.
    fn home_of<'a>(&'a self, order: &'a Order) -> &'a Path {
        let packed = self.packed.files.get(&order.key);
        packed.map_or(order.path.as_path(), |packed| packed.home.as_path())
    }

    /// Begins another run of the same source, because the ledger may have forgotten the one before.
    fn carry_anew(&mut self, carrier: &mut Carrier) -> Result<(), Interrupt> {
        let Stage::Passing { passed, head, .. } = &carrier.stage else { return Ok(()) };
        let former = carrier.order.stream;
        let path = self.streams().path(former).unwrap_or(self.home_of(&carrier.order));
        let path = std::os::unix::ffi::OsStrExt::as_bytes(path.as_os_str()).to_vec();
        let info = SourceInfo::File { path, fingerprint: Fingerprint::of(head) };
        let start = Start::new(*passed, head);
        let stream = self.landing.begin(former.source, info.clone(), start)?;
        let check = self.streams().get(former).map_or(Check::NONE, |known| known.check);
        let (before, undecided, info) = (None, false, Some(info));
        let known = KnownStream { position: *passed, check, before, undecided, info };
        self.streams_mut().begun(stream, known);
        self.note_finished(former);
        self.hold_packed(carrier.order.key, stream);
        carrier.order.stream = stream;
        Ok(())
    }

    /// Hands over at most one chunk.
    fn carry_on(
        &mut self,
        mut carrier: Carrier,
        now: Moment,
    ) -> Result<Option<Carrier>, Interrupt> {
        let (stream, is_settled) = (carrier.order.stream, carrier.order.is_settled);
        let Stage::Reading { cursor, unread, end } = &mut carrier.stage else {
            return Ok(Some(carrier));
        };
        if end.is_none() {
            let unpacked = carrier.unpacker.read(unread, CHUNK_BYTES_MAX - unread.len());
            // A disk that fails and a file that is broken are the same to the run.
            *end = Some(unpacked.unwrap_or(Unpacked::Corrupt)).filter(|end| *end != Unpacked::Full);
        }
        let is_last = match end {
            None => false,
            Some(Unpacked::Cut) => is_settled,
            Some(Unpacked::End | Unpacked::Corrupt | Unpacked::Full) => true,
        };
        let read = cursor.take(unread, is_last);
        let (check, position) = (cursor.check(), cursor.position());
        let end = *end;
        if let Some(chunk) = chunk_of(read, stream, check, now.time_us) {
            let (path, home) =
                (carrier.order.path.clone(), self.home_of(&carrier.order).to_owned());
            self.tell(Notice::Unpacked { path, home });
            self.append(chunk)?;
            return if position > UNPACKED_BYTES_MAX {
                self.end_carrying(&carrier, true, now)
            } else {
                Ok(Some(carrier))
            };
        }
        match end {
            None => Ok(Some(carrier)),
            Some(Unpacked::Cut) if !is_settled => Ok(self.wait_for(&carrier, now)),
            Some(end) => self.end_carrying(&carrier, end != Unpacked::End, now),
        }
    }

    /// Looks again later at a file that ends in the middle.
    fn wait_for(&mut self, carrier: &Carrier, now: Moment) -> Option<Carrier> {
        if let Some(packed) = self.packed.files.get_mut(&carrier.order.key) {
            packed.note_cut(carrier.order.size, now.at);
        }
        None
    }

    /// A run ends with the compressed file that held its rest; what that does not hold is declared.
    fn end_carrying(
        &mut self,
        carrier: &Carrier,
        is_broken: bool,
        now: Moment,
    ) -> Result<Option<Carrier>, Interrupt> {
        let stream = carrier.order.stream;
        let start = self.streams().get(stream).map_or(0, |known| known.position);
        let end = carrier.order.owed.unwrap_or(0).max(start);
        if is_broken {
            self.tell(Notice::Damaged { path: carrier.order.path.clone() });
            // Nothing belongs to the run after this, wherever it may be found.
            let gap = Gap { cause: Cause::Unreadable, records: 0, bytes: end - start, about: None };
            let (check, time_us) = (Check::NONE, now.time_us);
            self.append(Chunk::Gap { stream, start, end, gap, check, time_us })?;
        } else if end > start {
            self.declare(stream, start..end, Cause::Truncated, now)?;
        }
        self.note_finished(stream);
        Ok(None)
    }
}

/// Bytes of content that are passed over in a turn: some 10 ms of work at 400 MB/s (measured), after which
/// others have theirs.
pub(super) const PASSED_BYTES_PER_TURN: u64 = 4 << 20;
/// Bytes of content that are unpacked at a time while they are passed over.
const PASSED_BYTES: usize = 64 << 10;
