//! Sizes of files, their names, and words that may not stand in them.

use crate::project::SourceFile;

/// Lines of a source file, its tests left out, above which it is split (STYLE.md, section 2).
const LINES_MAX: usize = 600;
/// Lines of a file that holds nothing but tests.
const TEST_LINES_MAX: usize = 800;

pub(crate) fn too_long(file: &SourceFile) -> Vec<String> {
    if !file.is_rust() {
        return Vec::new();
    }
    let is_test = file.path.split('/').any(|part| part == "tests" || part == "tests.rs");
    let (lines, limit) = if is_test {
        (file.text.lines().count(), TEST_LINES_MAX)
    } else {
        (file.without_tests().lines().count(), LINES_MAX)
    };
    if lines <= limit {
        return Vec::new();
    }
    vec![format!("{}: {lines} lines, at most {limit}: split it by concern of state", file.path)]
}

/// Names that say that something was put there and not what.
const FORBIDDEN_NAMES: [&str; 7] =
    ["util.rs", "utils.rs", "common.rs", "helper.rs", "helpers.rs", "misc.rs", "mod.rs"];

pub(crate) fn says_nothing(file: &SourceFile) -> Vec<String> {
    if !FORBIDDEN_NAMES.contains(&file.name()) {
        return Vec::new();
    }
    vec![format!("{}: name it after what it holds, a noun of the domain", file.path)]
}

// These words are put together here, so that this file does not hold them.
const POSTPONED: [&str; 2] = [concat!("TO", "DO"), concat!("FIX", "ME")];

pub(crate) fn postponed_without_issue(file: &SourceFile) -> Vec<String> {
    broken_lines(file, "name its issue, as in (#12), or do it", |line| {
        let mut words = line.split(|letter: char| !letter.is_alphanumeric() && letter != '_');
        let issue = line.split_once('#').map(|(_, after)| after);
        let names_issue =
            issue.is_some_and(|after| after.starts_with(|c: char| c.is_ascii_digit()));
        !names_issue && words.any(|word| POSTPONED.contains(&word))
    })
}

/// Where people and sessions keep their checkouts.
const HOMES: [&str; 4] =
    [concat!("/ho", "me/"), concat!("/ro", "ot/"), concat!("/Us", "ers/"), concat!("/wo", "rk/")];

pub(crate) fn folder_of_one_machine(file: &SourceFile) -> Vec<String> {
    broken_lines(file, "this folder exists on one machine only", |line| {
        HOMES.iter().any(|home| line.match_indices(home).any(|(at, _)| is_home(line, at, home)))
    })
}

/// Inside of a longer path it is nobody's home; alone or before a wildcard it is everybody's.
fn is_home(line: &str, at: usize, home: &str) -> bool {
    let is_in_path = |letter: char| letter.is_alphanumeric() || "_-.".contains(letter);
    let before = line[..at].chars().next_back();
    let after = line[at + home.len()..].chars().next();
    !before.is_some_and(|letter| is_in_path(letter) || "/}*".contains(letter))
        && after.is_some_and(is_in_path)
}

fn broken_lines(file: &SourceFile, rule: &str, breaks: impl Fn(&str) -> bool) -> Vec<String> {
    let numbered = file.text.lines().zip(1..).filter(|(line, _)| breaks(line));
    let problem =
        |(line, number): (&str, u32)| format!("{}:{number}: {rule}: {}", file.path, line.trim());
    numbered.map(problem).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_long_by_its_lines_without_tests() {
        let lines = |path: &str, count: usize| SourceFile::new(path, &"x\n".repeat(count));
        assert_eq!(too_long(&lines("agent/src/spool.rs", 600)).len(), 0);
        assert_eq!(too_long(&lines("agent/src/spool.rs", 601)).len(), 1);
        assert_eq!(too_long(&lines("agent/tests/spool.rs", 800)).len(), 0);
        assert_eq!(too_long(&lines("agent/tests/spool.rs", 801)).len(), 1);
        assert_eq!(too_long(&lines("docs/wire.md", 801)).len(), 0);
        let tested = format!("x\n#[cfg(test)]\nmod tests {{\n{}}}\n", "x\n".repeat(700));
        assert_eq!(too_long(&SourceFile::new("agent/src/spool.rs", &tested)).len(), 0);
    }

    #[test]
    fn a_name_says_what_the_file_holds() {
        let named = |path: &str| says_nothing(&SourceFile::new(path, "")).len();
        assert_eq!(named("agent/src/spool/mod.rs"), 1);
        assert_eq!(named("agent/src/utils.rs"), 1);
        assert_eq!(named("agent/src/spool/grace.rs"), 0);
    }

    #[test]
    fn a_postponed_task_has_an_issue() {
        let said = |text: String| postponed_without_issue(&SourceFile::new("a.rs", &text)).len();
        for word in POSTPONED {
            assert_eq!(said(format!("// {word}: later")), 1);
            assert_eq!(said(format!("// {word}(me) #soon")), 1);
            assert_eq!(said(format!("// {word}(#12): later")), 0);
            assert_eq!(said(format!("let {word}S = 1;")), 0);
        }
    }

    #[test]
    fn a_folder_of_one_machine_is_seen_wherever_it_starts() {
        let said = |text: String| folder_of_one_machine(&SourceFile::new("a.md", &text)).len();
        for home in HOMES {
            assert_eq!(said(format!("see `{home}ann/headwater`")), 1);
            assert_eq!(said(format!("/var{home}ann, or {home} itself, or {home}*/log")), 0);
        }
    }
}
