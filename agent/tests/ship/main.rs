//! The ship stage against a node on loopback: real QUIC, real certificates, and the protocol's own
//! ledger as the judge.

#![allow(clippy::unwrap_used, reason = "a test that cannot prepare its world has failed")]

mod delivery;
mod disturbance;
mod node;
mod trust;
mod whole;
mod world;
