//! The large tiers of the tests, in slices: `proof [MINUTES]`.
//!
//! A slice is one command. Each one that has ended is a line in `target/proof/slices.jsonl` (or in the folder
//! `HEADWATER_PROOF_DIR`): a run that is stopped goes on after the last of them, and Ctrl-C loses no more
//! than the slice under way. Slices count for the commit that they ran on.

#![allow(clippy::print_stdout, reason = "a tool for people")]

mod record;
mod slice;
mod summary;
mod tier;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use record::{Record, Records};
use tier::Tier;

fn main() -> ExitCode {
    let minutes = std::env::args().nth(1);
    let minutes = minutes.map(|text| text.parse().expect("proof [MINUTES], a whole number"));
    let folder = std::env::var_os("HEADWATER_PROOF_DIR");
    let folder = folder.map_or_else(|| PathBuf::from("target/proof"), PathBuf::from);
    let mut records = Records::open(&folder);
    let tiers = tier::all();
    // What is built before does not count.
    let deadline = minutes.map(|minutes: u64| Instant::now() + Duration::from_secs(60 * minutes));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime takes a timer and a poll");
    let ended = runtime.block_on(prove(&tiers, &mut records, deadline));
    println!("{ended}\n\n{}", summary::table(&tiers, &records));
    if records.of_this_commit().any(Record::is_failed) {
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

/// Runs slices, always of the tier that is furthest from its goal, and says why it ended.
async fn prove(tiers: &[Tier], records: &mut Records, deadline: Option<Instant>) -> &'static str {
    loop {
        let fits = |tier: &&Tier| {
            let takes = Duration::from_secs(records.seconds(tier));
            deadline.is_none_or(|deadline| Instant::now() + takes <= deadline)
        };
        let open =
            tiers.iter().filter(|tier| records.done(tier) < tier.goal && records.can_go_on(tier));
        let mut open = open.peekable();
        if open.peek().is_none() {
            return "every goal is reached, as far as this machine goes";
        }
        let share = |tier: &&Tier| records.done(tier) * 1_000_000 / tier.goal;
        let Some(tier) = open.filter(fits).min_by_key(share) else {
            return "the time is over; the next run goes on from here";
        };
        let Some(record) = slice::run(tier, records).await else {
            return "stopped; what was done is kept, the slice under way is not";
        };
        println!("{record}");
        records.push(record);
    }
}
