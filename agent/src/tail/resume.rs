//! Decisions about a file, from facts alone: does it go on where it was read, is it a copy, and what is
//! lost when it changed. No I/O.

use headwater_protocol::position::Check;
use headwater_protocol::record::{Cause, Fingerprint, SourceInfo};

use super::KnownStream;

/// What was seen of a file whose source has been read before.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen<'a> {
    pub(super) size: u64,
    /// Its first bytes, at most as many as a fingerprint covers.
    pub(super) head: &'a [u8],
    /// The bytes before the known position that a check covers; fewer if the file is shorter.
    pub(super) window: &'a [u8],
    /// The bytes before the place that a restored spool had read it to; none if there is no such place.
    pub(super) window_before: &'a [u8],
    /// Its first bytes as they were when it was read; `None` after a restart.
    pub(super) head_before: Option<&'a [u8]>,
    /// Its first line is the one that the run begins with.
    pub(super) begins_with_its_line: bool,
}

/// What becomes of a file that was read before.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Resume {
    /// It goes on at the known position.
    Continue,
    /// It goes on there as a new run, because the ledger may have forgotten the old one.
    ContinueAnew,
    /// It went back with its host, and may go on otherwise: a new run goes on where the restored spool had
    /// read it to.
    WentBack,
    /// It lost its end: a new run goes on where it begins to differ from what was read or, if the spool
    /// cannot show where, at its present end.
    Shorter,
    /// It may have lost its end and gone on otherwise: if the spool shows where it begins to differ, a new
    /// run goes on there. Else it holds something else.
    MayBeShorter,
    /// It holds something else: a new run from its start.
    Other,
}

/// Decides what becomes of a file that was read before.
///
/// Shorter with equal first bytes is the same file whose host lost the end (FAILURES page, F21), but
/// only if there are enough of them: a heading of a few bytes comes again in every new log.
pub(super) fn resume(known: &KnownStream, is_forgotten: bool, seen: &Seen<'_>) -> Resume {
    let reaches = seen.size >= known.position;
    if reaches && fits(known, seen.window) {
        return if is_forgotten { Resume::ContinueAnew } else { Resume::Continue };
    }
    if known.before.is_some_and(|(position, check)| {
        seen.size >= position && Check::of(seen.window_before) == check
    }) {
        return Resume::WentBack;
    }
    match begins_alike(known, seen) {
        Some(equal) if equal < EVIDENCE_BYTES => Resume::Other,
        Some(_) if !reaches => Resume::Shorter,
        _ if known.check == Check::NONE => Resume::Other,
        Some(_) | None => Resume::MayBeShorter,
    }
}

/// How many bytes at the beginning of a file are those that were read, as far as they are known; `None` if
/// it begins with some of them.
fn begins_alike(known: &KnownStream, seen: &Seen<'_>) -> Option<usize> {
    if let Some(before) = seen.head_before {
        let length = before.len().min(seen.head.len());
        let equal = before.iter().zip(seen.head).take_while(|(one, other)| one == other).count();
        let is_part = (EVIDENCE_BYTES..length).contains(&equal);
        return if is_part { None } else { Some(if equal == length { length } else { 0 }) };
    }
    match fingerprint(known) {
        Some(print) if print.fits(seen.head) => Some(print.length()),
        Some(_) if seen.begins_with_its_line => None,
        Some(_) | None => Some(0),
    }
}

/// Whether these are the bytes that stood before the known position.
pub(super) fn fits(known: &KnownStream, window: &[u8]) -> bool {
    known.position == 0 || (known.check != Check::NONE && Check::of(window) == known.check)
}

/// How many bytes at the beginning of a file are known to be those of a run; `None` if there are others,
/// or nothing of the run was read.
///
/// A fingerprint says it of files that are long enough. `remembered` are the first bytes of the run
/// themselves, which say it of shorter ones: `None` where they were not read since the start.
pub(super) fn alike(known: &KnownStream, remembered: Option<&[u8]>, head: &[u8]) -> Option<usize> {
    if known.position == 0 {
        return None;
    }
    match (fingerprint(known), remembered) {
        (Some(print), _) if print.length() <= head.len() => {
            print.fits(head).then_some(print.length())
        }
        (_, Some(bytes)) => {
            let length = bytes.len().min(head.len());
            (bytes[..length] == head[..length]).then_some(length)
        }
        (Some(_), None) => None,
        (None, None) => Some(0),
    }
}

