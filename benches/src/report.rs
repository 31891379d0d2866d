//! What was measured, beside limits, goals and others: a table for people, JSON for programs, a page for
//! readers. Losses stay in.

mod machine;
mod page;
mod recorded;
mod table;

use std::borrow::Cow;
use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Serialize;

pub(crate) use machine::Machine;
pub(crate) use recorded::Recorded;

/// Everything that one call of the program found.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) machine: Machine,
    pub(crate) command: String,
    pub(crate) sections: Vec<Section>,
}

impl Report {
    /// Prints the tables.
    pub(crate) fn print(&self, mut out: impl Write) -> std::io::Result<()> {
        writeln!(out, "{}", self.machine)?;
        for section in &self.sections {
            writeln!(out, "\n{}\n{}\n", section.title, section.workload)?;
            write!(out, "{}", table::aligned(&section.figures))?;
        }
        Ok(())
    }

    /// Writes the results for programs below the project's root.
    pub(crate) fn write_results(&self, root: &Path) -> Result<()> {
        let folder = root.join("benches/results");
        std::fs::create_dir_all(&folder).with_context(|| format!("make {folder:?}"))?;
        let path = folder.join("results.json");
        let text = serde_json::to_string_pretty(self)? + "\n";
        std::fs::write(&path, text).with_context(|| format!("write {path:?}"))
    }

    /// Writes the page for readers below the project's root.
    pub(crate) fn write_page(&self, root: &Path) -> Result<()> {
        let path = root.join("docs/benchmarks.md");
        std::fs::write(&path, page::page(self)).with_context(|| format!("write {path:?}"))
    }

    /// Figures whose median misses its goal.
    pub(crate) fn missed(&self) -> Vec<String> {
        let missed = self.sections.iter().flat_map(|section| &section.figures);
        let missed = missed.filter(|figure| figure.is_met() == Some(false));
        missed
            .map(|figure| {
                let (found, goal) = (table::number(figure.median), figure.goal.unwrap_or_default());
                format!("{}: {found} {}, goal at most {goal}", figure.name, figure.unit)
            })
            .collect()
    }
}

/// One claim.
#[derive(Debug, Serialize)]
pub(crate) struct Section {
    pub(crate) title: &'static str,
    /// What was done, in a sentence.
    pub(crate) workload: String,
    pub(crate) figures: Vec<Figure>,
    /// What a reader has to know to believe it.
    pub(crate) notes: Vec<String>,
}

/// One figure over its runs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Figure {
    name: Cow<'static, str>,
    unit: &'static str,
    min: f64,
    median: f64,
    max: f64,
    runs: Vec<f64>,
    /// What can't be beaten here, in words; `None` where nothing is known.
    limit: Option<String>,
    /// At most this; `None` where nothing is promised.
    goal: Option<f64>,
    peer: Option<Peer>,
    /// Which way is better, where the figure is compared with what was recorded of it.
    recorded: Option<Better>,
}

/// The best of the others.
#[derive(Clone, Debug, PartialEq, Serialize)]
struct Peer {
    value: f64,
    name: &'static str,
    better: Better,
}

/// Which of two values is better.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Better {
    Less,
    More,
}

impl Figure {
    /// A figure of at least one run.
    pub(crate) fn new(
        name: impl Into<Cow<'static, str>>,
        unit: &'static str,
        runs: Vec<f64>,
    ) -> Self {
        let mut sorted = runs.clone();
        sorted.sort_by(f64::total_cmp);
        let (first, last) = (sorted.first().copied(), sorted.last().copied());
        let middle = sorted.len() / 2;
        let median = match sorted.len() % 2 {
            1 => sorted[middle],
            _ => sorted
                .get(..=middle)
                .map_or(f64::NAN, |low| low.iter().rev().take(2).sum::<f64>() / 2.0),
        };
        Self {
            name: name.into(),
            unit,
            min: first.unwrap_or(f64::NAN),
            median,
            max: last.unwrap_or(f64::NAN),
            runs,
            limit: None,
            goal: None,
            peer: None,
            recorded: None,
        }
    }

    /// What decides whether a goal is met.
    pub(crate) fn median(&self) -> f64 {
        self.median
    }

    /// Says what can't be beaten.
    pub(crate) fn limit(mut self, limit: String) -> Self {
        self.limit = Some(limit);
        self
    }

    /// Promises a bound for the median. Never one of the wall clock: other programs run as well.
    pub(crate) fn at_most(mut self, goal: f64) -> Self {
        self.goal = Some(goal);
        self
    }

    /// Says what another program takes.
    pub(crate) fn peer(mut self, value: f64, name: &'static str, better: Better) -> Self {
        self.peer = Some(Peer { value, name, better });
        self
    }

    /// Has it compared with what was recorded: a ratio of two figures of one run, or what no machine changes.
    pub(crate) fn recorded(mut self, better: Better) -> Self {
        self.recorded = Some(better);
        self
    }

    /// Whether the goal is met; `None` where there is none.
    fn is_met(&self) -> Option<bool> {
        self.goal.map(|goal| self.median <= goal)
    }

    fn is_ahead(&self) -> Option<bool> {
        self.peer.as_ref().map(|peer| match peer.better {
            Better::Less => self.median <= peer.value,
            Better::More => self.median >= peer.value,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_decides_and_not_the_noise_around_it() {
        let figure = Figure::new("cpu", "s/GiB", vec![30.0, 20.0, 24.0]).at_most(25.0);
        assert_eq!((figure.min, figure.median, figure.max), (20.0, 24.0, 30.0));
        assert_eq!(figure.is_met(), Some(true));
        let figure = Figure::new("cpu", "s/GiB", vec![30.0, 24.0]).at_most(25.0);
        assert_eq!((figure.median, figure.is_met()), (27.0, Some(false)));
        assert_eq!(Figure::new("cpu", "s/GiB", vec![1.0]).is_met(), None);
        let nothing = Figure::new("cpu", "s/GiB", Vec::new()).at_most(25.0);
        assert_eq!(nothing.is_met(), Some(false), "what was not measured meets nothing");
    }

    #[test]
    fn a_peer_that_is_better_is_said_to_be() {
        let figure = Figure::new("rate", "lines/s", vec![10.0]).peer(11.0, "other", Better::More);
        assert_eq!(figure.is_ahead(), Some(false));
    }
}
