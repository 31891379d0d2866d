//! The threads of the stages: named, owned, and heard of when they end.

use std::thread::JoinHandle;

use tokio::sync::mpsc;

use super::AgentError;
use super::shutdown::Shutdown;

/// The threads that run, and the news that one has ended.
#[derive(Debug)]
pub(super) struct Stages {
    threads: Vec<JoinHandle<()>>,
    sender: mpsc::Sender<(&'static str, Result<(), AgentError>)>,
    ended: mpsc::Receiver<(&'static str, Result<(), AgentError>)>,
}

impl Stages {
    pub(super) fn new() -> Self {
        let (sender, ended) = mpsc::channel(STAGES_MAX);
        Self { threads: Vec::new(), sender, ended }
    }

    /// Starts a thread.
    pub(super) fn start(
        &mut self,
        name: &'static str,
        run: impl FnOnce() -> Result<(), AgentError> + Send + 'static,
    ) -> Result<(), AgentError> {
        let sender = self.sender.clone();
        let told = move || {
            // Nobody is left to hear it when the agent has ended.
            let _ = sender.try_send((name, run()));
        };
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(told);
        self.threads.push(thread.map_err(|source| AgentError::Thread { name, source })?);
        Ok(())
    }

    /// Waits until a thread has ended without being told to.
    pub(super) async fn ended(&mut self, shutdown: &Shutdown) -> AgentError {
        let ended = self.ended.recv().await;
        if shutdown.is_ordered() {
            std::future::pending::<()>().await;
        }
        match ended {
            Some((_, Err(error))) => error,
            Some((name, Ok(()))) => AgentError::Ended { name },
            None => AgentError::Ended { name: "stages" },
        }
    }

    /// Waits until all have ended; they were told to.
    pub(super) fn join(self) {
        for thread in self.threads {
            // A panic was printed where it happened, and the thread has ended with it.
            let _ = thread.join();
        }
    }
}

const STAGES_MAX: usize = 8;
