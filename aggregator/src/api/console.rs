//! Links into the console: who may open the socket may look.

use axum::Json;
use axum::extract::State;

use super::Refusal;
use super::rows::ConsoleLink;
use crate::console::ConsoleHandle;

/// `POST /console/links`
pub(super) async fn link(
    State(console): State<ConsoleHandle>,
) -> Result<Json<ConsoleLink>, Refusal> {
    let link = console.link().map_err(|error| Refusal::failed("cannot make a link", &error))?;
    Ok(Json(ConsoleLink {
        address: console.address().to_string(),
        url: link.url,
        life_seconds: link.life.as_secs(),
    }))
}
