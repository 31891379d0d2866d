//! Folders that come back as they once were: the agent's spool, and the aggregator's data.

#![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

use std::collections::BTreeMap;

use headwater_protocol::identity::Lane;
use headwater_protocol::position::Stream;
use headwater_protocol::record::Cause;
use headwater_tests::draws::seed_of_this_run;
use headwater_tests::landed::{Device, Landed};
use headwater_tests::site::{Site, copy_folder, restore_folder};
use headwater_tests::spooled::sealed_ends;
use headwater_tests::waiting::until;
use headwater_tests::witness::Instance;

/// Lines of each part of a test: a few batches of both.
const LINES: u64 = 12_000;

/// How a program ends before its folder is exchanged.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum End {
    Stopped,
    Killed,
}

#[test]
fn a_spool_copied_back_after_a_clean_stop_doubles_nothing_and_loses_no_line() {
    copy_a_spool_back(End::Stopped);
}

#[test]
fn a_spool_copied_back_after_a_kill_doubles_nothing_and_loses_no_line() {
    copy_a_spool_back(End::Killed);
}

fn copy_a_spool_back(end: End) {
    let mut site = Site::new(seed_of_this_run("rollback"), &["alpha", "beta"]);
    site.agent.start();
    site.write_and_settle(LINES);
    end_agent(&mut site, end);
    let (spool, copy) = (site.agent.spool(), site.path("spool-copy"));
    copy_folder(&spool, &copy);
    let at_copy = sealed_ends(&copy, Lane::Live);

    site.agent.start();
    site.write_and_settle(LINES);
    let acked = lose_time(&mut site, end);
    restore_folder(&copy, &spool);
    site.agent.start();
    site.write_and_settle(LINES);

    let device = expect_all_lines(&mut site);
    assert!(device.epochs > 2, "not covered: the ledger met no chain but its own");
    assert!(device.balances > 0, "not covered: the agent never told its own sum");
    for (stream, end) in at_copy {
        let landed = device.ends.get(&stream).copied().unwrap_or(0);
        assert!(landed >= end, "{stream:?} was in the spool up to {end}, landed up to {landed}");
    }
    expect_ticks_once(&device, &acked);
}

#[test]
fn a_host_that_went_back_and_wrote_on_otherwise_loses_and_doubles_no_line() {
    // Less, or more than it had written before; while the agent is away, or while it runs; in files that
    // were put back, or in the same ones, as a disk that is rolled back has them.
    for (again, is_away, in_place) in [
        (LINES / 2, true, true),
        (2 * LINES, true, false),
        (LINES / 2, false, false),
        (2 * LINES, false, true),
    ] {
        eprintln!("{again} lines again, the agent is away: {is_away}, the same files: {in_place}");
        let mut site = Site::new(seed_of_this_run("rollback"), &["alpha", "beta"]);
        site.agent.start();
        site.write_and_settle(LINES);
        site.agent.stop();
        let (spool, logs) = (site.agent.spool(), site.logs());
        let copies = [(&spool, site.path("spool-copy")), (&logs, site.path("logs-copy"))];
        for (folder, copy) in &copies {
            copy_folder(folder, copy);
        }
        site.agent.start();
        site.write_and_settle(LINES);
        site.agent.stop();
        restore_folder(&copies[0].1, &spool);
        if in_place {
            for file in std::fs::read_dir(&copies[1].1).unwrap() {
                let file = file.unwrap();
                std::fs::copy(file.path(), logs.join(file.file_name())).unwrap();
            }
        } else {
            restore_folder(&copies[1].1, &logs);
        }
        // What follows stands in the same files, where other lines stood before.
        for log in 0..2 {
            site.witness.instances.push(Instance { log, lines: Vec::new() });
        }
        if is_away {
            site.write(again);
            site.agent.start();
        } else {
            site.agent.start();
            until("the agent is connected", || {
                let status = site.agent.status().unwrap_or_default();
                status["ship"]["link"]["state"] == "connected"
            });
            site.write(again);
        }
        site.settle();
        site.compare().expect_exactly_once(&site.witness);
        let _ = site.aggregator.expect_clean_audit();
        let landed = site.stop_and_read();
        landed.only_device().ticks_are_contiguous().unwrap();
    }
}

#[test]
fn a_deleted_spool_doubles_nothing_and_no_file_is_read_twice() {
    for end in [End::Stopped, End::Killed] {
        let mut site = Site::new(seed_of_this_run("rollback"), &["alpha", "beta"]);
        site.agent.start();
        site.write_and_settle(LINES);
        let acked = lose_time(&mut site, end);
        std::fs::remove_dir_all(site.agent.spool()).unwrap();
        site.agent.start();
        site.write_and_settle(LINES);

        let came = site.aggregator.metric("headwater_fold_records_total");
        let device = expect_all_lines(&mut site);
        assert!(device.epochs > 2, "not covered: the ledger met no chain but its own");
        expect_ticks_once(&device, &acked);
        // What was applied since the restart: what the ledger had not heard of, and samples.
        let whole = site.witness.lines() as f64;
        assert!(came > 0.0 && came < 0.8 * whole, "files were read again: {came} of {whole}");
    }
}

/// Time that the spool will not know of: its first part is acked, its second part is never sent.
/// Returns how far the ledger got in each stream.
fn lose_time(site: &mut Site, end: End) -> BTreeMap<Stream, u64> {
    site.aggregator.stop();
    let acked = Landed::read(&site.aggregator.data()).unwrap().only_device().ends.clone();
    site.write(LINES / 2);
    let agent = &site.agent;
    until("samples wait in the spool", || {
        agent.status().is_some_and(|status| status["live"]["unsent_records"].as_u64() > Some(0))
    });
    end_agent(site, end);
    site.aggregator.start_and_wait();
    acked
}

