//! Findings as people read them: a line each, then what to do about those that are not as they should be.

use std::fmt::Write;

use anstyle::{AnsiColor, Style};

use super::finding::{Finding, State};

/// The page. `unicode` says whether the terminal shows more than ASCII.
#[must_use]
pub fn page(findings: &[Finding], unicode: bool) -> String {
    let mut out = String::new();
    let width = findings.iter().map(|finding| finding.name.len()).max().unwrap_or(0);
    for Finding { name, state, found, .. } in findings {
        let _ = writeln!(out, "{}  {name:<width$}  {found}", sign(*state, unicode));
    }
    let wrong = |finding: &&Finding| matches!(finding.state, State::Warning | State::Failed);
    for Finding { name, state, found, why, next } in findings.iter().filter(wrong) {
        let _ = writeln!(out, "\n{}  {name}: {found}", sign(*state, unicode));
        for (label, text) in [("why", why), ("next", next)] {
            let lines = text.iter().flat_map(|text| text.lines()).enumerate();
            for (index, line) in lines {
                let _ = writeln!(out, "    {:<4}  {line}", if index == 0 { label } else { "" });
            }
        }
    }
    let _ = writeln!(out, "\n{}", verdict(findings));
    out
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

/// Two columns wide without UTF-8, one with it.
fn sign(state: State, unicode: bool) -> String {
    let (wide, narrow, colour) = match state {
        State::Ok => ("✓", "ok", AnsiColor::Green),
        State::Warning => ("▲", "! ", AnsiColor::Yellow),
        State::Failed => ("✗", "!!", AnsiColor::Red),
        State::Skipped => return (if unicode { "·" } else { "- " }).to_owned(),
    };
    let style = Style::new().bold().fg_color(Some(colour.into()));
    format!("{style}{}{style:#}", if unicode { wide } else { narrow })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_each_then_what_to_do() {
        let findings = [
            Finding::ok("identity", "device 1"),
            Finding::failed("path", "agg:1 does not answer").why("one\ntwo").next("open it"),
            Finding::skipped("session", "not asked for"),
        ];
        let shown = anstream::adapter::strip_str(&page(&findings, true)).to_string();
        let expected = "✓  identity  device 1\n✗  path      agg:1 does not answer\n\
                        ·  session   not asked for\n\n✗  path: agg:1 does not answer\n    \
                        why   one\n          two\n    next  open it\n\n\
                        2 looked at, in the way: 1, warnings: 0\n";
        assert_eq!(shown, expected);
        let ascii = anstream::adapter::strip_str(&page(&findings, false)).to_string();
        assert!(ascii.is_ascii() && ascii.starts_with("ok  identity"), "{ascii}");
    }
}
