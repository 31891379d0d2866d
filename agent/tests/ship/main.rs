//! The ship stage against a node on loopback: real QUIC, real certificates, and the protocol's own
//! ledger as the judge.

mod delivery;
mod disturbance;
mod node;
mod trust;
mod whole;
mod world;
