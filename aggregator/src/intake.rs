//! The intake: sessions of agents over QUIC.
//!
//! It knows who is connected from the certificate alone, bounds what a peer can make it hold, and hands
//! batches to the fold in the order in which they arrive. It never opens a body, never decides what is
//! applied, and never makes an ack: it carries the fold's answers back.
//!
//! Backpressure is not reading: a session whose batches are not answered yet, or a node that holds as many
//! as it may, leaves the rest in the flow control window, and the agent keeps it in its spool.

mod clone;
mod credit;
mod endpoint;
mod fault;
mod frames;
mod greeting;
mod lane;
mod openings;
mod session;
mod sessions;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Instant;

use headwater_protocol::identity::DeviceId;
use headwater_protocol::wire::{CloseCode, Shelf};
use tokio::sync::Semaphore;

use crate::clock::wall_us;
use crate::fold::FoldHandle;
use crate::limits::{ByteCount, FAREWELL_TIMEOUT, HANDSHAKES_BEFORE_RETRY, HANDSHAKES_MAX};
use crate::log::Space;
use crate::metrics::IntakeMetrics;
use crate::registry::{Registry, ResetKey};

use credit::Pool;
use openings::Openings;
use sessions::Sessions;

pub use endpoint::ListenError;
pub use sessions::SessionSeen;

/// What the intake works with.
#[derive(Clone, Debug)]
pub struct IntakeOptions {
    /// Where it listens.
    pub listen: SocketAddr,
    /// Connections at once.
    pub max_connections: usize,
    /// What is asked for as the socket's receive buffer.
    pub receive_buffer: ByteCount,
    /// The node's name, for people.
    pub node_name: String,
    /// How it proves who it is, and checks who comes.
    pub tls: Arc<rustls::ServerConfig>,
    /// Where batches go.
    pub fold: FoldHandle,
    /// By what agents know that a connection is of a process of this node that has ended.
    pub reset_key: ResetKey,
    /// Who is served.
    pub registry: Registry,
    /// Whether the disk has room.
    pub space: Arc<Space>,
    /// Where it counts.
    pub metrics: IntakeMetrics,
}

/// The running intake. Clones are handles of the same one.
#[derive(Clone, Debug)]
pub struct IntakeHandle {
    endpoint: quinn::Endpoint,
    address: SocketAddr,
    context: Arc<Context>,
}

/// What all sessions share. Nothing of it changes but the sessions and the pool, which say so.
#[derive(Debug)]
struct Context {
    options: IntakeOptions,
    sessions: Sessions,
    pool: Pool,
    openings: Openings,
    /// What lines of all devices have in common.
    shelf: Arc<Shelf>,
    /// Faults of devices: logged, and audited where they lie about who they are.
    fault_noted: Pace,
    /// Refused handshakes of strangers.
    refusal_noted: Pace,
}

/// Lets one of many pass per second: what peers cause may not fill our disk. All are counted.
#[derive(Debug, Default)]
struct Pace {
    last_us: AtomicI64,
}

impl Pace {
    fn is_due(&self) -> bool {
        let now = wall_us();
        let last = self.last_us.load(Ordering::Relaxed);
        let due = !(last..last + 1_000_000).contains(&now);
        if due {
            self.last_us.store(now, Ordering::Relaxed);
        }
        due
    }
}

impl IntakeHandle {
    /// Starts to listen. Inside a tokio runtime.
    ///
    /// # Errors
    /// If the address can't be had.
    pub fn start(options: IntakeOptions) -> Result<Self, ListenError> {
        let endpoint = endpoint::listen(&options)?;
        let address = endpoint.local_addr().map_err(|source| {
            let address = options.listen;
            ListenError::Socket { address, source }
        })?;
        let sessions = Sessions::new(options.metrics.clone());
        let (pool, openings, fault_noted, refusal_noted) = Default::default();
        let shelf = Arc::default();
        let context =
            Context { options, sessions, pool, openings, shelf, fault_noted, refusal_noted };
        let context = Arc::new(context);
        tokio::spawn(accept(endpoint.clone(), Arc::clone(&context)));
        Ok(Self { endpoint, address, context })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Shows another certificate from the next handshake on.
    ///
    /// # Errors
    /// If it can't serve QUIC.
    pub fn set_tls(&self, tls: Arc<rustls::ServerConfig>) -> Result<(), ListenError> {
        self.endpoint.set_server_config(Some(endpoint::server_config(tls)?));
        Ok(())
    }

    /// Who is connected.
    #[must_use]
    pub fn sessions(&self) -> Vec<(DeviceId, SessionSeen)> {
        let mut sessions = self.context.sessions.all();
        for (device, session) in &mut sessions {
            session.unstable = self.context.openings.is_unstable(*device, Instant::now());
        }
        sessions
    }

    /// A device's session. `None` if it has none.
    #[must_use]
    pub fn session(&self, device: DeviceId) -> Option<SessionSeen> {
        let unstable = self.context.openings.is_unstable(device, Instant::now());
        self.context.sessions.of(device).map(|session| SessionSeen { unstable, ..session })
    }

    /// Ends a device's session because it was revoked.
    pub fn revoke(&self, device: DeviceId) {
        self.context.sessions.close(device, CloseCode::Revoked, "this device was revoked");
    }

    /// Bytes of batches between arrival and answer.
    #[must_use]
    pub fn in_flight_bytes(&self) -> u64 {
        self.context.pool.in_use()
    }

    /// Takes nothing any more and tells every agent so.
    pub async fn stop(&self) {
        self.endpoint.set_server_config(None);
        self.endpoint.close((CloseCode::Stopping as u32).into(), b"this node is stopping");
        // Agents that vanished do not confirm: they are not waited for.
        drop(tokio::time::timeout(FAREWELL_TIMEOUT, self.endpoint.wait_idle()).await);
    }
}

/// Takes connections until the endpoint is closed; a stranger costs no more than the limits.
async fn accept(endpoint: quinn::Endpoint, context: Arc<Context>) {
    let handshakes = Arc::new(Semaphore::new(HANDSHAKES_MAX));
    while let Some(incoming) = endpoint.accept().await {
        let metrics = &context.options.metrics;
        let under_way = HANDSHAKES_MAX - handshakes.available_permits();
        if under_way >= HANDSHAKES_BEFORE_RETRY && incoming.may_retry() {
            metrics.fault("retry");
            // It may be retried: that was asked above.
            drop(incoming.retry());
            continue;
        }
        let full = endpoint.open_connections() >= context.options.max_connections;
        let (Ok(handshake), false) = (Arc::clone(&handshakes).try_acquire_owned(), full) else {
            metrics.fault("limit");
            incoming.refuse();
            continue;
        };
        tokio::spawn(session::run(incoming, handshake, Arc::clone(&context)));
    }
}
