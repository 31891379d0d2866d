//! A fleet that is made up: `fleet DEVICES INTAKE-ADDRESS TOKEN-FILE`, with a join token for all of them in
//! the file. Each device has a session of its own and sends what an agent samples of a small
//! host, every 10 s. It comes back, as an agent does, when its session ends.
//!
//! `--series N` samples so many series, `--files N` sends the first line of so many files as well, `--interval MS` is
//! from tick to tick, and `--registry FOLDER` enrols without a network, in the data folder of an aggregator that does
//! not run: over the network it lets 600 devices in per minute.
//!
//! It says `enrolled` once all are, and `served N` whenever each device had a batch acked in its Nth session, after
//! `missed`: how far tries came that came to nothing. It ends when it is killed.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a tool of tests and benches")]

mod device;
mod shape;
mod standing;

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use headwater_certs::enrol::RefusalReason;
use headwater_certs::identity::DeviceIdentity;
use headwater_certs::token::JoinToken;
use headwater_tests::draws::Draws;
use headwater_tests::forged::Saying;
use headwater_tests::joining::{Registrar, enrol};
use headwater_tests::peer::shared_endpoint;

use device::{Device, Habits};
use standing::Standing;

/// Devices that enrol from one address. The aggregator allows 30 a minute to each.
const DEVICES_PER_ADDRESS: usize = 20;
/// Before one that was refused tries again: the aggregator allows 600 a minute to all together.
const AGAIN: Duration = Duration::from_secs(5);
/// Sockets that all devices share: a process may not have one for each of 10,000.
const SOCKETS: usize = 64;

fn main() {
    let asked = Asked::of(std::env::args().skip(1));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let identities = match &asked.registry {
            Some(data) => {
                let registrar = Registrar::open(data, &asked.token);
                (0..asked.devices).map(|number| registrar.enrol(&name_of(number))).collect()
            }
            None => join_all(&asked).await,
        };
        println!("enrolled");
        run(identities, &asked).await;
    });
}

/// What the command line says.
struct Asked {
    devices: usize,
    address: String,
    token: JoinToken,
    series: usize,
    habits: Habits,
    /// The data folder to enrol in; `None` to enrol over the network.
    registry: Option<PathBuf>,
}

impl Asked {
    fn of(words: impl Iterator<Item = String>) -> Self {
        let mut words = words.collect::<Vec<_>>().into_iter();
        let mut next = || words.next().expect(USAGE);
        let (devices, address, token) = (number(&next()), next(), next());
        let token = std::fs::read_to_string(token).expect("the file of the token");
        let mut asked = Self {
            devices,
            address,
            token: JoinToken::parse(token.trim()).expect("a join token"),
            series: SERIES,
            habits: Habits { interval: INTERVAL, files: 0 },
            registry: None,
        };
        while let Some(option) = words.next() {
            let value = words.next().expect(USAGE);
            match option.as_str() {
                "--series" => asked.series = number(&value),
                "--files" => asked.habits.files = u8::try_from(number(&value)).expect("few files"),
                "--interval" => {
                    asked.habits.interval = Duration::from_millis(number(&value) as u64)
                }
                "--registry" => asked.registry = Some(PathBuf::from(value)),
                other => panic!("{other}? {USAGE}"),
            }
        }
        asked
    }
}

const USAGE: &str = "usage: fleet DEVICES INTAKE-ADDRESS TOKEN-FILE [--series N] [--files N] [--interval MS] [--registry FOLDER]";
/// Those of a small host.
const SERIES: usize = 32;
/// The agent's own interval.
const INTERVAL: Duration = Duration::from_secs(10);

fn number(word: &str) -> usize {
    word.parse().unwrap_or_else(|_| panic!("{word} is no number. {USAGE}"))
}

fn name_of(number: usize) -> String {
    format!("fleet-{number:05}")
}

async fn join_all(asked: &Asked) -> Vec<DeviceIdentity> {
    let mut identities = Vec::new();
    for number in 0..asked.devices {
        identities.push(join(number, &asked.token).await);
    }
    identities
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

async fn run(identities: Vec<DeviceIdentity>, asked: &Asked) {
    let count = u32::try_from(identities.len()).unwrap();
    let shape: Vec<_> = shape::shape().into_iter().take(asked.series).collect();
    assert_eq!(shape.len(), asked.series, "no host of ours has so many series");
    let standing = Arc::new(Standing::new(identities.len()));
    let endpoints: Vec<_> = (0..SOCKETS).map(|_| shared_endpoint()).collect();
    let mut devices = tokio::task::JoinSet::new();
    for (number, identity) in identities.into_iter().enumerate() {
        let mut saying = Saying::new(&name_of(number));
        saying.series.clone_from(&shape);
        let roles = ["edge", "gateway", "store", "kiosk"];
        saying.facts.insert("site".to_owned(), format!("site-{}", number % 20));
        saying.facts.insert("role".to_owned(), roles[number % roles.len()].to_owned());
        let device = Device {
            identity,
            saying,
            habits: asked.habits,
            endpoint: endpoints[number % SOCKETS].clone(),
            address: asked.address.clone(),
            draws: Draws::new(7, number as u64),
        };
        // Spread over the interval, as a fleet is that nobody starts at once.
        let first = asked.habits.interval * u32::try_from(number).unwrap() / count;
        devices.spawn(device.live(first, Arc::clone(&standing)));
    }
    while let Some(done) = devices.join_next().await {
        done.unwrap();
    }
}
