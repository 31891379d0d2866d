//! Tailing: real files in temporary folders, a landing in memory that checks every chunk, and agents
//! that are stopped, killed and started again. Each file of `tail/` is a behaviour.

#![allow(clippy::unwrap_used, reason = "a helper of tests may fail like the test itself")]

#[path = "tail/calm.rs"]
mod calm;
#[path = "tail/files.rs"]
mod files;
#[path = "tail/letting_go.rs"]
mod letting_go;
#[path = "tail/multiline.rs"]
mod multiline;
#[path = "tail/packed.rs"]
mod packed;
#[path = "tail/positions.rs"]
mod positions;
#[path = "tail/rotation.rs"]
mod rotation;
#[path = "tail/storm.rs"]
mod storm;
#[path = "tail/successors.rs"]
mod successors;
#[path = "tail/thread.rs"]
mod thread;
#[path = "tail/truncation.rs"]
mod truncation;
#[path = "tail/world.rs"]
mod world;
