//! The pieces that a backup travels in, from who has the databases open to who writes the folder.
//!
//! Each begins with its length (4 bytes, little endian) and its kind (1 byte). Rows are lengths and bytes; all else is
//! MessagePack. A stream that does not end with `Told::End` was broken off.

use headwater_protocol::identity::{LogId, ShardCount};
use serde::{Deserialize, Serialize};

/// The version of the stream. Both ends are of one build, unless that was exchanged under a running aggregator.
pub(crate) const STREAM: u32 = 1;

/// Bytes of rows that are gathered into one piece.
pub(super) const ROWS_BYTES: usize = 256 << 10;
/// Bytes of a piece, for a reader: the largest row of any table fits many times.
const PIECE_BYTES_MAX: usize = 64 << 20;
const HEAD_BYTES: usize = 5;

/// A piece of a backup.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Piece {
    /// What is said of what comes.
    Told(Told),
    /// Rows of the table that was named last: of each the lengths of key and value (4 bytes each), key, value.
    Rows(Vec<u8>),
}

/// What is said between rows.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) enum Told {
    /// What is backed up. Comes first.
    Head(Head),
    /// A small file, whole.
    File {
        /// Below the folder.
        name: String,
        /// What is in it.
        bytes: Vec<u8>,
    },
    /// A database begins.
    Database(String),
    /// A table of it begins.
    Table(String),
    /// It can't go on. Comes last.
    Failed {
        /// Why, as one sentence.
        why: String,
    },
    /// That was all.
    End,
}

/// What is backed up.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct Head {
    /// The version of the stream.
    pub(crate) stream: u32,
    /// The build that has the databases open.
    pub(crate) build: String,
    /// The node's name.
    pub(crate) node: String,
    /// Its log.
    pub(crate) log: LogId,
    /// How many shards that has.
    pub(crate) shards: ShardCount,
    /// Bytes of the databases' files: more than their rows have, as a measure of how far it is.
    pub(crate) bytes: u64,
}

/// Why a piece can't be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PieceError {
    /// No piece is as long.
    #[error("read a piece of the backup: it has {0} bytes, expected at most {PIECE_BYTES_MAX}")]
    TooLong(usize),
    /// A kind that this build does not know.
    #[error("read a piece of the backup: its kind is {0}, which this build does not know")]
    Kind(u8),
    /// What it says can't be read.
    #[error("read a piece of the backup")]
    Told(#[source] rmp_serde::decode::Error),
}

impl Piece {
    /// Its bytes.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let (kind, payload) = match self {
            Self::Told(told) => {
                (0, rmp_serde::to_vec(told).expect("text, numbers and bytes have an encoding"))
            }
            Self::Rows(rows) => (1, rows.clone()),
        };
        let length = u32::try_from(payload.len()).expect("a piece is far below 4 GiB");
        let mut bytes = Vec::with_capacity(HEAD_BYTES + payload.len());
        bytes.extend_from_slice(&length.to_le_bytes());
        bytes.push(kind);
        bytes.extend_from_slice(&payload);
        bytes
    }
}

/// Appends a row to the bytes of a piece.
pub(super) fn put_row(rows: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    for part in [key, value] {
        let length = u32::try_from(part.len()).expect("a row is far below 4 GiB");
        rows.extend_from_slice(&length.to_le_bytes());
    }
    rows.extend_from_slice(key);
    rows.extend_from_slice(value);
}

/// The rows of a piece; what is cut off at its end is no row.
pub(super) fn rows(mut bytes: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    std::iter::from_fn(move || {
        let (head, rest) = bytes.split_first_chunk::<8>()?;
        let length = |at: usize| {
            let four = head[at..at + 4].try_into().expect("four of eight bytes");
            usize::try_from(u32::from_le_bytes(four)).ok()
        };
        let (key, rest) = rest.split_at_checked(length(0)?)?;
        let (value, rest) = rest.split_at_checked(length(4)?)?;
        bytes = rest;
        Some((key, value))
    })
}

/// Puts pieces together from bytes as they come.
#[derive(Debug, Default)]
pub(crate) struct Pieces {
    bytes: Vec<u8>,
    /// Where the next piece begins.
    at: usize,
}

impl Pieces {
    /// Takes bytes.
    pub(crate) fn take(&mut self, bytes: &[u8]) {
        self.bytes.drain(..self.at);
        self.at = 0;
        self.bytes.extend_from_slice(bytes);
    }

    /// The next piece that is complete. `None` if more bytes have to come.
    ///
    /// # Errors
    /// If what came is no piece.
    pub(crate) fn next(&mut self) -> Result<Option<Piece>, PieceError> {
        let Some((head, rest)) = self.bytes[self.at..].split_first_chunk::<HEAD_BYTES>() else {
            return Ok(None);
        };
        let [a, b, c, d, kind] = *head;
        let length = usize::try_from(u32::from_le_bytes([a, b, c, d])).unwrap_or(usize::MAX);
        if length > PIECE_BYTES_MAX {
            return Err(PieceError::TooLong(length));
        }
        let Some(payload) = rest.get(..length) else { return Ok(None) };
        let piece = match kind {
            0 => Piece::Told(rmp_serde::from_slice(payload).map_err(PieceError::Told)?),
            1 => Piece::Rows(payload.to_vec()),
            kind => return Err(PieceError::Kind(kind)),
        };
        self.at += HEAD_BYTES + length;
        Ok(Some(piece))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_come_out_as_they_went_in_however_they_are_cut() {
        let mut filled = Vec::new();
        put_row(&mut filled, b"key", b"value");
        put_row(&mut filled, b"", b"");
        let table = Piece::Told(Told::Table("entries".to_owned()));
        let sent = [table, Piece::Rows(filled), Piece::Told(Told::End)];
        let bytes: Vec<u8> = sent.iter().flat_map(Piece::encode).collect();
        for size in [1, 3, 7, bytes.len()] {
            let (mut pieces, mut came) = (Pieces::default(), Vec::new());
            for chunk in bytes.chunks(size) {
                pieces.take(chunk);
                while let Some(piece) = pieces.next().unwrap() {
                    came.push(piece);
                }
            }
            assert_eq!(came, sent);
        }
        let Piece::Rows(filled) = &sent[1] else { unreachable!("the second one") };
        assert_eq!(rows(filled).collect::<Vec<_>>(), [(&b"key"[..], &b"value"[..]), (b"", b"")]);
        assert_eq!(rows(&filled[..filled.len() - 1]).count(), 1);
    }

    #[test]
    fn what_is_no_piece_is_refused() {
        let mut pieces = Pieces::default();
        pieces.take(&[0xff; 5]);
        assert!(matches!(pieces.next(), Err(PieceError::TooLong(_))));
        let mut pieces = Pieces::default();
        pieces.take(&[0, 0, 0, 0, 9]);
        assert!(matches!(pieces.next(), Err(PieceError::Kind(9))));
    }
}
