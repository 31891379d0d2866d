//! What every request must show before anything answers it.
//!
//! The name that the browser was sent to must be one of loopback, so that a stranger's name that leads
//! here (DNS rebinding) is refused. What is not a GET must come from our own pages and carry the
//! session's token. Everything but the door and its furniture needs a session.

use std::net::IpAddr;

use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::header::{ACCEPT, CONTENT_TYPE, COOKIE, HOST, HeaderMap, LOCATION, ORIGIN};
use axum::http::{Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::super::ConsoleHandle;
use super::super::page::headers::{self, Nonce};
use super::Session;

/// Bytes of a form: a token, a word and room for a note.
const FORM_BYTES_MAX: usize = 16 << 10;

/// Lets a request pass or says why not.
pub(crate) async fn guard(
    State(console): State<ConsoleHandle>,
    mut request: Request,
    next: Next,
) -> Response {
    let Ok(nonce) = Nonce::draw() else {
        return plain(StatusCode::INTERNAL_SERVER_ERROR, "this host has no random numbers");
    };
    request.extensions_mut().insert(nonce.clone());
    let response = match admit(&console, request).await {
        Ok(request) => next.run(request).await,
        Err(refusal) => refusal,
    };
    headers::secured(response, &nonce)
}

async fn admit(console: &ConsoleHandle, mut request: Request) -> Result<Request, Response> {
    if !is_of_loopback(request.headers()) {
        let text = "This console answers to 127.0.0.1, [::1] and localhost only.\n";
        return Err(plain(StatusCode::MISDIRECTED_REQUEST, text));
    }
    let path = request.uri().path();
    let open = path == "/" || path == "/login" || path.starts_with("/assets/");
    let session = match cookie(request.headers(), &console.cookie()) {
        Some(cookie) => console.access().session(cookie).await,
        None => None,
    };
    let Some(session) = session else {
        if open && is_read(request.method()) {
            return Ok(request);
        }
        return Err(no_session(&request));
    };
    if !is_read(request.method()) {
        request = checked_form(request, &session).await?;
    }
    request.extensions_mut().insert(session);
    Ok(request)
}

/// Pages lead to the door; what scripts ask for says so by its status.
fn no_session(request: &Request) -> Response {
    let accepts = request.headers().get(ACCEPT).and_then(|accept| accept.to_str().ok());
    let page = accepts.is_none_or(|accept| accept.contains("text/html") || accept.contains("*/*"));
    let scripted = request.uri().path() == "/live" || request.uri().path().ends_with("/chart");
    if is_read(request.method()) && page && !scripted {
        return (StatusCode::SEE_OTHER, [(LOCATION, "/login")]).into_response();
    }
    plain(StatusCode::UNAUTHORIZED, "No session. On the aggregator's host: headwater console\n")
}

/// A change: from our own page, by a form that carries the token.
async fn checked_form(request: Request, session: &Session) -> Result<Request, Response> {
    if !is_same_origin(request.headers()) {
        return Err(plain(StatusCode::FORBIDDEN, "This change did not come from the console.\n"));
    }
    let (parts, body) = request.into_parts();
    let Ok(bytes) = to_bytes(body, FORM_BYTES_MAX).await else {
        return Err(plain(StatusCode::PAYLOAD_TOO_LARGE, "The form is larger than 16 KiB.\n"));
    };
    let header = parts.headers.get(TOKEN_HEADER).and_then(|token| token.to_str().ok());
    let is_form = parts
        .headers
        .get(CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(b"application/x-www-form-urlencoded"));
    // The token has none of the letters that a form encodes.
    let in_form = || {
        let text = std::str::from_utf8(&bytes).ok().filter(|_| is_form)?;
        text.split('&').find_map(|field| field.strip_prefix("token="))
    };
    if !header.or_else(in_form).is_some_and(|token| session.is_of(token)) {
        let text =
            "The form is not of this session. Load the page again, then the same once more.\n";
        return Err(plain(StatusCode::FORBIDDEN, text));
    }
    Ok(Request::from_parts(parts, Body::from(bytes)))
}

/// The session's token, where a script sends it.
const TOKEN_HEADER: &str = "headwater-token";

fn is_read(method: &Method) -> bool {
    method == Method::GET || method == Method::HEAD
}

fn host(headers: &HeaderMap) -> Option<&str> {
    headers.get(HOST)?.to_str().ok()
}

fn is_of_loopback(headers: &HeaderMap) -> bool {
    let Some(host) = host(headers) else { return false };
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split_once(']').map_or("", |(name, _)| name),
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    };
    name.eq_ignore_ascii_case("localhost")
        || name.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}

/// Browsers say where a change comes from; what says nothing is no browser, and needs the token anyway.
fn is_same_origin(headers: &HeaderMap) -> bool {
    let text = |name| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    let site = text("sec-fetch-site").is_none_or(|site| site == "same-origin" || site == "none");
    let ours = host(headers).map(|host| format!("http://{host}"));
    site && text(ORIGIN.as_str()).is_none_or(|origin| Some(origin) == ours.as_deref())
}

/// The value of a cookie.
fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let lines = headers.get_all(COOKIE).iter().filter_map(|line| line.to_str().ok());
    let mut pairs = lines.flat_map(|line| line.split(';'));
    pairs.find_map(|pair| pair.trim().strip_prefix(name)?.strip_prefix('='))
}

/// An answer without a page.
pub(crate) fn plain(status: StatusCode, text: &'static str) -> Response {
    (status, [(CONTENT_TYPE, "text/plain; charset=utf-8")], text).into_response()
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn with(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value)))
            .collect()
    }

    #[test]
    fn only_names_of_loopback_are_answered_to() {
        for host in ["127.0.0.1:7080", "localhost", "LOCALHOST:1", "[::1]:7080", "127.8.9.1"] {
            assert!(is_of_loopback(&with(&[("host", host)])), "{host}");
        }
        for host in ["evil.example:7080", "127.0.0.1.evil.example", "10.0.0.1", "", "[::2]:1"] {
            assert!(!is_of_loopback(&with(&[("host", host)])), "{host}");
        }
        assert!(!is_of_loopback(&HeaderMap::new()));
    }

    #[test]
    fn a_change_of_another_origin_is_seen_by_either_header() {
        let host = ("host", "127.0.0.1:7080");
        let good = with(&[host, ("origin", "http://127.0.0.1:7080")]);
        assert!(is_same_origin(&good));
        assert!(is_same_origin(&with(&[host, ("sec-fetch-site", "same-origin")])));
        for other in [
            ("origin", "http://evil.example"),
            ("origin", "http://127.0.0.1:7081"),
            ("origin", "null"),
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-site", "same-site"),
        ] {
            assert!(!is_same_origin(&with(&[host, other])), "{other:?}");
        }
    }

    #[test]
    fn a_cookie_is_found_by_its_whole_name() {
        let headers = with(&[("cookie", "a=1; headwater_7080=x; headwater_70801=y")]);
        assert_eq!(cookie(&headers, "headwater_7080"), Some("x"));
        assert_eq!(cookie(&headers, "headwater"), None);
    }
}
