//! What landed in the log's files, read by their documented format (docs/log.md) and nothing else.
//!
//! The reader knows rule 3 of the contract: it keeps one chain per lane, opens each batch that is
//! next, and forgets the rest. It shares no code with the fold or the audit, only the codec.

use std::collections::BTreeMap;
use std::path::Path;

use headwater_protocol::batch::Batch;
use headwater_protocol::body::Body;
use headwater_protocol::entry::{Control, Entry, EntryKind, SentClock};
use headwater_protocol::header::Clock;
use headwater_protocol::identity::{BootId, DeviceId, Digest, Epoch, Lane};
use headwater_protocol::position::Stream;
use headwater_protocol::record::{self, Content, Gap, Record, SourceInfo};
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};

const ENTRIES: TableDefinition<'_, (u16, u64), &[u8]> = TableDefinition::new("entries");

/// Everything that counts, by device.
#[derive(Debug, Default)]
pub struct Landed {
    /// By device.
    pub devices: BTreeMap<DeviceId, Device>,
    /// The highest generation that any entry raises or carries.
    pub generation: u64,
    chains: BTreeMap<(DeviceId, Lane), (Epoch, u64, Digest)>,
}

/// What landed of a device.
#[derive(Debug, Default)]
pub struct Device {
    /// Ticks of samplers, by stream, in order of the log.
    pub ticks: BTreeMap<Stream, Vec<Tick>>,
    /// How many lines landed of each file's stream.
    pub lines: BTreeMap<Stream, u64>,
    /// Gaps, in order of the log.
    pub gaps: Vec<Declared>,
    /// Where each stream ends.
    pub ends: BTreeMap<Stream, u64>,
    /// What a stream is, where its batches say it.
    pub sources: BTreeMap<Stream, SourceInfo>,
    /// Epochs that were opened, both lanes together.
    pub epochs: u64,
    /// How often the agent told that a lane's equation holds. One that does not is an error.
    pub balances: u64,
    /// Samples with the time that they are taken for, in order of the log.
    pub measured: Vec<(i64, record::Tick)>,
}

/// A gap, and where it stands.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Declared {
    /// The lane.
    pub lane: Lane,
    /// The stream that it stands in.
    pub stream: Stream,
    /// Where it starts there.
    pub start: u64,
    /// Where it ends there.
    pub end: u64,
    /// What it says.
    pub gap: Gap,
}

/// Samples of one moment.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Tick {
    /// Its number in its run.
    pub start: u64,
    /// The number after it.
    pub end: u64,
    /// When it was taken.
    pub time_us: i64,
    /// How many samples.
    pub samples: u64,
}

impl Landed {
    /// Reads the log of a node that does not run, by the node's data folder.
    ///
    /// # Errors
    /// A sentence: the rule that broke.
    ///
    /// # Panics
    /// If the files cannot be read.
    pub fn read(data: &Path) -> Result<Self, String> {
        let mut landed = Self::default();
        let mut files = 0;
        for file in std::fs::read_dir(data.join("log")).unwrap() {
            let path = file.unwrap().path();
            if path.extension().is_some_and(|ending| ending == "redb") {
                files += 1;
                landed.take_file(&path)?;
            }
        }
        assert!(files > 0, "a node's log has files in {}", data.display());
        Ok(landed)
    }

    /// The only device.
    ///
    /// # Panics
    /// If there is none or more than one.
    #[must_use]
    pub fn only_device(&self) -> &Device {
        assert_eq!(self.devices.len(), 1, "one device sent: {:?}", self.devices.keys());
        self.devices.values().next().expect("there is one")
    }

