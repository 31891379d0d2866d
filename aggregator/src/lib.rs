//! Headwater aggregator: what agents send becomes a ledger that adds up.
//!
//! In order of flow. A device [`enrol`]s with a join token and gets a certificate; the [`registry`] knows
//! it from then on. Its agent opens a session with the [`intake`], which hands each batch to the
//! [`fold`] of the device's shard. The fold has it appended to the [`log`]; once it is durable, it is
//! applied, or not, in log order, and the verdict goes back as the only ack there is. What is applied is
//! shown to whoever looks: the [`api`] answers the command line ([`cli`]), live or by reading the log
//! again, and the [`console`] shows it in a browser. Each [`sink`] follows the fold at its own pace; the
//! [`history`] is the first one.
//!
//! What this crate guarantees: an ack means durable and applied; whatever is killed, the log holds a
//! prefix of what was appended, and the ledger is computed from it. What it never does: believe a frame
//! over a certificate, hold more than [`limits`] say, or delete what somebody may still need.

pub mod alert;
pub mod api;
pub mod backup;
pub mod cli;
mod clock;
pub mod config;
pub mod console;
pub mod enrol;
pub mod fold;
pub mod health;
pub mod history;
pub mod intake;
mod killpoint;
pub mod limits;
pub mod log;
pub mod merge;
pub mod metrics;
pub mod node;
pub mod registry;
pub mod sink;
pub mod up;
pub mod window;
