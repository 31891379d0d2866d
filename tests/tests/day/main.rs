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

const DEVICES: u8 = 4;
/// Seconds between two samples of a device, and between two reads of its log.
const INTERVAL: u64 = 10;
/// Seconds after which a log is rotated, and an agent started again, which is a run of its samplers: so often
/// that within hours as many runs are remembered as may be.
const TURNED: u64 = 20;
const HOUR: u64 = 3_600;
/// Hours until everything that is bounded is full, and hours of which the worst one is what is compared with.
const FULL: std::ops::Range<usize> = 15..20;

/// Bytes of a change of an alert, and of an ended alert: `limits.rs` says so.
const CHANGE_BYTES: usize = 1_024;

/// What is held after an hour.
#[derive(Clone, Copy, Debug)]
struct Held {
    agents: usize,
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
                folds: in_folds.held(),
                changes: folds.changes(),
            });
        }
    }
    let (read, applied) = (devices.iter().map(Device::read).sum::<u64>(), folds.applied());
    assert_eq!(applied, read, "what was read is applied, and nothing was declared");
    assert!(folds.closed() > 8_600, "windows of a day are closed: {}", folds.closed());
    let (full, last) = (&hours[FULL], hours[23]);
    println!("after {} h {:?}, after 24 h {last:?}: {read} records", FULL.start + 1, full[0]);
    let most = |of: fn(&Held) -> usize| full.iter().map(of).max().unwrap();
    assert!(last.changes > full[0].changes, "alerts come and go");
    let changes = 2 * CHANGE_BYTES * (last.changes - full[0].changes);
    let (folds, agents) = (most(|held| held.folds), most(|held| held.agents));
    assert!(
        last.folds < folds + folds / 50 + changes,
        "the folds hold {} bytes after a day and {folds} before",
        last.folds
    );
    assert!(
        last.agents < agents + agents / 50,
        "the agents hold {} bytes after a day and {agents} before",
        last.agents
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
