//! The spool under everything that happens to it: crashes, rollbacks, full disks, damage.

mod crash;
mod full;
mod handshake;
mod opening;
mod sealing;
mod world;
