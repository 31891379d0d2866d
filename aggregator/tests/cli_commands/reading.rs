//! What a device sent, as each command shows it.

use std::path::Path;

use headwater_protocol::identity::Lane;
use headwater_protocol::record::{Cause, SourceInfo};
use serde_json::Value;

use crate::device::{Device, file, gap, line, stream, tick};
use crate::process::{Service, Stream, headwater, program};
use crate::serving::{ask, json, serve};

#[test]
fn what_was_sent_is_shown_by_every_command() {
    let folder = tempfile::tempdir().unwrap();
    let served = serve(folder.path());
    let mut device = enrol(folder.path(), "edge-1");
    let (app, web) = (file("/var/log/app.log"), file("/var/log/web.log"));
    device.send(
        Lane::Bulk,
        stream(1),
        &app,
        vec![line(b"one"), line(b"t\x1b[31mwo"), line(b"\xff")],
    );
    device.send(Lane::Bulk, stream(2), &web, vec![line(b"GET /"), gap(Cause::Truncated, 0, 70)]);
    device.send(Lane::Bulk, stream(1), &app, vec![gap(Cause::LineCut, 7, 0), line(b"last")]);
    device.send_again(Lane::Bulk);
    device.send(Lane::Live, stream(3), &SourceInfo::Host, vec![tick(3125), tick(9712)]);

    let rows = json(&ask(folder.path(), &["devices", "--json"]));
    let row = &rows[0];
    for (key, value) in
        [("records_read", 14), ("records_applied", 7), ("gaps", 2), ("duplicates", 1)]
    {
        assert_eq!(row[key], value, "{key} in {row}");
    }
    assert_eq!((&row["name"], &row["state"]), (&"edge-1".into(), &"online".into()));
    assert_eq!(row["adds_up"], true);
    let detail = json(&ask(folder.path(), &["device", "edge-1", "--json"]));
    assert_eq!(detail["latest"][0]["scaled"], 9712, "{detail}");

    logs(folder.path());
    ledger(folder.path());
    let done = ask(folder.path(), &["devices", "revoke", "edge-1", "--yes"]);
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    let rows = json(&ask(folder.path(), &["devices", "--json"]));
    assert_eq!(rows[0]["state"], "revoked");
    assert_eq!(ask(folder.path(), &["devices", "revoke", "edge-1", "--yes"]).code, Some(7));
    assert_eq!(served.stop(), Some(0));
}

fn logs(folder: &Path) {
    let bytes = raw(folder, &["logs", "edge-1", "--source", "/var/log/app.log"]);
    assert_eq!(bytes, b"one\nt\x1b[31mwo\n\xff\nlast\n", "a pipe gets the bytes of the file");
    assert_eq!(raw(folder, &["logs", "--last", "2"]), b"GET /\nlast\n");
    assert_eq!(raw(folder, &["logs", "--last", "0"]), b"");
    let rows = rows(&ask(folder, &["logs", "edge-1", "--ndjson"]).stdout);
    assert_eq!(rows.len(), 5);
    let first = &rows[0];
    assert_eq!(first["time"], "2026-11-21T12:04:31.500000Z");
    assert_eq!(first["path"], "/var/log/app.log");
    assert_eq!((&first["part"], &first["body"]), (&"whole".into(), &"one".into()));
    assert_eq!(rows[1]["position"], 4);
    assert_eq!(rows[2]["body_base64"], "/w==", "what is not UTF-8 is in base64");
    assert_eq!(rows[2]["body"], Value::Null);
}

