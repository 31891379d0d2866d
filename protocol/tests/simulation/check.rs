//! Reads what landed, by code of its own, and holds it against the witness.
//!
//! The reader knows the contract's rule 3 and nothing of the fold: it walks the raw entries, keeps
//! one chain per lane, opens each batch that is next, and forgets the rest.

use std::collections::{BTreeMap, BTreeSet};

use headwater_protocol::body::Body;
use headwater_protocol::chain::own_source;
use headwater_protocol::entry::{Entry, EntryKind};
use headwater_protocol::identity::{DeviceId, Digest, Epoch, Lane};
use headwater_protocol::position::Stream;
use headwater_protocol::record::{Cause, Content, Gap, Record};

use super::host::{ContentId, LineId, line_of};
use super::witness::{Item, Witness};

#[derive(Debug, Default)]
pub struct Landed {
    samples: BTreeMap<i64, u64>,
    lines: BTreeMap<LineId, u64>,
    gaps: Vec<(Stream, u64, u64, Gap)>,
    ends: BTreeMap<Stream, u64>,
    pub batches: u64,
}

type Chain = (Epoch, u64, Digest);

/// What every reader sees, per device.
///
/// # Errors
/// A sentence: the rule that broke.
pub fn read<'a>(
    entries: impl Iterator<Item = &'a [u8]>,
    of_both_lives: &BTreeSet<LineId>,
) -> Result<BTreeMap<DeviceId, Landed>, String> {
    let mut chains: BTreeMap<(DeviceId, Lane), Chain> = BTreeMap::new();
    let mut landed: BTreeMap<DeviceId, Landed> = BTreeMap::new();
    let mut read_so_far: BTreeMap<(DeviceId, Lane), u64> = BTreeMap::new();
    for bytes in entries {
        let entry = Entry::decode(bytes).map_err(|error| error.to_string())?;
        let EntryKind::Batch { batch, .. } = entry.kind else {
            continue;
        };
        let header = batch.header();
        let key = (header.device, header.lane);
        let seq = header.seq.number();
        let last = chains.get(&key).copied();
        let (epoch, number, digest) = last.unwrap_or((Epoch([0; 16]), 0, Digest([0; 32])));
        let next = last.is_some() && header.epoch == epoch && seq == number + 1;
        let opens = header.epoch != epoch
            && header.parent.is_some_and(|parent| {
                (parent.epoch, parent.seq, parent.digest) == (epoch, number, digest)
            });
        if !(next || opens) || !batch.follows(digest) {
            continue;
        }
        chains.insert(key, (header.epoch, seq, batch.digest()));
        let records = Body::open(&batch).map_err(|error| error.to_string())?.records;
        let device = landed.entry(header.device).or_default();
        device.batches += 1;
        let read = read_so_far.entry(key).or_default();
        for record in &records {
            *read += record.count();
            device.take(record, of_both_lives)?;
        }
        if *read != header.totals.read() {
            return Err(format!(
                "the sum is off: {} read, the header says {}",
                *read,
                header.totals.read()
            ));
        }
    }
    Ok(landed)
}

impl Landed {
    fn take(&mut self, record: &Record, of_both_lives: &BTreeSet<LineId>) -> Result<(), String> {
        let end = self.ends.entry(record.stream).or_insert(record.start);
        if *end != record.start {
            return Err(format!(
                "a hole or a repeat in {:?}: {end}, then {}",
                record.stream, record.start
            ));
        }
        *end = record.end;
        match &record.content {
            Content::Tick(samples) => {
                for sample in samples.iter() {
                    if self.samples.insert(sample.value, record.start).is_some() {
                        return Err(format!(
                            "doubled: sample {} in {:?}",
                            sample.value, record.stream
                        ));
                    }
                }
            }
            Content::Event(event) => {
                let line = line_of(&event.body).ok_or("corrupt: a line that no host wrote")?;
                let again = self.lines.insert(line, record.start).is_some();
                if again && !of_both_lives.contains(&line) {
                    return Err(format!("doubled: {line:?} in {:?}", record.stream));
                }
            }
            Content::Facts(_) => {}
            Content::Gap(gap) => {
                self.gaps.push((record.stream, record.start, record.end, gap.clone()));
            }
        }
        Ok(())
    }

