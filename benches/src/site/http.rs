//! Questions over HTTP/1.0, whose answers end with the connection: no client is worth its weight here.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

/// Asks a local socket.
pub(crate) fn ask_socket(socket: &Path, path: &str) -> Result<String> {
    let asked = UnixStream::connect(socket).with_context(|| format!("connect {socket:?}"))?;
    asked.set_read_timeout(Some(TIMEOUT))?;
    ask(asked, path)
}

/// What a local socket says to whoever connects.
pub(crate) fn listen_to(socket: &Path) -> Result<String> {
    let mut said = UnixStream::connect(socket).with_context(|| format!("connect {socket:?}"))?;
    said.set_read_timeout(Some(TIMEOUT))?;
    let mut text = String::new();
    said.read_to_string(&mut text)?;
    Ok(text)
}

/// Asks a port.
pub(crate) fn ask_port(address: SocketAddr, path: &str) -> Result<String> {
    let asked = TcpStream::connect(address).with_context(|| format!("connect {address}"))?;
    asked.set_read_timeout(Some(TIMEOUT))?;
    ask(asked, path)
}

/// A loaded machine answers late, not never.
const TIMEOUT: Duration = Duration::from_secs(60);

fn ask(mut stream: impl Read + Write, path: &str) -> Result<String> {
    write!(stream, "GET {path} HTTP/1.0\r\nhost: localhost\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").context("an answer has a head")?;
    let status = head.split_whitespace().nth(1);
    ensure!(status == Some("200"), "{path} answers {}", head.lines().next().unwrap_or_default());
    Ok(body.to_owned())
}

/// A session with the console.
#[derive(Debug)]
pub(crate) struct Session {
    console: SocketAddr,
    cookie: String,
}

/// What the console answered.
#[derive(Debug)]
pub(crate) struct Answer {
    /// From the attempt to connect to the last byte.
    pub(crate) took: Duration,
    /// The body, as it is.
    pub(crate) body: Vec<u8>,
}

impl Session {
    /// Follows a one-time link.
    pub(super) fn enter(console: SocketAddr, link: &str) -> Result<Self> {
        let path = link.split_once("/?").map(|(_, query)| format!("/?{query}"));
        let path = path.with_context(|| format!("{link} has a code"))?;
        let stranger = Self { console, cookie: String::new() };
        let (head, _) = stranger.ask(&path)?;
        let cookie = head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            let value = name.eq_ignore_ascii_case("set-cookie").then_some(value)?;
            Some(value.split(';').next()?.trim().to_owned())
        });
        Ok(Self { console, cookie: cookie.with_context(|| format!("no cookie in: {head}"))? })
    }

    /// Asks for a page or a file.
    pub(crate) fn get(&self, path: &str) -> Result<Answer> {
        let begun = Instant::now();
        let (head, body) = self.ask(path)?;
        let took = begun.elapsed();
        let status = head.split_whitespace().nth(1);
        ensure!(
            status == Some("200"),
            "{path} answers {}",
            head.lines().next().unwrap_or_default()
        );
        Ok(Answer { took, body })
    }

    fn ask(&self, path: &str) -> Result<(String, Vec<u8>)> {
        let Self { console, cookie } = self;
        let mut stream =
            TcpStream::connect(console).with_context(|| format!("connect {console}"))?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        write!(
            stream,
            "GET {path} HTTP/1.0\r\nhost: {console}\r\ncookie: {cookie}\r\n\
             accept-encoding: identity\r\naccept: text/html\r\n\r\n"
        )?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        let end = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n");
        let end = end.context("an answer has a head")?;
        let head = String::from_utf8_lossy(&answer[..end]).into_owned();
        Ok((head, answer.split_off(end + 4)))
    }
}
