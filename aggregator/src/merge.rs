//! Merge: what all shards know of a window, added up per key.
//!
//! A fold like the shards', with a log of its own: shard 0 of an embedded log in the folder `merge`. What
//! the shard folds let out is appended there, each output once whatever is killed, and the state is a pure
//! function of that log. A window's **first revision** is made when no shard that announced the window is
//! waited for any more; it never changes, and thresholds see it once. What comes later changes averages
//! only. The [`Store`] holds the averages for readers: a cache of this fold's output.

mod driver;
mod entry;
#[cfg(fuzzing)]
pub mod fuzzing;
mod handle;
mod part;
mod pooled;
mod recovery;
mod sending;
mod snapshot;
mod state;
mod store;
mod window;

pub use entry::{MergeEntry, MergeKind};
pub(crate) use handle::log_id;
pub use handle::{MergeHandle, MergeOptions, StartError};
pub(crate) use recovery::check_chain;
pub use sending::{Merged, Outbox};
pub use state::{MergeState, Merging, Write};
pub use store::{Average, KeyWindow, Pending, PendingKind, Store, StoreError, StoredRow, Taken};
