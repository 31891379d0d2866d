//! Findings as people read them: a line each, then what to do about those that are not as they should be.

use anstyle::{AnsiColor, Style};

use super::finding::{Finding, State};
use crate::cli::output::Signs;
use crate::cli::output::escape::visible;

/// The page.
pub(super) fn page(findings: &[Finding], signs: Signs) -> String {
    let mut out = String::new();
    let width = findings.iter().map(|finding| finding.name.len()).max().unwrap_or(0);
    for Finding { name, state, found, .. } in findings {
        let (sign, found) = (sign(*state, signs), plain(found, signs));
        out.push_str(&format!("{sign}  {name:<width$}  {found}\n"));
    }
    let wrong = |finding: &&Finding| matches!(finding.state, State::Warning | State::Failed);
    for Finding { name, state, found, why, next } in findings.iter().filter(wrong) {
        let (sign, found) = (sign(*state, signs), plain(found, signs));
        out.push_str(&format!("\n{sign}  {name}: {found}\n"));
        for (label, text) in [("why", why), ("next", next)] {
            let lines = text.iter().flat_map(|text| text.lines()).enumerate();
            for (index, line) in lines {
                let label = if index == 0 { label } else { "" };
                out.push_str(&format!("    {label:<4}  {}\n", plain(line, signs)));
            }
        }
    }
    out + &format!("\n{}\n", verdict(findings))
}

fn verdict(findings: &[Finding]) -> String {
    let count = |state| findings.iter().filter(|finding| finding.state == state).count();
    let (failed, warnings) = (count(State::Failed), count(State::Warning));
    let looked = findings.len() - count(State::Skipped);
    match (failed, warnings) {
        (0, 0) => format!("{looked} looked at, nothing is in the way"),
        (0, _) => format!("{looked} looked at, nothing is in the way, warnings: {warnings}"),
        _ => format!("{looked} looked at, in the way: {failed}, warnings: {warnings}"),
    }
}

/// A text in the alphabet that the terminal has, with nothing in it that moves a cursor.
fn plain(text: &str, signs: Signs) -> String {
    let text = visible(text).replace('·', signs.dot);
    if signs == Signs::UTF8 { text } else { text.replace('µ', "u") }
}

/// As wide as the widest of its alphabet.
fn sign(state: State, signs: Signs) -> String {
    let width = signs.bad.chars().count();
    let (sign, colour) = match state {
        State::Ok => (signs.good, AnsiColor::Green),
        State::Warning => (signs.warn, AnsiColor::Yellow),
        State::Failed => (signs.bad, AnsiColor::Red),
        State::Skipped => return format!("{:<width$}", signs.dot),
    };
    let style = Style::new().bold().fg_color(Some(colour.into()));
    format!("{style}{sign:<width$}{style:#}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_each_then_what_to_do() {
        let findings = [
            Finding::ok("log", "64 shards"),
            Finding::failed("intake", "silent · 1 s").why("one\ntwo").next("start it"),
            Finding::skipped("fleet", "not asked for"),
        ];
        let shown = anstream::adapter::strip_str(&page(&findings, Signs::UTF8)).to_string();
        let expected = "✓  log     64 shards\n✗  intake  silent · 1 s\n·  fleet   not asked for\n\n\
                        ✗  intake: silent · 1 s\n    why   one\n          two\n    next  start it\n\n\
                        2 looked at, in the way: 1, warnings: 0\n";
        assert_eq!(shown, expected);
        let ascii = anstream::adapter::strip_str(&page(&findings, Signs::ASCII)).to_string();
        assert!(ascii.is_ascii() && ascii.starts_with("ok  log"), "{ascii}");
    }
}
