//! Compressed files beside those that are read: which of them holds the rest of a run whose own file is
//! gone.
//!
//! Rotation renames a file, packs it and removes it. What is packed is another file, with an inode of its
//! own; its content is known by its beginning and by the bytes before the position. It is never a source:
//! what belongs to no run that is known is left alone.

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use headwater_protocol::position::{Check, Run, SourceId, Stream};
use headwater_protocol::record::Fingerprint;

use super::carrying::{Carrier, Order, PASSED_BYTES_PER_TURN};
use super::closing::COPY_STILL;
use super::scan::{Homes, RETRY_UNREADABLE, is_named_after};
use super::unpacking::Cover;
use super::{Role, Tail, Tailed};
use crate::tail::access::Refusal;
use crate::tail::discover::{Discovery, Sighting, stem};
use crate::tail::identity::{Facts, FileKey, open};
use crate::tail::notice::Notice;
use crate::tail::resume::{Original, alike};
use crate::tail::{Landing, Moment, Start};

/// Compressed files, and those of them that are being unpacked.
#[derive(Debug, Default)]
pub(super) struct PackedFiles {
    pub(super) files: BTreeMap<FileKey, Packed>,
    pub(super) carriers: Vec<Carrier>,
    /// Runs whose file was truncated, and how much of each was seen.
    pub(super) truncated: BTreeMap<Stream, Option<u64>>,
}

/// A compressed file.
#[derive(Debug)]
pub(super) struct Packed {
    pub(super) path: PathBuf,
    /// As they were when it was looked into last.
    facts: Facts,
    /// The path that it is a rotated generation of.
    pub(super) home: PathBuf,
    /// Not yet looked into where it is empty; `None` in it: it shows nothing.
    cover: OnceCell<Option<Cover>>,
    /// Runs that do not go on in it, and the positions at which that was found.
    pub(super) refused: BTreeMap<Stream, u64>,
    /// The run that it holds.
    pub(super) holds: Option<Stream>,
    /// It ended in the middle.
    pub(super) cut: Option<Cut>,
    /// It could not be read, and is not tried before; `None` if that has not happened.
    unreadable_until: Option<Instant>,
}

/// How a compressed file ended in the middle.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cut {
    /// Its size then.
    size: u64,
    /// Since when it has had that size.
    since: Instant,
    /// When that was seen first.
    first: Instant,
    retry_at: Instant,
}

impl Cut {
    /// Whether nobody seems to write to a file of a size any more.
    fn is_settled(self, size: u64, patience: Duration, now: Instant) -> bool {
        let is_still = now.saturating_duration_since(self.since) >= COPY_STILL;
        let is_old = now.saturating_duration_since(self.first) >= patience;
        (self.size == size && is_still) || is_old
    }
}

/// Where the rest of a run is, as far as compressed files go.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Rest {
    /// A compressed file holds it, and it is read from there, or was.
    Found,
    /// Files have to be looked into before it can be said.
    Unknown,
    /// In none of them.
    Nowhere,
}

/// A run that was read in part and that no file is read as.
#[derive(Clone, Copy, Debug)]
struct Orphan {
    stream: Stream,
    position: u64,
    original: Original,
}

impl<L: Landing> Tail<L> {
    /// Takes note of the compressed files of folders that were listed anew.
    pub(super) fn note_packed(&mut self, found: BTreeMap<PathBuf, Vec<Sighting>>, homes: &Homes) {
        for (folder, sightings) in found {
            let there: BTreeSet<FileKey> =
                sightings.iter().map(|sighting| sighting.facts.key).collect();
            let is_there = |key: &FileKey, packed: &Packed| {
                packed.path.parent() != Some(&folder) || there.contains(key)
            };
            self.packed.files.retain(|key, packed| is_there(key, packed));
            for sighting in sightings {
                let plain = sighting.path.with_extension("");
                let of_generation = homes.of_generation(&plain);
                if let Some(home) = of_generation.or_else(|| homes.own(&plain)) {
                    self.sight_packed(sighting, home);
                }
            }
        }
    }

