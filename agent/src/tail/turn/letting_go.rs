//! Letting runs go whose files are gone, so that a host that rotates for years does not remember each file.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use headwater_protocol::position::{SourceId, Stream};

use super::{Interrupt, Tail};
use crate::limits::{RUNS_KEPT, RUNS_MAX, RUNS_STEP};
use crate::tail::Landing;

impl<L: Landing> Tail<L> {
    /// Lets the oldest runs go whose files are nowhere, once there are more than are worth remembering.
    pub(super) fn let_ended_go(&mut self) -> Result<(), Interrupt> {
        if self.streams().len() < self.let_go_at {
            return Ok(());
        }
        let open = self.files.values().filter_map(|file| file.source);
        let sighted = self.named.iter().chain(self.beside.values().flatten());
        let seen: BTreeSet<SourceId> = open.chain(sighted.filter_map(|it| it.source)).collect();
        let mut runs: Vec<Stream> = self.streams().iter().map(|(stream, _)| stream).collect();
        runs.sort_by_key(|stream| stream.run);
        runs.truncate(runs.len().saturating_sub(RUNS_KEPT));
        runs.retain(|stream| !seen.contains(&stream.source));
        if self.streams().len() < RUNS_MAX {
            self.keep_what_may_come_back(&mut runs);
        }
        if !runs.is_empty() {
            for stream in self.landing.let_go(runs)? {
                self.streams_mut().forget(stream);
                self.heads.remove(&stream);
                self.finished.remove(&stream);
            }
        }
        // What can't go yet is not asked for in each scan.
        self.let_go_at = self.streams().len().max(RUNS_KEPT) + RUNS_STEP;
        Ok(())
    }

    /// Keeps runs of files below folders that show no file at all, as one does whose disk is not mounted. A folder
    /// that is gone is judged by the one above it.
    fn keep_what_may_come_back(&self, runs: &mut Vec<Stream>) {
        let sighted = self.named.iter().chain(self.beside.values().flatten());
        let there: BTreeSet<&Path> = sighted.map(|it| it.path.as_path()).collect();
        // Paths below a folder follow it in their order.
        let shows = |folder: &Path| {
            there.range(folder..).next().is_some_and(|path| path.starts_with(folder))
        };
        let mut folders: BTreeMap<&Path, bool> = BTreeMap::new();
        let tells = |path: &Path| {
            let folder = path.ancestors().skip(1).find(|folder| folder.is_dir());
            folder.is_some_and(shows)
        };
        runs.retain(|stream| {
            let Some(path) = self.streams().path(*stream) else { return true };
            let Some(folder) = path.parent() else { return true };
            *folders.entry(folder).or_insert_with(|| tells(path))
        });
    }
}
