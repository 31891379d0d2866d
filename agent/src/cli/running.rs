//! `run`: logging, signals, and the agent between them.

use std::fmt;
use std::io::{self, IsTerminal, Read};

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;
use tracing::field::Field;
use tracing::{info, warn};
use tracing_subscriber::field::MakeExt;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::format::{Writer, debug_fn};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use super::error::{CliError, Code};
use crate::config::{Loaded, LogLevel};
use crate::{run as run_agent, shutdown};

/// What ends the agent.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Until {
    /// A signal.
    Told,
    /// A signal, or the end of standard input: a parent that dies can't send one.
    StdinCloses,
}

pub(super) fn run(loaded: Loaded, until: Until) -> Result<(), CliError> {
    log(loaded.config.agent.log_level);
    for warning in &loaded.warnings {
        warn!("{warning}");
    }
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime
        .enable_all()
        .max_blocking_threads(BLOCKING_THREADS)
        .thread_keep_alive(BLOCKING_THREAD_KEPT)
        .build();
    let runtime = runtime.map_err(|error| CliError::of(Code::Failed, &error))?;
    let ended = runtime.block_on(async {
        let signals = Signals::new(until)?;
        let (stop, shutdown) = shutdown::channel();
        // A task of its own: what `block_on` itself waits for is woken through the kernel, also by this very thread.
        let mut agent = tokio::spawn(run_agent(loaded.config, shutdown));
        let ended = tokio::select! {
            ended = &mut agent => ended,
            name = signals.any() => {
                info!(signal = name, "stopping");
                stop.order();
                agent.await
            }
        };
        Ok(ended.expect("a panic ends the process, and nobody aborts the agent"))
    });
    let ended = ended.map_err(|error: io::Error| CliError::of(Code::Failed, &error))?;
    ended.map_err(|error| CliError::agent(&error))
}

/// The signals that order a stop.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    /// `None` if standard input says nothing.
    closed: Option<oneshot::Receiver<()>>,
}

impl Signals {
    fn new(until: Until) -> io::Result<Self> {
        let terminate = signal(SignalKind::terminate())?;
        let interrupt = signal(SignalKind::interrupt())?;
        let closed = match until {
            Until::Told => None,
            Until::StdinCloses => Some(stdin_closes()?),
        };
        Ok(Self { terminate, interrupt, closed })
    }

    async fn any(mut self) -> &'static str {
        let closed = async {
            match self.closed {
                // It ends by a message or by the thread's end: both say the same.
                Some(closed) => drop(closed.await),
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
            () = closed => "stdin closed",
        }
    }
}

/// Hears when standard input closes. Its thread waits in a read that nothing but the other end can end,
/// so it is not one of the runtime's, which would be waited for at the end.
fn stdin_closes() -> io::Result<oneshot::Receiver<()>> {
    let (sender, closed) = oneshot::channel();
    let read = move || {
        let mut ignored = [0; 64];
        while matches!(io::stdin().lock().read(&mut ignored), Ok(1..)) {}
        // Nobody hears it if the agent has ended by itself.
        let _ = sender.send(());
    };
    std::thread::Builder::new().name("stdin".to_owned()).spawn(read)?;
    Ok(closed)
}

/// A field of an event, whatever others chose of it made harmless: an event is one line, and nothing in it is a
/// command to a terminal.
fn field(out: &mut Writer<'_>, field: &Field, value: &dyn fmt::Debug) -> fmt::Result {
    if field.name() != "message" {
        write!(out, "{field}=")?;
    }
    for letter in format!("{value:?}").chars() {
        match letter {
            // `escape_debug` would escape these as well.
            '"' | '\'' | '\\' => out.write_char(letter)?,
            _ => write!(out, "{}", letter.escape_debug())?,
        }
    }
    Ok(())
}

/// Ours at the level that is asked for; what libraries say only from a warning on.
fn log(level: LogLevel) {
    let own = level.word().parse().unwrap_or(LevelFilter::INFO);
    let filter = Targets::new().with_default(LevelFilter::WARN).with_target("headwater_agent", own);
    let subscriber = tracing_subscriber::fmt()
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .with_max_level(LevelFilter::TRACE)
        .with_target(false)
        .fmt_fields(debug_fn(field).delimited(" "));
    // A test may have set one before.
    let _ = subscriber.finish().with(filter).try_init();
}

/// Rows are read by one of them; another looks up names.
const BLOCKING_THREADS: usize = 4;
/// A batch is read each time that a sample was sealed: a thread of its own each time would cost more than the reading.
const BLOCKING_THREAD_KEPT: std::time::Duration = std::time::Duration::from_secs(60);
