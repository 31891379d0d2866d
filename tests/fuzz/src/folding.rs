//! The fold of a shard over entries of a hostile device: nothing it says reaches a panic, and a state that
//! was stored goes on like the one that was not.

use headwater_aggregator::fold::ShardState;
use headwater_aggregator::log::Stored;
use headwater_protocol::batch::Batch;
use headwater_protocol::codec::{DecodeError, Reader};
use headwater_protocol::entry::{Control, Entry, EntryKind, SentClock, WindowRules};
use headwater_protocol::header::{Codec, Header};
use headwater_protocol::identity::{BootId, Generation, LogId, NodeId, Offset, Seq, ShardId, Tip};

const SHARD: ShardId = ShardId(0);
const LOG: LogId = LogId([6; 16]);
/// Entries of one input: enough for windows to open, close and be let go.
const ENTRIES_MAX: usize = 64;

const TICK: u8 = 0;
const RULES: u8 = 1;
const SNAPSHOT: u8 = 2;
/// A batch that is next in its lane, whatever its header says.
const NEXT: u8 = 3;

/// A sequence of entries: a kind each, and what it needs.
pub(crate) fn fold(bytes: &[u8]) {
    let mut state = ShardState::new(SHARD);
    let mut stored = None;
    let first = Control::Windows(first_rules());
    take(&mut state, &mut stored, 0, EntryKind::Control(first));
    let mut reader = Reader::new(bytes);
    for _ in 0..ENTRIES_MAX {
        if step(&mut reader, &mut state, &mut stored).is_err() {
            break;
        }
    }
    let snapshot = state.snapshot(LOG);
    let again = ShardState::restore(LOG, SHARD, &snapshot).expect("what is stored can be read");
    assert_eq!(again, state, "a state comes back from its snapshot");
    if let Some(stored) = stored {
        assert_eq!(stored, state, "a state that was stored goes on like one that was not");
    }
}

/// A state that came from a snapshot, and goes beside the other from there on.
type Beside = Option<ShardState>;

fn step(
    reader: &mut Reader<'_>,
    state: &mut ShardState,
    stored: &mut Beside,
) -> Result<(), DecodeError> {
    match reader.u8("kind")? % 5 {
        TICK => {
            let stamp_us = reader.i64("stamp")?;
            take(state, stored, stamp_us, EntryKind::Tick);
        }
        RULES => {
            let mut rules = WindowRules::decode(reader)?;
            rules.decode_quantiles(reader)?;
            take(state, stored, 0, EntryKind::Control(Control::Windows(rules)));
        }
        SNAPSHOT => {
            let snapshot = state.snapshot(LOG);
            let again = ShardState::restore(LOG, SHARD, &snapshot);
            *stored = Some(again.expect("what is stored can be read"));
        }
        kind => {
            let (stamp_us, wall_us) = (reader.i64("stamp")?, reader.i64("wall clock")?);
            let (mono_us, boot) = (reader.u64("monotonic clock")?, reader.u8("boot")?);
            let sent = SentClock { wall_us, mono_us, boot: BootId([boot; 16]) };
            let mut header = Header::decode(reader)?;
            let body = reader.bytes("body", usize::MAX)?;
            header.packing.packed = u32::try_from(body.len()).unwrap_or(u32::MAX);
            if header.packing.codec == Codec::Plain {
                header.packing.unpacked = header.packing.packed;
            }
            let tip = state.ledger().lanes().get(&(header.device, header.lane));
            let tip = tip.map_or(Tip::GENESIS, |lane| lane.tip());
            if kind == NEXT {
                follow(&mut header, tip);
            }
            let batch = Batch::parse(Batch::seal(header, body, tip.digest).into_bytes())?;
            take(state, stored, stamp_us, EntryKind::Batch { sent, batch: Box::new(batch) });
        }
    }
    Ok(())
}

/// Makes a batch the next one of its lane.
fn follow(header: &mut Header, tip: Tip) {
    if tip == Tip::GENESIS {
        (header.seq, header.parent) = (Seq::FIRST, Some(tip));
    } else {
        (header.epoch, header.parent) = (tip.epoch, None);
        header.seq = Seq::new(tip.seq + 1).expect("a few batches after the first");
    }
}

fn take(state: &mut ShardState, stored: &mut Beside, stamp_us: i64, kind: EntryKind) {
    let appender = NodeId([4; 16]);
    let entry = Entry { appender, stamp_us, generation: Generation(0), kind }.encode();
    let entry = Stored { offset: state.next(), identity: [state.next().0 as u8; 32], entry };
    let Ok(folded) = state.fold(&entry) else { return };
    assert_eq!(state.next(), Offset(entry.offset.0 + 1), "each entry is folded once");
    if let Some(beside) = stored {
        let again = beside.fold(&entry).expect("it was folded once");
        assert_eq!(again.outcome, folded.outcome, "the same log gives the same verdicts");
        assert_eq!(again.outputs, folded.outputs, "the same log gives the same figures");
    }
}

fn first_rules() -> WindowRules {
    WindowRules {
        version: 1,
        from_us: 0,
        length_us: 10_000_000,
        lateness_us: 1_000_000,
        keys_max: 3,
        combinations: vec![vec!["device".to_owned()], vec!["site".to_owned()]],
        quantiles: vec![vec!["site".to_owned()]],
    }
}
