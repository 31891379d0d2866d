//! `headwater tap`: what the fold applies, as it applies it.

use std::collections::BTreeMap;

use super::logs::{body, file_name};
use crate::api::rows::{BatchRow, TapRow};
use crate::cli::args::Tap;
use crate::cli::client::{Client, encoded};
use crate::cli::failure::Failure;
use crate::cli::output::escape::{visible, visible_bytes};
use crate::cli::output::table::Tone;
use crate::cli::output::{Format, Output, units};

/// Shows lines until the user has seen enough.
///
/// # Errors
/// What the aggregator says, or that it can't be reached.
pub(crate) async fn run(client: &Client, output: &Output, args: &Tap) -> Result<(), Failure> {
    let mut path = format!("/api/v1/tap?rate={}&raw={}", args.rate, args.raw);
    if let Some(what) = args.what {
        path.push_str(&format!("&what={}", what.word()));
    }
    for (key, value) in &args.conditions {
        path.push_str(&format!("&where={}", encoded(&format!("{key}:{value}"))));
    }
    let mut lines = client.lines(&path).await?;
    if args.raw && matches!(output.format, Format::Human | Format::Plain) {
        output.text(&raw_head(output))?;
    }
    while let Some(row) = lines.next::<TapRow>().await? {
        if let TapRow::Skipped { lines } = row {
            output.note(&format!("… {} lines not shown", units::grouped(lines)));
            continue;
        }
        match output.format {
            Format::Json | Format::Ndjson => output.line(&row)?,
            Format::Human => output.text(&(text(&row, " ", output)? + "\n"))?,
            Format::Plain => output.text(&(text(&row, "\t", output)? + "\n"))?,
        }
    }
    Ok(())
}

/// A line, harmless for a terminal.
fn text(row: &TapRow, between: &str, output: &Output) -> Result<String, Failure> {
    let cells = match row {
        TapRow::Sample(sample) => vec![
            units::time_to_second(sample.time.0),
            visible(&sample.device),
            visible(&format!("{}{}", sample.metric, dimensions(&sample.labels))),
            units::decimal(sample.scaled, sample.scale),
        ],
        TapRow::Line(line) => vec![
            units::time_to_second(line.time.0),
            visible(&line.device),
            visible(file_name(&line.path)),
            visible_bytes(&body(line)?),
        ],
        TapRow::Gap(gap) => vec![
            units::time_to_second(gap.time.0),
            visible(&gap.device),
            toned(&format!("gap {}", gap.cause), Tone::Warn),
            visible(&gap.source),
            format!("{} records, {} bytes", units::grouped(gap.records), units::grouped(gap.bytes)),
        ],
        TapRow::Facts { time, device, facts } => vec![
            units::time_to_second(time.0),
            visible(device),
            "facts".to_owned(),
            visible(&dimensions(facts)),
        ],
        TapRow::Batch(batch) => return Ok(raw(batch, output)),
        TapRow::Skipped { .. } => Vec::new(),
    };
    Ok(cells.join(between))
}

/// The columns of `--raw`, and how wide they are for people.
const RAW_HEAD: [(&str, usize); 10] = [
    ("TIME", 9),
    ("DEVICE", 16),
    ("LANE", 4),
    ("EPOCH", 8),
    ("SEQ", 7),
    ("SHARD/OFFSET", 12),
    ("RECORDS", 7),
    ("BYTES", 8),
    ("RATIO", 6),
    ("VERDICT", 0),
];

fn raw_head(output: &Output) -> String {
    let bold = anstyle::Style::new().bold();
    let names = RAW_HEAD.map(|(name, _)| name.to_owned());
    match output.is_human() {
        true => format!("{bold}{}{bold:#}\n", padded(&names)),
        false => names.join("\t") + "\n",
    }
}

/// Cells at their places; one that is too wide moves the others, and is not cut.
fn padded(cells: &[String]) -> String {
    let cells = cells.iter().zip(RAW_HEAD);
    let cells: Vec<String> = cells.map(|(cell, (_, width))| format!("{cell:<width$}")).collect();
    cells.join(" ")
}

fn raw(batch: &BatchRow, output: &Output) -> String {
    let ratio = batch.unpacked_bytes as f64 / batch.packed_bytes.max(1) as f64;
    let tone = if batch.verdict == "applied" { Tone::Good } else { Tone::Warn };
    let time = units::time_to_second(batch.time.0);
    let mut cells = [
        time.get(11..).unwrap_or(&time).to_owned(),
        visible(&batch.device),
        batch.lane.clone(),
        visible(&batch.epoch),
        batch.seq.to_string(),
        format!("{}/{}", batch.shard, batch.offset),
        units::grouped(batch.records),
        units::bytes(batch.bytes),
        format!("{ratio:.1}x"),
        toned(&batch.verdict, tone),
    ];
    if output.is_human() {
        return padded(&cells);
    }
    cells[0] = units::time(batch.time.0);
    cells[6] = batch.records.to_string();
    cells[7] = batch.bytes.to_string();
    cells.join("\t")
}

fn toned(text: &str, tone: Tone) -> String {
    let style = tone.style();
    format!("{style}{}{style:#}", visible(text))
}

fn dimensions(labels: &BTreeMap<String, String>) -> String {
    if labels.is_empty() {
        return String::new();
    }
    let pairs: Vec<String> = labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    format!("{{{}}}", pairs.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::rows::{Moment, SampleRow};

    #[test]
    fn a_sample_reads_time_device_metric_value() {
        let labels = BTreeMap::from([("mount".to_owned(), "/\x1b[0m".to_owned())]);
        let row = TapRow::Sample(SampleRow {
            time: Moment(0),
            device: "edge-1".to_owned(),
            metric: "disk.used_ratio".to_owned(),
            labels,
            scaled: 9712,
            scale: 4,
        });
        let output = Output {
            format: Format::Human,
            wide: false,
            columns: Vec::new(),
            quiet: false,
            verbose: 0,
        };
        let text = text(&row, " ", &output).unwrap();
        let expected = "1970-01-01T00:00:00Z edge-1 disk.used_ratio{mount=/\\x1b[0m} 0.9712";
        assert_eq!(text, expected);
    }
}
