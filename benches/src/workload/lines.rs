//! One line after the other, of three kinds.

use std::fmt::Write;

use super::random::Random;

/// Lines without an end; time passes from one to the next.
#[derive(Clone, Debug)]
pub(crate) struct Lines {
    random: Random,
    /// Milliseconds since midnight of the day that the log is of.
    time_ms: u64,
    sequence: u64,
    line: String,
}

impl Lines {
    pub(super) fn new(seed: u64) -> Self {
        let (random, line) = (Random::new(seed), String::new());
        Self { random, time_ms: 8 * 3_600_000, sequence: 100_000, line }
    }

    /// The next line, its end included.
    pub(crate) fn next_line(&mut self) -> &str {
        self.line.clear();
        self.time_ms = (self.time_ms + self.random.below(4)) % 86_400_000;
        let written = match self.random.below(100) {
            0..50 => self.write_nginx(),
            50..85 => self.write_json(),
            _ => self.write_syslog(),
        };
        written.expect("a string takes every text");
        self.line.push('\n');
        &self.line
    }

    fn write_nginx(&mut self) -> std::fmt::Result {
        let time = Clock(self.time_ms);
        let client = self.random.skewed(2_000_000);
        let (high, middle, low) = (client / 62_500, client / 250 % 250, client % 250 + 1);
        let method = self.random.pick(&["GET", "GET", "POST", "PUT", "DELETE"]);
        let path = self.random.pick(&PATHS);
        let item = self.random.below(900_000) + 100_000;
        let session = self.random.draw() >> 32;
        let status = self.random.pick(&["200", "200", "200", "304", "404", "301", "502"]);
        let size = self.random.below(90_000) + 120;
        let user = self.random.pick(&["-", "-", "u-10442", "u-20817"]);
        let referer = self.random.pick(&REFERERS);
        let browser = self.random.pick(&BROWSERS);
        write!(
            self.line,
            "81.{high}.{middle}.{low} - {user} [21/Nov/2026:{time} +0000] \"{method} {path}/{item}?s={session:08x} HTTP/1.1\" \
             {status} {size} \"{referer}\" \"{browser}\""
        )
    }

    fn write_json(&mut self) -> std::fmt::Result {
        let (time, ms) = (Clock(self.time_ms), self.time_ms % 1_000);
        let level = self.random.pick(&["info", "info", "info", "debug", "warn", "error"]);
        let service = self.random.pick(&SERVICES);
        let (high, low, span) = (self.random.draw(), self.random.draw(), self.random.draw());
        let message = self.random.pick(&MESSAGES);
        let user = self.random.below(90_000) + 10_000;
        let (took, host) = (self.random.below(9_000), self.random.skewed(24) + 1);
        self.sequence += 1;
        let sequence = self.sequence;
        write!(
            self.line,
            "{{\"time\":\"2026-11-21T{time}.{ms:03}Z\",\"level\":\"{level}\",\
             \"service\":\"{service}\",\"host\":\"web-{host:02}\",\
             \"trace_id\":\"{high:016x}{low:016x}\",\"span_id\":\"{span:016x}\",\
             \"message\":\"{message}\",\"user_id\":{user},\"duration_ms\":{took},\
             \"sequence\":{sequence}}}"
        )
    }

    fn write_syslog(&mut self) -> std::fmt::Result {
        let (time, host) = (Clock(self.time_ms), self.random.skewed(24) + 1);
        let user = self.random.pick(&["deploy", "backup", "www-data", "root", "postgres"]);
        let number = self.random.below(60_000) + 1_024;
        let key = (self.random.draw(), self.random.draw());
        let process = self.random.below(30_000) + 300;
        write!(self.line, "Nov 21 {time} web-{host:02} ")?;
        match self.random.skewed(4) {
            0 => write!(
                self.line,
                "sshd[{process}]: Accepted publickey for {user} from 10.24.7.9 port {number} ssh2: \
                 ED25519 SHA256:{:016x}{:016x}",
                key.0, key.1
            ),
            1 => write!(
                self.line,
                "CRON[{process}]: ({user}) CMD (/usr/lib/sysstat/sa1 1 1 && test -x \
                 /usr/sbin/anacron || run-parts --report /etc/cron.hourly)"
            ),
            2 => write!(
                self.line,
                "systemd[1]: session-{number}.scope: Deactivated successfully, consumed {process}ms \
                 CPU time of user {user}"
            ),
            _ => write!(
                self.line,
                "kernel: [{process}.{number}] IN=eth0 OUT= SRC=10.24.9.{host} DST=10.24.1.4 LEN=60 \
                 TTL=63 PROTO=TCP SPT={number} DPT=443 SYN"
            ),
        }
    }
}

/// A time of day.
struct Clock(u64);

impl std::fmt::Display for Clock {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let seconds = self.0 / 1_000;
        write!(out, "{:02}:{:02}:{:02}", seconds / 3_600, seconds / 60 % 60, seconds % 60)
    }
}

const PATHS: [&str; 12] = [
    "/api/v1/items",
    "/api/v1/orders",
    "/static/img/product",
    "/api/v2/carts",
    "/search/results/page",
    "/account/orders",
    "/api/v1/users",
    "/checkout/step",
    "/blog/2026/11",
    "/assets/fonts/inter",
    "/api/v2/recommendations",
    "/admin/reports/daily",
];
const REFERERS: [&str; 6] = [
    "https://shop.example.com/",
    "-",
    "https://shop.example.com/search?q=lamp",
    "https://www.example.org/",
    "https://shop.example.com/category/kitchen/pans",
    "https://news.example.net/2026/11/best-lamps",
];
const BROWSERS: [&str; 6] = [
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) \
     Chrome/142.0.0.0 Safari/537.36",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) \
     Version/18.1 Mobile/15E148 Safari/604.1",
    "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) \
     Version/18.1 Safari/605.1.15",
    "curl/8.11.0",
    "Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)",
];
const SERVICES: [&str; 8] = [
    "checkout",
    "catalogue",
    "payments",
    "identity",
    "inventory",
    "shipping",
    "recommendations",
    "notifications",
];
const MESSAGES: [&str; 8] = [
    "request completed",
    "order placed and queued",
    "cache miss",
    "payment authorised by the provider",
    "stock reserved",
    "upstream answered slowly, retried once",
    "session token renewed",
    "validation failed: the address is incomplete",
];
