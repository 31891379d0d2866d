//! The status as people read it. CLI page, section 2.

use std::fmt::Write;

use headwater_protocol::identity::Lane;

use super::{LaneStatus, Status};
use crate::clock::{day, minute};
use crate::ship::{BudgetStanding, Link, Waits};

/// The page. `unicode` says whether the terminal shows more than ASCII.
#[must_use]
pub fn page(status: &Status, unicode: bool) -> String {
    let mut out = String::new();
    let trouble = status.trouble();
    let (mark, word) = match (&trouble, unicode) {
        (None, true) => ("■", "healthy"),
        (None, false) => (".", "healthy"),
        (Some(_), true) => ("▲", "degraded"),
        (Some(_), false) => ("!", "degraded"),
    };
    let version = format!("headwater-agent {}", status.version);
    let first = format!("{}  {mark} {word}", status.name);
    line(&mut out, &format!("{first:<62}{version}"));
    if let Some(trouble) = &trouble {
        field(&mut out, "trouble", trouble);
    }
    field(&mut out, "connection", &connection(status));
    if let Some(budget) = &status.ship.budget {
        field(&mut out, "budget", &budget_text(budget, &status.bulk));
    }
    field(&mut out, "identity", &identity(status));
    if let Some(copied) = &status.copied {
        field(&mut out, "copied", &copied.sentence());
    }
    field(&mut out, "spool", &spool(status));
    ledger(&mut out, status, unicode);
    sources(&mut out, status);
    field(&mut out, "self", &own(status));
    out
}

fn connection(status: &Status) -> String {
    match &status.ship.link {
        Link::Connected(connected) => {
            let minutes = (status.time_us - connected.since_us).max(0) / 60_000_000;
            let family = if connected.peer.starts_with('[') { "IPv6" } else { "IPv4" };
            let lost = percent(connected.lost_packets, connected.sent_packets);
            let rtt = tenths(connected.rtt_us, 1000);
            format!("{} ({family}), {minutes} min, rtt {rtt} ms, loss {lost} %", connected.address)
        }
        Link::Connecting => "connecting".to_owned(),
        Link::Waiting { pause_ms } => {
            format!(
                "none, next try in {} s at most, {} tries",
                pause_ms.div_ceil(1000),
                status.ship.tries
            )
        }
    }
}

fn budget_text(budget: &BudgetStanding, bulk: &LaneStatus) -> String {
    let share = percent(budget.used_bytes, budget.limit_bytes);
    let renews = minute(budget.renews_s);
    let mut text = format!(
        "{} of {} used ({share} %) · renews {renews}",
        bytes(budget.used_bytes),
        budget.budget
    );
    let waiting = grouped(bulk.unsent_batches);
    let _ = match budget.waits {
        Waits::Nothing => Ok(()),
        Waits::Bulk => write!(text, " · bulk waits for its share: {waiting} batches"),
        Waits::Everything => write!(text, " · both lanes wait until then"),
    };
    text
}

fn identity(status: &Status) -> String {
    let ends = status.ship.certificate_ends_s;
    let now = u64::try_from(status.time_us / 1_000_000).unwrap_or(0);
    let validity = match ends.checked_sub(now) {
        _ if ends == 0 => "certificate not read yet".to_owned(),
        Some(left) => format!("expires {} ({} d)", day(ends), left / 86_400),
        None => format!("expired {}; enrol again: headwater-agent enrol --force", day(ends)),
    };
    format!("{}, {validity}", status.device)
}

fn spool(status: &Status) -> String {
    let spool = &status.spool;
    let mut text = format!("{} of {}", bytes(spool.bytes), bytes(spool.max_bytes));
    if let Some(room) = spool.room_s {
        let days = tenths(room, 86_400);
        let _ = write!(text, " · room for {days} d at {}/s", bytes(spool.sealed_bytes_per_s));
    }
    let oldest = Lane::ALL.into_iter().filter_map(|lane| status.lane(lane).oldest_unsent_ms).max();
    if let Some(oldest) = oldest {
        let _ = write!(text, " · oldest {} s", tenths(oldest, 1000));
    }
    let p99 = Lane::ALL.into_iter().filter_map(|lane| status.lane(lane).ack_p99_ms).max();
    if let Some(p99) = p99 {
        let _ = write!(text, " · acks p99 {p99} ms");
    }
    let _ = write!(text, " · grace {} of {}", bytes(spool.kept_bytes), bytes(spool.grace_bytes));
    text
}

