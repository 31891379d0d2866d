//! The fold: what the log means. It applies each batch once and makes the only acks there are.
//!
//! Each shard is owned by one worker thread. What intake hands over is stamped, appended, and folded in
//! the order of its offset once it is durable: from memory, for what this node appended; from the log, for
//! the rest. The verdict goes back to the session that waits for it. Nothing else makes an ack.
//!
//! A shard's state is a pure function of its log. Snapshots are a cache of it: at start the newest one
//! whose tip is found in the log is taken, and what follows is replayed. A snapshot whose tip is not
//! there, or an agent that was acked more than the log holds, means that the log lost a tail: the shard's
//! generation is raised by a control entry, once, and agents fill the tail from their chains.
//!
//! A body that can't be opened is applied as a gap, its bytes go to the dead letters, and the lane goes on.

mod answer;
mod handle;
mod live;
mod owned;
mod recovery;
mod replay;
mod state;
mod view;
mod worker;

pub use answer::{Answer, AnswerSender, Answered, Credit, Reply};
pub use handle::{FoldHandle, FoldOptions, Hello, Standing, StartError};
pub use live::{AppliedBatch, Live};
pub use recovery::{Recovered, RecoveryError, recover};
pub use replay::{Replay, ReplayError};
pub use state::{FoldError, Folded, ShardState};
pub use view::{DeviceKnown, View, ViewError};
