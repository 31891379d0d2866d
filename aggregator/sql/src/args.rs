//! The words of the command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, ValueEnum};

const EXAMPLES: &str = "\
Examples:
  headwater-sql --history /var/lib/headwater/history \"SELECT count(*) FROM events\"
  headwater-sql --history H --socket /var/lib/headwater/headwater.sock --format csv - < query.sql

headwater sql runs it with both paths filled in.";

/// The command line of `headwater-sql`.
#[derive(Debug, Parser)]
#[command(
    name = "headwater-sql",
    about = "SQL over the history of an aggregator: its files, and the rows that are in none yet.",
    before_long_help = EXAMPLES,
    version,
    max_term_width = 100
)]
pub(crate) struct Args {
    /// One SELECT, EXPLAIN, SHOW or DESCRIBE; - reads it from standard input
    #[arg(value_name = "QUERY", allow_hyphen_values = true)]
    pub(crate) query: String,
    /// Folder of the files [default: what the aggregator says]
    #[arg(long, value_name = "DIR")]
    pub(crate) history: Option<PathBuf>,
    /// Local socket of the aggregator, for the rows that are in no file yet; files alone without
    #[arg(long, value_name = "SOCKET")]
    pub(crate) socket: Option<PathBuf>,
    /// How rows are printed
    #[arg(long, value_enum, default_value = "plain")]
    pub(crate) format: Format,
    /// Rows that are printed, at most; 0 for all
    #[arg(long, value_name = "N", default_value = "10000")]
    pub(crate) limit: usize,
    /// Memory that the query may take
    #[arg(long, value_name = "BYTES", default_value = "512MiB", value_parser = bytes)]
    pub(crate) memory: u64,
    /// Time that the query may take
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = span)]
    pub(crate) timeout: Duration,
    /// Bytes of rows that are in no file yet, at most; the aggregator has a limit of its own
    #[arg(long, value_name = "BYTES", default_value = "256MiB", value_parser = bytes)]
    pub(crate) rest: u64,
    /// All columns, and cells as long as they are
    #[arg(long)]
    pub(crate) wide: bool,
    /// Say nothing but errors and what is left out
    #[arg(short, long)]
    pub(crate) quiet: bool,
}

/// How rows are printed.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum Format {
    /// A table for people.
    Human,
    /// Cells separated by tabs, whole, with a line of names.
    Plain,
    /// One JSON document: a list of objects.
    Json,
    /// An object in each line.
    Ndjson,
    /// RFC 4180, with a line of names.
    Csv,
    /// A stream of Arrow's IPC.
    Arrow,
}

/// A span of time such as `30s` or `1h`.
fn span(text: &str) -> Result<Duration, String> {
    let expected = || format!("expected a time such as 500ms, 30s, 10m or 1h, not {text:?}");
    let (number, unit) = number_and_unit(text).ok_or_else(expected)?;
    let unit_ms = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" | "min" => 60_000,
        "h" => 3_600_000,
        _ => return Err(expected()),
    };
    let ms = number.checked_mul(unit_ms).filter(|ms| (1..=SPAN_MAX_MS).contains(ms));
    ms.map(Duration::from_millis).ok_or_else(|| format!("expected at most 24h, not {text:?}"))
}

/// A day: whoever needs more has an engine of their own to read the files with.
const SPAN_MAX_MS: u64 = 86_400_000;

/// A size such as `512MiB`.
fn bytes(text: &str) -> Result<u64, String> {
    let expected = || format!("expected a size such as 64MiB or 2GiB, not {text:?}");
    let (number, unit) = number_and_unit(text).ok_or_else(expected)?;
    let unit: u64 = match unit {
        "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return Err(expected()),
    };
    number.checked_mul(unit).filter(|bytes| *bytes <= 1 << 40).ok_or_else(expected)
}

fn number_and_unit(text: &str) -> Option<(u64, &str)> {
    let digits = text.find(|letter: char| !letter.is_ascii_digit())?;
    Some((text[..digits].parse().ok()?, &text[digits..]))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_grammar_holds_together() {
        Args::command().debug_assert();
    }

    #[test]
    fn sizes_and_spans_have_a_number_and_a_unit() {
        assert_eq!(bytes("512MiB"), Ok(512 << 20));
        assert_eq!(span("30s"), Ok(Duration::from_secs(30)));
        for wrong in ["", "5", "MiB", "1.5GiB", "9999999999999GiB", "-1MiB", "25h", "0s"] {
            assert!(bytes(wrong).is_err() && span(wrong).is_err(), "{wrong}");
        }
    }
}
