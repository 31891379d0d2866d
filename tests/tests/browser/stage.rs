//! One aggregator and its devices for the scenarios that do not disturb each other.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use headwater_tests::forged::{Forged, Saying};
use headwater_tests::site::Site;

/// What scenarios share: a site with a real agent, and a second device beside it.
#[derive(Debug)]
pub(crate) struct Stage {
    // Dropped in this order: a device ends before what it talks to.
    _second: Forged,
    pub(crate) site: Site,
}

impl Stage {
    /// The device of the real agent.
    pub(crate) const DEVICE: &str = "edge-1";

    fn new() -> Self {
        let mut site = Site::new(1, &["alpha"]);
        site.agent.start();
        site.write_and_settle(200);
        let second = Saying::new("edge-2");
        let second = Forged::start(second, &site.aggregator);
        Self { _second: second, site }
    }
}

/// The stage, made anew if no running scenario has it: nothing of it outlives the last one.
pub(crate) fn stage() -> Arc<Stage> {
    static STAGE: Mutex<Weak<Stage>> = Mutex::new(Weak::new());
    let mut shared = STAGE.lock().unwrap_or_else(PoisonError::into_inner);
    shared.upgrade().unwrap_or_else(|| {
        let stage = Arc::new(Stage::new());
        *shared = Arc::downgrade(&stage);
        stage
    })
}
