//! The node itself.

use axum::Json;
use axum::extract::State;
use rustix::process::{Resource, getrlimit};

use super::rows::{Moment, NodeRow, RestoredRow, hex};
use crate::console::ConsoleHandle;
use crate::node::NodeHandle;

/// `GET /node`
pub(super) async fn show(
    State((node, console)): State<(NodeHandle, ConsoleHandle)>,
) -> Json<NodeRow> {
    // The listing itself holds one.
    let open = std::fs::read_dir("/proc/self/fd").map_or(0, |fds| fds.count().saturating_sub(1));
    Json(NodeRow {
        name: node.name().to_owned(),
        build: env!("CARGO_PKG_VERSION").to_owned(),
        log: hex(&node.log_id().0),
        shards: node.shards().number(),
        intake: node.intake_address().to_string(),
        enrolment: node.enrol_address().to_string(),
        console: console.address().to_string(),
        metrics: node.metrics_address().to_string(),
        open_files: open as u64,
        open_files_max: getrlimit(Resource::Nofile).current,
        restored: node.restored().map(|restored| RestoredRow {
            at: Moment(restored.at_us),
            backup: Moment(restored.backup_us),
            generation: restored.generations.iter().copied().max().unwrap_or_default(),
        }),
    })
}
