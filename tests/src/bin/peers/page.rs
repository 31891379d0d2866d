//! The page for readers.

use std::fmt;

use crate::asked::Asked;
use crate::contender::{Configuration, Kind};
use crate::feed::RATE;
use crate::machine::Machine;
use crate::run::{QUIET, Row};
use crate::schedule::Scenario;

/// What was run so far. Its text is the page.
#[derive(Clone, Debug)]
pub(crate) struct Page {
    machine: Machine,
    asked: Asked,
    rows: Vec<Row>,
}

impl Page {
    pub(crate) fn new(machine: Machine, asked: &Asked) -> Self {
        Self { machine, asked: asked.clone(), rows: Vec::new() }
    }

    /// Adds a round: every program under every scenario with one seed.
    pub(crate) fn add(&mut self, round: Vec<Row>) {
        self.rows.extend(round);
    }

    fn of(&self, kind: Kind, scenario: Scenario) -> impl Iterator<Item = &Row> {
        self.rows.iter().filter(move |row| row.kind == kind && row.scenario == scenario)
    }

    fn write_table(&self, scenario: Scenario, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(out, "\n## {}\n", scenario.title())?;
        writeln!(out, "| {} |", HEAD.join(" | "))?;
        writeln!(out, "| --- | --- | ---: | ---: | ---: | ---: | ---: |")?;
        for kind in self.asked.kinds() {
            let cells = cells(&self.of(kind, scenario).collect::<Vec<_>>());
            writeln!(out, "| {} | {} |", kind.name(), cells.join(" | "))?;
        }
        for kind in self.asked.kinds() {
            for row in self.of(kind, scenario).filter(|row| !row.remarks.is_empty()) {
                let remarks = row.remarks.join("; ");
                writeln!(out, "\n{}, seed {}: {remarks}.", kind.name(), row.seed)?;
            }
        }
        Ok(())
    }

    fn write_configurations(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(out, "\n## Configurations\n\n{CONFIGURATIONS}")?;
        let mut printed: Vec<&Configuration> = Vec::new();
        for kind in self.asked.kinds() {
            writeln!(out, "\n### {}", kind.name())?;
            let first = self.of(kind, Scenario::Present).next();
            for configuration in first.into_iter().flat_map(|row| &row.configurations) {
                let Configuration { of, text } = configuration;
                if printed.contains(&configuration) {
                    writeln!(out, "\n{of}: as above.")?;
                } else {
                    writeln!(out, "\n{of}:\n```\n{text}\n```")?;
                }
                printed.push(configuration);
            }
        }
        Ok(())
    }
}

impl fmt::Display for Page {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(out, "# Headwater and its peers under the same kills\n")?;
        writeln!(out, "Written by `{}`; not edited by hand.\n", self.asked.command())?;
        writeln!(out, "| | |\n| --- | --- |")?;
        for (what, found) in self.machine.rows() {
            writeln!(out, "| {what} | {found} |")?;
        }
        let (lines, quiet) = (self.asked.lines, QUIET.as_secs());
        writeln!(
            out,
            "\n{lines} numbered lines of some 200 bytes are appended to one file, {RATE} a second. {READING}"
        )?;
        writeln!(
            out,
            "\nA run is over when nothing has arrived for {quiet} s; then both sides are stopped in an orderly way and every line that arrived is compared with what was written, byte for byte. {COUNTING}"
        )?;
        for scenario in Scenario::ALL {
            self.write_table(scenario, out)?;
        }
        self.write_configurations(out)
    }
}

const HEAD: [&str; 7] =
    ["program", "seeds", "kills landed", "lost", "of it in one stretch", "doubled", "drained in s"];

/// One figure for each run, in the order of the runs.
fn cells(rows: &[&Row]) -> [String; 6] {
    let each = |figure: fn(&Row) -> String| {
        rows.iter().map(|row| figure(row)).collect::<Vec<_>>().join(", ")
    };
    [
        each(|row| row.seed.to_string()),
        each(|row| row.landed.to_string()),
        each(|row| row.tally.lost().to_string()),
        each(|row| row.tally.longest_gap().to_string()),
        each(|row| row.tally.doubled().to_string()),
        each(|row| row.drain.as_secs().to_string()),
    ]
}

const READING: &str = "The program that reads the file is killed (SIGKILL) at moments that the seed \
decides, the same ones for every program, and started again 0.3 to 1.5 s later. A kill lands if the \
program ran. The receiver is never killed; what was written to the page cache outlives a kill, so none of this \
tests a power cut.";

const COUNTING: &str = "Doubled are copies beyond the first. A line that arrived torn or changed is \
remarked, and counts as lost unless it arrived whole as well. Nobody's losses were left out, and no run was repeated.";

const CONFIGURATIONS: &str = "\
Each program as its own documentation would set it up to survive a kill; where it names a switch for \
more, it was run both ways. `DIR` is the folder of a run. Headwater is built with the tests' profile and speaks \
QUIC with mutual TLS, as always; the peers speak plain text over loopback, which changes nothing for what is \
counted. The Collector's receiver is part of this program: it writes the lines of a request to a file before \
it answers. rsyslog's is a second rsyslog.";

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::feed;
    use crate::tally::Tally;

    fn row(kind: Kind, seed: u64, arrived: &[u64]) -> Row {
        let mut tally = Tally::new(seed, 4);
        arrived.iter().for_each(|number| tally.take(feed::line(seed, *number).as_bytes()));
        let (scenario, drain) = (Scenario::Away, Duration::from_millis(2_900));
        let (remarks, configurations) = (Vec::new(), Vec::new());
        Row { kind, scenario, seed, landed: 6, tally, drain, remarks, configurations }
    }

    #[test]
    fn a_loss_stays_in_whoever_has_it() {
        let whole = row(Kind::Headwater, 1, &[0, 1, 2, 3]);
        let lossy = row(Kind::Headwater, 2, &[0, 0, 3]);
        assert!(whole.is_exact() && !lossy.is_exact());
        let cells = cells(&[&whole, &lossy]);
        assert_eq!(cells, ["1, 2", "6, 6", "0, 2", "0, 2", "0, 1", "2, 2"]);
    }
}
