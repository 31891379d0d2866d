//! What the aggregator is asked for: where files end, and the rows that are in none yet.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use serde::Deserialize;

use crate::failure::{Exit, Failure};
use crate::spots::Spot;

/// What it answered.
#[derive(Debug, Default)]
pub(crate) struct Rest {
    /// The folder of the files.
    pub(crate) history: PathBuf,
    /// Tables that this is about; files of others stand by themselves.
    pub(crate) tables: Vec<String>,
    /// Where files end, by shard.
    pub(crate) cursors: BTreeMap<u16, u64>,
    /// Rows from there on, by table.
    pub(crate) files: BTreeMap<String, Vec<(Spot, Bytes)>>,
    /// Shards of which more rows were left out than may be sent, and the log's time from which on.
    pub(crate) cuts: BTreeMap<u16, String>,
}

/// A line of the answer.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Line {
    History { folder: PathBuf, tables: Vec<String> },
    Shard { shard: u16, cursor: u64 },
    File { folder: String, bytes: u64 },
    Cut { shard: u16, from: serde_json::Value },
    Done {},
}

/// Why it did not answer.
#[derive(Debug, Deserialize)]
struct Problem {
    error: String,
    cause: Option<String>,
    next: Option<String>,
}

/// Asks for the rest of some tables. `None` if nobody listens.
///
/// # Errors
/// What the aggregator says, or that it broke off.
pub(crate) fn rest(
    socket: &Path,
    tables: &[String],
    bytes_max: u64,
    timeout: Duration,
) -> Result<Option<Rest>, Failure> {
    let stream = match UnixStream::connect(socket) {
        Err(error) if error.kind() == ErrorKind::PermissionDenied => return Err(denied(socket)),
        Err(_) => return Ok(None),
        Ok(stream) => stream,
    };
    let broken = |error: io::Error| {
        Failure::new(Exit::Unreachable, "the aggregator broke off")
            .fact("tried", format!("unix:{}", socket.display()))
            .cause(error.to_string())
            .next("the same query once more")
    };
    let answered = || {
        stream.set_read_timeout(Some(timeout))?;
        stream.set_write_timeout(Some(timeout))?;
        // HTTP/1.0, so that the answer comes as it is, up to the end of the connection.
        let path = format!("/api/v1/rest?tables={}&bytes_max={bytes_max}", tables.join(","));
        write!(&stream, "GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n")?;
        let mut reader = BufReader::new(&stream);
        let status = head(&mut reader)?;
        Ok((status, reader))
    };
    let (status, mut reader) = answered().map_err(broken)?;
    if status != 200 {
        let mut text = Vec::new();
        reader.take(LINE_BYTES_MAX).read_to_end(&mut text).map_err(broken)?;
        return Err(refused(status, &text));
    }
    lines(&mut reader, bytes_max)
        .map_err(|error| match error {
            Broken::Io(error) => broken(error),
            Broken::Refused(failure) => failure,
        })
        .map(Some)
}

fn denied(socket: &Path) -> Failure {
    Failure::new(Exit::Denied, "not allowed to speak to the aggregator")
        .fact("tried", format!("unix:{}", socket.display()))
        .cause("its socket belongs to the user who runs it")
        .next("the same command as that user, or with sudo")
}

/// Reads the head of an answer; its status.
fn head(reader: &mut impl BufRead) -> io::Result<u16> {
    let first = line(reader)?;
    let status = first.split(' ').nth(1).and_then(|status| status.parse().ok());
    let status = status.ok_or_else(|| io::Error::new(ErrorKind::InvalidData, "no status"))?;
    for _ in 0..HEAD_LINES_MAX {
        if line(reader)?.trim_end().is_empty() {
            return Ok(status);
        }
    }
    Err(io::Error::new(ErrorKind::InvalidData, "a head without an end"))
}

/// Lines of the head of an answer; it has a handful.
const HEAD_LINES_MAX: usize = 64;
/// Bytes of a line; each names a folder at most.
const LINE_BYTES_MAX: u64 = 64 << 10;
/// Bytes of one file beyond what was asked for: what one range has.
const FILE_BYTES_MAX: u64 = 64 << 20;

