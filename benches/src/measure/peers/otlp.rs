//! A receiver of OTLP over HTTP, as protobuf packed by zstd: it writes the lines of a request to a file before it
//! answers.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Error, Read, Result, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

/// A receiver that listens.
#[derive(Debug)]
pub(super) struct Receiver {
    port: u16,
    is_over: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Receiver {
    /// Listens on a free port, and appends to a file.
    pub(super) fn start(file: &Path) -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        let port = listener.local_addr()?.port();
        File::create(file)?;
        let is_over = Arc::new(AtomicBool::new(false));
        let (file, over) = (file.to_owned(), Arc::clone(&is_over));
        let thread = std::thread::spawn(move || accept(&listener, &file, &over));
        Ok(Self { port, is_over, thread })
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// Stops listening. Conversations end with the sender, which is stopped before.
    pub(super) fn stop(self) -> Result<()> {
        self.is_over.store(true, Ordering::Relaxed);
        TcpStream::connect(("127.0.0.1", self.port))?;
        self.thread.join().map_err(|_| Error::other("the receiver panicked"))
    }
}

fn accept(listener: &TcpListener, file: &Path, is_over: &AtomicBool) {
    for stream in listener.incoming() {
        if is_over.load(Ordering::Relaxed) {
            return;
        }
        let file: PathBuf = file.to_owned();
        std::thread::spawn(move || {
            let talked = stream.and_then(|stream| converse(stream, &file));
            if let Err(error) = talked {
                eprintln!("peers: a request is not taken: {error}");
            }
        });
    }
}

/// Takes requests until the sender ends the connection.
fn converse(mut stream: TcpStream, file: &Path) -> Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut file = OpenOptions::new().append(true).open(file)?;
    while let Some(length) = length_of_request(&mut reader)? {
        let mut packed = vec![0; length];
        reader.read_exact(&mut packed)?;
        let mut body = Vec::new();
        zstd::Decoder::new(&packed[..])?.take(BODY_BYTES_MAX).read_to_end(&mut body)?;
        let mut lines = Vec::new();
        bodies(&body, &PATH_OF_BODIES, &mut lines)?;
        // One write, so that lines of two connections do not mix.
        file.write_all(&lines)?;
        stream.write_all(ANSWER)?;
    }
    Ok(())
}

/// An empty message is an answer.
const ANSWER: &[u8] =
    b"HTTP/1.1 200 OK\r\nContent-Type: application/x-protobuf\r\nContent-Length: 0\r\n\r\n";
/// A batch has 8,192 lines of some 400 bytes each.
const BODY_BYTES_MAX: u64 = 64 << 20;
const HEAD_BYTES_MAX: u64 = 64 << 10;

/// Reads the head of a request; `None` at the end of the connection.
fn length_of_request(reader: &mut impl BufRead) -> Result<Option<usize>> {
    let mut head = reader.by_ref().take(HEAD_BYTES_MAX).lines();
    let mut length = None;
    while let Some(line) = head.next().transpose()? {
        if line.is_empty() {
            let length = length.filter(|length| *length as u64 <= BODY_BYTES_MAX);
            return length
                .map(Some)
                .ok_or_else(|| Error::other("a request without a length in bounds"));
        }
        let (name, value) = line.split_once(':').unwrap_or_default();
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse().ok();
        }
    }
    Ok(None)
}

/// Resources, scopes, records, body and string, each by its number in OTLP's messages.
const PATH_OF_BODIES: [u64; 5] = [1, 2, 2, 5, 1];

/// Appends the strings that a path of fields leads to, each as a line.
fn bodies(mut message: &[u8], path: &[u64], lines: &mut Vec<u8>) -> Result<()> {
    let [first, rest @ ..] = path else {
        lines.extend_from_slice(message);
        lines.push(b'\n');
        return Ok(());
    };
    while !message.is_empty() {
        let key = varint(&mut message)?;
        let bytes = match key & 7 {
            0 => {
                varint(&mut message)?;
                continue;
            }
            1 => 8,
            2 => varint(&mut message)?,
            5 => 4,
            _ => return Err(Error::other("a field of no kind")),
        };
        let bytes = usize::try_from(bytes).map_err(Error::other)?;
        let (field, after) =
            message.split_at_checked(bytes).ok_or_else(|| Error::other("a field is cut off"))?;
        message = after;
        if key >> 3 == *first {
            bodies(field, rest, lines)?;
        }
    }
    Ok(())
}

fn varint(message: &mut &[u8]) -> Result<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) =
            message.split_first().ok_or_else(|| Error::other("a number is cut off"))?;
        *message = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err(Error::other("a number without an end"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A field with bytes in it.
    fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
        let length = u8::try_from(bytes.len()).unwrap();
        [&[number << 3 | 2, length], bytes].concat()
    }

    #[test]
    fn the_lines_of_a_request_are_the_bodies_of_its_records() {
        let record = |text: &[u8]| {
            let time = [&[1 << 3 | 1][..], &[7; 8]].concat();
            field(2, &[time, field(5, &field(1, text)), field(6, &field(1, b"key"))].concat())
        };
        let scope = field(2, &[field(1, b"scope"), record(b"one"), record(b"two")].concat());
        let request = field(1, &[field(1, b"resource"), scope].concat());
        let mut lines = Vec::new();
        bodies(&request, &PATH_OF_BODIES, &mut lines).unwrap();
        assert_eq!(lines, b"one\ntwo\n");
        assert!(bodies(&request[..9], &PATH_OF_BODIES, &mut lines).is_err(), "cut off");
    }
}
