//! What is known of every run: the landing's word, kept up to date with what was handed over since.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use headwater_protocol::position::{Check, Run, SourceId, Stream};
use headwater_protocol::record::SourceInfo;

use super::{Known, KnownStream};

/// Runs by stream, and the latest one that was read at each path.
#[derive(Debug)]
pub(super) struct Streams {
    streams: BTreeMap<Stream, KnownStream>,
    by_path: BTreeMap<Vec<u8>, Stream>,
    horizon: u64,
    /// What files that nobody knows hold is undecided, until each was looked at.
    pub(super) files_undecided: bool,
}

impl Streams {
    pub(super) fn new(known: Known) -> Self {
        let Known { streams, horizon, files_undecided } = known;
        let mut streams = Self { streams, by_path: BTreeMap::new(), horizon, files_undecided };
        let mut in_order: Vec<Stream> = streams.streams.keys().copied().collect();
        in_order.sort_by_key(|stream| stream.run);
        for stream in in_order {
            if let Some(path) =
                streams.path(stream).map(|path| path.as_os_str().as_bytes().to_vec())
            {
                streams.by_path.insert(path, stream);
            }
        }
        streams
    }

    /// The runs of a source, the latest one last.
    pub(super) fn of(
        &self,
        source: SourceId,
    ) -> impl DoubleEndedIterator<Item = (Stream, &KnownStream)> {
        let run = |number, nonce| Stream { source, run: Run { number, nonce } };
        let runs = self.streams.range(run(0, 0)..=run(u64::MAX, u64::MAX));
        runs.map(|(stream, known)| (*stream, known))
    }

    /// The latest run of a source.
    pub(super) fn latest(&self, source: SourceId) -> Option<Stream> {
        self.of(source).next_back().map(|(stream, _)| stream)
    }

    /// The latest run of whatever file stood at a path.
    pub(super) fn at(&self, path: &Path) -> Option<Stream> {
        self.by_path.get(path.as_os_str().as_bytes()).copied()
    }

    /// The latest run at a path of which anything was read.
    pub(super) fn last_read_at(&self, path: &Path) -> Option<Stream> {
        let is_read = |(stream, known): &(Stream, &KnownStream)| {
            known.position > 0 && self.path(*stream) == Some(path)
        };
        self.iter().filter(is_read).map(|(stream, _)| stream).max_by_key(|stream| stream.run)
    }

    /// Every path that a run was first read at.
    pub(super) fn paths(&self) -> impl Iterator<Item = &Path> {
        self.by_path.keys().map(|path| Path::new(OsStr::from_bytes(path)))
    }

    /// How many runs are known.
    pub(super) fn len(&self) -> usize {
        self.streams.len()
    }

    /// A run was let go.
    pub(super) fn forget(&mut self, stream: Stream) {
        let path = self.path(stream).map(|path| path.as_os_str().as_bytes().to_vec());
        if let Some(path) = path.filter(|path| self.by_path.get(path) == Some(&stream)) {
            self.by_path.remove(&path);
        }
        self.streams.remove(&stream);
    }

    pub(super) fn get(&self, stream: Stream) -> Option<&KnownStream> {
        self.streams.get(&stream)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (Stream, &KnownStream)> {
        self.streams.iter().map(|(stream, known)| (*stream, known))
    }

    /// Whether the ledger may have forgotten a run.
    pub(super) fn is_forgotten(&self, stream: Stream) -> bool {
        stream.run.number <= self.horizon
    }

    /// Where a run was first read; `None` where that is not known.
    pub(super) fn path(&self, stream: Stream) -> Option<&Path> {
        match self.streams.get(&stream)?.info.as_ref()? {
            SourceInfo::File { path, .. } => Some(Path::new(OsStr::from_bytes(path))),
            SourceInfo::Host | SourceInfo::Device => None,
        }
    }

    pub(super) fn begun(&mut self, stream: Stream, known: KnownStream) {
        self.streams.insert(stream, known);
        if let Some(path) = self.path(stream).map(|path| path.as_os_str().as_bytes().to_vec()) {
            self.by_path.insert(path, stream);
        }
    }

    pub(super) fn moved(&mut self, stream: Stream, position: u64, check: Check) {
        if let Some(known) = self.streams.get_mut(&stream) {
            known.position = position;
            known.check = check;
            known.before = None;
            known.undecided = false;
        }
    }
}
