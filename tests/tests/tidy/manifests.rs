//! Which crate depends on which, and where versions stand.

use std::collections::BTreeMap;

use crate::project::SourceFile;

/// The folders that the crates of a folder may depend on, besides their own. None may depend on
/// `tests/` and `benches/`.
const ARROWS: [(&str, &[&str]); 6] = [
    ("protocol", &[]),
    ("certs", &[]),
    ("agent", &["protocol", "certs"]),
    ("aggregator", &["protocol", "certs"]),
    ("tests", &["protocol", "certs", "agent", "aggregator"]),
    ("benches", &["protocol", "certs", "agent", "aggregator"]),
];

pub(crate) fn of_crates(mut sources: Vec<SourceFile>) -> Vec<SourceFile> {
    sources.retain(|file| file.path.ends_with("/Cargo.toml"));
    sources
}

/// The folder of each package of ours, by the package's name.
pub(crate) fn folders_of_packages(manifests: &[SourceFile]) -> BTreeMap<String, String> {
    let mut folders = BTreeMap::new();
    for manifest in manifests {
        for entry in entries(&manifest.text) {
            if entry.section == "package" && entry.key == "name" {
                folders.insert(entry.value, manifest.folder().to_owned());
            }
        }
    }
    folders
}

pub(crate) fn against_the_arrows(
    manifest: &SourceFile,
    folders: &BTreeMap<String, String>,
) -> Vec<String> {
    let (path, from) = (&manifest.path, manifest.folder());
    let Some((_, allowed)) = ARROWS.iter().find(|(folder, _)| *folder == from) else {
        return vec![format!("{path}: {from}/ has no place among the arrows: an ADR gives it one")];
    };
    let mut problems = Vec::new();
    for dependency in dependencies(&manifest.text) {
        let is_ours = folders.get(dependency.package());
        if let Some(to) = is_ours.filter(|to| *to != from && !allowed.contains(&to.as_str())) {
            problems.push(format!(
                "{path}: {from}/ must not depend on {to}/: \
                 certs <- agent -> protocol <- aggregator -> certs"
            ));
        }
    }
    problems
}

/// A workspace of its own has no other root to take versions from.
pub(crate) fn version_of_its_own(manifest: &SourceFile) -> Vec<String> {
    if manifest.text.lines().any(|line| line.trim() == "[workspace]") {
        return Vec::new();
    }
    let entries = entries(&manifest.text).into_iter();
    let of_package = entries
        .filter(|entry| entry.section == "package" && entry.key == "version")
        .map(|_| "its version".to_owned());
    let of_dependencies = dependencies(&manifest.text)
        .into_iter()
        .filter(|dependency| !dependency.is_of_root() && !dependency.is_of_itself())
        .map(|dependency| dependency.name);
    let problem = |name| format!("{}: {name}: take it from the root's manifest", manifest.path);
    of_package.chain(of_dependencies).map(problem).collect()
}

/// A dependency, in whichever of TOML's ways it is written.
#[derive(Debug, Default)]
struct Dependency {
    name: String,
    /// What is said of it; a bare version is the setting `version`.
    settings: BTreeMap<String, String>,
}

impl Dependency {
    /// The package, which need not have the name that the source gives it.
    fn package(&self) -> &str {
        self.settings.get("package").unwrap_or(&self.name)
    }

    fn is_of_root(&self) -> bool {
        self.settings.get("workspace").is_some_and(|value| value == "true")
    }

    /// A crate that names itself asks for a feature in its own tests.
    fn is_of_itself(&self) -> bool {
        self.settings.get("path").is_some_and(|path| path == ".")
    }
}

fn dependencies(manifest: &str) -> Vec<Dependency> {
    let mut found: BTreeMap<(String, String), Dependency> = BTreeMap::new();
    for entry in entries(manifest) {
        // `[target.'cfg(unix)'.dependencies.redb]` is a table of the one dependency `redb`.
        let Some(end) = entry.section.rfind("dependencies").map(|at| at + "dependencies".len())
        else {
            continue;
        };
        let (kind, table) = entry.section.split_at(end);
        let (name, setting) = match (table.strip_prefix('.'), entry.key.split_once('.')) {
            (Some(name), _) => (name, Some(entry.key.as_str())),
            (None, Some((name, setting))) => (name, Some(setting)),
            (None, None) => (entry.key.as_str(), None),
        };
        let dependency = found.entry((kind.to_owned(), name.to_owned())).or_default();
        name.clone_into(&mut dependency.name);
        match setting {
            Some(setting) => _ = dependency.settings.insert(setting.to_owned(), entry.value),
            None => dependency.settings.extend(inline_settings(&entry.value)),
        }
    }
    found.into_values().collect()
}

