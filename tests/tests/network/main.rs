//! Networks that do what networks do, between a real agent and a real aggregator: every line and every
//! sample is stored once, and the agent says what is wrong in words that people understand.

#![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

mod loss;
mod paths;
mod thin;

use headwater_protocol::identity::Lane;
use headwater_tests::chaoslink::{Chaoslink, Faults};
use headwater_tests::draws::seed_of_this_run;
use headwater_tests::landed::Landed;
use headwater_tests::site::Site;
use headwater_tests::spooled::expect_every_run_whole;

/// A site whose agent reaches its aggregator by a link.
struct Linked {
    site: Site,
    link: Chaoslink,
}

impl Linked {
    fn start() -> Self {
        let seed = seed_of_this_run("network");
        let mut site = Site::new(seed, &["alpha", "beta"]);
        let link = Chaoslink::start(seed, &site.aggregator.intake_address());
        site.agent.set_key("SHIP__ADDRESSES", &format!("[{:?}]", link.address()));
        site.agent.start();
        Self { site, link }
    }

    /// Sessions that were opened since the aggregator's start.
    fn sessions(&self) -> u64 {
        let opened = self.site.aggregator.metric("headwater_intake_sessions_opened_total");
        format!("{opened:.0}").parse().unwrap()
    }

    /// How long the oldest record of a lane waits in the spool, in milliseconds; 0 if none waits.
    fn oldest_unsent_ms(&self, lane: &str) -> u64 {
        let status = self.site.agent.status().unwrap_or_default();
        status[lane]["oldest_unsent_ms"].as_u64().unwrap_or(0)
    }

    /// Without any fault from here on, everything comes to be stored, once.
    fn heal_and_expect_exactly_once(mut self) -> Landed {
        self.link.set(Faults::default());
        // The last life samples hourly, so that the run before it is over and can be compared whole.
        self.site.agent.stop();
        self.site.agent.set_key("SAMPLE__INTERVAL", "1h");
        self.site.agent.start();
        self.site.settle();
        self.site.compare().expect_exactly_once(&self.site.witness);
        let audit = self.site.aggregator.expect_clean_audit();
        assert_eq!(audit["gaps"], 0, "a network loses nothing, so nothing is declared: {audit:#}");
        let landed = self.site.stop_and_read();
        let device = landed.only_device();
        expect_every_run_whole(device, &self.site.agent.spool());
        assert_eq!(device.gap_records(Lane::Live) + device.gap_records(Lane::Bulk), 0);
        assert_eq!(device.epochs, 2, "a network opens no epoch beyond the first of each lane");
        landed
    }
}
