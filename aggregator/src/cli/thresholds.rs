//! `headwater thresholds`.

use std::path::Path;

use super::agreed;
use super::args::{Apply, Global};
use super::client::Client;
use super::failure::{Exit, Failure};
use super::output::escape::visible;
use super::output::table::{Cell, Side, Table, Tone};
use super::output::{Format, Output, Signs, units};
use crate::alert::{Known, Mistakes, ThresholdFile};
use crate::api::rows::{AppliedRow, RuleChangeRow, ThresholdRow, ThresholdsView, ThresholdsWish};
use crate::limits::THRESHOLD_FILE_BYTES_MAX;

/// Reads a file and names its mistakes, without an aggregator.
///
/// # Errors
/// `Config` with every mistake.
pub(super) fn validate(output: &Output, file: &Path) -> Result<(), Failure> {
    let (name, text) = read(file)?;
    let parsed = ThresholdFile::parse(&name, &text, Known::default());
    let parsed = parsed.map_err(|mistakes| wrong(&mistakes))?;
    let count = units::count(parsed.rules.len() as u64, "threshold");
    let owner = visible(&parsed.owner);
    output.note(&format!("{} {count} of owner {owner}, no mistake", Signs::of_locale().good));
    Ok(())
}

fn read(file: &Path) -> Result<(String, String), Failure> {
    let name = file.display().to_string();
    let failed = |exit, cause: String| {
        Failure::new(exit, "cannot read the thresholds").fact("where", name.clone()).cause(cause)
    };
    let size = std::fs::metadata(file).map(|found| found.len()).unwrap_or_default();
    if size > THRESHOLD_FILE_BYTES_MAX as u64 {
        let cause = format!("it has {size} bytes, expected at most {THRESHOLD_FILE_BYTES_MAX}");
        return Err(failed(Exit::Config, cause));
    }
    let bytes = std::fs::read(file).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => failed(Exit::NotFound, error.to_string()),
        _ => failed(Exit::Failed, error.to_string()),
    })?;
    match String::from_utf8(bytes) {
        Ok(text) => Ok((name, text)),
        Err(error) => Err(failed(Exit::Config, format!("it is not UTF-8: {error}"))),
    }
}

/// Every mistake with its place, as one failure.
fn wrong(mistakes: &Mistakes) -> Failure {
    Failure::new(Exit::Config, mistakes.headline())
        .fact("where", mistakes.to_string())
        .next("correct it, then the same command; nothing was changed")
}

/// Applies a file: says what changes, asks, publishes.
///
/// # Errors
/// `Config` with every mistake; what the aggregator says, or that it can't be reached.
pub(super) async fn apply(
    client: &Client,
    output: &Output,
    global: &Global,
    apply: &Apply,
) -> Result<(), Failure> {
    let (file, text) = read(&apply.file)?;
    // What can be seen without asking is seen first.
    ThresholdFile::parse(&file, &text, Known::default()).map_err(|mistakes| wrong(&mistakes))?;
    let mut wish = ThresholdsWish {
        file,
        text,
        prune: apply.prune,
        dry_run: true,
        message: apply.message.clone(),
        revision: None,
    };
    let planned: AppliedRow = client.post("/api/v1/thresholds", &wish).await?;
    let next = planned.revision + 1;
    if apply.dry_run || planned.changes.is_empty() {
        show(output, &planned)?;
        let revision = planned.revision;
        output.note(&match planned.changes.is_empty() {
            true => format!("nothing to change: revision {revision} stays in force"),
            false => format!("nothing was changed: without --dry-run this is revision {next}"),
        });
        return Ok(());
    }
    if !global.yes && !output.is_json() {
        show(output, &planned)?;
    }
    agreed(global, &format!("publish revision {next}"), "it holds for every device")?;
    (wish.dry_run, wish.revision) = (false, Some(planned.revision));
    let applied: AppliedRow = client.post("/api/v1/thresholds", &wish).await?;
    if global.yes || output.is_json() {
        show(output, &applied)?;
    }
    let (signs, from) = (Signs::of_locale(), units::time_to_second(applied.from.0));
    let clock = from.get(11..).unwrap_or(&from);
    output.note(&format!("{} revision {} holds from {clock}", signs.good, applied.revision));
    Ok(())
}

