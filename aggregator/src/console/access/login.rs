//! The door: a one-time link becomes a session; without one, how to get a link.

use askama::Template;
use axum::Extension;
use axum::extract::{Query, State};
use axum::http::header::{LOCATION, SET_COOKIE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use super::super::ConsoleHandle;
use super::super::page::{Assets, Theme, html};
use super::Session;
use super::guard::plain;

/// What the door may be asked.
#[derive(Debug, Deserialize)]
pub(crate) struct Asked {
    setup: Option<String>,
}

/// `GET /`: a link is used up and leads to the clean address; all else leads to the devices.
pub(crate) async fn door(
    State(console): State<ConsoleHandle>,
    Query(asked): Query<Asked>,
) -> Response {
    let Some(code) = asked.setup else {
        return to("/devices");
    };
    match console.access().redeem(&code).await {
        Ok(Some(cookie)) => {
            let name = console.cookie();
            let cookie = format!("{name}={cookie}; HttpOnly; SameSite=Lax; Path=/; Max-Age=43200");
            ([(SET_COOKIE, cookie)], to("/devices")).into_response()
        }
        Ok(None) => to("/login?used=1"),
        Err(_) => plain(StatusCode::INTERNAL_SERVER_ERROR, "this host has no random numbers\n"),
    }
}

/// `POST /logout`
pub(crate) async fn end(
    State(console): State<ConsoleHandle>,
    Extension(session): Extension<Session>,
) -> Response {
    console.access().end(&session).await;
    let cookie = format!("{}=; HttpOnly; SameSite=Lax; Path=/; Max-Age=0", console.cookie());
    ([(SET_COOKIE, cookie)], to("/login")).into_response()
}

/// Whether the page follows a link that was of no use.
#[derive(Debug, Deserialize)]
pub(crate) struct Shown {
    used: Option<String>,
}

#[derive(Template)]
#[template(path = "login.html")]
struct Login {
    theme: Theme,
    assets: &'static Assets,
    used: bool,
    inside: bool,
}

/// `GET /login`
pub(crate) async fn page(
    session: Option<Extension<Session>>,
    Query(shown): Query<Shown>,
    headers: HeaderMap,
) -> Response {
    let used = shown.used.is_some();
    let theme = Theme::of(&headers);
    html(&Login { theme, assets: Assets::all(), used, inside: session.is_some() })
}

fn to(place: &'static str) -> Response {
    (StatusCode::SEE_OTHER, [(LOCATION, place)]).into_response()
}
