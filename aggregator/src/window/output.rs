//! What the shard fold lets out, and in which order.

use headwater_protocol::identity::{Generation, Offset};

use super::Spread;
use super::partial::{Group, Partial, ROWS_PER_PARTIAL_MAX};

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

/// What one entry lets out.
pub(super) struct Outputs {
    at: (Generation, Offset),
    pub(super) made: Vec<Output>,
}

impl Outputs {
    pub(super) fn new(at: (Generation, Offset)) -> Self {
        Self { at, made: Vec::new() }
    }

    pub(super) fn push(&mut self, kind: OutputKind) {
        let index =
            u32::try_from(self.made.len()).expect("an entry lets out a few hundred outputs");
        let (generation, offset) = self.at;
        self.made.push(Output { at: Position { generation, offset, index }, kind });
    }

    /// A partial in pieces that fit into an entry.
    pub(super) fn push_partial(&mut self, mut whole: Partial) {
        whole.groups.iter_mut().for_each(bound_sketches);
        let rows: usize = whole.groups.iter().map(rows_of).sum();
        if rows <= ROWS_PER_PARTIAL_MAX {
            self.push(OutputKind::Partial(whole));
            return;
        }
        let mut groups = std::mem::take(&mut whole.groups).into_iter().peekable();
        loop {
            let mut piece = Partial { groups: Vec::new(), ..whole.clone() };
            let mut rows = 0;
            while let Some(group) = groups.next_if(|_| rows < ROWS_PER_PARTIAL_MAX) {
                rows += rows_of(&group);
                piece.groups.push(group);
            }
            piece.continued = groups.peek().is_some();
            let more = piece.continued;
            self.push(OutputKind::Partial(piece));
            if !more {
                return;
            }
            whole.facts.clear();
        }
    }
}

/// Rows that take as much room as a key's, sketches included.
fn rows_of(group: &Group) -> usize {
    let buckets: usize = group.rows.iter().map(|row| row.spread.buckets()).sum();
    1 + group.rows.len() + buckets / BUCKETS_PER_ROW
}

/// A key whose sketches would burst an entry keeps none.
fn bound_sketches(group: &mut Group) {
    if rows_of(group) > ROWS_PER_PARTIAL_MAX + group.rows.len() {
        group.rows.iter_mut().for_each(|row| row.spread = Spread::Unknown);
    }
}

/// Buckets of a sketch that take as much room as a row: two or three bytes each.
const BUCKETS_PER_ROW: usize = 8;
