//! The way to a sink: how it is started, stopped, paused and looked at.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use headwater_protocol::identity::ShardId;

use super::destination::Destination;
use super::driver::Driver;
use super::range::RangeRules;
use super::store::{SinkStore, StoreError};
use super::unwritten::{Unwritten, UnwrittenError};
use super::view::{SinkAbout, SinkState, SinkView};
use crate::log::{Log, Space};
use crate::metrics::SinkMetrics;

/// What a sink works with.
#[derive(Debug)]
pub struct SinkOptions {
    /// What it says of itself.
    pub about: SinkAbout,
    /// What it follows.
    pub log: Arc<dyn Log>,
    /// Where it keeps where it stands.
    pub store: SinkStore,
    /// Where it writes.
    pub destination: Box<dyn Destination>,
    /// What it takes at once.
    pub rules: RangeRules,
    /// Whether the disk has room.
    pub space: Arc<Space>,
    /// Where it counts.
    pub metrics: SinkMetrics,
}

/// What a sink does on its thread.
pub trait Turns: Send + 'static {
    /// Does what can be done now; nothing, while a person has stopped it. How long to wait before the next turn is returned.
    fn turn(&mut self, paused: bool) -> Duration;
}

/// What a sink is told.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Command {
    Pause,
    Resume,
    Stop,
}

fn run(mut turns: impl Turns, mut paused: bool, inbox: &Receiver<Command>) {
    let mut wait = Duration::ZERO;
    loop {
        let until = Instant::now() + wait;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            match inbox.recv_timeout(left) {
                Ok(Command::Stop) | Err(RecvTimeoutError::Disconnected) => return,
                Ok(Command::Pause) => paused = true,
                Ok(Command::Resume) => {
                    paused = false;
                    break;
                }
                Err(RecvTimeoutError::Timeout) => break,
            }
        }
        wait = turns.turn(paused);
    }
}

/// Why a sink does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Where it stands can't be read.
    #[error("start a sink")]
    Store(#[source] StoreError),
    /// No thread for it.
    #[error("start a sink: start its thread")]
    Thread(#[source] io::Error),
}

/// A running sink. Clones are handles of the same.
#[derive(Clone, Debug)]
pub struct SinkHandle {
    /// Written by the driver after each step, read by whoever asks: a message would wait for the disk.
    view: Arc<Mutex<SinkView>>,
    store: SinkStore,
    commands: Sender<Command>,
    /// Taken by whoever stops it first; a handle can be joined once.
    thread: Arc<Mutex<Option<JoinHandle<()>>>>,
    /// What was written down last. Its thread may still be at a range, and show what was before.
    paused: Arc<AtomicBool>,
}

impl SinkHandle {
    /// Starts a sink that follows the fold: it goes on where it stood. What is in its way is told by its view, not here.
    ///
    /// # Errors
    /// If where it stands can't be read, or there is no thread for it.
    pub fn start(options: SinkOptions) -> Result<Self, StartError> {
        let (about, store) = (options.about.clone(), options.store.clone());
        Self::spawn(about, store, |view| Driver::new(options, view))
    }

    /// Starts a sink that does its work in turns, on a thread of its own.
    ///
    /// # Errors
    /// If it can't be read whether a person has stopped it, or there is no thread for it.
    pub fn spawn<T: Turns>(
        about: SinkAbout,
        store: SinkStore,
        make: impl FnOnce(Arc<Mutex<SinkView>>) -> T,
    ) -> Result<Self, StartError> {
        let paused = store.is_paused(&about.name).map_err(StartError::Store)?;
        let state = if paused { SinkState::Paused } else { SinkState::Running };
        let thread = std::thread::Builder::new().name(format!("sink-{}", about.name));
        let view = Arc::new(Mutex::new(SinkView::new(about, state)));
        let (commands, inbox) = channel();
        let turns = make(Arc::clone(&view));
        let thread = thread.spawn(move || run(turns, paused, &inbox));
        let thread = Arc::new(Mutex::new(Some(thread.map_err(StartError::Thread)?)));
        Ok(Self { view, store, commands, thread, paused: Arc::new(AtomicBool::new(paused)) })
    }

    /// How it is.
    #[must_use]
    pub fn view(&self) -> SinkView {
        let mut view = self.view.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match (self.paused.load(Ordering::Acquire), view.state) {
            (true, _) => view.state = SinkState::Paused,
            (false, SinkState::Paused) => view.state = SinkState::Running,
            (false, SinkState::Running | SinkState::Failing | SinkState::Short) => {}
        }
        view
    }

    /// What it has not written of a shard at this moment. Takes the disk's time and a snapshot's memory, and nothing of the sink's.
    ///
    /// # Errors
    /// If where it stands, or the log, can't be read.
    pub fn unwritten<'log>(
        &self,
        log: &'log dyn Log,
        shard: ShardId,
    ) -> Result<Unwritten<'log>, UnwrittenError> {
        let name = self.view.lock().unwrap_or_else(PoisonError::into_inner).name.clone();
        Unwritten::open(log, (&self.store, &name), shard)
    }

    /// Stops it until a person lets it go on, also over a restart, or lets it go on.
    ///
    /// # Errors
    /// If that can't be written down: nothing is changed.
    pub fn set_paused(&self, paused: bool) -> Result<(), StoreError> {
        let name = self.view().name;
        self.store.set_paused(&name, paused)?;
        self.paused.store(paused, Ordering::Release);
        // It has ended only with the node.
        _ = self.commands.send(if paused { Command::Pause } else { Command::Resume });
        Ok(())
    }

    /// Ends it, once what it is writing is written or has failed.
    pub fn stop(&self) {
        _ = self.commands.send(Command::Stop);
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        // One that has panicked has told so already.
        if let Some(thread) = thread {
            drop(thread.join());
        }
    }
}
