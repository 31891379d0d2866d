//! Configuration: layers, ranges, and errors that name the key, the place and what to write instead.

#![allow(clippy::unwrap_used, reason = "a helper of tests may fail like the test itself")]

use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use headwater_agent::config::{
    ByteCount, Config, ConfigWarning, Loaded, LogLevel, LongLine, Multiline, Pattern,
    ProcessDetail, Room, StartAt, commented_defaults,
};
use tempfile::TempDir;

#[test]
fn the_commented_defaults_are_the_defaults() {
    let folder = Folder::new().write("agent.toml", &commented_defaults());
    let loaded = folder.load(&[]).unwrap();
    assert_eq!(loaded.config, Config::default());
    assert_eq!(loaded.warnings, []);

    let config = loaded.config;
    assert_eq!(config.agent.log_level, LogLevel::Info);
    assert_eq!(config.agent.name, None);
    assert_eq!(config.sample.interval, Duration::from_secs(10));
    assert!(config.sample.disk_exclude_fstype.matches("nfs4"), "a network mount is left out");
    assert!(!config.sample.disk_exclude_fstype.matches("fuseblk"), "a local disk is not");
    assert!(!config.sample.per_cpu, "each processor only where that is wanted");
    assert!(config.sample.network_exclude.matches("veth1a2b"), "of a container");
    assert!(!config.sample.network_exclude.matches("eth0"));
    assert_eq!(config.sample.processes, ProcessDetail::Count);
    assert_eq!(config.tails, []);
    assert_eq!(config.tail_limits.max_line, ByteCount::kib(256));
    assert_eq!(config.tail_limits.long_line, LongLine::Split);
    assert_eq!(config.spool.max_bytes, ByteCount::gib(1));
    assert_eq!(config.spool.min_free, Room::Percent(5));
    assert_eq!(config.spool.seal_bytes, ByteCount::kib(511));
    assert_eq!(config.ship.keep_alive, Some(Duration::from_secs(14)));
    assert_eq!(config.ship.addresses, Vec::<String>::new());
    assert_eq!(config.ship.budget, None);
}

#[test]
fn the_commented_defaults_show_every_key() {
    // The error for an unknown key lists all that are known in its section.
    let sections = ["agent", "identity", "sample", "sample.host", "tail_limits", "spool", "ship"];
    for section in sections.map(|name| format!("[{name}]")).into_iter().chain(["[[tail]]".into()]) {
        let error = error_of(&format!("{section}\nqqqqqqqqqqqqqqqqqqqqqqqq = 1\n"));
        let (_, known) = error.split_once("known here: ").expect(&error);
        for key in known.trim().split(", ") {
            let shown = commented_defaults().lines().any(|line| {
                let line = line.trim_start_matches("# ");
                line.starts_with(&format!("{key} = ")) || line.contains(&format!(".{key}]"))
            });
            assert!(shown, "the commented file leaves out {key} of {section}");
        }
    }
}

#[test]
fn the_environment_wins_over_agent_d_and_that_over_the_main_file() {
    let folder = Folder::new()
        .write(
            "agent.toml",
            "[spool]\nmax_bytes = \"2GiB\"\nreserve = \"8MiB\"\n[sample]\ncpu = false\n",
        )
        .write(
            "agent.d/20-b.toml",
            "[spool]\nmax_bytes = \"4GiB\"\n[agent.labels]\nrole = \"db\"\n",
        )
        .write(
            "agent.d/10-a.toml",
            "[spool]\nmax_bytes = \"3GiB\"\n[agent.labels]\nsite = \"osl\"\n",
        )
        .write("agent.d/30-c.toml.bak", "this is not read");
    let loaded = folder.load(&[]).unwrap();
    assert_eq!(loaded.config.spool.max_bytes, ByteCount::gib(4), "sorted by name");
    assert_eq!(loaded.config.spool.reserve, ByteCount::mib(8), "what agent.d leaves alone stands");
    assert!(!loaded.config.sample.cpu);
    assert_eq!(loaded.config.agent.labels.len(), 2, "labels add up key by key");
    assert_eq!(loaded.files.len(), 3);

    let environment = [
        ("HEADWATER_AGENT__SPOOL__MAX_BYTES", "5GiB"),
        ("HEADWATER_AGENT__SAMPLE__CPU", "true"),
        ("HEADWATER_AGENT__AGENT__NAME", "123"),
        ("HEADWATER_AGENT__SHIP__ADDRESSES", "[\"agg:4433\"]"),
        ("HEADWATER_AGENT__AGENT__LABELS__SITE", "ber"),
        ("HEADWATER_AGENT_LOG", "another program's"),
    ];
    let config = folder.load(&environment).unwrap().config;
    assert_eq!(config.spool.max_bytes, ByteCount::gib(5));
    assert!(config.sample.cpu);
    assert_eq!(config.agent.name.as_deref(), Some("123"), "a text that looks like a number");
    assert_eq!(config.ship.addresses, ["agg:4433"]);
    assert_eq!(config.agent.labels["site"], "ber");
}

