//! One slice: a command in a process group of its own, so that Ctrl-C reaches this program alone.

use std::fs::{self, File};
use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::{Child, Command};

use crate::record::{Outcome, Record, Records};
use crate::tier::Tier;

/// How long a slice may take to end once it was told to.
const FAREWELL: Duration = Duration::from_secs(10);

/// Runs the next slice of a tier; `None` if it was stopped.
pub(crate) async fn run(tier: &Tier, records: &Records) -> Option<Record> {
    let from = records.next(tier);
    let (words, set) = tier.command(from);
    let log =
        records.folder.join("logs").join(format!("{}-{from}.log", tier.name.replace(' ', "-")));
    let output = File::create(&log).expect("make the log of a slice");
    let errors = output.try_clone().expect("open the log of a slice twice");
    let begun = Instant::now();
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]).envs(set.iter().cloned()).process_group(0);
    command.stdin(Stdio::null()).stdout(output).stderr(errors);
    let mut child = command.spawn().expect("start a slice");
    let status = tokio::select! {
        status = child.wait() => status.expect("wait for a slice"),
        _ = tokio::signal::ctrl_c() => {
            stop(child).await;
            return None;
        }
    };
    let text =
        String::from_utf8_lossy(&fs::read(&log).expect("read the log of a slice")).into_owned();
    let count = tier.counted(&text);
    let result = match (status.success(), count) {
        (true, Some(0)) => Outcome::NotCovered,
        (true, Some(_)) => Outcome::Passed,
        // What does not say what it did proves nothing.
        (true, None) | (false, _) => Outcome::Failed,
    };
    let set: Vec<String> = set.iter().map(|(name, value)| format!("{name}={value} ")).collect();
    let mut replay = format!("{}{}", set.concat(), words.join(" "));
    if result == Outcome::Passed {
        fs::remove_file(&log).expect("remove the log of a slice");
    } else {
        replay += &format!("  # its output: {}", log.display());
    }
    Some(Record {
        tier: tier.name.clone(),
        from,
        to: from + tier.slice,
        count: count.unwrap_or(0),
        result,
        commit: records.commit.clone(),
        date: jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        seconds: begun.elapsed().as_secs(),
        replay,
    })
}

/// Ends a slice with all that it has started.
async fn stop(mut child: Child) {
    let group = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
    let Some(group) = group else { return };
    // A group that is gone has ended by itself.
    _ = kill_process_group(group, Signal::TERM);
    if tokio::time::timeout(FAREWELL, child.wait()).await.is_err() {
        _ = kill_process_group(group, Signal::KILL);
        _ = child.wait().await;
    }
}
