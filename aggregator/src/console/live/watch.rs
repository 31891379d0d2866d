//! What a stream looks at, and what of it changed.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::super::ConsoleHandle;
use super::super::device::{Range, Tab, head, pulse, recent, tiles};
use super::super::devices::{self, Cells};
use super::super::page::{Verdict, clock};
use super::super::sinks;
use super::events::Events;
use super::log::Log;
use crate::clock::wall_us;

/// What a page shows.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Show {
    /// Id or name of a device. `None`: a page of the list, or of sinks.
    device: Option<String>,
    /// The page of sinks.
    sinks: Option<String>,
    #[serde(default)]
    tab: Tab,
    #[serde(default)]
    range: Range,
    /// Where the page's log lines end.
    from: Option<u64>,
    #[serde(default)]
    q: String,
    #[serde(default)]
    sort: devices::Order,
    #[serde(default)]
    page: usize,
    /// The events of this moment alone, and no stream.
    pub(super) once: Option<String>,
}

/// What a stream looks at.
pub(super) struct Watched {
    console: ConsoleHandle,
    sent: Sent,
    what: What,
}

enum What {
    Devices(devices::Asked),
    Sinks,
    Device { id: String, tab: Tab, range: Range, log: Option<Box<Log>> },
}

/// What the page has, so that only changes are sent.
#[derive(Default)]
struct Sent {
    texts: BTreeMap<&'static str, String>,
    rows: BTreeMap<String, Cells>,
    /// The number of the last change of an alert that the page knows of. `None`: it knows of none.
    alert_change: Option<u64>,
}

impl Watched {
    /// `None` if there is no such device.
    pub(super) async fn open(
        console: &ConsoleHandle,
        show: Show,
        last_id: Option<u64>,
    ) -> Option<Self> {
        let what = match show.device {
            None if show.sinks.is_some() => What::Sinks,
            None => What::Devices(devices::Asked::new(show.q, show.sort, show.page)),
            Some(device) => {
                // Before the lines are read: what is applied in the meantime is heard of.
                let live = (show.tab == Tab::Logs).then(|| console.node().subscribe());
                let device = console.node().device(&device).await?;
                let from = last_id.or(show.from).unwrap_or(u64::MAX);
                let log = live.map(|live| Box::new(Log::new(console.node(), &device, live, from)));
                let (tab, range) = (show.tab, show.range);
                What::Device { id: device.id.to_string(), tab, range, log }
            }
        };
        Some(Self { console: console.clone(), sent: Sent::default(), what })
    }

    /// The present state.
    pub(super) async fn first(&mut self, events: &mut Events) {
        if let What::Device { log: Some(log), .. } = &mut self.what {
            log.begin(events).await;
        }
        self.next(events).await;
    }

    /// Hears of log lines; completes after each batch, never where there are none.
    pub(super) async fn listen(&mut self) {
        match &mut self.what {
            What::Device { log: Some(log), .. } => log.listen().await,
            What::Device { log: None, .. } | What::Devices(_) | What::Sinks => {
                std::future::pending().await
            }
        }
    }

    /// What changed.
    pub(super) async fn next(&mut self, events: &mut Events) {
        let now_us = wall_us();
        match &mut self.what {
            What::Devices(asked) => {
                let listed = asked.list(self.console.fleet()).await;
                let cells = listed.rows.iter().map(devices::Row::cells).collect();
                let changed = self.sent.changed_rows(cells);
                if !changed.is_empty() {
                    events.push("rows", &changed);
                }
                let count = Count { all: listed.all, found: listed.found, online: listed.online };
                self.sent.push(events, "count", &count);
            }
            What::Sinks => {
                let tiles = sinks::tiles(&self.console, now_us);
                self.sent.push(events, "tiles", &tiles);
            }
            What::Device { id, tab, range, log } => {
                let Some(device) = self.console.node().device(id).await else { return };
                if let Some(log) = log {
                    log.flush(events).await;
                }
                self.sent.push(events, "head", &head(&device, now_us));
                let change = self.console.node().last_alert_change();
                if self.sent.alert_change.replace(change) != Some(change) {
                    self.sent.push(events, "alerts", &pulse(self.console.node(), &device));
                }
                if *tab == Tab::Overview {
                    self.sent.push(events, "tiles", &tiles(&device, now_us));
                    if let Ok(recent) = recent(self.console.node(), &device, *range).await {
                        self.sent.push(events, "points", &recent);
                    }
                }
            }
        }
        let verdict = Verdict::of(&self.console.node().ledger().await);
        self.sent.push(events, "foot", &Foot { word: verdict.word, text: verdict.text });
        self.sent.push(events, "now", &clock(now_us));
    }
}

#[derive(Serialize)]
struct Count {
    all: usize,
    found: usize,
    online: usize,
}

#[derive(Serialize)]
struct Foot {
    word: &'static str,
    text: String,
}

impl Sent {
    fn push(&mut self, events: &mut Events, name: &'static str, data: &impl Serialize) {
        let text = serde_json::to_string(data).expect("text and numbers have a JSON form");
        if self.texts.get(name) != Some(&text) {
            events.push(name, data);
            self.texts.insert(name, text);
        }
    }

    /// Rows that are not as they were sent; those that left the page are forgotten.
    fn changed_rows(&mut self, cells: Vec<Cells>) -> Vec<Cells> {
        let before = std::mem::take(&mut self.rows);
        let changed = cells.iter().filter(|row| before.get(&row.device) != Some(row));
        let changed = changed.cloned().collect();
        self.rows = cells.into_iter().map(|row| (row.device.clone(), row)).collect();
        changed
    }
}
