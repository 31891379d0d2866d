//! What of a budget was used, and what may go out next. Pure: time and traffic are arguments.
//!
//! `live` may use all of a period. `bulk` may use what a straight line from nothing to the budget has
//! reached, counted with what live used: so a backlog never takes a period's bytes at once, and where
//! live needs all of them nothing is left for bulk. A small part is kept from bulk to the end.
//!
//! Periods follow the wall clock, which may be wrong. One that goes back begins no period anew: what was
//! used stays used. One that stands in the past or was far in the future for a while locks nobody out: a
//! period is over at the latest once the agent itself has run for a little more than its length in it.

use std::collections::BTreeMap;
use std::time::Duration;

use headwater_protocol::chain::Row;
use headwater_protocol::identity::Lane;
use serde::{Deserialize, Serialize};

use crate::config::{Budget, Period};

/// What outlives the process.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Record {
    pub(super) period: Period,
    /// Which one: periods since 1970 UTC.
    pub(super) number: i64,
    /// Bytes that count as used in it.
    pub(super) used_bytes: u64,
    /// For how long an agent ran in it.
    pub(super) ran_s: u64,
}

/// What of a budget was used, and what may go out next.
#[derive(Clone, Debug)]
pub(super) struct Spending {
    budget: Budget,
    /// The newest period that was seen.
    number: i64,
    used: u64,
    /// Of the period, by the wall clock where that can be.
    elapsed: Duration,
    ran: Duration,
    /// Batches that were handed to the connection and are not acked: what they cost, at most.
    promised: BTreeMap<(u8, Row), u64>,
    bulk_waits: bool,
    spent: bool,
}

/// What waits for the budget.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Waits {
    /// Nothing.
    #[default]
    Nothing,
    /// The bulk lane, for its share.
    Bulk,
    /// Both lanes, for the next period.
    Everything,
}

impl Spending {
    /// Goes on from what was recorded. Of another kind of period, or of none, nothing counts as used.
    pub(super) fn new(budget: Budget, record: Option<Record>) -> Self {
        let record = record.filter(|record| record.period == budget.period);
        Self {
            budget,
            number: record.map_or(i64::MIN, |record| record.number),
            used: record.map_or(0, |record| record.used_bytes),
            elapsed: Duration::ZERO,
            ran: Duration::from_secs(record.map_or(0, |record| record.ran_s)),
            promised: BTreeMap::new(),
            bulk_waits: false,
            spent: false,
        }
    }

    /// What is to outlive the process: what was used, and what is on its way.
    pub(super) fn record(&self) -> Record {
        Record {
            period: self.budget.period,
            number: self.number,
            used_bytes: self.used.saturating_add(self.promised_bytes()),
            ran_s: self.ran.as_secs(),
        }
    }

    /// It is this time, in microseconds since 1970 UTC, and so long after the last call.
    pub(super) fn handle_time(&mut self, wall_us: i64, since_last: Duration) {
        self.ran = self.ran.saturating_add(since_last);
        let length = self.length();
        let length_us = i64::try_from(length.as_micros()).unwrap_or(i64::MAX);
        let number = wall_us.div_euclid(length_us);
        if number > self.number || self.ran >= length + length / RAN_BEYOND {
            // One batch may be larger than what was left: that is bytes of this period.
            let over = self.used.saturating_sub(self.limit());
            self.used = over.min(self.limit() / 2);
            (self.number, self.ran, self.spent) = (number, Duration::ZERO, false);
        }
        self.elapsed = if number == self.number {
            Duration::from_micros(u64::try_from(wall_us.rem_euclid(length_us)).unwrap_or(0))
        } else {
            self.ran.min(length)
        };
    }

    /// So many more bytes have travelled.
    pub(super) fn handle_traffic(&mut self, bytes: u64) {
        self.used = self.used.saturating_add(bytes);
    }

