//! Reading a file on: lines to the landing, a run begun with its first line.

use std::ops::Range;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use headwater_protocol::position::{Check, SourceId, Stream};
use headwater_protocol::record::{Cause, Fingerprint, Gap, SourceInfo};

use super::packed::Rest;
use super::{Interrupt, Role, Tail, Tailed};
use crate::killpoint;
use crate::tail::file::{Cursor, Read};
use crate::tail::identity::head_of;
use crate::tail::notice::Notice;
use crate::tail::{Chunk, KnownStream, Landing, Moment, Start};

impl<L: Landing> Tail<L> {
    /// Reads at most one chunk of lines.
    pub(super) fn read_on(&mut self, file: &mut Tailed, now: Moment) -> Result<(), Interrupt> {
        let look = (file.facts.size, file.facts.changed);
        if file.read_up == Some(look) && !file.waits_no_more(now.at) {
            file.due = false;
            return Ok(());
        }
        if !matches!(file.role, Role::Reading { .. }) {
            return Ok(());
        }
        match file.read(now.at)? {
            Read::Nothing => {
                file.due = false;
                file.read_up = Some(look);
                file.size_before = Some(file.facts.size);
            }
            Read::Changed => self.handle_change(file, now)?,
            read => {
                file.due = true;
                file.read_up = None;
                file.size_before = Some(file.facts.size);
                file.still_since = now.at;
                self.hand_over(file, read, now)?;
            }
        }
        if file.head.len() < Fingerprint::BYTES && (file.head.len() as u64) < file.position() {
            file.head = read_part(head_of(&file.file)?, file.position());
            self.remember_head(file);
        }
        Ok(())
    }

    /// Keeps the first bytes of a run, by which even a short copy of its file is known.
    fn remember_head(&mut self, file: &Tailed) {
        let Some(stream) = file.stream().filter(|_| !file.head.is_empty()) else { return };
        self.heads.insert(stream, file.head.clone());
        if self.heads.len() > HEADS_MAX {
            let oldest = self.heads.keys().copied().min_by_key(|stream| stream.run);
            oldest.map(|stream| self.heads.remove(&stream));
        }
    }

    /// Hands over what was read, as the run of the file, which begins with it if need be.
    pub(super) fn hand_over(
        &mut self,
        file: &mut Tailed,
        read: Read,
        now: Moment,
    ) -> Result<(), Interrupt> {
        let start = match &read {
            Read::Lines { start, .. } | Read::Cut { start, .. } => *start,
            Read::Nothing | Read::Changed => return Ok(()),
        };
        let Role::Reading { stream, cursor } = &file.role else {
            return Ok(());
        };
        let check = cursor.check();
        let stream = match stream {
            Some(stream) => *stream,
            None => {
                if let Read::Lines { start: 0, bytes, .. } = &read {
                    file.head = bytes[..bytes.len().min(Fingerprint::BYTES)].to_vec();
                }
                self.begin(file, start, now)?
            }
        };
        killpoint::pass("tail.before_append");
        let appended =
            chunk_of(read, stream, check, now.time_us).map_or(Ok(()), |chunk| self.append(chunk));
        killpoint::pass("tail.after_append");
        appended
    }

    /// The file holds other bytes than those that were read.
    fn handle_change(&mut self, file: &mut Tailed, now: Moment) -> Result<(), Interrupt> {
        let own = file.source.and_then(|source| self.streams().latest(source));
        match own {
            // Nothing was read of it yet.
            _ if file.stream().is_none() && file.position() == 0 => {
                self.read_from(file, None, 0)?
            }
            Some(own) => self.resume(file, own, now)?,
            // A copy that was read as the run of its original and is written to: its own file now.
            None => file.unsettle(),
        }
        file.due = true;
        Ok(())
    }

    /// Reads a file as a run, or as one that begins with its first line, from a position on.
    pub(super) fn read_from(
        &mut self,
        file: &mut Tailed,
        stream: Option<Stream>,
        position: u64,
    ) -> Result<(), Interrupt> {
        let splitter = self.splitter(&[&file.home, &file.path]);
        let cursor = Cursor::at(&file.file, position, splitter)?;
        file.head = read_part(head_of(&file.file)?, position);
        file.role = Role::Reading { stream, cursor };
        file.held = None;
        file.read_up = None;
        file.due = true;
        self.remember_head(file);
        Ok(())
    }

