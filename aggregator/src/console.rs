//! The console: pages for a browser on the aggregator's own host.
//!
//! Listens on loopback only, until there are users and roles. Whoever runs the aggregator asks it for a
//! one-time link (`headwater console`), which opens a session. Pages are drawn here and are whole
//! without a script; with one, figures, charts and log lines move (`live`).
//!
//! What comes from strangers (names, labels, lines) reaches a page escaped by its template, and the
//! browser's script as text nodes only; the content security policy and the nonces of `hx-csp` stand
//! behind that. Every list, page and stream has a bound.

mod access;
mod connections;
mod device;
mod devices;
mod live;
mod page;
mod sinks;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::http::StatusCode;
use axum::middleware::from_fn_with_state;
use axum::response::Response;
use axum::routing::{get, post};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::node::NodeHandle;
use access::{Access, CODE_LIFE};
use devices::Fleet;
use live::Streams;

/// A running console. Clones are handles of the same one.
#[derive(Clone, Debug)]
pub struct ConsoleHandle {
    console: Arc<Console>,
}

#[derive(Debug)]
struct Console {
    node: NodeHandle,
    address: SocketAddr,
    access: Access,
    fleet: Fleet,
    streams: Streams,
    task: std::sync::OnceLock<JoinHandle<()>>,
}

/// Why the console does not answer.
#[derive(Debug, thiserror::Error)]
#[error("listen on {address}/tcp for the console")]
pub struct ListenError {
    /// Where.
    pub address: SocketAddr,
    /// What the operating system said.
    pub source: io::Error,
}

/// A one-time link.
#[derive(Clone)]
pub struct Link {
    /// The address with its code. A secret until it is used: never logged.
    pub url: String,
    /// For how long it can be used.
    pub life: std::time::Duration,
}

impl std::fmt::Debug for Link {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Link").field("life", &self.life).finish_non_exhaustive()
    }
}

/// Starts the console of a node.
///
/// # Errors
/// If the address is another's.
pub async fn serve(node: NodeHandle, listen: SocketAddr) -> Result<ConsoleHandle, ListenError> {
    let failed = |source| ListenError { address: listen, source };
    let listener = TcpListener::bind(listen).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    let console = Console {
        access: Access::open(node.clone()).await,
        fleet: Fleet::new(node.clone()),
        node,
        address,
        streams: Streams::default(),
        task: std::sync::OnceLock::new(),
    };
    let handle = ConsoleHandle { console: Arc::new(console) };
    let router = router(handle.clone());
    let task = tokio::spawn(async move {
        let Err(error) = axum::serve(connections::Bounded::new(listener), router).await else {
            return;
        };
        tracing::error!(%error, "the console is not answered any more");
    });
    // The one time that it is set.
    let _ = handle.console.task.set(task);
    Ok(handle)
}

/// Every page, by path.
fn router(console: ConsoleHandle) -> Router {
    Router::new()
        .route("/", get(access::door))
        .route("/login", get(access::page))
        .route("/logout", post(access::end))
        .route("/theme", post(page::choose_theme))
        .route("/assets/{name}", get(page::asset))
        .route("/devices", get(devices::page))
        .route("/devices/{device}", get(device::page))
        .route("/devices/{device}/chart", get(device::chart))
        .route("/sinks", get(sinks::page))
        .route("/sinks/{sink}/pause", post(sinks::pause))
        .route("/sinks/{sink}/resume", post(sinks::resume))
        .route("/live", get(live::run))
        .fallback(page::unknown)
        .layer(from_fn_with_state(console.clone(), access::guard))
        .with_state(console)
}

impl ConsoleHandle {
    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.console.address
    }

    /// Makes a link that opens one session.
    ///
    /// # Errors
    /// If the host has no random numbers.
    pub fn link(&self) -> Result<Link, getrandom::Error> {
        let code = self.access().create_code()?;
        Ok(Link { url: format!("http://{}/?setup={code}", self.address()), life: CODE_LIFE })
    }

    /// Stops answering.
    pub fn stop(&self) {
        if let Some(task) = self.console.task.get() {
            task.abort();
        }
        self.console.streams.stop();
    }

    /// The name of the session's cookie: browsers keep cookies apart by host, not by port, and a host may
    /// have more than one console.
    fn cookie(&self) -> String {
        format!("headwater_{}", self.address().port())
    }

    fn node(&self) -> &NodeHandle {
        &self.console.node
    }

    fn access(&self) -> &Access {
        &self.console.access
    }

    fn fleet(&self) -> &Fleet {
        &self.console.fleet
    }

    fn streams(&self) -> &Streams {
        &self.console.streams
    }
}

/// What a device's page says of one that is not there.
fn no_device() -> Response {
    access::plain(StatusCode::NOT_FOUND, "No such device. The list: /devices\n")
}
