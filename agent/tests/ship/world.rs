//! An authority, a node on loopback, and an agent's spool and ship stage that talk to it.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use headwater_agent::clock::Clocks;
use headwater_agent::config::{ByteCount, Config, Room, ShipConfig, SpoolConfig};
use headwater_agent::ship::{self, SessionPath, Ship, ShipError, Standing};
use headwater_agent::shutdown::{self, Stop};
use headwater_agent::spool::{self, Spool, SpoolLanding, SpoolReader, SpoolRunning, SpoolWriter};
use headwater_agent::tail::{Chunk, Landed, Landing, Line, Start};
use headwater_certs::UnixTime;
use headwater_certs::authority::{Authority, DEVICE_VALIDITY, NODE_VALIDITY};
use headwater_certs::csr::DeviceKey;
use headwater_certs::identity::{DeviceIdentity, NodeIdentity};
use headwater_certs::name::DeviceUuid;
use headwater_protocol::identity::{DeviceId, Lane};
use headwater_protocol::position::{Check, SourceId, Stream};
use headwater_protocol::record::{Fingerprint, Part, Sample, Series, SourceInfo};
use headwater_protocol::wire::{Hello, PROTOCOL_NEWEST, PROTOCOL_OLDEST};
use tempfile::TempDir;
use tokio::runtime::{Builder, Handle};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::node::Node;

pub(crate) const DEVICE: [u8; 16] = [7; 16];
const DEADLINE: Duration = Duration::from_secs(30);

/// Everything on one host.
pub(crate) struct World {
    pub(crate) runtime: Handle,
    pub(crate) authority: Authority,
    pub(crate) node: Node,
    pub(crate) folder: TempDir,
    pub(crate) agent: Option<Agent>,
    pub(crate) spool_config: SpoolConfig,
    pub(crate) ship_config: ShipConfig,
}

/// The spool and the ship stage of one device.
pub(crate) struct Agent {
    pub(crate) writer: SpoolWriter,
    pub(crate) landing: SpoolLanding,
    pub(crate) reader: SpoolReader,
    pub(crate) standing: watch::Receiver<Standing>,
    running: SpoolRunning,
    stop: Stop,
    shipping: JoinHandle<Result<(), ShipError>>,
}

impl World {
    pub(crate) fn new() -> Self {
        let mut world = Self::without_agent();
        world.start();
        world
    }

    pub(crate) fn without_agent() -> Self {
        let runtime = background();
        let authority =
            Authority::create("fleet.example.com".parse().unwrap(), UnixTime::now()).unwrap();
        let node = Node::serve(&runtime, &node_identity(&authority), loopback());
        let folder = tempfile::tempdir().unwrap();
        device_identity(&authority).save(&folder.path().join("identity")).unwrap();
        let config = Config::default();
        let mut spool_config = config.spool;
        spool_config.dir = folder.path().join("spool");
        spool_config.min_free = Room::Bytes(ByteCount(0));
        spool_config.reserve = ByteCount::kib(64);
        spool_config.live_seal_after = Duration::from_millis(5);
        spool_config.bulk_seal_after = Duration::from_millis(5);
        let mut ship_config = config.ship;
        ship_config.max_backoff = Duration::from_millis(100);
        ship_config.connect_timeout = Duration::from_secs(2);
        Self { runtime, authority, node, folder, agent: None, spool_config, ship_config }
    }

    /// Starts the agent, or starts it again.
    pub(crate) fn start(&mut self) {
        let addresses = vec![self.node.address.to_string()];
        self.start_with(addresses);
    }

    pub(crate) fn start_with(&mut self, addresses: Vec<String>) {
        let clocks = Clocks::of_this_boot(Path::new("/proc"));
        let device = DeviceId(DEVICE);
        let spool = spool::open(&self.spool_config, device, clocks, 1).unwrap();
        let Spool { writer, landing, reader, thread } = spool;
        let running = thread.start().unwrap();
        let (standing, stands) = watch::channel(Standing::default());
        let (stop, shutdown) = shutdown::channel();
        let ship = Ship {
            config: self.ship_config.clone(),
            addresses,
            identity_dir: self.folder.path().join("identity"),
            device,
            hello: Hello {
                protocol_oldest: PROTOCOL_OLDEST,
                protocol_newest: PROTOCOL_NEWEST,
                build: "test".to_owned(),
                session: 1,
                name: "edge-1".to_owned(),
                boot: clocks.boot(),
                labels: std::collections::BTreeMap::new(),
            },
            spool: reader.clone(),
            clocks,
            standing,
            path: SessionPath::default(),
            budget_file: self.folder.path().join("budget"),
        };
        let shipping = self.runtime.spawn(ship::run(ship, shutdown));
        self.agent =
            Some(Agent { writer, landing, reader, standing: stands, running, stop, shipping });
    }

    pub(crate) fn agent(&mut self) -> &mut Agent {
        self.agent.as_mut().expect("the agent was started")
    }

    /// Stops the agent in order.
    pub(crate) fn stop(&mut self) {
        let agent = self.agent.take().expect("the agent was started");
        agent.stop.order();
        self.runtime.block_on(agent.shipping).unwrap().unwrap();
        drop(agent.reader);
        agent.running.stop().unwrap();
    }

