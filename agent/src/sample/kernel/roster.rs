//! Files that list things one a line, with counters of each: disks, interfaces.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use super::{Counters, Gauge, Growth, KernelFile, Lines, RATIO_SCALE, Tick};
use crate::limits::NAME_BYTES_MAX;

/// How such a file is written, and what is made of its columns.
#[derive(Debug)]
pub(in crate::sample) struct Form<const N: usize> {
    /// Lines before the first thing.
    pub(in crate::sample) headings: usize,
    /// A line's name and the columns after it; `None` for a line that is none.
    pub(in crate::sample) split: fn(&str) -> Option<(&str, &str)>,
    /// The dimension that bears the name.
    pub(in crate::sample) label: &'static str,
    pub(in crate::sample) figures: [Figure; N],
    /// Things that are sampled.
    pub(in crate::sample) most: usize,
}

/// A metric, the column whose growth it tells, and as what.
#[derive(Debug)]
pub(in crate::sample) struct Figure {
    pub(in crate::sample) metric: &'static str,
    pub(in crate::sample) column: usize,
    pub(in crate::sample) told: Told,
}

/// What a column's growth is told as; `unit` is what one count stands for.
#[derive(Debug)]
pub(in crate::sample) enum Told {
    PerSecond { unit: u32, scale: u8 },
    ShareOfTime { unit: Duration },
}

/// The things of a file, and the last reading of those that are sampled.
#[derive(Debug)]
pub(in crate::sample) struct Roster<const N: usize> {
    file: KernelFile,
    form: &'static Form<N>,
    /// The names of all lines when `kept` was made of them.
    names: Vec<Box<str>>,
    /// In order of their lines.
    kept: Vec<Kept<N>>,
}

/// A thing that is sampled.
#[derive(Debug)]
struct Kept<const N: usize> {
    /// Place of its name among all.
    place: usize,
    counters: Counters<N>,
    gauges: [Gauge; N],
}

impl<const N: usize> Roster<N> {
    pub(in crate::sample) fn new(path: PathBuf, form: &'static Form<N>) -> Self {
        Self { file: KernelFile::new(path), form, names: Vec::new(), kept: Vec::new() }
    }

    /// Reads the file; which things are wanted is asked when the names have changed.
    pub(in crate::sample) fn take(
        &mut self,
        is_wanted: impl Fn(&str) -> bool,
        tick: &mut Tick<'_>,
    ) {
        let Self { file, form, names, kept } = self;
        let Lines { path, text, mut outcome } = file.lines();
        let at = (tick.now)();
        let entries = || {
            let lines = text.split(|byte| *byte == b'\n').skip(form.headings);
            lines.filter(|line| !line.is_empty()).map(|line| form.entry(line))
        };
        if !names.iter().map(|name| &**name).eq(entries().flatten().map(|(name, _)| name)) {
            let listed = entries().flatten().map(|(name, _)| name.into()).collect();
            let left = renew(form, names, kept, listed, is_wanted);
            tick.faults.note_left_out(path, left, form.most);
        }
        let mut malformed = entries().any(|entry| entry.is_none());
        let mut waiting = kept.iter_mut().peekable();
        for (place, (_, columns)) in entries().flatten().enumerate() {
            let Some(kept) = waiting.next_if(|kept| kept.place == place) else {
                continue;
            };
            let Some(counts) = form.counts(columns) else {
                kept.counters = Counters::default();
                malformed = true;
                continue;
            };
            if let Some(growth) = kept.counters.step(at, counts) {
                for (index, (gauge, figure)) in kept.gauges.iter().zip(&form.figures).enumerate() {
                    tick.push(gauge, figure.told.value(&growth, index));
                }
            }
        }
        if malformed && outcome.is_ok() {
            outcome = Err(io::ErrorKind::InvalidData.into());
        }
        tick.faults.note(path, outcome);
    }
}

impl<const N: usize> Form<N> {
    fn entry<'a>(&self, line: &'a [u8]) -> Option<(&'a str, &'a str)> {
        (self.split)(std::str::from_utf8(line).ok()?)
    }

    fn counts(&self, columns: &str) -> Option<[u64; N]> {
        let mut counts = [None; N];
        for (column, text) in columns.split_ascii_whitespace().enumerate() {
            for (count, figure) in counts.iter_mut().zip(&self.figures) {
                if figure.column == column {
                    *count = Some(text.parse().ok()?);
                }
            }
        }
        let whole = counts.iter().all(Option::is_some);
        whole.then(|| counts.map(Option::unwrap_or_default))
    }
}

impl Told {
    fn scale(&self) -> u8 {
        match self {
            Self::PerSecond { scale, .. } => *scale,
            Self::ShareOfTime { .. } => RATIO_SCALE,
        }
    }

    fn value<const N: usize>(&self, growth: &Growth<N>, index: usize) -> Option<i64> {
        match *self {
            Self::PerSecond { unit, scale } => growth.per_second(index, unit, scale),
            Self::ShareOfTime { unit } => growth.share(index, unit),
        }
    }
}

/// Chooses anew what is sampled: of the things that are wanted the first that have room. What was
/// sampled before goes on with its last reading. Returns how many were wanted and are left out.
fn renew<const N: usize>(
    form: &Form<N>,
    names: &mut Vec<Box<str>>,
    kept: &mut Vec<Kept<N>>,
    listed: Vec<Box<str>>,
    is_wanted: impl Fn(&str) -> bool,
) -> usize {
    let mut former: BTreeMap<&str, Kept<N>> =
        kept.drain(..).map(|kept| (&*names[kept.place], kept)).collect();
    let mut chosen = BTreeSet::new();
    let mut left = 0;
    for (place, name) in listed.iter().enumerate().filter(|(_, name)| is_wanted(name)) {
        // A series has one value in a tick, however often a file lists its name.
        if kept.len() == form.most || name.len() > NAME_BYTES_MAX || !chosen.insert(name) {
            left += 1;
            continue;
        }
        let thing = former.remove(&**name).unwrap_or_else(|| Kept::new(form, name));
        kept.push(Kept { place, ..thing });
    }
    drop(former);
    *names = listed;
    left
}

impl<const N: usize> Kept<N> {
    fn new(form: &Form<N>, name: &str) -> Self {
        let gauges = form.figures.each_ref().map(|figure| {
            let label = (form.label.to_owned(), name.to_owned());
            Gauge::labelled(figure.metric, figure.told.scale(), vec![label])
        });
        Self { place: 0, counters: Counters::default(), gauges }
    }
}
