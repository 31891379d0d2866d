//! Bytes of a message: a version byte, then MessagePack with named fields.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::frame::PAYLOAD_BYTES_MAX;
use super::message::MessageError;

/// Version of the messages, their first byte.
pub const VERSION: u8 = 1;

pub(super) fn encode(message: &impl Serialize) -> Result<Vec<u8>, EncodeError> {
    let mut payload = vec![VERSION];
    let mut writer = rmp_serde::Serializer::new(&mut payload).with_struct_map();
    message.serialize(&mut writer).map_err(|source| EncodeError::Encode { source })?;
    if payload.len() > PAYLOAD_BYTES_MAX {
        return Err(EncodeError::TooLarge { bytes: payload.len() });
    }
    Ok(payload)
}

pub(super) fn decode<Message: DeserializeOwned>(payload: &[u8]) -> Result<Message, DecodeError> {
    if payload.len() > PAYLOAD_BYTES_MAX {
        return Err(DecodeError::TooLarge { bytes: payload.len() });
    }
    let (version, mut rest) = payload.split_first().ok_or(DecodeError::Empty)?;
    if *version != VERSION {
        return Err(DecodeError::Version { version: *version });
    }
    let mut reader = rmp_serde::Deserializer::new(&mut rest);
    reader.set_max_depth(NESTING_MAX);
    let message =
        Message::deserialize(&mut reader).map_err(|source| DecodeError::Malformed { source })?;
    if rest.is_empty() {
        Ok(message)
    } else {
        Err(DecodeError::TrailingBytes { bytes: rest.len() })
    }
}

/// Why a message could not be written.
#[derive(Debug, thiserror::Error)]
pub enum EncodeError {
    /// It breaks a limit that the other side would enforce.
    #[error("write enrolment message")]
    Content {
        /// Which limit.
        source: MessageError,
    },
    /// It has no MessagePack form, which has no cause outside this program.
    #[error("write enrolment message")]
    Encode {
        /// What failed.
        source: rmp_serde::encode::Error,
    },
    /// It is larger than the other side accepts.
    #[error("write enrolment message: it has {bytes} bytes, expected at most 65536")]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
}

/// Why received bytes are not a message. The peer is to blame in every case.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// There is nothing.
    #[error("read enrolment message: it is empty")]
    Empty,
    /// It was not looked at.
    #[error("read enrolment message: it has {bytes} bytes, expected at most 65536")]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
    /// The peer is of another release.
    #[error("read enrolment message: it has version {version}, expected 1; update the older side")]
    Version {
        /// The version it names.
        version: u8,
    },
    /// Not MessagePack, or not the fields of the message.
    #[error("read enrolment message")]
    Malformed {
        /// Where reading stopped.
        source: rmp_serde::decode::Error,
    },
    /// Something follows the message.
    #[error("read enrolment message: {bytes} bytes follow its end")]
    TrailingBytes {
        /// How much.
        bytes: usize,
    },
    /// A field breaks its limit.
    #[error("read enrolment message")]
    Content {
        /// Which one.
        source: MessageError,
    },
}

/// A message is three levels deep: message, variant, list. Skipped fields of later versions may add
/// some.
const NESTING_MAX: usize = 16;
