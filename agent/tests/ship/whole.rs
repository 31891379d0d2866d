//! The whole agent: files and samples in at one end, the ledger at the other.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::Path;

use headwater_agent::config::{Config, TailConfig};
use headwater_agent::enrol::EnrolmentState;
use headwater_agent::shutdown::{self, Stop};
use headwater_agent::status::{self, Status};
use headwater_agent::{AgentError, run};
use headwater_protocol::record::Content;

use crate::world::{World, numbered, wait_for};

/// An agent as its binary runs it, on a thread of its own.
struct Running {
    stop: Stop,
    thread: std::thread::JoinHandle<Result<(), AgentError>>,
}

impl Running {
    fn start(config: &Config) -> Self {
        let (stop, shutdown) = shutdown::channel();
        let config = config.clone();
        let thread = std::thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(run(config, shutdown))
        });
        Self { stop, thread }
    }

    fn stop(self) {
        self.stop.order();
        self.thread.join().unwrap().unwrap();
    }
}

fn config(world: &World) -> Config {
    let folder = world.folder.path();
    fs::create_dir_all(folder.join("logs")).unwrap();
    let written = format!(
        r#"
[agent]
socket = "{0}/agent.sock"
[agent.labels]
site = "osl-1"
[identity]
dir = "{0}/identity"
[sample]
interval = "1s"
[[tail]]
name = "app"
paths = ["{0}/logs/*.log"]
start_at = "beginning"
[spool]
dir = "{0}/spool"
min_free = "0%"
[ship]
max_backoff = "1s"
"#,
        folder.display()
    );
    fs::write(folder.join("agent.toml"), written).unwrap();
    let enrolled = EnrolmentState {
        name: "edge-1".to_owned(),
        addresses: vec![world.node.address.to_string()],
        ..EnrolmentState::default()
    };
    enrolled.save(&folder.join("identity")).unwrap();
    let loaded = Config::load_with(Some(&folder.join("agent.toml")), std::iter::empty());
    let config = loaded.unwrap().config;
    let _: &TailConfig = &config.tails[0];
    config
}

fn write(file: &mut File, numbers: std::ops::Range<u64>) {
    for line in numbered(numbers) {
        writeln!(file, "{line}").unwrap();
    }
}

fn ask(config: &Config) -> Status {
    let mut status = None;
    wait_for("the status is served", || {
        status = status::ask(&config.agent.socket).ok();
        status.is_some()
    });
    status.unwrap()
}

#[test]
fn lines_and_samples_arrive_once_over_restarts_and_rotations() {
    let world = World::without_agent();
    let config = config(&world);
    let path = world.folder.path().join("logs/app.log");
    let append = || OpenOptions::new().create(true).append(true).open(&path).unwrap();
    write(&mut append(), 0..1000);
    let agent = Running::start(&config);
    wait_for("the first lines arrive", || world.node.lines().len() == 1000);
    write(&mut append(), 1000..2000);
    fs::rename(&path, Path::new(&path).with_extension("log.1")).unwrap();
    write(&mut append(), 2000..3000);
    wait_for("lines of both files arrive", || world.node.lines().len() == 3000);
    agent.stop();
    write(&mut append(), 3000..4000);
    let agent = Running::start(&config);
    wait_for("lines that came meanwhile arrive", || world.node.lines().len() == 4000);
    wait_for("samples arrive", || !world.node.values().is_empty());
    agent.stop();
    assert_eq!(world.node.lines(), numbered(0..4000));
    let state = world.node.state();
    let sites: Vec<_> = state
        .applied
        .iter()
        .filter_map(|(_, record)| match &record.content {
            Content::Facts(facts) => Some((facts["site"].as_str(), facts["agent.name"].as_str())),
            Content::Tick(_) | Content::Event(_) | Content::Gap(_) => None,
        })
        .collect();
    assert_eq!(sites, [("osl-1", "edge-1"); 2], "facts are told at each start");
    let hello = &state.hellos[0];
    assert_eq!((hello.name.as_str(), hello.labels["site"].as_str()), ("edge-1", "osl-1"));
    drop(state);
    world.node.check();
}

#[test]
fn the_status_adds_up() {
    let world = World::without_agent();
    let config = config(&world);
    let path = world.folder.path().join("logs/app.log");
    write(&mut File::create(&path).unwrap(), 0..500);
    let agent = Running::start(&config);
    wait_for("the lines arrive", || world.node.lines().len() == 500);
    let mut status = ask(&config);
    wait_for("all of it is acked", || {
        status = ask(&config);
        status.bulk.seq > 0 && status.bulk.acked == status.bulk.seq
    });
    let balance = status.bulk.balance.expect("the ledger has spoken");
    assert!(balance.holds(), "{balance:?}");
    assert_eq!((balance.read, balance.in_spool), (500, 0));
    assert_eq!(status.trouble(), None);
    assert_eq!(status.name, "edge-1");
    assert!(status.own.rss_bytes > 0 && status.ship.certificate_ends_s > 0);
    assert_eq!(status.sources.len(), 1);
    let page = status::page(&status, true);
    for words in
        ["edge-1  ■ healthy", "connection   127.0.0.1:", "read ", "declared gaps 0 ✓", "1 files"]
    {
        assert!(page.contains(words), "{words} in:\n{page}");
    }
    agent.stop();
    assert!(status::ask(&config.agent.socket).is_err(), "nobody answers any more");
}
