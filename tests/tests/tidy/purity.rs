//! What the cores in `protocol/` may not use (STYLE.md, section 3).

use std::collections::BTreeSet;

use crate::{
    code::{code_only, tokens},
    project::SourceFile,
};

/// Modules of `std` that reach out of the process or depend on the machine.
const FORBIDDEN_MODULES: [&str; 5] = ["net", "fs", "env", "process", "thread"];
/// The order of these types differs from run to run.
const UNORDERED: [&str; 3] = ["HashMap", "HashSet", "RandomState"];
/// Types whose `now` reads a clock.
const CLOCKS: [&str; 2] = ["Instant", "SystemTime"];

pub(crate) fn is_core(file: &SourceFile) -> bool {
    file.path.starts_with("protocol/src/") && file.is_rust()
}

pub(crate) fn impure(file: &SourceFile) -> Vec<String> {
    let code = code_only(file.without_tests());
    let tokens = tokens(&code);
    let mut found = BTreeSet::new();
    for at in 0..tokens.len() {
        match &tokens[at..] {
            ["async", ..] => _ = found.insert("async".to_owned()),
            [name, ..] if UNORDERED.contains(name) => _ = found.insert((*name).to_owned()),
            [clock, "::", "now", ..] if CLOCKS.contains(clock) => {
                found.insert(format!("{clock}::now"));
            }
            ["std", "::", path @ ..] => {
                let modules = modules(path).into_iter();
                let forbidden = modules.filter(|module| FORBIDDEN_MODULES.contains(module));
                found.extend(forbidden.map(|module| format!("std::{module}")));
            }
            _ => {}
        }
    }
    let problem = |what| format!("{}: {what}: a core depends on its arguments only", file.path);
    found.into_iter().map(problem).collect()
}

/// What follows `std::`: one module, or the first of each branch of a group.
fn modules<'a>(path: &[&'a str]) -> Vec<&'a str> {
    let mut depth = 0_usize;
    let mut modules = Vec::new();
    for (at, token) in path.iter().enumerate() {
        match *token {
            "{" => depth += 1,
            "}" => depth = depth.saturating_sub(1),
            module if depth == 0 || (depth == 1 && matches!(path[at - 1], "{" | ",")) => {
                modules.push(module);
            }
            _ => {}
        }
        if depth == 0 {
            break;
        }
    }
    modules
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_reaches_out_of_a_core_is_seen() {
        let reaches = [
            "use std::net::IpAddr;",
            "use std::{fmt, fs::{self, File}};",
            "use std::{fmt::{self, Display}, net};",
            "let started = SystemTime::now();",
            "let started = time::Instant :: now();",
            "let known: HashMap<Seq, Digest>;",
            "use std::collections::{BTreeMap, HashSet};",
            "pub async fn run() {}",
            "let quote = '\"'; use std::fs; // \"",
        ];
        for text in reaches {
            let problems = impure(&SourceFile::new("protocol/src/chain.rs", text));
            assert_eq!(problems.len(), 1, "{text}: {problems:?}");
        }
    }

    #[test]
    fn what_does_not_reach_out_of_a_core_is_let_be() {
        let stays = [
            "// A HashMap would not do.\n/* std::fs /* nested */ std::net */",
            "let text = r#\"std::fs \" HashMap\"#;",
            "fn handle(now: Instant) -> std::io::Result<()> { net::fs(process) }",
            "use std::{fmt::{self, fs}, io};",
            "#[cfg(test)]\nmod tests {\n    use std::fs;\n}",
        ];
        for text in stays {
            let problems = impure(&SourceFile::new("protocol/src/chain.rs", text));
            assert_eq!(problems, Vec::<String>::new(), "{text}");
        }
    }
}