    /// Reads a file on as a run that is known, or from its position on as a new one if the ledger may
    /// have forgotten it.
    pub(super) fn read_as(&mut self, file: &mut Tailed, stream: Stream) -> Result<(), Interrupt> {
        let position = self.streams().get(stream).map_or(0, |known| known.position);
        let is_forgotten = self.streams().is_forgotten(stream);
        self.read_from(file, (!is_forgotten).then_some(stream), position)
    }

    /// Begins a run at a position and stores that at once, before there is a line: after a restart it
    /// could not be told where it began.
    pub(super) fn begin_at(
        &mut self,
        file: &mut Tailed,
        position: u64,
        now: Moment,
    ) -> Result<(), Interrupt> {
        self.read_from(file, None, position)?;
        let stream = self.begin(file, position, now)?;
        let check = match &file.role {
            Role::Reading { cursor, .. } => cursor.check(),
            Role::Unsettled | Role::Copy | Role::Twin => Check::NONE,
        };
        let (bytes, lines) = (Vec::new(), Vec::new());
        let time_us = now.time_us;
        self.append(Chunk::Lines { stream, start: position, bytes, lines, check, time_us })?;
        // At the start of a file such a run only holds the place: what the file begins with may change
        // unseen, so the first line begins a run of its own.
        if position == 0 { self.read_from(file, None, 0) } else { Ok(()) }
    }

    /// Declares what a file that nobody knows held when the spool had been lost: it may have been read
    /// before, and forgotten since. It is read from there on.
    pub(super) fn leave_undecided(
        &mut self,
        file: &mut Tailed,
        size: u64,
        now: Moment,
    ) -> Result<(), Interrupt> {
        let end = size.min(file.facts.size);
        self.read_from(file, None, 0)?;
        if end == 0 {
            return Ok(());
        }
        file.head = read_part(head_of(&file.file)?, end);
        let stream = self.begin(file, 0, now)?;
        self.go_on_undecided_to(file, stream, 0..end, now)
    }

    /// Declares what a file holds beyond a position, which may have been read under another name, and goes on
    /// at its end.
    pub(super) fn go_on_undecided(
        &mut self,
        file: &mut Tailed,
        stream: Stream,
        position: u64,
        now: Moment,
    ) -> Result<(), Interrupt> {
        let end = file.facts.size.max(position);
        self.go_on_undecided_to(file, stream, position..end, now)
    }

    fn go_on_undecided_to(
        &mut self,
        file: &mut Tailed,
        stream: Stream,
        Range { start, end }: Range<u64>,
        now: Moment,
    ) -> Result<(), Interrupt> {
        self.read_from(file, Some(stream), end)?;
        let check = match &file.role {
            Role::Reading { cursor, .. } => cursor.check(),
            Role::Unsettled | Role::Copy | Role::Twin => Check::NONE,
        };
        let time_us = now.time_us;
        if start == end {
            // Stored all the same: what comes from now on was never read.
            let (bytes, lines) = (Vec::new(), Vec::new());
            return self.append(Chunk::Lines { stream, start, bytes, lines, check, time_us });
        }
        self.tell(Notice::Undecided { path: file.path.clone(), bytes: end - start });
        let gap = Gap { cause: Cause::Undecided, records: 0, bytes: end - start, about: None };
        self.append(Chunk::Gap { stream, start, end, gap, check, time_us })
    }

