//! The words of the command line.

mod moment;

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Args as ClapArgs, Parser, Subcommand, ValueEnum};

use super::help;
use crate::window::Quantile;

/// The command line of `headwater`.
#[derive(Debug, Parser)]
#[command(
    name = "headwater",
    about = "Fleet telemetry that can prove it lost nothing.",
    before_long_help = help::HEADWATER,
    disable_version_flag = true,
    disable_help_subcommand = true,
    max_term_width = 100
)]
pub struct Args {
    /// What holds for every command.
    #[command(flatten)]
    pub global: Global,
    /// What to do; `None` prints the short help.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// Flags that every command takes.
#[derive(ClapArgs, Debug)]
#[command(next_help_heading = "For every command")]
pub struct Global {
    /// Configuration of the aggregator
    #[arg(short, long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Local socket of an aggregator, or HEADWATER_SERVER [default: the one in its data folder]
    #[arg(long, global = true, value_name = "SOCKET", env = "HEADWATER_SERVER", hide_env = true)]
    pub server: Option<PathBuf>,
    /// One JSON document
    #[arg(long, global = true, conflicts_with = "ndjson")]
    pub json: bool,
    /// A JSON document per line
    #[arg(long, global = true)]
    pub ndjson: bool,
    /// Columns of tables, keys of JSON rows
    #[arg(long, global = true, value_name = "A,B", value_delimiter = ',')]
    pub columns: Vec<String>,
    /// All columns, however wide the terminal is
    #[arg(long, global = true)]
    pub wide: bool,
    /// Colours
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub color: Color,
    /// The same as --color never; NO_COLOR says so too
    #[arg(long, global = true)]
    pub no_color: bool,
    /// Say nothing but errors
    #[arg(short, long, global = true)]
    pub quiet: bool,
    /// Say more; twice for even more
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub verbose: u8,
    /// Longest wait for an answer
    #[arg(long, global = true, value_name = "TIME", default_value = "30s", value_parser = span)]
    pub timeout: Duration,
    /// Answer every question with yes
    #[arg(long, global = true)]
    pub yes: bool,
    /// Version of this build
    #[arg(short = 'V', long)]
    pub version: bool,
}

/// When to use colours.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum Color {
    /// On terminals that have them.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// A command.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run everything on this host: aggregator, a real agent, live figures
    #[command(before_long_help = help::UP)]
    Up(Up),
    /// Make the authority and the log of a new aggregator
    #[command(before_long_help = help::INIT)]
    Init(Init),
    /// Run the aggregator
    #[command(before_long_help = help::SERVE)]
    Serve,
    /// Invite devices: make, list and revoke join tokens
    #[command(before_long_help = help::TOKENS)]
    Tokens {
        /// What to do with them.
        #[command(subcommand)]
        command: Tokens,
    },
    /// List the devices and what is known of each
    #[command(before_long_help = help::DEVICES)]
    Devices {
        /// What to do with them; `None` lists them.
        #[command(subcommand)]
        command: Option<Devices>,
    },
    /// Show one device
    #[command(before_long_help = help::DEVICE)]
    Device(Named),
    /// Watch what the fold applies, as it applies it
    #[command(before_long_help = help::TAP)]
    Tap(Tap),
    /// Read log lines back, byte for byte
    #[command(before_long_help = help::LOGS)]
    Logs(Logs),
    /// Write out what was collected, as it was
    #[command(before_long_help = help::EXPORT)]
    Export {
        /// What to write out.
        #[command(subcommand)]
        command: Export,
    },
    /// Averages of a metric by labels, with how many devices and samples stand behind each
    #[command(before_long_help = help::EXPLORE)]
    Explore(Explore),
    /// Alerts that fire, and those that may come
    #[command(before_long_help = help::ALERTS)]
    Alerts {
        /// What to do with them; `None` lists them.
        #[command(subcommand)]
        command: Option<Alerts>,
        /// Also those that are over
        #[arg(long)]
        all: bool,
    },
    /// Who is told of alerts, and how far each is
    #[command(before_long_help = help::NOTICES)]
    Notices {
        /// What to do with them; `None` lists them.
        #[command(subcommand)]
        command: Option<Notices>,
    },
    /// What is an alert: list thresholds, apply a file of them
    #[command(before_long_help = help::THRESHOLDS)]
    Thresholds {
        /// What to do with them; `None` lists them.
        #[command(subcommand)]
        command: Option<Thresholds>,
    },
    /// Where goes what was applied, and how far each sink is
    #[command(before_long_help = help::SINKS)]
    Sinks {
        /// What to do with them; `None` lists them.
        #[command(subcommand)]
        command: Option<Sinks>,
    },
    /// SQL over every row that was applied: files of the history, and what is in none yet
    #[command(before_long_help = help::SQL)]
    Sql(Sql),
    /// What was read, what is stored, what is missing and why
    #[command(before_long_help = help::LEDGER)]
    Ledger {
        /// What to ask it; `None` shows it.
        #[command(subcommand)]
        command: Option<Ledger>,
    },
    /// Copy all that an aggregator can't do without into a folder, while it runs or while it is stopped
    #[command(before_long_help = help::BACKUP)]
    Backup(Backup),
    /// Put a backup in the place of a data folder, or check that it could be
    #[command(before_long_help = help::RESTORE)]
    Restore(Restore),
    /// Find what is in the way of this host's aggregator, and what mends it: exit code 9 if something is
    #[command(before_long_help = help::DOCTOR)]
    Doctor,
    /// Print the console's address with a fresh one-time link
    #[command(before_long_help = help::CONSOLE)]
    Console,
    /// Version of this build, and the protocols that it speaks
    Version,
}

