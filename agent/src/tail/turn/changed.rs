//! Going on with a file that was read before: where it was left, or anew if it holds something else.
//! What was not read of the old content is looked for in a copy.

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::ops::ControlFlow;

use headwater_protocol::position::Stream;
use headwater_protocol::record::Cause;

use super::packed::Rest;
use super::scan::Sighted;
use super::{Interrupt, Role, Start, Tail, Tailed};
use crate::tail::discover::{Discovery, stem};
use crate::tail::divergence::{Divergence, Next, Same, Verdict};
use crate::tail::identity::{FileKey, bytes_at, head_of, is_repetitive, stretch_of, window_of};
use crate::tail::notice::Notice;
use crate::tail::resume::{Kind, Likeness, Original, Resume, Seen, alike, classify, lost, resume};
use crate::tail::{HeldLine, Landing, Moment, Start as RunStart};

impl<L: Landing> Tail<L> {
    /// Goes on with a file whose source was read before, if it is still what it was.
    pub(super) fn resume(
        &mut self,
        file: &mut Tailed,
        stream: Stream,
        now: Moment,
    ) -> Result<(), Interrupt> {
        let Some(known) = self.streams().get(stream).cloned() else {
            return Ok(());
        };
        if let Some(home) = self.streams().path(stream) {
            file.home = home.to_owned();
        }
        let head = head_of(&file.file)?;
        let window = window_of(&file.file, known.position)?;
        let before = known.before.map_or(0, |(position, _)| position);
        let window_before = window_of(&file.file, before)?;
        let seen = Seen {
            size: file.facts.size,
            head: &head,
            window: &window,
            window_before: &window_before,
            head_before: (!file.head.is_empty()).then_some(&file.head),
            begins_with_its_line: RunStart::new(0, &head).content == stream.run.content(),
        };
        match resume(&known, self.streams().is_forgotten(stream), &seen) {
            _ if self.is_carried_by_a_copy(stream) => {
                self.begin_anew(file, stream, Resume::Other, now)
            }
            // Nothing was read: what is there may have been exchanged any number of times since.
            Resume::Continue if known.position == 0 => self.read_from(file, None, 0),
            Resume::Continue if known.undecided => {
                self.go_on_undecided(file, stream, known.position, now)
            }
            Resume::Continue => self.read_from(file, Some(stream), known.position),
            Resume::ContinueAnew => self.read_from(file, None, known.position),
            Resume::WentBack => self.read_from(file, None, before),
            Resume::Shorter => match self.compare(file, stream, known.position)? {
                Verdict::LostItsEnd(position) => self.go_back(file, stream, position, now),
                Verdict::Unknown => self.go_back(file, stream, file.facts.size, now),
                Verdict::Other => self.begin_anew(file, stream, Resume::Other, now),
            },
            change @ (Resume::MayBeShorter | Resume::Other) => {
                self.begin_anew(file, stream, change, now)
            }
        }
    }

    /// Goes on in a file that lost its end, as a new run that begins there.
    fn go_back(
        &mut self,
        file: &mut Tailed,
        stream: Stream,
        position: u64,
        now: Moment,
    ) -> Result<(), Interrupt> {
        let read = self.streams().get(stream).map_or(0, |known| known.position);
        let end = file.size_before.unwrap_or(0).max(read);
        self.declare(stream, read..end, Cause::Regressed, now)?;
        self.tell(Notice::Regressed { path: file.path.clone() });
        file.size_before = None;
        self.begin_at(file, position, now)
    }

    /// Compares a file with what the spool holds of its run: did it lose its end, and where.
    fn compare(&mut self, file: &Tailed, stream: Stream, read: u64) -> Result<Verdict, Interrupt> {
        let mut divergence = Divergence::new(stream, read, file.facts.size);
        let mut failed = None;
        self.landing.recall(stream.source, &mut |held| {
            let next = same_lines(&file.file, divergence.lines(held))
                .map(|same| divergence.handle_held(held, same));
            match next {
                Ok(Next::Older) => ControlFlow::Continue(()),
                Ok(Next::Nothing) => ControlFlow::Break(()),
                Err(error) => {
                    failed = Some(error);
                    ControlFlow::Break(())
                }
            }
        })?;
        failed.map_or(Ok(divergence.verdict()), |error| Err(error.into()))
    }

    /// Reads a file from its start as a new run. What was not read of the old one is looked for in a
    /// copy, else declared. One that may only have lost its end, and was not copied, goes on from there.
    fn begin_anew(
        &mut self,
        file: &mut Tailed,
        stream: Stream,
        change: Resume,
        now: Moment,
    ) -> Result<(), Interrupt> {
        let size_before = file.size_before;
        let known = self.streams().get(stream).cloned();
        if let Some(known) = known
            && !self.find_rest(file, stream, size_before, now)?
        {
            match self.find_packed_rest(file, stream, size_before, now) {
                Rest::Found => {}
                Rest::Unknown => {
                    file.role = Role::Unsettled;
                    file.due = false;
                    return Ok(());
                }
                Rest::Nowhere => {
                    if change == Resume::MayBeShorter
                        && let Verdict::LostItsEnd(position) =
                            self.compare(file, stream, known.position)?
                    {
                        return self.go_back(file, stream, position, now);
                    }
                    if let Some((cause, end)) = lost(&known, size_before) {
                        self.declare(stream, known.position..end, cause, now)?;
                    }
                }
            }
        }
        self.read_rest(stream, now)?;
        file.size_before = None;
        self.tell(Notice::BegunAnew { path: file.path.clone() });
        self.read_from(file, None, 0)?;
        self.read_on(file, now)?;
        match file.role {
            // No line yet: without a run that says so, the end of the old one would be found again at
            // each start. The first line begins a run of its own, which knows how it begins.
            Role::Reading { stream: None, .. } => self.begin_at(file, 0, now),
            Role::Reading { .. } | Role::Unsettled | Role::Copy | Role::Twin => Ok(()),
        }
    }

