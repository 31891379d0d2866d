//! Bytes on the wire and on the disk, and the documents that describe them.
//!
//! A document names the sources it speaks of, each with a hash. A change of such a source breaks
//! the hash, so nobody changes a format without having its document before their eyes.

use crate::project::SourceFile;

const DOCUMENTS: [&str; 3] = ["docs/wire.md", "docs/spool.md", "docs/log.md"];
const START: &str = "<!-- source:";
const END: &str = " -->";
const EXAMPLE: &str = "`<!-- source: protocol/src/xyz.rs blake3:0000000000000000 -->`";

/// The documents of the formats, also where they are absent, and all others in `docs/`.
pub(crate) fn documents(sources: &[SourceFile]) -> Vec<SourceFile> {
    let others = sources.iter().filter(|file| file.folder() == "docs");
    let others = others.filter(|file| !DOCUMENTS.contains(&file.path.as_str()));
    let texts = DOCUMENTS.into_iter().map(|path| {
        let found = sources.iter().find(|file| file.path == path);
        (path, found.map_or("", |file| &file.text))
    });
    let all = texts.chain(others.map(|file| (file.path.as_str(), file.text.as_str())));
    all.map(|(path, text)| SourceFile::new(path, text)).collect()
}

/// The lines of a document that name another source than there is, or that it ought to have.
pub(crate) fn other_source(document: &SourceFile, sources: &[SourceFile]) -> Vec<String> {
    let path = &document.path;
    let lines: Vec<&str> =
        document.text.lines().map(str::trim).filter(|line| line.starts_with(START)).collect();
    if lines.is_empty() && DOCUMENTS.contains(&path.as_str()) {
        let lacks = if document.text.is_empty() { "is absent" } else { "names no source" };
        return vec![format!(
            "{path} {lacks}: it describes a format, and has a line like {EXAMPLE}"
        )];
    }
    lines.into_iter().filter_map(|line| other_source_in_line(path, line, sources)).collect()
}

fn other_source_in_line(document: &str, line: &str, sources: &[SourceFile]) -> Option<String> {
    let inner = line.strip_prefix(START).and_then(|line| line.strip_suffix(END));
    let Some((path, _)) = inner.and_then(|inner| inner.trim().split_once(" blake3:")) else {
        return Some(format!("{document}: `{line}` is not like {EXAMPLE}"));
    };
    let Some(source) = sources.iter().find(|file| file.path == path) else {
        return Some(format!("{document}: `{line}` names a file that does not exist"));
    };
    let right = line_of(source);
    (line != right).then(|| {
        format!(
            "{document}: {path} has changed. If its bytes did, so does the document, and its \
             version. Then paste this line in place of the old one:\n{right}"
        )
    })
}

fn line_of(source: &SourceFile) -> String {
    let path = &source.path;
    format!("{START} {path} blake3:{}{END}", hash(source))
}

/// 16 hex digits over the lines that can change a format: no tests, blank lines and comments.
fn hash(source: &SourceFile) -> String {
    let mut hasher = blake3::Hasher::new();
    for line in source.without_tests().lines().map(str::trim) {
        if !line.is_empty() && !line.starts_with("//") {
            hasher.update(line.as_bytes());
            hasher.update(b"\n");
        }
    }
    hasher.finalize().to_hex()[..16].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const CODE: &str = "pub struct Header {\n    seq: Seq, // first\n}\n";

    #[test]
    fn a_document_without_a_source_is_seen() {
        assert_eq!(problems("docs/wire.md", ""), 1);
        assert_eq!(problems("docs/wire.md", "# Wire\n"), 1);
        assert_eq!(problems("docs/adr/0001-one.md", "# One\n"), 0);
        let expected = DOCUMENTS.len();
        assert_eq!(documents(&[]).len(), expected, "an absent document has to be asked for");
    }

    #[test]
    fn a_line_that_names_another_source_is_seen() {
        let right = line_of(&header(CODE));
        assert_eq!(problems("docs/wire.md", &right), 0);
        assert_eq!(problems("docs/wire.md", &format!("{right}\n  {right}\n")), 0);
        assert_eq!(problems("docs/wire.md", &right.replace("blake3:", "blake3:0")), 1);
        assert_eq!(problems("docs/wire.md", &right.replace("header", "absent")), 1);
        assert_eq!(problems("docs/wire.md", &right.replace("blake3:", "")), 1);
        assert_eq!(problems("docs/other.md", &format!("{right}\n{START}")), 1);
    }

    #[test]
    fn only_code_changes_the_hash() {
        let commented =
            format!("//! The header.\n\n/// One.\n{CODE}\n#[cfg(test)]\nmod tests {{}}\n");
        assert_eq!(hash(&header(&commented)), hash(&header(CODE)));
        assert_ne!(hash(&header(&CODE.replace("seq", "epoch"))), hash(&header(CODE)));
    }

    fn header(text: &str) -> SourceFile {
        SourceFile::new("protocol/src/header.rs", text)
    }

    fn problems(document: &str, text: &str) -> usize {
        other_source(&SourceFile::new(document, text), &[header(CODE)]).len()
    }
}
