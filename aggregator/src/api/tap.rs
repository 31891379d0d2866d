//! What the fold applies, as it applies it: a copy for looking at, which never slows anything down.
//! Lines above the rate are counted instead of shown, and the count is told once a second.

mod conditions;
mod raw;
mod records;

use std::num::NonZeroU32;
use std::time::Duration;

use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use axum::response::Response;
use tokio::time::Instant;

use super::Refusal;
use super::lines::Lines;
use super::rows::TapRow;
use crate::node::NodeHandle;
use conditions::Conditions;

/// What is wanted of the stream.
#[derive(Debug)]
pub(super) struct Wanted {
    /// `metrics`, `logs` or `events`; `None` for all of them.
    what: Option<String>,
    raw: bool,
    rate: NonZeroU32,
    conditions: Conditions,
}

impl Wanted {
    /// Reads a query: `where` may stand in it more than once.
    fn parse(query: &str) -> Result<Self, Refusal> {
        let mut wanted =
            Self { what: None, raw: false, rate: RATE_DEFAULT, conditions: Conditions::default() };
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            let value = decoded(value).ok_or_else(|| wrong(key, value))?;
            match key {
                "what" if matches!(value.as_str(), "metrics" | "logs" | "events") => {
                    wanted.what = Some(value);
                }
                "raw" => wanted.raw = value.parse().map_err(|_| wrong(key, &value))?,
                "rate" => wanted.rate = value.parse().map_err(|_| wrong(key, &value))?,
                "where" => {
                    wanted.conditions.add(&value).ok_or_else(|| wrong(key, &value))?;
                }
                _ => return Err(wrong(key, &value)),
            }
        }
        Ok(wanted)
    }

    fn wants(&self, what: &str) -> bool {
        self.what.as_ref().is_none_or(|wanted| wanted == what)
    }
}

fn wrong(key: &str, value: &str) -> Refusal {
    let what = format!("cannot understand {key} = \"{value}\"");
    Refusal::new(StatusCode::BAD_REQUEST, what).next("headwater tap --help")
}

/// A word with its percent signs resolved, `None` if it is not UTF-8.
fn decoded(word: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(word.len());
    let mut rest = word.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let digits = std::str::from_utf8(rest.get(..2)?).ok()?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        rest = &rest[2..];
    }
    String::from_utf8(bytes).ok()
}

/// What the command line asks for where the user says nothing.
const RATE_DEFAULT: NonZeroU32 = NonZeroU32::new(50).expect("50 is not 0");

/// `GET /tap`
pub(super) async fn run(
    State(node): State<NodeHandle>,
    RawQuery(query): RawQuery,
) -> Result<Response, Refusal> {
    let wanted = Wanted::parse(query.as_deref().unwrap_or_default())?;
    let (lines, response) = Lines::open();
    let shown = Shown::new(lines, wanted.rate);
    if wanted.raw {
        tokio::spawn(raw::run(node, wanted, shown));
    } else {
        // Before the answer begins: who has read its head misses nothing that comes after.
        let live = node.subscribe();
        tokio::spawn(records::run(node, wanted, shown, live));
    }
    Ok(response)
}

/// What is shown, at most so many lines per second.
#[derive(Debug)]
struct Shown {
    lines: Lines,
    rows: Vec<TapRow>,
    rate: u64,
    second: Instant,
    in_second: u64,
    metrics_in_second: u64,
    skipped: u64,
}

impl Shown {
    fn new(lines: Lines, rate: NonZeroU32) -> Self {
        let (rate, second) = (u64::from(rate.get()), Instant::now());
        Self {
            lines,
            rows: Vec::new(),
            rate,
            second,
            in_second: 0,
            metrics_in_second: 0,
            skipped: 0,
        }
    }

    /// Takes a sample to be shown, or counts it. Among other lines they get half of the rate: one host
    /// has more samples a second than a person reads lines.
    fn show_sample(&mut self, alone: bool, row: impl FnOnce() -> TapRow) {
        if alone || self.metrics_in_second < self.rate.div_ceil(2) {
            self.metrics_in_second += 1;
            self.show(row);
        } else {
            self.skipped += 1;
        }
    }

    /// Takes a line to be shown, or counts it.
    fn show(&mut self, row: impl FnOnce() -> TapRow) {
        if self.in_second < self.rate {
            self.in_second += 1;
            self.rows.push(row());
        } else {
            self.skipped += 1;
        }
    }

    /// Counts lines that were never seen here.
    fn skip(&mut self, count: u64) {
        self.skipped += count;
    }

    /// Sends what was taken and begins a second where one is over, telling what was not shown in it.
    ///
    /// A slow reader makes this wait, and thereby loses its own copy of what comes: nobody else waits.
    async fn flush(&mut self) {
        if self.second.elapsed() >= SECOND {
            self.second = Instant::now();
            self.in_second = 0;
            self.metrics_in_second = 0;
            if self.skipped > 0 {
                self.rows.push(TapRow::Skipped { lines: self.skipped });
                self.skipped = 0;
            }
        }
        // That the reader has gone is seen by `is_closed`.
        let _ = self.lines.send(&self.rows).await;
        self.rows.clear();
    }

    /// When to flush at the latest.
    fn flush_at(&self) -> Instant {
        self.second + SECOND
    }

    fn is_closed(&self) -> bool {
        self.lines.is_closed()
    }
}

const SECOND: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_read_or_refused() {
        let wanted = Wanted::parse("what=logs&rate=7&where=site%3Aosl&where=role%3Adb").unwrap();
        assert!(wanted.wants("logs") && !wanted.wants("metrics"));
        assert_eq!(wanted.rate.get(), 7);
        for query in
            ["rate=0", "what=all", "raw=2", "where=site", "x=1", "where=%zz", "where=%ff:a"]
        {
            assert!(Wanted::parse(query).is_err(), "{query}");
        }
    }
}
