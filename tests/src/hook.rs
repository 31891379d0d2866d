//! A webhook that keeps what it is told.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value;

/// A server on loopback, there until the test ends.
#[derive(Debug)]
pub struct Hook {
    port: u16,
    /// Shared with the thread that listens: what a request leaves is read long after it has gone.
    told: Arc<Mutex<Vec<Notice>>>,
}

/// What it was told once.
#[derive(Clone, Debug)]
pub struct Notice {
    /// The key that repeats of a notice share.
    pub key: String,
    /// The body.
    pub body: Value,
}

impl Hook {
    /// Listens on a port that the kernel picks.
    ///
    /// # Panics
    /// If there is none.
    #[must_use]
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let told = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&told);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // A client that was killed in the middle has told nothing.
                if let Some(notice) = take(&stream) {
                    kept.lock().unwrap_or_else(PoisonError::into_inner).push(notice);
                }
            }
        });
        Self { port, told }
    }

    /// Its part of an aggregator's configuration.
    #[must_use]
    pub fn config(&self) -> String {
        let url = format!("http://127.0.0.1:{}/", self.port);
        format!(
            "[[alert.webhook]]\nname = \"hook\"\nurl = {url:?}\nallow_http = true\n\
             allow_private = true\n"
        )
    }

    /// Everything that it was told, in order, repeats included.
    #[must_use]
    pub fn told(&self) -> Vec<Notice> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Reads a request and answers 200 once it is whole.
fn take(mut stream: &TcpStream) -> Option<Notice> {
    stream.set_read_timeout(Some(crate::waiting::DEADLINE)).ok()?;
    let mut reader = BufReader::new(stream);
    let (mut key, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
        let Some((name, value)) = line.trim_end().split_once(": ") else {
            match line.trim_end().is_empty() {
                true => break,
                false => continue,
            }
        };
        match name.to_ascii_lowercase().as_str() {
            "idempotency-key" => key = value.to_owned(),
            "content-length" => length = value.parse().ok()?,
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let body = serde_json::from_slice(&body).ok()?;
    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").ok()?;
    Some(Notice { key, body })
}
