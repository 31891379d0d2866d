//! `headwater logs`: lines as they were read, byte for byte.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::api::rows::LineRow;
use crate::cli::args::Logs;
use crate::cli::client::{Client, encoded};
use crate::cli::failure::{Exit, Failure};
use crate::cli::output::escape::visible_bytes;
use crate::cli::output::{Format, Output, escape, units};

/// Prints lines.
///
/// # Errors
/// What the aggregator says, or that it can't be reached.
pub(crate) async fn run(client: &Client, output: &Output, args: &Logs) -> Result<(), Failure> {
    let mut path = format!("/api/v1/logs?follow={}", args.follow);
    let words = [("device", &args.device), ("source", &args.source), ("contains", &args.contains)];
    for (key, value) in words {
        if let Some(value) = value {
            path.push_str(&format!("&{key}={}", encoded(value)));
        }
    }
    if let Some(last) = args.last {
        path.push_str(&format!("&last={last}"));
    }
    for (key, time_us) in [("from_us", args.from), ("to_us", args.to)] {
        if let Some(time_us) = time_us {
            path.push_str(&format!("&{key}={time_us}"));
        }
    }
    let mut lines = client.lines(&path).await?;
    let mut all = Vec::new();
    let mut count = 0_u64;
    while let Some(row) = lines.next::<LineRow>().await? {
        count += 1;
        match output.format {
            Format::Json => all.push(row),
            Format::Ndjson => output.line(&row)?,
            Format::Plain => output.bytes(&exact(&row)?)?,
            Format::Human => output.text(&shown(&row, args)?)?,
        }
    }
    if output.format == Format::Json {
        output.document(&all)?;
    }
    if count == 0 {
        output.note("no line is stored that fits · next: headwater devices");
    }
    complete(lines.left_out())
}

/// Whether nothing had to be left out.
///
/// # Errors
/// `Partly` if something was, with each file.
pub(crate) fn complete(left_out: &[String]) -> Result<(), Failure> {
    if left_out.is_empty() {
        return Ok(());
    }
    let count = units::count(left_out.len() as u64, "file");
    let what = format!("{count} of the history left out: what is in it is missing from the answer");
    let failure = left_out.iter().fold(Failure::new(Exit::Partly, what), |failure, file| {
        failure.fact("file", file.as_str())
    });
    Err(failure.next("put each back from a backup; headwater sinks says where the history lies"))
}

/// The bytes that stood in the file, the line's end included.
fn exact(row: &LineRow) -> Result<Vec<u8>, Failure> {
    let mut bytes = body(row)?;
    bytes.extend_from_slice(match row.part.as_str() {
        "whole" => b"\n",
        "whole-crlf" => b"\r\n",
        _ => b"",
    });
    Ok(bytes)
}

fn shown(row: &LineRow, args: &Logs) -> Result<String, Failure> {
    let faint = anstyle::Style::new().dimmed();
    let mut head = units::time_to_second(row.time.0);
    if args.device.is_none() {
        head.push_str(&format!(" {}", escape::visible(&row.device)));
    }
    if args.source.is_none() {
        head.push_str(&format!(" {}", escape::visible(file_name(&row.path))));
    }
    // The mark stands where a line was longer than a record may be.
    let end = if row.part == "continued" { "…" } else { "" };
    Ok(format!("{faint}{head}{faint:#} {}{end}\n", visible_bytes(&body(row)?)))
}

/// The last part of a path.
#[must_use]
pub(crate) fn file_name(path: &str) -> &str {
    path.rsplit('/').next().filter(|name| !name.is_empty()).unwrap_or(path)
}

/// The body's bytes.
///
/// # Errors
/// `Failed` for a row that has none, which no aggregator sends.
pub(crate) fn body(row: &LineRow) -> Result<Vec<u8>, Failure> {
    let unreadable = || Failure::new(Exit::Failed, "cannot read a line of the aggregator's answer");
    match (&row.body, &row.body_base64) {
        (Some(text), _) => Ok(text.clone().into_bytes()),
        (None, Some(text)) => STANDARD.decode(text).map_err(|error| unreadable().cause_of(&error)),
        (None, None) => Err(unreadable().cause("it has no body")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::rows::Moment;

    fn row(part: &str, body: &[u8]) -> LineRow {
        let text = String::from_utf8(body.to_vec()).ok();
        LineRow {
            time: Moment(0),
            device: "edge-1".to_owned(),
            path: "/var/log/app.log".to_owned(),
            stream: "00.1".to_owned(),
            position: 0,
            part: part.to_owned(),
            body_base64: text.is_none().then(|| STANDARD.encode(body)),
            body: text,
        }
    }

    #[test]
    fn a_pipe_gets_the_bytes_of_the_file() {
        let rows = [
            row("whole", b"one"),
            row("whole-crlf", b"two\xff"),
            row("continued", b"thr"),
            row("unended", b"ee\x1b[0m"),
        ];
        let bytes: Vec<u8> = rows.iter().flat_map(|row| exact(row).unwrap()).collect();
        assert_eq!(bytes, b"one\ntwo\xff\r\nthree\x1b[0m");
    }

    #[test]
    fn a_terminal_gets_no_command() {
        let args = Logs {
            device: None,
            follow: false,
            source: None,
            last: None,
            from: None,
            to: None,
            contains: None,
        };
        let text = shown(&row("whole", b"a\x1b[2J\xff"), &args).unwrap();
        let text = anstream::adapter::strip_str(&text).to_string();
        assert_eq!(text, "1970-01-01T00:00:00Z edge-1 app.log a\\x1b[2J\\xff\n");
    }
}
