//! Ratios as they were recorded: what is more than a fifth worse than that has fallen behind.

use std::collections::BTreeMap;
use std::fs::{read_to_string, write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::{Better, Report, Section, table};

/// Medians by section and figure.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(transparent)]
pub(crate) struct Recorded(BTreeMap<String, BTreeMap<String, f64>>);

impl Recorded {
    /// Reads what was recorded below the project's root.
    pub(crate) fn read(root: &Path) -> Result<Self> {
        let path = file(root);
        let text = read_to_string(&path).with_context(|| format!("read {path:?}"))?;
        serde_json::from_str(&text).with_context(|| format!("read {path:?}"))
    }

    /// Takes the ratios of a report in place of those of the same sections.
    pub(crate) fn take(&mut self, report: &Report) {
        for section in &report.sections {
            let ratios = section.figures.iter().filter(|figure| figure.recorded.is_some());
            let ratios: BTreeMap<_, _> =
                ratios.map(|figure| (figure.name.to_string(), rounded(figure.median))).collect();
            if !ratios.is_empty() {
                self.0.insert(section.title.to_owned(), ratios);
            }
        }
    }

    /// Writes it below the project's root.
    pub(crate) fn write(&self, root: &Path) -> Result<()> {
        let path = file(root);
        let text = serde_json::to_string_pretty(self)? + "\n";
        write(&path, text).with_context(|| format!("write {path:?}"))
    }

    /// What a report's sections have that is behind what was recorded, and what they lack of it, in words.
    pub(crate) fn behind(&self, report: &Report) -> Vec<String> {
        report.sections.iter().flat_map(|section| self.behind_in(section)).collect()
    }

    fn behind_in(&self, section: &Section) -> Vec<String> {
        let mut behind = Vec::new();
        for (name, recorded) in self.0.get(section.title).into_iter().flatten() {
            let is_it = |figure: &&super::Figure| figure.name == *name;
            let Some(figure) = section.figures.iter().find(is_it) else {
                behind.push(format!("{name}: recorded, and not measured any more"));
                continue;
            };
            let worse = match figure.recorded {
                Some(Better::More) => recorded / figure.median,
                Some(Better::Less) | None => figure.median / recorded,
            };
            // What is not a number is no better than anything.
            if worse.is_nan() || worse > WORSE_MAX {
                behind.push(format!(
                    "{name}: {}, recorded {}, worse by more than a fifth",
                    table::number(figure.median),
                    table::number(*recorded),
                ));
            }
        }
        behind
    }
}

/// A fifth: between two runs on one machine, ratios within a run differ by less than that.
const WORSE_MAX: f64 = 1.2;

fn file(root: &Path) -> PathBuf {
    root.join("benches/results/recorded.json")
}

/// More digits than noise leaves any meaning to.
fn rounded(value: f64) -> f64 {
    (value * 1e4).round() / 1e4
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{Figure, Machine};

    fn report(figures: Vec<Figure>) -> Report {
        let section = Section { title: "A", workload: String::new(), figures, notes: Vec::new() };
        Report { machine: Machine::default(), command: String::new(), sections: vec![section] }
    }

    fn less(median: f64) -> Figure {
        Figure::new("cpu / zstd", "", vec![median]).recorded(Better::Less)
    }

    #[test]
    fn a_ratio_falls_behind_by_a_fifth_in_the_direction_that_is_worse() {
        let more = |median| Figure::new("raw / stored", "", vec![median]).recorded(Better::More);
        let mut recorded = Recorded::default();
        let bare = Figure::new("seconds", "s", vec![9.0]);
        recorded.take(&report(vec![less(2.0), more(10.0), bare]));
        for (figures, behind) in [
            (vec![less(2.39), more(8.4)], 0),
            (vec![less(2.41), more(8.4)], 1),
            (vec![less(0.1), more(99.0)], 0),
            (vec![less(2.0), more(8.3)], 1),
            (vec![less(f64::NAN), more(10.0)], 1),
            (vec![less(2.0)], 1),
        ] {
            let found = recorded.behind(&report(figures));
            assert_eq!(found.len(), behind, "{found:?}");
        }
    }

    #[test]
    fn what_was_not_measured_keeps_its_record() {
        let mut recorded = Recorded(BTreeMap::from([("B".to_owned(), BTreeMap::new())]));
        recorded.take(&report(vec![less(2.00004)]));
        let text = serde_json::to_string(&recorded).unwrap();
        assert_eq!(text, r#"{"A":{"cpu / zstd":2.0},"B":{}}"#);
    }
}
