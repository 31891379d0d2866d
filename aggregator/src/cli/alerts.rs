//! `headwater alerts`.

use std::collections::BTreeMap;

use super::client::Client;
use super::failure::Failure;
use super::output::escape::visible;
use super::output::table::{Cell, Side, Table, Tone};
use super::output::{Output, Signs, units};
use crate::api::rows::{AlertRow, NoticeRow};

/// Lists alerts: what fires first, the worst of it at the top.
///
/// # Errors
/// What the aggregator says, or that it can't be reached.
pub(super) async fn list(client: &Client, output: &Output, all: bool) -> Result<(), Failure> {
    let rows: Vec<AlertRow> = client.get(&format!("/api/v1/alerts?all={all}")).await?;
    if rows.is_empty() && output.is_human() {
        output.note(
            "nothing fires · headwater alerts --all shows what is over · headwater thresholds ls",
        );
        return Ok(());
    }
    output.rows(&rows, table(&rows, units::now_us()))?;
    if output.is_human() {
        output.note(&summary(&rows));
    }
    Ok(())
}

fn table(rows: &[AlertRow], now: i64) -> Table {
    let mut table = Table::new(&[
        ("state", Side::Left),
        ("threshold", Side::Left),
        ("where", Side::Left),
        ("value", Side::Right),
        ("limit", Side::Right),
        ("since", Side::Right),
        ("series", Side::Left),
        ("changed", Side::Left),
        ("note", Side::Left),
        ("id", Side::Left),
    ]);
    for row in rows {
        table.row([
            state(row),
            row.threshold.as_str().into(),
            place(row).into(),
            Cell::both(units::written(&row.metric, &row.value), &row.value),
            Cell::both(units::written(&row.metric, &row.limit), &row.limit),
            Cell::both(units::ago(row.began.0, now), units::time(row.began.0)),
            series(row).into(),
            Cell::time(row.changed.0),
            row.note.as_deref().unwrap_or("-").into(),
            row.id.as_str().into(),
        ]);
    }
    table
}

/// Lists the destinations of notices.
///
/// # Errors
/// As `list`.
pub(super) async fn notices(client: &Client, output: &Output) -> Result<(), Failure> {
    let rows: Vec<NoticeRow> = client.get("/api/v1/notices").await?;
    let mut table = Table::new(&[
        ("destination", Side::Left),
        ("waiting", Side::Right),
        ("sent", Side::Right),
        ("dead", Side::Right),
        ("missed", Side::Right),
        ("fault", Side::Left),
    ]);
    for row in &rows {
        let lost = |count| {
            let tone = if count > 0 { Tone::Bad } else { Tone::Plain };
            Cell::number(count).toned(tone)
        };
        table.row([
            row.destination.as_str().into(),
            Cell::number(row.waiting),
            Cell::number(row.sent),
            lost(row.dead),
            lost(row.missed),
            row.fault.as_deref().unwrap_or("-").into(),
        ]);
    }
    output.rows(&rows, table)?;
    if output.is_human() && rows.len() == 1 {
        output.note("only the aggregator's log is told · others are set by [[alert.webhook]] in its configuration");
    }
    Ok(())
}

fn summary(rows: &[AlertRow]) -> String {
    let count = |state: &str| rows.iter().filter(|row| row.state == state).count();
    let runbook =
        rows.iter().find(|row| row.state == "firing").and_then(|row| row.runbook.as_ref());
    let runbook = runbook.map(|link| format!(" · runbook {}", visible(link))).unwrap_or_default();
    let cleared = match count("cleared") {
        0 => String::new(),
        cleared => format!(", {cleared} cleared"),
    };
    format!(
        "{} firing, {} pending{cleared} · {}{runbook}",
        count("firing"),
        count("pending"),
        units::time_to_second(units::now_us())
    )
}

