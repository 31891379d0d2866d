//! The API: what a running aggregator answers to the command line of its own host.
//!
//! HTTP on a unix socket in the data folder, which belongs to the user who runs the aggregator: who
//! may open the socket may ask everything. Documents are JSON; what has no end, or takes long, comes
//! as lines of JSON. Nothing here decides anything: it reads what the node shows, and passes wishes on.

mod alerts;
mod backup;
mod console;
mod devices;
mod explore;
mod export;
mod lines;
mod logs;
mod node;
mod rest;
pub mod rows;
mod selection;
mod sinks;
mod socket;
mod tap;
mod tokens;
mod verify;

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use axum::{Json, Router};

use crate::console::ConsoleHandle;
use crate::node::NodeHandle;
use rows::Problem;

pub(crate) use devices::ledger_of;
pub use socket::{ListenError, Served, file_of, serve};

/// Every route, by path.
fn router(node: NodeHandle, console: ConsoleHandle) -> Router {
    let links = Router::new().route("/api/v1/console/links", post(console::link));
    let both = (node.clone(), console.clone());
    let own = Router::new().route("/api/v1/node", get(node::show)).with_state(both);
    Router::new()
        .route("/api/v1/devices", get(devices::list))
        .route("/api/v1/devices/{device}", get(devices::show).delete(devices::revoke))
        .route("/api/v1/devices/{device}/restore", post(devices::restore))
        .route("/api/v1/ledger", get(devices::ledgers))
        .route("/api/v1/ledger/{device}", get(devices::ledger))
        .route("/api/v1/verify", get(verify::run))
        .route("/api/v1/backup", get(backup::run))
        .route("/api/v1/tokens", get(tokens::list).post(tokens::create))
        .route("/api/v1/tokens/{id}", delete(tokens::revoke))
        .route("/api/v1/explore", get(explore::run))
        .route("/api/v1/alerts", get(alerts::list))
        .route("/api/v1/notices", get(alerts::notices))
        .route("/api/v1/thresholds", get(alerts::thresholds).post(alerts::apply))
        .route("/api/v1/sinks", get(sinks::list))
        .route("/api/v1/sinks/{name}/pause", post(sinks::pause))
        .route("/api/v1/sinks/{name}/resume", post(sinks::resume))
        .route("/api/v1/rest", get(rest::run))
        .route("/api/v1/logs", get(logs::run))
        .route("/api/v1/export/file", get(export::run))
        .route("/api/v1/tap", get(tap::run))
        .fallback(unknown)
        .with_state(node)
        .merge(links.with_state(console))
        .merge(own)
}

async fn unknown() -> Refusal {
    Refusal::new(StatusCode::NOT_FOUND, "the aggregator does not know this request")
        .next("headwater version, here and on the host of the aggregator")
}

/// Why a request was not answered.
#[derive(Debug)]
pub(crate) struct Refusal {
    status: StatusCode,
    problem: Problem,
}

impl Refusal {
    pub(crate) fn new(status: StatusCode, error: impl Into<String>) -> Self {
        Self { status, problem: Problem { error: error.into(), cause: None, next: None } }
    }

    pub(crate) fn failed(error: impl Into<String>, source: &dyn std::error::Error) -> Self {
        let mut refusal = Self::new(StatusCode::INTERNAL_SERVER_ERROR, error);
        refusal.problem.cause = Some(chain(source));
        refusal
    }

    pub(crate) fn no_device(name: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, format!("no device \"{name}\"")).next("headwater devices")
    }

    pub(crate) fn cause(mut self, cause: impl Into<String>) -> Self {
        self.problem.cause = Some(cause.into());
        self
    }

    pub(crate) fn next(mut self, next: impl Into<String>) -> Self {
        self.problem.next = Some(next.into());
        self
    }

    /// What could not be done and why, as one sentence.
    pub(crate) fn into_sentence(self) -> String {
        let cause = self.problem.cause.map(|cause| format!(": {cause}")).unwrap_or_default();
        format!("{}{cause}", self.problem.error)
    }

    pub(crate) fn into_problem(self) -> Problem {
        self.problem
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.status, Json(self.problem)).into_response()
    }
}

/// An error and its sources as one sentence.
#[must_use]
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let next = error.to_string();
        // Some libraries repeat their source in their own text.
        if !text.ends_with(&next) {
            text.push_str(": ");
            text.push_str(&next);
        }
        source = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_that_is_already_told_is_not_told_twice() {
        #[derive(Debug, thiserror::Error)]
        #[error("open log: {source}")]
        struct Outer {
            source: std::io::Error,
        }
        let outer = Outer { source: std::io::Error::other("disk is gone") };
        assert_eq!(chain(&outer), "open log: disk is gone");
    }
}
