//! Where an agent goes on with a file.

use headwater_protocol::position::{Check, SourceId, Stream};
use headwater_protocol::record::{Cause, Content, Gap, Record};

use super::{File, LaneMemory, Witness};

/// Where reading a file goes on: the furthest run whose last bytes the file still has.
pub(super) fn goes_on(lane: &LaneMemory, source: SourceId, file: &File) -> Option<(u64, Stream)> {
    let fits =
        |position: u64, check: Check| position <= file.size() && file.check(position) == check;
    let spans = lane.body.spans();
    let pending = spans
        .iter()
        .filter(|span| span.stream.source == source)
        .map(|span| (span.end.position, span.check, span.stream));
    let sealed = lane.chain.streams().iter().filter(|(stream, seal)| {
        // A run of which nothing was sealed shows nothing of what it read: it is begun again.
        stream.source == source
            && seal.highest.position > 0
            && !lane.chain.is_only_begun(**stream)
            && seal.given_up.is_none()
            && lane.body.end(**stream).is_none()
    });
    let sealed = sealed.map(|(stream, seal)| (seal.highest.position, seal.check, *stream));
    pending
        .chain(sealed)
        .filter(|(position, check, _)| fits(*position, *check))
        .max_by_key(|(position, _, stream)| (*position, stream.run.number))
        .map(|(position, _, stream)| (position, stream))
}

/// Where a file that went back with its host goes on: where a spool that went back too had read it to.
pub(super) fn went_back(lane: &LaneMemory, source: SourceId, file: &File) -> u64 {
    let own = lane.chain.streams().iter().filter(|(stream, _)| stream.source == source);
    let before = own.filter_map(|(_, sealed)| sealed.before);
    let fits = before
        .filter(|(position, check)| *position <= file.size() && file.check(*position) == *check);
    fits.map(|(position, _)| position).max().unwrap_or(0)
}

/// Declares what a file holds from a position on, and goes on at its end.
pub(super) fn declare_undecided(
    lane: &mut LaneMemory,
    stream: Stream,
    (from, file): (u64, &File),
    witness: &mut Witness,
) {
    lane.chain.cover(&mut lane.body, stream);
    let (end, about) = (file.size(), None);
    witness.declared.push((stream, from, end));
    let gap = Gap { cause: Cause::Undecided, records: 0, bytes: end - from, about };
    let content = Content::Gap(gap);
    lane.body.push(&Record { stream, start: from, end, time_us: 9, content });
    lane.body.set_check(stream, file.check(end));
}
