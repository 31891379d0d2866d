//! The order to end, for a thread that waits for files to change.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::event::{EventfdFlags, eventfd};

/// Orders the tail's thread to end, which hears of it also while it waits.
#[derive(Clone, Debug)]
pub struct TailStop(Arc<Bell>);

#[derive(Debug)]
struct Bell {
    is_ordered: AtomicBool,
    /// Readable once the order was given.
    rung: OwnedFd,
}

impl TailStop {
    /// An order that is not given yet.
    ///
    /// # Errors
    /// If the kernel gives no descriptor: too many are open.
    pub fn new() -> io::Result<Self> {
        let rung = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Self(Arc::new(Bell { is_ordered: AtomicBool::new(false), rung })))
    }

    /// Gives the order. Once is enough.
    pub fn order(&self) {
        self.0.is_ordered.store(true, Ordering::Release);
        // It fails only where it was rung more often than can be counted.
        let _ = rustix::io::write(&self.0.rung, &1_u64.to_ne_bytes());
    }

    /// Whether the order was given.
    #[must_use]
    pub fn is_ordered(&self) -> bool {
        self.0.is_ordered.load(Ordering::Acquire)
    }
}

impl AsFd for TailStop {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.rung.as_fd()
    }
}