fn state(row: &AlertRow) -> Cell {
    let signs = Signs::of_locale();
    let (sign, tone) = match (row.state.as_str(), row.severity.as_str()) {
        ("firing", "crit") => (if signs == Signs::UTF8 { "◆" } else { "!!" }, Tone::Bad),
        ("firing", _) => (signs.warn, Tone::Warn),
        ("cleared", _) => (signs.good, Tone::Good),
        _ => (signs.stale, Tone::Plain),
    };
    let words = match row.state.as_str() {
        "firing" => row.severity.clone(),
        "pending" => format!("pending {}", row.severity),
        _ => format!("cleared, {}", row.reason.as_deref().unwrap_or("over")),
    };
    let plain = format!("{} {}", row.state, row.severity);
    Cell::both(format!("{sign} {words}"), plain).toned(tone)
}

/// The device, or the key.
fn place(row: &AlertRow) -> String {
    row.device.clone().unwrap_or_else(|| pairs(&row.key))
}

fn series(row: &AlertRow) -> String {
    match row.labels.is_empty() {
        true => row.metric.clone(),
        false => format!("{}{{{}}}", row.metric, pairs(&row.labels)),
    }
}

fn pairs(labels: &BTreeMap<String, String>) -> String {
    let pairs: Vec<String> = labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    pairs.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::rows::Moment;
    use crate::cli::output::table::Shape;

    fn row(state: &str, severity: &str) -> AlertRow {
        let pair = |key: &str, value: &str| BTreeMap::from([(key.to_owned(), value.to_owned())]);
        AlertRow {
            id: "5b2b4c962dc78292".to_owned(),
            threshold: "disk-used".to_owned(),
            severity: severity.to_owned(),
            state: state.to_owned(),
            device: Some("edge-1".to_owned()),
            key: pair("device", "6f1e"),
            metric: "disk.used_ratio".to_owned(),
            labels: pair("mount", "/var\n"),
            value: "0.9712345".to_owned(),
            limit: "0.95".to_owned(),
            began: Moment(0),
            changed: Moment(60_000_000),
            revision: 2,
            note: None,
            runbook: None,
            seen: Moment(120_000_000),
            owner: "test".to_owned(),
            reason: (state == "cleared").then(|| "came back".to_owned()),
        }
    }

    #[test]
    fn alerts_are_shown_with_what_where_and_since_when() {
        let keyed = AlertRow { device: None, ..row("cleared", "crit") };
        let rows = [row("firing", "crit"), row("pending", "warn"), keyed];
        let shown = table(&rows, 125_000_000).render(Shape::Tabs).text;
        let expected = "\
STATE\tTHRESHOLD\tWHERE\tVALUE\tLIMIT\tSINCE\tSERIES\tCHANGED\tNOTE\tID
firing crit\tdisk-used\tedge-1\t0.9712345\t0.95\t1970-01-01T00:00:00.000000Z\tdisk.used_ratio{mount=/var\\n}\t1970-01-01T00:01:00.000000Z\t-\t5b2b4c962dc78292
pending warn\tdisk-used\tedge-1\t0.9712345\t0.95\t1970-01-01T00:00:00.000000Z\tdisk.used_ratio{mount=/var\\n}\t1970-01-01T00:01:00.000000Z\t-\t5b2b4c962dc78292
cleared crit\tdisk-used\tdevice=6f1e\t0.9712345\t0.95\t1970-01-01T00:00:00.000000Z\tdisk.used_ratio{mount=/var\\n}\t1970-01-01T00:01:00.000000Z\t-\t5b2b4c962dc78292
";
        assert_eq!(shown, expected);
        let human = table(&rows[..1], 125_000_000).render(Shape::Fit(70)).text;
        let human = anstream::adapter::strip_str(&human).to_string();
        let line = human.lines().nth(1).unwrap();
        assert!(line.ends_with("crit  disk-used  edge-1  97.1 %   95 %  2 min 5 s"), "{line}");
        assert!(summary(&rows).starts_with("1 firing, 1 pending, 1 cleared · "));
    }
}
