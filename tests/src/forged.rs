//! A device that no agent stands behind: it sends the samples that a test makes up, each second, with the
//! name, the labels and the clock that the test gives it.

mod chain;

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use headwater_certs::identity::DeviceIdentity;
use headwater_certs::token::JoinToken;
use headwater_protocol::identity::{DeviceId, Lane};
use headwater_protocol::record::Series;
use headwater_protocol::wire::{Hello, PROTOCOL_NEWEST};
use tokio::sync::oneshot::{Receiver, Sender, channel};

pub use self::chain::{Chain, LaneStream};
use crate::aggregator::Aggregator;
use crate::joining::enrol;
use crate::peer::{Peer, device_of, hello, talk};

/// What a forged device says.
#[derive(Clone, Debug)]
pub struct Saying {
    /// What it calls itself, in enrolment and in each hello.
    pub name: String,
    /// Labels and facts of the device.
    pub facts: BTreeMap<String, String>,
    /// What its clock shows when it starts: microseconds since 1970 UTC. From there it runs like any other.
    pub clock_us: i64,
    /// The series, and the value that each starts at. Each tick moves all of them by one step.
    pub series: Vec<(Series, i64)>,
}

impl Saying {
    /// A name, the true time, and one share of a processor.
    #[must_use]
    pub fn new(name: &str) -> Self {
        let busy = series("cpu.busy_ratio", &[], 4);
        Self {
            name: name.to_owned(),
            facts: BTreeMap::new(),
            clock_us: true_us(),
            series: vec![(busy, 2_500)],
        }
    }

    /// What it begins a session with.
    #[must_use]
    pub fn hello(&self) -> Hello {
        let plain = hello(1, PROTOCOL_NEWEST);
        let (name, labels) = (self.name.clone(), self.facts.clone());
        Hello { name, labels, boot: chain::BOOT, ..plain }
    }
}

/// A series by its metric, labels and scale.
#[must_use]
pub fn series(metric: &str, labels: &[(&str, &str)], scale: u8) -> Series {
    let labels = labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    Series { metric: metric.to_owned(), labels: labels.collect(), scale }
}

/// What the true clock shows: microseconds since 1970 UTC.
///
/// # Panics
/// If it shows a time before that.
#[must_use]
pub fn true_us() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(since.as_micros()).unwrap()
}

/// A forged device that is online until it is dropped.
#[derive(Debug)]
pub struct Forged {
    /// Its id.
    pub device: DeviceId,
    thread: Option<JoinHandle<()>>,
    end: Option<Sender<()>>,
}

impl Forged {
    /// Enrols it, and sends from then on.
    ///
    /// # Panics
    /// If it is refused.
    #[must_use]
    pub fn start(saying: Saying, aggregator: &Aggregator) -> Self {
        let address = aggregator.intake_address();
        let token = JoinToken::parse(&aggregator.token()).unwrap();
        let identity = talk(enrol(&saying.name, &token, Ipv4Addr::LOCALHOST)).unwrap();
        let device = device_of(&identity);
        let (end, ended) = channel();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(send(&saying, &identity, &address, ended));
        });
        Self { device, thread: Some(thread), end: Some(end) }
    }
}

impl Drop for Forged {
    fn drop(&mut self) {
        drop(self.end.take());
        let done = self.thread.take().map(JoinHandle::join);
        if !std::thread::panicking() {
            assert!(done.is_none_or(|done| done.is_ok()), "a forged device fails, see above");
        }
    }
}

/// Between two ticks.
const INTERVAL: Duration = Duration::from_secs(1);

/// Sends what a device says to an address, until somebody says or drops `ended`.
async fn send(saying: &Saying, identity: &DeviceIdentity, address: &str, mut ended: Receiver<()>) {
    let peer = Peer::greeted_as(saying.hello(), identity, address).await;
    let (stream, state) = peer.lane(Lane::Live).await;
    let mut lane = LaneStream::new(stream);
    let mut chain = Chain::new(device_of(identity), saying, &state);
    let mut wait = Duration::ZERO;
    while tokio::time::timeout(wait, &mut ended).await.is_err() {
        for body in chain.tick() {
            chain.seal(&body);
            let sent = chain.send(&mut lane).await;
            assert!(sent.is_ok(), "an ack, not {sent:?}");
        }
        wait = INTERVAL;
    }
}
