//! The bytes in the spool's tables. `docs/spool.md` has the byte tables.
//!
//! Batches stand in it as they are sealed and sent. What is described here is the rest: the link of a
//! row, the name and the memory of a stream, the head of a lane. What no digest covers carries a check of
//! its own: a disk that gives other bytes than it was given is found out, wherever it does.

use headwater_protocol::chain::{Declared, Head, Link, Sealed};
use headwater_protocol::codec::{DecodeError, Reader, put_bytes, put_varint};
use headwater_protocol::identity::Digest;
use headwater_protocol::limits;
use headwater_protocol::position::{Check, Mark, Run, SourceId, Stream};
use headwater_protocol::record::{Fingerprint, SourceInfo};

/// The version of the whole file: of its tables and of what is in them.
pub(crate) const FORMAT_VERSION: u32 = 2;
/// Bytes of a link.
pub(crate) const LINK_BYTES: usize = 48;
/// Bytes of a stream's name.
pub(crate) const STREAM_BYTES: usize = 32;

const HEAD_VERSION: u8 = 1;
const SEALED_VERSION: u8 = 1;

const FLAG_UNDECIDED: u8 = 1;
const FLAG_GIVEN_UP: u8 = 2;
const FLAG_BEFORE: u8 = 4;
const FLAG_TORN: u8 = 8;

const INFO_NONE: u8 = 0;
const INFO_HOST: u8 = 1;
const INFO_DEVICE: u8 = 2;
const INFO_FILE: u8 = 3;

/// Bytes of the check at the end of a row.
const ROW_CHECK_BYTES: usize = 8;

/// A row with its check, which covers its key too.
pub(crate) fn checked(key: &[u8], mut row: Vec<u8>) -> Vec<u8> {
    let check = row_check(key, &row);
    row.extend_from_slice(&check);
    row
}

/// The row within its check.
pub(crate) fn verified<'a>(
    what: &'static str,
    key: &[u8],
    stored: &'a [u8],
) -> Result<&'a [u8], DecodeError> {
    let split = stored.len().checked_sub(ROW_CHECK_BYTES).map(|at| stored.split_at(at));
    let value = stored.len() as u64;
    let whole = split.filter(|(row, check)| row_check(key, row) == *check);
    let expected = "bytes that fit their check";
    whole.map(|(row, _)| row).ok_or(DecodeError::Value { what, value, expected })
}

/// The check at the end of a row, as a number: rows are summed up, so that one that is older than the others
/// is found out.
pub(crate) fn check_of(stored: &[u8]) -> u64 {
    stored.last_chunk().map_or(0, |check| u64::from_le_bytes(*check))
}

/// A head's row: the head, and the sum of the checks of its lane's streams.
pub(crate) fn with_sum(mut head: Vec<u8>, sum: u64) -> Vec<u8> {
    head.extend_from_slice(&sum.to_le_bytes());
    head
}

/// The head in a head's row, and the sum.
pub(crate) fn split_sum(row: &[u8]) -> Result<(&[u8], u64), DecodeError> {
    let split = row.split_last_chunk().map(|(head, sum)| (head, u64::from_le_bytes(*sum)));
    split.ok_or(DecodeError::Short { what: "head", needed: 8, left: row.len() })
}

fn row_check(key: &[u8], row: &[u8]) -> [u8; ROW_CHECK_BYTES] {
    let mut hasher = blake3::Hasher::new();
    let length = key.len() as u64;
    hasher.update(&length.to_le_bytes()).update(key).update(row);
    let mut check = [0; ROW_CHECK_BYTES];
    check.copy_from_slice(&hasher.finalize().as_bytes()[..ROW_CHECK_BYTES]);
    check
}

/// Digest, bytes, records.
pub(crate) fn encode_link(link: Link) -> [u8; LINK_BYTES] {
    let mut out = [0; LINK_BYTES];
    out[..32].copy_from_slice(&link.digest.0);
    out[32..40].copy_from_slice(&link.bytes.to_le_bytes());
    out[40..].copy_from_slice(&link.records.to_le_bytes());
    out
}

pub(crate) fn decode_link(bytes: &[u8; LINK_BYTES]) -> Link {
    let mut reader = Reader::new(bytes);
    let mut read = || -> Result<Link, DecodeError> {
        let digest = Digest(reader.array("link digest")?);
        Ok(Link { digest, bytes: reader.u64("link bytes")?, records: reader.u64("link records")? })
    };
    read().expect("a link has as many bytes as its three fields")
}

/// Source, number of the run, nonce: numbers with the highest byte first, so that the runs of a source
/// stand in order.
pub(crate) fn encode_stream(stream: Stream) -> [u8; STREAM_BYTES] {
    let mut out = [0; STREAM_BYTES];
    out[..16].copy_from_slice(&stream.source.0);
    out[16..24].copy_from_slice(&stream.run.number.to_be_bytes());
    out[24..].copy_from_slice(&stream.run.nonce.to_be_bytes());
    out
}