    /// Hands over the rest of a run from the copy that holds it, before the next run begins: after a crash
    /// in between nobody would look for it.
    fn read_rest(&mut self, stream: Stream, now: Moment) -> Result<(), Interrupt> {
        for _ in 0..REST_CHUNKS_MAX {
            let carries =
                |(_, file): &(&FileKey, &Tailed)| file.due && file.stream() == Some(stream);
            let Some(key) = self.files.iter().find(carries).map(|(key, _)| *key) else { break };
            self.visit(key, now)?;
        }
        Ok(())
    }

    /// Finds the copy that holds the rest of a run whose file was truncated, and reads it as that run.
    /// True if there is one.
    fn find_rest(
        &mut self,
        file: &Tailed,
        stream: Stream,
        size_before: Option<u64>,
        now: Moment,
    ) -> Result<bool, Interrupt> {
        let carrier = self.files.values_mut().find(|other| other.stream() == Some(stream));
        if let Some(carrier) = carrier {
            carrier.owed = carrier.owed.max(size_before);
            return Ok(true);
        }
        let copies = self.copies_of(file, stream, now);
        let Some(chosen) = copies.iter().max_by_key(|copy| copy.facts.size).cloned() else {
            return Ok(false);
        };
        let Some(mut copy) = self.files.remove(&chosen.facts.key) else {
            return Ok(false);
        };
        copy.owed = size_before;
        let outcome = self.read_as(&mut copy, stream);
        self.files.insert(chosen.facts.key, copy);
        // There may be younger copies, which nobody has seen.
        self.discovery.forget_listings();
        self.next_scan = None;
        outcome.map(|()| true)
    }

    /// Finds the compressed copy that holds the rest of a run whose file was truncated.
    fn find_packed_rest(
        &mut self,
        file: &Tailed,
        stream: Stream,
        size_before: Option<u64>,
        now: Moment,
    ) -> Rest {
        self.look_for_packed(&file.home);
        let owed = self.packed.truncated.entry(stream).or_default();
        *owed = (*owed).max(size_before);
        let rest = self.rest_of(stream, now);
        if rest != Rest::Unknown {
            self.packed.truncated.remove(&stream);
        }
        rest
    }

    /// Files beside a truncated one that hold its run further than it was read, each opened.
    fn copies_of(&mut self, file: &Tailed, stream: Stream, now: Moment) -> Vec<Sighted> {
        let mut copies = Vec::new();
        for sighted in family_of(file) {
            let key = sighted.facts.key;
            let is_read = self
                .files
                .get(&key)
                .is_some_and(|other| matches!(other.role, Role::Reading { .. } | Role::Twin));
            if key == file.facts.key || is_read {
                continue;
            }
            let was_open = self.files.contains_key(&key);
            // Above the limit of open files if need be: one for each file that is truncated.
            if !was_open && self.open(&sighted, &file.home, Start::Beginning, now).is_err() {
                continue;
            }
            let holds_rest = self
                .files
                .get(&key)
                .is_some_and(|other| self.holds_rest(other, stream).unwrap_or(false));
            if holds_rest {
                copies.push(sighted);
            } else if !was_open {
                self.files.remove(&key);
            }
        }
        copies
    }

    fn holds_rest(&self, copy: &Tailed, stream: Stream) -> Result<bool, Interrupt> {
        let Some(known) = self.streams().get(stream) else {
            return Ok(false);
        };
        let (head, window) = (head_of(&copy.file)?, window_of(&copy.file, known.position)?);
        let likeness = Likeness {
            alike: alike(known, self.heads.get(&stream).map(Vec::as_slice), &head),
            size: copy.facts.size,
            window: &window,
            is_named_after: true,
            is_in_place_of: false,
            is_repetitive: is_repetitive(&stretch_of(&copy.file, known.position)?),
        };
        Ok(classify(known, Original::Truncated, &likeness) == Kind::Continuation)
    }
}

/// How much of the beginning of some lines a file has at the same place.
fn same_lines(file: &File, lines: &[HeldLine]) -> io::Result<Same> {
    for (count, line) in lines.iter().enumerate() {
        let found = bytes_at(file, line.start, line.bytes.len())?;
        if found != line.bytes {
            let rest = if line.bytes.starts_with(&found) { found.len() as u64 } else { 0 };
            return Ok(Same { lines: count, rest });
        }
    }
    Ok(Same { lines: lines.len(), rest: 0 })
}

/// The files beside a file that bear a name of its family.
pub(super) fn family_of(file: &Tailed) -> Vec<Sighted> {
    let Some((folder, home)) = file.home.parent().zip(file.home.file_name()) else {
        return Vec::new();
    };
    let beside = Discovery::beside(folder, &BTreeSet::from([stem(home).to_vec()]));
    beside.into_iter().take(FAMILY_MAX).map(Sighted::new).collect()
}

/// Chunks of a rest that are read in one go, while other files wait: 32 MiB. What is beyond is read in turn with
/// the run after it.
const REST_CHUNKS_MAX: usize = 64;
/// Files of one family that are looked at for a copy: rotation keeps far fewer.
const FAMILY_MAX: usize = 4096;
