//! Health: `/metrics`, `/healthz`, `/readyz` over HTTP, for machines on this host.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::clock::wall_us;
use crate::fold::FoldHandle;
use crate::intake::IntakeHandle;
use crate::log::Space;
use crate::metrics::Metrics;

/// What the node has started so far: health is there before everything else.
#[derive(Debug)]
pub struct Started {
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// The room on the disk, once it was looked at.
    pub space: OnceLock<Arc<Space>>,
    /// The fold, once all shards are recovered.
    pub fold: OnceLock<FoldHandle>,
    /// The intake, once it listens.
    pub intake: OnceLock<IntakeHandle>,
}

impl Started {
    /// Everything runs. Called once.
    pub(crate) fn all(&self, space: Arc<Space>, fold: &FoldHandle, intake: &IntakeHandle) {
        let set = self.space.set(space).is_ok()
            && self.fold.set(fold.clone()).is_ok()
            && self.intake.set(intake.clone()).is_ok();
        assert!(set, "a node starts once");
    }
}

/// Why health can't be served.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// Another program has the address.
    #[error(
        "listen at {address} (TCP): another program has it; set metrics.listen to a free address, or stop that program (ss -ltnp)"
    )]
    InUse {
        /// The address.
        address: SocketAddr,
    },
    /// The socket can't be had.
    #[error("listen at {address} (TCP, metrics.listen)")]
    Socket {
        /// The address.
        address: SocketAddr,
        /// What the operating system said.
        source: io::Error,
    },
}

/// The running server.
#[derive(Clone, Debug)]
pub struct HealthHandle {
    address: SocketAddr,
    stop: watch::Sender<bool>,
}

impl HealthHandle {
    /// Starts to listen.
    ///
    /// # Errors
    /// If the address can't be had.
    pub async fn start(listen: SocketAddr, started: Arc<Started>) -> Result<Self, ListenError> {
        let socket = |source| ListenError::Socket { address: listen, source };
        let listener = TcpListener::bind(listen).await.map_err(|source| match source.kind() {
            io::ErrorKind::AddrInUse => ListenError::InUse { address: listen },
            _ => socket(source),
        })?;
        let address = listener.local_addr().map_err(socket)?;
        let (stop, mut stopped) = watch::channel(false);
        let router = Router::new()
            .route("/metrics", get(metrics))
            .route("/healthz", get(|| async { "alive\n" }))
            .route("/readyz", get(ready))
            .with_state(started);
        let serving = axum::serve(listener, router).with_graceful_shutdown(async move {
            // A handle that is gone stops the server as well.
            drop(stopped.changed().await);
        });
        tokio::spawn(async move {
            if let Err(error) = serving.await {
                tracing::error!(%error, "serve metrics and health");
            }
        });
        Ok(Self { address, stop })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Takes no more connections.
    pub fn stop(&self) {
        self.stop.send_replace(true);
    }
}

async fn metrics(State(started): State<Arc<Started>>) -> impl IntoResponse {
    let metrics = &started.metrics;
    if let Some(space) = started.space.get() {
        metrics.log.free_bytes.set(space.free().0);
    }
    if let Some(fold) = started.fold.get() {
        let age_us = fold.unsaved_since_us().map_or(0, |since| (wall_us() - since).max(0));
        #[expect(clippy::cast_precision_loss, reason = "an age")]
        metrics.fold.snapshot_age_seconds.set(age_us as f64 / 1e6);
    }
    if let Some(intake) = started.intake.get() {
        let bytes = i64::try_from(intake.in_flight_bytes()).unwrap_or(i64::MAX);
        metrics.intake.in_flight_bytes.set(bytes);
    }
    let format = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, format)], metrics.encode())
}

async fn ready(State(started): State<Arc<Started>>) -> (StatusCode, String) {
    let mut missing = Vec::new();
    if started.fold.get().is_none() {
        missing.push("shards are being recovered".to_owned());
    }
    if started.intake.get().is_none() {
        missing.push("intake does not listen yet".to_owned());
    }
    if let Some(space) = started.space.get().filter(|space| space.is_short()) {
        let (free, needed) = (space.free(), space.needed());
        missing.push(format!("the disk is short: {free} free, {needed} needed (intake.min_free)"));
    }
    if missing.is_empty() {
        return (StatusCode::OK, "ready\n".to_owned());
    }
    (StatusCode::SERVICE_UNAVAILABLE, missing.join("\n") + "\n")
}