#[test]
fn an_unknown_key_is_refused_with_its_place_and_the_nearest_name() {
    let folder = Folder::new().write("agent.toml", "[sample]\ncpu = true\n  intervall = \"10s\"\n");
    let path = folder.path("agent.toml");
    assert_eq!(
        folder.load(&[]).unwrap_err().to_string(),
        format!(
            "unknown key \"intervall\"\n --> {}:3:3\n  |\n3 |   intervall = \"10s\"\n  |   \
             ^^^^^^^^^\n  help: did you mean \"interval\"?",
            path.display()
        )
    );
    assert!(error_of("[shipp]\n").contains("did you mean \"ship\"?"));
    let error = folder_error(&[("HEADWATER_AGENT__SPOOL__MAX_BYTE", "1GiB")]);
    assert!(error.contains("environment variable HEADWATER_AGENT__SPOOL__MAX_BYTE"), "{error}");
    assert!(error.contains("did you mean \"max_bytes\"?"), "{error}");
}

#[test]
fn a_value_outside_its_range_is_refused_with_key_value_and_range() {
    for (text, expected) in OUTSIDE_THE_RANGE {
        let error = error_of(text);
        assert!(error.contains(expected), "{text}\ngave\n{error}\nwithout {expected}");
        assert!(error.contains('^'), "no caret in\n{error}");
    }
}

#[test]
fn what_is_not_toml_or_of_the_wrong_kind_is_refused_with_its_place() {
    let error = error_of("[spool]\nmax_bytes = 12\n");
    assert!(error.contains("invalid type: integer `12`, expected a string"), "{error}");
    assert!(error.contains("agent.toml:2:13"), "{error}");
    assert!(error.contains("help: texts, sizes and durations stand in quotes"), "{error}");
    assert!(error_of("[spool\n").contains("agent.toml:1:"));
    assert!(
        folder_error(&[("HEADWATER_AGENT__SAMPLE__CPU", "maybe")]).contains("expected a boolean")
    );
}

#[test]
fn tails_are_gathered_and_replaced_by_name() {
    let folder = Folder::new()
        .write("agent.toml", "[[tail]]\nname = \"a\"\npaths = [\"/a/*.log\"]\n[[tail]]\nname = \"b\"\npaths = [\"/b\"]\n")
        .write("agent.d/1.toml", "[[tail]]\nname = \"a\"\npaths = [\"/b\"]\nstart_at = \"beginning\"\nlabels = { service = \"web\" }\n");
    let loaded = folder.load(&[]).unwrap();
    let tails = loaded.config.tails;
    assert_eq!(tails.len(), 2);
    assert_eq!((tails[0].name.as_str(), tails[0].start_at), ("a", StartAt::Beginning));
    assert_eq!(tails[0].labels["service"], "web");
    assert_eq!(tails[1].start_at, StartAt::End, "a tail begins at the end unless told otherwise");
    assert!(
        matches!(&loaded.warnings[..], [ConfigWarning::PatternTwice { pattern, .. }] if pattern == "/b")
    );

    let twice = error_of(
        "[[tail]]\nname = \"a\"\npaths = [\"/a\"]\n[[tail]]\nname = \"a\"\npaths = [\"/b\"]\n",
    );
    assert!(
        twice.contains("tail.name is \"a\", expected a name that no other block has"),
        "{twice}"
    );
}

