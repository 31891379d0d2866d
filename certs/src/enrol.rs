//! Enrolment: one request, one answer, inside a pinned TLS session.
//!
//! On the wire a message is a length (four bytes, big-endian), a version byte and MessagePack with
//! named fields. Fields that are not known are skipped, so that a later version may add some; a
//! field that is missing is an error.

mod accept;
mod binding;
mod frame;
mod message;
mod wire;

pub use accept::AcceptError;
pub use binding::{Binding, BindingError, EXPORTER_LABEL, Exporter, ExporterError};
pub use frame::{
    FRAME_HEADER_BYTES, FrameError, PAYLOAD_BYTES_MAX, Split, frame, payload_length, split,
};
pub use message::{
    Der, EnrolRequest, EnrolResponse, Enrolment, MachineFacts, MessageError, Refusal, RefusalReason,
};
pub use wire::{DecodeError, EncodeError, VERSION};
