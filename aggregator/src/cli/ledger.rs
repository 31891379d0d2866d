//! `headwater ledger`: what was read, what is stored, what is missing and why.

mod verify;

use super::args::{Audited, Ledger};
use super::client::{Client, encoded};
use super::failure::Failure;
use super::look::devices::adds_up;
use super::output::escape::visible;
use super::output::table::{Cell, Side, Table};
use super::output::{Output, Signs, units};
use crate::api::rows::{GapRow, LaneRow, LedgerRow, NodeRow, Totals};

/// Shows the ledger, or verifies it.
///
/// # Errors
/// What the aggregator says, that it can't be reached, or that the audit says no.
pub(crate) async fn run(client: &Client, output: &Output, command: Ledger) -> Result<(), Failure> {
    match command {
        Ledger::Verify(audited) => verify::run(client, output, &audited).await,
        Ledger::Show(Audited { device: None, gaps, .. }) => all(client, output, gaps).await,
        Ledger::Show(Audited { device: Some(device), gaps, .. }) => {
            let path =
                format!("/api/v1/ledger/{}?gaps={}", encoded(&device), output.is_human() || gaps);
            let row: LedgerRow = client.get(&path).await?;
            if output.is_json() { output.document(&row) } else { one(output, &row, gaps) }
        }
    }
}

async fn all(client: &Client, output: &Output, gaps: bool) -> Result<(), Failure> {
    let rows: Vec<LedgerRow> = client.get(&format!("/api/v1/ledger?gaps={gaps}")).await?;
    let mut table = Table::new(&[
        ("device", Side::Left),
        ("ledger", Side::Left),
        ("read", Side::Right),
        ("applied", Side::Right),
        ("gaps", Side::Right),
        ("gap_records", Side::Right),
        ("gap_bytes", Side::Right),
        ("batches", Side::Right),
        ("duplicates", Side::Right),
        ("stale", Side::Right),
        ("forks", Side::Right),
    ]);
    for row in &rows {
        let totals = row.totals;
        table.row([
            row.device.as_str().into(),
            adds_up(totals.adds_up),
            Cell::number(totals.records_read),
            Cell::number(totals.records_applied),
            Cell::number(totals.gaps),
            Cell::number(totals.gap_records),
            Cell::number(totals.gap_bytes),
            Cell::number(totals.batches),
            Cell::number(totals.duplicates),
            Cell::number(totals.stale),
            Cell::number(totals.forks),
        ]);
    }
    output.rows(&rows, table)?;
    if output.is_human() {
        let gap_list: Vec<GapRow> = rows.iter().flat_map(|row| row.gap_list.clone()).collect();
        if !gap_list.is_empty() {
            output.text("\n")?;
            output.table(gap_table(&gap_list))?;
        }
        let node: NodeRow = client.get("/api/v1/node").await?;
        if let Some(restored) = node.restored {
            output.note(&format!(
                "restored {} from a backup of {}: what came in between came again from the agents' spools, or is a gap",
                units::time_to_second(restored.at.0),
                units::time_to_second(restored.backup.0),
            ));
        }
        output.note("next: headwater ledger show DEVICE, or headwater ledger verify --all");
    }
    Ok(())
}

/// Programs get the lanes as one table; people get a paragraph for each.
fn one(output: &Output, row: &LedgerRow, gaps: bool) -> Result<(), Failure> {
    if !output.is_human() {
        return output.table(if gaps { gap_table(&row.gap_list) } else { lane_table(&row.lanes) });
    }
    let bold = anstyle::Style::new().bold();
    let name = visible(&row.device);
    output.text(&format!("{bold}{name}{bold:#}  {}  shard {}\n", row.id, row.shard))?;
    output.text(&format!("{}\n", sum(&row.totals)))?;
    output
        .text("what its spool still holds is known to the agent alone: headwater-agent status\n")?;
    for lane in &row.lanes {
        output.text(&paragraph(lane))?;
        output.table(stream_table(lane))?;
    }
    if !row.gap_list.is_empty() {
        output.text(&format!("\n{bold}gaps{bold:#}\n"))?;
        output.table(gap_table(&row.gap_list))?;
    }
    output.note(&format!("\nnext: headwater ledger verify {name}"));
    Ok(())
}

