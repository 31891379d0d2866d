//! Closing a file: one that was rotated away or deleted, once its end has stood still.

use std::io;
use std::ops::Range;
use std::time::Duration;

use headwater_protocol::position::{Check, Stream};
use headwater_protocol::record::{Cause, Gap};

use super::{Interrupt, Place, Role, Start, Stay, Tail, Tailed};
use crate::tail::file::Read;
use crate::tail::identity::{Facts, head_of};
use crate::tail::{Chunk, Landing, Moment};

impl<L: Landing> Tail<L> {
    /// Closes a file that will not be written to any more.
    pub(super) fn close_if_done(
        &mut self,
        file: &mut Tailed,
        now: Moment,
    ) -> Result<Stay, Interrupt> {
        if file.place != Place::Named && file.hurried_at != Some(file.position()) {
            file.hurried_at = Some(file.position());
            self.landing.hurry()?;
        }
        let still = file.still(now.at);
        let is_done = match file.place {
            Place::Named => false,
            Place::Beside | Place::Deleted if is_a_copy(file) => still >= COPY_STILL,
            Place::Beside => still >= self.limits.deleted_grace && has_successor(file),
            Place::Deleted => still >= self.limits.deleted_grace,
        };
        if !is_done {
            return Ok(Stay::Open);
        }
        self.finish(file, now)?;
        Ok(Stay::Closed)
    }

    /// Reads a file to its very end: an unfinished line will not be finished any more.
    fn finish(&mut self, file: &mut Tailed, now: Moment) -> Result<(), Interrupt> {
        if matches!(file.role, Role::Unsettled) && file.facts.size > 0 {
            // Without a birth time a file is known by its first line: this is all there will be of it.
            let head = [head_of(&file.file)?, b"\n".to_vec()].concat();
            file.source = file.facts.source(&head);
            file.start = Start::Beginning;
            self.read_from(file, None, 0)?;
        }
        while let Role::Reading { cursor, .. } = &mut file.role {
            let size = Facts::of(&file.file)?.size;
            match cursor.finish(&file.file, size)? {
                Read::Nothing | Read::Changed => break,
                read => self.hand_over(file, read, now)?,
            }
        }
        let Some(stream) = file.stream() else {
            return Ok(());
        };
        if let Some(owed) = file.owed.filter(|owed| *owed > file.position()) {
            self.declare(stream, file.position()..owed, Cause::Truncated, now)?;
        }
        self.note_finished(stream);
        if is_a_copy(file) {
            // From here on the copy is known by itself: its content need not be compared again, and
            // what is younger than it is known to be so.
            self.begin_at(file, file.facts.size, now)?;
        }
        Ok(())
    }

    pub(super) fn note_finished(&mut self, stream: Stream) {
        self.finished.insert(stream);
        if self.finished.len() > FINISHED_MAX {
            let oldest = self.finished.iter().copied().min_by_key(|stream| stream.run);
            oldest.map(|stream| self.finished.remove(&stream));
        }
    }

    /// Declares that a range of a run is missing, from its position on. An empty range says that nothing
    /// is known to be missing, and moves no position.
    pub(super) fn declare(
        &mut self,
        stream: Stream,
        range: Range<u64>,
        cause: Cause,
        now: Moment,
    ) -> Result<(), Interrupt> {
        let Range { start, end } = range;
        let check = match self.streams().get(stream) {
            Some(known) if start == end => known.check,
            _ => Check::NONE,
        };
        let gap = Gap { cause, records: 0, bytes: end - start, about: None };
        self.append(Chunk::Gap { stream, start, end, gap, check, time_us: now.time_us })
    }

    /// Declares what was seen of a file and can be read no more.
    pub(super) fn declare_vanished(&mut self, file: &Tailed, now: Moment) -> Result<(), Interrupt> {
        let Some(stream) = file.stream() else {
            return Ok(());
        };
        self.note_finished(stream);
        match file.size_before.filter(|size| *size > file.position()) {
            Some(size) => self.declare(stream, file.position()..size, Cause::Vanished, now),
            None => Ok(()),
        }
    }
}

/// Whether a file is read as the run of another one: nobody writes to it.
fn is_a_copy(file: &Tailed) -> bool {
    file.stream().is_some_and(|stream| file.source != Some(stream.source))
}

/// Whether another file stands where a renamed one stood, or its folder is gone.
fn has_successor(file: &Tailed) -> bool {
    match Facts::at(&file.home) {
        Ok(facts) => facts.key != file.facts.key,
        Err(error) => {
            let folder = file.home.parent().unwrap_or(&file.home);
            error.kind() == io::ErrorKind::NotFound && !folder.is_dir()
        }
    }
}

/// How long the copy of a truncated file must have stood still: it was complete when the original was
/// truncated.
pub(super) const COPY_STILL: Duration = Duration::from_secs(5);
/// Closed runs that are remembered: as many as the ledger keeps of a lane.
const FINISHED_MAX: usize = headwater_protocol::limits::STREAMS_PER_LANE_MAX;
