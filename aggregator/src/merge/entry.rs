//! An entry of the merge log as bytes. `docs/averages.md` has the table.

use headwater_protocol::codec::{DecodeError, Reader, put_varint};
use headwater_protocol::identity::{NodeId, ShardId};

use crate::alert::RuleSet;
use crate::window::partial::Partial;
use crate::window::{Output, OutputKind, Position};

/// The newest version. Version 1 is written where it says the same: it knows no quantiles.
const VERSION: u8 = 2;

const KIND_OPENED: u8 = 1;
const KIND_PARTIAL: u8 = 2;
const KIND_WITHOUT: u8 = 3;
const KIND_RULES: u8 = 4;

const PLAIN: u8 = 0;
const ZSTD: u8 = 1;

/// Bytes of a partial above which it is compressed: below, a frame costs more than it saves.
const COMPRESSED_FROM: usize = 256;
/// Bytes of a partial once unpacked: rows of its limit at 64 bytes, or what sketches take in their place, and facts of some thousand devices.
const PARTIAL_BYTES_MAX: usize = 16 << 20;
/// A level that costs less than what it saves of the disk's work.
const LEVEL: i32 = 1;

/// One entry of the merge log.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct MergeEntry {
    /// The node that appended it.
    pub appender: NodeId,
    /// That node's clock, microseconds since 1970 UTC.
    pub stamp_us: i64,
    /// What it says.
    pub kind: MergeKind,
}

/// What an entry says.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum MergeKind {
    /// What a shard fold let out.
    Output {
        /// The shard.
        shard: ShardId,
        /// What it let out.
        output: Output,
    },
    /// A window is closed without shards that stay away.
    Without {
        /// Where the window begins, microseconds since 1970 UTC.
        start_us: i64,
        /// The shards.
        shards: Vec<ShardId>,
    },
    /// A revision of the thresholds, in the format of `alert`.
    Rules(Box<RuleSet>),
}

impl MergeEntry {
    /// The entry's bytes.
    ///
    /// # Panics
    /// If zstd can't compress, which takes no more than memory.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![self.version()];
        out.push(match &self.kind {
            MergeKind::Output {
                output: Output { kind: OutputKind::Opened { .. }, .. }, ..
            } => KIND_OPENED,
            MergeKind::Output { .. } => KIND_PARTIAL,
            MergeKind::Without { .. } => KIND_WITHOUT,
            MergeKind::Rules(_) => KIND_RULES,
        });
        out.extend_from_slice(&self.appender.0);
        out.extend_from_slice(&self.stamp_us.to_le_bytes());
        match &self.kind {
            MergeKind::Output { shard, output } => {
                out.extend_from_slice(&shard.0.to_le_bytes());
                output.at.encode(&mut out);
                match &output.kind {
                    OutputKind::Opened { start_us } => {
                        out.extend_from_slice(&start_us.to_le_bytes())
                    }
                    OutputKind::Partial(partial) => encode_partial(partial, &mut out),
                }
            }
            MergeKind::Without { start_us, shards } => {
                out.extend_from_slice(&start_us.to_le_bytes());
                put_varint(&mut out, shards.len() as u64);
                shards.iter().for_each(|shard| out.extend_from_slice(&shard.0.to_le_bytes()));
            }
            MergeKind::Rules(rules) => out.extend_from_slice(&rules.encode()),
        }
        out
    }

    fn version(&self) -> u8 {
        match &self.kind {
            MergeKind::Output { output: Output { kind: OutputKind::Partial(it), .. }, .. }
                if it.is_spread() =>
            {
                VERSION
            }
            MergeKind::Output { .. } | MergeKind::Without { .. } | MergeKind::Rules(_) => 1,
        }
    }

    /// Reads an entry.
    ///
    /// # Errors
    /// For every malformed input, and a version or kind of a newer build: to skip it would be to fold
    /// another log.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let found = reader.u8("merge entry version")?;
        if !(1..=VERSION).contains(&found) {
            return Err(DecodeError::Version { what: "merge entry", found, newest: VERSION });
        }
        let kind = reader.u8("merge entry kind")?;
        let appender = NodeId(reader.array("appender")?);
        let stamp_us = reader.i64("stamp")?;
        let kind = match kind {
            KIND_OPENED => {
                let (shard, at) = (ShardId(reader.u16("shard")?), Position::decode(&mut reader)?);
                let kind = OutputKind::Opened { start_us: reader.i64("window start")? };
                MergeKind::Output { shard, output: Output { at, kind } }
            }
            KIND_PARTIAL => {
                let (shard, at) = (ShardId(reader.u16("shard")?), Position::decode(&mut reader)?);
                let kind = OutputKind::Partial(decode_partial(&mut reader)?);
                MergeKind::Output { shard, output: Output { at, kind } }
            }
            KIND_WITHOUT => {
                let start_us = reader.i64("window start")?;
                let count = reader.length("count of shards", usize::from(u16::MAX))?;
                let shards = (0..count).map(|_| reader.u16("shard").map(ShardId));
                MergeKind::Without { start_us, shards: shards.collect::<Result<_, _>>()? }
            }
            KIND_RULES => {
                let rules = RuleSet::decode(reader.take("rules", reader.left())?);
                let (what, expected) = ("rules", "a revision of the thresholds");
                let rules = rules.map_err(|_| DecodeError::Value { what, value: 0, expected })?;
                MergeKind::Rules(Box::new(rules))
            }
            kind => {
                let (what, value) = ("merge entry kind", u64::from(kind));
                return Err(DecodeError::Value { what, value, expected: "1 to 4" });
            }
        };
        reader.finish("merge entry")?;
        Ok(Self { appender, stamp_us, kind })
    }
}