    /// Looks at this moment for compressed generations of a path.
    pub(super) fn look_for_packed(&mut self, home: &Path) {
        let Some((folder, name)) = home.parent().zip(home.file_name()) else { return };
        for sighting in Discovery::packed(folder, &BTreeSet::from([stem(name).to_vec()])) {
            let plain = sighting.path.with_extension("");
            if plain == home || is_named_after(&plain, home) {
                self.sight_packed(sighting, home.to_owned());
            }
        }
    }

    fn sight_packed(&mut self, sighting: Sighting, home: PathBuf) {
        let Sighting { path, facts } = sighting;
        match self.packed.files.get_mut(&facts.key) {
            Some(known) if known.facts.born == facts.born => {
                (known.path, known.home) = (path, home);
                known.note_growth(&facts);
            }
            _ => {
                let packed = Packed {
                    path,
                    facts,
                    home,
                    cover: OnceCell::new(),
                    refused: BTreeMap::new(),
                    holds: None,
                    cut: None,
                    unreadable_until: None,
                };
                self.packed.files.insert(facts.key, packed);
            }
        }
    }

    /// Says where the rest of a run is whose own file is gone or holds something else.
    pub(super) fn rest_of(&mut self, stream: Stream, now: Moment) -> Rest {
        if self.packed.carriers.len() < CARRIERS_MAX && self.is_sought(stream) {
            self.look_into_packed(now);
        }
        if self.packed.files.values().any(|packed| packed.holds == Some(stream)) {
            return Rest::Found;
        }
        // Of any other run nothing is looked for, so nothing is waited for.
        if self.is_sought(stream) { Rest::Unknown } else { Rest::Nowhere }
    }

    /// Whether there are compressed files that may hold the rest of a run.
    fn is_sought(&self, stream: Stream) -> bool {
        let Some(known) = self.streams().get(stream).filter(|_| !self.packed.files.is_empty())
        else {
            return false;
        };
        let mut family = self.family(self.streams().path(stream)).into_iter();
        let may_hold = |key: FileKey| self.packed.files[&key].may_hold(stream, known.position);
        family.any(may_hold) && self.orphans().iter().any(|orphan| orphan.stream == stream)
    }

    /// Whether a compressed file is being unpacked for the sake of a run.
    pub(super) fn is_unpacked_for(&self, stream: Stream) -> bool {
        self.packed.carriers.iter().any(|carrier| carrier.is_for(stream))
    }

    /// Begins to unpack what may hold the rest of a run, as far as there is room for it: what was rotated last
    /// comes first, since most of the others were read to their ends before. Of the runs of one file the one
    /// that was read furthest has the first word: the ledger may know another life of it.
    pub(super) fn look_into_packed(&mut self, now: Moment) {
        if self.packed.files.is_empty() {
            return;
        }
        self.retry_unreadable(now);
        let mut families: BTreeMap<Option<PathBuf>, Vec<FileKey>> = BTreeMap::new();
        let mut pairs: Vec<(FileKey, Orphan)> = Vec::new();
        let mut newest: BTreeMap<FileKey, Run> = BTreeMap::new();
        for orphan in self.orphans() {
            let Orphan { stream, position, .. } = orphan;
            let path = self.streams().path(stream).map(Path::to_owned);
            let family =
                families.entry(path).or_insert_with_key(|path| self.family(path.as_deref()));
            for key in family.iter().copied() {
                let files = &self.packed.files;
                let may_hold = files.get(&key).is_some_and(|it| it.may_hold(stream, position));
                if may_hold && self.begins_like(key, &orphan, now) {
                    pairs.push((key, orphan));
                    let run = newest.entry(key).or_insert(stream.run);
                    *run = stream.run.max(*run);
                }
            }
        }
        pairs.sort_by_key(|(key, _)| std::cmp::Reverse(newest[key]));
        for (key, orphan) in &pairs {
            let rivals = pairs
                .iter()
                .filter(|(other_key, other)| (other_key == key) != (other.stream == orphan.stream));
            self.look_into(*key, orphan, rivals.count() == 0, now);
        }
    }