    /// Nothing lost undeclared, nothing that nobody read, every gap exact.
    ///
    /// # Errors
    /// A sentence: the rule that broke.
    pub fn compare(
        &self,
        witness: &Witness,
        device: DeviceId,
        readable: &BTreeMap<LineId, (ContentId, u64)>,
    ) -> Result<(), String> {
        let none = BTreeSet::new();
        let ever = witness.ever.get(&device).unwrap_or(&none);
        self.no_phantoms(ever)?;
        let gaps = Gaps::of(self, witness, ever);
        let mut counted = Counted { nameless: gaps.nameless, renamed: gaps.renamed.clone() };
        let mut missing = BTreeSet::new();
        for item in witness.owed(device) {
            let (there, content) = match item {
                Item::Sample { value, .. } => (self.samples.contains_key(&value), None),
                Item::Line { line, stream, .. } => {
                    let content = witness.contents.get(&stream).map(|content| (line, *content));
                    (self.lines.contains_key(&line), content)
                }
            };
            if there || gaps.declare(witness, item) {
                continue;
            }
            missing.extend(content.map(|(line, _)| line));
            if !counted.covers(content.map(|(_, content)| content)) {
                return Err(format!("lost and not declared: {item:?}"));
            }
        }
        for (line, (content, position)) in readable {
            let there = self.lines.contains_key(line) || missing.contains(line);
            if !there && !gaps.declare_line(*content, *position) && !counted.covers(Some(*content))
            {
                return Err(format!("never read although it is there: {line:?} of {content:?}"));
            }
        }
        gaps.exact(self, witness, device)
    }

    fn no_phantoms(&self, ever: &BTreeSet<Item>) -> Result<(), String> {
        let mut samples = BTreeSet::new();
        let mut lines = BTreeSet::new();
        for item in ever {
            match item {
                Item::Sample { value, .. } => samples.insert(*value),
                Item::Line { line, .. } => lines.insert(line.0),
            };
        }
        if self.samples.keys().any(|value| !samples.contains(value))
            || self.lines.keys().any(|line| !lines.contains(&line.0))
        {
            return Err("a phantom: applied, but never committed to a spool".to_owned());
        }
        Ok(())
    }

    pub fn gap_records(&self) -> u64 {
        self.gaps.iter().map(|(_, _, _, gap)| gap.records).sum()
    }

    pub fn undecided(&self) -> usize {
        self.gaps.iter().filter(|(_, _, _, gap)| gap.cause == Cause::Undecided).count()
    }
}

/// Records that gaps declare by their number alone.
struct Counted {
    nameless: u64,
    renamed: BTreeMap<ContentId, u64>,
}

impl Counted {
    /// Whether one more record, if it is a line one of a content, is among them.
    fn covers(&mut self, content: Option<ContentId>) -> bool {
        let renamed = content.and_then(|content| self.renamed.get_mut(&content));
        let left = match renamed {
            Some(left) if *left > 0 => left,
            _ => &mut self.nameless,
        };
        let covers = *left > 0;
        *left = left.saturating_sub(1);
        covers
    }
}

/// What the gaps that landed declare.
struct Gaps {
    ranges: Vec<(Stream, u64, u64)>,
    contents: Vec<(ContentId, u64, u64)>,
    undecided: BTreeSet<Stream>,
    undecided_lines: BTreeSet<(ContentId, u64)>,
    /// Records of gaps that were themselves lost: how many is known, of which streams is not.
    nameless: u64,
    /// Records of undecided runs by their content: they may have been read under another name, of which the
    /// gap does not speak.
    renamed: BTreeMap<ContentId, u64>,
}

impl Gaps {
    fn of(landed: &Landed, witness: &Witness, ever: &BTreeSet<Item>) -> Self {
        let ranges: Vec<_> =
            landed.gaps.iter().map(|(stream, start, end, _)| (*stream, *start, *end)).collect();
        let undecided: BTreeSet<Stream> =
            landed.gaps.iter().filter_map(|(_, _, _, gap)| gap.about).collect();
        // Who declares a stream undecided declares what the stream itself had declared.
        let inherited = witness.declared.iter().filter(|(stream, ..)| undecided.contains(stream));
        let contents = ranges.iter().chain(inherited).filter_map(|(stream, start, end)| {
            witness.contents.get(stream).map(|content| (*content, *start, *end))
        });
        let undecided_lines = ever.iter().filter_map(|item| match item {
            Item::Line { stream, position, .. } if undecided.contains(stream) => {
                witness.contents.get(stream).map(|content| (*content, *position))
            }
            _ => None,
        });
        let own = [Lane::Live, Lane::Bulk].map(own_source);
        let lost = landed
            .gaps
            .iter()
            .filter(|(stream, _, _, gap)| own.contains(&stream.source) && gap.about.is_none());
        let mut renamed = BTreeMap::new();
        for (_, _, _, gap) in &landed.gaps {
            let content = gap.about.and_then(|about| witness.contents.get(&about));
            if let Some(content) = content {
                *renamed.entry(*content).or_default() += gap.records;
            }
        }
        Self {
            renamed,
            nameless: lost.map(|(_, _, _, gap)| gap.records).sum(),
            contents: contents.collect(),
            undecided_lines: undecided_lines.collect(),
            ranges,
            undecided,
        }
    }