/// `headwater up`.
#[derive(ClapArgs, Debug)]
pub struct Up {
    /// Folder that holds everything; made if it is not there
    #[arg(long, value_name = "DIR", default_value = "./headwater-data")]
    pub dir: PathBuf,
    /// Address to listen on; other hosts can enrol only where they reach it
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1")]
    pub listen: std::net::IpAddr,
}

/// `headwater init`.
#[derive(ClapArgs, Debug)]
pub struct Init {
    /// Data folder [default: node.data_dir of the configuration]
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
}

/// `headwater tokens`.
#[derive(Debug, Subcommand)]
pub enum Tokens {
    /// Make a join token; it is shown once
    Create {
        /// Devices that may join with it
        #[arg(long, default_value = "1")]
        uses: std::num::NonZeroU32,
        /// How long it can be used [default: intake.enrol.token_life, 24h]
        #[arg(long, value_name = "TIME", value_parser = span)]
        life: Option<Duration>,
    },
    /// List the tokens; secrets are not known here
    Ls,
    /// Make a token useless at once
    Revoke {
        /// Id of the token, or its first digits
        #[arg(value_name = "ID")]
        id: String,
    },
}

/// `headwater devices`.
#[derive(Debug, Subcommand)]
pub enum Devices {
    /// List them
    Ls,
    /// Show one, as `headwater device NAME` does
    Show(Named),
    /// Refuse one from now on, and close its session at once
    Revoke(Named),
    /// Serve one again that is marked as cloned, once only one host uses its identity
    Restore(Named),
}

/// A device, by name or id.
#[derive(ClapArgs, Debug)]
pub struct Named {
    /// Name or id of the device
    #[arg(value_name = "NAME")]
    pub name: String,
}

/// `headwater tap`.
#[derive(ClapArgs, Debug)]
pub struct Tap {
    /// What to watch
    #[arg(value_name = "WHAT")]
    pub what: Option<TapWhat>,
    /// Batches instead of records: lane, epoch, seq, offset, bytes, ratio, verdict
    #[arg(long, conflicts_with = "what")]
    pub raw: bool,
    /// Lines per second, at most; the others are counted
    #[arg(long, value_name = "N", default_value = "50")]
    pub rate: std::num::NonZeroU32,
    /// Only what fits: device, metric, source, lane, or a label of the device
    #[arg(long = "where", value_name = "KEY:VALUE", value_parser = condition)]
    pub conditions: Vec<(String, String)>,
}

/// What `tap` shows.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum TapWhat {
    /// Samples.
    Metrics,
    /// Lines of logs.
    Logs,
    /// Gaps and facts of devices.
    Events,
}

impl TapWhat {
    /// The word of the command line and of the API.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Metrics => "metrics",
            Self::Logs => "logs",
            Self::Events => "events",
        }
    }
}

