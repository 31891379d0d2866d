//! Identities: who sends, on which lane, in which stretch of the chain, and where it lies in the log.

use std::fmt;
use std::num::NonZeroU64;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// An enrolled host, as its certificate names it: a UUID in 16 bytes.
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
pub struct DeviceId(pub [u8; 16]);

impl fmt::Display for DeviceId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, byte) in self.0.iter().enumerate() {
            if matches!(index, 4 | 6 | 8 | 10) {
                write!(out, "-")?;
            }
            write!(out, "{byte:02x}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for DeviceId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{self}")
    }
}

/// Text that is not a device id.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("a device id has 32 hexadecimal digits, with or without dashes")]
pub struct DeviceIdError;

impl FromStr for DeviceId {
    type Err = DeviceIdError;

    fn from_str(text: &str) -> Result<Self, DeviceIdError> {
        let digits: Vec<u8> = text.bytes().filter(|byte| *byte != b'-').collect();
        if digits.len() != 32 {
            return Err(DeviceIdError);
        }
        let mut id = [0; 16];
        for (byte, pair) in id.iter_mut().zip(digits.chunks(2)) {
            let pair = std::str::from_utf8(pair).map_err(|_| DeviceIdError)?;
            *byte = u8::from_str_radix(pair, 16).map_err(|_| DeviceIdError)?;
        }
        Ok(Self(id))
    }
}

/// An ordered sequence of batches of one device. A backlog of `Bulk` never delays `Live`.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
pub enum Lane {
    /// Samples and edge states.
    Live,
    /// Logs and files.
    Bulk,
}

impl Lane {
    /// Both lanes, the more urgent one first.
    pub const ALL: [Self; 2] = [Self::Live, Self::Bulk];

    /// The number that stands for the lane in every format.
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Self::Live => 0,
            Self::Bulk => 1,
        }
    }

    /// The lane that a number stands for, `None` for a number that no lane has.
    #[must_use]
    pub fn from_code(code: u8) -> Option<Self> {
        match code {
            0 => Some(Self::Live),
            1 => Some(Self::Bulk),
            _ => None,
        }
    }
}

impl fmt::Display for Lane {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Live => "live",
            Self::Bulk => "bulk",
        })
    }
}

/// A stretch of a lane's chain: 128 random bits, drawn when the epoch is opened.
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
pub struct Epoch(pub [u8; 16]);

impl fmt::Display for Epoch {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().take(4).try_for_each(|byte| write!(out, "{byte:02x}"))
    }
}

impl fmt::Debug for Epoch {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{self}")
    }
}

/// Position of a batch within one epoch of one lane. Starts at 1; 0 never exists.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
pub struct Seq(NonZeroU64);

impl Seq {
    /// The first batch of an epoch.
    pub const FIRST: Self = Self(NonZeroU64::MIN);

    /// `None` for 0.
    #[must_use]
    pub fn new(number: u64) -> Option<Self> {
        NonZeroU64::new(number).map(Self)
    }

    /// The one after it; `None` where numbers end.
    #[must_use]
    pub fn next(self) -> Option<Self> {
        self.0.checked_add(1).map(Self)
    }

    /// The plain number.
    #[must_use]
    pub fn number(self) -> u64 {
        self.0.get()
    }
}

impl fmt::Display for Seq {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}", self.0)
    }
}

/// A BLAKE3 hash of the chain up to and including one batch.
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
pub struct Digest(pub [u8; 32]);

impl fmt::Display for Digest {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().take(6).try_for_each(|byte| write!(out, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{self}")
    }
}

/// A state of a lane's chain: the last batch, by epoch, seq and digest.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
pub struct Tip {
    /// The epoch of the last batch.
    pub epoch: Epoch,
    /// The seq of the last batch; 0 in `GENESIS` alone.
    pub seq: u64,
    /// The chained digest of the last batch.
    pub digest: Digest,
}

impl Tip {
    /// The state of a lane that has no batch yet: the parent of a device's first epoch.
    pub const GENESIS: Self = Self { epoch: Epoch([0; 16]), seq: 0, digest: Digest([0; 32]) };
}

impl fmt::Display for Tip {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Self::GENESIS {
            return out.write_str("genesis");
        }
        write!(out, "{}/{}/{}", self.epoch, self.seq, self.digest)
    }
}