    fn begin(
        &mut self,
        file: &mut Tailed,
        position: u64,
        now: Moment,
    ) -> Result<Stream, Interrupt> {
        let source = file.source.expect("a file is read only once its source is known");
        self.miss_predecessor(file, source, position, now)?;
        let fingerprint = match file.head.as_slice() {
            [] => Fingerprint::default(),
            head => Fingerprint::of(head),
        };
        let info =
            SourceInfo::File { path: file.path.as_os_str().as_bytes().to_vec(), fingerprint };
        let stream = self.landing.begin(source, info.clone(), Start::new(position, &file.head))?;
        let known = KnownStream {
            position,
            check: Check::NONE,
            before: None,
            undecided: false,
            info: Some(info),
        };
        self.streams_mut().begun(stream, known);
        if let Role::Reading { stream: read_as, .. } = &mut file.role {
            *read_as = Some(stream);
        }
        self.remember_head(file);
        Ok(stream)
    }

    /// Declares that the file which stood at a path before may not have been read to its end, if it is
    /// nowhere to be seen. The successor's run begins right after, so this is said once.
    fn miss_predecessor(
        &mut self,
        file: &Tailed,
        source: SourceId,
        position: u64,
        now: Moment,
    ) -> Result<(), Interrupt> {
        let Some(before) = self.missing(file, source) else {
            return if position == 0 { self.miss_unseen(file, source, now) } else { Ok(()) };
        };
        let is_found = self.rest_of(before, now) == Rest::Found || self.finished.contains(&before);
        if is_found && !self.is_followed_unseen(before) {
            return Ok(());
        }
        self.suspect(before, &file.path, now)
    }

    /// Declares that generations of a file which is truncated for each may have come and gone unseen, if
    /// there is a packed one that nothing was read of.
    fn miss_unseen(
        &mut self,
        file: &Tailed,
        source: SourceId,
        now: Moment,
    ) -> Result<(), Interrupt> {
        match self.truncated_before(file, source) {
            Some(before) if self.is_followed_unseen(before) => {
                self.suspect(before, &file.path, now)
            }
            Some(_) | None => Ok(()),
        }
    }

    fn suspect(&mut self, before: Stream, path: &Path, now: Moment) -> Result<(), Interrupt> {
        let position = self.streams().get(before).map_or(0, |known| known.position);
        self.tell(Notice::Vanished { path: path.to_owned() });
        self.declare(before, position..position, Cause::Suspected, now)
    }

    /// The last run of a file that was truncated since, of which anything was read.
    pub(super) fn truncated_before(&self, file: &Tailed, source: SourceId) -> Option<Stream> {
        if file.path != file.home || !self.has_packed(&file.home) {
            return None;
        }
        let before = self.streams().last_read_at(&file.path)?;
        (before.source == source).then_some(before)
    }

    /// The run of the file that stood at a path before, if that file is nowhere to be seen and was not
    /// read to an end that is known.
    pub(super) fn missing(&self, file: &Tailed, source: SourceId) -> Option<Stream> {
        let before = self.streams().at(&file.path)?;
        let ended_by_gap = self
            .streams()
            .get(before)
            .is_some_and(|known| known.position > 0 && known.check == Check::NONE);
        let is_accounted_for = file.path != file.home
            || before.source == source
            || ended_by_gap
            || (self.finished.contains(&before) && !self.is_followed_unseen(before))
            || self.whereabouts(before.source).is_some()
            || self.files.values().any(|other| other.stream() == Some(before));
        (!is_accounted_for).then_some(before)
    }
}

/// What was read, as the landing takes it; `None` if that is nothing.
pub(super) fn chunk_of(read: Read, stream: Stream, check: Check, time_us: i64) -> Option<Chunk> {
    match read {
        Read::Lines { start, bytes, lines } => {
            Some(Chunk::Lines { stream, start, bytes, lines, check, time_us })
        }
        Read::Cut { start, end } => {
            let gap = Gap { cause: Cause::LineCut, records: 0, bytes: end - start, about: None };
            Some(Chunk::Gap { stream, start, end, gap, check, time_us })
        }
        Read::Nothing | Read::Changed => None,
    }
}

/// What of a file's first bytes was read: only that is known to be its beginning.
fn read_part(mut head: Vec<u8>, position: u64) -> Vec<u8> {
    head.truncate(usize::try_from(position).unwrap_or(usize::MAX));
    head
}

/// Runs whose first bytes are kept, of 1 KiB each: one for each file that may be open, and as many for
/// those that were rotated or truncated last.
const HEADS_MAX: usize = 512;
