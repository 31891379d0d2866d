//! Frames on a stream: a head that is checked before memory is taken, and what follows it.

use headwater_protocol::wire::{FRAME_HEAD_BYTES, Frame, FrameHead};
use quinn::{ReadError, ReadExactError, RecvStream, SendStream, WriteError};

use super::fault::SessionFault;

/// Reads the next frame. Not to be dropped half-way: the stream would be out of step.
pub(super) async fn read(stream: &mut RecvStream) -> Result<Frame, SessionFault> {
    let mut head = [0; FRAME_HEAD_BYTES];
    stream.read_exact(&mut head).await.map_err(read_fault)?;
    let head = FrameHead::parse(head).map_err(SessionFault::Frame)?;
    let mut payload = vec![0; head.length()];
    stream.read_exact(&mut payload).await.map_err(read_fault)?;
    Frame::decode(head, &payload).map_err(SessionFault::Frame)
}

/// Writes the bytes of a frame. Not to be dropped half-way.
pub(super) async fn write(stream: &mut SendStream, frame: Vec<u8>) -> Result<(), SessionFault> {
    stream.write_chunk(frame.into()).await.map_err(|error| match error {
        WriteError::ConnectionLost(error) => SessionFault::of(error),
        WriteError::Stopped(_) | WriteError::ClosedStream | WriteError::ZeroRttRejected => {
            SessionFault::StreamEnded
        }
    })
}

fn read_fault(error: ReadExactError) -> SessionFault {
    match error {
        ReadExactError::ReadError(ReadError::ConnectionLost(error)) => SessionFault::of(error),
        ReadExactError::FinishedEarly(_) | ReadExactError::ReadError(_) => {
            SessionFault::StreamEnded
        }
    }
}

/// A frame's kind, for people.
pub(super) fn name(frame: &Frame) -> &'static str {
    match frame {
        Frame::Hello(_) => "hello",
        Frame::Welcome(_) => "welcome",
        Frame::LaneHello(_) => "lane hello",
        Frame::LaneState(_) => "lane state",
        Frame::Batch { .. } | Frame::Next(_) => "a batch",
        Frame::Ack(_) | Frame::NextAck(_) => "an ack",
        Frame::Refused(_) => "a refusal",
        Frame::Busy(..) => "busy",
        Frame::Probe(_) => "a probe",
        Frame::Alive(_) => "an answer to a probe",
    }
}
