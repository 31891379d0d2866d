//! Batches that no honest agent seals.

use headwater_protocol::batch::Batch;
use headwater_protocol::body::BodyBuilder;
use headwater_protocol::header::Counts;
use headwater_protocol::identity::Seq;
use headwater_protocol::position::{Check, Mark, Run, SourceId, Stream};
use headwater_protocol::record::{Content, Event, Part, Record};

/// A batch in the place of `honest` whose body unpacks to far more than its header says.
pub(crate) fn bomb(honest: &Batch) -> Batch {
    let stream = Stream { source: SourceId([1; 16]), run: Run { number: 1, nonce: 1 } };
    let mut body = BodyBuilder::default();
    body.cover(stream, None, Mark::default(), Check::NONE);
    for start in [0, 1, 2] {
        let event = Event { body: vec![b'a'; 1 << 20], part: Part::Whole };
        let content = Content::Event(event);
        body.push(&Record { stream, start, end: start + 1, time_us: 0, content });
    }
    let (packing, packed) = body.pack(1);
    assert!(packed.len() < 16 << 10, "3 MiB of one letter pack well");
    let mut header = honest.header().clone();
    header.packing = packing;
    header.packing.unpacked = 1 << 10;
    let before = header.parent.expect("a forged batch is the first of its epoch").digest;
    Batch::seal(header, &packed, before)
}

/// The body of `honest` as the batch after `before`.
pub(crate) fn after(before: &Batch, honest: &Batch) -> Batch {
    let mut header = honest.header().clone();
    header.epoch = before.header().epoch;
    header.seq = Seq::new(before.header().seq.number() + 1).unwrap();
    header.parent = None;
    header.totals = before.header().totals.plus(header.counts);
    Batch::seal(header, honest.body(), before.digest())
}

/// `honest` with totals that do not add up.
pub(crate) fn unequal(honest: &Batch) -> Batch {
    let mut header = honest.header().clone();
    header.totals = header.totals.plus(Counts { records: 1, ..Counts::default() });
    let before = header.parent.expect("a forged batch is the first of its epoch").digest;
    Batch::seal(header, honest.body(), before)
}
