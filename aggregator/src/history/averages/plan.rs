//! Which files of an hour are written next, and which of them they replace.
//!
//! A file holds a span of time: all windows that begin in it, as the merge log had them up to some entry. Spans of one folder
//! never overlap for long: whoever writes into one that is there replaces its file.

use std::collections::BTreeSet;
use std::fmt;

use super::super::table::Hour;

const SECOND_US: i64 = 1_000_000;

/// Files that are put together once there are so many.
const SMALL_MAX: usize = 8;
/// Bytes up to which a file is small.
const SMALL_BYTES: u64 = 4 << 20;
/// Bytes of files that become one, at most.
const TOGETHER_BYTES: u64 = 16 << 20;

/// What a file of a span is called.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct SpanName {
    /// Where the first window may begin, seconds since 1970 UTC.
    pub(super) from_s: i64,
    /// Before what no later one begins.
    pub(super) to_s: i64,
    /// Up to which entry of the merge log it is all there is.
    pub(super) as_of: u64,
    /// Whether it is put together with others no more, as it holds so much.
    pub(super) is_full: bool,
}

/// What late figures are called: they add to what other files have of their windows.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct LateName {
    pub(super) batch: u64,
}

/// What is written next.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Task {
    pub(super) from_us: i64,
    pub(super) to_us: i64,
    /// Files that it replaces.
    pub(super) gone: Vec<SpanName>,
}

impl SpanName {
    /// What a name says. `None` if it is not of a file of ours.
    pub(super) fn parse(name: &str) -> Option<Self> {
        let is_full = name.starts_with('f');
        let said = name.strip_prefix(if is_full { 'f' } else { 'w' })?.strip_suffix(".parquet")?;
        let mut parts = said.split('_');
        let (from_s, to_s) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
        let as_of = parts.next()?.parse().ok()?;
        let parsed = Self { from_s, to_s, as_of, is_full };
        (parsed.to_string() == name).then_some(parsed)
    }

    fn begin_us(self) -> i64 {
        self.from_s.saturating_mul(SECOND_US)
    }

    fn end_us(self) -> i64 {
        self.to_s.saturating_mul(SECOND_US)
    }

    /// Whether a time lies in its span.
    pub(super) fn covers(self, at_us: i64) -> bool {
        (self.begin_us()..self.end_us()).contains(&at_us)
    }
}

impl fmt::Display for SpanName {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { from_s, to_s, as_of, is_full } = self;
        let letter = if *is_full { 'f' } else { 'w' };
        write!(out, "{letter}{from_s}_{to_s}_{as_of:012}.parquet")
    }
}

impl LateName {
    /// What a name says. `None` if it is not of a file of ours.
    pub(super) fn parse(name: &str) -> Option<Self> {
        let batch = name.strip_prefix('a')?.strip_suffix(".parquet")?.parse().ok()?;
        let parsed = Self { batch };
        (parsed.to_string() == name).then_some(parsed)
    }
}

impl fmt::Display for LateName {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "a{:012}.parquet", self.batch)
    }
}

/// How time is cut: a file that is new holds a cell of an hour.
#[derive(Clone, Copy, Debug)]
pub(super) struct Grid {
    cell_us: i64,
}

impl Grid {
    /// Cells of so many seconds, rounded up.
    pub(super) fn new(cell: std::time::Duration) -> Self {
        let seconds = cell.as_secs() + u64::from(cell.subsec_nanos() > 0);
        let seconds = i64::try_from(seconds).unwrap_or(3_600).clamp(1, 3_600);
        Self { cell_us: seconds * SECOND_US }
    }

    /// The cell in which a time lies; none reaches into another hour.
    pub(super) fn cell(self, at_us: i64) -> (i64, i64) {
        let (from_us, to_us) = span(Hour::of(at_us));
        let cell_us = at_us.div_euclid(self.cell_us).saturating_mul(self.cell_us);
        (cell_us.max(from_us), cell_us.saturating_add(self.cell_us).min(to_us))
    }
}

/// First and last time of an hour, the latter not included.
pub(super) fn span(hour: Hour) -> (i64, i64) {
    const HOUR_US: i64 = 3_600 * SECOND_US;
    (hour.0.saturating_mul(HOUR_US), hour.0.saturating_add(1).saturating_mul(HOUR_US))
}

