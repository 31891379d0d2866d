//! Numbers, sizes, times and durations as people read them.

use std::time::Duration;

use jiff::Timestamp;

/// Digits grouped by commas: `8,412,003`.
#[must_use]
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A number of things: `1 device`, `1,200 batches`.
#[must_use]
pub fn count(number: u64, thing: &str) -> String {
    let ending = match number {
        1 => "",
        _ if thing.ends_with("ch") => "es",
        _ => "s",
    };
    format!("{} {thing}{ending}", grouped(number))
}

/// A size in binary units, three digits or so: `41.2 MiB`.
#[must_use]
pub fn bytes(count: u64) -> String {
    scaled(count as f64, 1024.0, &["B", "KiB", "MiB", "GiB", "TiB", "PiB"])
}

/// A rate of bytes in decimal units, as links are sold: `1.1 kB/s`.
#[must_use]
pub fn bytes_per_second(rate: f64) -> String {
    scaled(rate, 1000.0, &["B/s", "kB/s", "MB/s", "GB/s"])
}

/// A rate of things: `210 records/s`, `1.9 M records/s`.
#[must_use]
pub fn per_second(rate: f64, things: &str) -> String {
    let number = match rate {
        rate if rate >= 99_999.5 => scaled(rate / 1000.0, 1000.0, &["k", "M", "G"]),
        rate if rate > 0.0 =>
        {
            #[expect(clippy::cast_possible_truncation, reason = "below 100,000 and not negative")]
            #[expect(clippy::cast_sign_loss, reason = "below 100,000 and not negative")]
            grouped(rate.round() as u64)
        }
        _ => "0".to_owned(),
    };
    format!("{number} {things}/s")
}

fn scaled(number: f64, step: f64, units: &[&str]) -> String {
    let mut number = if number.is_finite() && number > 0.0 { number } else { 0.0 };
    let mut unit = 0;
    while number >= step * 0.9995 && unit + 1 < units.len() {
        number /= step;
        unit += 1;
    }
    let digits = if unit == 0 || number >= 99.95 { 0 } else { 1 };
    format!("{number:.digits$} {}", units[unit])
}

/// A duration in its two largest units: `31 ms`, `1.8 s`, `2 min 5 s`, `41 d 2 h`.
#[must_use]
pub fn duration(span: Duration) -> String {
    let seconds = span.as_secs();
    match seconds {
        0 if span.as_micros() < 1000 => format!("{} µs", span.as_micros()),
        0 if span.as_millis() < 10 => format!("{:.1} ms", span.as_secs_f64() * 1e3),
        0 => format!("{} ms", span.as_millis()),
        1..=9 => format!("{:.1} s", span.as_secs_f64()),
        10..=119 => format!("{seconds} s"),
        120..=7_199 => format!("{} min {} s", seconds / 60, seconds % 60),
        7_200..=172_799 => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds % 86_400 / 3600),
    }
}

/// Microseconds since 1970 UTC in RFC 3339 with six digits; what no calendar holds stays a number.
#[must_use]
pub fn time(micros: i64) -> String {
    match Timestamp::from_microsecond(micros) {
        Ok(time) => format!("{time:.6}"),
        Err(_) => format!("{micros} µs"),
    }
}

/// The same to the second, as tables show it.
#[must_use]
pub fn time_to_second(micros: i64) -> String {
    match Timestamp::from_second(micros.div_euclid(1_000_000)) {
        Ok(time) => format!("{time:.0}"),
        Err(_) => format!("{micros} µs"),
    }
}

/// The time of day to the second, in UTC.
#[must_use]
pub fn clock(now: Timestamp) -> String {
    let text = format!("{now:.0}");
    text.get(11..19).unwrap_or(&text).to_owned()
}

/// Microseconds since 1970 UTC of this host's clock.
#[must_use]
pub fn now_us() -> i64 {
    Timestamp::now().as_microsecond()
}

/// How long ago a moment was, `in the future` for a clock that runs ahead.
#[must_use]
pub fn ago(then_us: i64, now_us: i64) -> String {
    match u64::try_from(now_us.saturating_sub(then_us)) {
        Ok(micros) => duration(Duration::from_micros(micros)),
        Err(_) => "in the future".to_owned(),
    }
}

