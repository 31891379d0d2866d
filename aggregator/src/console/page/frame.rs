//! The frame: head, navigation and foot of every page with a session.

use axum::extract::FromRequestParts;
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::Response;

use super::super::ConsoleHandle;
use super::super::access::{Session, plain};
use super::headers::Nonce;
use super::{Assets, Theme};
use crate::cli::output::units;
use crate::node::LedgerView;

/// What the templates of the frame read.
#[derive(Clone, Debug)]
pub(crate) struct Frame {
    pub(crate) theme: Theme,
    pub(crate) assets: &'static Assets,
    pub(crate) nonce: String,
    pub(crate) token: String,
    pub(crate) version: &'static str,
    pub(crate) node: String,
    pub(crate) verdict: Verdict,
    /// What stands in the search box.
    pub(crate) search: String,
    /// Where the page's live stream is.
    pub(crate) live: String,
}

/// What the ledger says, in words.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Verdict {
    /// `adds-up` or `unequal`.
    pub(crate) word: &'static str,
    /// A sentence.
    pub(crate) text: String,
}

impl Verdict {
    /// Of all devices.
    pub(crate) fn of(ledger: &LedgerView) -> Self {
        let gaps = units::count(ledger.totals.gaps, "declared gap");
        let text = match ledger.adds_up() {
            true => format!("Ledger adds up · {gaps}"),
            false => format!(
                "Ledger does not add up in {} · {gaps}",
                units::count(ledger.tallies.unequal, "batch")
            ),
        };
        Self { word: if ledger.adds_up() { "adds-up" } else { "unequal" }, text }
    }
}

impl FromRequestParts<ConsoleHandle> for Frame {
    type Rejection = Response;

    async fn from_request_parts(
        parts: &mut Parts,
        console: &ConsoleHandle,
    ) -> Result<Self, Response> {
        let no_session = || plain(StatusCode::UNAUTHORIZED, "No session.\n");
        let session = parts.extensions.get::<Session>().ok_or_else(no_session)?.clone();
        let nonce = parts.extensions.get::<Nonce>().ok_or_else(no_session)?.clone();
        let ledger = console.node().ledger().await;
        Ok(Self {
            theme: Theme::of(&parts.headers),
            assets: Assets::all(),
            nonce: nonce.0,
            token: session.token,
            version: env!("CARGO_PKG_VERSION"),
            node: console.node().name().to_owned(),
            verdict: Verdict::of(&ledger),
            search: String::new(),
            live: String::new(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sum_that_is_unequal_is_said_first() {
        let mut ledger = LedgerView::default();
        assert_eq!(Verdict::of(&ledger).text, "Ledger adds up · 0 declared gaps");
        ledger.tallies.unequal = 2;
        let verdict = Verdict::of(&ledger);
        assert_eq!(verdict.word, "unequal");
        assert_eq!(verdict.text, "Ledger does not add up in 2 batches · 0 declared gaps");
    }
}
