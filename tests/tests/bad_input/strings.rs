//! Strings that would forge lines of a log, colour a terminal, or turn text around: in log lines, in a file's
//! name, in a device's name. Stored bytes stay as they are; our own logs have a line for each event.

use std::fs;
use std::path::Path;

use headwater_tests::agent::Agent;
use headwater_tests::aggregator::Aggregator;
use headwater_tests::process::run_into;
use headwater_tests::waiting::until;

const PARTS: [&[u8]; 15] = [
    b"plain",
    b"\r2026-01-01T00:00:00.000000Z  INFO all is well",
    b"\x1b[2J\x1b[31mred",
    b"\x1b]0;title\x07",
    "\u{202e}turned\u{2066}".as_bytes(),
    b"nul\0nul",
    b"\xff\xfe\x80",
    b"{\"level\":\"error\",\"message\":\"forged\"}",
    "\u{85}\u{2028}\u{2029}".as_bytes(),
    b"%n%s%x ${jndi:ldap://example.com/a}",
    b"<img src=x onerror=alert(1)>",
    b"\x7f\x08\x08\x08",
    b"\t \t",
    "\u{200b}\u{feff}e\u{301}".as_bytes(),
    b"'; DROP TABLE lines; --",
];
const FORGED: &str = "x\n2026-01-01T00:00:00.000000Z  INFO forged \u{1b}[31m\u{202e}";

#[test]
fn no_string_changes_what_is_stored_or_forges_a_line_of_our_own_logs() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path();
    let logs = home.join("logs");
    fs::create_dir_all(&logs).unwrap();
    let aggregator = Aggregator::create(&home.join("aggregator"));
    let pattern = logs.join("*.log").display().to_string();
    let address = aggregator.intake_address();
    let mut agent = Agent::new("edge-1", &home.join("agent"), &address, &[pattern]);
    agent.enrol(&aggregator);
    agent.start();

    let mut corpus = Vec::new();
    for (one, first) in PARTS.iter().enumerate() {
        for second in PARTS.iter().take(14) {
            corpus.extend_from_slice(format!("{one} ").as_bytes());
            corpus.extend_from_slice(first);
            corpus.extend_from_slice(second);
            corpus.push(b'\n');
        }
    }
    let lines = corpus.split(|byte| *byte == b'\n').count() as u64 - 1;
    assert!(lines >= 200);
    fs::write(logs.join("corpus.log"), &corpus).unwrap();
    until("the corpus is stored", || aggregator.lines_read() == lines);
    let dump = home.join("dump");
    let status = run_into(&mut aggregator.command(&["logs"]), &dump, &home.join("stderr"));
    assert!(status.success() && fs::read(&dump).unwrap() == corpus, "stored as it was written");

    // A name that forges a line, and an event that tells it.
    let forged = logs.join(format!("{FORGED}.log"));
    fs::write(&forged, "first\nfirst\n").unwrap();
    until("the file is read", || aggregator.lines_read() == lines + 2);
    fs::write(&forged, "o\n").unwrap();
    until("it is read anew", || aggregator.lines_read() >= lines + 3);
    let stranger = Agent::new(FORGED, &home.join("stranger"), &address, &[]);
    let _ = stranger.try_enrol(&aggregator.token());

    let of_agent = expect_a_line_for_each_event(&home.join("agent/agent.log"));
    assert!(of_agent.contains("forged"), "not covered, nothing names the file:\n{of_agent}");
    let of_aggregator = expect_a_line_for_each_event(&home.join("aggregator/aggregator.log"));
    for command in [&["devices"][..], &["ledger", "show", "edge-1"], &["tap", "--help"]] {
        let said = aggregator.ask(command).stdout;
        let clean = |letter: char| matches!(letter, '\n' | '\t') || !is_trouble(letter);
        assert!(said.chars().all(clean), "{command:?} shows it escaped:\n{said:?}");
    }
    assert!(!of_aggregator.is_empty());
}

/// Every line begins with a time or is the line that says where the node listens, and none has anything that a
/// terminal obeys. Gives the text.
fn expect_a_line_for_each_event(log: &Path) -> String {
    let text = String::from_utf8(fs::read(log).unwrap()).expect("our own logs are text");
    for line in text.lines() {
        let timed = line.starts_with("20") && line.get(10..11) == Some("T");
        assert!(timed || line.starts_with("ready: "), "a forged line: {line:?}\n{text}");
        assert!(!line.starts_with("2026-01-01T00"), "a forged event: {line:?}");
        assert!(!line.chars().any(is_trouble), "what a terminal obeys: {line:?}");
    }
    text
}

fn is_trouble(letter: char) -> bool {
    letter.is_control() || matches!(letter, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}
