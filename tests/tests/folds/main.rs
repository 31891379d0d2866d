//! What the two folds tell, from samples of real agents, while the aggregator is killed: averages to the
//! last digit, and an alert once.

#![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

mod alert;
mod averages;
