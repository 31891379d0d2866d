//! How many devices are served, session by session.

use std::collections::BTreeMap;
use std::sync::Mutex;

/// Shared by all devices, each of which adds itself once a session: a message would wait behind what the same
/// thread has to do for sessions.
#[derive(Debug)]
pub(crate) struct Standing {
    devices: usize,
    /// Devices that were served in their first session, in their second, and so on.
    served: Mutex<Vec<usize>>,
    /// Tries that came to nothing since all were served last, by how far they came.
    missed: Mutex<BTreeMap<&'static str, usize>>,
}

impl Standing {
    pub(crate) fn new(devices: usize) -> Self {
        Self { devices, served: Mutex::default(), missed: Mutex::default() }
    }

    /// A try came to nothing.
    pub(crate) fn miss(&self, at: &'static str) {
        *self.missed.lock().unwrap().entry(at).or_default() += 1;
    }

    /// A device had a batch acked in its session of a number, the first one being 0. Says so if all had.
    pub(crate) fn serve(&self, session: usize) {
        let mut served = self.served.lock().unwrap();
        let length = served.len().max(session + 1);
        served.resize(length, 0);
        served[session] += 1;
        if served[session] == self.devices {
            let missed = std::mem::take(&mut *self.missed.lock().unwrap());
            println!("missed {missed:?}");
            println!("served {}", session + 1);
        }
    }
}
