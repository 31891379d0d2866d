//! Sinks.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;

use super::Refusal;
use super::rows::SinkRow;
use crate::node::NodeHandle;

/// `GET /sinks`
pub(super) async fn list(State(node): State<NodeHandle>) -> Json<Vec<SinkRow>> {
    Json(node.sinks())
}

/// `POST /sinks/NAME/pause`
pub(super) async fn pause(
    State(node): State<NodeHandle>,
    Path(name): Path<String>,
) -> Result<Json<SinkRow>, Refusal> {
    set(&node, &name, true).await
}

/// `POST /sinks/NAME/resume`
pub(super) async fn resume(
    State(node): State<NodeHandle>,
    Path(name): Path<String>,
) -> Result<Json<SinkRow>, Refusal> {
    set(&node, &name, false).await
}

async fn set(node: &NodeHandle, name: &str, paused: bool) -> Result<Json<SinkRow>, Refusal> {
    let what = if paused { "cannot pause the sink" } else { "cannot let the sink go on" };
    let set = node.pause_sink(name, paused).await;
    let set = set.map_err(|error| Refusal::failed(what, &error))?;
    set.map(Json).ok_or_else(|| {
        Refusal::new(StatusCode::NOT_FOUND, format!("no sink \"{name}\"")).next("headwater sinks")
    })
}