fn inline_settings(value: &str) -> BTreeMap<String, String> {
    let table = value.strip_prefix('{').and_then(|value| value.strip_suffix('}'));
    let Some(table) = table else {
        return BTreeMap::from([("version".to_owned(), value.to_owned())]);
    };
    let pairs = table.split(',').filter_map(|pair| pair.split_once('='));
    pairs.map(|(key, value)| (key.trim().to_owned(), unquoted(value))).collect()
}

/// A line `key = value` and the section it stands in.
#[derive(Debug)]
struct Entry {
    section: String,
    key: String,
    /// Without its quotes.
    value: String,
}

fn entries(manifest: &str) -> Vec<Entry> {
    let mut section = String::new();
    let mut entries = Vec::new();
    for line in manifest.lines().map(|line| line.split(" #").next().unwrap_or(line).trim()) {
        if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            name.clone_into(&mut section);
        } else if let Some((key, value)) = line.split_once('=')
            && !line.starts_with('#')
        {
            let (section, key) = (section.clone(), key.trim().to_owned());
            entries.push(Entry { section, key, value: unquoted(value) });
        }
    }
    entries
}

fn unquoted(value: &str) -> String {
    value.trim().trim_matches('"').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_edge_against_the_arrows_is_seen_however_it_is_written() {
        let against = [
            ("protocol", "[dependencies]\nheadwater-certs.workspace = true"),
            ("certs", "[dev-dependencies]\nheadwater-protocol = { workspace = true }"),
            ("agent", "[dependencies.headwater-aggregator]\nworkspace = true"),
            ("agent", "[target.'cfg(unix)'.dependencies]\nheadwater-tests.workspace = true"),
            (
                "aggregator",
                "[build-dependencies]\na = { package = \"headwater-agent\", path = \"\" }",
            ),
            ("benches", "[dependencies]\nheadwater-tests.workspace = true # for once"),
            ("elsewhere", "[dependencies]\nheadwater-protocol.workspace = true"),
        ];
        for (folder, text) in against {
            assert_eq!(edges(folder, text).len(), 1, "{folder}: {text}");
        }
        let along = [
            ("agent", "[dependencies]\nheadwater-protocol.workspace = true\nredb.workspace = true"),
            ("aggregator", "[dependencies]\nheadwater-query.workspace = true"),
            ("tests", "[dependencies]\nheadwater-agent.workspace = true"),
            ("protocol", "[package]\nname = \"headwater-agent\"\n# headwater-certs = \"1\""),
        ];
        for (folder, text) in along {
            assert_eq!(edges(folder, text), Vec::<String>::new(), "{folder}: {text}");
        }
    }

    #[test]
    fn a_version_is_seen_however_it_is_written() {
        let own = [
            "[package]\nversion = \"1.0.0\"",
            "[dependencies]\nserde = \"1\"",
            "[dependencies]\nserde = { version = \"1\", features = [\"derive\"] }",
            "[dev-dependencies.serde]\nversion = \"1\"",
            "[dependencies]\nserde.git = \"somewhere\"",
        ];
        for text in own {
            assert_eq!(versions(text).len(), 1, "{text}");
        }
        let of_root = [
            "[package]\nversion.workspace = true",
            "[dependencies]\nserde.workspace = true",
            "[dependencies]\nserde = { workspace = true, features = [\"derive\"] }",
            "[dependencies.serde]\nworkspace = true",
            "[dev-dependencies]\nheadwater-agent = { path = \".\", features = [\"sabotage\"] }",
            "[workspace]\n[package]\nversion = \"1.0.0\"\n[dependencies]\nserde = \"1\"",
        ];
        for text in of_root {
            assert_eq!(versions(text), Vec::<String>::new(), "{text}");
        }
    }

    fn versions(text: &str) -> Vec<String> {
        version_of_its_own(&SourceFile::new("agent/Cargo.toml", text))
    }

    fn edges(folder: &str, text: &str) -> Vec<String> {
        let ours = ARROWS.map(|(folder, _)| {
            let text = format!("[package]\nname = \"headwater-{folder}\"");
            SourceFile::new(&format!("{folder}/Cargo.toml"), &text)
        });
        let mut folders = folders_of_packages(&ours);
        folders.insert("headwater-query".to_owned(), "aggregator".to_owned());
        let manifest = SourceFile::new(&format!("{folder}/Cargo.toml"), text);
        against_the_arrows(&manifest, &folders)
    }
}