/// `headwater logs`.
#[derive(ClapArgs, Debug)]
pub struct Logs {
    /// Name or id of a device [default: all]
    #[arg(value_name = "DEVICE")]
    pub device: Option<String>,
    /// Go on with lines as they are applied
    #[arg(short, long)]
    pub follow: bool,
    /// Only files with this path
    #[arg(long, value_name = "PATH")]
    pub source: Option<String>,
    /// Only the last lines
    #[arg(long, value_name = "N")]
    pub last: Option<u64>,
    /// Only lines from this time on: RFC 3339, a date, or how long ago, such as 2h
    #[arg(long, value_name = "TIME", value_parser = moment::moment)]
    pub from: Option<i64>,
    /// Only lines before this time
    #[arg(long, value_name = "TIME", value_parser = moment::moment, conflicts_with = "follow")]
    pub to: Option<i64>,
    /// Only lines that hold this text
    #[arg(long, value_name = "TEXT")]
    pub contains: Option<String>,
}

/// `headwater export`.
#[derive(Debug, Subcommand)]
pub enum Export {
    /// Put a log file together again, byte for byte as it was read: exit code 8 if something of it is not there
    #[command(before_long_help = help::EXPORT)]
    File(ExportFile),
}

/// `headwater export file`.
#[derive(ClapArgs, Debug)]
pub struct ExportFile {
    /// Name or id of the device
    #[arg(value_name = "DEVICE")]
    pub device: String,
    /// Path of the file, when it was first read
    #[arg(value_name = "PATH")]
    pub path: String,
    /// Only lines from this time on: RFC 3339, a date, or how long ago, such as 2h
    #[arg(long, value_name = "TIME", value_parser = moment::moment)]
    pub from: Option<i64>,
    /// Only lines before this time
    #[arg(long, value_name = "TIME", value_parser = moment::moment)]
    pub to: Option<i64>,
    /// Only this run of the path, counted from 1; without, all of them one behind the other. A run is what began as a new file:
    /// after a rotation, a truncation, a deletion
    #[arg(long, value_name = "N")]
    pub run: Option<std::num::NonZeroU32>,
    /// A file to write to, in place of standard output; it may not be there
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Replace the file that is there
    #[arg(long, requires = "output")]
    pub force: bool,
}

/// `headwater explore`.
#[derive(ClapArgs, Debug)]
pub struct Explore {
    /// The metric, such as cpu.busy_ratio
    #[arg(value_name = "METRIC")]
    pub metric: String,
    /// Labels to average by; window.combinations of the aggregator says which are kept
    #[arg(long, value_name = "LABEL,…", value_delimiter = ',', default_value = "device")]
    pub by: Vec<String>,
    /// Windows of the last so much time
    #[arg(long, value_name = "TIME", default_value = "15m", value_parser = span)]
    pub last: Duration,
    /// Also quantiles, within 1 %; p50,p95,p99 if none are named. window.quantiles of the aggregator says by which labels they are
    /// kept
    #[arg(
        long, value_name = "pN,…", value_delimiter = ',', num_args = 0..=1,
        default_missing_value = "p50,p95,p99"
    )]
    pub quantiles: Vec<Quantile>,
    /// Each window by itself
    #[arg(long)]
    pub windows: bool,
}

/// `headwater alerts`.
#[derive(Clone, Copy, Debug, Subcommand)]
pub enum Alerts {
    /// List them
    Ls {
        /// Also those that are over
        #[arg(long)]
        all: bool,
    },
}

/// `headwater notices`.
#[derive(Clone, Copy, Debug, Subcommand)]
pub enum Notices {
    /// List the destinations
    Ls,
}

/// `headwater thresholds`.
#[derive(Debug, Subcommand)]
pub enum Thresholds {
    /// List them, and what each does at present
    Ls,
    /// Apply a file: it holds every threshold of its owner
    Apply(Apply),
}

/// `headwater thresholds apply`.
#[derive(ClapArgs, Debug)]
pub struct Apply {
    /// The file
    #[arg(short, long, value_name = "FILE")]
    pub file: PathBuf,
    /// Only read the file and name its mistakes; asks no aggregator
    #[arg(long)]
    pub validate_only: bool,
    /// Only say what would change
    #[arg(long, conflicts_with = "validate_only")]
    pub dry_run: bool,
    /// Remove thresholds of the same owner that the file does not have
    #[arg(long)]
    pub prune: bool,
    /// What for
    #[arg(short, long, value_name = "TEXT")]
    pub message: Option<String>,
}

/// `headwater sinks`.
#[derive(Debug, Subcommand)]
pub enum Sinks {
    /// How each is
    Status,
    /// Stop a sink until it is resumed, also over a restart; no other sink waits for it
    Pause(SinkName),
    /// Let a sink go on where it stood
    Resume(SinkName),
}

