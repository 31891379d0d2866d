//! One `[[threshold]]`.

use std::time::Duration;

use super::Known;
use super::fields::{Fields, Span};
use crate::alert::decimal::Decimal;
use crate::alert::rules::RuleName;
use crate::alert::selector::Selector;
use crate::alert::threshold::{Limits, LimitsError, Scope, Severity, Stat, Threshold, When};
use crate::config;

/// Reads a threshold: its name, where it has one, and all of it (still without a name) if there is no
/// mistake in it.
pub(super) fn read(
    fields: &mut Fields<'_, '_, '_>,
    known: Known<'_>,
) -> (Option<(String, Span)>, Option<Threshold>) {
    fields.only(&KEYS);
    let name = fields.word("name").zip(fields.find("name").map(|(_, span)| span));
    if !fields.has("name") {
        fields.missing(
            &["name"],
            "name is missing",
            Some("each threshold has one, as in name = \"disk-used\""),
        );
    }
    let stat = fields.one_of("stat", &Stat::ALL.map(|stat| (stat.word(), stat)));
    let stat = if fields.has("stat") { stat } else { Some(Stat::default()) };
    let scope = scope(fields, known);
    let metric = fields.find("metric").and(scope.as_ref()).map(|scope| scope.metric.clone());
    let limits = limits(fields, metric.as_deref(), stat);
    let window_us = window(fields, known);
    let for_us = fields.time("for", (Duration::ZERO, WEEK), "\"0s\" to \"7d\"");
    let for_us = if fields.has("for") { for_us } else { Some((0, 0..0)) };
    let no_data = fields.time("no_data", (SECOND, WEEK), "\"1s\" to \"7d\"");
    let no_data = if fields.has("no_data") { no_data } else { Some((NO_DATA_US, 0..0)) };
    let note = fields.prose("note");
    let runbook = runbook(fields);
    let notify = notify(fields, known);
    let rule = || {
        Some(Threshold {
            name: RuleName { owner: String::new(), name: String::new() },
            scope: scope?,
            stat: stat?,
            window_us: window_us?,
            limits: limits?,
            for_us: for_us?.0,
            no_data_us: no_data?.0,
            note: note.map(|(text, _)| text),
            runbook,
            notify: notify?,
        })
    };
    let rule = rule();
    (name, rule)
}

/// Every key of a threshold.
const KEYS: [&str; 17] = [
    "name", "metric", "by", "per", "stat", "window", "when", "warn", "crit", "clear", "for",
    "no_data", "where", "exclude", "note", "runbook", "notify",
];

fn scope(fields: &mut Fields<'_, '_, '_>, known: Known<'_>) -> Option<Scope> {
    let metric = metric(fields);
    let by = by(fields, known);
    let per = fields.word("per");
    let per_is_right = per.is_some() || !fields.has("per");
    let selector = match fields.text("where") {
        Some((text, span)) => selector(fields, "where", &text, span),
        None if fields.has("where") => None,
        None => Some(Selector::default()),
    };
    let exclude = exclude(fields);
    let (metric, by, selector, exclude) = (metric?, by?, selector?, exclude?);
    per_is_right.then_some(Scope { metric, by, per, selector, exclude })
}

fn metric(fields: &mut Fields<'_, '_, '_>) -> Option<String> {
    if !fields.has("metric") {
        fields.missing(
            &["metric"],
            "metric is missing",
            Some("what is measured, as in metric = \"cpu.busy_ratio\""),
        );
    }
    let (text, span) = fields.text("metric")?;
    let plain = |letter: char| {
        letter.is_ascii_lowercase() || letter.is_ascii_digit() || "._".contains(letter)
    };
    if (1..=METRIC_BYTES_MAX).contains(&text.len()) && text.chars().all(plain) {
        return Some(text);
    }
    fields.wrong("metric", span, "a metric, as in \"cpu.busy_ratio\"");
    None
}

fn by(fields: &mut Fields<'_, '_, '_>, known: Known<'_>) -> Option<Vec<String>> {
    let Some((_, span)) = fields.find("by") else { return Some(Scope::by_device()) };
    let mut by: Vec<String> = fields.texts("by")?.into_iter().map(|(text, _)| text).collect();
    by.sort();
    by.dedup();
    let scope = |by: Vec<String>| Scope {
        metric: String::new(),
        by,
        per: None,
        selector: Selector::default(),
        exclude: Vec::new(),
    };
    let Some(combinations) = known.combinations else {
        if by.is_empty() {
            fields.wrong("by", span, "names of labels, as in [\"site\"]");
            return None;
        }
        return Some(by);
    };
    let scope = scope(by);
    if combinations.iter().any(|combination| scope.is_by(combination)) {
        return Some(scope.by);
    }
    let all: Vec<String> =
        combinations.iter().map(|combination| format!("{:?}", combination.labels())).collect();
    let expected = format!("a combination that is averaged: {}", all.join(" · "));
    fields.wrong("by", span, &expected);
    None
}

fn selector(
    fields: &mut Fields<'_, '_, '_>,
    key: &str,
    text: &str,
    span: Span,
) -> Option<Selector> {
    match text.parse() {
        Ok(selector) => Some(selector),
        Err(error) => {
            fields.mistake(span, format!("{key} is \"{text}\", expected {error}"), None);
            None
        }
    }
}

fn exclude(fields: &mut Fields<'_, '_, '_>) -> Option<Vec<Selector>> {
    if !fields.has("exclude") {
        return Some(Vec::new());
    }
    let mut selectors = Vec::new();
    let texts = fields.texts("exclude")?;
    let count = texts.len();
    for (text, span) in texts {
        let found = selector(fields, "exclude", &text, span.clone());
        if found.as_ref().is_some_and(Selector::is_empty) {
            fields.wrong("exclude", span, "conditions, as in [\"fstype:tmpfs,overlay\"]");
            continue;
        }
        selectors.extend(found);
    }
    (selectors.len() == count).then_some(selectors)
}

