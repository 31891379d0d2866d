//! Join tokens.

use std::time::Duration;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;

use super::Refusal;
use super::rows::{Moment, NewToken, TokenRow, TokenWish};
use crate::node::{NodeHandle, TokenRequest, TokenView};

/// `GET /tokens`
pub(super) async fn list(State(node): State<NodeHandle>) -> Json<Vec<TokenRow>> {
    let now = jiff::Timestamp::now().as_microsecond();
    Json(node.tokens().await.iter().map(|token| row(token, now)).collect())
}

/// `POST /tokens`
pub(super) async fn create(
    State(node): State<NodeHandle>,
    Json(wish): Json<TokenWish>,
) -> Result<Json<NewToken>, Refusal> {
    let request = TokenRequest {
        uses: Some(wish.uses),
        life: wish.life_seconds.map(Duration::from_secs),
        group: None,
        creator: "local socket".to_owned(),
        addresses: Vec::new(),
    };
    let failed = |error| Refusal::failed("cannot make a join token", &error);
    let token = node.create_token(request).await.map_err(failed)?;
    let addresses = headwater_certs::token::JoinToken::parse(&token.text)
        .map(|token| token.addresses().iter().map(ToString::to_string).collect());
    Ok(Json(NewToken {
        token: token.text,
        id: token.id,
        uses: wish.uses.get(),
        expires: Moment(token.expires_at_us),
        addresses: addresses.unwrap_or_default(),
    }))
}

/// `DELETE /tokens/ID`
pub(super) async fn revoke(
    State(node): State<NodeHandle>,
    Path(id): Path<String>,
) -> Result<Json<TokenRow>, Refusal> {
    let tokens = node.tokens().await;
    let mut fitting = tokens.iter().filter(|token| !id.is_empty() && token.id.starts_with(&id));
    let (Some(token), None) = (fitting.next(), fitting.next()) else {
        let count = tokens.iter().filter(|token| token.id.starts_with(&id)).count();
        let what = match count {
            0 => format!("no token \"{id}\""),
            _ => format!("{count} tokens begin with \"{id}\""),
        };
        return Err(Refusal::new(StatusCode::NOT_FOUND, what).next("headwater tokens ls"));
    };
    let failed = |error| Refusal::failed("cannot revoke the token", &error);
    if !node.revoke_token(&token.id, "local socket").await.map_err(failed)? {
        let what = format!("token {} has no use left to take away", token.id);
        return Err(Refusal::new(StatusCode::CONFLICT, what).next("headwater tokens ls"));
    }
    let now = jiff::Timestamp::now().as_microsecond();
    Ok(Json(TokenRow { uses_left: 0, ..row(token, now) }))
}

fn row(token: &TokenView, now_us: i64) -> TokenRow {
    // As enrolment has it: a token is good to the end of its last second.
    let is_over = token.expires_at_us / 1_000_000 < now_us / 1_000_000;
    let state = match token {
        TokenView { uses_left: 0, .. } => "used",
        TokenView { locked: true, .. } => "locked",
        _ if is_over => "expired",
        _ => "valid",
    };
    TokenRow {
        id: token.id.clone(),
        state: state.to_owned(),
        uses_left: token.uses_left,
        created: Moment(token.created_at_us),
        expires: Moment(token.expires_at_us),
        creator: token.creator.clone(),
    }
}