/// A share of the devices; the unit of order, of ownership and of scale.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
pub struct ShardId(pub u16);

impl ShardId {
    /// The shard of a device: a fixed hash of its id, the same in every mode and version.
    ///
    /// The first eight bytes of `BLAKE3(id)` keyed by derivation from `"headwater shard 1"`, little
    /// endian, modulo the number of shards.
    #[must_use]
    pub fn of(device: DeviceId, shards: ShardCount) -> Self {
        let key = blake3::derive_key("headwater shard 1", &device.0);
        let mut head = [0; 8];
        head.copy_from_slice(&key[..8]);
        let shard = u64::from_le_bytes(head) % u64::from(shards.0);
        Self(u16::try_from(shard).expect("a remainder of a 16 bit number fits into 16 bits"))
    }
}

impl fmt::Display for ShardId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}", self.0)
    }
}

/// How many shards a log has: fixed when it is created.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "u16")]
pub struct ShardCount(u16);

/// A number of shards that no log has.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("a log has 1 to 1,024 shards, not {0}")]
pub struct ShardCountError(pub u16);

impl TryFrom<u16> for ShardCount {
    type Error = ShardCountError;

    fn try_from(count: u16) -> Result<Self, ShardCountError> {
        Self::new(count).ok_or(ShardCountError(count))
    }
}

impl ShardCount {
    /// 64, in both modes, so that one machine grows into many.
    pub const DEFAULT: Self = Self(64);

    /// `None` for 0 and for more than 1,024.
    #[must_use]
    pub fn new(count: u16) -> Option<Self> {
        (1..=1024).contains(&count).then_some(Self(count))
    }

    /// The plain number.
    #[must_use]
    pub fn number(self) -> u16 {
        self.0
    }

    /// Every shard, in order.
    pub fn shards(self) -> impl Iterator<Item = ShardId> {
        (0..self.0).map(ShardId)
    }
}

/// A position in a shard's log. The first entry has offset 0.
#[derive(
    Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize,
)]
pub struct Offset(pub u64);

impl Offset {
    /// The offset of the entry after this one.
    ///
    /// # Panics
    /// After 2^64 − 1 entries, which no log reaches.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.checked_add(1).expect("a log ends before 2^64 entries"))
    }
}

impl fmt::Display for Offset {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}", self.0)
    }
}

/// A log's identity: random, drawn when it is created or restored.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
pub struct LogId(pub [u8; 16]);

/// A log's life between regressions: raised by a control entry when a tail was lost.
#[derive(
    Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize,
)]
pub struct Generation(pub u64);

/// Who appended an entry: random, drawn when a node is made.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
pub struct NodeId(pub [u8; 16]);

/// The kernel's boot id; all zero where a host has none.
#[derive(
    Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize,
)]
pub struct BootId(pub [u8; 16]);

/// Where in which log the fold applied a batch.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
pub struct Receipt {
    /// The log.
    pub log: LogId,
    /// Its generation when the batch was applied.
    pub generation: Generation,
    /// The shard.
    pub shard: ShardId,
    /// The entry that holds the batch.
    pub offset: Offset,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_stays_in_its_shard_for_ever() {
        let shard = |first| {
            let mut id = [0; 16];
            id[0] = first;
            ShardId::of(DeviceId(id), ShardCount::DEFAULT).0
        };
        assert_eq!([shard(0), shard(1), shard(2), shard(255)], [32, 62, 45, 54]);
    }

    #[test]
    fn a_device_id_is_read_back_from_its_text() {
        let id = DeviceId([0x12, 0x34, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 255]);
        assert_eq!(id.to_string(), "12340001-0203-0405-0607-08090a0b0cff");
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!("12340001".parse::<DeviceId>(), Err(DeviceIdError));
    }
}
