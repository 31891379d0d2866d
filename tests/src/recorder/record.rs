//! What was done to a disk, in order, and what of it was still open whenever.

use std::sync::Arc;

use super::crash::Stretch;
use super::image::Image;

/// How many operations a disk had seen.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub struct Moment(pub usize);

/// One operation.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Op {
    /// Bytes were written from a place on.
    Write {
        /// The place.
        offset: usize,
        /// The bytes.
        bytes: Arc<[u8]>,
    },
    /// The length was set.
    Length(usize),
    /// A sync returned: what came before is there for good.
    Sync,
    /// A sync failed: what was open before it may get lost at any time, whatever later syncs say. (The
    /// kernel takes such pages for written.)
    FailedSync,
    /// A sync returned, and did nothing.
    IgnoredSync,
}

impl Op {
    /// Has it happen.
    pub fn apply(&self, image: &mut Image) {
        match self {
            Self::Write { offset, bytes } => image.write(*offset, bytes),
            Self::Length(bytes) => image.set_bytes(*bytes),
            Self::Sync | Self::FailedSync | Self::IgnoredSync => {}
        }
    }
}

/// What becomes of an operation in a crash.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Fate {
    /// It may be there or not.
    Open,
    /// As `Open`, and no sync changes that any more.
    Doubtful,
    /// It is there.
    Sure,
}

/// A disk's history.
#[derive(Clone, Debug, Default)]
pub struct Record {
    /// What it held first.
    pub start: Image,
    /// What was done to it.
    pub ops: Vec<Op>,
}

impl Record {
    /// What a reader saw at the end.
    #[must_use]
    pub fn seen(&self) -> Image {
        let mut image = self.start.clone();
        self.ops.iter().for_each(|op| op.apply(&mut image));
        image
    }

    /// The record of a disk that ignored every sync.
    #[must_use]
    pub fn with_syncs_ignored(&self) -> Self {
        let ignored = |op: &Op| if *op == Op::Sync { Op::IgnoredSync } else { op.clone() };
        Self { start: self.start.clone(), ops: self.ops.iter().map(ignored).collect() }
    }

    /// The history between one sync and the next, for each: a crash before the second one leaves what
    /// the first one made sure, and anything of what came after it.
    #[must_use]
    pub fn stretches(&self) -> Vec<Stretch> {
        let mut stretches = Vec::new();
        let mut base = self.start.clone();
        let mut steps: Vec<(Op, Fate)> = Vec::new();
        for (number, op) in self.ops.iter().enumerate() {
            match op {
                Op::Write { .. } | Op::Length(_) => {
                    steps.push((op.clone(), Fate::Open));
                    continue;
                }
                Op::IgnoredSync => continue,
                Op::Sync | Op::FailedSync => {}
            }
            let moment = Moment(number);
            stretches.push(Stretch { base: base.clone(), steps: steps.clone(), moment });
            let open = steps.iter_mut().filter(|(_, fate)| *fate == Fate::Open);
            let fate = if *op == Op::Sync { Fate::Sure } else { Fate::Doubtful };
            open.for_each(|step| step.1 = fate);
            if steps.iter().all(|(_, fate)| *fate == Fate::Sure) {
                steps.drain(..).for_each(|(op, _)| op.apply(&mut base));
            }
        }
        stretches.push(Stretch { base, steps, moment: Moment(self.ops.len()) });
        stretches
    }

    /// The record as bytes, for another process.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let start = self.start.to_vec();
        let mut put = |kind: u8, number: usize, bytes: &[u8]| {
            out.push(kind);
            out.extend_from_slice(&(number as u64).to_le_bytes());
            out.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
            out.extend_from_slice(bytes);
        };
        put(0, 0, &start);
        for op in &self.ops {
            match op {
                Op::Write { offset, bytes } => put(0, *offset, bytes),
                Op::Length(bytes) => put(1, *bytes, &[]),
                Op::Sync => put(2, 0, &[]),
                Op::FailedSync => put(3, 0, &[]),
                Op::IgnoredSync => put(4, 0, &[]),
            }
        }
        out
    }

    /// The record that another process encoded.
    ///
    /// # Panics
    /// If it is none.
    #[must_use]
    pub fn decode(mut bytes: &[u8]) -> Self {
        let mut ops = Vec::new();
        while let Some((kind, rest)) = bytes.split_first() {
            let (number, rest) = rest.split_first_chunk().unwrap();
            let (length, rest) = rest.split_first_chunk().unwrap();
            let [number, length] =
                [*number, *length].map(|bytes| usize::try_from(u64::from_le_bytes(bytes)).unwrap());
            let (data, rest) = rest.split_at(length);
            ops.push(match kind {
                0 => Op::Write { offset: number, bytes: data.into() },
                1 => Op::Length(number),
                2 => Op::Sync,
                3 => Op::FailedSync,
                4 => Op::IgnoredSync,
                other => panic!("no operation has the number {other}"),
            });
            bytes = rest;
        }
        let Op::Write { bytes, .. } = ops.remove(0) else { panic!("the start comes first") };
        Self { start: Image::of(&bytes), ops }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(offset: usize, bytes: &[u8]) -> Op {
        Op::Write { offset, bytes: bytes.into() }
    }

    #[test]
    fn a_sync_makes_sure_and_a_failed_one_never_does() {
        let ops = vec![
            write(0, b"aa"),
            Op::Sync,
            write(0, b"b"),
            Op::FailedSync,
            write(1, b"c"),
            Op::Sync,
            write(2, b"d"),
        ];
        let record = Record { start: Image::default(), ops };
        let stretches = record.stretches();
        let fates = |at: usize| -> Vec<Fate> {
            stretches[at].steps.iter().map(|(_, fate)| *fate).collect()
        };
        assert_eq!(fates(0), [Fate::Open]);
        assert_eq!(fates(1), [Fate::Open]);
        assert_eq!(fates(2), [Fate::Doubtful, Fate::Open]);
        assert_eq!(fates(3), [Fate::Doubtful, Fate::Sure, Fate::Open]);
        assert_eq!(stretches[1].base.to_vec(), b"aa");
        assert_eq!(record.seen().to_vec(), b"bcd");
        // Up to the sync that failed: the one before it was ignored.
        assert_eq!(record.with_syncs_ignored().stretches()[0].steps.len(), 2);
        let copy = Record::decode(&record.encode());
        assert_eq!((copy.ops, copy.start.bytes()), (record.ops, 0));
    }
}