    /// Whether a batch may go out. If so it counts as promised until it is acked; if not, how long to wait
    /// before asking again.
    pub(super) fn handle_batch(
        &mut self,
        lane: Lane,
        row: Row,
        bytes: u64,
    ) -> Result<(), Duration> {
        let cost = on_the_wire(bytes);
        let (room, most) = match lane {
            Lane::Live => (self.limit().saturating_sub(CLOSING_BYTES), self.limit() / 2),
            Lane::Bulk => (self.line(), self.ceiling() / 2),
        };
        // A batch that is larger than half of a budget has to go some time: once half of it is left.
        let wanted = self.used.saturating_add(self.promised_bytes()).saturating_add(cost.min(most));
        if wanted <= room {
            self.promised.insert((lane.code(), row), cost);
            self.bulk_waits &= lane != Lane::Bulk;
            return Ok(());
        }
        match lane {
            Lane::Live => self.spent |= self.promised.is_empty(),
            Lane::Bulk => self.bulk_waits = true,
        }
        Err(self.opens_in(lane, wanted))
    }

    /// Rows of a lane before this one are acked.
    pub(super) fn handle_ack(&mut self, lane: Lane, through: Row) {
        self.promised.retain(|(code, row), _| *code != lane.code() || *row >= through);
    }

    /// What of a lane was on its way counts as not sent.
    pub(super) fn handle_dropped(&mut self, lane: Lane) {
        self.promised.retain(|(code, _), _| *code != lane.code());
        self.bulk_waits &= lane != Lane::Bulk;
    }

    /// Whether a session may be begun, which costs something.
    pub(super) fn handle_try(&mut self) -> bool {
        self.spent |= self.used.saturating_add(TRY_BYTES) > self.limit();
        !self.spent
    }

    /// Whether nothing more may go out in this period.
    pub(super) fn is_spent(&self) -> bool {
        self.spent || self.used.saturating_add(CLOSING_BYTES) >= self.limit()
    }

    /// What waits.
    pub(super) fn waits(&self) -> Waits {
        match (self.is_spent(), self.bulk_waits) {
            (true, _) => Waits::Everything,
            (false, true) => Waits::Bulk,
            (false, false) => Waits::Nothing,
        }
    }

    /// Bytes used in the period.
    pub(super) fn used(&self) -> u64 {
        self.used
    }

    /// What bulk and live together may have used before bulk waits.
    pub(super) fn line(&self) -> u64 {
        let micros = |span: Duration| span.as_micros().max(1);
        let line = u128::from(self.ceiling()) * micros(self.elapsed) / micros(self.length());
        u64::try_from(line).unwrap_or(u64::MAX)
    }

    /// Which period it is: periods since 1970 UTC.
    pub(super) fn number(&self) -> i64 {
        self.number
    }

    /// When the next period begins, in seconds since 1970 UTC, if the clock is right.
    pub(super) fn renews_s(&self) -> i64 {
        let length = i64::try_from(self.length().as_secs()).unwrap_or(i64::MAX);
        self.number.saturating_add(1).saturating_mul(length)
    }

    /// How long a batch waits at least.
    fn opens_in(&self, lane: Lane, wanted: u64) -> Duration {
        let rest = self.length().saturating_sub(self.elapsed);
        match lane {
            Lane::Live => rest,
            Lane::Bulk => {
                let missing = u128::from(wanted - self.line().min(wanted));
                let micros =
                    missing * self.length().as_micros() / u128::from(self.ceiling().max(1));
                Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX)).min(rest)
            }
        }
    }

    fn limit(&self) -> u64 {
        self.budget.bytes.0
    }

    /// What bulk may reach at the end of a period.
    fn ceiling(&self) -> u64 {
        self.limit() - self.limit() / KEPT_FOR_LIVE
    }

    fn length(&self) -> Duration {
        self.budget.period.length()
    }

    fn promised_bytes(&self) -> u64 {
        self.promised.values().fold(0, |sum, bytes| sum.saturating_add(*bytes))
    }
}

