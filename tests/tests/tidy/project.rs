//! The project's files, as the rules see them.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// A text file of the project.
#[derive(Debug)]
pub(crate) struct SourceFile {
    /// Relative to the root.
    pub(crate) path: String,
    pub(crate) text: String,
}

impl SourceFile {
    pub(crate) fn new(path: &str, text: &str) -> Self {
        Self { path: path.to_owned(), text: text.to_owned() }
    }

    pub(crate) fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or_default()
    }

    /// The first part of its path, or its name if it lies at the root.
    pub(crate) fn folder(&self) -> &str {
        self.path.split('/').next().unwrap_or_default()
    }

    pub(crate) fn is_rust(&self) -> bool {
        Path::new(&self.path).extension().is_some_and(|extension| extension == "rs")
    }

    /// The text up to the tests, which stand last.
    pub(crate) fn without_tests(&self) -> &str {
        const TESTS: &str = "#[cfg(test)]\nmod tests {";
        let at_start = self.text.starts_with(TESTS).then_some(0);
        let at = at_start.or_else(|| self.text.find(&format!("\n{TESTS}")).map(|at| at + 1));
        &self.text[..at.unwrap_or(self.text.len())]
    }
}

/// Every text file below the root that git does not ignore, in order of its path.
pub(crate) fn sources() -> Vec<SourceFile> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate has a folder");
    let ignored = ignored(root);
    let mut folders = vec![root.to_owned()];
    let mut texts = BTreeMap::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("read a folder of the project") {
            let entry = entry.expect("read a folder of the project");
            let path = entry.path();
            let kind = entry.file_type().expect("read the type of a file");
            if ignored.contains(&path) {
                continue;
            }
            if kind.is_dir() {
                folders.push(path);
                continue;
            }
            // What is not text has no lines, and a link points to what is seen elsewhere.
            if let (true, Ok(text)) = (kind.is_file(), fs::read_to_string(&path)) {
                let relative = path.strip_prefix(root).expect("the walk stays below the root");
                texts.insert(relative.to_string_lossy().into_owned(), text);
            }
        }
    }
    texts.into_iter().map(|(path, text)| SourceFile { path, text }).collect()
}

/// `.git`, and what the `.gitignore` at the root names.
fn ignored(root: &Path) -> BTreeSet<PathBuf> {
    let text = fs::read_to_string(root.join(".gitignore")).expect("read .gitignore");
    let lines = text.lines().map(str::trim);
    let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    let named = lines.map(|line| {
        let path = line.strip_prefix('/').filter(|path| !path.contains(['*', '?', '[']));
        let path = path.unwrap_or_else(|| {
            panic!(".gitignore: the tidy test understands only paths like /target, not `{line}`")
        });
        root.join(path.trim_end_matches('/'))
    });
    named.chain([root.join(".git")]).collect()
}
