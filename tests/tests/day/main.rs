//! A day of a fleet within bounds: agents that sample and tail, and the folds that they end in, as machines in
//! one process whose clock is a number. What they hold is asked of the allocator, and does not grow.

#![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

mod device;
mod folds;

use headwater_protocol::identity::Lane;
use peak_alloc::PeakAlloc;

use device::Device;
use folds::Folds;

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

const DEVICES: u8 = 6;
/// Seconds between two samples of a device, and between two reads of its log.
const INTERVAL: u64 = 10;
/// Seconds after which a log is rotated, and an agent started again, which is a run of its samplers: so often
/// that within hours the ledger remembers as many runs as it may.
const TURNED: u64 = 20;
const HOUR: u64 = 3_600;
/// Hours until everything that is bounded is full.
const FILLING: usize = 8;

/// What a run of a source that has ended is remembered by, in bytes of the agent's memory, with its path.
const ENDED_RUN_BYTES: usize = 512;
/// Bytes of a change of an alert, and of an ended alert: `limits.rs` says so.
const CHANGE_BYTES: usize = 1_024;

/// What is held after an hour.
#[derive(Clone, Copy, Debug)]
struct Held {
    agents: usize,
    /// Runs that they remember.
    runs: usize,
    folds: usize,
    /// Changes of alerts that were made.
    changes: usize,
}

#[test]
fn in_a_day_neither_agents_nor_folds_grow() {
    let mut folds = Folds::new();
    let mut devices: Vec<Device> = (0..DEVICES).map(Device::new).collect();
    let (mut in_agents, mut in_folds) = (Account::default(), Account::default());
    let mut hours = Vec::new();
    for at in (0..24 * HOUR / INTERVAL).map(|step| step * INTERVAL) {
        for device in &mut devices {
            if at.is_multiple_of(TURNED) {
                in_agents.charge(|| device.start(&folds));
                in_agents.charge(|| device.rotate());
            }
            for lane in Lane::ALL {
                let entry = in_agents.charge(|| device.seal(lane, at));
                let ack = in_folds.charge(|| folds.append(&entry));
                in_agents.charge(|| device.acked(lane, ack, entry));
            }
        }
        in_folds.charge(|| folds.tick(at + INTERVAL));
        if (at + INTERVAL).is_multiple_of(HOUR) {
            hours.push(Held {
                agents: in_agents.held(),
                runs: devices.iter().map(Device::runs).sum(),
                folds: in_folds.held(),
                changes: folds.changes(),
            });
        }
    }
    let (read, applied) = (devices.iter().map(Device::read).sum::<u64>(), folds.applied());
    assert_eq!(applied, read, "what was read is applied, and nothing was declared");
    assert!(folds.closed() > 8_600, "windows of a day are closed: {}", folds.closed());
    let (full, last) = (hours[FILLING - 1], hours[23]);
    println!(
        "after {FILLING} h {full:?}, after 24 h {last:?}: {read} records of {DEVICES} devices"
    );
    let changes = 2 * CHANGE_BYTES * (last.changes - full.changes);
    assert!(last.changes > full.changes, "alerts come and go");
    assert!(
        last.folds < full.folds + full.folds / 50 + changes,
        "the folds hold {} bytes after a day and {} after {FILLING} h",
        last.folds,
        full.folds
    );
    let runs = ENDED_RUN_BYTES * (last.runs - full.runs);
    assert!(
        last.agents < full.agents + full.agents / 50 + runs,
        "the agents hold {} bytes after a day and {} after {FILLING} h",
        last.agents,
        full.agents
    );
}

/// Bytes that one side took and did not give back.
#[derive(Debug, Default)]
struct Account(isize);

impl Account {
    fn charge<T>(&mut self, run: impl FnOnce() -> T) -> T {
        let before = ALLOCATOR.current_usage();
        let done = run();
        self.0 += ALLOCATOR.current_usage().cast_signed() - before.cast_signed();
        done
    }

    fn held(&self) -> usize {
        usize::try_from(self.0).unwrap()
    }
}
