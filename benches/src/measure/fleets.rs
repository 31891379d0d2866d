//! What a fleet costs an aggregator: memory of a connected device, a herd that comes back, and work that grows.

pub(crate) mod connections;
pub(crate) mod growth;
pub(crate) mod herd;

use std::time::Duration;

use anyhow::Result;
use tempfile::TempDir;

use crate::site::{Fleet, Plan, Programs, Site, quiet_load};

/// Devices as the goals count them: series of a small host and files that are read.
const SERIES: usize = 50;
const FILES: usize = 5;
/// The agent's own interval between two ticks.
const INTERVAL: Duration = Duration::from_secs(10);

/// An aggregator of its own and a fleet that it serves. The fleet is dropped first, the folder last.
struct Stage {
    fleet: Fleet,
    site: Site,
    _folder: TempDir,
}

impl Stage {
    fn new(programs: &Programs, plan: Plan) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("hwbench.").tempdir_in(programs.work())?;
        let load = quiet_load(folder.path())?;
        let mut site = Site::new(programs, &load)?;
        let fleet = Fleet::start(&mut site, plan)?;
        Ok(Self { fleet, site, _folder: folder })
    }

    /// Batches that arrived since the aggregator started.
    fn batches(&self) -> Result<f64> {
        self.site.scrape()?.value("headwater_intake_batches_total")
    }
}

#[expect(clippy::cast_precision_loss, reason = "a number of devices")]
fn count(devices: usize) -> f64 {
    devices as f64
}
