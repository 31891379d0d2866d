//! The OpenTelemetry Collector: filelog, a persistent queue, OTLP over HTTP to [`Receiver`].

use std::path::{Path, PathBuf};

use super::launched::Launched;
use super::otlp::Receiver;
use super::{Configuration, Contender, free_port};
use crate::tally::Tally;

#[derive(Debug)]
pub(super) struct Collector {
    folder: PathBuf,
    sender: Launched,
    receiver: Receiver,
    configurations: Vec<Configuration>,
}

impl Collector {
    /// `is_synchronous` is for the feature that emits what was read before its offset is stored.
    pub(super) fn new(folder: &Path, programs: &Path, is_synchronous: bool) -> Self {
        let port = free_port();
        for kept in ["offsets", "queue"] {
            std::fs::create_dir(folder.join(kept)).unwrap();
        }
        let text = include_str!("collector.yaml").replace("@PORT@", &port.to_string());
        let text = text.replace("@D@", &folder.display().to_string());
        let path = folder.join("collector.yaml");
        std::fs::write(&path, &text).unwrap();
        let mut words = vec!["--config".to_owned(), path.display().to_string()];
        words.extend(is_synchronous.then(|| SYNCHRONOUS.to_owned()));
        let line = format!("otelcol-peer {}", words.join(" "));
        let configurations = vec![
            Configuration::new("what the collector is built of", MANIFEST, folder),
            Configuration::new("collector", &text, folder),
            Configuration::new("its command", &line, folder),
        ];
        let sender = Launched::new(&program(programs), words, folder.join("collector.log"));
        let receiver = Receiver::new(port, &folder.join("received"));
        Self { folder: folder.to_owned(), sender, receiver, configurations }
    }
}

/// Its documentation: "prevents possible data loss during an ungraceful shutdown of the collector by
/// emitting logs in LogEmitter synchronously".
const SYNCHRONOUS: &str = "--feature-gates=stanza.synchronousLogEmitter";
const MANIFEST: &str = include_str!("../collector-manifest.yaml");

fn program(programs: &Path) -> PathBuf {
    programs.join("collector")
}

pub(super) fn version(programs: &Path) -> String {
    let words = vec!["--version".to_owned()];
    let line = Launched::new(&program(programs), words, PathBuf::new()).first_line();
    line.replace("otelcol-peer version", "OpenTelemetry Collector (core and contrib)")
}

impl Contender for Collector {
    fn configurations(&self) -> Vec<Configuration> {
        self.configurations.clone()
    }

    fn start_receiver(&mut self) {
        self.receiver.start();
    }

    fn start_sender(&mut self) {
        self.sender.start();
    }

    fn kill_sender(&mut self) -> bool {
        self.sender.kill()
    }

    fn received(&self) -> u64 {
        std::fs::metadata(self.folder.join("received")).map_or(0, |found| found.len())
    }

    fn stop_sender(&mut self) -> bool {
        self.sender.stop()
    }

    fn finish(&mut self, tally: &mut Tally) -> Option<String> {
        self.receiver.stop();
        tally.take_all(&std::fs::read(self.folder.join("received")).unwrap());
        None
    }
}
