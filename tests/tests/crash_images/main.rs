//! Every state that a crash may leave of the spool and of the log, from a record of what they wrote: each
//! is opened again by the real code, and holds whatever anybody had been told.
//!
//! `HEADWATER_IMAGES` says how many states each test looks at, `HEADWATER_SEED` repeats a run.

#![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

mod checking;
mod log;
mod spool;
