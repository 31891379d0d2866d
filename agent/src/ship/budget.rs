//! The budget of bytes of a period: what travels is counted, batches ask whether they may go, and what was
//! used outlives the process.
//!
//! Everything that the connection sends and receives counts, with headers of IP and UDP: metered links bill
//! both directions. What is decided is decided by [`Spending`] and [`Tries`]; this drives them.
//!
//! **Never here.** A batch that is let go of: what may not travel waits in the spool, and when that is full
//! in its files.

mod file;
mod meter;
mod spending;
mod tries;

use std::convert::Infallible;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use headwater_protocol::chain::Row;
use headwater_protocol::identity::Lane;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tracing::{info, warn};

pub(super) use self::meter::{Meter, Metered};
pub use self::spending::Waits;
use self::spending::{Record, Spending};
use self::tries::Tries;
use super::fault::SessionFault;
use super::standing::Standing;
use crate::clock::wall_us;
use crate::config::Budget;

/// How the budget stands, for people.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct BudgetStanding {
    /// As it is configured: `50MB/day`.
    pub budget: String,
    /// Bytes of a period.
    pub limit_bytes: u64,
    /// Bytes used in this one.
    pub used_bytes: u64,
    /// Bytes that may have been used by now before the bulk lane waits.
    pub bulk_until_bytes: u64,
    /// When the next period begins: seconds since 1970 UTC.
    pub renews_s: i64,
    /// What waits for the budget.
    pub waits: Waits,
}

/// The account of what travels.
#[derive(Debug)]
pub(super) struct Account {
    budget: Budget,
    file: PathBuf,
    meter: Arc<Meter>,
    /// Shared by both lanes, the session and the loop that connects, which run in one task and take it in
    /// turn, for no longer than a sum. As a message each batch would wait for an answer.
    books: Mutex<Books>,
    /// Whether nothing more may go out in this period, as the books had it when somebody last looked.
    spent: watch::Sender<bool>,
    /// Held by whoever writes the file, also when nobody waits for that any more: the last word comes last.
    writing: Arc<tokio::sync::Mutex<()>>,
}

#[derive(Debug)]
struct Books {
    spending: Spending,
    tries: Tries,
    /// What the meter showed when it was looked at, and when that was.
    metered: u64,
    looked: Instant,
    /// What the meter showed when a try began; `None` outside of tries.
    try_began: Option<u64>,
    /// What was recorded last: the period, and the bytes in it.
    recorded: (i64, u64),
    /// The last period in which people were told that bulk waits.
    told: Option<i64>,
}

impl Account {
    /// Opens the account of a budget. A file that can't be read is no reason to stay away: then nothing
    /// counts as used.
    pub(super) fn open(budget: Budget, file: PathBuf) -> Self {
        let record = file::read(&file).unwrap_or_else(|error| {
            warn!(file = %file.display(), %error, "what was used of the budget can't be read: nothing counts as used");
            None
        });
        let books = Books {
            spending: Spending::new(budget, record),
            tries: Tries::new(budget),
            metered: 0,
            looked: Instant::now(),
            try_began: None,
            recorded: record.map_or((i64::MIN, 0), |record| (record.number, record.used_bytes)),
            told: None,
        };
        Self {
            budget,
            file,
            meter: Arc::default(),
            books: Mutex::new(books),
            spent: watch::Sender::new(false),
            writing: Arc::default(),
        }
    }

    /// What sockets count with.
    pub(super) fn meter(&self) -> Arc<Meter> {
        Arc::clone(&self.meter)
    }

    /// Keeps the file and the standing up to date for as long as it is polled, and sees a period begin.
    pub(super) async fn keep(&self, standing: &watch::Sender<Standing>) -> Infallible {
        loop {
            self.show(standing);
            self.record(self.budget.bytes.0 / AHEAD_SHARE).await;
            tokio::time::sleep(KEEP_INTERVAL).await;
        }
    }

    /// Records what was used to the byte, at the end.
    pub(super) async fn close(&self) {
        self.record(0).await;
    }

    /// Whether a batch may go out; if not, how long to wait before asking again.
    pub(super) fn ask(&self, lane: Lane, row: Row, bytes: u64) -> Result<(), Duration> {
        let asked = self.with(|books| books.spending.handle_batch(lane, row, bytes));
        asked.map_err(|wait| wait.clamp(ASK_LEAST, ASK_MOST))
    }

    /// Rows of a lane before this one are acked.
    pub(super) fn acked(&self, lane: Lane, through: Row) {
        self.with(|books| books.spending.handle_ack(lane, through));
    }

    /// What of a lane was on its way counts as not sent.
    pub(super) fn dropped(&self, lane: Lane) {
        self.with(|books| books.spending.handle_dropped(lane));
    }

