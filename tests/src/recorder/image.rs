//! The bytes of a file, in pages that copies share.

use std::io;
use std::sync::Arc;

const PAGE_BYTES: usize = 4096;

type Page = [u8; PAGE_BYTES];

/// The bytes of a file. A copy costs next to nothing: it shares every page until one of both writes it.
#[derive(Clone, Debug, Default)]
pub struct Image {
    pages: Vec<Arc<Page>>,
    bytes: usize,
}

impl Image {
    /// The image of a file that holds these bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        let mut image = Self::default();
        image.write(0, bytes);
        image
    }

    /// How many bytes it has.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// All of them.
    #[must_use]
    pub fn to_vec(&self) -> Vec<u8> {
        let mut all: Vec<u8> = self.pages.iter().flat_map(|page| page.iter().copied()).collect();
        all.truncate(self.bytes);
        all
    }

    /// Reads from a place on.
    ///
    /// # Errors
    /// If it ends before.
    pub fn read(&self, offset: usize, out: &mut [u8]) -> io::Result<()> {
        if offset + out.len() > self.bytes {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mut at = offset;
        let mut out = out;
        while !out.is_empty() {
            let (page, from) = (at / PAGE_BYTES, at % PAGE_BYTES);
            let count = out.len().min(PAGE_BYTES - from);
            let (part, rest) = out.split_at_mut(count);
            part.copy_from_slice(&self.pages[page][from..from + count]);
            (out, at) = (rest, at + count);
        }
        Ok(())
    }

    /// Writes from a place on. Beyond the end it grows, with zeros between.
    pub fn write(&mut self, offset: usize, bytes: &[u8]) {
        if offset + bytes.len() > self.bytes {
            self.set_bytes(offset + bytes.len());
        }
        let (mut at, mut rest) = (offset, bytes);
        while !rest.is_empty() {
            let (page, from) = (at / PAGE_BYTES, at % PAGE_BYTES);
            let (part, after) = rest.split_at(rest.len().min(PAGE_BYTES - from));
            Arc::make_mut(&mut self.pages[page])[from..from + part.len()].copy_from_slice(part);
            (at, rest) = (at + part.len(), after);
        }
    }

    /// Cuts it, or lengthens it with zeros.
    pub fn set_bytes(&mut self, bytes: usize) {
        if bytes < self.bytes && !bytes.is_multiple_of(PAGE_BYTES) {
            let last = Arc::make_mut(&mut self.pages[bytes / PAGE_BYTES]);
            last[bytes % PAGE_BYTES..].fill(0);
        }
        self.pages.resize(bytes.div_ceil(PAGE_BYTES), Arc::new([0; PAGE_BYTES]));
        self.bytes = bytes;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_what_a_file_would_be() {
        let mut image = Image::default();
        image.write(5_000, b"abc");
        image.write(4_094, b"wxyz");
        assert_eq!((image.bytes(), &image.to_vec()[4_094..4_098]), (5_003, &b"wxyz"[..]));
        let before = image.clone();
        image.set_bytes(4_096);
        image.set_bytes(8_192);
        let mut read = [1; 4];
        image.read(4_094, &mut read).unwrap();
        assert_eq!(&read, b"wx\0\0", "what was cut off comes back as zeros");
        assert!(image.read(8_190, &mut read).is_err());
        assert_eq!(&before.to_vec()[5_000..], b"abc", "a copy stays what it was");
    }
}