/// What was seen of a file whose source is unknown, beside a stream that is known.
#[derive(Clone, Copy, Debug)]
pub(super) struct Likeness<'a> {
    /// How many of its first bytes are those of the stream; `None` if it begins otherwise.
    pub(super) alike: Option<usize>,
    pub(super) size: u64,
    /// The bytes before the stream's position; fewer if the file is shorter.
    pub(super) window: &'a [u8],
    /// Its name is that of the stream's file with an ending, as rotation gives it.
    pub(super) is_named_after: bool,
    /// It stands where the stream's file stood.
    pub(super) is_in_place_of: bool,
    /// Bytes that are the same in every line are no evidence.
    pub(super) is_repetitive: bool,
}

/// What became of the file that a stream was read from.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Original {
    /// It stands at its path and holds what was read. Whether the other file is a beginning of it was
    /// compared.
    InPlace {
        /// All bytes of the other file stand in it, at the same places.
        holds_it: bool,
    },
    /// It has another name: files are rotated by renaming, and nothing is copied.
    Moved,
    /// It stands at its path and holds something else, or is read as a later run.
    Truncated,
    /// It is nowhere.
    Gone,
}

/// What a file is whose source is unknown, in view of one known stream.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Kind {
    /// A file of its own.
    Own,
    /// Nothing but bytes that were read from the original.
    SpentCopy,
    /// A copy of a file that is still there and holds it all: nothing of it is read, for the time being.
    Copy,
    /// Where the stream goes on.
    Continuation,
}

/// Decides what a file of unknown source is.
///
/// Equal content alone is no identity: it counts where the original shows that it was copied, or is
/// gone, and never where files are rotated by renaming.
pub(super) fn classify(known: &KnownStream, original: Original, seen: &Likeness<'_>) -> Kind {
    let Some(evidence) = evidence(known, seen) else {
        return Kind::Own;
    };
    let is_sure = seen.is_named_after || !seen.is_repetitive;
    let takes_place = seen.is_in_place_of && original != Original::Gone;
    if takes_place || !is_sure {
        return Kind::Own;
    }
    match (original, evidence) {
        (Original::Moved, _) | (Original::InPlace { holds_it: false }, _) => Kind::Own,
        (Original::InPlace { holds_it: true }, _) => Kind::Copy,
        (Original::Gone, Evidence::Position) if seen.is_repetitive => Kind::Own,
        (Original::Truncated | Original::Gone, Evidence::Position) => Kind::Continuation,
        (Original::Truncated, Evidence::Head) if seen.is_named_after => Kind::SpentCopy,
        (Original::Truncated | Original::Gone, Evidence::Head) => Kind::Own,
    }
}

/// What speaks for a likeness.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Evidence {
    /// The bytes before the position are the same.
    Position,
    /// It is shorter than the position, and its first bytes are the same.
    Head,
}

fn evidence(known: &KnownStream, seen: &Likeness<'_>) -> Option<Evidence> {
    let head = seen.alike?;
    if seen.size >= known.position {
        let is_enough = head.max(seen.window.len()) >= EVIDENCE_BYTES || seen.is_named_after;
        return (is_enough && fits(known, seen.window)).then_some(Evidence::Position);
    }
    (head >= EVIDENCE_BYTES || (head > 0 && seen.is_named_after)).then_some(Evidence::Head)
}

/// Says what is lost when a run ends because its file holds something else and no copy was found:
/// the bytes that were seen and not read, or nothing that can be shown. `None`: nothing at all.
pub(super) fn lost(known: &KnownStream, size_before: Option<u64>) -> Option<(Cause, u64)> {
    match size_before {
        Some(size) if size > known.position => Some((Cause::Truncated, size)),
        // Ended by a gap before, or never read: what follows has nothing to do with it.
        _ if known.check == Check::NONE => None,
        _ => Some((Cause::Suspected, known.position)),
    }
}

/// A fingerprint that covers something.
#[derive(Clone, Copy)]
struct Print(Fingerprint);

impl Print {
    fn length(self) -> usize {
        usize::from(self.0.length)
    }

    fn fits(self, head: &[u8]) -> bool {
        head.get(..self.length()).is_some_and(|head| Fingerprint::of(head) == self.0)
    }
}

/// `None` where nothing is known of the first bytes.
fn fingerprint(known: &KnownStream) -> Option<Print> {
    match &known.info {
        Some(SourceInfo::File { fingerprint, .. }) if fingerprint.length > 0 => {
            Some(Print(*fingerprint))
        }
        _ => None,
    }
}