/// `read = applied + gaps`, in numbers.
fn sum(totals: &Totals) -> String {
    let signs = Signs::of_locale();
    format!(
        "read {} = applied {} + {} in {} {}{}",
        units::grouped(totals.records_read),
        units::grouped(totals.records_applied),
        units::grouped(totals.gap_records),
        units::count(totals.gaps, "gap"),
        if totals.adds_up { signs.good } else { signs.bad },
        match totals.gap_bytes {
            0 => String::new(),
            bytes => format!(" {} {} gone before they were read", signs.dot, units::bytes(bytes)),
        },
    )
}

fn paragraph(lane: &LaneRow) -> String {
    let bold = anstyle::Style::new().bold();
    let (totals, receipt) = (&lane.totals, &lane.receipt);
    let head = format!(
        "\n{bold}lane {}{bold:#}  epoch {}…  seq {}  digest {}…\n",
        lane.lane,
        short(&lane.epoch),
        units::grouped(lane.seq),
        short(&lane.digest),
    );
    let mut text = head;
    text.push_str(&format!(
        "  receipt   generation {}  shard {}  offset {}\n",
        receipt.generation,
        receipt.shard,
        units::grouped(receipt.offset),
    ));
    text.push_str(&format!("  totals    {}\n", sum(totals)));
    text.push_str(&format!(
        "  batches   {} applied, {} duplicate, {} stale, {} fork, {} ahead, in {}\n",
        units::grouped(totals.batches),
        units::grouped(totals.duplicates),
        units::grouped(totals.stale),
        units::grouped(totals.forks),
        units::grouped(totals.ahead),
        units::count(lane.epochs, "epoch"),
    ));
    text
}

/// The first digits of a long number, enough to tell it from others.
fn short(hex: &str) -> &str {
    hex.get(..8).unwrap_or(hex)
}

fn lane_table(lanes: &[LaneRow]) -> Table {
    let mut table = Table::new(&[
        ("lane", Side::Left),
        ("epoch", Side::Left),
        ("seq", Side::Right),
        ("digest", Side::Left),
        ("generation", Side::Right),
        ("offset", Side::Right),
        ("read", Side::Right),
        ("applied", Side::Right),
        ("gaps", Side::Right),
        ("gap_records", Side::Right),
        ("duplicates", Side::Right),
        ("stale", Side::Right),
        ("forks", Side::Right),
    ]);
    for lane in lanes {
        table.row([
            lane.lane.as_str().into(),
            lane.epoch.as_str().into(),
            Cell::number(lane.seq),
            lane.digest.as_str().into(),
            Cell::number(lane.receipt.generation),
            Cell::number(lane.receipt.offset),
            Cell::number(lane.totals.records_read),
            Cell::number(lane.totals.records_applied),
            Cell::number(lane.totals.gaps),
            Cell::number(lane.totals.gap_records),
            Cell::number(lane.totals.duplicates),
            Cell::number(lane.totals.stale),
            Cell::number(lane.totals.forks),
        ]);
    }
    table
}

fn stream_table(lane: &LaneRow) -> Table {
    let mut table = Table::new(&[
        ("source", Side::Left),
        ("run", Side::Right),
        ("position", Side::Right),
        ("records", Side::Right),
    ]);
    for stream in &lane.streams {
        table.row([
            stream.source.as_deref().unwrap_or(&stream.source_id).into(),
            stream.run.to_string().into(),
            Cell::number(stream.position),
            Cell::number(stream.records),
        ]);
    }
    table
}

/// Each gap, in the order of the log.
fn gap_table(gaps: &[GapRow]) -> Table {
    let mut table = Table::new(&[
        ("device", Side::Left),
        ("lane", Side::Left),
        ("cause", Side::Left),
        ("source", Side::Left),
        ("run", Side::Right),
        ("start", Side::Right),
        ("end", Side::Right),
        ("records", Side::Right),
        ("bytes", Side::Right),
        ("time", Side::Left),
        ("offset", Side::Right),
    ]);
    for gap in gaps {
        table.row([
            gap.device.as_str().into(),
            gap.lane.as_str().into(),
            gap.cause.as_str().into(),
            gap.source.as_str().into(),
            gap.run.to_string().into(),
            Cell::number(gap.start),
            Cell::number(gap.end),
            Cell::number(gap.records),
            Cell::number(gap.bytes),
            Cell::time(gap.time.0),
            Cell::number(gap.offset),
        ]);
    }
    table
}
