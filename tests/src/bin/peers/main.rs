//! Headwater and its peers under the same kills: `make bench-peers`, or `peers --programs FOLDER` with the
//! folder that `packaging/dev/peers` prints.
//!
//! Numbered lines are appended to a file; who reads it is killed at moments that a seed decides, the same ones
//! for everybody, and started again. What arrived is counted by number. A run in full writes
//! `docs/peers-under-kills.md`, with whatever was lost by whomever; `--lines`, `--runs`, `--seed` and `--only
//! NAME` make it another run, which is printed and not published.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a tool for people")]

mod asked;
mod contender;
mod feed;
mod machine;
mod page;
mod run;
mod schedule;
mod tally;

use std::path::Path;
use std::time::{Duration, Instant};

use asked::Asked;
use machine::Machine;
use page::Page;
use schedule::Scenario;

fn main() {
    let asked = Asked::of(std::env::args().skip(1)).unwrap_or_else(|error| {
        eprintln!("{error}");
        std::process::exit(2);
    });
    let mut page = Page::new(Machine::look(&asked.programs), &asked);
    let deadline = Instant::now() + LONGEST;
    for seed in asked.seeds() {
        let mut rows = Vec::new();
        for scenario in Scenario::ALL {
            for kind in asked.kinds() {
                assert!(Instant::now() < deadline, "it has taken {LONGEST:?}: less --runs");
                let row = run::run(kind, scenario, seed, &asked);
                println!("{row}");
                rows.push(row);
            }
        }
        page.add(rows);
        // After each round, so that one that is stopped leaves what it measured.
        publish(&page, &asked);
    }
}

/// A round of all in both scenarios takes some seven minutes.
const LONGEST: Duration = Duration::from_secs(4 * 3_600);

fn publish(page: &Page, asked: &Asked) {
    if !asked.is_published() {
        return println!("{page}");
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    std::fs::write(root.join("docs/peers-under-kills.md"), page.to_string()).unwrap();
}
