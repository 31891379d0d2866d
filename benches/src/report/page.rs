//! The page for readers.

use std::fmt::Write;

use super::{Report, table};

/// The whole page.
pub(super) fn page(report: &Report) -> String {
    let mut page = String::new();
    write(report, &mut page).expect("a string takes every text");
    page
}

fn write(report: &Report, page: &mut String) -> std::fmt::Result {
    let machine = &report.machine;
    writeln!(page, "# Benchmarks\n")?;
    writeln!(page, "Written by `{}`; not edited by hand.\n", report.command)?;
    writeln!(page, "| | |\n| --- | --- |")?;
    for (what, found) in machine.rows() {
        writeln!(page, "| {what} | {found} |")?;
    }
    writeln!(page, "\n{READING}")?;
    for section in &report.sections {
        writeln!(page, "\n## {}\n", section.title)?;
        writeln!(page, "{}.\n", capitalised(&section.workload))?;
        writeln!(page, "| {} |", table::HEAD.join(" | "))?;
        writeln!(page, "| --- | --- | ---: | ---: | ---: | --- | --- | --- |")?;
        for figure in &section.figures {
            writeln!(page, "| {} |", table::cells(figure).join(" | "))?;
        }
        for note in &section.notes {
            writeln!(page, "\n{note}")?;
        }
    }
    Ok(())
}

fn capitalised(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(|letter| letter.to_uppercase().to_string());
    first.unwrap_or_default() + letters.as_str()
}

const READING: &str = "\
Min, median and max are over the runs; a figure with one number was taken once. A goal is for the median. \
Wall times depend on what else the machine does and are promised nowhere; CPU seconds are what to compare. \
MB are 10^6 bytes, GiB are 2^30.

The limit is what the same work costs without us, or what a prototype of nothing else took. The others \
were measured with the same shape of log on a machine of the same size, on another day: OpenTelemetry \
Collector 0.149.0 with `fsync: true` where it says fsync, Fluent Bit 5.1.1, rsyslog 8.2302, collectd 5.12. \
Where one of them is better, the table says so. None of them keeps a ledger, and each of those with a \
buffer lost or doubled records when it was killed.";