    fn take_file(&mut self, path: &Path) -> Result<(), String> {
        let database = Database::open(path).unwrap();
        let table = database.begin_read().unwrap().open_table(ENTRIES).unwrap();
        let mut next: BTreeMap<u16, u64> = BTreeMap::new();
        for row in table.iter().unwrap() {
            let (key, value) = row.unwrap();
            let (shard, offset) = key.value();
            let expected = next.insert(shard, offset + 1).unwrap_or(0);
            if offset != expected {
                return Err(format!("shard {shard}: offset {offset} comes after {expected}"));
            }
            // 32 bytes of identity, then the entry.
            let entry = Entry::decode(&value.value()[32..]).map_err(|error| error.to_string())?;
            self.generation = self.generation.max(entry.generation.0);
            match entry.kind {
                EntryKind::Batch { sent, batch } => {
                    self.take_batch(&batch, &sent, entry.stamp_us)?;
                }
                EntryKind::Control(Control::Generation(generation)) => {
                    self.generation = self.generation.max(generation.0);
                }
                EntryKind::Control(Control::Rules(_) | Control::Windows(_)) | EntryKind::Tick => {}
            }
        }
        Ok(())
    }

    fn take_batch(&mut self, batch: &Batch, sent: &SentClock, stamp_us: i64) -> Result<(), String> {
        let header = batch.header();
        let key = (header.device, header.lane);
        let seq = header.seq.number();
        let last = self.chains.get(&key).copied();
        let (epoch, number, digest) = last.unwrap_or((Epoch([0; 16]), 0, Digest([0; 32])));
        let is_next = last.is_some() && header.epoch == epoch && seq == number + 1;
        let opens = header.epoch != epoch
            && header.parent.is_some_and(|parent| {
                (parent.epoch, parent.seq, parent.digest) == (epoch, number, digest)
            });
        if !(is_next || opens) || !batch.follows(digest) {
            return Ok(());
        }
        self.chains.insert(key, (header.epoch, seq, batch.digest()));
        let body = Body::open(batch).map_err(|error| error.to_string())?;
        let device = self.devices.entry(header.device).or_default();
        device.epochs += u64::from(opens);
        for (stream, info) in &body.streams {
            if let Some(info) = info {
                device.sources.insert(*stream, info.clone());
            }
        }
        for record in &body.records {
            device.take(header.lane, record)?;
            if let Content::Tick(samples) = &record.content {
                let shift_us = shift_us(&header.clock, sent, stamp_us);
                let time_us = stamp_us.min(record.time_us + shift_us);
                let told =
                    samples.iter().filter(|it| it.series.metric == "ledger.difference_records");
                device.balances += told.clone().count() as u64;
                if let Some(sample) = told.clone().find(|sample| sample.value != 0) {
                    return Err(format!(
                        "the agent saw an equation that does not hold: {sample:?}"
                    ));
                }
                device.measured.push((time_us, samples.clone()));
            }
        }
        Ok(())
    }
}

/// What a device's times are put right by (docs/averages.md): its clock at sealing should have shown the
/// stamp less the time that the batch waited, by the clock that a boot's readings share; half a second is
/// the way of a frame.
fn shift_us(sealed: &Clock, sent: &SentClock, stamp_us: i64) -> i64 {
    let has_boot = sealed.boot != BootId([0; 16]);
    let waited_us = if has_boot && sealed.boot == sent.boot && sent.mono_us >= sealed.mono_us {
        i64::try_from(sent.mono_us - sealed.mono_us).unwrap()
    } else {
        sent.wall_us - sealed.wall_us
    };
    let shift_us = stamp_us - waited_us - sealed.wall_us;
    if shift_us.abs() > 500_000 { shift_us } else { 0 }
}

impl Device {
    fn take(&mut self, lane: Lane, record: &Record) -> Result<(), String> {
        let Record { stream, start, end, time_us, ref content } = *record;
        let expected = self.ends.insert(stream, end);
        if expected.is_some_and(|expected| expected != start) {
            return Err(format!("a hole or a repeat in {stream:?}: {expected:?}, then {start}"));
        }
        match content {
            Content::Tick(samples) => {
                let tick = Tick { start, end, time_us, samples: samples.len() as u64 };
                self.ticks.entry(stream).or_default().push(tick);
            }
            Content::Event(_) => *self.lines.entry(stream).or_default() += 1,
            Content::Gap(gap) => {
                self.gaps.push(Declared { lane, stream, start, end, gap: gap.clone() });
            }
            Content::Facts(_) => {}
        }
        Ok(())
    }

