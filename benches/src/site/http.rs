//! Questions over HTTP/1.0, whose answers end with the connection: no client is worth its weight here.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

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
