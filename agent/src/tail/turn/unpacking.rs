//! The content of a compressed file, from its first byte on, in steps that the reader chooses.

use std::fs::File;
use std::io::{self, BufRead, BufReader, ErrorKind, Read};
use std::os::unix::fs::FileExt;

use flate2::bufread::GzDecoder;

use crate::tail::identity::Facts;

/// A stream of bytes out of a gzip file. It can't go back.
///
/// Several members one after the other are one content, and what follows the last one without being a
/// member is left out, both as gzip does it.
#[derive(Debug)]
pub(super) struct Unpacker {
    /// `None` once the content has ended.
    member: Option<GzDecoder<BufReader<File>>>,
}

/// What came of a step.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Unpacked {
    /// As many bytes as were asked for.
    Full,
    /// All that there is; the sums at the end fit.
    End,
    /// The file ends in the middle: it is cut off, or still being written.
    Cut,
    /// What follows is no compressed content, or its sum does not fit.
    Corrupt,
}

impl Unpacker {
    pub(super) fn new(file: File) -> Self {
        let file = BufReader::with_capacity(INPUT_BYTES, file);
        Self { member: Some(GzDecoder::new(file)) }
    }

    /// Appends the next bytes, as many as are asked for unless the content ends before.
    ///
    /// # Errors
    /// What the disk says.
    pub(super) fn read(&mut self, into: &mut Vec<u8>, count: usize) -> io::Result<Unpacked> {
        let goal = into.len() + count;
        while into.len() < goal {
            let Some(member) = &mut self.member else {
                return Ok(Unpacked::End);
            };
            let wanted = (goal - into.len()) as u64;
            match member.by_ref().take(wanted).read_to_end(into) {
                Ok(_) if into.len() == goal => {}
                Ok(_) => self.next_member()?,
                Err(error) if error.raw_os_error().is_some() => return Err(error),
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => {
                    return Ok(Unpacked::Cut);
                }
                Err(_) => return Ok(Unpacked::Corrupt),
            }
        }
        Ok(Unpacked::Full)
    }

    fn next_member(&mut self) -> io::Result<()> {
        if let Some(member) = self.member.take() {
            let mut file = member.into_inner();
            if file.fill_buf()?.starts_with(&MAGIC[..1]) {
                self.member = Some(GzDecoder::new(file));
            }
        }
        Ok(())
    }
}

/// What a compressed file shows without being read through.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Cover {
    /// The first bytes of the content, at most as many as a fingerprint covers.
    pub(super) head: Vec<u8>,
    /// The length of the content modulo 4 GiB, as the file's last bytes have it.
    pub(super) length: u32,
    /// It ends before it shows how the content begins: it is cut off, or hardly begun.
    pub(super) is_cut: bool,
}

impl Cover {
    /// Of an open file; `None` if it is no compressed file, as far as that can be told.
    ///
    /// # Errors
    /// What the disk says.
    pub(super) fn of(file: File, head_bytes: usize) -> io::Result<Option<Self>> {
        let size = Facts::of(&file)?.size;
        let mut length = [0; 4];
        let at = size.checked_sub(length.len() as u64);
        let Some(at) = at else {
            return Ok(Some(Self { head: Vec::new(), length: 0, is_cut: true }));
        };
        file.read_exact_at(&mut length, at)?;
        let mut head = Vec::new();
        match Unpacker::new(file).read(&mut head, head_bytes)? {
            Unpacked::Corrupt if head.is_empty() => Ok(None),
            end => {
                let is_cut = end == Unpacked::Cut;
                Ok(Some(Self { head, length: u32::from_le_bytes(length), is_cut }))
            }
        }
    }
}

/// What each member begins with. Source: RFC 1952, section 2.3.1.
const MAGIC: [u8; 2] = [0x1f, 0x8b];
/// Compressed bytes that are read at a time: one read of the disk for some 150 KiB of a log.
const INPUT_BYTES: usize = 32 << 10;

#[cfg(test)]
mod tests {
    use std::io::{Seek, Write};

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    #[test]
    fn content_comes_out_as_it_went_in_whatever_the_steps() {
        let content = content();
        for step in [1, 7, 1_000, 1 << 20] {
            assert_eq!(unpack(&pack(&content), step), (content.clone(), Unpacked::End), "{step}");
        }
        assert_eq!(unpack(&pack(b""), 10), (vec![], Unpacked::End));
    }

    #[test]
    fn members_follow_each_other_and_what_is_no_member_is_left_out() {
        let both = [pack(b"one\n"), pack(b"two\n")].concat();
        assert_eq!(unpack(&both, 3), (b"one\ntwo\n".to_vec(), Unpacked::End));
        let padded = [pack(b"one\n"), vec![0; 600]].concat();
        assert_eq!(unpack(&padded, 3), (b"one\n".to_vec(), Unpacked::End));
    }

    #[test]
    fn a_file_that_is_cut_at_any_byte_gives_a_beginning_and_says_so() {
        let content = content();
        let packed = pack(&content);
        for end in 0..packed.len() {
            let (bytes, last) = unpack(&packed[..end], 4_096);
            assert_eq!(last, Unpacked::Cut, "cut at {end}");
            assert!(content.starts_with(&bytes), "cut at {end}");
        }
    }

    #[test]
    fn a_byte_that_differs_is_noticed_at_the_latest_by_the_sum() {
        let packed = pack(&content());
        for at in 10..packed.len() {
            let mut bytes = packed.clone();
            bytes[at] ^= 0x55;
            assert_ne!(unpack(&bytes, 4_096).1, Unpacked::End, "byte {at}");
        }
        assert_eq!(unpack(b"this was never compressed", 10), (vec![], Unpacked::Corrupt));
    }

    #[test]
    fn a_cover_shows_how_the_content_begins_and_how_long_it_is() {
        let content = content();
        let cover = Cover::of(file(&pack(&content)), 100).unwrap().unwrap();
        assert_eq!(cover.head, content[..100]);
        assert_eq!(cover.length as usize, content.len());
        assert_eq!(Cover::of(file(b"plain text"), 100).unwrap(), None);
        let hardly_begun = [&b""[..], b"\x1f", &pack(&content)[..9], &pack(&content)[..20]];
        for bytes in hardly_begun {
            assert!(Cover::of(file(bytes), 100).unwrap().unwrap().is_cut, "{bytes:?}");
        }
        assert!(!cover.is_cut);
    }

    fn content() -> Vec<u8> {
        (0..300_u32).flat_map(|n| format!("line {}\n", n * n).into_bytes()).collect()
    }

    fn pack(content: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(content).unwrap();
        encoder.finish().unwrap()
    }

    fn unpack(packed: &[u8], step: usize) -> (Vec<u8>, Unpacked) {
        let mut unpacker = Unpacker::new(file(packed));
        let mut bytes = Vec::new();
        loop {
            match unpacker.read(&mut bytes, step).unwrap() {
                Unpacked::Full => {}
                last => return (bytes, last),
            }
        }
    }

    fn file(bytes: &[u8]) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        file.rewind().unwrap();
        file
    }
}