/// So many equal bytes are no accident; a time stamp and a few words.
pub(super) const EVIDENCE_BYTES: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: [u8; 100] = [b'l'; 100];
    const OTHER: [u8; 100] = [b'o'; 100];

    fn known(head: &[u8], position: u64, check: Check) -> KnownStream {
        let fingerprint = Fingerprint::of(head);
        let info = Some(SourceInfo::File { path: b"/x.log".to_vec(), fingerprint });
        KnownStream { position, check, before: None, undecided: false, info }
    }

    #[test]
    fn a_file_goes_on_only_where_the_bytes_before_the_position_fit() {
        let at_50 = known(&LONG, 50, Check::of(&LONG[..50]));
        let seen = Seen {
            size: 50,
            head: &LONG[..50],
            window: &LONG[..50],
            window_before: b"",
            head_before: None,
            begins_with_its_line: false,
        };
        let grown = Seen { size: 90, ..seen };
        let rewritten = Seen { window: &OTHER[..50], ..seen };
        let unread = known(b"", 0, Check::NONE);
        let ended = known(&LONG, 50, Check::NONE);
        let cases = [
            ("as it was", &at_50, false, seen, Resume::Continue),
            ("grown", &at_50, false, grown, Resume::Continue),
            ("forgotten", &at_50, true, seen, Resume::ContinueAnew),
            ("rewritten", &at_50, false, rewritten, Resume::Other),
            ("nothing read", &unread, false, seen, Resume::Continue),
            ("ended by a gap", &ended, false, seen, Resume::Other),
        ];
        for (name, known, is_forgotten, seen, expected) in cases {
            assert_eq!(resume(known, is_forgotten, &seen), expected, "{name}");
        }
    }

    #[test]
    fn a_shorter_file_is_the_same_only_if_enough_of_it_is() {
        let at_200 = known(&LONG, 200, Check(7));
        let heading = known(b"heading\n", 200, Check(7));
        let seen = Seen {
            size: 120,
            head: &LONG,
            window: &LONG,
            window_before: b"",
            head_before: None,
            begins_with_its_line: false,
        };
        let other = Seen { head: &OTHER, ..seen };
        let empty = Seen { size: 0, head: b"", ..seen };
        let short = Seen { size: 80, head: &LONG[..80], ..seen };
        let remembered = Seen { head_before: Some(&LONG), ..short };
        let other_than_remembered = Seen { head_before: Some(&LONG), ..other };
        let same_heading = Seen { head: b"heading\nnew", ..seen };
        let grown = Seen { size: 300, ..seen };
        let no_bytes = known(&LONG, 200, Check::NONE);
        let one_line = Seen { head: &OTHER, begins_with_its_line: true, ..seen };
        let partly = [&LONG[..70], &OTHER[..30]].concat();
        let remembered_in_part = Seen { head: &partly, ..remembered };
        let cases = [
            ("lost its end and grew", &at_200, grown, Resume::MayBeShorter),
            ("ended by a gap", &no_bytes, grown, Resume::Other),
            ("begins with the same line", &at_200, one_line, Resume::MayBeShorter),
            ("begins as remembered", &at_200, remembered_in_part, Resume::MayBeShorter),
            ("lost its end", &at_200, seen, Resume::Shorter),
            ("another file", &at_200, other, Resume::Other),
            ("empty", &at_200, empty, Resume::Other),
            ("too short to tell", &at_200, short, Resume::Other),
            ("as remembered", &at_200, remembered, Resume::Shorter),
            ("other than remembered", &at_200, other_than_remembered, Resume::Other),
            ("the same heading", &heading, same_heading, Resume::Other),
        ];
        for (name, known, seen, expected) in cases {
            assert_eq!(resume(known, false, &seen), expected, "{name}");
        }
    }

    #[test]
    fn a_file_that_went_back_goes_on_where_the_restored_spool_had_read_it_to() {
        let before = Some((60, Check::of(&LONG[..60])));
        let restored = KnownStream { before, ..known(&LONG, 200, Check(7)) };
        let seen = Seen {
            size: 120,
            head: &LONG,
            window: &LONG,
            window_before: &LONG[..60],
            head_before: None,
            begins_with_its_line: false,
        };
        let otherwise = Seen { window_before: &OTHER[..60], ..seen };
        let fits = KnownStream { position: 100, check: Check::of(&LONG), ..restored.clone() };
        let cases = [
            ("shorter than the ledger knows", &restored, seen, Resume::WentBack),
            ("longer, with other bytes", &restored, Seen { size: 300, ..seen }, Resume::WentBack),
            ("as the ledger knows it", &fits, seen, Resume::Continue),
            ("another file", &restored, otherwise, Resume::Shorter),
            ("shorter than the spool knows", &restored, Seen { size: 59, ..seen }, Resume::Shorter),
        ];
        for (name, known, seen, expected) in cases {
            assert_eq!(resume(known, false, &seen), expected, "{name}");
        }
    }

    const WHOLE: Likeness<'_> = Likeness {
        alike: Some(70),
        size: 100,
        window: LONG.first_chunk::<90>().unwrap(),
        is_named_after: true,
        is_in_place_of: false,
        is_repetitive: false,
    };
    const STRANGER: Likeness<'_> = Likeness { is_named_after: false, ..WHOLE };
    const AT_HOME: Likeness<'_> = Likeness { is_in_place_of: true, ..STRANGER };
    const SAME_LINES: Likeness<'_> = Likeness { is_repetitive: true, ..STRANGER };
    const HELD: Original = Original::InPlace { holds_it: true };
    const NOT_HELD: Original = Original::InPlace { holds_it: false };

    #[test]
    fn an_unknown_file_is_a_copy_only_where_something_was_copied() {
        let short = Likeness { size: 80, window: &LONG[..80], ..WHOLE };
        let differs = Likeness { window: &OTHER[..90], ..WHOLE };
        let cases = [
            ("copytruncate, not truncated yet", HELD, WHOLE, Kind::Copy),
            ("copied in part", HELD, short, Kind::Copy),
            ("a file with the same beginning", NOT_HELD, WHOLE, Kind::Own),
            ("the same lines for ever", HELD, SAME_LINES, Kind::Own),
            ("copytruncate", Original::Truncated, WHOLE, Kind::Continuation),
            ("read further than copied", Original::Truncated, short, Kind::SpentCopy),
            ("another file, truncated original", Original::Truncated, differs, Kind::Own),
            ("renamed", Original::Moved, WHOLE, Kind::Own),
            ("the successor of a renamed file", Original::Moved, AT_HOME, Kind::Own),
            ("moved across filesystems", Original::Gone, STRANGER, Kind::Continuation),
            ("restored in its place", Original::Gone, AT_HOME, Kind::Continuation),
            ("begun again, always the same", Original::Gone, SAME_LINES, Kind::Own),
        ];
        let stream = known(&LONG[..70], 90, Check::of(&LONG[..90]));
        for (name, original, seen, expected) in cases {
            assert_eq!(classify(&stream, original, &seen), expected, "{name}");
        }
    }

    #[test]
    fn nothing_goes_on_with_a_run_that_ended_with_a_gap_or_begins_otherwise() {
        let ended = known(&LONG[..70], 90, Check::NONE);
        assert_eq!(classify(&ended, Original::Truncated, &WHOLE), Kind::Own);
        let stream = known(&LONG[..70], 90, Check::of(&LONG[..90]));
        let otherwise = Likeness { alike: None, ..WHOLE };
        assert_eq!(classify(&stream, Original::Truncated, &otherwise), Kind::Own);
    }

    #[test]
    fn a_beginning_is_compared_by_its_hash_or_byte_by_byte() {
        let stream = known(&LONG[..70], 90, Check(7));
        let unread = known(&LONG[..70], 0, Check::NONE);
        let unprinted = KnownStream { info: None, ..stream.clone() };
        type Case<'a> = (&'a str, &'a KnownStream, Option<&'a [u8]>, &'a [u8], Option<usize>);
        let cases: [Case<'_>; 9] = [
            ("long enough", &stream, None, &LONG, Some(70)),
            ("other bytes", &stream, None, &OTHER, None),
            ("too short to tell", &stream, None, &LONG[..60], None),
            ("short, but remembered", &stream, Some(&LONG), &LONG[..60], Some(60)),
            ("short, and other than remembered", &stream, Some(&OTHER), &LONG[..60], None),
            ("nothing was read", &unread, None, &LONG, None),
            ("nothing is known", &unprinted, None, &LONG, Some(0)),
            ("known because remembered", &unprinted, Some(&LONG[..50]), &LONG, Some(50)),
            ("other than remembered", &unprinted, Some(&LONG[..50]), &OTHER, None),
        ];
        for (name, known, remembered, head, expected) in cases {
            assert_eq!(alike(known, remembered, head), expected, "{name}");
        }
    }

    #[test]
    fn what_was_seen_and_not_read_is_lost_and_the_rest_is_suspected() {
        let at_50 = known(&LONG, 50, Check(7));
        let cases = [
            (Some(90), Some((Cause::Truncated, 90))),
            (Some(50), Some((Cause::Suspected, 50))),
            (None, Some((Cause::Suspected, 50))),
        ];
        for (size_before, expected) in cases {
            assert_eq!(lost(&at_50, size_before), expected, "{size_before:?}");
        }
        assert_eq!(lost(&known(b"", 0, Check::NONE), Some(0)), None, "there was nothing");
    }
}