enum Broken {
    Io(io::Error),
    Refused(Failure),
}

impl From<io::Error> for Broken {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

fn lines(reader: &mut impl BufRead, bytes_max: u64) -> Result<Rest, Broken> {
    let (mut rest, mut taken) = (Rest::default(), 0_u64);
    loop {
        let text = line(reader)?;
        let line = serde_json::from_str(&text)
            .map_err(|_| Broken::Refused(refused(500, text.as_bytes())))?;
        match line {
            Line::History { folder, tables } => (rest.history, rest.tables) = (folder, tables),
            Line::Shard { shard, cursor } => drop(rest.cursors.insert(shard, cursor)),
            Line::File { folder, bytes } => {
                taken = taken.saturating_add(bytes);
                let parsed = Spot::parse(&folder);
                let Some((table, spot)) =
                    parsed.filter(|_| taken <= bytes_max.saturating_add(FILE_BYTES_MAX))
                else {
                    let what = "a file that was not asked for";
                    return Err(io::Error::new(ErrorKind::InvalidData, what).into());
                };
                let mut file = Vec::new();
                reader.by_ref().take(bytes).read_to_end(&mut file)?;
                if file.len() as u64 != bytes {
                    return Err(io::Error::from(ErrorKind::UnexpectedEof).into());
                }
                let files = rest.files.entry(table.to_owned()).or_default();
                files.push((spot, file.into()));
            }
            Line::Cut { shard, from } => {
                let from = from.as_str().map_or_else(|| "the beginning".to_owned(), str::to_owned);
                rest.cuts.insert(shard, from);
            }
            Line::Done {} => return Ok(rest),
        }
    }
}

fn line(reader: &mut impl BufRead) -> io::Result<String> {
    let mut text = String::new();
    reader.by_ref().take(LINE_BYTES_MAX).read_line(&mut text)?;
    if text.ends_with('\n') { Ok(text) } else { Err(ErrorKind::UnexpectedEof.into()) }
}

fn refused(status: u16, text: &[u8]) -> Failure {
    let exit = match status {
        404 => Exit::NotFound,
        503 => Exit::Unreachable,
        _ => Exit::Failed,
    };
    let Ok(Problem { error, cause, next }) = serde_json::from_slice(text) else {
        return Failure::new(
            exit,
            "the aggregator answered something that this build does not understand",
        )
        .next("headwater version: both programs are of one build");
    };
    let mut failure = Failure::new(exit, error);
    failure = cause.into_iter().fold(failure, Failure::cause);
    next.into_iter().fold(failure, Failure::next)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEGIN: &str = "{\"history\":{\"folder\":\"/h\",\"log\":\"00\",\"tables\":[\"events\"]}}\n\
                         {\"shard\":{\"shard\":7,\"cursor\":12,\"end\":15}}\n\
                         {\"file\":{\"folder\":\"table=events/dt=1/shard=07\",\"rows\":1,\"bytes\":4}}\n\
                         PAR1";

    #[test]
    fn an_answer_is_all_there_or_an_error() {
        let whole = format!("{BEGIN}{{\"done\":{{}}}}\n");
        let rest = lines(&mut whole.as_bytes(), 4).ok().unwrap();
        assert_eq!((rest.cursors[&7], rest.files["events"].len()), (12, 1));
        for end in 0..whole.len() {
            assert!(lines(&mut &whole.as_bytes()[..end], 4).is_err(), "cut at {end}");
        }
    }

    #[test]
    fn a_problem_on_the_way_is_told() {
        let text =
            format!("{BEGIN}{{\"error\":\"cannot read\",\"cause\":\"a disk\",\"next\":null}}\n");
        let Err(Broken::Refused(failure)) = lines(&mut text.as_bytes(), 4) else { panic!("it is") };
        assert_eq!(failure.to_string(), "error: cannot read\n  cause  a disk\n");
    }
}
