//! Which files there are: those that tails name, and those beside them that rotation has left.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use headwater_protocol::position::{SourceId, Stream};
use rustix::fs::FileType;

use super::changed::family_of;
use super::{Interrupt, Place, Resting, Role, Start, Tail, Tailed, Waiting};
use crate::config::StartAt;
use crate::tail::access::Refusal;
use crate::tail::discover::{Found, Sighting, Stems, is_generation_of, stem};
use crate::tail::identity::{Facts, FileKey, head_of, open};
use crate::tail::notice::Notice;
use crate::tail::{Landing, Moment};

/// A file at a path, and which source it is.
#[derive(Clone, Debug)]
pub(super) struct Sighted {
    pub(super) path: PathBuf,
    pub(super) facts: Facts,
    /// `None` where that cannot be known yet.
    pub(super) source: Option<SourceId>,
}

impl Sighted {
    pub(super) fn new(sighting: Sighting) -> Self {
        let Sighting { path, facts } = sighting;
        let head = || open(&path).and_then(|file| head_of(&file)).unwrap_or_default();
        let head = if facts.born.is_some() { Vec::new() } else { head() };
        Self { source: facts.source(&head), path, facts }
    }
}

/// The paths that files are or were read at, by folder: the heads of families.
pub(super) struct Homes(BTreeMap<PathBuf, BTreeSet<OsString>>);

impl Homes {
    /// What the names of the families in a folder begin with.
    fn stems(&self, folder: &Path) -> Stems {
        let homes = self.0.get(folder).into_iter().flatten();
        homes.map(|home| stem(home).to_vec()).collect()
    }

    /// A path that is a home itself.
    pub(super) fn own(&self, path: &Path) -> Option<PathBuf> {
        let (folder, name) = path.parent().zip(path.file_name())?;
        self.0.get(folder)?.contains(name).then(|| path.to_owned())
    }

    /// The home that a path is a rotated generation of.
    pub(super) fn of_generation(&self, path: &Path) -> Option<PathBuf> {
        let (folder, name) = path.parent().zip(path.file_name())?;
        let home = self.0.get(folder)?.iter().find(|home| is_generation_of(name, home))?;
        Some(path.with_file_name(home))
    }
}

impl<L: Landing> Tail<L> {
    /// Opens what has appeared, and takes note of what was renamed.
    pub(super) fn scan(&mut self, now: Moment) -> Result<(), Interrupt> {
        let homes = self.homes();
        let wall = now.time_us.saturating_mul(1000);
        let found = self.discovery.scan(wall, &|folder| homes.stems(folder));
        let Found { named, beside, packed, notices } = found;
        notices.into_iter().for_each(|notice| self.tell(notice));
        let tails: Vec<usize> = named.iter().map(|(_, tail)| *tail).collect();
        self.named = named.into_iter().map(|(sighting, _)| Sighted::new(sighting)).collect();
        let mut fresh: BTreeSet<PathBuf> = beside.keys().cloned().collect();
        let retried = self.waiting.values().filter(|waiting| now.at >= waiting.retry_at);
        fresh.extend(retried.filter_map(|waiting| waiting.path.parent().map(Path::to_owned)));
        for (folder, sightings) in beside {
            self.beside.insert(folder, sightings.into_iter().map(Sighted::new).collect());
        }
        let folders: BTreeSet<&Path> = self.discovery.folders().collect();
        self.beside.retain(|folder, _| folders.contains(folder.as_path()));
        let homes = self.homes();
        let are_listed = packed.values().any(|files| !files.is_empty());
        self.note_packed(packed, &homes);

        self.note_places();
        for (sighted, tail) in self.named.clone().iter().zip(tails) {
            let start = match self.tails[tail].start_at {
                StartAt::End if !self.was_scanned[tail] => Start::At(sighted.facts.size),
                StartAt::End | StartAt::Beginning if self.streams().files_undecided => {
                    Start::There(sighted.facts.size)
                }
                StartAt::End | StartAt::Beginning => Start::Beginning,
            };
            let home = homes.of_generation(&sighted.path).unwrap_or_else(|| sighted.path.clone());
            self.take_up(sighted, &home, start, now);
        }
        self.was_scanned.fill(true);
        self.settle_known(now)?;
        for folder in fresh {
            self.look_beside(&folder, &homes, now);
        }
        self.settle_known(now)?;
        if are_listed || self.awaits_packed() {
            self.look_into_packed(now);
        }
        Ok(())
    }

