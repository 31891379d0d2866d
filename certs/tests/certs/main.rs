//! The crate from outside: whole handshakes and conversations in memory, time a field.

#![allow(clippy::unwrap_used, reason = "a test that cannot prepare its world has failed")]

mod authority;
mod enrolment;
mod fault;
mod handshake;
mod hostile;
mod session;
mod world;
mod zoo;
