//! What both sides of Headwater agree on, and the machines that decide what is lost and what is
//! doubled: nothing and nothing. Pure: no sockets, no files, no clock, no async.
//!
//! The story in order of flow. An agent reads [`record`]s at [`position`]s. A lane's [`chain`] seals
//! them into a [`batch`]: a [`header`] that can be judged alone, a [`body`] in columns, and a digest
//! that hangs on the batch before. Batches travel in frames ([`wire`]), are appended to a shard's log
//! as an [`entry`], and the [`ledger`] folds the log: it applies each batch once, and its output is
//! the ack. The agent looks the ack up in its chain and releases what lies before it.
//!
//! What never happens here: reading a clock, drawing a random number, sleeping, logging, iterating
//! over an unordered map. Time and randomness are arguments.

pub mod batch;
pub mod body;
pub mod chain;
pub mod codec;
pub mod entry;
pub mod header;
pub mod identity;
pub mod ledger;
pub mod limits;
pub mod position;
pub mod record;
pub mod rules;
pub mod sender;
pub mod wire;
