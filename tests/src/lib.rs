//! The harness of the tests that run the real programs: start, kill and ask them, write what they
//! read, and check what they stored.
//!
//! In order of a test: [`Aggregator`](aggregator::Aggregator) and [`Agent`](agent::Agent) run the
//! programs in folders of their own; a [`Writer`](writer::Writer) appends numbered lines to files that
//! rotate, and keeps a [`Witness`](witness::Witness) of each; once all is quiet, a
//! [`Comparison`](comparison::Comparison) holds what readers see against the witness, and
//! [`landed`] reads the log's files by their documented format. None of them shares code with what it
//! checks, apart from the codec of the wire.

#![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

pub mod agent;
pub mod aggregator;
pub mod averages;
pub mod chaoslink;
pub mod comparison;
pub mod corpus;
pub mod disks;
pub mod draws;
pub mod duckdb;
pub mod faketime;
pub mod forged;
pub mod hook;
pub mod joining;
pub mod landed;
pub mod peer;
pub mod process;
pub mod programs;
pub mod recorder;
pub mod site;
pub mod spooled;
pub mod storm;

pub mod waiting;
pub mod witness;
pub mod writer;
