//! `headwater ledger verify`: the audit.

use super::gap_table;
use crate::api::rows::{AuditLaneRow, AuditRow, VerifyRow};
use crate::cli::args::Audited;
use crate::cli::client::{Client, encoded};
use crate::cli::failure::{Exit, Failure};
use crate::cli::output::escape::visible;
use crate::cli::output::table::{Cell, Side, Table, Tone};
use crate::cli::output::{Output, Signs, units};
use crate::cli::progress::Progress;

/// Makes the audit, shows how far it is, and says what it found.
///
/// # Errors
/// `CheckSaysNo` if anything is missing, repeated, unequal or broken; else as every question.
pub(super) async fn run(
    client: &Client,
    output: &Output,
    audited: &Audited,
) -> Result<(), Failure> {
    let path = match &audited.device {
        Some(device) => format!("/api/v1/verify?device={}", encoded(device)),
        None => "/api/v1/verify".to_owned(),
    };
    let mut lines = client.lines(&path).await?;
    let mut progress = Progress::new(output);
    let report = loop {
        match lines.next::<VerifyRow>().await? {
            Some(VerifyRow::Progress { entries, entries_total, bytes }) => {
                progress.show("entries", (entries, entries_total), bytes);
            }
            Some(VerifyRow::Report(report)) => break report,
            None => return Err(Failure::new(Exit::Failed, "the audit ended without a report")),
        }
    };
    progress.clear();
    print(output, &report, audited.gaps)?;
    if report.clean { Ok(()) } else { Err(no(&report)) }
}

fn print(output: &Output, report: &AuditRow, gaps: bool) -> Result<(), Failure> {
    if output.is_json() {
        return output.document(report);
    }
    output.table(lane_table(&report.lanes))?;
    if gaps && !report.gap_list.is_empty() {
        output.text("\n")?;
        output.table(gap_table(&report.gap_list))?;
    }
    output.note(&summary(report));
    Ok(())
}

fn summary(report: &AuditRow) -> String {
    let signs = Signs::of_locale();
    let sign = if report.clean { signs.good } else { signs.bad };
    let style = if report.clean { Tone::Good } else { Tone::Bad }.style();
    let mut text = format!(
        "{style}{sign} {} missing, {} repeated, {} with cause{style:#}",
        units::grouped(report.missing),
        units::grouped(report.repeated),
        units::count(report.gaps, "gap"),
    );
    if report.gaps > 0 {
        let records = units::count(report.gap_records, "record");
        text.push_str(&format!(" ({records}, {})", units::bytes(report.gap_bytes)));
    }
    text.push_str(&format!(
        " {dot} {} in {} of {} {dot} {} of log read",
        units::count(report.records, "record"),
        units::count(report.batches, "batch"),
        units::count(report.devices, "device"),
        units::bytes(report.bytes),
        dot = signs.dot,
    ));
    text
}

fn no(report: &AuditRow) -> Failure {
    let mut failure = Failure::new(Exit::CheckSaysNo, "the ledger does not add up");
    for lane in report.lanes.iter().filter(|lane| !lane.clean) {
        let name = format!("{} {}", visible(&lane.device), lane.lane);
        let wrongs = [
            (lane.missing, "records missing"),
            (lane.repeated, "records repeated"),
            (lane.unequal, "batches with unequal totals"),
            (lane.chain_breaks, "breaks of the chain"),
            (u64::from(!lane.ledger_agrees), "ledger that says something else than the log"),
        ];
        let wrongs: Vec<String> = wrongs
            .into_iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, what)| format!("{} {what}", units::grouped(count)))
            .collect();
        failure = failure.fact("where", format!("{name}: {}", wrongs.join(", ")));
        let more = lane.places.len().saturating_sub(PLACES_SHOWN);
        for place in lane.places.iter().take(PLACES_SHOWN) {
            failure = failure.fact("where", format!("  {place}"));
        }
        if more > 0 {
            failure = failure.fact("where", format!("  and {more} more: --json lists them"));
        }
    }
    failure.next("keep the data folder as it is, and report this: it is a bug, or a damaged disk")
}

/// Places that are listed of a lane; `--json` has all.
const PLACES_SHOWN: usize = 5;

fn lane_table(lanes: &[AuditLaneRow]) -> Table {
    let mut table = Table::new(&[
        ("device", Side::Left),
        ("lane", Side::Left),
        ("verdict", Side::Left),
        ("missing", Side::Right),
        ("repeated", Side::Right),
        ("gaps", Side::Right),
        ("records", Side::Right),
        ("gap_records", Side::Right),
        ("batches", Side::Right),
        ("not_applied", Side::Right),
        ("unequal", Side::Right),
        ("chain_breaks", Side::Right),
    ]);
    let signs = Signs::of_locale();
    for lane in lanes {
        let verdict = match lane.clean {
            true => Cell::both(signs.good, "clean").toned(Tone::Good),
            false => Cell::both(signs.bad, "broken").toned(Tone::Bad),
        };
        table.row([
            lane.device.as_str().into(),
            lane.lane.as_str().into(),
            verdict,
            Cell::number(lane.missing),
            Cell::number(lane.repeated),
            Cell::number(lane.gaps),
            Cell::number(lane.records),
            Cell::number(lane.gap_records),
            Cell::number(lane.batches),
            Cell::number(lane.not_applied),
            Cell::number(lane.unequal),
            Cell::number(lane.chain_breaks),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_counts_what_is_missing_repeated_and_declared() {
        let report = AuditRow { clean: true, gaps: 3, gap_records: 7, ..AuditRow::default() };
        let text = anstream::adapter::strip_str(&summary(&report)).to_string();
        assert!(
            text.contains("0 missing, 0 repeated, 3 gaps with cause (7 records, 0 B)"),
            "{text}"
        );
    }

    #[test]
    fn a_lane_that_is_not_clean_is_named_with_its_place() {
        let lane = AuditLaneRow {
            device: "edge-1".to_owned(),
            lane: "bulk".to_owned(),
            missing: 2,
            ledger_agrees: true,
            places: vec!["missing: /var/log/app.log run 3 from 10 to 30".to_owned()],
            ..AuditLaneRow::default()
        };
        let report = AuditRow { lanes: vec![lane], missing: 2, ..AuditRow::default() };
        let failure = no(&report);
        assert_eq!(failure.exit, Exit::CheckSaysNo);
        assert!(failure.to_string().contains("edge-1 bulk: 2 records missing"), "{failure}");
        assert!(failure.to_string().contains("/var/log/app.log run 3 from 10 to 30"), "{failure}");
    }
}
