//! What the list is sorted by.

use std::cmp::Ordering;

use serde::Deserialize;

use super::Row;

/// An order; names decide between equals.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Order {
    /// Unequal ledgers, then what is silent, then what is fullest or busiest.
    #[default]
    Worst,
    /// By name.
    Name,
    /// By state, the worst first.
    State,
    /// The busiest first.
    Cpu,
    /// The fullest memory first.
    Memory,
    /// The fullest disk first.
    Disk,
    /// The highest load per core first.
    Load,
    /// The longest silent first.
    Seen,
    /// The most records first.
    Records,
    /// The most gaps first.
    Gaps,
}

impl Order {
    /// Those that head a column, in order of columns.
    pub(crate) const COLUMNS: [Self; 9] = [
        Self::Name,
        Self::State,
        Self::Cpu,
        Self::Memory,
        Self::Disk,
        Self::Load,
        Self::Seen,
        Self::Records,
        Self::Gaps,
    ];

    /// As addresses write it.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Worst => "worst",
            Self::Name => "name",
            Self::State => "state",
            Self::Cpu => "cpu",
            Self::Memory => "memory",
            Self::Disk => "disk",
            Self::Load => "load",
            Self::Seen => "seen",
            Self::Records => "records",
            Self::Gaps => "gaps",
        }
    }

    /// As heads of columns say it.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Worst => "Worst first",
            Self::Name => "Name",
            Self::State => "State",
            Self::Cpu => "CPU",
            Self::Memory => "Memory",
            Self::Disk => "Fullest disk",
            Self::Load => "Load per core",
            Self::Seen => "Last batch",
            Self::Records => "Records",
            Self::Gaps => "Gaps",
        }
    }

    /// As ARIA says it.
    pub(crate) fn direction(self) -> &'static str {
        if self == Self::Name { "ascending" } else { "descending" }
    }

    /// The class of its column.
    pub(crate) fn class(self) -> &'static str {
        match self {
            Self::Name | Self::State | Self::Worst => "hw-text",
            _ => "hw-number",
        }
    }

    pub(crate) fn compare(self, one: &Row, other: &Row) -> Ordering {
        let most = |field: fn(&Row) -> Option<f64>| {
            // What has no figure stands last.
            let of = |row: &Row| field(row).unwrap_or(f64::NEG_INFINITY);
            of(other).total_cmp(&of(one))
        };
        let order = match self {
            Self::Worst => worst(one).cmp(&worst(other)).then_with(|| most(|row| row.fullest())),
            Self::Name => Ordering::Equal,
            Self::State => one.state.cmp(&other.state),
            Self::Cpu => most(|row| row.cpu),
            Self::Memory => most(|row| row.memory),
            Self::Disk => most(|row| row.disk),
            Self::Load => most(|row| row.load),
            Self::Seen => one.seen_us.cmp(&other.seen_us),
            Self::Records => other.records.cmp(&one.records),
            Self::Gaps => other.gaps.cmp(&one.gaps),
        };
        order.then_with(|| one.name.cmp(&other.name))
    }
}

fn worst(row: &Row) -> (bool, super::super::page::State) {
    (row.adds_up, row.state)
}

#[cfg(test)]
mod tests {
    use super::super::super::page::State;
    use super::*;

    #[test]
    fn the_worst_stands_first_and_names_decide_between_equals() {
        let row =
            |name: &str, state, cpu| Row { name: name.to_owned(), state, cpu, ..Row::default() };
        let mut rows = [
            row("b", State::Online, Some(0.1)),
            row("a", State::Online, Some(0.1)),
            row("busy", State::Online, Some(0.9)),
            row("z", State::Stale, None),
            Row { adds_up: false, ..row("unequal", State::Online, None) },
        ];
        rows.sort_by(|one, other| Order::Worst.compare(one, other));
        let names: Vec<&str> = rows.iter().map(|row| row.name.as_str()).collect();
        assert_eq!(names, ["unequal", "z", "busy", "a", "b"]);
        rows.sort_by(|one, other| Order::Cpu.compare(one, other));
        assert_eq!(rows[0].name, "busy");
        assert_eq!(rows[4].name, "z", "no figure stands last");
    }
}
