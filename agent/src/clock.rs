//! The kernel's clocks: wall time for people, time since the boot for measuring, and which boot it is.

use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

use headwater_protocol::entry::SentClock;
use headwater_protocol::header::Clock;
use headwater_protocol::identity::BootId;
use jiff::Timestamp;
use rustix::time::{ClockId, clock_gettime};

/// The day of a moment in UTC, seconds since 1970, for people.
#[must_use]
pub fn day(unix_s: u64) -> String {
    written(i64::try_from(unix_s).ok(), "%Y-%m-%d")
}

/// The minute of a moment in UTC, seconds since 1970, for people.
#[must_use]
pub fn minute(unix_s: i64) -> String {
    written(Some(unix_s), "%Y-%m-%d %H:%M UTC")
}

fn written(unix_s: Option<i64>, format: &str) -> String {
    let time = unix_s.and_then(|unix_s| Timestamp::from_second(unix_s).ok());
    time.map_or_else(|| "at no date".to_owned(), |time| time.strftime(format).to_string())
}

/// The clocks of this host and this boot.
#[derive(Clone, Copy, Debug)]
pub struct Clocks {
    boot: BootId,
}

impl Clocks {
    /// Asks the kernel which boot it is. A host that has no boot id has that of zeros.
    #[must_use]
    pub fn of_this_boot(proc: &Path) -> Self {
        let text = fs::read_to_string(proc.join("sys/kernel/random/boot_id"));
        Self { boot: text.ok().and_then(|text| parse_boot_id(text.trim())).unwrap_or_default() }
    }

    /// Which boot it is.
    #[must_use]
    pub fn boot(self) -> BootId {
        self.boot
    }

    /// Both clocks and the boot.
    #[must_use]
    pub fn now(self) -> Clock {
        Clock { wall_us: wall_us(), boot: self.boot, mono_us: mono_us() }
    }

    /// Both clocks, for a frame.
    #[must_use]
    pub fn sent(self) -> SentClock {
        SentClock { wall_us: wall_us(), mono_us: mono_us(), boot: self.boot }
    }
}

/// Microseconds since 1970 UTC, right or wrong; before 1970 they are negative.
#[must_use]
pub fn wall_us() -> i64 {
    let micros = |span: Duration| i64::try_from(span.as_micros()).unwrap_or(i64::MAX);
    match SystemTime::now().duration_since(SystemTime::UNIX_EPOCH) {
        Ok(since) => micros(since),
        Err(before) => -micros(before.duration()),
    }
}

/// Microseconds since the boot, those that the host slept included.
fn mono_us() -> u64 {
    let time = clock_gettime(ClockId::Boottime);
    let part = |number: i64| u64::try_from(number).unwrap_or(0);
    part(time.tv_sec) * 1_000_000 + part(time.tv_nsec) / 1_000
}

fn parse_boot_id(text: &str) -> Option<BootId> {
    let digits: Vec<u8> = text.bytes().filter(|byte| *byte != b'-').collect();
    let mut id = [0; 16];
    if digits.len() != 32 {
        return None;
    }
    for (byte, pair) in id.iter_mut().zip(digits.chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(BootId(id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_boot_id_is_read_from_its_text() {
        let text = "0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0";
        let id = BootId([
            0x0f, 0x1e, 0x2d, 0x3c, 0x4b, 0x5a, 0x69, 0x78, 0x87, 0x96, 0xa5, 0xb4, 0xc3, 0xd2,
            0xe1, 0xf0,
        ]);
        assert_eq!(parse_boot_id(text), Some(id));
        assert_eq!(parse_boot_id("none"), None);
        assert_eq!(Clocks::of_this_boot(Path::new("nowhere")).boot(), BootId::default());
    }

    #[test]
    fn the_time_since_the_boot_grows() {
        let clocks = Clocks::of_this_boot(Path::new("/proc"));
        let [first, second] = [clocks.now(), clocks.now()];
        assert!(second.mono_us >= first.mono_us && first.mono_us > 0);
        assert_eq!(first.boot, clocks.boot());
    }
}