    /// Where files are read or were read before.
    fn homes(&self) -> Homes {
        let mut homes = Homes(BTreeMap::new());
        let known = self.streams().paths().filter(|path| self.discovery.tail_of(path).is_some());
        let open = self.files.values().map(|file| file.home.as_path());
        let named = self.named.iter().map(|sighted| sighted.path.as_path());
        for path in known.chain(open).chain(named) {
            if let Some((folder, name)) = path.parent().zip(path.file_name()) {
                homes.0.entry(folder.to_owned()).or_default().insert(name.to_owned());
            }
        }
        homes
    }

    /// Finds each open file again, wherever it was renamed to.
    fn note_places(&mut self) {
        let mut names: BTreeMap<FileKey, PathBuf> = BTreeMap::new();
        let mut twice = Vec::new();
        for sighted in &self.named {
            if let Some(first) = names.get(&sighted.facts.key) {
                twice.push(Notice::OneFile { path: first.clone(), other: sighted.path.clone() });
            } else {
                names.insert(sighted.facts.key, sighted.path.clone());
            }
        }
        twice.into_iter().for_each(|notice| self.tell(notice));
        let beside: BTreeMap<FileKey, &PathBuf> = self
            .beside
            .values()
            .flatten()
            .map(|sighted| (sighted.facts.key, &sighted.path))
            .collect();
        for (key, file) in &mut self.files {
            if let Some(path) = names.get(key) {
                file.path.clone_from(path);
                file.place = Place::Named;
            } else if file.place != Place::Deleted {
                file.place = Place::Beside;
                if let Some(path) = beside.get(key) {
                    file.path.clone_from(path);
                }
            }
        }
        self.resting.retain(|key, _| names.contains_key(key));
        self.waiting.retain(|key, _| names.contains_key(key) || beside.contains_key(key));
    }

    /// Opens a file unless it is open, at rest, or has to wait.
    fn take_up(&mut self, sighted: &Sighted, home: &Path, start: Start, now: Moment) {
        let key = sighted.facts.key;
        let rests = self.resting.get(&key).is_some_and(|resting| {
            resting.size == sighted.facts.size
                && resting.changed == sighted.facts.changed
                && resting.source == sighted.source
        });
        if self.files.contains_key(&key) || rests {
            return;
        }
        self.resting.remove(&key);
        let start = match self.waiting.get(&key) {
            Some(waiting) if now.at < waiting.retry_at => return,
            Some(waiting) => waiting.start,
            None => start,
        };
        if !self.make_room(now) {
            let path = sighted.path.clone();
            let reason = format!("{} files are open", self.limits.max_files);
            self.tell(Notice::TooManyFiles { path, max_files: self.limits.max_files });
            self.wait(sighted, start, reason, now.at + RETRY_FULL);
            return;
        }
        match self.open(sighted, home, start, now) {
            Ok(()) => {
                self.waiting.remove(&key);
            }
            Err(error) if is_gone(&error) => self.next_scan = None,
            Err(error) => {
                let refusal = Refusal::of(&sighted.path, &error);
                let reason = refusal.to_string();
                self.tell(Notice::Unreadable { path: sighted.path.clone(), refusal });
                self.wait(sighted, start, reason, now.at + RETRY_UNREADABLE);
            }
        }
    }

    fn wait(
        &mut self,
        sighted: &Sighted,
        start: Start,
        reason: String,
        retry_at: std::time::Instant,
    ) {
        let (path, size) = (sighted.path.clone(), sighted.facts.size);
        let waiting = Waiting { path, start, retry_at, size, reason };
        self.waiting.insert(sighted.facts.key, waiting);
    }

    /// Opens a file that was sighted, if it is still that file.
    pub(super) fn open(
        &mut self,
        sighted: &Sighted,
        home: &Path,
        start: Start,
        now: Moment,
    ) -> io::Result<()> {
        let file = open(&sighted.path)?;
        let facts = Facts::of(&file)?;
        if facts.kind != FileType::RegularFile || facts.key != sighted.facts.key {
            return Err(io::ErrorKind::NotFound.into());
        }
        let is_named = self.discovery.tail_of(&sighted.path).is_some();
        let tailed = Tailed {
            file,
            facts,
            source: sighted.source,
            path: sighted.path.clone(),
            home: home.to_owned(),
            place: if is_named { Place::Named } else { Place::Beside },
            role: Role::Unsettled,
            start,
            head: Vec::new(),
            size_before: None,
            read_up: None,
            held: None,
            owed: None,
            sought: None,
            hurried_at: None,
            still_since: now.at,
            due: true,
            stalled: None,
            retry_at: None,
        };
        self.files.insert(facts.key, tailed);
        Ok(())
    }