    /// Replaces the node's process: its ledger stays, or not, as the test decides.
    pub(crate) fn replace_node(&mut self, identity: &NodeIdentity) {
        let next = Node::serve(&self.runtime, identity, loopback());
        let address = self.node.address;
        let old = std::mem::replace(&mut self.node, next);
        {
            let (mut from, mut to) = (old.state(), self.node.state());
            std::mem::swap(&mut from.ledger, &mut to.ledger);
            std::mem::swap(&mut from.applied, &mut to.applied);
        }
        old.stop();
        assert_ne!(address, self.node.address);
    }

    /// Waits until the ledger speaks to the spool, and begins a file.
    pub(crate) fn begin(&mut self) -> Stream {
        wait_for("the ledger speaks to the spool", || self.agent().landing.known().is_some());
        let info = SourceInfo::File {
            path: b"/var/log/app.log".to_vec(),
            fingerprint: Fingerprint::default(),
        };
        self.agent().landing.begin(SourceId([9; 16]), info, Start::new(0, b"first\n")).unwrap()
    }

    /// Appends lines and gives the position after them.
    pub(crate) fn append(&mut self, stream: Stream, start: u64, texts: &[String]) -> u64 {
        let (chunk, end) = lines(stream, start, texts);
        assert_eq!(self.agent().landing.append(chunk), Ok(Landed::Taken));
        end
    }

    /// Waits until everything that was put in is acked.
    pub(crate) fn wait_acked(&mut self, lane: Lane, records: u64) {
        let view = self.agent().reader.view();
        wait_for("everything is acked", || {
            let view = view.borrow().lane(lane).clone();
            view.head.totals().read() >= records
                && view.head.acked() == view.head.next()
                && view.pending_records == 0
        });
    }

    /// Waits until the standing shows what is asked for.
    pub(crate) fn wait_standing(
        &mut self,
        rule: &str,
        seen: impl Fn(&Standing) -> bool,
    ) -> Standing {
        let standing = self.agent().standing.clone();
        wait_for(rule, || seen(&standing.borrow()));
        standing.borrow().clone()
    }
}

/// A runtime of its own thread, for as long as the process lives.
fn background() -> Handle {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let handle = runtime.handle().clone();
    std::thread::spawn(move || runtime.block_on(std::future::pending::<()>()));
    handle
}

pub(crate) fn loopback() -> SocketAddr {
    "127.0.0.1:0".parse().unwrap()
}

pub(crate) fn node_identity(authority: &Authority) -> NodeIdentity {
    let hosts = ["127.0.0.1".try_into().unwrap()];
    authority.issue_node(&"agg-1".parse().unwrap(), &hosts, NODE_VALIDITY, UnixTime::now()).unwrap()
}

pub(crate) fn device_identity(authority: &Authority) -> DeviceIdentity {
    device_identity_for(authority, DEVICE_VALIDITY, UnixTime::now())
}

pub(crate) fn device_identity_for(
    authority: &Authority,
    validity: Duration,
    now: UnixTime,
) -> DeviceIdentity {
    let key = DeviceKey::generate().unwrap();
    let csr = key.csr_der().unwrap();
    let device = DeviceUuid::from_bytes(DEVICE);
    let issued = authority.issue_device(&csr, device, validity, now).unwrap();
    DeviceIdentity::new(issued.chain, &key, authority.bundle()).unwrap()
}

pub(crate) fn lines(stream: Stream, start: u64, texts: &[String]) -> (Chunk, u64) {
    let mut bytes = Vec::new();
    let mut lines = Vec::new();
    for text in texts {
        bytes.extend_from_slice(text.as_bytes());
        bytes.push(b'\n');
        let body = u32::try_from(text.len()).unwrap();
        lines.push(Line { body, taken: body + 1, part: Part::Whole });
    }
    let end = start + bytes.len() as u64;
    let check = Check::of(&bytes[bytes.len().saturating_sub(Check::BYTES)..]);
    (Chunk::Lines { stream, start, bytes, lines, check, time_us: 1 }, end)
}

pub(crate) fn numbered(numbers: std::ops::Range<u64>) -> Vec<String> {
    numbers.map(|number| format!("line {number:06}")).collect()
}

pub(crate) fn sample(value: i64) -> Vec<Sample> {
    let series = Series { metric: "load.1m".to_owned(), labels: Vec::new(), scale: 2 };
    vec![Sample { series: Arc::new(series), value }]
}

/// Waits for something that only asking shows.
pub(crate) fn wait_for(rule: &str, mut holds: impl FnMut() -> bool) {
    let until = Instant::now() + DEADLINE;
    while !holds() {
        assert!(Instant::now() < until, "{rule}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

impl Agent {
    pub(crate) fn has_ended(&self) -> bool {
        self.shipping.is_finished()
    }

    /// Ends the agent and says what became of its ship stage.
    pub(crate) fn end(self, runtime: &Handle) -> Result<(), ShipError> {
        self.stop.order();
        let ended = runtime.block_on(self.shipping).unwrap();
        self.running.stop().unwrap();
        ended
    }
}