/// What is written because something changed at a time: its cell, or all of an hour that is over, and whatever files lie there.
pub(super) fn changed(
    lying: &[(SpanName, u64)],
    at_us: i64,
    (grid, is_over): (Grid, bool),
) -> Task {
    let there = lying.iter().find(|(name, _)| name.covers(at_us));
    let (mut from_us, mut to_us) = match there {
        Some((name, _)) => (name.begin_us(), name.end_us()),
        None if is_over && lying.is_empty() => span(Hour::of(at_us)),
        None => grid.cell(at_us),
    };
    let mut gone = BTreeSet::new();
    loop {
        let before = gone.len();
        for (name, _) in lying {
            if name.begin_us() < to_us && from_us < name.end_us() {
                gone.insert(*name);
                (from_us, to_us) = (from_us.min(name.begin_us()), to_us.max(name.end_us()));
            }
        }
        if gone.len() == before {
            return Task { from_us, to_us, gone: gone.into_iter().collect() };
        }
    }
}

/// What is put together: small files that follow one another. `None` if there are not enough.
pub(super) fn together(lying: &[(SpanName, u64)], is_over: bool) -> Option<Task> {
    let is_small = |file: &&(SpanName, u64)| !file.0.is_full && file.1 <= SMALL_BYTES;
    let least = if is_over { 2 } else { SMALL_MAX };
    lying.chunk_by(|one, other| is_small(&one) && is_small(&other)).find_map(|run| {
        let mut bytes = 0_u64;
        let fits = |file: &&(SpanName, u64)| {
            bytes = bytes.saturating_add(file.1);
            bytes <= TOGETHER_BYTES
        };
        let gone: Vec<SpanName> = run.iter().take_while(fits).map(|(name, _)| *name).collect();
        let (first, last) = (gone.first()?, gone.last()?);
        let (from_us, to_us) = (first.begin_us(), last.end_us());
        (gone.len() >= least).then_some(Task { from_us, to_us, gone })
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    fn named(from_s: i64, to_s: i64) -> SpanName {
        SpanName { from_s, to_s, as_of: 7, is_full: false }
    }

    #[test]
    fn names_come_back_as_they_were_given() {
        let full = SpanName { is_full: true, ..named(-60, 0) };
        for name in [named(1_795_874_340, 1_795_874_400), full] {
            assert_eq!(SpanName::parse(&name.to_string()), Some(name));
        }
        assert_eq!(named(60, 120).to_string(), "w60_120_000000000007.parquet");
        let late = LateName { batch: 3 };
        assert_eq!(LateName::parse(&late.to_string()), Some(late));
        for other in
            ["", "w60_120_7.parquet", "g1-000000000123-000000000456.parquet", "w1_2.parquet"]
        {
            assert_eq!((SpanName::parse(other), LateName::parse(other)), (None, None), "{other}");
        }
    }

    #[test]
    fn small_files_that_follow_one_another_are_put_together() {
        let files: Vec<_> = (0..9).map(|at| (named(at * 60, at * 60 + 60), 1_000)).collect();
        let task = together(&files, false).unwrap();
        assert_eq!((task.from_us, task.to_us, task.gone.len()), (0, 540 * SECOND_US, 9));
        assert_eq!(together(&files[..7], false), None, "more come");
        assert!(together(&files[..2], true).is_some(), "none come any more");
        assert_eq!(together(&files[..1], true), None);
        let mut mixed = files.clone();
        mixed[4].1 = SMALL_BYTES + 1;
        assert_eq!(together(&mixed, true).unwrap().gone.len(), 4, "up to the large one");
        mixed[4] = (SpanName { is_full: true, ..mixed[4].0 }, 1_000);
        assert_eq!(together(&mixed, true).unwrap().gone.len(), 4, "up to the full one");
    }

    proptest! {
        /// Whatever changes and whatever cells were before: spans never overlap once a task is done, and each change is in one.
        #[test]
        fn spans_never_overlap(changes in prop::collection::vec((0_i64..3_600, 1_u64..900, any::<bool>()), 1..60)) {
            let mut lying: Vec<(SpanName, u64)> = Vec::new();
            for (at_s, cell_s, is_over) in changes {
                let at_us = at_s * SECOND_US;
                let grid = Grid::new(Duration::from_secs(cell_s));
                let task = changed(&lying, at_us, (grid, is_over));
                lying.retain(|(name, _)| !task.gone.contains(name));
                lying.push((named(task.from_us / SECOND_US, task.to_us / SECOND_US), 1_000));
                lying.sort_unstable();
                if let Some(task) = together(&lying, is_over) {
                    lying.retain(|(name, _)| !task.gone.contains(name));
                    lying.push((named(task.from_us / SECOND_US, task.to_us / SECOND_US), 1_000));
                    lying.sort_unstable();
                }
                prop_assert_eq!(lying.iter().filter(|(name, _)| name.covers(at_us)).count(), 1);
                for pair in lying.windows(2) {
                    prop_assert!(pair[0].0.to_s <= pair[1].0.from_s, "{:?}", pair);
                }
            }
        }
    }
}