fn limits(
    fields: &mut Fields<'_, '_, '_>,
    metric: Option<&str>,
    stat: Option<Stat>,
) -> Option<Limits> {
    if !fields.has("when") {
        fields.missing(&["when"], "when is missing", Some("when = \"above\" or when = \"below\""));
    }
    let when = fields.one_of("when", &[When::Above, When::Below].map(|when| (when.word(), when)));
    let keys = ["warn", "crit", "clear"];
    let numbers = keys.map(|key| limit(fields, key, metric, stat));
    if numbers.iter().zip(keys).any(|(number, key)| number.is_none() && fields.has(key)) {
        return None;
    }
    let [warn, crit, clear] = &numbers;
    let number = |found: &Option<(Decimal, Span)>| found.as_ref().map(|(number, _)| *number);
    if warn.is_none() && crit.is_none() {
        let help = "at least one of them, as in warn = 0.85";
        fields.missing(&["warn", "crit"], &LimitsError::None.to_string(), Some(help));
        return None;
    }
    let when = when?;
    match Limits::new(when, number(warn), number(crit), number(clear)) {
        Ok(limits) => Some(limits),
        Err(error) => {
            let (key, found) = match error {
                LimitsError::Clear => ("clear", clear),
                LimitsError::Order | LimitsError::None => ("crit", crit),
            };
            let other = if error == LimitsError::Clear && warn.is_none() { crit } else { warn };
            let expected = match (error, when) {
                (LimitsError::Clear, When::Above) => "at most",
                (LimitsError::Clear, When::Below) => "at least",
                (_, When::Above) => "more than",
                (_, When::Below) => "less than",
            };
            let severity = if warn.is_some() { Severity::Warn } else { Severity::Crit };
            if let (Some((_, span)), Some((limit, _))) = (found, other) {
                let (span, word) = (span.clone(), severity.word());
                let expected = format!(
                    "{expected} {limit}, which is {word}: it is an alert when {}",
                    when.word()
                );
                fields.wrong(key, span, &expected);
            }
            None
        }
    }
}

fn limit(
    fields: &mut Fields<'_, '_, '_>,
    key: &str,
    metric: Option<&str>,
    stat: Option<Stat>,
) -> Option<(Decimal, Span)> {
    let (number, span) = fields.number(key)?;
    let is_share = metric.is_some_and(|metric| metric.ends_with("_ratio"))
        && matches!(stat, Some(Stat::Mean | Stat::Min | Stat::Max));
    let one = "1".parse::<Decimal>().unwrap_or_default();
    if is_share && !(Decimal::default()..=one).contains(&number) {
        fields.wrong(key, span, "0 to 1: the metric is a ratio, 85 % is 0.85");
        return None;
    }
    Some((number, span))
}

/// `Some(None)`: the base window.
fn window(fields: &mut Fields<'_, '_, '_>, known: Known<'_>) -> Option<Option<i64>> {
    if !fields.has("window") {
        return Some(None);
    }
    let (window_us, span) = fields.time("window", (SECOND, HOUR), "\"1s\" to \"1h\"")?;
    let Some(base_us) = known.base_us.filter(|base_us| *base_us > 0) else {
        return Some(Some(window_us));
    };
    if window_us % base_us == 0 {
        return Some(Some(window_us).filter(|window_us| *window_us != base_us));
    }
    let base = Duration::from_micros(u64::try_from(base_us).unwrap_or_default());
    let expected = format!("a multiple of the base window, {} s", base.as_secs_f64());
    fields.wrong("window", span, &expected);
    None
}

/// A link that a browser may open: never a script.
fn runbook(fields: &mut Fields<'_, '_, '_>) -> Option<String> {
    let (text, span) = fields.prose("runbook")?;
    let is_link = ["https://", "http://"].iter().any(|scheme| text.starts_with(scheme));
    if is_link && !text.contains(|letter: char| letter.is_whitespace() || letter.is_control()) {
        return Some(text);
    }
    fields.wrong("runbook", span, "a link that begins with https://");
    None
}

fn notify(fields: &mut Fields<'_, '_, '_>, known: Known<'_>) -> Option<Vec<String>> {
    if !fields.has("notify") {
        return Some(Vec::new());
    }
    let mut names = Vec::new();
    let texts = fields.texts("notify")?;
    let count = texts.len();
    for (text, span) in texts {
        if known.webhooks.is_none_or(|known| known.contains(&text)) && RuleName::is_word(&text) {
            names.push(text);
            continue;
        }
        let known = known.webhooks.unwrap_or_default();
        let help = match config::nearest(&text, known.iter().map(String::as_str)) {
            Some(nearest) => format!("did you mean \"{nearest}\"?"),
            None if known.is_empty() => {
                "webhooks are set in the aggregator's configuration: [[alert.webhook]]".to_owned()
            }
            None => format!("known here: {}", known.join(", ")),
        };
        fields.mistake(span, format!("no webhook is called \"{text}\""), Some(&help));
    }
    (names.len() == count).then_some(names)
}

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3_600);
const WEEK: Duration = Duration::from_secs(7 * 86_400);
/// What is pending starts over after this long a silence, unless the file says otherwise.
const NO_DATA_US: i64 = 15 * 60 * 1_000_000;
/// Bytes of a metric's name: three times the longest of our own.
const METRIC_BYTES_MAX: usize = 128;
