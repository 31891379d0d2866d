//! Sinks: where goes what was applied.
//!
//! Each sink has a cursor of its own in every shard and follows the fold by reading the log again: a slow or broken one
//! moves only its own cursor and makes no other repeat. It takes **ranges** of entries, cut by what the log says alone
//! (`range`), so that a repeat holds the same rows. Where a range ends is durable before anything of it is written, and the
//! cursor moves only once all of it is safe at its destination; what lies between is written again, under the same name.
//!
//! A cursor remembers the identity of the log where it stands. Another one there means that the log lost a tail: what was
//! written beyond the last place that both have is withdrawn, and written anew as the log has it now.

mod cursor;
mod destination;
mod driver;
mod follow;
mod handle;
mod known;
mod range;
mod store;
mod tries;
mod unwritten;
mod view;

pub use cursor::{CursorError, cursor};
pub use destination::{Destination, Merged, Place, Settled, WriteError, Written};
pub use follow::Deliveries;
pub use handle::{SinkHandle, SinkOptions, StartError, Turns};
pub use known::{Known, Tags};
pub use range::{Range, RangeRules};
pub(crate) use store::copied_tables;
pub use store::{SinkStore, StoreError};
pub use tries::Tries;
pub use unwritten::{Unwritten, UnwrittenError};
pub use view::{SinkAbout, SinkState, SinkView};
