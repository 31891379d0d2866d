//! As much of Rust's grammar as it takes to tell code from comments and strings.

/// Source without its comments and literals in quotes.
pub(crate) fn code_only(source: &str) -> String {
    let mut code = String::new();
    let mut rest = source;
    while !rest.is_empty() {
        let quoted = quoted_bytes(rest);
        // Words are taken whole, so that the r of `for"` does not open a raw string.
        let (kept, after) = if quoted > 0 { (" ", &rest[quoted..]) } else { split_token(rest) };
        code.push_str(kept);
        rest = after;
    }
    code
}

/// Words and `::` as they are, everything else by character, no white space.
pub(crate) fn tokens(code: &str) -> Vec<&str> {
    let mut tokens = Vec::new();
    let mut rest = code.trim_start();
    while !rest.is_empty() {
        let (token, after) = split_token(rest);
        tokens.push(token);
        rest = after.trim_start();
    }
    tokens
}

fn split_token(source: &str) -> (&str, &str) {
    let is_not_word = |letter: char| !letter.is_alphanumeric() && letter != '_';
    let length = match source.find(is_not_word) {
        Some(0) if source.starts_with("::") => 2,
        Some(0) => source.chars().next().map_or(0, char::len_utf8),
        Some(length) => length,
        None => source.len(),
    };
    source.split_at(length)
}

/// How many bytes of comment or of a literal in quotes the source starts with.
fn quoted_bytes(source: &str) -> usize {
    if source.starts_with("//") {
        return source.find('\n').unwrap_or(source.len());
    }
    if source.starts_with("/*") {
        return block_comment_bytes(source);
    }
    if let Some(bytes) = raw_string_bytes(source) {
        return bytes;
    }
    if source.starts_with('"') || source.starts_with("b\"") {
        return escaped_bytes(source, '"');
    }
    // A lifetime has no quote after its first letter.
    let mut letters = source.chars();
    let is_character = letters.next() == Some('\'')
        && (letters.next() == Some('\\') || letters.next() == Some('\''));
    if is_character { escaped_bytes(source, '\'') } else { 0 }
}

/// Block comments nest.
fn block_comment_bytes(source: &str) -> usize {
    let mut depth = 0_usize;
    let mut at = 0;
    while at < source.len() {
        let (deeper, bytes) = match source.as_bytes()[at..] {
            [b'/', b'*', ..] => (depth + 1, 2),
            [b'*', b'/', ..] => (depth - 1, 2),
            _ => (depth, 1),
        };
        depth = deeper;
        at += bytes;
        if depth == 0 {
            break;
        }
    }
    at
}

/// The length of a raw string, if the source starts with one.
fn raw_string_bytes(source: &str) -> Option<usize> {
    let hashed = ["r", "br"].into_iter().find_map(|prefix| source.strip_prefix(prefix))?;
    let body = hashed.trim_start_matches('#');
    let hashes = hashed.len() - body.len();
    let body = body.strip_prefix('"')?;
    let opening = source.len() - body.len();
    let closing = format!("\"{}", "#".repeat(hashes));
    Some(body.find(&closing).map_or(source.len(), |at| opening + at + closing.len()))
}

/// Up to and with the closing quote; a quote after a backslash does not close.
fn escaped_bytes(source: &str, quote: char) -> usize {
    let opening = source.find(quote).map_or(source.len(), |at| at + 1);
    let mut escaped = false;
    for (at, letter) in source[opening..].char_indices() {
        if letter == quote && !escaped {
            return opening + at + 1;
        }
        escaped = letter == '\\' && !escaped;
    }
    source.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_literals_are_left_out() {
        let cases = [
            ("a // b\nc", "a c"),
            ("a /* b /* c */ d */ e", "a e"),
            ("a \"b \\\" c\" d", "a d"),
            ("a b\"c\" br#\"d\"e\"# f", "a f"),
            ("a '\"' b '\\'' c", "a b c"),
            ("fn a<'b>(c: &'b str)", "fn a < ' b > ( c : & ' b str )"),
            ("for \"b\" r\"c\\\" d", "for d"),
            ("'é' a \"é", "a"),
        ];
        for (source, expected) in cases {
            assert_eq!(tokens(&code_only(source)).join(" "), expected, "{source}");
        }
    }
}
