//! A spool whose file is damaged under an agent that is down: what can be read of it is sent, what can't
//! is read again from its files or declared, and nobody has to do anything.

#![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use headwater_protocol::record::Cause;
use headwater_tests::draws::{Draws, seed_of_this_run};
use headwater_tests::process::run;
use headwater_tests::site::Site;
use headwater_tests::waiting::until;
use headwater_tests::witness::{Line, number_of};
use serde_json::Value;

/// What happens to the bytes of a file.
type Damage = fn(&mut Draws, &mut Vec<u8>);

/// Lines of each part of a test: a few batches.
const LINES: u64 = 6_000;

#[test]
fn a_damaged_spool_loses_and_doubles_no_line_and_declares_what_it_lost_of_samples() {
    let seed = seed_of_this_run("damaged_spool");
    let mut draws = Draws::new(seed, 1);
    let mut site = Site::new(seed, &["alpha", "beta"]);
    site.agent.start();
    site.write_and_settle(LINES);
    let damages: [(&str, Damage); 4] = [
        ("its beginning is zeros", |_, bytes| bytes[..4096].fill(0)),
        ("pages of zeros", |draws, bytes| {
            for _ in 0..40 {
                let page = draws.place(bytes.len() / 4096) * 4096;
                bytes[page..page + 4096].fill(0);
            }
        }),
        ("bits flipped", |draws, bytes| {
            for _ in 0..200 {
                let at = draws.place(bytes.len());
                bytes[at] ^= 1;
            }
        }),
        ("cut in the middle", |_, bytes| bytes.truncate(bytes.len() / 2)),
    ];
    let mut before = 0;
    for (what, damage) in damages {
        eprintln!("{what}");
        // Samples and lines wait in the spool while nobody takes them.
        site.aggregator.stop();
        site.write(LINES);
        until("lines and samples wait in the spool", || {
            let status = site.agent.status().unwrap_or_default();
            let waits = |lane: &str, least| status[lane]["unsent_records"].as_u64() >= Some(least);
            waits("bulk", LINES) && waits("live", 50)
        });
        let verify = |site: &Site| run(&mut site.agent.command(&["spool", "verify"]));
        verify(&site).expect_refusal(7, &["another process has it open"]);
        site.agent.kill();
        let whole = verify(&site).expect_success("verify");
        assert!(whole.stdout.contains("whole"), "{}", whole.stdout);
        let file = site.agent.spool().join("spool.redb");
        let mut bytes = fs::read(&file).unwrap();
        damage(&mut draws, &mut bytes);
        fs::write(&file, &bytes).unwrap();
        verify(&site).expect_refusal(9, &["the spool is damaged", "start the agent"]);
        expect_export(&site, what);
        site.aggregator.start_and_wait();
        site.agent.start();
        // Damage that is met only when it is read ends the process: a service manager starts it again.
        until("the agent is connected", || {
            site.agent.start_again_if_it_ended();
            let status = site.agent.status().unwrap_or_default();
            status["ship"]["link"]["state"] == "connected" && status["bulk"]["unsent_records"] == 0
        });
        site.settle();
        site.compare().expect_exactly_once(&site.witness);
        let kept = aside(&site.agent.spool());
        assert!(kept > before, "the damaged file is kept: {what}");
        before = kept;
    }
    let _ = site.aggregator.expect_clean_audit();
    let landed = site.stop_and_read();
    let device = landed.only_device();
    device.ticks_are_contiguous_or_declared().unwrap();
    let suspected = device.gaps.iter().filter(|it| it.gap.cause == Cause::Suspected).count();
    assert!(suspected >= 4, "each damage is declared: {:?}", device.gaps);
}

/// Whatever became of the file, what stands in it can be read by a person.
fn expect_export(site: &Site, what: &str) {
    let export = run(&mut site.agent.command(&["spool", "export"])).expect_success("export");
    let rows = export.stdout.lines().map(|row| serde_json::from_str::<Value>(row).unwrap());
    let lines: Vec<Value> = rows.filter(|row| row["kind"] == "line").collect();
    assert!(export.stderr.contains(" records of device "), "{what}: {}", export.stderr);
    for line in lines.iter().filter(|line| line["body"].is_string()) {
        let body = line["body"].as_str().unwrap().as_bytes();
        let number = number_of(body).expect("a line that was written begins with its number");
        let same = |log: &String| Line::of(site.witness.seed, number, log).body == body;
        assert!(site.witness.logs.iter().any(same), "{what}: {line}");
    }
    if what.contains("beginning") {
        let numbers = lines.iter().filter_map(|line| number_of(line["body"].as_str()?.as_bytes()));
        let numbers: BTreeSet<u64> = numbers.collect();
        let waited = site.witness.lines() - LINES..site.witness.lines();
        let readable = waited.filter(|number| numbers.contains(number)).count() as u64;
        assert!(readable > LINES / 100 * 95, "what waits to be sent can be read: {readable}");
    }
}

fn aside(spool: &Path) -> usize {
    let names = fs::read_dir(spool).unwrap().map(|entry| entry.unwrap().file_name());
    names.filter(|name| name.to_string_lossy().contains("damaged-")).count()
}