fn ledger(out: &mut String, status: &Status, unicode: bool) {
    for (label, lane) in [("ledger", Lane::Live), ("", Lane::Bulk)] {
        let lane_status = status.lane(lane);
        let LaneStatus { seq, acked, gaps, gap_records, epochs_opened, .. } = lane_status;
        let epoch = &lane_status.epoch[..lane_status.epoch.len().min(8)];
        let mut text =
            format!("{lane} epoch {epoch} seq {} acked {}", grouped(*seq), grouped(*acked));
        if *gaps > 0 {
            let _ = write!(text, " · gaps {} ({} records)", grouped(*gaps), grouped(*gap_records));
        }
        if *epochs_opened > 0 {
            let _ = write!(text, " · epochs opened {epochs_opened}");
        }
        if lane_status.dropped_records > 0 {
            let _ = write!(text, " · dropped {}", grouped(lane_status.dropped_records));
        }
        field(out, label, &text);
    }
    field(out, "", &sum(status, unicode));
}

/// The sum of both lanes.
fn sum(status: &Status, unicode: bool) -> String {
    let balances = [status.live.balance, status.bulk.balance];
    let [Some(live), Some(bulk)] = balances else {
        return "read = applied + in the spool + declared gaps: known after the first handshake"
            .to_owned();
    };
    let mark = match (live.holds() && bulk.holds(), unicode) {
        (true, true) => "✓",
        (true, false) => "yes",
        (false, true) => "✗",
        (false, false) => "NO",
    };
    format!(
        "read {} = applied {} + in the spool {} + declared gaps {} {mark}",
        grouped(live.read + bulk.read),
        grouped(live.applied + bulk.applied),
        grouped(live.in_spool + bulk.in_spool),
        grouped(live.gaps + bulk.gaps),
    )
}

fn sources(out: &mut String, status: &Status) {
    let files = &status.sources;
    let unread: u64 = files.iter().map(|file| file.size.saturating_sub(file.position)).sum();
    let mut text = format!("{} files", files.len());
    if unread > 0 {
        let _ = write!(text, " · {} unread", bytes(unread));
    }
    if !status.bulk.anchored {
        text.push_str(" · waiting for the ledger's first word");
    }
    field(out, "sources", &text);
    for file in files.iter().filter(|file| file.stalled.is_some()) {
        let why = file.stalled.as_deref().unwrap_or_default();
        let path = file.path.escape_debug();
        field(out, "", &format!("{path} stalled because {why}"));
    }
}

fn own(status: &Status) -> String {
    let own = &status.own;
    let cpu = percent(own.cpu_ms, status.uptime_s.max(1) * 1000);
    format!("CPU {cpu} % of one core · RSS {} · fds {}", bytes(own.rss_bytes), own.fds)
}

fn field(out: &mut String, label: &str, text: &str) {
    line(out, &format!("{label:<13}{text}"));
}

fn line(out: &mut String, text: &str) {
    out.push_str(text.trim_end());
    out.push('\n');
}

/// Digits in groups of three.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A fraction with one digit after the point.
fn tenths(number: u64, of: u64) -> String {
    let tenths = number.saturating_mul(10) / of.max(1);
    format!("{}.{}", tenths / 10, tenths % 10)
}

fn percent(part: u64, whole: u64) -> String {
    tenths(part.saturating_mul(100), whole)
}

fn bytes(count: u64) -> String {
    let units = [("GiB", 30), ("MiB", 20), ("KiB", 10)];
    for (unit, shift) in units {
        let whole = 1_u64 << shift;
        if count >= whole * 10 {
            return format!("{} {unit}", count / whole);
        }
        if count >= whole {
            return format!("{} {unit}", tenths(count, whole));
        }
    }
    format!("{count} B")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_for_people() {
        assert_eq!(grouped(8_412_003), "8,412,003");
        assert_eq!(grouped(12), "12");
        assert_eq!(bytes(2048), "2.0 KiB");
        assert_eq!(bytes(41 << 20), "41 MiB");
        assert_eq!(bytes(12), "12 B");
        assert_eq!(percent(4, 1000), "0.4");
    }

    #[test]
    fn a_day_is_that_of_utc() {
        assert_eq!(day(1_800_000_000), "2027-01-15");
        assert_eq!(day(u64::MAX), "at no date");
    }
}