#[test]
fn which_lines_make_a_record_is_told_by_a_word_or_a_pattern() {
    let block = |multiline: &str| {
        format!("[[tail]]\nname = \"a\"\npaths = [\"/a\"]\nmultiline = {multiline}\n")
    };
    let read = |multiline: &str| {
        let folder = Folder::new().write("agent.toml", &block(multiline));
        folder.load(&[]).unwrap().config.tails[0].multiline.clone()
    };
    assert_eq!(read("\"none\""), Multiline::None);
    assert_eq!(read("\"indent\""), Multiline::Indent);
    let date = Pattern::new(r"^\d{4}-").unwrap();
    assert!(date.fits("2026-11-25 Grüße".as_bytes()) && !date.fits(b" 2026-"), "classes of ASCII");
    assert_eq!(read(r"'regex:^\d{4}-'"), Multiline::Begins(date.clone()));
    assert_eq!(read(r#""regex:^\\d{4}-""#), Multiline::Begins(date));

    let large = format!("'regex:{}'", "x".repeat(1_025));
    let refused = [
        ("\"indented\"", r#"is "indented", expected "none" or "indent" or 'regex:^\d{4}-'"#),
        ("'regex:[0-9'", "expected regex: and a pattern of at most 1024 bytes (unclosed"),
        (r"'regex:(\w{500}){500}'", "exceeds size limit"),
        (&large, "(it has 1025 bytes)"),
    ];
    for (multiline, expected) in refused {
        let error = error_of(&block(multiline));
        assert!(error.contains(expected), "{multiline}\ngave\n{error}\nwithout {expected}");
        assert!(error.contains("tail.multiline is ") && error.contains('^'), "{error}");
    }
}

#[test]
fn a_file_that_was_asked_for_must_be_there_and_the_usual_one_need_not() {
    let folder = Folder::new();
    let error = folder.load(&[]).unwrap_err().to_string();
    assert!(error.starts_with("read ") && error.contains("config init"), "{error}");
    assert!(Config::load_with(None, std::iter::empty()).is_ok());
}

#[test]
fn a_small_spool_holds_the_grace_buffer_at_half() {
    let folder = Folder::new().write("agent.toml", "[spool]\nmax_bytes = \"64MiB\"\n");
    let loaded = folder.load(&[]).unwrap();
    assert_eq!(loaded.config.spool.grace_bytes, ByteCount::mib(32));
    assert_eq!(loaded.warnings, [ConfigWarning::GraceHeld { held: ByteCount::mib(32) }]);
}

/// What is written, and what the error says.
const OUTSIDE_THE_RANGE: [(&str, &str); 24] = [
    (
        "[spool]\nmax_bytes = \"12MiB\"",
        "spool.max_bytes is \"12MiB\", expected \"64MiB\" to \"1TiB\"",
    ),
    ("[spool]\nmax_bytes = \"10s\"", "spool.max_bytes is \"10s\", expected \"64MiB\" to \"1TiB\""),
    ("[sample]\ninterval = \"500ms\"", "sample.interval is \"500ms\", expected \"1s\" to \"1h\""),
    ("[sample]\ninterval = \"10\"", "sample.interval is \"10\", expected \"1s\" to \"1h\""),
    ("[spool]\nmin_free = \"80%\"", "spool.min_free is \"80%\", expected \"0%\" to \"50%\""),
    ("[ship]\nmax_in_flight = 9", "ship.max_in_flight is 9, expected 1 to 8"),
    (
        "[ship]\nbudget = \"50MB\"",
        "ship.budget is \"50MB\", expected \"off\", or 1MB to 1TB per hour or day as in \"50MB/day\" and \"2MB/hour\"",
    ),
    ("[ship]\nbudget = \"10kB/hour\"", "ship.budget is \"10kB/hour\", expected \"off\", or 1MB to"),
    ("[ship]\naddresses = [\"agg\"]", "ship.addresses is [\"agg\"], expected host:port"),
    ("[ship]\nkeep_alive = \"40s\"", "ship.keep_alive is \"40s\", expected \"1s\" to"),
    ("[agent]\nlog_level = \"loud\"", "agent.log_level is \"loud\", expected \"error\" or"),
    ("[agent]\nsocket = \"a.sock\"", "agent.socket is \"a.sock\", expected an absolute path"),
    ("[tail_limits]\nmax_line = \"1MiB\"", "expected \"1KiB\" to \"256KiB\""),
    ("[tail_limits]\nmax_files = 257", "tail_limits.max_files is 257, expected 1 to 256"),
    (
        "[sample]\ndisk_exclude_mount = [\"/a[\"]",
        "sample.disk_exclude_mount is [\"/a[\"], expected patterns:",
    ),
    (
        "[sample]\nnetwork_exclude = [\"veth[\"]",
        "sample.network_exclude is [\"veth[\"], expected patterns:",
    ),
    ("[sample]\nprocesses = \"all\"", "sample.processes is \"all\", expected \"off\" or \"count\""),
    (
        "[sample]\nprocesses = \"top:10\"",
        "expected \"off\" or \"count\": top:N is not supported yet",
    ),
    (
        "[[tail]]\nname = \"a\"\npaths = [\"x.log\"]",
        "tail.paths is [\"x.log\"], expected at least one absolute",
    ),
    ("[[tail]]\nname = \"a\"\npaths = []", "tail.paths is [], expected at least one absolute"),
    ("[[tail]]\npaths = [\"/x.log\"]", "tail.name is missing"),
    ("[[tail]]\nname = \"a\"", "tail.paths is missing"),
    (
        "[[tail]]\nname = \"a\"\ntype = \"journald\"\npaths = [\"/x\"]",
        "tail.type is \"journald\", expected \"file\"",
    ),
    ("[agent.labels]\n\"a b\" = \"x\"", "a b is \"x\", expected a name of letters"),
];

struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    fn write(self, name: &str, text: &str) -> Self {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        self
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn load(
        &self,
        environment: &[(&str, &str)],
    ) -> Result<Loaded, headwater_agent::config::ConfigError> {
        let variable = |(name, value): &(&str, &str)| (OsString::from(name), OsString::from(value));
        Config::load_with(Some(&self.path("agent.toml")), environment.iter().map(variable))
    }
}

fn error_of(text: &str) -> String {
    Folder::new().write("agent.toml", text).load(&[]).unwrap_err().to_string()
}

fn folder_error(environment: &[(&str, &str)]) -> String {
    Folder::new().write("agent.toml", "").load(environment).unwrap_err().to_string()
}
