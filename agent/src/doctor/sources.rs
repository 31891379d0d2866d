//! The files that tails name.

use super::finding::Finding;
use super::shown;
use crate::config::TailConfig;
use crate::status::Status;
use crate::tail::survey;

/// Whether this user can open them, and what the running agent says of them.
pub(super) fn look(tails: &[TailConfig], status: Option<&Status>) -> Finding {
    if tails.is_empty() {
        return Finding::ok("log files", "none are configured");
    }
    let survey = survey(tails);
    if let Some((path, refusal)) = survey.refused.first() {
        let more = survey.refused.len() - 1;
        let also = if more > 0 { format!(" and {more} more") } else { String::new() };
        let why = survey.refused.iter().take(SHOWN_MAX);
        let why = why.map(|(path, refusal)| format!("{}: {}", shown(path), refusal.reason()));
        let next = survey.refused.iter().take(SHOWN_MAX).filter_map(|(_, refusal)| refusal.help());
        let mut next: Vec<&str> = next.collect();
        next.dedup();
        let failed = Finding::failed("log files", format!("{} can't be read{also}", shown(path)));
        let failed = failed.why(why.collect::<Vec<_>>().join("\n"));
        return match next.as_slice() {
            [] => failed.next(format!("mend it: {}", refusal.reason())),
            next => failed.next(next.join("\n")),
        };
    }
    let stalled = status.into_iter().flat_map(|status| &status.sources);
    let stalled: Vec<String> = stalled
        .filter_map(|file| Some((&file.path, file.stalled.as_ref()?)))
        .map(|(path, why)| format!("{} stalled because {why}", path.escape_debug()))
        .collect();
    let files = survey.files;
    if !stalled.is_empty() {
        let found =
            format!("{files} can be opened, the running agent waits with {}", stalled.len());
        let is_refused = stalled.iter().any(|file| file.contains("ermission denied"));
        let made = if is_refused { Finding::failed } else { Finding::warning };
        return made("log files", found)
            .why(stalled[..stalled.len().min(SHOWN_MAX)].join("\n"))
            .next("headwater-agent status lists them all");
    }
    if files == 0 {
        return Finding::warning("log files", "no file is there that a tail names")
            .why("a pattern may be wrong, or the logs are not written yet")
            .next("compare the paths of each [[tail]] with: ls");
    }
    Finding::ok("log files", format!("{files} can be opened"))
}

/// Files that are named one by one.
const SHOWN_MAX: usize = 5;
