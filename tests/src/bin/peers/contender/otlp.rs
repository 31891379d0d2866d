//! A receiver of OTLP over HTTP, in JSON: it writes the lines of a request to a file before it answers.

use std::fs::OpenOptions;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use serde::Deserialize;

/// A receiver, running or not.
#[derive(Debug)]
pub(super) struct Receiver {
    port: u16,
    file: PathBuf,
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Receiver {
    /// One that will listen on a port of loopback and append to a file.
    pub(super) fn new(port: u16, file: &Path) -> Self {
        Self { port, file: file.to_owned(), is_over: Arc::default(), thread: None }
    }

    pub(super) fn start(&mut self) {
        let listener = TcpListener::bind(("127.0.0.1", self.port)).expect("the port is free");
        // So that it is there to be read, whatever comes.
        OpenOptions::new().create(true).append(true).open(&self.file).unwrap();
        let (file, is_over) = (self.file.clone(), Arc::clone(&self.is_over));
        self.thread = Some(std::thread::spawn(move || {
            for stream in listener.incoming() {
                if is_over.load(Ordering::Relaxed) {
                    return;
                }
                let file = file.clone();
                // A sender that was killed leaves its request half said.
                std::thread::spawn(move || stream.and_then(|stream| converse(stream, &file)));
            }
        }));
    }

    /// Stops listening. Conversations end with the sender, which is stopped before.
    pub(super) fn stop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        let woken = TcpStream::connect(("127.0.0.1", self.port));
        if let (Ok(_), Some(thread)) = (woken, self.thread.take()) {
            thread.join().expect("the receiver does not fail");
        }
    }
}

/// Takes requests until the sender ends the connection.
fn converse(mut stream: TcpStream, file: &Path) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut file = OpenOptions::new().create(true).append(true).open(file)?;
    while let Some(length) = length_of_request(&mut reader)? {
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        // One write, so that lines of two connections do not mix.
        file.write_all(lines_of(&body)?.as_bytes())?;
        stream.write_all(ANSWER)?;
    }
    Ok(())
}

const ANSWER: &[u8] =
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}";

/// Reads the head of a request; `None` at the end of the connection.
fn length_of_request(reader: &mut impl BufRead) -> std::io::Result<Option<usize>> {
    let mut head = reader.by_ref().take(HEAD_BYTES_MAX).lines();
    let mut length = None;
    while let Some(line) = head.next().transpose()? {
        if line.is_empty() {
            return length
                .filter(|length| *length <= BODY_BYTES_MAX)
                .map(Some)
                .ok_or_else(|| std::io::Error::other("a request without a length in bounds"));
        }
        let (name, value) = line.split_once(':').unwrap_or_default();
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse().ok();
        }
    }
    Ok(None)
}

const HEAD_BYTES_MAX: u64 = 64 << 10;
/// A batch has 8,192 lines of some 500 bytes each in JSON.
const BODY_BYTES_MAX: usize = 64 << 20;

#[derive(Debug, Deserialize)]
struct Request {
    #[serde(rename = "resourceLogs", default)]
    resources: Vec<Resource>,
}

#[derive(Debug, Deserialize)]
struct Resource {
    #[serde(rename = "scopeLogs", default)]
    scopes: Vec<Scope>,
}

#[derive(Debug, Deserialize)]
struct Scope {
    #[serde(rename = "logRecords", default)]
    records: Vec<Record>,
}

#[derive(Debug, Deserialize)]
struct Record {
    body: Body,
}

#[derive(Debug, Deserialize)]
struct Body {
    #[serde(rename = "stringValue")]
    text: String,
}

/// The lines that a request holds, each with its end.
fn lines_of(body: &[u8]) -> std::io::Result<String> {
    let request: Request = serde_json::from_slice(body)?;
    let scopes = request.resources.into_iter().flat_map(|resource| resource.scopes);
    let records = scopes.flat_map(|scope| scope.records);
    Ok(records.map(|record| record.body.text + "\n").collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const REQUEST: &str = r#"{"resourceLogs":[{"resource":{},"scopeLogs":[{"scope":{},"logRecords":[
        {"observedTimeUnixNano":"1795730819877278622","body":{"stringValue":"0000001 one"},
         "attributes":[{"key":"log.file.name","value":{"stringValue":"in.log"}}]},
        {"body":{"stringValue":"0000002 two"}}]}]},{"scopeLogs":[]}]}"#;

    #[test]
    fn the_lines_of_a_request_are_its_bodies() {
        assert_eq!(lines_of(REQUEST.as_bytes()).unwrap(), "0000001 one\n0000002 two\n");
        assert_eq!(lines_of(b"{}").unwrap(), "");
        assert!(lines_of(&REQUEST.as_bytes()[..90]).is_err(), "half a request");
    }

    #[test]
    fn a_request_is_written_before_it_is_answered_and_half_a_one_never() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("received");
        let mut receiver = Receiver::new(super::super::free_port(), &path);
        receiver.start();
        let mut stream = TcpStream::connect(("127.0.0.1", receiver.port)).unwrap();
        let request = format!(
            "POST /v1/logs HTTP/1.1\r\nHost: x\r\ncontent-length: {}\r\n\r\n{REQUEST}",
            REQUEST.len()
        );
        for times in 1..=2 {
            stream.write_all(request.as_bytes()).unwrap();
            let mut answer = vec![0; ANSWER.len()];
            stream.read_exact(&mut answer).unwrap();
            assert_eq!(answer, ANSWER);
            let written = std::fs::read_to_string(&path).unwrap();
            assert_eq!(written, "0000001 one\n0000002 two\n".repeat(times));
        }
        stream.write_all(&request.as_bytes()[..request.len() / 2]).unwrap();
        drop(stream);
        receiver.stop();
        assert_eq!(std::fs::read_to_string(&path).unwrap().lines().count(), 4);
    }
}