    /// Records that gaps of a lane stand for.
    #[must_use]
    pub fn gap_records(&self, lane: Lane) -> u64 {
        self.gaps.iter().filter(|it| it.lane == lane).map(|it| it.gap.records).sum()
    }

    /// Ticks in all.
    #[must_use]
    pub fn tick_count(&self) -> u64 {
        self.ticks.values().map(|ticks| ticks.len() as u64).sum()
    }

    /// Samples in all.
    #[must_use]
    pub fn samples(&self) -> u64 {
        self.ticks.values().flatten().map(|tick| tick.samples).sum()
    }

    /// That the ticks of each run begin with the first, have no hole and no repeat, each has samples,
    /// and their times grow.
    ///
    /// # Errors
    /// A sentence: the rule that broke.
    pub fn ticks_are_contiguous(&self) -> Result<(), String> {
        self.check_ticks(IN_TIME, |_, _, _| false)
    }

    /// The same, where a hole may be declared as a gap from its beginning to its end.
    ///
    /// # Errors
    /// As `ticks_are_contiguous`.
    pub fn ticks_are_contiguous_or_declared(&self) -> Result<(), String> {
        self.check_ticks(IN_TIME, |stream, start, end| {
            let gap = |it: &&Declared| it.stream == *stream && it.start >= start && it.end <= end;
            let declared = self.gaps.iter().filter(gap);
            declared.map(|gap| gap.end - gap.start).sum::<u64>() == end - start
        })
    }

    /// As `ticks_are_contiguous`, of a device whose clock went as it liked.
    ///
    /// # Errors
    /// A sentence: the rule that broke.
    pub fn ticks_follow(&self) -> Result<(), String> {
        self.check_ticks(|_, _| true, |_, _, _| false)
    }

    fn check_ticks(
        &self,
        in_time: fn(&Tick, &Tick) -> bool,
        excused: impl Fn(&Stream, u64, u64) -> bool,
    ) -> Result<(), String> {
        for (stream, ticks) in &self.ticks {
            let mut before: Option<Tick> = None;
            for tick in ticks {
                let end = before.map_or(0, |last| last.end);
                let next =
                    tick.start == end || (tick.start > end && excused(stream, end, tick.start));
                let follows = next && before.is_none_or(|last| in_time(&last, tick));
                if !follows || tick.end != tick.start + 1 || tick.samples == 0 {
                    return Err(format!("{stream:?}: {before:?}, then {tick:?}"));
                }
                before = Some(*tick);
            }
        }
        Ok(())
    }
}

/// Times grow.
const IN_TIME: fn(&Tick, &Tick) -> bool = |last, tick| tick.time_us > last.time_us;

#[cfg(test)]
mod tests {
    use headwater_protocol::position::{Run, SourceId};

    use super::*;

    #[test]
    fn a_tick_that_is_missing_doubled_empty_or_out_of_time_is_found() {
        let tick = |start: u64, time_us| Tick { start, end: start + 1, time_us, samples: 50 };
        let empty = Tick { samples: 0, ..tick(1, 2) };
        let cases: [(&str, &[Tick], bool); 6] = [
            ("whole", &[tick(0, 1), tick(1, 2), tick(2, 3)], true),
            ("the first is missing", &[tick(1, 2), tick(2, 3)], false),
            ("one is missing", &[tick(0, 1), tick(2, 3)], false),
            ("one stands twice", &[tick(0, 1), tick(0, 1)], false),
            ("one is empty", &[tick(0, 1), empty], false),
            ("time goes back", &[tick(0, 5), tick(1, 4)], false),
        ];
        let run = Run { number: 1, nonce: 0 };
        for (name, ticks, expected) in cases {
            let mut device = Device::default();
            device.ticks.insert(Stream { source: SourceId([0; 16]), run }, ticks.to_vec());
            assert_eq!(device.ticks_are_contiguous().is_ok(), expected, "{name}");
        }
    }
}
