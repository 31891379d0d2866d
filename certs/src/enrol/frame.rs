//! Frames: where a message ends. A length of four bytes, big-endian, then the payload.

/// Largest payload in either direction. A request is about 1 KiB and an answer about 3 KiB; labels
/// and a bundle during a change of roots need the rest.
pub const PAYLOAD_BYTES_MAX: usize = 65_536;

/// Bytes before the payload.
pub const FRAME_HEADER_BYTES: usize = 4;

/// Puts a length before a payload.
///
/// # Errors
/// The payload is empty or too large.
pub fn frame(payload: &[u8]) -> Result<Vec<u8>, FrameError> {
    check(payload.len())?;
    let length =
        u32::try_from(payload.len()).map_err(|_| FrameError::TooLarge { bytes: payload.len() })?;
    Ok([&length.to_be_bytes(), payload].concat())
}

/// Reads the length before a payload, so that it is known how much memory to take. Nothing larger
/// than [`PAYLOAD_BYTES_MAX`] is ever returned.
///
/// # Errors
/// The peer announces nothing, or too much.
pub fn payload_length(header: [u8; FRAME_HEADER_BYTES]) -> Result<usize, FrameError> {
    let announced = u32::from_be_bytes(header);
    let length = usize::try_from(announced).unwrap_or(usize::MAX);
    check(length)?;
    Ok(length)
}

/// Splits received bytes into the first payload and what follows it. `None` if the payload is not
/// complete yet.
///
/// # Errors
/// The peer announces nothing, or too much.
pub fn split(received: &[u8]) -> Result<Option<Split<'_>>, FrameError> {
    let Some((header, following)) = received.split_first_chunk() else {
        return Ok(None);
    };
    let parts = following.split_at_checked(payload_length(*header)?);
    Ok(parts.map(|(payload, rest)| Split { payload, rest }))
}

/// The first of the messages that were received.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Split<'a> {
    /// Its payload.
    pub payload: &'a [u8],
    /// What follows it. Empty if nothing does.
    pub rest: &'a [u8],
}

fn check(bytes: usize) -> Result<(), FrameError> {
    match bytes {
        0 => Err(FrameError::Empty),
        1..=PAYLOAD_BYTES_MAX => Ok(()),
        _ => Err(FrameError::TooLarge { bytes }),
    }
}

/// Why a frame is refused.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum FrameError {
    /// There is no message without content.
    #[error("read enrolment frame: it is empty")]
    Empty,
    /// More than any message needs.
    #[error("read enrolment frame: it has {bytes} bytes, expected at most 65536")]
    TooLarge {
        /// Its length.
        bytes: usize,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_splits_off_once_it_is_complete() {
        let framed = frame(b"payload").unwrap();
        for length in 0..framed.len() {
            assert_eq!(split(&framed[..length]), Ok(None), "cut at {length}");
        }
        assert_eq!(split(&framed), Ok(Some(Split { payload: b"payload", rest: b"" })));
        let two = [framed.as_slice(), b"rest"].concat();
        assert_eq!(split(&two), Ok(Some(Split { payload: b"payload", rest: b"rest" })));
    }

    #[test]
    fn a_length_beyond_the_limit_is_refused_before_memory_is_taken() {
        assert_eq!(payload_length([0, 1, 0, 0]), Ok(65_536));
        assert_eq!(payload_length([0, 1, 0, 1]), Err(FrameError::TooLarge { bytes: 65_537 }));
        assert!(matches!(payload_length([0xff; 4]), Err(FrameError::TooLarge { .. })));
        assert_eq!(payload_length([0; 4]), Err(FrameError::Empty));
        assert!(matches!(split(&[0xff; 5]), Err(FrameError::TooLarge { .. })));
        assert_eq!(frame(&[]), Err(FrameError::Empty));
        assert!(frame(&[0; 65_536]).is_ok());
        assert!(frame(&[0; 65_537]).is_err());
    }
}