pub(crate) fn decode_stream(bytes: &[u8; STREAM_BYTES]) -> Stream {
    let mut reader = Reader::new(bytes);
    let mut read = || -> Result<Stream, DecodeError> {
        let source = SourceId(reader.array("source")?);
        let number = u64::from_be_bytes(reader.array("run number")?);
        let nonce = u64::from_be_bytes(reader.array("run nonce")?);
        Ok(Stream { source, run: Run { number, nonce } })
    };
    read().expect("a stream's name has as many bytes as its three fields")
}

pub(crate) fn encode_sealed(sealed: &Sealed) -> Vec<u8> {
    let mut out = vec![SEALED_VERSION];
    for mark in [sealed.origin, sealed.highest] {
        put_varint(&mut out, mark.position);
        put_varint(&mut out, mark.records);
    }
    out.extend_from_slice(&sealed.check.0.to_le_bytes());
    put_varint(&mut out, sealed.dropped_to);
    out.push(
        (u8::from(sealed.undecided) * FLAG_UNDECIDED)
            | (u8::from(sealed.given_up.is_some()) * FLAG_GIVEN_UP)
            | (u8::from(sealed.before.is_some()) * FLAG_BEFORE)
            | (u8::from(sealed.torn) * FLAG_TORN),
    );
    if let Some(declared) = sealed.given_up {
        put_varint(&mut out, declared.records);
        put_varint(&mut out, declared.bytes);
    }
    if let Some((position, check)) = sealed.before {
        put_varint(&mut out, position);
        out.extend_from_slice(&check.0.to_le_bytes());
    }
    match &sealed.info {
        None => out.push(INFO_NONE),
        Some(SourceInfo::Host) => out.push(INFO_HOST),
        Some(SourceInfo::Device) => out.push(INFO_DEVICE),
        Some(SourceInfo::File { path, fingerprint }) => {
            out.push(INFO_FILE);
            put_bytes(&mut out, path);
            out.extend_from_slice(&fingerprint.length.to_le_bytes());
            out.extend_from_slice(&fingerprint.hash);
        }
    }
    out
}

pub(crate) fn decode_sealed(bytes: &[u8]) -> Result<Sealed, DecodeError> {
    let mut reader = Reader::new(bytes);
    version("stream", &mut reader, SEALED_VERSION)?;
    let origin = decode_mark(&mut reader)?;
    let highest = decode_mark(&mut reader)?;
    let check = Check(reader.u64("check")?);
    let dropped_to = reader.varint("dropped to")?;
    let flags = reader.u8("stream flags")?;
    if flags & !(FLAG_UNDECIDED | FLAG_GIVEN_UP | FLAG_BEFORE | FLAG_TORN) != 0 {
        let (what, value) = ("stream flags", u64::from(flags));
        return Err(DecodeError::Value { what, value, expected: "known flags" });
    }
    let (undecided, torn) = (flags & FLAG_UNDECIDED != 0, flags & FLAG_TORN != 0);
    let given_up = match flags & FLAG_GIVEN_UP {
        0 => None,
        _ => Some(Declared {
            records: reader.varint("declared records")?,
            bytes: reader.varint("declared bytes")?,
        }),
    };
    let before = match flags & FLAG_BEFORE {
        0 => None,
        _ => Some((reader.varint("position before")?, Check(reader.u64("check before")?))),
    };
    let info = match reader.u8("source kind")? {
        INFO_NONE => None,
        INFO_HOST => Some(SourceInfo::Host),
        INFO_DEVICE => Some(SourceInfo::Device),
        INFO_FILE => Some(SourceInfo::File {
            path: reader.bytes("path", limits::PATH_BYTES_MAX)?.to_vec(),
            fingerprint: Fingerprint {
                length: reader.u16("fingerprint length")?,
                hash: reader.array("fingerprint")?,
            },
        }),
        kind => {
            let (what, value) = ("source kind", u64::from(kind));
            return Err(DecodeError::Value { what, value, expected: "0 to 3" });
        }
    };
    reader.finish("stream")?;
    Ok(Sealed { origin, highest, check, dropped_to, undecided, given_up, before, torn, info })
}

fn decode_mark(reader: &mut Reader<'_>) -> Result<Mark, DecodeError> {
    Ok(Mark { position: reader.varint("position")?, records: reader.varint("records")? })
}

/// A version and the head with named fields.
pub(crate) fn encode_head(head: &Head) -> Vec<u8> {
    let mut out = vec![HEAD_VERSION];
    rmp_serde::encode::write_named(&mut out, head).expect("numbers and bytes have an encoding");
    out
}

