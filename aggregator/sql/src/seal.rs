//! Whether a file is as it was written, by the digest in its footer (docs/history.md, section 3).

use std::fmt::Write as _;

/// How the digest of a file stands to its bytes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Seal {
    /// It is as it was written.
    Whole,
    /// It is not.
    Broken,
    /// A build wrote it that made no digests, or somebody else.
    Absent,
}

const DIGEST: &str = "headwater.digest";
/// Letters of a digest; zeros stand in their place while it is made.
const DIGEST_LETTERS: usize = 32;
/// Length of the footer, and four letters.
const TAIL_BYTES: usize = 8;

/// Whether the bytes are those that were written.
pub(crate) fn check(bytes: &[u8]) -> Seal {
    let Some(at) = digest_at(bytes) else {
        return if footer_of(bytes).is_some() { Seal::Absent } else { Seal::Broken };
    };
    let after = at + DIGEST_LETTERS;
    let mut hasher = blake3::Hasher::new();
    hasher.update(&bytes[..at]).update(&[b'0'; DIGEST_LETTERS]).update(&bytes[after..]);
    let digest = hasher.finalize();
    let digest =
        digest.as_bytes()[..DIGEST_LETTERS / 2].iter().fold(String::new(), |mut text, byte| {
            // Writing to a string does not fail.
            _ = write!(text, "{byte:02x}");
            text
        });
    if digest.as_bytes() == &bytes[at..after] { Seal::Whole } else { Seal::Broken }
}

/// Where the digest stands: behind its key in the footer, as Thrift's compact protocol has a text of 32 bytes.
fn digest_at(bytes: &[u8]) -> Option<usize> {
    const BETWEEN: [u8; 2] = [0x18, 32];
    let footer = footer_of(bytes)?;
    let key = DIGEST.as_bytes();
    let after = footer.windows(key.len()).rposition(|window| window == key)? + key.len();
    let is_there = footer.get(after..after + BETWEEN.len())? == BETWEEN;
    let value = after + BETWEEN.len();
    footer.get(value..value + DIGEST_LETTERS).filter(|_| is_there)?;
    Some(bytes.len() - TAIL_BYTES - footer.len() + value)
}

fn footer_of(bytes: &[u8]) -> Option<&[u8]> {
    let (rest, tail) = bytes.split_last_chunk::<TAIL_BYTES>()?;
    let (length, letters) = tail.split_first_chunk::<4>()?;
    let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
    let from = rest.len().checked_sub(length).filter(|_| letters == b"PAR1")?;
    Some(&rest[from..])
}
