//! The table at the end: what is done of each tier, for the commit that is checked out.

use std::fmt::Write;

use crate::record::{Outcome, Records};
use crate::tier::Tier;

/// A line per tier.
pub(crate) fn table(tiers: &[Tier], records: &Records) -> String {
    let mut out = format!("commit {}\n", records.commit);
    let widths = "tier                      done        goal  unit         slices  failed  hours";
    out.push_str(widths);
    for tier in tiers {
        let (mut slices, mut failed, mut seconds) = (0, 0, 0);
        for record in records.of(tier) {
            slices += 1;
            failed += u32::from(record.is_failed());
            seconds += record.seconds;
        }
        let hours = format!("{}.{}", seconds / 3_600, seconds % 3_600 / 360);
        let line = format!(
            "\n{:<18}{:>12}{:>12}  {:<12}{slices:>7}{failed:>8}{hours:>7}",
            tier.name,
            records.done(tier),
            tier.goal,
            tier.unit
        );
        out.push_str(&line);
        if !tier.is_here() {
            out.push_str("  this checkout has no such test");
        } else if records.of(tier).any(|record| record.result == Outcome::NotCovered) {
            out.push_str("  not covered on this machine");
        }
    }
    for record in records.of_this_commit().filter(|record| record.is_failed()) {
        let _ = write!(out, "\n{record}");
    }
    out
}
