//! Words that are wrong: keys, units, ports and tokens.

use std::net::UdpSocket;
use std::process::Command;

use headwater_tests::agent::Agent;
use headwater_tests::aggregator::Aggregator;
use headwater_tests::process::{Done, run};
use headwater_tests::programs::{AGENT, HEADWATER, command};
use headwater_tests::waiting::until;

#[test]
fn an_unknown_key_is_named_with_its_place_and_the_nearest_one() {
    let done = agent_with("[spool]\nmax_byte = \"1GiB\"\n");
    done.expect_refusal(3, &["max_byte", "agent.toml:2:1", "did you mean \"max_bytes\"?"]);
    let done = headwater_with("[intake]\nreceive_bufer = \"8MiB\"\n");
    done.expect_refusal(3, &["receive_bufer", "headwater.toml:2:1", "\"receive_buffer\"?"]);
}

#[test]
fn a_wrong_unit_is_named_with_its_key_its_value_and_the_range() {
    let done = agent_with("[spool]\nmax_bytes = \"1 barrel\"\n");
    done.expect_refusal(3, &["spool.max_bytes", "\"1 barrel\"", "\"64MiB\" to \"1TiB\"", ":2:13"]);
    let done = agent_with("[sample]\ninterval = \"10 parsecs\"\n");
    done.expect_refusal(3, &["sample.interval", "\"10 parsecs\"", "\"1s\" to \"1h\"", ":2:12"]);
    let done = headwater_with("[log]\nsnapshot_every = \"5 parsecs\"\n");
    done.expect_refusal(
        3,
        &["log.snapshot_every", "\"5 parsecs\"", "\"100ms\" to \"1h\"", ":2:18"],
    );
}

fn agent_with(text: &str) -> Done {
    refused_by(AGENT, "agent.toml", &["run"], text)
}

fn headwater_with(text: &str) -> Done {
    refused_by(HEADWATER, "headwater.toml", &["serve"], text)
}

fn refused_by(program: &str, file: &str, words: &[&str], text: &str) -> Done {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join(file), text).unwrap();
    run(command(program, folder.path()).args(words).args(["--config", file]))
}

#[test]
fn a_port_in_use_is_named_with_what_shows_who_has_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut aggregator = Aggregator::create(&folder.path().join("aggregator"));
    aggregator.stop();
    let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let mut serve: Command = aggregator.command(&["serve"]);
    let done = run(serve.env("HEADWATER__INTAKE__LISTEN", &address));
    done.expect_refusal(1, &[&address, "intake.listen", "ss -l"]);
}

#[test]
fn a_token_that_is_wrong_used_or_over_is_refused_and_says_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let aggregator = Aggregator::create(&folder.path().join("aggregator"));
    let agent = |name: &str| Agent::new(name, &folder.path().join(name), "127.0.0.1:9", &[]);
    let next = "headwater tokens create";

    let good = aggregator.token();
    let cut = &good[..good.len() - 9];
    agent("cut").try_enrol(cut).expect_refusal(2, &["token", next]);
    agent("empty").try_enrol("").expect_refusal(2, &["token", "next"]);
    let created = aggregator.json(&["tokens", "create"]);
    let (id, revoked) = (created["id"].as_str().unwrap(), created["token"].as_str().unwrap());
    let _ = aggregator.ask(&["tokens", "revoke", id]).expect_success("revoke a token");
    agent("revoked").try_enrol(revoked).expect_refusal(5, &["refused", "token", next]);

    let _ = agent("first").try_enrol(&good).expect_success("a good token");
    agent("second").try_enrol(&good).expect_refusal(5, &["token", "used", next]);

    let created = aggregator.json(&["tokens", "create", "--life", "1s"]);
    let short = created["token"].as_str().unwrap();
    until("the token's time is over", || {
        let tokens = aggregator.json(&["tokens", "ls"]);
        let all = tokens.as_array().cloned().unwrap_or_default();
        all.iter().any(|token| token["id"] == created["id"] && token["state"] == "expired")
    });
    agent("late").try_enrol(short).expect_refusal(5, &["token", "over", next]);
    for name in ["cut", "empty", "revoked", "second", "late"] {
        let identity = folder.path().join(name).join("identity/identity.pem");
        assert!(!identity.exists(), "{name}: who is refused has no identity");
    }
    let devices = aggregator.json(&["devices"]);
    assert_eq!(devices.as_array().map(Vec::len), Some(1), "one device joined: {devices:#}");
}

#[test]
fn a_token_of_another_authority_is_not_sent_to_whoever_answers() {
    let folder = tempfile::tempdir().unwrap();
    let mut real = Aggregator::create(&folder.path().join("real"));
    let (token, place) = (real.token(), real.enrol_address());
    real.stop();
    // Another authority answers where the token points.
    let mut other = Aggregator::create(&folder.path().join("other"));
    other.stop();
    other.set_variable("HEADWATER__INTAKE__ENROL__LISTEN", &place);
    other.start_and_wait();
    let agent = Agent::new("edge-1", &folder.path().join("edge"), "127.0.0.1:9", &[]);
    let done = agent.try_enrol(&token);
    done.expect_refusal(5, &["trust", &place, "headwater tokens create"]);
    assert!(!agent.identity().join("identity.pem").exists(), "there is no identity");
}