    fn declare(&self, witness: &Witness, item: Item) -> bool {
        match item {
            Item::Sample { stream, position, .. } => {
                self.undecided.contains(&stream)
                    || self
                        .ranges
                        .iter()
                        .any(|(of, start, end)| *of == stream && (*start..*end).contains(&position))
            }
            Item::Line { stream, position, .. } => witness
                .contents
                .get(&stream)
                .is_some_and(|content| self.declare_line(*content, position)),
        }
    }

    fn declare_line(&self, content: ContentId, position: u64) -> bool {
        self.undecided_lines.contains(&(content, position))
            || self
                .contents
                .iter()
                .any(|(of, start, end)| *of == content && (*start..*end).contains(&position))
    }

    /// A gap that says how many records it stands for says it exactly: those that its stream read there, or
    /// those of its content. (A spool that has a stream from the ledger alone does not know where it
    /// began, so the gap begins at 0 and counts the stream's own records.)
    fn exact(&self, landed: &Landed, witness: &Witness, device: DeviceId) -> Result<(), String> {
        let none = BTreeSet::new();
        let ever = witness.ever.get(&device).unwrap_or(&none);
        let owed = witness.owed(device);
        let cut_off = witness.cut_off.get(&device).into_iter().flatten();
        let lives: Vec<_> = cut_off.chain([&owed, ever]).collect();
        for (stream, start, end, gap) in &landed.gaps {
            let own = [Lane::Live, Lane::Bulk].map(own_source).contains(&stream.source);
            if own || gap.cause == Cause::Undecided || gap.bytes > 0 {
                continue;
            }
            let count = |life: &&BTreeSet<Item>| inside(life, witness, (*stream, *start, *end));
            let counts: Vec<[u64; 2]> = lives.iter().map(count).collect();
            let there = counts.iter().map(|[all, _]| *all).max().unwrap_or(0);
            let exact = counts.iter().flatten().any(|count| *count == gap.records);
            // What was declared when the run was given up is not declared again.
            let given_up = witness.given_up.contains(stream) && gap.records <= there;
            // Of a run that two lives went on with the ledger may have had the beginning of one and the rest of
            // the other: what it counts is neither's.
            let whole = |life: &&BTreeSet<Item>| inside(life, witness, (*stream, 0, *end))[0];
            let mixed = lives.split_last().is_some_and(|(ever, lives)| {
                lives.len() > 1 && lives.iter().all(|life| whole(life) < whole(ever))
            });
            let counted = mixed && lives.last().is_some_and(|ever| gap.records <= whole(ever));
            if !exact && !given_up && !counted {
                return Err(format!(
                    "a gap is not exact: {gap:?} in {stream:?} {start}..{end}, {there} there"
                ));
            }
        }
        Ok(())
    }
}

/// How many items lie in a range of a stream: those of its content, and its own.
fn inside(
    items: &BTreeSet<Item>,
    witness: &Witness,
    (stream, start, end): (Stream, u64, u64),
) -> [u64; 2] {
    let content = witness.contents.get(&stream);
    let (mut all, mut own) = (BTreeSet::new(), 0);
    for item in items {
        let (of, position, what) = match *item {
            Item::Sample { stream, position, value } => (stream, position, value),
            Item::Line { stream, position, line } => (stream, position, line.0.cast_signed()),
        };
        if !(start..end).contains(&position) {
            continue;
        }
        let is_line = matches!(item, Item::Line { .. });
        if of == stream || is_line && content.is_some() && witness.contents.get(&of) == content {
            all.insert((what, position));
        }
        own += u64::from(of == stream);
    }
    [all.len() as u64, own]
}
