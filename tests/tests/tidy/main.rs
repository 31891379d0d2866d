//! What neither the compiler nor clippy sees of STYLE.md: sizes, names, arrows, purity, and that
//! the documents of the formats speak of the source as it is.
//!
//! A rule is a function from a file to the places where the file breaks it. Beside each rule stand
//! cases that break it and cases that do not, so that a rule cannot go blind.

mod code;
mod formats;
mod manifests;
mod names;
mod project;
mod purity;

use project::{SourceFile, sources};

#[test]
fn no_source_file_is_longer_than_its_limit() {
    check(&sources(), names::too_long);
}

#[test]
fn no_file_has_a_name_that_says_nothing() {
    check(&sources(), names::says_nothing);
}

#[test]
fn every_postponed_task_names_its_issue() {
    check(&sources(), names::postponed_without_issue);
}

#[test]
fn no_file_names_a_folder_of_one_machine() {
    check(&sources(), names::folder_of_one_machine);
}

#[test]
fn dependencies_follow_the_arrows() {
    let manifests = manifests::of_crates(sources());
    let folders = manifests::folders_of_packages(&manifests);
    check(&manifests, |manifest| manifests::against_the_arrows(manifest, &folders));
}

#[test]
fn versions_are_declared_at_the_root_and_nowhere_else() {
    check(&manifests::of_crates(sources()), manifests::version_of_its_own);
}

#[test]
fn the_protocol_is_pure() {
    let mut sources = sources();
    sources.retain(purity::is_core);
    check(&sources, purity::impure);
}

#[test]
fn each_format_has_a_document_that_speaks_of_its_present_source() {
    let sources = sources();
    check(&formats::documents(&sources), |document| formats::other_source(document, &sources));
}

/// Asserts that a rule holds for each file, and names every place where it does not.
fn check(files: &[SourceFile], rule: impl Fn(&SourceFile) -> Vec<String>) {
    assert!(!files.is_empty(), "there is no file to check: this test looks in the wrong place");
    let problems: Vec<String> = files.iter().flat_map(rule).collect();
    assert!(problems.is_empty(), "broken:\n{}", problems.join("\n"));
}
