//! Letting runs go whose files are gone, so that a host that rotates for years does not remember each file.

use std::collections::BTreeSet;

use headwater_protocol::position::{SourceId, Stream};

use super::{Interrupt, Tail};
use crate::limits::{RUNS_KEPT, RUNS_STEP};
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
}
