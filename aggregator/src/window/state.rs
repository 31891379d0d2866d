//! The shard fold's state as bytes: a part of every snapshot. `docs/averages.md` has the table.
//!
//! Equal states have equal bytes: everything in it has one order and one form.

use std::sync::Arc;

use headwater_protocol::codec::{DecodeError, Reader, put_varint};
use headwater_protocol::entry::WindowRules;
use headwater_protocol::identity::{DeviceId, Generation, Offset};

use super::cells::Cells;
use super::device::{Device, Devices};
use super::held::Window;
use super::partial::{SeriesTable, decode_facts, decode_table, encode_facts, narrow};
use super::{Figures, Position, SERIES_PER_DEVICE_MAX, ShardWindows, Spread};

const MAGIC: [u8; 4] = *b"HWWN";
/// The version that this build writes. Version 1 knew no quantiles; any other makes the snapshot of no use, and the log is
/// replayed.
const VERSION: u8 = 2;
/// Devices, windows and figures of one device in one window: bounds for a reader of a damaged file whose
/// hash fits by chance.
const ENTRIES_MAX: usize = 1 << 22;

const FLAG_DIRTY: u8 = 1;
const FLAG_ADDITION: u8 = 2;
/// It is kept how values are spread.
const FLAG_SPREAD: u8 = 4;

impl ShardWindows {
    /// The state's bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = MAGIC.to_vec();
        out.push(VERSION);
        put_varint(&mut out, self.versions.all().len() as u64);
        for rules in self.versions.all() {
            rules.encode(&mut out);
            rules.encode_quantiles(&mut out);
        }
        put_time(self.newest_us, &mut out);
        put_time(self.floor_us, &mut out);
        out.push(u8::from(self.emitted.is_some()));
        if let Some(at) = self.emitted {
            at.encode(&mut out);
        }
        out.extend_from_slice(&self.refused.to_le_bytes());
        put_varint(&mut out, self.devices.len() as u64);
        for (id, _, device) in self.devices.iter() {
            out.extend_from_slice(&id.0);
            device.encode(self.devices.is_told(id), &mut out);
        }
        put_varint(&mut out, self.windows.len() as u64);
        for (start_us, window) in &self.windows {
            out.extend_from_slice(&start_us.to_le_bytes());
            window.encode(&self.devices, &mut out);
        }
        let hash = blake3::hash(&out);
        out.extend_from_slice(hash.as_bytes());
        out
    }

    /// Reads a state.
    ///
    /// # Errors
    /// For every malformed input, and every other version.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let what = "windows";
        let short = DecodeError::Short { what, needed: 32, left: bytes.len() };
        let (body, hash) = bytes.split_last_chunk::<32>().ok_or(short)?;
        if blake3::hash(body).as_bytes() != hash {
            return Err(DecodeError::Digest { what });
        }
        let mut reader = Reader::new(body);
        if reader.array("windows magic")? != MAGIC {
            return Err(DecodeError::Value { what, value: 0, expected: "the magic of windows" });
        }
        let found = reader.u8("windows version")?;
        if !(1..=VERSION).contains(&found) {
            return Err(DecodeError::Version { what, found, newest: VERSION });
        }
        let mut state = Self::default();
        for _ in 0..reader.length("count of rules", ENTRIES_MAX)? {
            let mut rules = WindowRules::decode(&mut reader)?;
            if found > 1 {
                rules.decode_quantiles(&mut reader)?;
            }
            state.versions.take(rules);
        }
        state.newest_us = time(&mut reader)?;
        state.floor_us = time(&mut reader)?;
        state.emitted = match reader.u8("emitted")? {
            0 => None,
            _ => Some(Position::decode(&mut reader)?),
        };
        state.refused = reader.u64("refused samples")?;
        for _ in 0..reader.length("count of devices", ENTRIES_MAX)? {
            let id = DeviceId(reader.array("device")?);
            let (device, is_told) = Device::decode(id, &mut reader)?;
            state.devices.restore(device, is_told);
        }
        for _ in 0..reader.length("count of windows", ENTRIES_MAX)? {
            let start_us = reader.i64("window start")?;
            state.windows.insert(start_us, Window::decode(&state.devices, &mut reader)?);
        }
        reader.finish(what)?;
        Ok(state)
    }
}

impl Position {
    /// Appends the bytes.
    pub fn encode(self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.generation.0.to_le_bytes());
        out.extend_from_slice(&self.offset.0.to_le_bytes());
        out.extend_from_slice(&self.index.to_le_bytes());
    }

    /// Reads the bytes.
    ///
    /// # Errors
    /// If they are cut.
    pub fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            generation: Generation(reader.u64("generation")?),
            offset: Offset(reader.u64("offset")?),
            index: reader.u32("output")?,
        })
    }
}