    /// Whether a compressed file begins like a run; if not, it is not asked about that run again.
    fn begins_like(&mut self, key: FileKey, orphan: &Orphan, now: Moment) -> bool {
        let Orphan { stream, position, .. } = *orphan;
        let patience = self.limits.deleted_grace;
        if let Some(packed) = self.packed.files.get_mut(&key)
            && packed.is_hardly_begun(patience, now.at)
        {
            return false;
        }
        let (streams, heads) = (self.streams.as_ref(), &self.heads);
        let known = streams.and_then(|streams| streams.get(stream));
        let Some((packed, known)) = self.packed.files.get(&key).zip(known) else { return false };
        let is_alike = packed.cover().map(|cover| {
            cover.is_some_and(|cover| {
                let content = Start::new(0, &cover.head).content;
                let is_named = known.info.is_some() || content == stream.run.content();
                let remembered = heads.get(&stream).map(Vec::as_slice);
                is_named && alike(known, remembered, &cover.head).is_some()
            })
        });
        match is_alike {
            Ok(true) if position <= UNPACKED_BYTES_MAX => return true,
            Ok(_) => self.refuse_packed(key, stream),
            Err(error) => self.give_up_packed(key, stream, &error, now),
        }
        false
    }

    /// Goes on with a compressed file that begins like a run. `is_only` says that no other one does, and
    /// that it begins like no other run.
    fn look_into(&mut self, key: FileKey, orphan: &Orphan, is_only: bool, now: Moment) {
        let Orphan { stream, position, .. } = *orphan;
        let Some(packed) = self.packed.files.get(&key) else { return };
        let length = packed.length();
        let waits = packed.cut.is_some_and(|cut| now.at < cut.retry_at);
        let is_carried = self.packed.carriers.iter().any(|carrier| carrier.is(key));
        let is_answered = !packed.may_hold(stream, position) || self.finished.contains(&stream);
        if waits || is_carried || is_answered {
            return;
        }
        let is_long = position > PASSED_BYTES_PER_TURN;
        if is_only && is_long && length == Some(position & LENGTH_MASK) {
            // Nothing follows: that need not be proved byte by byte at each start, where it would take time.
            self.hold_packed(key, stream);
            self.note_finished(stream);
        } else if self.packed.carriers.len() < CARRIERS_MAX {
            match self.carrier(key, orphan, now) {
                Ok(carrier) => self.packed.carriers.push(carrier),
                Err(error) => self.give_up_packed(key, stream, &error, now),
            }
        }
    }

    fn carrier(&mut self, key: FileKey, orphan: &Orphan, now: Moment) -> io::Result<Carrier> {
        let Orphan { stream, position, original } = *orphan;
        let owed = self.packed.truncated.get(&stream).copied().flatten();
        let patience = self.limits.deleted_grace;
        let packed = self.packed.files.get_mut(&key).ok_or(io::ErrorKind::NotFound)?;
        let file = open(&packed.path)?;
        let facts = Facts::of(&file)?;
        if facts.key != key {
            return Err(io::ErrorKind::NotFound.into());
        }
        packed.facts = facts;
        let is_settled = packed.cut.is_some_and(|cut| cut.is_settled(facts.size, patience, now.at));
        let length = packed.length().unwrap_or(0);
        let (path, size) = (packed.path.clone(), facts.size);
        let order = Order { key, path, stream, position, length, original, owed, size, is_settled };
        Ok(Carrier::new(order, file))
    }

    /// Asks again of files that could not be read: a person may have changed their rights.
    fn retry_unreadable(&mut self, now: Moment) {
        for packed in self.packed.files.values_mut() {
            if packed.unreadable_until.is_some_and(|until| now.at >= until) {
                packed.unreadable_until = None;
                packed.refused.clear();
            }
        }
    }

