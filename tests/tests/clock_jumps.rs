//! Wall clocks that start in 1970, jump, tremble and stand still, under the agent and under the aggregator:
//! delivery does not know them, and averages stand where the samples truly belong.

#![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::{Duration, Instant};

use headwater_protocol::identity::DeviceId;
use headwater_tests::averages::{Averages, Names, computed, explored_since};
use headwater_tests::draws::{Draws, seed_of_this_run};
use headwater_tests::faketime::{FakeClock, Shown, THREE_DAYS, true_s};
use headwater_tests::landed::Landed;
use headwater_tests::site::Site;
use headwater_tests::waiting::{DEADLINE, until, wait_for};

/// Lines of each part of a test.
const LINES: u64 = 2_000;
/// A minute after 1970 began.
const A_MINUTE_IN: i64 = 60;
/// Seconds that fit between two samples at most: half an interval.
const TICKS_PER_SECOND_MAX: u64 = 2;
/// How often an agent's threads may wait in a second, at most: at rest it does some 30 times, with the lines of
/// this test up to 100.
const WAITS_PER_SECOND_MAX: u64 = 500;

#[test]
fn whatever_the_agents_clock_does_lines_and_samples_land_once_and_averages_are_shown() {
    let seed = seed_of_this_run("clock_jumps");
    let mut draws = Draws::new(seed, 41);
    let mut site = Site::new(seed, &["alpha", "beta"]);
    let clock = clock_of(&mut site);
    clock.set(in_1970());
    site.agent.start();
    let begun = Instant::now();
    // The agent's own certificate proves that its beginning has passed.
    site.write_and_settle(LINES);
    let mut jumps = 1;
    for _ in 0..6 {
        for shown in [Shown::Off(THREE_DAYS), Shown::Off(-THREE_DAYS), Shown::Right, in_1970()] {
            if draws.percent(60) {
                clock.set(shown);
                jumps += 1;
                site.write(LINES / 8);
                if draws.percent(15) {
                    assert!(site.agent.kill(), "it runs until it is killed");
                    site.agent.start();
                }
                // The time that the clock shows this, not a wait for anything.
                std::thread::sleep(draws.millis(100..1_500));
            }
        }
    }
    site.settle();
    calmly(&mut site, "trembles", |site| {
        for tremble in 0..60 {
            clock.set(Shown::Off([0, 1, 0, -1][tremble % 4]));
            site.write(20);
            std::thread::sleep(draws.millis(20..120));
        }
    });
    calmly(&mut site, "stands still", |site| {
        clock.set(Shown::Frozen(u64::try_from(true_s()).unwrap()));
        for _ in 0..20 {
            site.write(20);
            std::thread::sleep(Duration::from_millis(200));
        }
    });
    clock.set(Shown::Right);
    site.write_and_settle(LINES);
    let lasted = begun.elapsed().as_secs() + 1;
    let landed = finish(&mut site);
    let device = landed.only_device();
    let ticks = device.tick_count();
    let runs = device.ticks.len() as u64;
    eprintln!("clock_jumps: {jumps} jumps in {lasted} s, {ticks} ticks in {runs} runs");
    let most = lasted * TICKS_PER_SECOND_MAX + runs;
    assert!((lasted / 3..=most).contains(&ticks), "{ticks} ticks in {lasted} s");
    // What was sampled under one clock and sealed under another stands too early or at its arrival.
    let hours_ago = (true_s() - 2 * 3_600) * 1_000_000;
    let early = device.measured.iter().filter(|(time_us, _)| *time_us < hours_ago).count();
    assert!(early <= jumps, "{early} ticks are dated wrongly after {jumps} jumps");
    expect_averages(&mut site, &landed, "2h", |start_us| start_us >= hours_ago);
}

/// Runs a part of a test, in which the agent may not wake more often than is sensible.
fn calmly(site: &mut Site, what: &str, part: impl FnOnce(&mut Site)) {
    let id = site.agent.process().id();
    let (before, begun) = (waits_of(id), Instant::now());
    part(site);
    let (waits, lasted) = (waits_of(id) - before, begun.elapsed());
    eprintln!("clock_jumps: the clock {what}: {waits} waits in {lasted:?}");
    let most = WAITS_PER_SECOND_MAX * (lasted.as_secs() + 1);
    assert!(waits < most, "{waits} waits in {lasted:?} while the clock {what}");
}

