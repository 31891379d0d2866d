//! The fold of a shard, and the merge fold behind it.

use headwater_aggregator::alert::{Known, RuleSet, SHIPPED, ThresholdFile};
use headwater_aggregator::fold::ShardState;
use headwater_aggregator::log::Stored;
use headwater_aggregator::merge::{MergeEntry, MergeKind, MergeState};
use headwater_protocol::entry::{Control, Entry, EntryKind, WindowRules};
use headwater_protocol::identity::{
    DeviceId, Generation, Lane, LogId, NodeId, Receipt, ShardId, Tip,
};
use headwater_protocol::ledger::Outcome;
use headwater_protocol::wire::LaneState;

const LOG: LogId = LogId([6; 16]);
const SHARD: ShardId = ShardId(0);
const NODE: NodeId = NodeId([4; 16]);

pub(crate) struct Folds {
    shard: ShardState,
    merge: MergeState,
    closed: usize,
}

impl Folds {
    pub(crate) fn new() -> Self {
        let mut folds =
            Self { shard: ShardState::new(SHARD), merge: MergeState::default(), closed: 0 };
        let rules = WindowRules {
            version: 1,
            from_us: 0,
            length_us: 10_000_000,
            lateness_us: 1_000_000,
            keys_max: 10_000,
            combinations: vec![vec!["device".to_owned()], vec!["site".to_owned()]],
            quantiles: vec![vec!["site".to_owned()]],
        };
        folds.fold(0, EntryKind::Control(Control::Windows(rules)));
        let shipped = ThresholdFile::parse("shipped", SHIPPED, Known::default()).unwrap();
        let set = RuleSet { revision: 1, rules: shipped.rules, ..RuleSet::default() };
        folds.merge(0, MergeKind::Rules(Box::new(set.checked().unwrap())));
        folds
    }

    /// What a node answers to a hello.
    pub(crate) fn state(&self, device: DeviceId, lane: Lane) -> LaneState {
        self.shard.ledger().lane_state(device, lane, LOG)
    }

    /// Folds a batch, and gives what its ack says.
    pub(crate) fn append(&mut self, entry: &Entry) -> (Tip, Receipt) {
        let outcome = self.fold(entry.stamp_us, entry.kind.clone());
        let Outcome::Applied(applied) = outcome else { panic!("it is next: {outcome:?}") };
        let ack = applied.ack(LOG);
        (ack.tip, ack.receipt)
    }

    /// Time passes.
    pub(crate) fn tick(&mut self, at: u64) {
        self.fold(i64::try_from(at * 1_000_000).unwrap(), EntryKind::Tick);
    }

    fn fold(&mut self, stamp_us: i64, kind: EntryKind) -> Outcome {
        let entry = Entry { appender: NODE, stamp_us, generation: Generation(0), kind };
        let offset = self.shard.next();
        let mut identity = [0; 32];
        identity[..8].copy_from_slice(&offset.0.to_le_bytes());
        let stored = Stored { offset, identity, entry: entry.encode() };
        let folded = self.shard.fold(&stored).unwrap();
        for output in folded.outputs {
            self.merge(stamp_us, MergeKind::Output { shard: SHARD, output });
        }
        folded.outcome
    }

    fn merge(&mut self, stamp_us: i64, kind: MergeKind) {
        let merging = self.merge.fold(MergeEntry { appender: NODE, stamp_us, kind });
        self.closed += merging.closed.len();
    }

    /// Windows that were closed.
    pub(crate) fn closed(&self) -> usize {
        self.closed
    }

    /// Changes of alerts that were made.
    pub(crate) fn changes(&self) -> usize {
        usize::try_from(self.merge.alerts().last_seq()).unwrap()
    }

    /// Records that were applied.
    pub(crate) fn applied(&self) -> u64 {
        self.shard.ledger().totals().records
    }
}
