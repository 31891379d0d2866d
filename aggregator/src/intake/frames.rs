//! Frames on a QUIC stream.

use headwater_protocol::wire::{FRAME_HEAD_BYTES, Frame, FrameHead};
use quinn::{ReadExactError, RecvStream, SendStream};

use super::fault::{End, PeerFault};

/// Memory that is taken for a frame before any of it has come; the rest is taken as it comes.
const FIRST_BYTES: usize = 64 << 10;

/// The next frame and its size; `None` at the end of the stream. A length is checked before memory is taken.
pub(super) async fn read(stream: &mut RecvStream) -> Result<Option<(Frame, usize)>, End> {
    let mut head = [0; FRAME_HEAD_BYTES];
    match stream.read_exact(&mut head).await {
        Ok(()) => {}
        Err(ReadExactError::FinishedEarly(0)) => return Ok(None),
        Err(ReadExactError::FinishedEarly(_)) => return Err(PeerFault::Cut.into()),
        Err(ReadExactError::ReadError(_)) => return Err(End::Gone),
    }
    let head = FrameHead::parse(head).map_err(PeerFault::Malformed)?;
    let mut payload = Vec::with_capacity(head.length().min(FIRST_BYTES));
    while payload.len() < head.length() {
        let left = head.length() - payload.len();
        match stream.read_chunk(left, true).await {
            Ok(Some(chunk)) => payload.extend_from_slice(&chunk.bytes),
            Ok(None) => return Err(PeerFault::Cut.into()),
            Err(_) => return Err(End::Gone),
        }
    }
    let frame = Frame::decode(head, &payload).map_err(PeerFault::Malformed)?;
    Ok(Some((frame, FRAME_HEAD_BYTES + payload.len())))
}

/// Writes bytes of frames.
pub(super) async fn write(stream: &mut SendStream, frames: &[u8]) -> Result<(), End> {
    stream.write_all(frames).await.map_err(|_| End::Gone)
}

/// What a frame is called when it comes in the wrong place.
pub(super) fn name(frame: &Frame) -> &'static str {
    match frame {
        Frame::Hello(_) => "a hello",
        Frame::Welcome(_) => "a welcome",
        Frame::LaneHello(_) => "a lane's hello",
        Frame::LaneState(_) => "a lane's state",
        Frame::Batch { .. } => "a batch",
        Frame::Next(_) => "an abbreviated batch",
        Frame::Ack(_) | Frame::NextAck(_) => "an ack",
        Frame::Refused(_) => "a refusal",
        Frame::Busy(..) => "a busy",
        Frame::Probe(_) => "a probe",
        Frame::Alive(_) => "an answer to a probe",
    }
}
