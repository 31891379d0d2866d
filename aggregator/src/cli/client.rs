//! Questions to a running aggregator, over its local socket.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;

use super::failure::{Exit, Failure};
use crate::api::rows::{LeftOutRow, Problem};

/// A client of one aggregator.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    socket: PathBuf,
    timeout: Duration,
}

impl Client {
    /// A client that has not connected yet.
    #[must_use]
    pub(crate) fn new(socket: PathBuf, timeout: Duration) -> Self {
        Self { socket, timeout }
    }

    /// Asks for one document.
    ///
    /// # Errors
    /// `Unreachable` if nobody answers in time, else what the aggregator says.
    pub(crate) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        self.ask(Method::GET, path, Bytes::new()).await
    }

    /// Asks for a change.
    ///
    /// # Errors
    /// As `get`.
    pub(crate) async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, Failure> {
        let body = serde_json::to_vec(body).expect("a request always has a JSON form");
        self.ask(Method::POST, path, body.into()).await
    }

    /// Asks for a removal.
    ///
    /// # Errors
    /// As `get`.
    pub(crate) async fn delete<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        self.ask(Method::DELETE, path, Bytes::new()).await
    }

    /// Asks for lines that come until the aggregator has no more.
    ///
    /// # Errors
    /// As `get`, for the first answer.
    pub(crate) async fn lines(&self, path: &str) -> Result<Lines, Failure> {
        let asked = self.send(Method::GET, path, Bytes::new());
        let response = self.in_time(asked).await?;
        if response.status().is_success() {
            let (body, buffer, left_out) = (response.into_body(), Vec::new(), Vec::new());
            return Ok(Lines { body, buffer, ended: false, left_out });
        }
        Err(self.in_time(refused(response)).await.unwrap_or_else(|failure| failure))
    }

    /// Asks for bytes that come until the aggregator has no more.
    ///
    /// # Errors
    /// As `get`, for the first answer.
    pub(crate) async fn chunks(&self, path: &str) -> Result<Chunks, Failure> {
        let Lines { body, .. } = self.lines(path).await?;
        Ok(Chunks { body })
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<T, Failure> {
        self.in_time(async {
            let response = self.send(method, path, body).await?;
            if !response.status().is_success() {
                return Err(refused(response).await?);
            }
            let bytes = collected(response.into_body()).await?;
            serde_json::from_slice(&bytes).map_err(|error| {
                let what = "the aggregator answered something that this build does not understand";
                Failure::new(Exit::Failed, what)
                    .cause_of(&error)
                    .next("headwater version, here and on the host of the aggregator")
            })
        })
        .await
    }

    async fn in_time<T>(
        &self,
        asked: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        let late = |_| {
            let what = "the aggregator does not answer in time";
            Failure::new(Exit::Unreachable, what)
                .fact("tried", format!("unix:{}", self.socket.display()))
                .cause(format!("no answer within {} s", self.timeout.as_secs_f64()))
                .next("once more with --timeout 5m, or read what headwater serve logs")
        };
        tokio::time::timeout(self.timeout, asked).await.unwrap_or_else(|late_by| Err(late(late_by)))
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<Response<Incoming>, Failure> {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "localhost")
            .header("content-type", "application/json")
            .body(Full::new(body))
            .expect("a path made of encoded words is a path");
        let mut sender = self.connect().await?;
        sender.send_request(request).await.map_err(|error| broken(&error))
    }

    async fn connect(&self) -> Result<SendRequest<Full<Bytes>>, Failure> {
        let stream = UnixStream::connect(&self.socket)
            .await
            .map_err(|error| unreachable(&self.socket, &error))?;
        let (sender, connection) =
            handshake(TokioIo::new(stream)).await.map_err(|error| broken(&error))?;
        // It ends with the last answer; what goes wrong on it is told by the request.
        tokio::spawn(connection);
        Ok(sender)
    }
}

/// Bytes of an answer, as they come.
#[derive(Debug)]
pub(crate) struct Chunks {
    body: Incoming,
}

impl Chunks {
    /// The next bytes, `None` after the last ones.
    ///
    /// # Errors
    /// `Unreachable` if the aggregator goes away in between.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, Failure> {
        while let Some(frame) = self.body.frame().await {
            if let Ok(bytes) = frame.map_err(|error| gone().cause_of(&error))?.into_data() {
                return Ok(Some(bytes));
            }
        }
        Ok(None)
    }
}

/// Lines of an answer, as they come.
#[derive(Debug)]
pub(crate) struct Lines {
    body: Incoming,
    buffer: Vec<u8>,
    ended: bool,
    left_out: Vec<String>,
}

impl Lines {
    /// The next line as a value, `None` after the last one.
    ///
    /// # Errors
    /// `Unreachable` if the aggregator goes away in between, and what it says if it gives up.
    pub(crate) async fn next<T: DeserializeOwned>(&mut self) -> Result<Option<T>, Failure> {
        loop {
            if let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.buffer.drain(..=end).collect();
                match parsed(&line) {
                    Err(failure) => match serde_json::from_slice::<LeftOutRow>(&line) {
                        Ok(row) => self.left_out.push(row.left_out),
                        Err(_) => return Err(failure),
                    },
                    row => return row.map(Some),
                }
                continue;
            }
            if self.ended {
                return if self.buffer.is_empty() { Ok(None) } else { Err(gone()) };
            }
            match self.body.frame().await {
                Some(Ok(frame)) => {
                    if let Ok(bytes) = frame.into_data() {
                        self.buffer.extend_from_slice(&bytes);
                    }
                    if self.buffer.len() > ANSWER_BYTES_MAX {
                        return Err(Failure::new(Exit::Failed, "the aggregator's line never ends"));
                    }
                }
                Some(Err(error)) => return Err(gone().cause_of(&error)),
                None => self.ended = true,
            }
        }
    }
}