/// A sink, by name.
#[derive(ClapArgs, Debug)]
pub struct SinkName {
    /// Name of the sink
    #[arg(value_name = "NAME")]
    pub name: String,
}

/// `headwater sql`.
#[derive(ClapArgs, Debug)]
pub struct Sql {
    /// One SELECT, EXPLAIN, SHOW or DESCRIBE; - reads it from standard input
    #[arg(value_name = "QUERY")]
    pub query: String,
    /// RFC 4180, with a line of names
    #[arg(long, conflicts_with_all = ["json", "ndjson"])]
    pub csv: bool,
    /// A stream of Arrow's IPC
    #[arg(long, conflicts_with_all = ["json", "ndjson", "csv"])]
    pub arrow: bool,
    /// Rows that are printed, at most; 0 for all [default: 10000]
    #[arg(long, value_name = "N")]
    pub limit: Option<u64>,
    /// Memory that the query may take [default: 512MiB]
    #[arg(long, value_name = "BYTES")]
    pub memory: Option<String>,
    /// Bytes of rows that are in no file yet, at most [default: 256MiB]
    #[arg(long, value_name = "BYTES")]
    pub rest: Option<String>,
}

/// `headwater ledger`.
#[derive(Debug, Subcommand)]
pub enum Ledger {
    /// Show what it says of one device, or of all
    Show(Audited),
    /// Read the log again and compare: exit code 9 if anything is missing or repeated
    Verify(Audited),
}

/// The devices that a question to the ledger is about.
#[derive(ClapArgs, Debug)]
pub struct Audited {
    /// Name or id of a device [default: all]
    #[arg(value_name = "DEVICE", conflicts_with = "all")]
    pub device: Option<String>,
    /// All devices
    #[arg(long)]
    pub all: bool,
    /// List each gap
    #[arg(long)]
    pub gaps: bool,
}

/// `headwater backup`.
#[derive(ClapArgs, Debug)]
pub struct Backup {
    /// Folder of the backup: new, or empty
    #[arg(value_name = "DIR")]
    pub backup: PathBuf,
}

/// `headwater restore`.
#[derive(ClapArgs, Debug)]
pub struct Restore {
    /// Folder of the backup
    #[arg(value_name = "DIR")]
    pub backup: PathBuf,
    /// Only check it: every file is as it was, and the log can be replayed. Exit code 9 if not
    #[arg(long, conflicts_with = "into")]
    pub verify: bool,
    /// Data folder, which holds no data yet [default: node.data_dir of the configuration]
    #[arg(long, value_name = "DATA")]
    pub into: Option<PathBuf>,
}

/// A span of time such as `30s` or `24h`.
fn span(text: &str) -> Result<Duration, String> {
    let expected = || format!("expected a time such as 500ms, 30s, 10m, 24h or 7d, not {text:?}");
    let digits = text.find(|letter: char| !letter.is_ascii_digit()).ok_or_else(expected)?;
    let number: u64 = text[..digits].parse().map_err(|_| expected())?;
    let unit_ms = match &text[digits..] {
        "ms" => 1,
        "s" => 1_000,
        "m" | "min" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err(expected()),
    };
    number.checked_mul(unit_ms).map(Duration::from_millis).ok_or_else(expected)
}

/// A condition such as `site:osl-1`.
fn condition(text: &str) -> Result<(String, String), String> {
    match text.split_once(':') {
        Some((key, value)) if !key.is_empty() && !value.is_empty() => {
            Ok((key.to_owned(), value.to_owned()))
        }
        _ => Err("expected KEY:VALUE, such as site:osl-1 or metric:cpu.busy_ratio".to_owned()),
    }
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
    fn spans_have_a_number_and_a_unit() {
        assert_eq!(span("24h"), Ok(Duration::from_secs(86_400)));
        assert_eq!(span("500ms"), Ok(Duration::from_millis(500)));
        for wrong in ["", "24", "h", "1.5h", "-1s", "99999999999999999999d", "1w"] {
            assert!(span(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn conditions_have_a_key_and_a_value() {
        let pair = ("a".to_owned(), "b:c".to_owned());
        assert_eq!(condition("a:b:c"), Ok(pair));
        assert!(condition("a").is_err() && condition(":b").is_err() && condition("a:").is_err());
    }
}