    /// Whether a session may be tried. If so, what it takes counts as a try until that ends.
    pub(super) fn begin_try(&self) -> bool {
        self.with(|books| {
            let may = books.spending.handle_try();
            books.try_began = may.then_some(books.metered);
            may
        })
    }

    /// The try is over, well or not. It may be said more than once.
    pub(super) fn end_try(&self) {
        self.with(|books| {
            if let Some(began) = books.try_began.take() {
                books.tries.handle_try(books.metered - began);
            }
        });
    }

    /// How long the next try waits at least.
    pub(super) fn try_wait(&self) -> Duration {
        self.with(|books| books.tries.wait())
    }

    /// Waits until nothing more may go out in this period.
    pub(super) async fn spent(&self) {
        self.wait_for(true).await;
    }

    /// Waits until something may.
    pub(super) async fn renewed(&self) {
        self.wait_for(false).await;
    }

    async fn wait_for(&self, spent: bool) {
        let mut seen = self.spent.subscribe();
        seen.wait_for(|is_spent| *is_spent == spent).await.expect("the account has the sender");
    }

    /// Why there is no session once the budget is used up.
    pub(super) fn fault(&self) -> SessionFault {
        let renews_s = self.with(|books| books.spending.renews_s());
        SessionFault::Spent { budget: self.budget, renews_s }
    }

    /// How long it is to the next period, if the clock is right.
    pub(super) fn renews_in(&self) -> Duration {
        let renews_s = self.with(|books| books.spending.renews_s());
        let seconds = renews_s.saturating_sub(wall_us() / 1_000_000);
        Duration::from_secs(u64::try_from(seconds).unwrap_or(0)).min(self.budget.period.length())
    }

    fn show(&self, standing: &watch::Sender<Standing>) {
        let (shown, is_first) = self.with(|books| {
            let spending = &books.spending;
            let shown = BudgetStanding {
                budget: self.budget.to_string(),
                limit_bytes: self.budget.bytes.0,
                used_bytes: spending.used(),
                bulk_until_bytes: spending.line(),
                renews_s: spending.renews_s(),
                waits: spending.waits(),
            };
            let number = Some(spending.number());
            let is_first = shown.waits == Waits::Bulk && books.told != number;
            if is_first {
                books.told = number;
            }
            (shown, is_first)
        });
        if is_first {
            info!(lane = %Lane::Bulk, budget = shown.budget, "batches wait for their share of the budget");
        }
        standing.send_if_modified(|standing| {
            let is_other = standing.budget.as_ref() != Some(&shown);
            standing.budget = Some(shown);
            is_other
        });
    }

    /// Records what was used, and `ahead` more, unless what was recorded last covers it: after a crash
    /// rather too much counts than too little.
    async fn record(&self, ahead: u64) {
        let due = self.with(|books| {
            let mut record = books.spending.record();
            let (number, bytes) = books.recorded;
            let is_covered = ahead > 0 && number == record.number && record.used_bytes <= bytes;
            record.used_bytes = record.used_bytes.saturating_add(ahead);
            (!is_covered).then(|| {
                books.recorded = (record.number, record.used_bytes);
                record
            })
        });
        let Some(record) = due else { return };
        if let Err(error) = self.write(record).await {
            warn!(file = %self.file.display(), %error, "what was used of the budget is not recorded: a restart forgets it");
        }
    }

    async fn write(&self, record: Record) -> io::Result<()> {
        let (path, alone) = (self.file.clone(), Arc::clone(&self.writing).lock_owned().await);
        let written = tokio::task::spawn_blocking(move || {
            let written = file::write(&path, &record);
            drop(alone);
            written
        });
        written.await.expect("writing a small file does not panic")
    }

    /// Brings the books up to date, and looks into them.
    fn with<T>(&self, look: impl FnOnce(&mut Books) -> T) -> T {
        let mut books = self.books.lock().unwrap_or_else(PoisonError::into_inner);
        let (metered, now) = (self.meter.bytes(), Instant::now());
        let since_last = now.saturating_duration_since(books.looked);
        let traffic = metered - books.metered;
        (books.metered, books.looked) = (metered, now);
        books.spending.handle_traffic(traffic);
        books.spending.handle_time(wall_us(), since_last);
        books.tries.handle_time(since_last);
        let found = look(&mut books);
        let is_spent = books.spending.is_spent();
        self.spent.send_if_modified(|spent| std::mem::replace(spent, is_spent) != is_spent);
        found
    }
}

/// How often what was used is looked at: a second of traffic is what a crash may forget.
const KEEP_INTERVAL: Duration = Duration::from_secs(1);
/// A 256th of the budget is recorded ahead, so that a period takes as many writes and a crash no more.
const AHEAD_SHARE: u64 = 256;
/// How long a batch waits before it asks again, whatever was said: acks, the other lane and the wall clock
/// change it.
const ASK_LEAST: Duration = Duration::from_millis(100);
const ASK_MOST: Duration = Duration::from_secs(5);
