//! The two directions of a lane's stream: neither is dropped half-way through a frame.

use std::sync::atomic::{AtomicU64, Ordering};

use headwater_protocol::chain::Row;
use headwater_protocol::identity::Lane;
use headwater_protocol::wire::{Frame, LastAck, LastBatch, PROTOCOL_ABBREVIATED, encode_batch};
use quinn::{RecvStream, SendStream};
use tokio::sync::mpsc;

use super::LaneContext;
use crate::ship::fault::SessionFault;
use crate::ship::frames;

/// What the driver has written.
#[derive(Debug)]
pub(super) enum Order {
    /// A hello: what comes after it is complete again.
    Hello(Vec<u8>),
    /// A row, as long as no later hello was said.
    Row(Row, u64),
}

/// What the driver hears.
#[derive(Debug)]
pub(super) enum Event {
    Frame(Frame),
    /// A row that was to be sent is not there any more.
    RowGone,
}

pub(super) async fn read(mut stream: RecvStream, events: mpsc::Sender<Event>) -> SessionFault {
    let mut last = LastAck::default();
    loop {
        let frame = match frames::read(&mut stream).await {
            Ok(Frame::NextAck(next)) => {
                last.complete(&next).map(Frame::Ack).map_err(SessionFault::Frame)
            }
            other => other,
        };
        match frame {
            Ok(frame) => {
                match &frame {
                    Frame::Ack(ack) => last.note(*ack),
                    Frame::LaneState(_) => last.forget(),
                    _ => {}
                }
                if events.send(Event::Frame(frame)).await.is_err() {
                    return SessionFault::StreamEnded;
                }
            }
            Err(fault) => return fault,
        }
    }
}

pub(super) struct Writer<'a> {
    pub(super) lane: Lane,
    pub(super) context: LaneContext<'a>,
    pub(super) greeting: &'a AtomicU64,
    pub(super) events: mpsc::Sender<Event>,
}

impl Writer<'_> {
    pub(super) async fn run(
        self,
        mut stream: SendStream,
        mut orders: mpsc::Receiver<Order>,
    ) -> SessionFault {
        let mut last = LastBatch::new(self.context.protocol);
        while let Some(order) = orders.recv().await {
            let written = match order {
                Order::Hello(frame) => {
                    last.forget();
                    frames::write(&mut stream, frame).await
                }
                Order::Row(row, greeting) => self.row(&mut stream, &mut last, row, greeting).await,
            };
            if let Err(fault) = written {
                return fault;
            }
        }
        SessionFault::StreamEnded
    }

    async fn row(
        &self,
        stream: &mut SendStream,
        last: &mut LastBatch,
        row: Row,
        greeting: u64,
    ) -> Result<(), SessionFault> {
        if greeting != self.greeting.load(Ordering::Relaxed) {
            return Ok(());
        }
        let batch = self.context.spool.read(self.lane, row).await.map_err(SessionFault::Row)?;
        match batch {
            Some(batch) => {
                let sent = self.context.clocks.sent();
                let is_spoken = self.context.protocol >= PROTOCOL_ABBREVIATED;
                let next = is_spoken.then(|| last.abbreviate(sent, &batch)).flatten();
                let frame = match next {
                    Some(next) => Frame::Next(next).encode(),
                    None => encode_batch(sent, &batch),
                };
                frames::write(stream, frame).await
            }
            None => {
                // The driver is gone only if the session is.
                let _ = self.events.send(Event::RowGone).await;
                Ok(())
            }
        }
    }
}
