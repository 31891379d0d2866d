//! What every page has: frame, theme, headers and assets.

mod assets;
#[cfg(test)]
mod contrast;
mod frame;
pub(super) mod headers;
mod shown;
mod theme;

use askama::Template;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};

use super::access::plain;

pub(super) use assets::{Assets, asset};
pub(super) use frame::{Frame, Verdict};
pub(super) use shown::{State, ago, bits, bytes, clock, percent, plain_text, rate, stamp, three};
pub(super) use theme::{Theme, choose as choose_theme};

/// A page or a part of one.
pub(super) fn html(template: &impl Template) -> Response {
    match template.render() {
        Ok(text) => ([(CONTENT_TYPE, "text/html; charset=utf-8")], text).into_response(),
        Err(error) => {
            tracing::error!(%error, "draw a page");
            plain(StatusCode::INTERNAL_SERVER_ERROR, "The page can't be drawn; the log says why.\n")
        }
    }
}

/// Any path that is no page.
pub(super) async fn unknown() -> Response {
    plain(StatusCode::NOT_FOUND, "No such page. The devices: /devices\n")
}