fn encode_partial(partial: &Partial, out: &mut Vec<u8>) {
    let mut plain = Vec::new();
    partial.encode(&mut plain);
    if plain.len() < COMPRESSED_FROM {
        out.push(PLAIN);
        out.extend_from_slice(&plain);
        return;
    }
    out.push(ZSTD);
    put_varint(out, plain.len() as u64);
    let packed = zstd::bulk::compress(&plain, LEVEL).expect("compressing takes memory alone");
    out.extend_from_slice(&packed);
}

fn decode_partial(reader: &mut Reader<'_>) -> Result<Partial, DecodeError> {
    let whole = |plain: &[u8]| {
        let mut reader = Reader::new(plain);
        let partial = Partial::decode(&mut reader)?;
        reader.finish("partial")?;
        Ok(partial)
    };
    match reader.u8("partial codec")? {
        PLAIN => whole(reader.take("partial", reader.left())?),
        ZSTD => {
            let length = reader.length("partial length", PARTIAL_BYTES_MAX)?;
            let packed = reader.take("partial", reader.left())?;
            let plain = zstd::bulk::decompress(packed, length).ok();
            let plain = plain.filter(|plain| plain.len() == length);
            let (what, value) = ("partial", length as u64);
            let expected = "a zstd frame of this length";
            whole(&plain.ok_or(DecodeError::Value { what, value, expected })?)
        }
        codec => {
            let (what, value) = ("partial codec", u64::from(codec));
            Err(DecodeError::Value { what, value, expected: "0 or 1" })
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use headwater_protocol::identity::{Generation, Offset};
    use headwater_protocol::record::Series;

    use super::*;
    use crate::window::partial::{Group, GroupRow};
    use crate::window::{Combination, Figures, Key, Spread};

    fn entries() -> Vec<MergeEntry> {
        let rows = (0..100).map(|number| GroupRow {
            series: Arc::new(Series { metric: format!("m{number}"), labels: Vec::new(), scale: 2 }),
            figures: Figures::of(number),
            spread: Spread::Unknown,
            devices: 1,
        });
        let group = Group {
            combination: Arc::new(Combination::device()),
            key: Arc::new(Key::Of(vec!["edge-1".to_owned()])),
            known: 1,
            rows: rows.collect(),
        };
        let mut spread = Group { rows: group.rows.clone(), ..group.clone() };
        for (row, number) in spread.rows.iter_mut().zip(0..) {
            row.spread = Spread::Told;
            (0..number % 9).for_each(|_| row.add(&row.clone()));
        }
        let partial = |groups| Partial {
            start_us: 10,
            length_us: 10,
            revision: 1,
            addition: false,
            continued: false,
            keys_max: 5,
            facts: Vec::new(),
            groups,
        };
        let at = Position { generation: Generation(1), offset: Offset(2), index: 3 };
        let output = |kind| MergeKind::Output { shard: ShardId(7), output: Output { at, kind } };
        let kinds = [
            output(OutputKind::Opened { start_us: -10 }),
            output(OutputKind::Partial(partial(vec![group]))),
            output(OutputKind::Partial(partial(Vec::new()))),
            output(OutputKind::Partial(partial(vec![spread]))),
            MergeKind::Without { start_us: 5, shards: vec![ShardId(1), ShardId(63)] },
            MergeKind::Rules(Box::default()),
        ];
        let entry = |kind| MergeEntry { appender: NodeId([4; 16]), stamp_us: 99, kind };
        kinds.into_iter().map(entry).collect()
    }

    #[test]
    fn entries_come_back_and_cut_ones_are_refused() {
        for entry in entries() {
            let bytes = entry.encode();
            assert_eq!(MergeEntry::decode(&bytes), Ok(entry.clone()));
            for cut in 0..bytes.len() {
                assert!(MergeEntry::decode(&bytes[..cut]).is_err(), "cut at {cut}: {entry:?}");
            }
        }
    }

    #[test]
    fn an_entry_is_of_the_oldest_version_that_can_say_it() {
        let versions: Vec<u8> = entries().iter().map(|entry| entry.encode()[0]).collect();
        assert_eq!(versions, [1, 1, 1, 2, 1, 1], "quantiles make it version 2");
    }

    #[test]
    fn what_is_of_a_newer_build_is_refused_by_name() {
        let mut bytes = entries()[0].encode();
        bytes[0] = 9;
        let error = MergeEntry::decode(&bytes).unwrap_err().to_string();
        assert!(error.contains("merge entry: version 9 is not known"), "{error}");
    }
}
