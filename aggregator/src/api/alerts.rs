//! Alerts and thresholds.

use axum::Json;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use serde::Deserialize;

use super::Refusal;
use super::rows::{
    AlertRow, AppliedRow, Moment, NoticeRow, RuleChangeRow, ThresholdsView, ThresholdsWish,
};
use crate::node::{Applied, ApplyError, ApplyRequest, NodeHandle};

/// Whether ended alerts are listed too.
#[derive(Debug, Deserialize)]
pub(super) struct WithEnded {
    #[serde(default)]
    all: bool,
}

/// `GET /alerts`
pub(super) async fn list(
    State(node): State<NodeHandle>,
    Query(with): Query<WithEnded>,
) -> Json<Vec<AlertRow>> {
    let mut rows = node.alerts();
    if with.all {
        rows.extend(node.ended_alerts());
    }
    Json(rows)
}

/// `GET /notices`
pub(super) async fn notices(
    State(node): State<NodeHandle>,
) -> Result<Json<Vec<NoticeRow>>, Refusal> {
    let failed = |error| Refusal::failed("cannot read how far notices are", &error);
    node.notices().await.map(Json).map_err(failed)
}

/// `GET /thresholds`
pub(super) async fn thresholds(
    State(node): State<NodeHandle>,
) -> Result<Json<ThresholdsView>, Refusal> {
    let failed = |error| Refusal::failed("cannot read the thresholds", &error);
    node.thresholds().await.map(Json).map_err(failed)
}

/// `POST /thresholds`
pub(super) async fn apply(
    State(node): State<NodeHandle>,
    Json(wish): Json<ThresholdsWish>,
) -> Result<Json<AppliedRow>, Refusal> {
    let ThresholdsWish { file, text, prune, dry_run, message, revision } = wish;
    let request = ApplyRequest { file, text, prune, dry_run, message, revision };
    match node.apply_thresholds(request, "local socket").await {
        Ok(applied) => Ok(Json(row(applied))),
        Err(ApplyError::Mistakes(mistakes)) => {
            Err(Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, mistakes.headline())
                .cause(mistakes.to_string())
                .next("correct it, then the same command; nothing was changed"))
        }
        Err(ApplyError::Publish(error)) => {
            Err(Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, "cannot apply the thresholds")
                .cause(error.to_string())
                .next("headwater thresholds ls"))
        }
        Err(error @ ApplyError::Moved { .. }) => {
            Err(Refusal::new(StatusCode::CONFLICT, error.to_string())
                .next("headwater thresholds ls, then the same command"))
        }
        Err(error @ (ApplyError::Store(_) | ApplyError::Stopping)) => {
            Err(Refusal::failed("cannot apply the thresholds", &error))
        }
    }
}

fn row(applied: Applied) -> AppliedRow {
    let changes = applied.changes.into_iter().map(|change| RuleChangeRow {
        change: change.sign.word().to_owned(),
        name: change.name,
        details: change.details,
    });
    AppliedRow {
        revision: applied.revision,
        published: applied.published,
        from: Moment(applied.from_us),
        owner: applied.owner,
        changes: changes.collect(),
        warnings: applied.warnings,
    }
}
