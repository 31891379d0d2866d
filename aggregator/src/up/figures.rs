//! The line of live figures: in place on a terminal, every ten seconds elsewhere.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use anstyle::{AnsiColor, Style};

use crate::cli::output::{Output, Signs, units};
use crate::node::LiveView;

/// What flows.
pub(super) struct Figures {
    output: Output,
    in_place: bool,
    drawn: bool,
    /// What came since the last line that stays.
    since: Sum,
    told: Instant,
}

/// What came in a span of time.
#[derive(Debug, Default)]
struct Sum {
    elapsed: Duration,
    records: u64,
    bytes: u64,
}

impl Sum {
    fn add(&mut self, live: &LiveView) {
        self.elapsed += live.elapsed;
        self.records = self.records.saturating_add(live.records);
        self.bytes = self.bytes.saturating_add(live.bytes);
    }
}

impl Figures {
    pub(super) fn new(output: &Output) -> Self {
        let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        Self {
            in_place: std::io::stdout().is_terminal() && !dumb,
            output: output.clone(),
            drawn: false,
            since: Sum::default(),
            told: Instant::now(),
        }
    }

    /// Shows what flowed since this was last called.
    pub(super) fn show(&mut self, live: &LiveView, devices: usize) {
        if self.output.quiet {
            return;
        }
        self.since.add(live);
        if !self.in_place && self.told.elapsed() < LINE_INTERVAL {
            return;
        }
        self.told = Instant::now();
        let line = line(live, &self.since, devices, Signs::of_locale());
        self.since = Sum::default();
        let width = terminal_size::terminal_size().map_or(80, |(width, _)| usize::from(width.0));
        // A terminal that is gone shows nothing; what runs goes on.
        let _ = match self.in_place {
            true => self.output.text(&format!("\r\x1b[K{}", fitting(&line, width))),
            false => self.output.text(&format!("{}\n", line.join(" · "))),
        };
        self.drawn = self.in_place;
    }

    /// Takes the line away, so that another can stand in its place.
    pub(super) fn clear(&mut self) {
        if std::mem::take(&mut self.drawn) {
            // As above.
            let _ = self.output.text("\r\x1b[K");
        }
    }
}

/// How often a line is written where none can be drawn again. Source: CLI page, section 1.
const LINE_INTERVAL: Duration = Duration::from_secs(10);

/// The parts of the line, the more important ones first.
fn line(live: &LiveView, since: &Sum, devices: usize, signs: Signs) -> Vec<String> {
    let seconds = since.elapsed.as_secs_f64().max(1e-3);
    let ack = match (live.ack_p50, live.ack_p99) {
        (Some(half), Some(most)) => {
            format!("ack p50 {} p99 {}", units::duration(half), units::duration(most))
        }
        _ => "ack -".to_owned(),
    };
    vec![
        format!("{}  {}/{devices} online", units::clock(jiff::Timestamp::now()), live.sessions),
        units::per_second(since.records as f64 / seconds, "records"),
        units::bytes_per_second(since.bytes as f64 / seconds),
        ack,
        toned("ledger adds up", live.ledger.adds_up(), signs),
        units::count(live.ledger.totals.gaps, "gap"),
    ]
}

/// The parts in one line: whole if there is room, else without what is said elsewhere, else as many as
/// fit from the left.
fn fitting(parts: &[String], width: usize) -> String {
    let whole = joined(parts);
    if shown_width(&whole) < width {
        return whole;
    }
    let shorter: Vec<String> = parts
        .iter()
        .map(|part| {
            let part = part.split_once("  ").map_or(part.as_str(), |(_clock, part)| part);
            part.replace(" adds up", "").replace(" does not add up", "")
        })
        .collect();
    let most =
        (1..=shorter.len()).rev().find(|most| shown_width(&joined(&shorter[..*most])) < width);
    joined(&shorter[..most.unwrap_or(0)])
}

fn joined(parts: &[String]) -> String {
    format!("  {}", parts.join(" · "))
}

fn shown_width(text: &str) -> usize {
    anstream::adapter::strip_str(text).to_string().chars().count()
}

fn toned(words: &str, it_does: bool, signs: Signs) -> String {
    let (colour, sign) = match it_does {
        true => (AnsiColor::Green, signs.good),
        false => (AnsiColor::Red, signs.bad),
    };
    let style = Style::new().fg_color(Some(colour.into()));
    let words = if it_does { words } else { "ledger does not add up" };
    format!("{style}{words} {sign}{style:#}")
}

/// Whether the ledger adds up, in words with its sign.
pub(super) fn adds_up(it_does: bool) -> String {
    toned("ledger adds up", it_does, Signs::of_locale())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::LedgerView;

    #[test]
    fn the_line_says_what_flows_and_loses_parts_from_the_right() {
        let live = LiveView {
            elapsed: Duration::from_secs(1),
            records: 47,
            bytes: 1_100,
            batches: 4,
            ack_p50: Some(Duration::from_micros(3_100)),
            ack_p99: Some(Duration::from_millis(31)),
            sessions: 1,
            ledger: LedgerView::default(),
        };
        let mut since = Sum::default();
        since.add(&live);
        let parts = line(&live, &since, 1, Signs::UTF8);
        let text = anstream::adapter::strip_str(&fitting(&parts, 120)).to_string();
        let expected = "1/1 online · 47 records/s · 1.1 kB/s · ack p50 3.1 ms p99 31 ms · ledger adds up ✓ · 0 gaps";
        assert!(text.ends_with(expected), "{text}");
        let text = anstream::adapter::strip_str(&fitting(&parts, 80)).to_string();
        let expected =
            "  1/1 online · 47 records/s · 1.1 kB/s · ack p50 3.1 ms p99 31 ms · ledger ✓";
        assert_eq!(text, expected);
        let text = anstream::adapter::strip_str(&fitting(&parts, 50)).to_string();
        assert!(text.ends_with("1.1 kB/s"), "{text}");
    }
}