pub(crate) fn decode_head(bytes: &[u8]) -> Result<Head, DecodeError> {
    let mut reader = Reader::new(bytes);
    version("head", &mut reader, HEAD_VERSION)?;
    let left = reader.left();
    rmp_serde::from_slice(reader.take("head", left)?).map_err(|_| DecodeError::Value {
        what: "head",
        value: left as u64,
        expected: "the fields of a head",
    })
}

fn version(what: &'static str, reader: &mut Reader<'_>, newest: u8) -> Result<(), DecodeError> {
    match reader.u8(what)? {
        found if found == newest => Ok(()),
        found => Err(DecodeError::Version { what, found, newest }),
    }
}

#[cfg(test)]
mod tests {
    use headwater_protocol::chain::{Chain, Fresh};
    use headwater_protocol::identity::{DeviceId, Epoch, Lane};
    use proptest::prelude::*;

    use super::*;

    fn sealed(info: Option<SourceInfo>) -> Sealed {
        Sealed {
            origin: Mark { position: 3, records: 1 },
            highest: Mark { position: 1 << 40, records: 700 },
            check: Check(u64::MAX),
            dropped_to: 9,
            undecided: true,
            given_up: Some(Declared { records: 3, bytes: 1 << 33 }),
            before: Some((1 << 39, Check(7))),
            torn: true,
            info,
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        let file = SourceInfo::File {
            path: b"/var/log/\xff".to_vec(),
            fingerprint: Fingerprint::of(b"x"),
        };
        for info in [None, Some(SourceInfo::Host), Some(SourceInfo::Device), Some(file)] {
            let sealed = sealed(info);
            assert_eq!(decode_sealed(&encode_sealed(&sealed)), Ok(sealed));
        }
        let link = Link { digest: Digest([7; 32]), bytes: 1 << 33, records: 12 };
        assert_eq!(decode_link(&encode_link(link)), link);
        let stream = Stream { source: SourceId([1; 16]), run: Run { number: 258, nonce: 3 } };
        assert_eq!(decode_stream(&encode_stream(stream)), stream);
        let fresh = Fresh { epoch: Epoch([4; 16]), seed: 1 };
        let chain = Chain::new(DeviceId([5; 16]), Lane::Bulk, fresh);
        assert_eq!(decode_head(&encode_head(chain.head())).as_ref(), Ok(chain.head()));
    }

    #[test]
    fn a_row_that_changed_or_stands_under_another_key_is_found_out() {
        let stored = checked(b"key", vec![1, 2, 3]);
        assert_eq!(stored.len(), 11);
        assert_eq!(verified("row", b"key", &stored), Ok(&[1, 2, 3][..]));
        assert!(verified("row", b"kez", &stored).is_err());
        assert!(verified("row", b"key", &stored[..7]).is_err());
        for at in 0..stored.len() {
            let mut other = stored.clone();
            other[at] ^= 1;
            assert!(verified("row", b"key", &other).is_err(), "byte {at}");
        }
    }

    #[test]
    fn the_bytes_stay_the_same() {
        let sealed = sealed(Some(SourceInfo::File {
            path: b"/a".to_vec(),
            fingerprint: Fingerprint::default(),
        }));
        let mut expected = vec![1, 3, 1, 0x80, 0x80, 0x80, 0x80, 0x80, 0x20, 0xbc, 0x05];
        expected.extend_from_slice(&[0xff; 8]);
        expected.extend_from_slice(&[9, 15]);
        expected.extend_from_slice(&[3, 0x80, 0x80, 0x80, 0x80, 0x20]);
        expected.extend_from_slice(&[0x80, 0x80, 0x80, 0x80, 0x80, 0x10, 7, 0, 0, 0, 0, 0, 0, 0]);
        expected.extend_from_slice(&[3, 2, b'/', b'a']);
        expected.extend_from_slice(&[0; 18]);
        assert_eq!(encode_sealed(&sealed), expected);
        let stream = Stream { source: SourceId([1; 16]), run: Run { number: 258, nonce: 3 } };
        let mut expected = [1; 32];
        expected[16..].copy_from_slice(&[0, 0, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 0, 0, 0, 3]);
        assert_eq!(encode_stream(stream), expected);
    }

    #[test]
    fn a_version_from_the_future_is_named() {
        let mut bytes = encode_sealed(&sealed(None));
        bytes[0] = 2;
        let error = DecodeError::Version { what: "stream", found: 2, newest: 1 };
        assert_eq!(decode_sealed(&bytes), Err(error));
    }

    proptest! {
        #[test]
        fn no_bytes_reach_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode_sealed(&bytes);
            let _ = decode_head(&bytes);
            let mut versioned = vec![1];
            versioned.extend_from_slice(&bytes);
            let _ = decode_sealed(&versioned);
            let _ = decode_head(&versioned);
        }
    }
}
