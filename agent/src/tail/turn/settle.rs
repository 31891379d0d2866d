//! Settling a file: is its source known, is it a copy of one that is, or is it new.

use std::fs::File;
use std::io;
use std::path::Path;

use headwater_protocol::position::{Check, SourceId, Stream};

use super::scan::{Sighted, is_named_after};
use super::{Interrupt, Place, Role, Start, Tail, Tailed};
use crate::tail::identity::{Facts, head_of, is_repetitive, open, stretch_of, window_of};
use crate::tail::notice::Notice;
use crate::tail::resume::{EVIDENCE_BYTES, Kind, Likeness, Original, alike, classify, fits};
use crate::tail::{KnownStream, Landing, Moment};

impl<L: Landing> Tail<L> {
    /// Decides what is done with a file.
    pub(super) fn settle(&mut self, file: &mut Tailed, now: Moment) -> Result<(), Interrupt> {
        let head = head_of(&file.file)?;
        file.due = false;
        let Some(source) = file.source.or_else(|| file.facts.source(&head)) else {
            return Ok(());
        };
        file.source = Some(source);
        if let Some(twin) = self.files.values().find(|other| other.source == Some(source)) {
            let notice = Notice::OneFile { path: twin.path.clone(), other: file.path.clone() };
            self.tell(notice);
            file.role = Role::Twin;
            return Ok(());
        }
        let furthest = self.furthest_that_fits(file, source)?;
        // A run of another life of this host may fit where the file begins as it did then.
        let read =
            furthest.and_then(|stream| self.streams().get(stream)).map_or(0, |it| it.position);
        if let Some(position) = self.went_back_to(file, source)?.filter(|back| *back > read) {
            return self.read_from(file, None, position);
        }
        if let Some(stream) = furthest.or_else(|| self.streams().latest(source)) {
            return self.resume(file, stream, now);
        }
        if let Start::At(size) = file.start {
            let start = if file.facts.size < size { 0 } else { size };
            return self.begin_at(file, start, now);
        }
        if file.facts.size == 0 {
            return Ok(());
        }
        self.settle_unknown(file, &head, now)
    }

    /// How far a file that went back with its host had been read by the spool that went back with it.
    fn went_back_to(&self, file: &Tailed, source: SourceId) -> Result<Option<u64>, Interrupt> {
        let mut furthest = None;
        for (position, check) in self.streams().of(source).filter_map(|(_, known)| known.before) {
            let reaches = position <= file.facts.size;
            if reaches && Check::of(&window_of(&file.file, position)?) == check {
                furthest = furthest.max(Some(position));
            }
        }
        Ok(furthest)
    }

    /// The run of a source that was read furthest and whose last bytes the file still has. The latest
    /// one need not be it after a spool was rolled back: the ledger may know an older one further.
    fn furthest_that_fits(
        &self,
        file: &Tailed,
        source: SourceId,
    ) -> Result<Option<Stream>, Interrupt> {
        let mut furthest: Option<(u64, Stream)> = None;
        for (stream, known) in self.streams().of(source) {
            let is_further = furthest.is_none_or(|furthest| furthest <= (known.position, stream));
            if known.position == 0 || known.position > file.facts.size || !is_further {
                continue;
            }
            if fits(known, &window_of(&file.file, known.position)?) {
                furthest = Some((known.position, stream));
            }
        }
        Ok(furthest.map(|(_, stream)| stream))
    }

    fn settle_unknown(
        &mut self,
        file: &mut Tailed,
        head: &[u8],
        now: Moment,
    ) -> Result<(), Interrupt> {
        let Verdict { kind, like } = self.judge(file, head)?;
        if kind == Kind::Own
            && let Some(position) = self.went_back(file, head)?
        {
            return self.read_from(file, None, position);
        }
        match (kind, like) {
            (Kind::Own, like) => {
                let other = like.and_then(|stream| self.streams().path(stream));
                if let Some(other) = other.filter(|other| *other != file.home).map(Path::to_owned) {
                    self.tell(Notice::SameBeginning { path: file.path.clone(), other });
                }
                match file.start {
                    Start::There(size) => self.leave_undecided(file, size, now),
                    Start::Beginning | Start::At(_) => self.read_from(file, None, 0),
                }
            }
            (Kind::Copy, Some(of)) => {
                let original = self.streams().path(of).map(Path::to_owned).unwrap_or_default();
                self.tell(Notice::Ambiguous { path: file.path.clone(), original });
                file.role = Role::Copy;
                Ok(())
            }
            (Kind::Continuation, Some(of)) => {
                self.release(of);
                self.read_as(file, of)
            }
            (Kind::SpentCopy, _) | (Kind::Copy | Kind::Continuation, None) => {
                self.begin_at(file, file.facts.size, now)
            }
        }
    }

    /// Where a file goes on that was restored together with the spool, as another file of the same name: where
    /// the spool had read it to. `None` for all others.
    fn went_back(&self, file: &Tailed, head: &[u8]) -> Result<Option<u64>, Interrupt> {
        let mut furthest = None;
        for (stream, known) in self.streams().iter() {
            let Some((position, check)) = known.before else { continue };
            let remembered = self.heads.get(&stream).map(Vec::as_slice);
            let is_its_file = self.streams().path(stream) == Some(&file.path)
                && self.whereabouts(stream.source).is_none()
                && alike(known, remembered, head).is_some();
            if is_its_file
                && position <= file.facts.size
                && Check::of(&window_of(&file.file, position)?) == check
            {
                furthest = furthest.max(Some(position));
            }
        }
        Ok(furthest)
    }