    /// Makes room for one more file: the one that stood still longest rests, if it is read up.
    fn make_room(&mut self, now: Moment) -> bool {
        if self.files.len() < self.limits.max_files {
            return true;
        }
        let can_rest = |file: &Tailed| {
            file.place == Place::Named && file.is_read_up() && file.still(now.at) >= REST_AFTER
        };
        let longest = self
            .files
            .iter()
            .filter(|(_, file)| can_rest(file))
            .max_by_key(|(_, file)| file.still(now.at))
            .map(|(key, _)| *key);
        let Some((key, file)) = longest.and_then(|key| self.files.remove_entry(&key)) else {
            return false;
        };
        let Facts { size, changed, .. } = file.facts;
        self.resting.insert(key, Resting { source: file.source, size, changed });
        true
    }

    /// Settles the files whose source is known before any other: what is a copy is judged by them.
    fn settle_known(&mut self, now: Moment) -> Result<(), Interrupt> {
        let is_known = |file: &Tailed| {
            let known = file.source.and_then(|source| self.streams().latest(source));
            matches!(file.role, Role::Unsettled) && known.is_some()
        };
        let known: Vec<FileKey> =
            self.files.iter().filter(|(_, file)| is_known(file)).map(|(key, _)| *key).collect();
        known.into_iter().try_for_each(|key| self.visit(key, now))
    }

    /// Goes through the files of a folder that no tail names: rotated ones that are not read to their
    /// end, and generations that came and went between two looks.
    fn look_beside(&mut self, folder: &Path, homes: &Homes, now: Moment) {
        let mut families: BTreeMap<PathBuf, Vec<Sighted>> = BTreeMap::new();
        for sighted in self.beside.get(folder).cloned().unwrap_or_default() {
            if let Some(home) = homes.of_generation(&sighted.path) {
                families.entry(home).or_default().push(sighted.clone());
            }
            if self.files.contains_key(&sighted.facts.key) {
                continue;
            }
            if let Some(stream) = self.latest_of(&sighted)
                && self.may_hold_more(&sighted, stream, now)
            {
                let home = self.streams().path(stream).unwrap_or(&sighted.path).to_owned();
                self.take_up(&sighted, &home, Start::Beginning, now);
            }
        }
        for (home, family) in &families {
            self.take_up_generations(home, family, now);
        }
        let is_first = self.looked_beside.insert(folder.to_owned());
        if is_first {
            let seen = families.into_values().flatten().map(|sighted| sighted.facts.key);
            let unread: Vec<FileKey> = seen.filter(|key| !self.files.contains_key(key)).collect();
            self.from_before.extend(unread);
        }
    }

    fn latest_of(&self, sighted: &Sighted) -> Option<Stream> {
        sighted.source.and_then(|source| self.streams().latest(source))
    }

    /// Whether a rotated file has bytes that were not read, or may still be written to.
    fn may_hold_more(&self, sighted: &Sighted, stream: Stream, now: Moment) -> bool {
        let known = self.streams().get(stream);
        let unread = known.is_none_or(|known| sighted.facts.size != known.position);
        let age_us = now.time_us.saturating_sub(sighted.facts.modified / 1000);
        let grace_us = i64::try_from(self.limits.deleted_grace.as_micros()).unwrap_or(i64::MAX);
        unread || (!self.finished.contains(&stream) && age_us < grace_us)
    }