/// A value of a series: an integer with so many decimal digits after the point.
#[must_use]
pub fn decimal(value: i64, scale: u8) -> String {
    let digits = value.unsigned_abs().to_string();
    let scale = usize::from(scale);
    let sign = if value < 0 { "-" } else { "" };
    if scale == 0 {
        return format!("{sign}{digits}");
    }
    let digits = format!("{digits:0>width$}", width = scale + 1);
    let (whole, fraction) = digits.split_at(digits.len() - scale);
    let fraction = fraction.trim_end_matches('0');
    if fraction.is_empty() { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") }
}

/// A value of a series as its metric's last word says that it is to be read.
#[must_use]
pub fn reading(metric: &str, value: i64, scale: u8) -> String {
    let plain = decimal(value, scale);
    match (metric.rsplit('_').next(), u64::try_from(value)) {
        (Some("bytes"), Ok(count)) => {
            let unit = 10_u64.checked_pow(u32::from(scale));
            unit.map_or(plain, |unit| bytes(count / unit))
        }
        (Some("ratio"), _) if scale >= 2 => format!("{} %", decimal(value, scale - 2)),
        _ => plain,
    }
}

/// A number as its metric's last word says it is to be read; for people only.
pub(crate) fn written(metric: &str, text: &str) -> String {
    match (metric.rsplit('_').next(), text.parse::<f64>()) {
        (Some("ratio"), Ok(share)) => {
            let percent = format!("{:.1}", share * 100.0);
            format!("{} %", percent.trim_end_matches('0').trim_end_matches('.'))
        }
        #[expect(clippy::cast_possible_truncation, reason = "it is shown with three digits")]
        #[expect(clippy::cast_sign_loss, reason = "it is not negative")]
        (Some("bytes"), Ok(size)) if size >= 0.0 => bytes(size as u64),
        (_, Ok(number)) if text.len() > PLAIN_LETTERS_MAX => format!("{number:.3}"),
        _ => text.to_owned(),
    }
}

/// Letters of a number that is shown as it is.
const PLAIN_LETTERS_MAX: usize = 12;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_by_three() {
        let cases = [(0, "0"), (999, "999"), (1000, "1,000"), (8_412_003, "8,412,003")];
        for (number, text) in cases {
            assert_eq!(grouped(number), text);
        }
    }

    #[test]
    fn sizes_have_three_digits_or_so() {
        let cases = [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (1536, "1.5 KiB")];
        for (count, text) in cases {
            assert_eq!(bytes(count), text);
        }
        assert_eq!(bytes(41 << 20), "41.0 MiB");
        assert_eq!(bytes(500 << 20), "500 MiB");
        assert_eq!(bytes_per_second(1100.0), "1.1 kB/s");
        assert_eq!(per_second(1_940_000.0, "lines"), "1.9 M lines/s");
        assert_eq!(per_second(46.6, "lines"), "47 lines/s");
        assert_eq!(per_second(f64::NAN, "lines"), "0 lines/s");
    }

    #[test]
    fn durations_have_two_units() {
        let cases = [(0, "0 µs"), (31_000, "31 ms"), (1_800_000, "1.8 s"), (65_000_000, "65 s")];
        for (micros, text) in cases {
            assert_eq!(duration(Duration::from_micros(micros)), text);
        }
        assert_eq!(duration(Duration::from_secs(3_549_600)), "41 d 2 h");
    }

    #[test]
    fn times_are_rfc_3339_in_utc() {
        assert_eq!(time(1_795_262_671_123_456), "2026-11-21T12:04:31.123456Z");
        assert_eq!(time_to_second(1_795_262_671_999_999), "2026-11-21T12:04:31Z");
        assert_eq!(time(i64::MAX), "9223372036854775807 µs");
    }

    #[test]
    fn values_are_exact_decimals() {
        let cases = [((3125, 4), "0.3125"), ((-5, 2), "-0.05"), ((1200, 2), "12"), ((7, 0), "7")];
        for ((value, scale), text) in cases {
            assert_eq!(decimal(value, scale), text);
        }
        assert_eq!(decimal(i64::MIN, 0), i64::MIN.to_string());
    }

    #[test]
    fn numbers_are_shown_as_their_metric_is_read() {
        let cases = [
            ("cpu.busy_ratio", "0.7", "70 %"),
            ("cpu.busy_ratio", "0.7333333333", "73.3 %"),
            ("disk.free_bytes", "1536", "1.5 KiB"),
            ("load.1m", "8", "8"),
            ("load.1m", "8.333333333333", "8.333"),
        ];
        for (metric, text, shown) in cases {
            assert_eq!(written(metric, text), shown);
        }
    }
}