fn ledger(folder: &Path) {
    let row = json(&ask(folder, &["ledger", "show", "edge-1", "--gaps", "--json"]));
    let bulk = row["lanes"].as_array().unwrap().iter().find(|lane| lane["lane"] == "bulk").unwrap();
    assert_eq!((&bulk["seq"], &bulk["records_read"]), (&3.into(), &12.into()), "{bulk}");
    assert_eq!(bulk["streams"][0]["source"], "/var/log/app.log");
    let causes: Vec<&Value> =
        row["gap_list"].as_array().unwrap().iter().map(|gap| &gap["cause"]).collect();
    assert_eq!(causes, ["truncated", "line-cut"], "{row}");

    let done = ask(folder, &["ledger", "verify", "edge-1", "--gaps"]);
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    assert!(done.stderr.contains("0 missing, 0 repeated, 2 gaps with cause"), "{}", done.stderr);
    assert!(done.stdout.contains("edge-1\tbulk\tclean\t0\t0\t2\t5\t"), "{}", done.stdout);
    assert!(done.stdout.contains("\ttruncated\t/var/log/web.log\t2\t"), "{}", done.stdout);
    let all = ask(folder, &["ledger"]).stdout;
    assert!(all.contains("edge-1\tadds-up\t14\t7\t2\t7\t70\t4\t1\t0\t0"), "{all}");
}

#[test]
fn following_begins_with_what_is_stored_and_has_neither_hole_nor_repeat() {
    let folder = tempfile::tempdir().unwrap();
    let served = serve(folder.path());
    let mut device = enrol(folder.path(), "edge-1");
    let app = file("/var/log/app.log");
    let mut send = |number: u32| {
        let body = format!("line {number}").into_bytes();
        device.send(Lane::Bulk, stream(1), &app, vec![line(&body)]);
    };
    (0..50).for_each(&mut send);
    let mut follow = following(folder.path(), &["logs", "--follow"]);
    // Some of them are stored, some come while the stored ones are read, some come after.
    (50..150).for_each(&mut send);
    for number in 0..150 {
        assert_eq!(follow.line(""), format!("line {number}"));
    }
    drop(follow);
    drop(served);
}

#[test]
fn tap_shows_records_as_they_are_applied() {
    let folder = tempfile::tempdir().unwrap();
    let served = serve(folder.path());
    let mut device = enrol(folder.path(), "edge-1");
    let app = file("/var/log/app.log");
    let mut logs = following(folder.path(), &["tap", "logs", "--ndjson"]);
    let mut metrics = following(folder.path(), &["tap", "--where", "metric:cpu.busy_ratio"]);
    let mut raw = following(folder.path(), &["tap", "--raw", "--ndjson"]);
    // A tap shows what comes after it began, and says nothing of when that is: so things keep coming.
    let mut sending = 0;
    let mut seen = (None, None, None);
    while seen.0.is_none() || seen.1.is_none() || seen.2.is_none() {
        device.send(Lane::Bulk, stream(1), &app, vec![line(format!("line {sending}").as_bytes())]);
        device.send(Lane::Live, stream(2), &SourceInfo::Host, vec![tick(3125)]);
        device.send_again(Lane::Live);
        sending += 1;
        assert!(sending < 10_000, "every tap shows something at last: {seen:?}");
        seen.0 = seen.0.or_else(|| logs.heard("\"kind\":\"line\""));
        seen.1 = seen.1.or_else(|| metrics.heard("edge-1"));
        seen.2 = seen.2.or_else(|| raw.heard("duplicate"));
    }
    assert_eq!(
        seen.1.as_deref(),
        Some("2026-11-21T12:04:31Z\tedge-1\tcpu.busy_ratio\t0.3125"),
        "time, device, metric, value"
    );
    let batch: Value = serde_json::from_str(&seen.2.unwrap()).unwrap();
    assert_eq!((&batch["lane"], &batch["records"]), (&"live".into(), &1.into()), "{batch}");
    drop(served);
}

/// Makes a token and enrols a device with it.
fn enrol(folder: &Path, name: &str) -> Device {
    let done = ask(folder, &["tokens", "create"]);
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    Device::enrol(done.stdout.trim(), name)
}

fn following(folder: &Path, words: &[&str]) -> Service {
    let mut command = headwater(&program(), folder);
    Service::start(command.args(["-c", "headwater.toml"]).args(words), Stream::Stdout)
}

/// Standard output, byte for byte.
fn raw(folder: &Path, words: &[&str]) -> Vec<u8> {
    let done = ask(folder, words);
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    done.bytes
}

fn rows(ndjson: &str) -> Vec<Value> {
    ndjson.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}
