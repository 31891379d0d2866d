//! What the fuzzer reaches of unpacking: built with `--cfg fuzzing` alone.

use std::fs::File;
use std::io;

use super::unpacking::{Cover, Unpacked, Unpacker};

/// Unpacks a compressed file in steps of `step` bytes, `most` bytes at most. The content so far, and
/// whether it has come to its end with the right sum; `None` where `most` came first.
///
/// # Errors
/// What the disk says.
pub fn unpack(file: File, step: usize, most: usize) -> io::Result<(Vec<u8>, Option<bool>)> {
    let (mut unpacker, mut content) = (Unpacker::new(file), Vec::new());
    while content.len() < most {
        let before = content.len();
        match unpacker.read(&mut content, step)? {
            Unpacked::Full => assert_eq!(content.len(), before + step, "a full step is whole"),
            Unpacked::End => return Ok((content, Some(true))),
            Unpacked::Cut | Unpacked::Corrupt => return Ok((content, Some(false))),
        }
        assert!(content.len() <= before + step, "a step gives no more than was asked for");
    }
    Ok((content, None))
}

/// The first bytes of the content of a compressed file; `None` if it is no compressed file.
///
/// # Errors
/// What the disk says.
pub fn cover(file: File, head_bytes: usize) -> io::Result<Option<Vec<u8>>> {
    Ok(Cover::of(file, head_bytes)?.map(|cover| cover.head))
}
