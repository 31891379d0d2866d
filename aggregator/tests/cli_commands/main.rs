//! The `headwater` command as a user or a script sees it: words, exit codes, formats.

#![expect(clippy::unwrap_used, reason = "a test that can't go on has failed")]

mod configuration;
mod console;
mod device;
mod process;
mod reading;
mod serving;
mod thresholds;
mod up;
mod usage;