impl Lines {
    /// What the aggregator had to leave out so far, and why: files of the history.
    pub(crate) fn left_out(&self) -> &[String] {
        &self.left_out
    }
}

/// A line is what was asked for, or a problem that came up on the way.
fn parsed<T: DeserializeOwned>(line: &[u8]) -> Result<T, Failure> {
    serde_json::from_slice(line).map_err(|error| match serde_json::from_slice::<Problem>(line) {
        Ok(problem) => failure_of(StatusCode::INTERNAL_SERVER_ERROR, problem),
        Err(_) => Failure::new(Exit::Failed, "cannot read a line of the aggregator's answer")
            .cause_of(&error),
    })
}

fn gone() -> Failure {
    Failure::new(Exit::Unreachable, "the aggregator went away in the middle of its answer")
        .next("once more when it runs again: headwater devices")
}

async fn collected(body: Incoming) -> Result<Bytes, Failure> {
    let limited = Limited::new(body, ANSWER_BYTES_MAX).collect().await;
    limited.map(http_body_util::Collected::to_bytes).map_err(|error| {
        Failure::new(Exit::Failed, "cannot read the aggregator's answer").cause(error.to_string())
    })
}

/// What the aggregator says against it.
async fn refused(response: Response<Incoming>) -> Result<Failure, Failure> {
    let status = response.status();
    let bytes = collected(response.into_body()).await?;
    let problem = serde_json::from_slice(&bytes).unwrap_or_else(|_| Problem {
        error: format!("the aggregator answered {status}"),
        cause: None,
        next: Some("headwater version, here and on the host of the aggregator".to_owned()),
    });
    Ok(failure_of(status, problem))
}

fn failure_of(status: StatusCode, problem: Problem) -> Failure {
    let exit = match status {
        StatusCode::BAD_REQUEST => Exit::Usage,
        StatusCode::FORBIDDEN | StatusCode::UNAUTHORIZED => Exit::Denied,
        StatusCode::NOT_FOUND => Exit::NotFound,
        StatusCode::CONFLICT => Exit::Conflict,
        StatusCode::UNPROCESSABLE_ENTITY => Exit::Config,
        StatusCode::SERVICE_UNAVAILABLE => Exit::Unreachable,
        _ => Exit::Failed,
    };
    let mut failure = Failure::new(exit, problem.error);
    failure.facts.extend(problem.cause.map(|text| ("cause", text)));
    failure.facts.extend(problem.next.map(|text| ("next", text)));
    failure
}

fn broken(error: &hyper::Error) -> Failure {
    Failure::new(Exit::Unreachable, "the aggregator broke off").cause_of(error)
}

fn unreachable(socket: &Path, error: &io::Error) -> Failure {
    let tried = format!("unix:{}", socket.display());
    if error.kind() == io::ErrorKind::PermissionDenied {
        return Failure::new(Exit::Denied, "not allowed to speak to the aggregator")
            .fact("tried", tried)
            .cause("its socket belongs to the user who runs it")
            .next("the same command as that user, or with sudo");
    }
    let cause = match error.kind() {
        io::ErrorKind::NotFound => "there is no such socket: no aggregator runs there".to_owned(),
        io::ErrorKind::ConnectionRefused => {
            "nobody listens on the socket: its aggregator has stopped".to_owned()
        }
        _ => error.to_string(),
    };
    Failure::new(Exit::Unreachable, "cannot reach an aggregator")
        .fact("tried", tried)
        .cause(cause)
        .next("headwater up, or headwater serve; --server names another socket")
}

/// Encodes a word for a path or a query.
#[must_use]
pub(crate) fn encoded(word: &str) -> String {
    let mut text = String::with_capacity(word.len());
    for byte in word.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                text.push(char::from(byte));
            }
            _ => text.push_str(&format!("%{byte:02X}")),
        }
    }
    text
}

/// Largest answer, and longest line, that is taken: a ledger of 100,000 devices is below it.
const ANSWER_BYTES_MAX: usize = 256 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_encoded_for_paths_and_queries() {
        assert_eq!(encoded("edge-1.osl_~"), "edge-1.osl_~");
        assert_eq!(encoded("a b/ü?&"), "a%20b%2F%C3%BC%3F%26");
    }

    #[tokio::test]
    async fn a_socket_that_is_not_there_is_named() {
        let client = Client::new("nowhere/headwater.sock".into(), Duration::from_secs(1));
        let failure = client.get::<u8>("/").await.unwrap_err();
        assert_eq!(failure.exit, Exit::Unreachable);
        assert!(failure.to_string().contains("nowhere/headwater.sock"), "{failure}");
        assert!(failure.to_string().contains("headwater serve"), "{failure}");
    }
}