/// What a batch costs both ways, at most, with headers, acks and what little is lost.
fn on_the_wire(bytes: u64) -> u64 {
    bytes.saturating_add(bytes / 12).saturating_add(256)
}

/// A twentieth of the budget is never bulk's.
const KEPT_FOR_LIVE: u64 = 20;
/// What a session needs to end: the last acks, and the closing.
const CLOSING_BYTES: u64 = 4 << 10;
/// What a session costs before it carries anything: handshake, search for the largest packet, hellos. Of a
/// host with few files it is 18,600 bytes.
const TRY_BYTES: u64 = 20 << 10;
/// An eighth of its length beyond it a period is over whatever the wall clock says: clocks are slewed, but
/// not so far.
const RAN_BEYOND: u32 = 8;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ByteCount;

    const LIMIT: u64 = 10_000_000;
    const HOUR_US: i64 = 3_600_000_000;
    /// When the hour 500,000 begins.
    const BEGIN_US: i64 = 500_000 * HOUR_US;
    const NO_TIME: Duration = Duration::ZERO;

    fn budget() -> Budget {
        Budget { bytes: ByteCount(LIMIT), period: Period::Hour }
    }

    /// Nothing used, so many minutes into an hour.
    fn after_minutes(minutes: i64) -> Spending {
        let mut spending = Spending::new(budget(), None);
        spending.handle_time(BEGIN_US + minutes * 60_000_000, NO_TIME);
        spending
    }

    /// Sends batches of a lane until none may go, and gives the bytes that travelled.
    fn exhaust(spending: &mut Spending, lane: Lane, bytes: u64) -> u64 {
        let before = spending.used();
        for row in 0.. {
            if spending.handle_batch(lane, Row(row), bytes).is_err() {
                break;
            }
            spending.handle_traffic(bytes + bytes / 16);
            spending.handle_ack(lane, Row(row + 1));
        }
        spending.used() - before
    }

    #[test]
    fn bulk_keeps_to_a_straight_line_and_live_may_use_all() {
        for minutes in [0, 15, 30, 59] {
            let mut spending = after_minutes(minutes);
            let line = LIMIT / 100 * 95 * u64::try_from(minutes).unwrap() / 60;
            let bulk = exhaust(&mut spending, Lane::Bulk, 20_000);
            assert!(bulk <= line, "{bulk} of {line} at minute {minutes}");
            assert!(line - bulk < 30_000, "{bulk} of {line} at minute {minutes}");
            assert_eq!(spending.waits(), Waits::Bulk);
            exhaust(&mut spending, Lane::Live, 500);
            let used = spending.used();
            assert!((LIMIT - 10_000..=LIMIT).contains(&used), "live uses the rest: {used}");
            assert_eq!(spending.waits(), Waits::Everything);
            assert!(!spending.handle_try(), "no session is begun for nothing");
        }
    }

    #[test]
    fn what_live_used_is_not_there_for_bulk() {
        let mut spending = after_minutes(30);
        spending.handle_traffic(LIMIT / 2);
        assert_eq!(exhaust(&mut spending, Lane::Bulk, 20_000), 0);
        assert_eq!(spending.handle_batch(Lane::Live, Row(0), 20_000), Ok(()));
    }

    #[test]
    fn a_batch_that_waits_may_go_when_it_was_said_and_not_before() {
        let mut spending = after_minutes(6);
        exhaust(&mut spending, Lane::Bulk, 20_000);
        let wait = spending.handle_batch(Lane::Bulk, Row(9), 500_000).unwrap_err();
        let at = |wait: Duration| BEGIN_US + 360_000_000 + i64::try_from(wait.as_micros()).unwrap();
        spending.handle_time(at(wait - Duration::from_secs(1)), NO_TIME);
        assert!(spending.handle_batch(Lane::Bulk, Row(9), 500_000).is_err(), "a second before");
        spending.handle_time(at(wait + Duration::from_millis(1)), NO_TIME);
        assert_eq!(spending.handle_batch(Lane::Bulk, Row(9), 500_000), Ok(()));
        assert_eq!(spending.waits(), Waits::Nothing);
    }

    #[test]
    fn what_is_on_its_way_counts_until_it_is_acked_or_dropped() {
        let mut spending = after_minutes(6);
        assert_eq!(spending.line(), 950_000);
        assert_eq!(spending.handle_batch(Lane::Bulk, Row(0), 500_000), Ok(()));
        assert!(spending.handle_batch(Lane::Bulk, Row(1), 500_000).is_err(), "not both");
        assert!(spending.record().used_bytes > 500_000, "a crash forgets nothing of it");
        spending.handle_dropped(Lane::Bulk);
        assert_eq!(spending.handle_batch(Lane::Bulk, Row(0), 500_000), Ok(()), "greeted again");
        spending.handle_ack(Lane::Bulk, Row(0));
        assert!(spending.handle_batch(Lane::Bulk, Row(1), 500_000).is_err(), "an older ack");
        spending.handle_ack(Lane::Live, Row(9));
        assert!(spending.handle_batch(Lane::Bulk, Row(1), 500_000).is_err(), "the other lane's");
        spending.handle_ack(Lane::Bulk, Row(1));
        assert_eq!(spending.handle_batch(Lane::Bulk, Row(1), 500_000), Ok(()));
        assert_eq!(spending.record().used_bytes, on_the_wire(500_000), "none of it was seen yet");
    }

    #[test]
    fn live_that_waits_only_for_acks_does_not_end_the_period() {
        let mut spending = after_minutes(30);
        spending.handle_traffic(LIMIT - 100_000);
        assert_eq!(spending.handle_batch(Lane::Live, Row(0), 60_000), Ok(()));
        assert!(spending.handle_batch(Lane::Live, Row(1), 60_000).is_err());
        assert!(!spending.is_spent(), "what is on its way may cost less than was feared");
        spending.handle_ack(Lane::Live, Row(1));
        assert_eq!(spending.handle_batch(Lane::Live, Row(1), 60_000), Ok(()));
    }

    #[test]
    fn a_batch_of_any_size_goes_some_time_and_is_paid_for() {
        let large = LIMIT * 2;
        for (lane, minutes) in [(Lane::Bulk, 29), (Lane::Live, 0)] {
            let mut spending = after_minutes(minutes);
            if lane == Lane::Bulk {
                assert!(spending.handle_batch(lane, Row(0), large).is_err(), "half is not reached");
                spending = after_minutes(31);
            }
            assert_eq!(spending.handle_batch(lane, Row(0), large), Ok(()), "{lane}");
            spending.handle_traffic(large);
            spending.handle_ack(lane, Row(1));
            assert!(spending.is_spent());
            spending.handle_time(BEGIN_US + HOUR_US, Duration::from_secs(60));
            assert_eq!(spending.used(), LIMIT / 2, "half a period at most is owed");
            assert!(!spending.is_spent());
        }
    }

    #[test]
    fn a_period_ends_with_the_hour() {
        let mut spending = after_minutes(59);
        exhaust(&mut spending, Lane::Live, 5_000);
        assert_eq!(spending.renews_s() * 1_000_000, BEGIN_US + HOUR_US);
        spending.handle_time(BEGIN_US + HOUR_US - 1, Duration::from_secs(59));
        assert!(spending.is_spent());
        spending.handle_time(BEGIN_US + HOUR_US, NO_TIME);
        assert_eq!((spending.used(), spending.waits()), (0, Waits::Nothing));
        assert!(spending.handle_try());
        assert_eq!(spending.line(), 0, "bulk begins with nothing");
    }

    #[test]
    fn a_clock_that_goes_back_gives_nothing_and_takes_nothing() {
        let mut spending = after_minutes(5);
        spending.handle_traffic(LIMIT / 3);
        for back_us in [600_000_000, 30 * HOUR_US, BEGIN_US] {
            spending.handle_time(BEGIN_US - back_us, Duration::from_secs(1));
            assert_eq!(spending.used(), LIMIT / 3, "no period begins anew");
            assert!(spending.handle_batch(Lane::Bulk, Row(0), 1_000).is_err(), "nor does its line");
            assert_eq!(spending.handle_batch(Lane::Live, Row(0), 1_000), Ok(()));
        }
        spending.handle_time(BEGIN_US + 7 * 60_000_000, Duration::from_secs(1));
        assert_eq!(spending.used(), LIMIT / 3, "it is the same hour still");
        assert_eq!(spending.line(), LIMIT / 100 * 95 * 7 / 60);
    }

    #[test]
    fn a_clock_that_was_in_the_future_locks_nobody_out() {
        let mut spending = after_minutes(0);
        spending.handle_time(BEGIN_US + 900_000 * HOUR_US, NO_TIME);
        spending.handle_traffic(LIMIT);
        assert!(spending.is_spent());
        // The clock is right again. The process is started anew each ten minutes.
        let mut minutes = 0;
        while spending.is_spent() {
            spending = Spending::new(budget(), Some(spending.record()));
            minutes += 10;
            spending.handle_time(BEGIN_US + minutes * 60_000_000, Duration::from_secs(600));
            assert!(minutes <= 70, "locked out for {minutes} minutes");
        }
        assert!(minutes > 60, "no sooner than after a period");
        spending.handle_traffic(LIMIT);
        spending.handle_time(BEGIN_US + 2 * HOUR_US, NO_TIME);
        assert!(!spending.is_spent(), "from then on the hours are those of the clock");
    }

    #[test]
    fn a_host_that_always_boots_in_1970_is_not_locked_out_and_gets_no_more() {
        let (mut spending, mut sent) = (Spending::new(budget(), None), 0);
        // Forty starts, each of half an hour in the first half hour of 1970.
        for _ in 0..40 {
            spending = Spending::new(budget(), Some(spending.record()));
            for minute in 0..30 {
                spending.handle_time(minute * 60_000_000, Duration::from_secs(60));
                sent += exhaust(&mut spending, Lane::Live, 20_000);
            }
        }
        let hours = 20;
        assert!(sent <= LIMIT * hours, "{sent} in {hours} hours");
        assert!(sent >= LIMIT * hours * 3 / 4, "{sent} in {hours} hours");
    }

    #[test]
    fn what_was_used_outlives_the_process_and_a_smaller_budget_is_not_owed_for_days() {
        let mut spending = after_minutes(30);
        spending.handle_traffic(LIMIT / 2);
        let record = spending.record();
        let mut again = Spending::new(budget(), Some(record));
        again.handle_time(BEGIN_US + 31 * 60_000_000, NO_TIME);
        assert_eq!(again.used(), LIMIT / 2);
        let daily = Budget { period: Period::Day, ..budget() };
        let mut other = Spending::new(daily, Some(record));
        other.handle_time(BEGIN_US, NO_TIME);
        assert_eq!(other.used(), 0, "of another kind of period");
        let small = Budget { bytes: ByteCount(LIMIT / 10), ..budget() };
        let mut small = Spending::new(small, Some(record));
        small.handle_time(BEGIN_US + 31 * 60_000_000, NO_TIME);
        assert!(small.is_spent());
        small.handle_time(BEGIN_US + HOUR_US, NO_TIME);
        assert!(!small.is_spent());
        // Whatever a file says.
        let wild = Record { number: i64::MAX, used_bytes: u64::MAX, ran_s: u64::MAX, ..record };
        let mut wild = Spending::new(budget(), Some(wild));
        assert!(wild.renews_s() > 0 && wild.record().used_bytes == u64::MAX);
        wild.handle_time(BEGIN_US, NO_TIME);
        assert!(!wild.is_spent());
    }
}