    /// Reads the generations of a path that came and went between two looks: those that came while we
    /// looked on, and those that are younger than the oldest one that is known. Older ones are from
    /// before the agent's time.
    ///
    /// Where no generation is known and the last known file of the path is nowhere, rotation has dropped
    /// it as the oldest: all that are left are younger.
    fn take_up_generations(&mut self, home: &Path, family: &[Sighted], now: Moment) {
        let at_home = self.named.iter().find(|sighted| sighted.path == home);
        let Some(last) = self.streams().at(home).or_else(|| self.last_at_other_name(at_home?))
        else {
            return;
        };
        let is_at_home = at_home.is_some_and(|sighted| sighted.source == Some(last.source));
        let last = self.whereabouts(last.source).map(|(_, facts)| facts);
        let moved = last.filter(|_| !is_at_home);
        let known = family.iter().filter(|sighted| self.is_known(sighted));
        let oldest = known
            .map(|sighted| sighted.facts)
            .chain(moved)
            .reduce(|one, other| if one.is_younger_than(&other) { other } else { one });
        let looked_on = self.looked_beside.contains(home.parent().unwrap_or(home));
        let is_wanted = |sighted: &Sighted| {
            let came_since = looked_on && !self.from_before.contains(&sighted.facts.key);
            let is_younger = match oldest {
                Some(oldest) => sighted.facts.is_younger_than(&oldest),
                None => last.is_none(),
            };
            self.latest_of(sighted).is_none() && (came_since || is_younger)
        };
        let wanted: Vec<Sighted> =
            family.iter().filter(|sighted| is_wanted(sighted)).cloned().collect();
        for sighted in wanted {
            self.take_up(&sighted, home, Start::Beginning, now);
        }
    }

    /// The last run that was read at another name of a file: a hard link, by which it is read.
    fn last_at_other_name(&self, sighted: &Sighted) -> Option<Stream> {
        let names = self.named.iter().filter(|other| other.facts.key == sighted.facts.key);
        names.filter_map(|other| self.streams().at(&other.path)).max_by_key(|stream| stream.run)
    }

    /// Whether a file beside another is known: by itself, or by what it holds.
    fn is_known(&self, sighted: &Sighted) -> bool {
        let is_read =
            self.files.get(&sighted.facts.key).is_some_and(|file| file.stream().is_some());
        is_read || self.latest_of(sighted).is_some() || self.is_read_copy(sighted).unwrap_or(false)
    }

    /// Forgets where the file was seen that was read at a path last, if it does not stand there any more and
    /// is not open.
    pub(super) fn forget_where_it_stood(&mut self, path: &Path) {
        let Some(source) = self.streams().at(path).map(|stream| stream.source) else { return };
        if self.files.values().any(|file| file.source == Some(source)) {
            return;
        }
        let stands = |sighted: &Sighted| {
            sighted.source != Some(source)
                || Facts::at(&sighted.path).is_ok_and(|facts| facts.key == sighted.facts.key)
        };
        self.named.retain(stands);
        self.beside.values_mut().for_each(|sighted| sighted.retain(stands));
    }

    /// Whether the file of a run stands beside another one at this moment.
    pub(super) fn stands_beside(&self, file: &Tailed, stream: Stream) -> bool {
        let is_its_file = |sighted: &Sighted| sighted.source == Some(stream.source);
        file.source != Some(stream.source) && family_of(file).iter().any(is_its_file)
    }

    /// Where the file of a source is; `None` if it is nowhere to be seen.
    pub(super) fn whereabouts(&self, source: SourceId) -> Option<(&Path, Facts)> {
        let open = self.files.values().find(|file| file.source == Some(source));
        if let Some(file) = open {
            return Some((&file.path, file.facts));
        }
        let mut sighted = self.named.iter().chain(self.beside.values().flatten());
        let found = sighted.find(|sighted| sighted.source == Some(source))?;
        Some((&found.path, found.facts))
    }
}

/// The file went, or became something else, between the look and the opening.
fn is_gone(error: &io::Error) -> bool {
    let is_link_or_pipe = [rustix::io::Errno::LOOP, rustix::io::Errno::NXIO]
        .map(rustix::io::Errno::raw_os_error)
        .map(Some)
        .contains(&error.raw_os_error());
    error.kind() == io::ErrorKind::NotFound || is_link_or_pipe
}

/// Whether two paths are of one folder, and one is a rotated generation of the other.
pub(super) fn is_named_after(path: &Path, home: &Path) -> bool {
    let names = path.file_name().zip(home.file_name());
    path.parent() == home.parent()
        && names.is_some_and(|(name, home): (&OsStr, &OsStr)| is_generation_of(name, home))
}

/// A person has to change rights: that takes its time.
pub(super) const RETRY_UNREADABLE: Duration = Duration::from_secs(30);
/// Until another file may have come to rest.
const RETRY_FULL: Duration = Duration::from_secs(5);
/// A file that was written to within this time is not closed to make room.
const REST_AFTER: Duration = Duration::from_secs(10);
