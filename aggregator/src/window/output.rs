//! What the shard fold lets out, and in which order.

use headwater_protocol::identity::{Generation, Offset};

use super::partial::Partial;

/// Where an output was made: outputs of one shard are known apart, and in order, by it.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Position {
    /// The log's generation at the entry.
    pub generation: Generation,
    /// The entry.
    pub offset: Offset,
    /// Which of the entry's outputs.
    pub index: u32,
}

/// What the shard fold tells the merge fold.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Output {
    /// Where it was made.
    pub at: Position,
    /// What it says.
    pub kind: OutputKind,
}

/// What an output says.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum OutputKind {
    /// A window has its first samples: no merge of it is complete without this shard.
    Opened {
        /// Where the window begins, microseconds since 1970 UTC.
        start_us: i64,
    },
    /// The figures of a window.
    Partial(Partial),
}