/// How often the threads of a process have waited.
fn waits_of(id: u32) -> u64 {
    let tasks = std::fs::read_dir(format!("/proc/{id}/task")).unwrap().flatten();
    let of_one = |path: &Path| -> Option<u64> {
        let text = std::fs::read_to_string(path.join("status")).ok()?;
        let line = text.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"))?;
        line.trim().parse().ok()
    };
    tasks.filter_map(|task| of_one(&task.path())).sum()
}

#[test]
fn a_backlog_of_three_days_is_no_skew() {
    // With another boot the samples are three days old. Within one boot the kernel knows that the clock was
    // wrong.
    for is_same_boot in [false, true] {
        eprintln!("the same boot: {is_same_boot}");
        let mut site = Site::new(seed_of_this_run("clock_jumps"), &["alpha"]);
        // Averages are kept for a day unless somebody wants them longer.
        site.aggregator.set_variable("HEADWATER__WINDOW__KEEP", "7d");
        site.aggregator.stop();
        site.aggregator.start_and_wait();
        let clock = clock_of(&mut site);
        let proc = site.path("proc");
        mirror_proc(&proc);
        site.agent.set_key("SAMPLE__HOST__PROC", &proc.display().to_string());
        clock.set(Shown::Off(-THREE_DAYS));
        let address = format!("[{:?}]", site.aggregator.intake_address());
        site.agent.set_key("SHIP__ADDRESSES", "[\"127.0.0.1:9\"]");
        site.agent.start();
        until("samples of some windows wait", || {
            let status = site.agent.status().unwrap_or_default();
            status["live"]["unsent_batches"].as_u64() >= Some(14)
        });
        site.agent.stop();
        clock.set(Shown::Right);
        if !is_same_boot {
            let boot = "0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0\n";
            std::fs::write(proc.join("sys/kernel/random/boot_id"), boot).unwrap();
        }
        site.agent.set_key("SHIP__ADDRESSES", &address);
        site.agent.start();
        site.write_and_settle(LINES);
        let landed = finish(&mut site);
        let device = landed.only_device();
        let begun_us = (true_s() - 3_600) * 1_000_000;
        let old: Vec<i64> = device
            .measured
            .iter()
            .map(|(time_us, _)| *time_us)
            .filter(|it| *it < begun_us)
            .collect();
        let by_its_clock: BTreeSet<i64> =
            device.ticks.values().flatten().map(|tick| tick.time_us).collect();
        if is_same_boot {
            assert!(
                old.is_empty(),
                "what the clock said was three days off, and is put right: {old:?}"
            );
        } else {
            assert!(old.len() >= 12, "the backlog keeps its times: {} ticks", old.len());
            assert!(old.iter().all(|it| by_its_clock.contains(it)), "to the microsecond");
        }
        expect_averages(&mut site, &landed, "4d", |_| true);
    }
}

#[test]
fn a_clock_before_the_nodes_certificate_is_named_and_the_agent_goes_on_once_it_is_right() {
    let mut site = Site::new(seed_of_this_run("clock_jumps"), &["alpha"]);
    let clock = clock_of(&mut site);
    // Certificates begin at a whole second: the node's next one begins after the agent's.
    let enrolled = true_s();
    until("another second has begun", || true_s() > enrolled + 1);
    site.aggregator.stop();
    site.aggregator.start_and_wait();
    clock.set(in_1970());
    site.agent.start();
    site.write(LINES);
    let line = site.agent.process().line("not valid yet");
    assert!(line.contains("check the clocks of both hosts"), "{line}");
    assert_eq!(
        site.aggregator.lines_read(),
        0,
        "a certificate that is not valid yet is not believed"
    );
    clock.set(Shown::Right);
    site.settle();
    let landed = finish(&mut site);
    expect_averages(&mut site, &landed, "2h", |_| true);
}