    /// A compressed file that can't be read says nothing of a run.
    fn give_up_packed(&mut self, key: FileKey, stream: Stream, error: &io::Error, now: Moment) {
        if error.kind() == io::ErrorKind::NotFound {
            self.packed.files.remove(&key);
            self.discovery.forget_listings();
            return;
        }
        if let Some(packed) = self.packed.files.get_mut(&key) {
            packed.unreadable_until = Some(now.at + RETRY_UNREADABLE);
            let path = packed.path.clone();
            let refusal = Refusal::of(&path, error);
            self.tell(Notice::Unreadable { path, refusal });
        }
        self.refuse_packed(key, stream);
    }

    pub(super) fn refuse_packed(&mut self, key: FileKey, stream: Stream) {
        let position = self.streams().get(stream).map_or(0, |known| known.position);
        if let Some(packed) = self.packed.files.get_mut(&key) {
            packed.refused.insert(stream, position);
        }
    }

    pub(super) fn hold_packed(&mut self, key: FileKey, stream: Stream) {
        self.packed.truncated.remove(&stream);
        if let Some(packed) = self.packed.files.get_mut(&key) {
            packed.holds = Some(stream);
        }
    }

    /// A run goes on elsewhere: the file is open to others, and to the run if it needs it again.
    pub(super) fn release_packed(&mut self, key: FileKey) {
        if let Some(packed) = self.packed.files.get_mut(&key) {
            packed.holds = None;
        }
    }

    /// Those that were read furthest come first.
    fn orphans(&self) -> Vec<Orphan> {
        let mut open: BTreeMap<SourceId, &Tailed> = BTreeMap::new();
        let mut read: BTreeSet<Stream> = BTreeSet::new();
        for file in self.files.values() {
            open.extend(file.source.map(|source| (source, file)));
            read.extend(file.stream());
        }
        let sighted = self.named.iter().chain(self.beside.values().flatten());
        let sighted: BTreeSet<SourceId> = sighted.filter_map(|sighted| sighted.source).collect();
        let original = |stream: Stream| match open.get(&stream.source).map(|file| &file.role) {
            _ if self.packed.truncated.contains_key(&stream) => Some(Original::Truncated),
            Some(Role::Reading { stream: Some(_), .. }) => Some(Original::Truncated),
            // From its start, as another run that begins with its first line.
            Some(Role::Reading { stream: None, cursor }) if cursor.position() == 0 => {
                Some(Original::Truncated)
            }
            Some(
                Role::Reading { stream: None, .. } | Role::Unsettled | Role::Copy | Role::Twin,
            ) => None,
            None => (!sighted.contains(&stream.source)).then_some(Original::Gone),
        };
        let is_read_up = |stream: Stream| read.contains(&stream) || self.finished.contains(&stream);
        let runs = self.streams().iter();
        let mut orphans: Vec<Orphan> = runs
            .filter(|(stream, known)| known.check != Check::NONE && !is_read_up(*stream))
            .filter_map(|(stream, known)| {
                let (position, original) = (known.position, original(stream)?);
                Some(Orphan { stream, position, original })
            })
            .collect();
        orphans.sort_by_key(|orphan| std::cmp::Reverse((orphan.position, orphan.stream)));
        orphans
    }

    /// The compressed files that may be generations of the file at a path: any, if the path is not known, as
    /// after the spool was lost.
    fn family(&self, path: Option<&Path>) -> Vec<FileKey> {
        let is_of_family = |packed: &Packed| {
            path.is_none_or(|path| {
                packed.home == path
                    || is_named_after(path, &packed.home)
                    || packed.path.with_extension("") == path
            })
        };
        let files = self.packed.files.iter().filter(|(_, packed)| is_of_family(packed));
        let mut family: Vec<(&PathBuf, FileKey)> =
            files.map(|(key, packed)| (&packed.path, *key)).collect();
        family.sort();
        family.into_iter().map(|(_, key)| key).collect()
    }

    /// Whether a compressed file ended in the middle or could not be read, and is to be looked at again.
    pub(super) fn awaits_packed(&self) -> bool {
        let mut files = self.packed.files.values();
        files.any(|packed| packed.cut.is_some() || packed.unreadable_until.is_some())
    }

