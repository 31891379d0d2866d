//! Bad input, by the list of issue 3: one clear message that names the thing and the next step, the
//! exit code of the handbook, nothing lost, the other devices untouched.

#![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

mod cardinality;
mod certificates;
mod corpus;
mod disk;
mod epochs;
mod files;
mod floods;
mod frames;
mod stage;
mod strings;
mod words;
