//! The thread: woken by inotify, ended by an order.

use std::fs::OpenOptions;
use std::io::Write;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use headwater_agent::config::{Config, Globs, Multiline, StartAt, TailConfig};
use headwater_agent::tail::{
    self, Chunk, FileStatuses, Held, Known, Landed, Landing, LandingClosed, Start, TailError,
    TailStop,
};
use headwater_protocol::position::{Run, SourceId, Stream};
use headwater_protocol::record::SourceInfo;

use crate::world::until;

#[test]
fn lines_arrive_at_once_and_a_stop_is_quick() {
    let folder = tempfile::tempdir().unwrap();
    let landing = Shared::default();
    let (stop, statuses) = (TailStop::new().unwrap(), FileStatuses::default());
    let thread = {
        let (landing, stop, statuses) = (landing.clone(), stop.clone(), Arc::clone(&statuses));
        let config = config(folder.path());
        std::thread::spawn(move || tail::run(&config, landing, &stop, &statuses))
    };
    append(folder.path(), "first\n");
    until("the file is found", || landing.text() == "first\n");

    // Ten times in a row: a poll of once a second would not do that.
    let begun = Instant::now();
    for round in 0..10 {
        append(folder.path(), "more\n");
        until("a line arrives", || landing.text().lines().count() == round + 2);
    }
    assert!(begun.elapsed() < Duration::from_secs(5), "inotify wakes at once");
    until("the status follows", || {
        let statuses = statuses.lock().unwrap();
        statuses.len() == 1 && statuses[0].position == 56 && statuses[0].stream.is_some()
    });

    stop.order();
    assert_eq!(thread.join().unwrap(), Ok(()));
}

#[test]
fn a_landing_that_closes_before_the_stop_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    append(folder.path(), "line\n");
    let landing = Shared::default();
    landing.0.lock().unwrap().is_closed = true;
    let stop = TailStop::new().unwrap();
    let ended = tail::run(&config(folder.path()), landing, &stop, &FileStatuses::default());
    assert_eq!(ended, Err(TailError::Landing(LandingClosed)));
}

/// A landing that another thread looks into.
#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Received>>);

#[derive(Default)]
struct Received {
    bytes: Vec<u8>,
    runs: u64,
    is_closed: bool,
}

impl Shared {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().bytes.clone()).unwrap()
    }
}

impl Landing for Shared {
    fn known(&mut self) -> Option<Known> {
        Some(Known::default())
    }

    fn begin(
        &mut self,
        source: SourceId,
        _: SourceInfo,
        _: Start,
    ) -> Result<Stream, LandingClosed> {
        let mut received = self.0.lock().unwrap();
        received.runs += 1;
        Ok(Stream { source, run: Run { number: received.runs, nonce: 1 } })
    }

    fn append(&mut self, chunk: Chunk) -> Result<Landed, LandingClosed> {
        let mut received = self.0.lock().unwrap();
        if received.is_closed {
            return Err(LandingClosed);
        }
        if let Chunk::Lines { bytes, .. } = chunk {
            received.bytes.extend(bytes);
        }
        Ok(Landed::Taken)
    }

    fn hurry(&mut self) -> Result<(), LandingClosed> {
        Ok(())
    }

    fn let_go(&mut self, _: Vec<Stream>) -> Result<Vec<Stream>, LandingClosed> {
        Ok(Vec::new())
    }

    fn settled(&mut self) -> Result<(), LandingClosed> {
        Ok(())
    }

    fn recall(
        &mut self,
        _: SourceId,
        _: &mut dyn FnMut(&Held) -> ControlFlow<()>,
    ) -> Result<(), LandingClosed> {
        Ok(())
    }
}

fn config(folder: &Path) -> Config {
    let pattern = folder.join("*.log").to_str().unwrap().to_owned();
    let tail = TailConfig {
        name: "all".into(),
        paths: Globs::new(&[pattern]).unwrap(),
        exclude: Globs::new(&[]).unwrap(),
        start_at: StartAt::Beginning,
        multiline: Multiline::None,
        labels: std::collections::BTreeMap::new(),
    };
    Config { tails: vec![tail], ..Config::default() }
}

fn append(folder: &Path, text: &str) {
    let path = folder.join("a.log");
    let mut file = OpenOptions::new().create(true).append(true).open(path).unwrap();
    file.write_all(text.as_bytes()).unwrap();
}