fn end_agent(site: &mut Site, end: End) {
    match end {
        End::Stopped => site.agent.stop(),
        End::Killed => assert!(site.agent.kill(), "the agent runs until it is killed"),
    }
}

/// Every line is there once, the audit is clean, nothing was declared; what landed.
fn expect_all_lines(site: &mut Site) -> Device {
    site.compare().expect_exactly_once(&site.witness);
    let audit = site.aggregator.expect_clean_audit();
    assert_eq!(audit["gap_records"], 0, "every line is still in its file: {audit:#}");
    take_only(site.stop_and_read())
}

fn take_only(mut landed: Landed) -> Device {
    assert_eq!(landed.devices.len(), 1, "one device sent");
    landed.devices.pop_first().map(|(_, device)| device).unwrap()
}

/// No tick twice, none missing inside a run, and what the ledger had is still there.
fn expect_ticks_once(device: &Device, acked: &BTreeMap<Stream, u64>) {
    device.ticks_are_contiguous().unwrap();
    for (stream, end) in acked {
        let landed = device.ends.get(stream).copied().unwrap_or(0);
        assert!(landed >= *end, "{stream:?} was applied up to {end}, is there up to {landed}");
    }
}

#[test]
fn an_aggregator_copied_back_after_a_clean_stop_doubles_and_loses_nothing() {
    copy_an_aggregator_back(End::Stopped);
}

#[test]
fn an_aggregator_copied_back_after_a_kill_doubles_and_loses_nothing() {
    copy_an_aggregator_back(End::Killed);
}

fn copy_an_aggregator_back(end: End) {
    let mut site = Site::new(seed_of_this_run("rollback"), &["alpha", "beta"]);
    site.agent.start();
    lose_the_aggregators_time(&mut site, end);

    site.compare().expect_exactly_once(&site.witness);
    let audit = site.aggregator.expect_clean_audit();
    assert_eq!(audit["gaps"], 0, "the grace buffer holds it all: {audit:#}");
    let landed = site.stop_and_read();
    assert!(landed.generation > 0, "a log that went back begins a new generation");
    let device = take_only(landed);
    device.ticks_are_contiguous().unwrap();
    expect_whole_runs(&device, &sealed_ends(&site.agent.spool(), Lane::Live));
}

#[test]
fn beyond_the_grace_buffer_what_is_lost_is_declared_exactly() {
    let mut site = Site::new(seed_of_this_run("rollback"), &["alpha", "beta"]);
    site.agent.set_key("SPOOL__GRACE_BYTES", "0KiB");
    site.agent.start();
    let before = lose_the_aggregators_time(&mut site, End::Stopped);

    let found = site.compare();
    found.expect_nothing_doubled();
    let _ = site.aggregator.expect_clean_audit();
    let landed = site.stop_and_read();
    assert!(landed.generation > 0, "a log that went back begins a new generation");
    let device = take_only(landed);
    let (lines, gaps) = (site.witness.lines(), device.gap_records(Lane::Bulk));
    assert_eq!(found.seen + gaps, lines, "lines that are there, and lines that gaps declare");
    expect_declared_samples(&device, &before);
    expect_whole_runs(&device, &sealed_ends(&site.agent.spool(), Lane::Live));
    eprintln!("lines: {} there, {gaps} declared; {} gaps", found.seen, device.gaps.len());
}

/// Writes, copies the aggregator's folder aside, goes on until all is acked, copies it back, goes on.
/// Returns what had landed before it went back.
fn lose_the_aggregators_time(site: &mut Site, end: End) -> Device {
    let (data, copy) = (site.aggregator.data(), site.path("data-copy"));
    site.write_and_settle(LINES);
    site.aggregator.stop();
    copy_folder(&data, &copy);
    site.aggregator.start_and_wait();
    site.write_and_settle(LINES);
    match end {
        End::Stopped => site.aggregator.stop(),
        End::Killed => assert!(site.aggregator.kill(), "it runs until it is killed"),
    }
    let lost = take_only(Landed::read(&data).unwrap());
    restore_folder(&copy, &data);
    site.aggregator.start_and_wait();
    site.write_and_settle(LINES);
    lost
}

/// Every run landed up to where the spool sealed it.
fn expect_whole_runs(device: &Device, sealed: &BTreeMap<Stream, u64>) {
    for (stream, ticks) in &device.ticks {
        let last = ticks.last().map(|tick| tick.end);
        let landed = device.ends.get(stream).copied();
        // The last ticks of all may still wait in the spool.
        let sealed = sealed.get(stream).copied();
        assert!(landed >= last && landed <= sealed, "{stream:?}: {landed:?} of {sealed:?}");
    }
}

/// Each gap of samples says as many as had landed in its range before.
fn expect_declared_samples(device: &Device, before: &Device) {
    let live: Vec<_> = device.gaps.iter().filter(|it| it.lane == Lane::Live).collect();
    assert!(!live.is_empty(), "not covered: no sample was beyond the grace buffer");
    for declared in live {
        assert_eq!(declared.gap.cause, Cause::Lost, "{declared:?}");
        let (stream, range) = (declared.stream, declared.start..declared.end);
        let Some(ticks) = before.ticks.get(&stream) else { continue };
        let inside = ticks.iter().filter(|tick| range.contains(&tick.start));
        let samples: u64 = inside.map(|tick| tick.samples).sum();
        assert_eq!(declared.gap.records, samples, "a gap is exact: {declared:?}");
    }
}