    /// Compares a file of unknown source with every run that begins like it.
    fn judge(&self, file: &Tailed, head: &[u8]) -> Result<Verdict, Interrupt> {
        let mut best = Verdict { kind: Kind::Own, like: None };
        let mut best_position = 0;
        for (stream, known) in self.streams().iter() {
            let remembered = self.heads.get(&stream).map(Vec::as_slice);
            let Some(alike) = alike(known, remembered, head) else { continue };
            let size = file.facts.size;
            let window = window_of(&file.file, known.position.min(size))?;
            let home = self.streams().path(stream);
            let likeness = Likeness {
                alike: Some(alike),
                size,
                window: &window,
                is_named_after: home.is_some_and(|home| is_named_after(&file.path, home)),
                is_in_place_of: home == Some(&file.path),
                is_repetitive: is_repetitive(&stretch_of(&file.file, known.position.min(size))?),
            };
            let original = self.original_of(stream, known, file)?;
            let kind = match classify(known, original, &likeness) {
                Kind::Continuation if self.is_carried_by_a_copy(stream) => Kind::SpentCopy,
                kind => kind,
            };
            let is_better = (kind, known.position) > (best.kind, best_position);
            if is_better && (kind > Kind::Own || alike >= EVIDENCE_BYTES) {
                best = Verdict { kind, like: Some(stream) };
                best_position = known.position;
            }
        }
        Ok(best)
    }

    /// Whether a file that is not open holds the end of a run that was read to there, in a place where a
    /// copy of it would be. None is older than what it was made of.
    pub(super) fn is_read_copy(&self, sighted: &Sighted) -> io::Result<bool> {
        let file = open(&sighted.path)?;
        let head = head_of(&file)?;
        for (stream, known) in self.streams().iter() {
            let home = self.streams().path(stream);
            if known.position == sighted.facts.size
                && alike(known, self.heads.get(&stream).map(Vec::as_slice), &head).is_some()
                && home.is_some_and(|home| is_named_after(&sighted.path, home))
                && fits(known, &window_of(&file, known.position)?)
            {
                let original = self.whereabouts(stream.source).map(|(_, facts)| facts);
                if original.is_some_and(|original| original.is_younger_than(&sighted.facts)) {
                    continue;
                }
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// What became of the file of a run, as far as another file may be a copy of it.
    fn original_of(
        &self,
        stream: Stream,
        known: &KnownStream,
        copy: &Tailed,
    ) -> Result<Original, Interrupt> {
        let home = self.streams().path(stream);
        let open_file = self.files.values().find(|file| file.source == Some(stream.source));
        let Some(original) = open_file else {
            return match self.whereabouts(stream.source) {
                None => Ok(Original::Gone),
                Some((path, _)) if Some(path) != home => Ok(Original::Moved),
                Some((path, _)) => match open(path) {
                    Ok(file) => compare(&file, known, copy),
                    Err(error) => Err(error.into()),
                },
            };
        };
        let Facts { size, links, .. } = Facts::of(&original.file)?;
        let is_elsewhere = home.is_some_and(|home| home != original.path);
        match (original.place, &original.role) {
            _ if links == 0 => {
                let is_whole = copy.facts.size >= size
                    && window_of(&copy.file, size)? == window_of(&original.file, size)?;
                if is_whole { Ok(Original::Gone) } else { compare(&original.file, known, copy) }
            }
            (Place::Beside | Place::Deleted, _) => Ok(Original::Moved),
            (Place::Named, _) if is_elsewhere => Ok(Original::Moved),
            (Place::Named, Role::Reading { stream: read_as, .. }) if *read_as != Some(stream) => {
                Ok(Original::Truncated)
            }
            (Place::Named, _) => compare(&original.file, known, copy),
        }
    }

    /// Whether another file than its own is read as a run.
    pub(super) fn is_carried_by_a_copy(&self, stream: Stream) -> bool {
        let carries = |file: &Tailed| file.stream() == Some(stream);
        self.files.values().any(|file| carries(file) && file.source != Some(stream.source))
    }

    /// Takes a run from the deleted file that is read as it, because another holds all of it. A
    /// truncated one sees at its next visit that another is read as its run.
    fn release(&mut self, stream: Stream) {
        let is_deleted = |file: &Tailed| Facts::of(&file.file).is_ok_and(|facts| facts.links == 0);
        for file in self.files.values_mut().filter(|file| file.stream() == Some(stream)) {
            if is_deleted(file) {
                file.role = Role::Twin;
            }
        }
    }
}

/// What a file of unknown source is, and the run that says so.
struct Verdict {
    kind: Kind,
    /// `None` if no run begins like it, as far as that is no accident.
    like: Option<Stream>,
}

/// Whether an original holds what was read of it, and if so, whether it holds its copy.
fn compare(original: &File, known: &KnownStream, copy: &Tailed) -> Result<Original, Interrupt> {
    let size = Facts::of(original)?.size;
    if size < known.position || !fits(known, &window_of(original, known.position)?) {
        return Ok(Original::Truncated);
    }
    let end = copy.facts.size;
    let holds_it = end <= size && window_of(original, end)? == window_of(&copy.file, end)?;
    Ok(Original::InPlace { holds_it })
}
