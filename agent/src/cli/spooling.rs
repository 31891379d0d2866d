//! `spool verify` and `spool export`.

use std::collections::BTreeMap;
use std::io::{BufWriter, Write};
use std::ops::ControlFlow;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use headwater_certs::identity::DeviceIdentity;
use headwater_protocol::identity::DeviceId;
use headwater_protocol::record::{Content, Part, SourceInfo};
use jiff::Timestamp;
use serde::Serialize;

use super::error::{CliError, Code};
use super::print;
use crate::config::Config;
use crate::spool::audit::{self, Held, PileReport, SpoolReport};

#[derive(Debug, Subcommand)]
pub(super) enum SpoolCommand {
    /// Read all of the spool of an agent that is stopped, and say whether it is whole: exit code 9 if not.
    Verify {
        /// One JSON document.
        #[arg(long)]
        json: bool,
    },
    /// Print what stands in a spool's file, one JSON object a line: also of one that is damaged or in use.
    Export(ExportArgs),
}

#[derive(Debug, Args)]
pub(super) struct ExportArgs {
    /// The file, such as one that was set aside; the spool's own if it is not given.
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    /// The device whose file it is, if that is not this host's.
    #[arg(long, value_name = "ID")]
    device: Option<DeviceId>,
}

pub(super) fn run(command: SpoolCommand, config: &Config) -> Result<(), CliError> {
    match command {
        SpoolCommand::Verify { json } => verify(config, json),
        SpoolCommand::Export(args) => export(args, config),
    }
}

fn verify(config: &Config, json: bool) -> Result<(), CliError> {
    let report = audit::verify(&config.spool.dir).map_err(|error| CliError::open(&error))?;
    if json {
        let document = serde_json::to_string(&report).expect("a report has an encoding");
        print(&format!("{document}\n"));
    } else {
        print(&page(&report));
    }
    if report.damage.is_empty() {
        return Ok(());
    }
    Err(CliError::new(Code::CheckFailed, "the spool is damaged")
        .line("where", report.file.display().to_string())
        .next("start the agent: it takes over what can be read, reads files again and declares the rest"))
}

fn page(report: &SpoolReport) -> String {
    let mut out = format!("spool  {}\n", report.file.display());
    let pile = |pile: PileReport| {
        format!("{} batches, {} records, {} bytes", pile.batches, pile.records, pile.bytes)
    };
    for lane in &report.lanes {
        out.push_str(&format!("{}\n", lane.lane));
        out.push_str(&format!("  unsent    {}\n", pile(lane.unsent)));
        out.push_str(&format!("  grace     {}\n", pile(lane.grace)));
        out.push_str(&format!("  archive   {}\n", pile(lane.archive)));
        out.push_str(&format!("  streams   {}\n", lane.streams));
        out.push_str(&format!("  compared  {} batches\n", lane.compared));
    }
    for damage in &report.damage {
        out.push_str(&format!("damaged  {damage}\n"));
    }
    for file in &report.set_aside {
        out.push_str(&format!("set aside  {}\n", file.display()));
    }
    if report.damage.is_empty() {
        out.push_str("whole: each batch is the one that was sealed\n");
    }
    out
}

fn export(args: ExportArgs, config: &Config) -> Result<(), CliError> {
    let file = args.file.unwrap_or_else(|| config.spool.dir.join("spool.redb"));
    let device = match args.device {
        Some(device) => device,
        None => {
            let identity = DeviceIdentity::load(&config.identity.dir).map_err(|error| {
                CliError::of(Code::NotAllowed, &error)
                    .next("name the device: headwater-agent spool export --device ID FILE")
            })?;
            DeviceId(identity.device().to_bytes())
        }
    };
    let mut out = BufWriter::new(std::io::stdout().lock());
    let mut count: u64 = 0;
    let read = audit::records(&file, device, |held| {
        count += 1;
        // Who closed the pipe has read enough.
        match write(&mut out, held) {
            Ok(()) => ControlFlow::Continue(()),
            Err(_) => ControlFlow::Break(()),
        }
    });
    let unproven = read.map_err(|error| {
        CliError::of(Code::Failed, &error).line("where", file.display().to_string())
    })?;
    // A closed pipe again.
    let _ = out.flush();
    let mut words = format!("{count} records of device {device}");
    if unproven > 0 {
        words.push_str(&format!(
            "; {unproven} batches are damaged, or hang on one that is not there"
        ));
    }
    if count == 0 {
        words.push_str("; is the file of another device? --device ID names it");
    }
    // Nobody reads a closed stderr.
    let _ = writeln!(anstream::stderr(), "{words}");
    Ok(())
}

/// A record as it is printed.
#[derive(Serialize)]
struct Row<'a> {
    lane: String,
    seq: u64,
    source: String,
    run: u64,
    position: u64,
    time: String,
    #[serde(flatten)]
    content: RowContent<'a>,
}

#[derive(Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum RowContent<'a> {
    Line { part: &'static str, body: Body<'a> },
    Sample { metric: &'a str, labels: BTreeMap<&'a str, &'a str>, scaled: i64, scale: u8 },
    Facts { facts: &'a BTreeMap<String, String> },
    Gap { cause: &'static str, records: u64, bytes: u64 },
}

/// A line's bytes: text where they are, else numbers.
#[derive(Serialize)]
#[serde(untagged)]
enum Body<'a> {
    Text(&'a str),
    Bytes(&'a [u8]),
}

fn write(out: &mut impl Write, held: &Held) -> std::io::Result<()> {
    let record = &held.record;
    let row = |content| Row {
        lane: held.lane.to_string(),
        seq: held.seq,
        source: held.source.as_ref().map_or_else(|| record.stream.source.to_string(), word),
        run: record.stream.run.number,
        position: record.start,
        time: Timestamp::from_microsecond(record.time_us)
            .map_or_else(|_| record.time_us.to_string(), |time| time.to_string()),
        content,
    };
    let mut line = |content| {
        serde_json::to_writer(&mut *out, &row(content))?;
        out.write_all(b"\n")
    };
    match &record.content {
        Content::Event(event) => {
            let text = std::str::from_utf8(&event.body);
            let body = text.map_or(Body::Bytes(&event.body), Body::Text);
            line(RowContent::Line { part: part(event.part), body })
        }
        Content::Tick(tick) => tick.iter().try_for_each(|sample| {
            let series = sample.series;
            let labels = series.labels.iter().map(|(key, value)| (key.as_str(), value.as_str()));
            let labels = labels.collect();
            let (metric, scaled, scale) = (series.metric.as_str(), sample.value, series.scale);
            line(RowContent::Sample { metric, labels, scaled, scale })
        }),
        Content::Facts(facts) => line(RowContent::Facts { facts }),
        Content::Gap(gap) => {
            let (cause, records, bytes) = (gap.cause.word(), gap.records, gap.bytes);
            line(RowContent::Gap { cause, records, bytes })
        }
    }
}

fn word(info: &SourceInfo) -> String {
    match info {
        SourceInfo::Host => "host".to_owned(),
        SourceInfo::Device => "device".to_owned(),
        SourceInfo::File { path, .. } => String::from_utf8_lossy(path).into_owned(),
    }
}

fn part(part: Part) -> &'static str {
    match part {
        Part::Whole => "whole",
        Part::WholeCrLf => "whole-crlf",
        Part::Continued => "continued",
        Part::Unended => "unended",
    }
}
