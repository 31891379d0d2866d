//! The shipped alert at 70 % of the processors: raised once and cleared once, whatever is killed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use headwater_tests::agent::Agent;
use headwater_tests::aggregator::Aggregator;
use headwater_tests::duckdb::{query, table};
use headwater_tests::hook::{Hook, Notice};
use headwater_tests::waiting::wait_for;
use serde_json::Value;

/// The threshold that every node begins with.
const THRESHOLD: &str = "cpu-busy";
/// How long the alert may take to come or go. It takes 40 s where nothing else runs; tests beside this one
/// keep the processors busy as well.
const PATIENCE: Duration = Duration::from_secs(400);

#[test]
fn stress_raises_the_alert_once_and_its_end_clears_it_once_through_kills() {
    let folder = tempfile::tempdir().unwrap();
    let hook = Hook::start();
    let config = format!("{}\n[history]\nevery = \"1s\"\n", hook.config());
    let mut aggregator = Aggregator::create_with(&folder.path().join("aggregator"), &config);
    let home = folder.path().join("agent");
    let mut agent = Agent::new("busy-1", &home, &aggregator.intake_address(), &[]);
    agent.enrol(&aggregator);
    agent.start();

    let stress = Stress::start();
    wait_for("the alert is pending", PATIENCE, || {
        alert(&aggregator, &["alerts"]).filter(|alert| alert["state"] == "pending")
    });
    aggregator.kill();
    aggregator.start_and_wait();
    let firing = wait_for("the alert fires", PATIENCE, || {
        alert(&aggregator, &["alerts"]).filter(|alert| alert["state"] == "firing")
    });
    wait_for("the webhook is told", PATIENCE, || (!told(&hook).is_empty()).then_some(()));
    for _ in 0..3 {
        aggregator.kill();
        aggregator.start_and_wait();
    }
    let after = alert(&aggregator, &["alerts"]).expect("it fires after the kills as well");
    assert_eq!((&after["id"], &after["began"]), (&firing["id"], &firing["began"]));
    stress.end();
    let cleared = wait_for("the alert is over", PATIENCE, || {
        alert(&aggregator, &["alerts", "--all"]).filter(|alert| alert["state"] == "cleared")
    });
    assert_eq!((&cleared["id"], &cleared["reason"]), (&firing["id"], &"came back".into()));
    wait_for("the webhook is told of the end", PATIENCE, || (told(&hook).len() > 1).then_some(()));
    aggregator.kill();
    aggregator.start_and_wait();
    let last =
        wait_for("the alert is still over", PATIENCE, || alert(&aggregator, &["alerts", "--all"]));
    assert_eq!(last, cleared);

    let told = told(&hook);
    let changes: Vec<(&Value, &Value)> = told
        .iter()
        .map(|notice| (&notice.body["status"], &notice.body["alerts"][0]["fingerprint"]))
        .collect();
    let id = &firing["id"];
    assert_eq!(
        changes,
        [(&"firing".into(), id), (&"resolved".into(), id)],
        "one notice per change"
    );
    wait_for("its changes are in files, each once", PATIENCE, || {
        let found = changes_in_files(&aggregator);
        let expected = ["fired", "cleared"].map(|change| (id.clone(), change.into()));
        assert!(found.iter().all(|change| expected.contains(change)), "{found:?}");
        (found == expected).then_some(())
    });
    agent.stop();
    aggregator.stop();
}

/// The changes of the threshold's alerts that DuckDB finds: ids and what changed.
fn changes_in_files(aggregator: &Aggregator) -> Vec<(Value, Value)> {
    let files = aggregator.data().join("history");
    if !files.join("table=alerts").exists() {
        return Vec::new();
    }
    let (from, of) = (table(&files, "alerts"), format!("threshold = '{THRESHOLD}'"));
    let rows = query(&format!("SELECT alert, change FROM {from} WHERE {of} ORDER BY seq"));
    rows.iter().map(|row| (row["alert"].clone(), row["change"].clone())).collect()
}

/// The alert of the threshold, as a command tells it; `None` if there is none, or nobody to ask.
fn alert(aggregator: &Aggregator, words: &[&str]) -> Option<Value> {
    let alerts = aggregator.json(words);
    let alerts: Vec<Value> = alerts.as_array().cloned().unwrap_or_default();
    let ours: Vec<&Value> = alerts.iter().filter(|alert| alert["threshold"] == THRESHOLD).collect();
    assert!(ours.len() <= 1, "there is one alert: {ours:?}");
    ours.first().map(|alert| (*alert).clone())
}

/// What the webhook was told of the threshold, repeats of a notice once.
fn told(hook: &Hook) -> Vec<Notice> {
    let mut told = hook.told();
    told.retain(|notice| notice.body["commonLabels"]["alertname"] == THRESHOLD);
    let mut keys = std::collections::BTreeSet::new();
    told.retain(|notice| keys.insert(notice.key.clone()));
    told
}

/// Keeps every processor busy.
struct Stress {
    ended: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Stress {
    fn start() -> Self {
        let ended = Arc::new(AtomicBool::new(false));
        let processors = std::thread::available_parallelism().unwrap().get();
        let busy = |_| {
            let ended = Arc::clone(&ended);
            std::thread::spawn(move || {
                while !ended.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            })
        };
        let threads = (0..processors).map(busy).collect();
        Self { ended, threads }
    }

    fn end(mut self) {
        self.ended.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            thread.join().unwrap();
        }
    }
}

impl Drop for Stress {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
    }
}
