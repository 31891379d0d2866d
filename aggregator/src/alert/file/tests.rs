//! Files with mistakes, word by word as a person sees them.

use super::*;
use crate::alert::{Plan, RuleSet, Sign};

const GOOD: &str = "owner = \"gitops\"\n[[threshold]]\nname = \"a\"\nmetric = \"cpu.busy_ratio\"\n\
                    when = \"above\"\nwarn = 0.7\n";

fn offline(text: &str) -> Result<ThresholdFile, String> {
    ThresholdFile::parse("t.toml", text, Known::default()).map_err(|mistakes| mistakes.to_string())
}

/// The first lines of all mistakes, each with its place.
fn told(text: &str) -> Vec<String> {
    let combinations = Combination::kept(&[vec!["device".to_owned()], vec!["site".to_owned()]]);
    let webhooks = ["on-call".to_owned()];
    let known = Known {
        combinations: Some(&combinations),
        base_us: Some(10_000_000),
        webhooks: Some(&webhooks),
    };
    let Err(mistakes) = ThresholdFile::parse("t.toml", text, known) else { return Vec::new() };
    let list = mistakes.list.iter();
    let told = list.map(|mistake| {
        let place = mistake.place.position().replace("t.toml:", "");
        let help = mistake.help.as_ref().map(|help| format!(" ({help})")).unwrap_or_default();
        format!("{place} {}{help}", mistake.reason)
    });
    told.collect()
}

#[test]
fn three_mistakes_are_all_named_with_line_and_column() {
    let text = "owner = \"gitops\"\n\n[[threshold]]\nname = \"cpu\"\nmetrc = \"cpu.busy_ratio\"\n\
                when = \"abov\"\nwarn = nan\nfor = \"30s\"\n";
    let expected = "\
unknown key \"metrc\"
 --> t.toml:5:1
  |
5 | metrc = \"cpu.busy_ratio\"
  | ^^^^^
  help: did you mean \"metric\"?

when is \"abov\", expected \"above\" or \"below\"
 --> t.toml:6:8
  |
6 | when = \"abov\"
  |        ^^^^^^
  help: did you mean \"above\"?

warn is nan, expected a finite number
 --> t.toml:7:8
  |
7 | warn = nan
  |        ^^^
";
    assert_eq!(offline(text).unwrap_err(), expected);
}

#[test]
fn every_kind_of_mistake_says_what_was_expected() {
    let with = |line: &str| told(&format!("{GOOD}{line}\n"));
    let cases = [
        (
            "clear = 0.8",
            "7:9 clear is 0.8, expected at most 0.7, which is warn: it is an alert when above",
        ),
        (
            "crit = 0.7",
            "7:8 crit is 0.7, expected more than 0.7, which is warn: it is an alert when above",
        ),
        ("crit = 85", "7:8 crit is 85, expected 0 to 1: the metric is a ratio, 85 % is 0.85"),
        ("crit = nan", "7:8 crit is nan, expected a finite number"),
        ("crit = -inf", "7:8 crit is -inf, expected a finite number"),
        (
            "crit = \"0.9\"",
            "7:8 crit is \"0.9\", expected a decimal number, as in 0.85, without quotes",
        ),
        (
            "crit = 0.1234567891",
            "7:8 crit is 0.1234567891, expected at most 9 digits after the point",
        ),
        ("for = \"5 parsecs\"", "7:7 for is \"5 parsecs\", expected \"0s\" to \"7d\""),
        ("for = 30", "7:7 for is 30, expected a text in quotes"),
        (
            "window = \"15s\"",
            "7:10 window is \"15s\", expected a multiple of the base window, 10 s",
        ),
        ("window = \"2h\"", "7:10 window is \"2h\", expected \"1s\" to \"1h\""),
        ("no_data = \"0s\"", "7:11 no_data is \"0s\", expected \"1s\" to \"7d\""),
        (
            "by = [\"role\"]",
            "7:6 by is [\"role\"], expected a combination that is averaged: [\"device\"] · [\"site\"] · [\"combination\"]",
        ),
        ("by = \"site\"", "7:6 by is \"site\", expected a list of texts, as in [\"one\", \"two\"]"),
        (
            "stat = \"avg\"",
            "7:8 stat is \"avg\", expected \"mean\", \"min\", \"max\", \"sum\" or \"count\"",
        ),
        (
            "where = \"prod\"",
            "7:9 where is \"prod\", expected conditions such as \"env:prod\" or \"-site:lab,test\", not \"prod\"",
        ),
        (
            "exclude = [\"\"]",
            "7:12 exclude is \"\", expected conditions, as in [\"fstype:tmpfs,overlay\"]",
        ),
        (
            "runbook = \"javascript:x\"",
            "7:11 runbook is \"javascript:x\", expected a link that begins with https://",
        ),
        (
            "notify = [\"oncall\"]",
            "7:11 no webhook is called \"oncall\" (did you mean \"on-call\"?)",
        ),
        ("note = \"\"", "7:8 note has 0 bytes, expected 1 to 500"),
        ("per = [\"a\"]", "7:7 per is [\"a\"], expected a text in quotes"),
    ];
    for (line, expected) in cases {
        assert_eq!(with(line), [expected], "{line}");
    }
    for line in ["by = [\"site\"]", "window = \"1h\"", "notify = [\"on-call\"]", "for = \"90m\""] {
        assert!(with(line).is_empty(), "{line}: {:?}", with(line));
    }
}