    /// Whether there is a compressed generation of a path that was written to after the one that holds a
    /// run, and holds none that is known: it came and went unseen.
    pub(super) fn is_followed_unseen(&self, stream: Stream) -> bool {
        let files = &self.packed.files;
        let Some(holder) = files.values().find(|packed| packed.holds == Some(stream)) else {
            return false;
        };
        files.values().any(|packed| {
            packed.home == holder.home
                && packed.holds.is_none()
                && packed.facts.modified > holder.facts.modified
        })
    }

    /// Whether a path has compressed generations.
    pub(super) fn has_packed(&self, home: &Path) -> bool {
        self.packed.files.values().any(|packed| packed.home == home)
    }
}

impl Packed {
    /// What it shows; looked up once.
    fn cover(&self) -> io::Result<Option<&Cover>> {
        if self.cover.get().is_none() {
            let cover = Cover::of(open(&self.path)?, Fingerprint::BYTES)?;
            return Ok(self.cover.get_or_init(|| cover).as_ref());
        }
        Ok(self.cover.get().and_then(Option::as_ref))
    }

    /// Whether so little of it is there that it can't be told what it holds, and it may still be written. It
    /// is looked at again after a while, until it stands still.
    fn is_hardly_begun(&mut self, patience: Duration, now: Instant) -> bool {
        if self.cut.is_some_and(|cut| now < cut.retry_at) {
            return self.cover.get().is_none();
        }
        let is_cut = self.cover().is_ok_and(|cover| cover.is_some_and(|cover| cover.is_cut));
        let Some(size) = Facts::at(&self.path).ok().filter(|_| is_cut).map(|facts| facts.size)
        else {
            return false;
        };
        if self.cut.is_some_and(|cut| cut.is_settled(size, patience, now)) {
            return false;
        }
        self.note_cut(size, now);
        true
    }

    /// The length of its content modulo 4 GiB; `None` where it shows none.
    fn length(&self) -> Option<u64> {
        self.cover.get().and_then(Option::as_ref).map(|cover| cover.length.into())
    }

    /// Whether a run that was read up to a position may go on in it.
    fn may_hold(&self, stream: Stream, position: u64) -> bool {
        self.holds.is_none() && self.refused.get(&stream) != Some(&position)
    }

    /// What was seen of it while it was being written says nothing of what it is: it is looked at again,
    /// unless it holds a run, which is read on from it.
    fn note_growth(&mut self, facts: &Facts) {
        let is_same = (self.facts.size, self.facts.changed) == (facts.size, facts.changed);
        if !is_same && self.holds.is_none() {
            self.facts = *facts;
            self.cover = OnceCell::new();
            self.refused.clear();
        }
    }

    /// It ended in the middle: it is looked at again, anew.
    pub(super) fn note_cut(&mut self, size: u64, now: Instant) {
        let since = self.cut.filter(|cut| cut.size == size).map_or(now, |cut| cut.since);
        let first = self.cut.map_or(now, |cut| cut.first);
        self.cut = Some(Cut { size, since, first, retry_at: now + RETRY_CUT });
        self.cover = OnceCell::new();
        self.holds = None;
    }
}

/// Compressed files that are unpacked at a time, each with some 600 KiB of memory: while the rest of one
/// is read, another can be judged.
const CARRIERS_MAX: usize = 2;
/// Bytes of content up to which a compressed file is read: some 40 s of unpacking at 400 MB/s (measured),
/// and far above any log that is rotated by size. Content can be a thousand times as long as its file.
pub(super) const UNPACKED_BYTES_MAX: u64 = 16 << 30;
/// A compressed file knows its length modulo 4 GiB. Source: RFC 1952, section 2.3.1.
const LENGTH_MASK: u64 = 0xffff_ffff;
/// A compressed file that ends in the middle is probably being written.
const RETRY_CUT: Duration = Duration::from_secs(1);
