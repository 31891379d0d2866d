//! A fleet that is made up: `fleet DEVICES INTAKE-ADDRESS TOKEN-FILE`, with a join token for all of them in
//! the file. Each device has a session of its own and sends what an agent samples of a small
//! host, every 10 s. It says `ready` once each has begun, and ends when it is killed.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a tool of tests and benches")]

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use headwater_certs::enrol::RefusalReason;
use headwater_certs::identity::DeviceIdentity;
use headwater_certs::token::JoinToken;
use headwater_protocol::record::Series;
use headwater_tests::forged::{Pace, Saying, send, series};
use headwater_tests::joining::enrol;
use tokio::sync::oneshot::channel;

/// The agent's own interval.
const INTERVAL: Duration = Duration::from_secs(10);
/// Devices that enrol from one address. The aggregator allows 30 a minute to each.
const DEVICES_PER_ADDRESS: usize = 20;
/// Before one that was refused tries again: the aggregator allows 600 a minute to all together.
const AGAIN: Duration = Duration::from_secs(5);

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, count, address, token] = &arguments[..] else {
        panic!("usage: fleet DEVICES INTAKE-ADDRESS TOKEN-FILE");
    };
    let count: usize = count.parse().expect("the number of devices");
    let token = std::fs::read_to_string(token).expect("the file of the token");
    let token = JoinToken::parse(token.trim()).expect("a join token");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut identities = Vec::new();
        for number in 0..count {
            identities.push(join(number, &token).await);
        }
        run(identities, address.clone()).await;
    });
}

fn name_of(number: usize) -> String {
    format!("fleet-{number:05}")
}

/// Enrols a device, however long that takes.
async fn join(number: usize, token: &JoinToken) -> DeviceIdentity {
    let network = u32::try_from(1 + number / DEVICES_PER_ADDRESS).unwrap();
    let source = Ipv4Addr::from_bits(Ipv4Addr::LOCALHOST.to_bits() + (network << 8));
    loop {
        match enrol(&name_of(number), token, source).await {
            Ok(identity) => return identity,
            Err(refusal) if refusal.reason == RefusalReason::TooManyTries => {
                tokio::time::sleep(AGAIN).await;
            }
            Err(refusal) => panic!("{refusal:?}"),
        }
    }
}

async fn run(identities: Vec<DeviceIdentity>, address: String) {
    let count = u32::try_from(identities.len()).unwrap();
    let shape = Arc::new(shape());
    let mut sessions = tokio::task::JoinSet::new();
    let mut ends = Vec::new();
    for (number, identity) in identities.into_iter().enumerate() {
        let (end, ended) = channel();
        ends.push(end);
        // Spread over the interval, as a fleet is that nobody starts at once.
        let first = INTERVAL * u32::try_from(number).unwrap() / count;
        let pace = Pace { first, interval: INTERVAL };
        let (address, shape) = (address.clone(), Arc::clone(&shape));
        sessions.spawn(async move {
            let saying = saying(number, &shape);
            send(&saying, &identity, (&address, pace), ended).await;
        });
    }
    tokio::time::sleep(INTERVAL).await;
    println!("ready");
    while let Some(done) = sessions.join_next().await {
        done.unwrap();
    }
}

fn saying(number: usize, shape: &[(Series, i64)]) -> Saying {
    let mut saying = Saying::new(&name_of(number));
    saying.series = shape.to_vec();
    let roles = ["edge", "gateway", "store", "kiosk"];
    saying.facts.insert("site".to_owned(), format!("site-{}", number % 20));
    saying.facts.insert("role".to_owned(), roles[number % roles.len()].to_owned());
    saying
}

/// What an agent samples of a host with two processors and three mounts, and where each value starts.
fn shape() -> Vec<(Series, i64)> {
    let mut shape = vec![(series("cpu.cores", &[], 0), 2), (series("uptime.seconds", &[], 0), 9)];
    let ratios = ["busy", "user", "nice", "system", "iowait", "irq", "steal"];
    for ratio in ratios {
        shape.push((series(&format!("cpu.{ratio}_ratio"), &[], 4), 1_200));
    }
    for bytes in ["total", "used", "available", "cached"] {
        shape.push((series(&format!("memory.{bytes}_bytes"), &[], 0), 4_000_000_000));
    }
    shape.push((series("memory.used_ratio", &[], 4), 4_100));
    for load in ["load.1m", "load.5m", "load.15m"] {
        shape.push((series(load, &[], 2), 70));
    }
    for mount in ["/", "/var", "/home"] {
        let labels = [("fstype", "ext4"), ("mount", mount)];
        for bytes in ["disk.total_bytes", "disk.used_bytes", "disk.free_bytes"] {
            shape.push((series(bytes, &labels, 0), 90_000_000_000));
        }
        shape.push((series("disk.used_ratio", &labels, 4), 5_300));
        shape.push((series("disk.inodes_used_ratio", &labels, 4), 900));
    }
    shape
}
