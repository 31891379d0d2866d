//! A disk in memory that remembers what was done to it, in order, and what a crash may leave of that.
//!
//! A [`Recorder`] stands under a database in place of a file. Its [`Record`] falls into stretches from
//! sync to sync; a crash in a [`Stretch`] leaves what was synced before it, and of the rest any part:
//! writes in any order, whole or torn at sectors, lengths as well ([`Crash`]). A sync that fails leaves
//! what was open in doubt for ever.

mod crash;
mod image;
mod record;

use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};

use redb::StorageBackend;

pub use crash::{Crash, Stretch};
pub use image::Image;
pub use record::{Moment, Op, Record};

use crate::waiting::DEADLINE;

/// What is told when the disk fails: all that was done to it until then.
pub type Failed = Box<dyn FnOnce(&Record) + Send>;

/// A disk in memory. Clones are the same disk.
#[derive(Clone, Debug)]
pub struct Recorder {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    disk: Mutex<Disk>,
    changed: Condvar,
}

#[derive(Debug)]
struct Disk {
    record: Record,
    seen: Image,
    fault: Fault,
    held: bool,
    waiting: bool,
}

/// When the disk fails.
enum Fault {
    Never,
    /// After so many more operations that change something.
    After(usize, Failed),
    /// It has.
    Failed(Moment),
}

impl std::fmt::Debug for Fault {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Fault(..)")
    }
}

impl Recorder {
    /// A disk that holds something.
    #[must_use]
    pub fn new(start: Image) -> Self {
        Self::resume(Record { start, ops: Vec::new() })
    }

    /// A disk that goes on after what was done to it. Readers see all of that.
    #[must_use]
    pub fn resume(record: Record) -> Self {
        let seen = record.seen();
        let fault = Fault::Never;
        let disk = Mutex::new(Disk { record, seen, fault, held: false, waiting: false });
        Self { shared: Arc::new(Shared { disk, changed: Condvar::new() }) }
    }

    /// What was done to it until now.
    #[must_use]
    pub fn record(&self) -> Record {
        self.disk().record.clone()
    }

    /// How much was done to it until now.
    #[must_use]
    pub fn moment(&self) -> Moment {
        Moment(self.disk().record.ops.len())
    }

    /// What readers see.
    #[must_use]
    pub fn seen(&self) -> Image {
        self.disk().seen.clone()
    }

    /// Has it fail for good after so many more writes, syncs and changes of length: the next one, and every
    /// one after it, is an I/O error.
    pub fn fail_after(&self, operations: usize, failed: Failed) {
        self.disk().fault = Fault::After(operations, failed);
    }

    /// When it failed; `None` if it did not.
    #[must_use]
    pub fn failed(&self) -> Option<Moment> {
        match self.disk().fault {
            Fault::Failed(moment) => Some(moment),
            Fault::Never | Fault::After(..) => None,
        }
    }

    /// Has everybody who changes something wait from here on.
    pub fn hold(&self) {
        self.disk().held = true;
    }

    /// Lets them go on.
    pub fn release(&self) {
        let mut disk = self.disk();
        (disk.held, disk.waiting) = (false, false);
        drop(disk);
        self.shared.changed.notify_all();
    }

    /// Waits until somebody waits.
    ///
    /// # Panics
    /// If nobody comes in time.
    pub fn expect_waiting(&self) {
        let disk = self.disk();
        let wait = self.shared.changed.wait_timeout_while(disk, DEADLINE, |disk| !disk.waiting);
        assert!(!wait.unwrap().1.timed_out(), "somebody writes to the disk");
    }

    fn disk(&self) -> MutexGuard<'_, Disk> {
        self.shared.disk.lock().unwrap()
    }

    /// The disk for a change, once nobody holds it.
    fn free(&self) -> io::Result<MutexGuard<'_, Disk>> {
        let mut disk = self.disk();
        if disk.held {
            disk.waiting = true;
            self.shared.changed.notify_all();
            let wait = self.shared.changed.wait_timeout_while(disk, DEADLINE, |disk| disk.held);
            let timed_out;
            (disk, timed_out) = wait.unwrap();
            if timed_out.timed_out() {
                return Err(io::ErrorKind::TimedOut.into());
            }
        }
        Ok(disk)
    }

    fn change(&self, op: Op) -> io::Result<()> {
        let mut disk = self.free()?;
        match std::mem::replace(&mut disk.fault, Fault::Never) {
            Fault::Never => {}
            Fault::After(0, failed) => {
                if op == Op::Sync {
                    disk.record.ops.push(Op::FailedSync);
                }
                disk.fault = Fault::Failed(Moment(disk.record.ops.len()));
                failed(&disk.record);
                return Err(rustix::io::Errno::IO.into());
            }
            Fault::After(more, failed) => disk.fault = Fault::After(more - 1, failed),
            Fault::Failed(moment) => {
                disk.fault = Fault::Failed(moment);
                return Err(rustix::io::Errno::IO.into());
            }
        }
        op.apply(&mut disk.seen);
        disk.record.ops.push(op);
        Ok(())
    }
}

impl StorageBackend for Recorder {
    fn len(&self) -> io::Result<u64> {
        Ok(self.disk().seen.bytes() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.disk().seen.read(place(offset)?, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.change(Op::Length(place(len)?))
    }

    fn sync_data(&self) -> io::Result<()> {
        self.change(Op::Sync)
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.change(Op::Write { offset: place(offset)?, bytes: data.into() })
    }
}

fn place(offset: u64) -> io::Result<usize> {
    usize::try_from(offset).map_err(|_| io::ErrorKind::InvalidInput.into())
}