#[test]
fn whatever_the_aggregators_clock_does_lines_and_samples_land_once() {
    let seed = seed_of_this_run("clock_jumps");
    let mut draws = Draws::new(seed, 42);
    let mut site = Site::new(seed, &["alpha", "beta"]);
    let clock = FakeClock::new(&site.path("clock"));
    site.aggregator.stop();
    for (name, value) in clock.variables() {
        site.aggregator.set_variable(name, &value);
    }
    site.aggregator.start_and_wait();
    // The commands that ask it see the true clock.
    site.aggregator.set_variable("LD_PRELOAD", "");
    site.agent.start();
    site.write_and_settle(LINES);
    for _ in 0..4 {
        for shown in [Shown::Off(THREE_DAYS), Shown::Off(-THREE_DAYS), Shown::Right] {
            clock.set(shown);
            site.write(LINES / 4);
            if draws.percent(40) {
                // Who comes anew meets a node whose clock is wrong.
                assert!(site.agent.kill(), "it runs until it is killed");
                site.agent.start();
            }
            std::thread::sleep(draws.millis(300..1_500));
        }
    }
    site.write_and_settle(LINES);
    let landed = finish(&mut site);
    assert!(landed.only_device().tick_count() > 0, "the agent sampled");
}

/// A clock for the agent, from its next start on.
fn clock_of(site: &mut Site) -> FakeClock {
    let clock = FakeClock::new(&site.path("clock"));
    let words = clock.wrapper();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    site.agent.set_wrapper(&words);
    clock
}

fn in_1970() -> Shown {
    Shown::Off(A_MINUTE_IN - true_s())
}

/// That every line is there once, nothing was declared, and ticks have neither hole nor repeat; what landed.
fn finish(site: &mut Site) -> Landed {
    site.compare().expect_exactly_once(&site.witness);
    let audit = site.aggregator.expect_clean_audit();
    assert_eq!(audit["gaps"], 0, "a clock loses nothing: {audit:#}");
    let landed = site.stop_and_read();
    landed.only_device().ticks_follow().unwrap();
    landed
}

/// That averages are told of all that landed in some windows, and are right.
fn expect_averages(site: &mut Site, landed: &Landed, last: &str, is_asked: impl Fn(i64) -> bool) {
    site.aggregator.start_and_wait();
    let list = site.aggregator.json(&["devices"]);
    let id: DeviceId = list[0]["id"].as_str().unwrap().parse().unwrap();
    let names: Names = BTreeMap::from([(id, ("edge-1".to_owned(), BTreeMap::new()))]);
    let metric = "memory.used_bytes";
    let computed = computed(landed, &names, &["device"]);
    let is_wanted = |start_us: i64, of: &str| of == metric && is_asked(start_us);
    let expected: Averages = computed
        .into_iter()
        .filter(|(place, _)| is_wanted(place.start_us, &place.metric))
        .collect();
    assert!(!expected.is_empty(), "not covered: no window");
    let samples: u64 = expected.values().map(|average| average.samples).sum();
    // The last windows close once time has passed them.
    let what = format!("{samples} samples of {metric} are told");
    let told = wait_for(&what, DEADLINE, || {
        let told = explored_since(&site.aggregator, metric, &["device"], last);
        let count: u64 = told.values().map(|(_, average)| average.samples).sum();
        (count >= samples).then_some(told)
    });
    for (place, average) in &expected {
        assert_eq!(told.get(place).map(|(_, average)| average), Some(average), "{place:?}");
    }
}

/// A folder that shows what `/proc` shows of the host, with a boot of its own.
fn mirror_proc(folder: &Path) {
    std::fs::create_dir_all(folder.join("sys/kernel/random")).unwrap();
    for entry in std::fs::read_dir("/proc").unwrap() {
        let name = entry.unwrap().file_name();
        if name != "sys" {
            std::os::unix::fs::symlink(Path::new("/proc").join(&name), folder.join(&name)).unwrap();
        }
    }
    let boot = std::fs::read("/proc/sys/kernel/random/boot_id").unwrap();
    std::fs::write(folder.join("sys/kernel/random/boot_id"), boot).unwrap();
}
