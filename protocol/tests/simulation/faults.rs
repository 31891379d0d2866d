//! The kinds of faults: which a run has, and what shows that one really happened.

use std::collections::BTreeMap;

use super::random::Random;

/// A fault, and what shows that it really happened.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Fault {
    AgentCrash,
    NodeCrash,
    NodePause,
    LinkCut,
    StaleFrame,
    AppendLate,
    AppendTwice,
    AppendNever,
    TailLost,
    TailLostUnderFold,
    Regression,
    LogRestored,
    Trimmed,
    SpoolRolledBack,
    SpoolLost,
    SpoolFull,
    FileRotated,
    FileTruncated,
    FileVanished,
    EpochOpened,
    EpochOpenedWithGap,
    EpochOpenedAsCopy,
    AckForeign,
    AckRepeated,
    Duplicate,
    Ahead,
    Fork,
    Stale,
    TwoNodesAppend,
    Undecided,
    GapDeclared,
    MemoryResumed,
    HostResumed,
    HostRestored,
    RunsLetGo,
}

impl Fault {
    pub const ALL: [Self; 35] = [
        Self::AgentCrash,
        Self::NodeCrash,
        Self::NodePause,
        Self::LinkCut,
        Self::StaleFrame,
        Self::AppendLate,
        Self::AppendTwice,
        Self::AppendNever,
        Self::TailLost,
        Self::TailLostUnderFold,
        Self::Regression,
        Self::LogRestored,
        Self::Trimmed,
        Self::SpoolRolledBack,
        Self::SpoolLost,
        Self::SpoolFull,
        Self::FileRotated,
        Self::FileTruncated,
        Self::FileVanished,
        Self::EpochOpened,
        Self::EpochOpenedWithGap,
        Self::EpochOpenedAsCopy,
        Self::AckForeign,
        Self::AckRepeated,
        Self::Duplicate,
        Self::Ahead,
        Self::Fork,
        Self::Stale,
        Self::TwoNodesAppend,
        Self::Undecided,
        Self::GapDeclared,
        Self::MemoryResumed,
        Self::HostResumed,
        Self::HostRestored,
        Self::RunsLetGo,
    ];
}

pub type Happened = BTreeMap<Fault, u64>;

/// Which kinds of faults a run has: 0 is never, n is about once in n chances.
#[derive(Clone, Copy, Debug, Default)]
pub struct Faults {
    pub crash: usize,
    pub node_crash: usize,
    pub pause: usize,
    pub cut: usize,
    pub stale: usize,
    pub late: usize,
    pub twice: usize,
    pub never: usize,
    pub tail: usize,
    pub trim: usize,
    pub rollback: usize,
    pub lost: usize,
    pub full: usize,
    pub rotate: usize,
    pub truncate: usize,
    pub vanish: usize,
    pub restore: usize,
    pub copied: usize,
    pub resume: usize,
    /// Runs that a lane may remember before ended ones are let go.
    pub let_go: usize,
}

impl Faults {
    pub fn drawn_from(random: &mut Random) -> Self {
        let mut draw = |rare: usize| {
            if random.once_in(2) { 0 } else { rare + random.below(rare) }
        };
        Self {
            crash: draw(40),
            node_crash: draw(60),
            pause: draw(40),
            cut: draw(30),
            stale: draw(6),
            late: draw(3),
            twice: draw(6),
            never: draw(10),
            tail: draw(60),
            trim: draw(80),
            rollback: draw(80),
            lost: draw(150),
            full: draw(60),
            rotate: draw(20),
            truncate: draw(40),
            vanish: draw(30),
            restore: 0,
            copied: 0,
            resume: 0,
            let_go: 0,
        }
    }
}