#[test]
fn what_is_missing_is_named_where_the_table_begins() {
    let expected = [
        "1:1 owner is missing (whose thresholds these are, as in owner = \"gitops\")",
        "1:1 name is missing (each threshold has one, as in name = \"disk-used\")",
        "1:1 metric is missing (what is measured, as in metric = \"cpu.busy_ratio\")",
        "1:1 when is missing (when = \"above\" or when = \"below\")",
        "1:1 neither warn nor crit is set (at least one of them, as in warn = 0.85)",
    ];
    assert_eq!(told("[[threshold]]\n"), expected);
}

#[test]
fn a_name_stands_once_and_the_first_line_is_told() {
    let twice = GOOD.split_once('\n').unwrap().1;
    let told = told(&format!("{GOOD}{twice}"));
    assert_eq!(told, ["8:8 two thresholds are called \"a\" (the first one is in line 3)"]);
}

#[test]
fn lines_that_are_no_toml_are_named_together_with_the_other_mistakes() {
    let text = "owner = \"gitops\"\n[[threshold]]\nname = \"a\nmetric = \"cpu.busy_ratio\"\n\
                when = \"above\"\nwarn = 0.7.1\nfor = \"30 parsecs\"\n";
    let told = told(text);
    let places: Vec<&str> = told.iter().map(|line| line.split(':').next().unwrap()).collect();
    assert_eq!(places, ["3", "6", "7"], "{told:#?}");
}

#[test]
fn a_limit_is_the_number_that_is_written_and_not_the_float_next_to_it() {
    let text = GOOD.replace("0.7", "0.100000001");
    let rule = offline(&text).unwrap().rules.remove(0);
    assert_eq!(rule.limits.first().1.to_string(), "0.100000001");
    let text =
        GOOD.replace("cpu.busy_ratio", "disk.free_bytes").replace("0.7", "9_007_199_254_740_993");
    let rule = offline(&text).unwrap().rules.remove(0);
    assert_eq!(rule.limits.first().1.to_string(), "9007199254740993");
}

#[test]
fn a_huge_file_and_a_file_of_nothing_but_mistakes_end() {
    let huge = "#".repeat(THRESHOLD_FILE_BYTES_MAX + 1);
    assert!(offline(&huge).unwrap_err().contains("expected at most 1048576"));
    let wrong = format!("owner = \"a\"\n{}", "[[threshold]]\n".repeat(RULES_MAX + 1));
    let mistakes = ThresholdFile::parse("t.toml", &wrong, Known::default()).unwrap_err();
    assert_eq!(mistakes.headline(), "t.toml has 2001 mistakes");
    assert!(mistakes.to_string().ends_with("\nand 1951 more\n"));
}

#[test]
fn the_example_that_is_shipped_has_no_mistake() {
    let file = offline(crate::alert::SHIPPED).unwrap();
    assert_eq!(file.owner, "shipped");
    let of = |metric: &str| file.rules.iter().find(|rule| rule.scope.metric == metric).unwrap();
    assert_eq!(of("ledger.difference_records").limits.first().1.to_string(), "0.5");
    let cpu = of("cpu.busy_ratio");
    assert_eq!(cpu.for_us, 30_000_000);
    assert_eq!(cpu.limits.first().1.to_string(), "0.7");
    assert_eq!(cpu.limits.clear().to_string(), "0.6");
    let text = crate::alert::SHIPPED;
    assert!(told(text).is_empty(), "{:?}", told(text));
}

#[test]
fn a_file_changes_thresholds_of_its_own_owner_only() {
    let rule = |owner: &str, name: &str, line: &str| {
        let text = GOOD.replace("gitops", owner).replace("\"a\"", &format!("{name:?}"));
        offline(&format!("{text}{line}\n")).unwrap().rules.remove(0)
    };
    let rules = vec![rule("gitops", "a", ""), rule("gitops", "b", ""), rule("other", "b", "")];
    let present = RuleSet { revision: 1, rules, ..RuleSet::default() }.checked().unwrap();
    let file = ThresholdFile {
        owner: "gitops".to_owned(),
        rules: vec![rule("gitops", "c", ""), rule("gitops", "a", "for = \"90s\"\ncrit = 0.9")],
    };
    let plan = Plan::new(&present, file.clone(), false).unwrap();
    let told: Vec<_> = plan.changes.iter().map(|it| (it.sign, it.name.as_str())).collect();
    assert_eq!(told, [(Sign::Changed, "a"), (Sign::Added, "c")]);
    assert_eq!(plan.changes[0].details, ["crit none → 0.9", "for 0s → 90s"]);
    assert_eq!((plan.kept.as_slice(), plan.rules.len()), (&["b".to_owned()][..], 4));
    let plan = Plan::new(&present, file, true).unwrap();
    assert_eq!(plan.changes[1].sign, Sign::Removed);
    let names: Vec<String> = plan.rules.iter().map(|rule| rule.name.to_string()).collect();
    assert_eq!(names, ["gitops/a", "gitops/c", "other/b"]);
}
