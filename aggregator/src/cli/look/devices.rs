//! `headwater devices` and `headwater device NAME`.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::api::rows::{DeviceDetail, DeviceRow, Moment, SampleRow};
use crate::cli::client::{Client, encoded};
use crate::cli::failure::Failure;
use crate::cli::output::escape::visible;
use crate::cli::output::table::{Cell, Side, Table, Tone};
use crate::cli::output::{Output, Signs, units};

/// Lists the devices.
///
/// # Errors
/// What the aggregator says, or that it can't be reached.
pub(crate) async fn list(client: &Client, output: &Output) -> Result<(), Failure> {
    let rows: Vec<DeviceRow> = client.get("/api/v1/devices").await?;
    let now = units::now_us();
    let mut table = Table::new(&[
        ("name", Side::Left),
        ("state", Side::Left),
        ("seen", Side::Right),
        ("records", Side::Right),
        ("gaps", Side::Right),
        ("ledger", Side::Left),
        ("build", Side::Left),
        ("id", Side::Left),
    ]);
    for row in &rows {
        table.row([
            row.name.as_str().into(),
            state(&row.state),
            seen(row, now),
            Cell::number(row.totals.records_applied),
            Cell::number(row.totals.gaps),
            adds_up(row.totals.adds_up),
            row.build.as_deref().unwrap_or("-").into(),
            row.id.as_str().into(),
        ]);
    }
    output.rows(&rows, table)?;
    if rows.is_empty() {
        output.note("no device yet · next: headwater tokens create");
    } else if output.is_human() {
        let online = rows.iter().filter(|row| row.state == "online").count();
        output.note(&format!(
            "{online} of {} online · {} · next: headwater device {}",
            rows.len(),
            units::time_to_second(now),
            visible(&rows[0].name)
        ));
    }
    Ok(())
}

/// Refuses a device from now on.
///
/// # Errors
/// `NotFound`, `Conflict` if it is revoked already, or as `list`.
pub(crate) async fn revoke(client: &Client, output: &Output, name: &str) -> Result<(), Failure> {
    let row: DeviceRow = client.delete(&format!("/api/v1/devices/{}", encoded(name))).await?;
    output.note(&format!("{} is revoked; what it sent stays", visible(&row.name)));
    Ok(())
}

/// Serves a cloned device again.
///
/// # Errors
/// `NotFound`, `Conflict` if it is not marked, or as `list`.
pub(crate) async fn restore(client: &Client, output: &Output, name: &str) -> Result<(), Failure> {
    let path = format!("/api/v1/devices/{}/restore", encoded(name));
    let row: DeviceRow = client.post(&path, &()).await?;
    output.note(&format!(
        "{} is served again; its agent comes back within minutes, at once after a restart",
        visible(&row.name)
    ));
    Ok(())
}

/// Shows one device.
///
/// # Errors
/// `NotFound`, or as `list`.
pub(crate) async fn show(client: &Client, output: &Output, name: &str) -> Result<(), Failure> {
    let detail: DeviceDetail = client.get(&format!("/api/v1/devices/{}", encoded(name))).await?;
    output.one(&detail, facts(&detail))?;
    if !output.is_human() {
        return Ok(());
    }
    if !detail.latest.is_empty() {
        output.text("\n")?;
        output.table(samples(&detail.latest))?;
    }
    output.note(&format!("next: headwater ledger show {}", visible(&detail.row.name)));
    Ok(())
}

fn facts(detail: &DeviceDetail) -> Table {
    let (row, totals) = (&detail.row, &detail.row.totals);
    let text = |text: &Option<String>| Cell::from(text.as_deref().unwrap_or("-"));
    let time = |at: Option<Moment>| at.map_or("-".into(), |at| Cell::time(at.0));
    let mut table = Table::new(&[("what", Side::Left), ("is", Side::Left)]).headless();
    table.row(["name".into(), row.name.as_str().into()]);
    table.row(["id".into(), row.id.as_str().into()]);
    table.row(["state".into(), state(&row.state)]);
    table.row(["seen".into(), seen(row, units::now_us())]);
    table.row(["online since".into(), time(detail.online_since)]);
    table.row(["address".into(), text(&row.address)]);
    let rtt = detail.rtt_seconds.map(|rtt| units::duration(Duration::from_secs_f64(rtt.max(0.0))));
    table.row(["round trip".into(), text(&rtt)]);
    table.row(["build".into(), text(&row.build)]);
    table.row(["host name".into(), detail.host_name.as_str().into()]);
    table.row(["group".into(), text(&detail.group)]);
    table.row(["enrolled".into(), Cell::time(row.enrolled.0)]);
    table.row(["certificate ends".into(), Cell::time(detail.certificate_ends.0)]);
    table.row(["labels".into(), labels(&row.labels).into()]);
    table.row(["shard".into(), row.shard.to_string().into()]);
    table.row(["batches".into(), Cell::number(totals.batches)]);
    table.row(["records read".into(), Cell::number(totals.records_read)]);
    table.row(["records applied".into(), Cell::number(totals.records_applied)]);
    table.row(["gaps".into(), Cell::number(totals.gaps)]);
    table.row(["gap records".into(), Cell::number(totals.gap_records)]);
    table.row(["gap bytes".into(), Cell::number(totals.gap_bytes)]);
    table.row(["ledger".into(), adds_up(totals.adds_up)]);
    table
}

fn samples(latest: &[SampleRow]) -> Table {
    let mut table = Table::new(&[("metric", Side::Left), ("value", Side::Right)]);
    for sample in latest {
        let dimensions: Vec<String> =
            sample.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
        let metric = match dimensions.is_empty() {
            true => sample.metric.clone(),
            false => format!("{}{{{}}}", sample.metric, dimensions.join(",")),
        };
        let value = units::decimal(sample.scaled, sample.scale);
        table.row([
            metric.into(),
            Cell::both(units::reading(&sample.metric, sample.scaled, sample.scale), value),
        ]);
    }
    table
}

fn state(state: &str) -> Cell {
    let signs = Signs::of_locale();
    let (sign, tone) = match state {
        "online" => (signs.healthy, Tone::Good),
        "offline" | "new" => (signs.stale, Tone::Plain),
        _ => (signs.bad, Tone::Bad),
    };
    Cell::both(format!("{sign} {state}"), state).toned(tone)
}

fn seen(row: &DeviceRow, now: i64) -> Cell {
    let ago = |at: Moment| Cell::both(units::ago(at.0, now), units::time(at.0));
    row.seen.map_or("-".into(), ago)
}

/// Whether it adds up, as a cell.
#[must_use]
pub(crate) fn adds_up(it_does: bool) -> Cell {
    let signs = Signs::of_locale();
    match it_does {
        true => Cell::both(signs.good, "adds-up").toned(Tone::Good),
        false => Cell::both(format!("{} unequal", signs.bad), "unequal").toned(Tone::Bad),
    }
}

fn labels(labels: &BTreeMap<String, String>) -> String {
    let pairs: Vec<String> = labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    if pairs.is_empty() { "-".to_owned() } else { pairs.join(" ") }
}
