//! A batch as bytes: header, digest, packed body. The unit that is spooled, sent, appended and applied.

use crate::codec::{DecodeError, Reader};
use crate::header::Header;
use crate::identity::{Digest, Tip};
use crate::limits;

/// A sealed batch. Its bytes are what both sides store and send, unchanged from end to end.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Batch {
    header: Header,
    digest: Digest,
    bytes: Vec<u8>,
    header_bytes: usize,
}

impl Batch {
    /// Seals a header and a packed body on top of the chain's digest.
    #[must_use]
    pub fn seal(header: Header, body: &[u8], before: Digest) -> Self {
        let mut bytes = Vec::with_capacity(512 + body.len());
        header.encode(&mut bytes);
        let header_bytes = bytes.len();
        let digest = chained(before, &bytes, body);
        bytes.extend_from_slice(&digest.0);
        bytes.extend_from_slice(body);
        Self { header, digest, bytes, header_bytes }
    }

    /// Reads a batch. Whether the digest fits its chain is for `follows` to say.
    ///
    /// # Errors
    /// For every malformed input.
    pub fn parse(bytes: Vec<u8>) -> Result<Self, DecodeError> {
        let most = limits::BATCH_BYTES_MAX;
        if bytes.len() > most {
            let (what, value) = ("batch length", bytes.len() as u64);
            return Err(DecodeError::Value { what, value, expected: "at most 2 MiB" });
        }
        let (header, digest, body) = parts(&bytes)?;
        let header_bytes = bytes.len() - body.len() - DIGEST_BYTES;
        Ok(Self { header, digest, bytes, header_bytes })
    }

    /// The header.
    #[must_use]
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The chained digest that the batch claims.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// The state of the chain once this batch is in it.
    #[must_use]
    pub fn tip(&self) -> Tip {
        self.header.tip(self.digest)
    }

    /// Whether the batch's digest is what follows from the digest before it.
    #[must_use]
    pub fn follows(&self, before: Digest) -> bool {
        chained(before, &self.bytes[..self.header_bytes], self.body()) == self.digest
    }

    /// The packed body.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        &self.bytes[self.header_bytes + DIGEST_BYTES..]
    }

    /// The whole batch.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The whole batch.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

/// Header, digest and packed body of a batch's bytes.
///
/// # Errors
/// For every malformed input.
pub(crate) fn parts(bytes: &[u8]) -> Result<(Header, Digest, &[u8]), DecodeError> {
    let mut reader = Reader::new(bytes);
    let header = Header::decode(&mut reader)?;
    let digest = Digest(reader.array("batch digest")?);
    let body = reader.take("batch body", header.packing.packed as usize)?;
    reader.finish("batch")?;
    Ok((header, digest, body))
}

const DIGEST_BYTES: usize = 32;

/// `BLAKE3(digest before, header, body)`.
fn chained(before: Digest, header: &[u8], body: &[u8]) -> Digest {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&before.0).update(header).update(body);
    Digest(*hasher.finalize().as_bytes())
}
