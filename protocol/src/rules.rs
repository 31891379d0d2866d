//! The rules of delivery by name, so that a test can break one and see that it is missed.
//!
//! In every build that ships, `Rules` has no state and each rule holds. With the feature `sabotage`,
//! which tests alone switch on, one rule can be broken; a simulation that does not fail then is blind.

/// A rule of delivery.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Rule {
    /// A batch is acked once its append is durable.
    AckAfterAppend,
    /// The fold compares seq.
    CompareSeq,
    /// The fold compares the chained digest.
    CompareChain,
    /// The fold compares the parent of an epoch.
    CompareParent,
    /// The agent looks the whole triple of an ack up in its own chain.
    CompareAck,
    /// Positions are committed with the batch that ends at them.
    PositionsInTransaction,
    /// Records that the ledger knows by position are not sealed anew.
    FilterKnown,
    /// What the spool holds beyond the ledger is sealed anew, whether or not its file is there.
    SealHeld,
    /// What lies between the ledger and the highest position ever sealed is declared.
    WriteGaps,
    /// Streams that ended are remembered for that.
    RememberEnded,
    /// An epoch is opened in one transaction.
    OpenInTransaction,
    /// Samplers begin a new run when an epoch opens.
    NewRun,
    /// A state whose tip is not in the log is dropped.
    CheckTip,
    /// The old batches are looked through when an epoch opens.
    KeepArchive,
    /// Runs at or below the horizon are undecided.
    KeepHorizon,
    /// A batch is acked once the fold applied it, not once it was appended.
    AckAfterFold,
    /// What is held where the ledger knows something is compared with that.
    CompareLives,
    /// What a ledger lost of runs that were let go is declared.
    DeclareLetGo,
}

#[cfg(feature = "sabotage")]
impl Rule {
    /// Every rule.
    pub const ALL: [Self; 18] = [
        Self::AckAfterAppend,
        Self::CompareSeq,
        Self::CompareChain,
        Self::CompareParent,
        Self::CompareAck,
        Self::PositionsInTransaction,
        Self::FilterKnown,
        Self::SealHeld,
        Self::WriteGaps,
        Self::RememberEnded,
        Self::OpenInTransaction,
        Self::NewRun,
        Self::CheckTip,
        Self::KeepArchive,
        Self::KeepHorizon,
        Self::AckAfterFold,
        Self::CompareLives,
        Self::DeclareLetGo,
    ];
}

/// Which rules hold.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rules {
    #[cfg(feature = "sabotage")]
    broken: Option<Rule>,
}

impl Rules {
    /// All rules but one.
    #[cfg(feature = "sabotage")]
    #[must_use]
    pub fn without(rule: Rule) -> Self {
        Self { broken: Some(rule) }
    }

    /// Whether a rule holds: always, except in a test that breaks it.
    #[must_use]
    pub fn hold(self, rule: Rule) -> bool {
        #[cfg(feature = "sabotage")]
        return self.broken != Some(rule);
        #[cfg(not(feature = "sabotage"))]
        {
            let _ = rule;
            true
        }
    }
}
