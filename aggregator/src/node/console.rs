//! What the console needs of a node beside what everybody sees.

use super::handle::{NodeHandle, blocking, told};
use super::view::LedgerView;
use crate::registry::SessionRecord;

impl NodeHandle {
    /// The node's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.stages.config.node.name
    }

    /// The ledger of all devices since the log began.
    pub async fn ledger(&self) -> LedgerView {
        self.stages.fold.sum().await
    }

    /// Sessions of the console that are kept. Empty if they can't be read, which is logged.
    pub(crate) async fn sessions(&self) -> Vec<([u8; 32], SessionRecord)> {
        let registry = self.stages.registry.clone();
        told(blocking(move || registry.sessions()).await, Vec::new())
    }

    /// Keeps a session of the console. One that can't be kept ends with this process, which is logged.
    pub(crate) async fn keep_session(
        &self,
        hash: [u8; 32],
        record: SessionRecord,
        over: Vec<[u8; 32]>,
    ) {
        let registry = self.stages.registry.clone();
        told(blocking(move || registry.keep_session(&hash, record, &over)).await, ());
    }

    /// Removes a session of the console.
    pub(crate) async fn end_session(&self, hash: [u8; 32]) {
        let registry = self.stages.registry.clone();
        told(blocking(move || registry.end_session(&hash)).await, ());
    }
}
