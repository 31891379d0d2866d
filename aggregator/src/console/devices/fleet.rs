//! The rows of all devices, drawn up at most once a second however many pages look.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Mutex;

use super::Row;
use crate::clock::wall_us;
use crate::node::NodeHandle;

/// How old the rows may be: pages move at most so often.
const ROWS_LIFE: Duration = Duration::from_secs(1);

/// All devices, as the list shows them.
#[derive(Debug)]
pub(crate) struct Fleet {
    node: NodeHandle,
    /// Whoever finds the rows too old draws them up while the others wait for it: two at once would cost
    /// twice as much and be no newer.
    drawn: Mutex<Option<(Instant, Arc<Vec<Row>>)>>,
}

impl Fleet {
    pub(crate) fn new(node: NodeHandle) -> Self {
        Self { node, drawn: Mutex::new(None) }
    }

    /// The rows, in order of names.
    pub(crate) async fn rows(&self) -> Arc<Vec<Row>> {
        let mut drawn = self.drawn.lock().await;
        if let Some((at, rows)) = &*drawn
            && at.elapsed() < ROWS_LIFE
        {
            return Arc::clone(rows);
        }
        let devices = self.node.devices().await;
        let now_us = wall_us();
        let rows =
            Arc::new(devices.iter().map(|device| Row::of(device, now_us)).collect::<Vec<_>>());
        *drawn = Some((Instant::now(), Arc::clone(&rows)));
        rows
    }
}