impl Device {
    fn encode(&self, is_told: bool, out: &mut Vec<u8>) {
        encode_facts(&self.facts, out);
        out.push(u8::from(is_told));
        out.extend_from_slice(&self.seen_us.to_le_bytes());
        out.extend_from_slice(&self.shift_us.to_le_bytes());
        let mut table = SeriesTable::default();
        self.list.series().iter().for_each(|series| table.add(series));
        table.encode(out);
    }

    /// A device, and whether the merge fold has been told its labels.
    fn decode(id: DeviceId, reader: &mut Reader<'_>) -> Result<(Self, bool), DecodeError> {
        let facts = Arc::new(decode_facts(reader)?);
        let told = reader.u8("told")? != 0;
        let (seen_us, shift_us) = (reader.i64("seen")?, reader.i64("shift")?);
        let mut device = Self::with_series(id, decode_table(reader)?);
        (device.facts, device.seen_us, device.shift_us) = (facts, seen_us, shift_us);
        Ok((device, told))
    }
}

impl Window {
    fn encode(&self, devices: &Devices, out: &mut Vec<u8>) {
        put_varint(out, u64::from(self.revision));
        let dirty = if self.dirty { FLAG_DIRTY } else { 0 };
        let spread = if self.cells.are_sketched() { FLAG_SPREAD } else { 0 };
        out.push(dirty | spread | if self.addition { FLAG_ADDITION } else { 0 });
        put_varint(out, self.cells.count() as u64);
        for (id, slot, device) in devices.iter().filter(|(_, slot, _)| self.cells.contains(*slot)) {
            out.extend_from_slice(&id.0);
            // Labels mostly are still those of the device.
            let changed = self.cells.facts(slot).filter(|facts| **facts != device.facts);
            out.push(u8::from(changed.is_some()));
            if let Some(facts) = changed {
                encode_facts(facts, out);
            }
            let all = self.cells.all(slot);
            put_varint(out, all.len() as u64);
            for held in all {
                match held {
                    // A count of 0 stands for none.
                    None => out.push(0),
                    Some((figures, spread)) => {
                        figures.encode(out);
                        spread.encode(out);
                    }
                }
            }
        }
    }

    fn decode(devices: &Devices, reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let revision = narrow(reader, "revision")?;
        let flags = reader.u8("window flags")?;
        let is_spread = flags & FLAG_SPREAD != 0;
        let mut cells = Cells::default();
        if is_spread {
            cells = cells.with_sketches();
        }
        for _ in 0..reader.length("count of cells", ENTRIES_MAX)? {
            let slot = devices.slot(DeviceId(reader.array("device")?));
            let (what, expected) = ("device of a cell", "a device that is known");
            let slot = slot.ok_or(DecodeError::Value { what, value: 0, expected })?;
            let facts = match reader.u8("facts flag")? {
                0 => None,
                _ => Some(Arc::new(decode_facts(reader)?)),
            };
            let count = reader.length("count of figures", SERIES_PER_DEVICE_MAX)?;
            let mut figures = Vec::new();
            for _ in 0..count {
                let mut ahead = reader.clone();
                figures.push(match ahead.u8("figures")? {
                    0 => {
                        *reader = ahead;
                        None
                    }
                    _ => Some(held(is_spread, reader)?),
                });
            }
            cells.open(slot, count);
            cells.set(slot, figures);
            if let Some(facts) = facts {
                cells.keep_facts(slot, &facts);
            }
        }
        let (dirty, addition) = (flags & FLAG_DIRTY != 0, flags & FLAG_ADDITION != 0);
        Ok(Self { revision, dirty, addition, cells })
    }
}

fn held(is_spread: bool, reader: &mut Reader<'_>) -> Result<(Figures, Spread), DecodeError> {
    let figures = Figures::decode(reader)?;
    let spread = if is_spread { Spread::decode(figures, reader)? } else { Spread::Unknown };
    Ok((figures, spread))
}

fn put_time(time_us: Option<i64>, out: &mut Vec<u8>) {
    out.push(u8::from(time_us.is_some()));
    out.extend_from_slice(&time_us.unwrap_or_default().to_le_bytes());
}

fn time(reader: &mut Reader<'_>) -> Result<Option<i64>, DecodeError> {
    let is_there = reader.u8("time")? != 0;
    let time_us = reader.i64("time")?;
    Ok(is_there.then_some(time_us))
}
