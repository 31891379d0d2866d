//! The state of one open file.

use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use headwater_protocol::position::{SourceId, Stream};

use super::Start;
use crate::tail::FileStatus;
use crate::tail::file::{Cursor, Read};
use crate::tail::identity::Facts;

/// An open file.
#[derive(Debug)]
pub(super) struct Tailed {
    pub(super) file: File,
    /// As they were at the last look.
    pub(super) facts: Facts,
    /// `None` until it is known.
    pub(super) source: Option<SourceId>,
    /// Where it is, or was when it was last seen.
    pub(super) path: PathBuf,
    /// Where it belongs: its successor appears there when it is rotated.
    pub(super) home: PathBuf,
    pub(super) place: Place,
    pub(super) role: Role,
    /// Where it is read from if nothing is known of it.
    pub(super) start: Start,
    /// Its first bytes when it was last known to be as it was read; empty before.
    pub(super) head: Vec<u8>,
    /// Its size when it was last known to be as it was read; `None` before.
    pub(super) size_before: Option<u64>,
    /// Size and time of change at which nothing was left to read; `None` if there may be more.
    pub(super) read_up: Option<(u64, i64)>,
    /// Lines that wait for the one after them; `None` where none does.
    pub(super) held: Option<Held>,
    /// How much of a run this file, a copy, should hold: what was seen of the original.
    pub(super) owed: Option<u64>,
    /// The run before this file's, if that was found only by looking at its folder once more.
    pub(super) sought: Option<Stream>,
    /// Up to where the landing knows that it may soon be gone; `None` while it has its name.
    pub(super) hurried_at: Option<u64>,
    /// Since when neither size nor content has changed.
    pub(super) still_since: Instant,
    /// It may have grown.
    pub(super) due: bool,
    pub(super) stalled: Option<String>,
    pub(super) retry_at: Option<Instant>,
}

/// Lines that may not be all of their record.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Held {
    /// The position after them.
    pub(super) end: u64,
    /// Since when they are the last ones.
    pub(super) since: Instant,
}

impl Held {
    fn waits_no_more(self, now: Instant) -> bool {
        now.saturating_duration_since(self.since) >= NEXT_LINE_WAIT
    }
}

/// How a file stands in its folder.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Place {
    /// A tail names it.
    Named,
    /// No tail names it: it was renamed, or is looked for as part of a rotation.
    Beside,
    /// It has no name any more.
    Deleted,
}

/// What is done with a file.
#[derive(Debug)]
pub(super) enum Role {
    /// Nothing yet.
    Unsettled,
    /// It is read.
    Reading {
        /// `None`: its run begins with its first line.
        stream: Option<Stream>,
        cursor: Cursor,
    },
    /// It holds nothing that a file which is read does not hold.
    Copy,
    /// It has the identity of another open file: a snapshot of a whole filesystem.
    Twin,
}

impl Tailed {
    /// Takes note of what the filesystem says.
    pub(super) fn observe(&mut self, facts: &Facts, now: Instant) {
        let has_moved = facts.size != self.facts.size || facts.modified != self.facts.modified;
        if has_moved {
            self.still_since = now;
        }
        self.facts = *facts;
        if facts.links == 0 {
            self.place = Place::Deleted;
        }
    }

    /// The run it is read as.
    pub(super) fn stream(&self) -> Option<Stream> {
        match &self.role {
            Role::Reading { stream, .. } => *stream,
            Role::Unsettled | Role::Copy | Role::Twin => None,
        }
    }

    pub(super) fn position(&self) -> u64 {
        match &self.role {
            Role::Reading { cursor, .. } => cursor.position(),
            Role::Unsettled | Role::Copy | Role::Twin => 0,
        }
    }

    /// Reads on. Lines that waited long enough for the one after them are a record, even if a part of that
    /// one is there.
    pub(super) fn read(&mut self, now: Instant) -> io::Result<Read> {
        let Role::Reading { cursor, .. } = &mut self.role else {
            return Ok(Read::Nothing);
        };
        let read = cursor.read(&self.file, self.facts.size)?;
        let before = self.held;
        self.held = cursor.held().map(|end| {
            let since = before.filter(|held| held.end == end).map_or(now, |held| held.since);
            Held { end, since }
        });
        match (read, self.held) {
            (Read::Nothing, Some(held)) if held.waits_no_more(now) => {
                self.held = None;
                cursor.flush(&self.file, self.facts.size)
            }
            (read, _) => Ok(read),
        }
    }

    /// Whether lines have waited long enough for the one after them.
    pub(super) fn waits_no_more(&self, now: Instant) -> bool {
        self.held.is_some_and(|held| held.waits_no_more(now))
    }

    pub(super) fn unsettle(&mut self) {
        self.role = Role::Unsettled;
        self.held = None;
        self.head = Vec::new();
        self.read_up = None;
        self.due = true;
    }

    /// How long its end has stood still.
    pub(super) fn still(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.still_since)
    }

    /// Whether nothing is left to read in it, not even an unfinished line.
    pub(super) fn is_read_up(&self) -> bool {
        match &self.role {
            Role::Reading { stream, cursor } => {
                stream.is_some() && !self.due && cursor.position() == self.facts.size
            }
            Role::Copy | Role::Twin => true,
            Role::Unsettled => false,
        }
    }

    /// Whether nothing but a writer brings it on: it has its name, and is empty or read to its end.
    pub(super) fn waits_for_its_writer(&self) -> bool {
        let is_empty = matches!(self.role, Role::Unsettled) && self.facts.size == 0;
        self.place == Place::Named
            && (is_empty || (matches!(self.role, Role::Reading { .. }) && self.is_read_up()))
            && self.held.is_none()
            && self.owed.is_none()
            && self.retry_at.is_none()
    }

    pub(super) fn status(&self) -> FileStatus {
        FileStatus {
            path: self.path.clone(),
            stream: self.stream(),
            position: self.position(),
            size: self.facts.size,
            stalled: match self.role {
                Role::Copy => Some("it is taken for a copy of a file that is read".to_owned()),
                Role::Twin => Some("another file of the same identity is read".to_owned()),
                Role::Unsettled | Role::Reading { .. } => self.stalled.clone(),
            },
        }
    }
}

/// How long the last line of a record of several lines waits for the line after it. Writers hand over a
/// stack trace in one go or within milliseconds; a reader should see it about as soon as any other line,
/// which a batch keeps for a second at most.
const NEXT_LINE_WAIT: Duration = Duration::from_secs(1);
