//! The spool under everything that happens to it: crashes, rollbacks, full disks, damage.

#![allow(clippy::unwrap_used, reason = "a test that cannot prepare its world has failed")]

mod crash;
mod damage;
mod full;
mod gathering;
mod handshake;
mod opening;
mod sealing;
mod world;