fn show(output: &Output, applied: &AppliedRow) -> Result<(), Failure> {
    if output.is_json() {
        return output.document(applied);
    }
    for warning in &applied.warnings {
        output.note(&format!("warning: {}", visible(warning)));
    }
    if output.format == Format::Plain {
        let columns = [("change", Side::Left), ("name", Side::Left), ("details", Side::Left)];
        let mut table = Table::new(&columns);
        for RuleChangeRow { change, name, details } in &applied.changes {
            table.row([change.as_str().into(), name.as_str().into(), details.join(", ").into()]);
        }
        return output.table(table);
    }
    let width = applied.changes.iter().map(|change| change.name.len()).max().unwrap_or(0);
    for RuleChangeRow { change, name, details } in &applied.changes {
        let (sign, tone) = match change.as_str() {
            "added" => ("+", Tone::Good),
            "removed" => ("-", Tone::Bad),
            _ => ("~", Tone::Warn),
        };
        let words = if details.is_empty() { change.clone() } else { details.join(", ") };
        let (style, name) = (tone.style(), visible(name));
        let words = visible(&words);
        output.text(&format!("  {style}{sign}{style:#} {name:<width$}  {words}\n"))?;
    }
    Ok(())
}

/// Lists the thresholds.
///
/// # Errors
/// What the aggregator says, or that it can't be reached.
pub(super) async fn list(client: &Client, output: &Output) -> Result<(), Failure> {
    let view: ThresholdsView = client.get("/api/v1/thresholds").await?;
    if output.format == Format::Json {
        return output.document(&view);
    }
    let mut table = Table::new(&[
        ("name", Side::Left),
        ("state", Side::Left),
        ("metric", Side::Left),
        ("warn", Side::Right),
        ("crit", Side::Right),
        ("clear", Side::Right),
        ("for", Side::Right),
        ("window", Side::Right),
        ("by", Side::Left),
        ("where", Side::Left),
        ("owner", Side::Left),
        ("note", Side::Left),
    ]);
    for row in &view.thresholds {
        table.row([
            row.name.as_str().into(),
            state(row),
            format!("{} {}", row.stat, row.metric).into(),
            limit(row, row.warn.as_deref()),
            limit(row, row.crit.as_deref()),
            limit(row, Some(&row.clear)),
            span(row.for_seconds),
            row.window_seconds.map_or("base".into(), span),
            row.by.join(",").into(),
            scope(row).into(),
            row.owner.as_str().into(),
            row.note.as_deref().unwrap_or("-").into(),
        ]);
    }
    output.rows(&view.thresholds, table)?;
    if output.is_human() {
        output.note(&summary(&view));
    }
    Ok(())
}

fn summary(view: &ThresholdsView) -> String {
    let ThresholdsView { revision, in_force, .. } = view;
    let held = match in_force {
        _ if *revision == 0 => return "no threshold · next: headwater thresholds apply".to_owned(),
        held if held == revision => "in force".to_owned(),
        0 => format!("holds from {}", units::time_to_second(view.from.0)),
        held => format!(
            "holds from {} (revision {held} until then)",
            units::time_to_second(view.from.0)
        ),
    };
    let turned_away: u64 = view.thresholds.iter().map(|row| row.not_watched).sum();
    let turned_away = match turned_away {
        0 => String::new(),
        count => format!(" · {} not watched: there are too many", units::count(count, "series")),
    };
    let message = view.message.as_ref().map(|text| format!(" · {}", visible(text)));
    format!("revision {revision} {held}{turned_away}{}", message.unwrap_or_default())
}

fn state(row: &ThresholdRow) -> Cell {
    let (text, tone) = match row.state.as_str() {
        "firing" => (format!("{} firing", row.firing), Tone::Warn),
        "pending" => (format!("{} pending", row.pending), Tone::Plain),
        "ok" => ("ok".to_owned(), Tone::Good),
        other => (other.to_owned(), Tone::Plain),
    };
    Cell::both(text, &row.state).toned(tone)
}

/// A limit with the side on which it is an alert.
fn limit(row: &ThresholdRow, text: Option<&str>) -> Cell {
    let Some(text) = text else { return "-".into() };
    let sign = if row.when == "above" { ">" } else { "<" };
    let metric = if row.stat == "count" { "" } else { row.metric.as_str() };
    Cell::both(format!("{sign} {}", units::written(metric, text)), text)
}

fn span(seconds: u64) -> Cell {
    Cell::both(units::duration(std::time::Duration::from_secs(seconds)), format!("{seconds}s"))
}

fn scope(row: &ThresholdRow) -> String {
    let per = row.per.iter().map(|per| format!("per {per}"));
    let conditions = Some(row.conditions.clone()).filter(|text| !text.is_empty());
    let without = row.exclude.iter().map(|exclude| format!("without {exclude}"));
    let all: Vec<String> = per.chain(conditions).chain(without).collect();
    if all.is_empty() { "-".to_owned() } else { all.join(" ") }
}
