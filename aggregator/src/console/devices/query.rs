//! The search box. Words and `key:value` stand side by side and all must fit: `edge`, `site:osl-1`,
//! `site:osl-1,fra-2` (either), `-role:lab` (not), `env:prod*`, `state:stale`, quotes for spaces.

use super::Row;

/// Bytes of a search, and pieces of it: more than a person types.
const BYTES_MAX: usize = 1024;
const PIECES_MAX: usize = 32;

/// What is searched for.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Query {
    pieces: Vec<Piece>,
}

#[derive(Clone, Debug, Eq, PartialEq)]
struct Piece {
    not: bool,
    /// `None`: name, id, address or any label's value.
    key: Option<String>,
    values: Vec<String>,
}

impl Query {
    /// Reads what was typed; what can't be read is named.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        if text.len() > BYTES_MAX {
            return Err(format!(
                "The search has {} bytes, expected at most {BYTES_MAX}.",
                text.len()
            ));
        }
        let words = words(text)?;
        if words.len() > PIECES_MAX {
            return Err(format!(
                "The search has {} pieces, expected at most {PIECES_MAX}.",
                words.len()
            ));
        }
        let pieces = words.iter().map(|word| piece(word)).collect::<Result<_, _>>()?;
        Ok(Self { pieces })
    }

    /// Whether a device fits.
    pub(super) fn fits(&self, row: &Row) -> bool {
        self.pieces.iter().all(|piece| piece.fits(row) != piece.not)
    }
}

impl Piece {
    fn fits(&self, row: &Row) -> bool {
        let any = |found: &str| self.values.iter().any(|value| matches(value, found));
        match self.key.as_deref() {
            Some("state" | "status") => any(row.state.word()),
            Some("name") => any(&row.name),
            Some("id") => any(&row.id),
            Some(key) => row.labels.get(key).is_some_and(|found| any(found)),
            None => {
                let texts =
                    [&row.name, &row.id, &row.address].into_iter().chain(row.labels.values());
                let wanted = self.values.first().map_or("", String::as_str);
                let mut texts = texts.map(|text| text.to_lowercase());
                texts.any(|text| text.contains(wanted))
            }
        }
    }
}

/// Words, each without its quotes.
fn words(text: &str) -> Result<Vec<String>, String> {
    let (mut words, mut word, mut quoted) = (Vec::new(), String::new(), false);
    for letter in text.chars() {
        match letter {
            '"' => quoted = !quoted,
            _ if letter.is_whitespace() && !quoted => {
                words.extend(Some(std::mem::take(&mut word)).filter(|word| !word.is_empty()));
            }
            _ => word.push(letter),
        }
    }
    if quoted {
        return Err(format!(
            "The quote before \u{201c}{word}\u{201d} is not closed: expected \u{201c}\"\u{201d}."
        ));
    }
    words.extend(Some(word).filter(|word| !word.is_empty()));
    Ok(words)
}

fn piece(word: &str) -> Result<Piece, String> {
    let (not, rest) = match word.strip_prefix('-') {
        Some(rest) if !rest.is_empty() => (true, rest),
        _ => (false, word),
    };
    let rest = rest.to_lowercase();
    let Some((key, values)) = rest.split_once(':') else {
        return Ok(Piece { not, key: None, values: vec![rest] });
    };
    let values: Vec<String> = values.split(',').map(str::to_owned).collect();
    if key.is_empty() || values.iter().any(String::is_empty) {
        return Err(format!(
            "\u{201c}{word}\u{201d}: expected a key and a value, such as site:osl-1."
        ));
    }
    Ok(Piece { not, key: Some(key.to_owned()), values })
}

/// Whether a text fits a pattern in which `*` stands for anything; case does not count.
fn matches(pattern: &str, text: &str) -> bool {
    let text = text.to_lowercase();
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or("");
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let mut last = None;
    for part in parts {
        if let Some(part) = last.replace(part) {
            match rest.find(part) {
                Some(at) => rest = &rest[at + part.len()..],
                None => return false,
            }
        }
    }
    last.map_or(rest.is_empty(), |part| rest.ends_with(part))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::super::page::State;
    use super::*;

    fn row() -> Row {
        let labels = [("site", "osl-1"), ("role", "web front"), ("env", "production")];
        let labels = labels.map(|(key, value)| (key.to_owned(), value.to_owned()));
        Row {
            name: "Edge-07".to_owned(),
            state: State::Stale,
            labels: BTreeMap::from(labels),
            ..Row::default()
        }
    }

    #[test]
    fn all_pieces_must_fit() {
        for fitting in [
            "",
            "edge",
            "EDGE-07",
            "osl",
            "site:osl-1",
            "site:fra-2,osl-1",
            "-site:fra-2",
            "env:prod*",
            "env:*duct*n",
            "state:stale",
            "status:stale edge",
            "role:\"web front\"",
            "\"web front\"",
            "-nothing",
            "name:edge-*",
            "-",
        ] {
            assert!(Query::parse(fitting).unwrap().fits(&row()), "{fitting}");
        }
        for other in ["nothing", "site:osl", "-site:osl-1", "state:online", "os:linux", "edge -osl"]
        {
            assert!(!Query::parse(other).unwrap().fits(&row()), "{other}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        for wrong in ["site:", ":x", "a \"b", "site:a,"] {
            let fault = Query::parse(wrong).unwrap_err();
            assert!(fault.contains("expected"), "{fault}");
        }
        assert!(Query::parse(&"a ".repeat(40)).unwrap_err().contains("at most 32"));
        assert!(Query::parse(&"a".repeat(2000)).unwrap_err().contains("at most 1024"));
    }
}
