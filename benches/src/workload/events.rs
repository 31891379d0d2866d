//! Events of 6 KB, of 45 types: some 150 fields of JSON, of which 15 differ from the last event of their type.

use std::fmt::Write;

use super::random::Random;

/// Types of events.
const TYPES: u64 = 45;
/// Fields that are the same in every event of a type.
const STILL: u64 = 135;

/// Events without an end; time passes from one to the next.
#[derive(Debug)]
pub(super) struct Events {
    random: Random,
    /// What does not vary, by type: fields before and after those that do.
    types: Vec<(String, String)>,
    time_ms: u64,
    sequence: u64,
    line: String,
}

impl Events {
    pub(super) fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let types = (0..TYPES).map(|number| {
            let half = |random: &mut Random, from: u64, to: u64| {
                (from..to).map(|field| still(random, number, field)).collect::<String>()
            };
            (half(&mut random, 0, STILL / 2), half(&mut random, STILL / 2, STILL))
        });
        let types = types.collect();
        Self { random, types, time_ms: 8 * 3_600_000, sequence: 1, line: String::new() }
    }

    /// The next event, its end included.
    pub(super) fn next_line(&mut self) -> &str {
        // The first types more often: the square of an even draw.
        let number = self.random.skewed(TYPES);
        self.time_ms = (self.time_ms + self.random.below(40)) % 86_400_000;
        self.sequence += 1;
        self.line.clear();
        self.write(number).expect("a string takes every text");
        &self.line
    }

    fn write(&mut self, number: u64) -> std::fmt::Result {
        let (before, after) = &self.types[usize::try_from(number).expect("there are 45 types")];
        let (random, line) = (&mut self.random, &mut self.line);
        let (seconds, ms) = (self.time_ms / 1_000, self.time_ms % 1_000);
        let (hour, minute, second) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
        let (high, low) = (random.draw(), random.draw());
        let (session, user) = ((random.draw(), random.draw()), random.skewed(4_000));
        write!(
            line,
            "{{\"time\":\"2026-11-21T{hour:02}:{minute:02}:{second:02}.{ms:03}Z\",\
             \"event_id\":\"{:08x}-{:04x}-4{:03x}-a{:03x}-{:012x}\",\"type\":\"event-type-{number:02}\",\
             \"sequence\":{},{before}",
            high >> 32,
            high >> 16 & 0xffff,
            high & 0xfff,
            low >> 52,
            low & 0xffff_ffff_ffff,
            self.sequence,
        )?;
        write!(
            line,
            "\"user\":{{\"name\":\"user{user:04}\",\"uid\":{},\"mail\":\"user{user:04}@example.com\",\
             \"department\":\"department-{}\"}},\"session\":\"{:016x}{:016x}\",",
            10_000 + user * 7,
            user % 23,
            session.0,
            session.1
        )?;
        let address = random.draw();
        write!(
            line,
            "\"source\":{{\"ip\":\"10.{}.{}.{}\",\"port\":{},\"host\":\"ws-{:04}\"}},",
            address & 63,
            address >> 8 & 255,
            address >> 16 & 255,
            1_024 + random.below(64_000),
            user % 900
        )?;
        for name in ["bytes_in", "bytes_out", "took_us", "score"] {
            // About log-normal: the product of draws.
            let value = (1 + random.below(40)) * (1 + random.below(40)) * (1 + random.below(9));
            write!(line, "\"{name}\":{value},")?;
        }
        let (retried, cached) = (random.below(20) == 0, random.below(4) > 0);
        writeln!(line, "\"retried\":{retried},\"cached\":{cached},{after}\"version\":3}}")
    }
}

/// A field that every event of a type has with the same value.
fn still(random: &mut Random, number: u64, field: u64) -> String {
    let name = format!("{}_{}_{field}", random.pick(&NAMES), random.pick(&NAMES));
    match random.below(4) {
        0 => format!("\"{name}\":{},", random.below(1_000_000)),
        1 => format!("\"{name}\":{},", random.below(2) == 0),
        _ => format!(
            "\"{name}\":\"{} {} {number}.{field} {}\",",
            random.pick(&NAMES),
            random.pick(&NAMES),
            random.pick(&NAMES)
        ),
    }
}

const NAMES: [&str; 16] = [
    "device",
    "network",
    "process",
    "parent",
    "policy",
    "tenant",
    "location",
    "browser",
    "target",
    "agent",
    "resource",
    "gateway",
    "signature",
    "category",
    "direction",
    "organisation",
];
