//! Bytes that others chose, made harmless for a terminal.

use std::fmt::Write;

/// A text without anything that moves a cursor, changes a colour, ends a line or turns a line around:
/// each such character is shown as an escape such as `\x1b`, `\n` or `\u{202e}`.
#[must_use]
pub fn visible(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    text.chars().for_each(|letter| push(letter, &mut out));
    out
}

/// Bytes as a text that is harmless on a terminal; what is not UTF-8 is shown as `\xff`. Tabs stay.
#[must_use]
pub fn visible_bytes(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for letter in chunk.valid().chars() {
            if letter == '\t' { out.push('\t') } else { push(letter, &mut out) }
        }
        for byte in chunk.invalid() {
            let _ = write!(out, "\\x{byte:02x}");
        }
    }
    out
}

/// JSON in which whatever commands a terminal or turns text around is written as `\u202e`: the same
/// document to a program, harmless to a person.
#[must_use]
pub fn json(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        // Line ends stand between the values; all other controls stand in texts.
        if letter != '\n' && (letter.is_control() || turns(letter)) {
            let _ = write!(out, "\\u{:04x}", u32::from(letter));
        } else {
            out.push(letter);
        }
    }
    out
}

fn push(letter: char, out: &mut String) {
    let hidden = match letter {
        '\n' => "\\n",
        '\r' => "\\r",
        '\t' => "\\t",
        _ if letter.is_control() && letter.is_ascii() => {
            let _ = write!(out, "\\x{:02x}", u32::from(letter));
            return;
        }
        _ if letter.is_control() || turns(letter) => {
            let _ = write!(out, "\\u{{{:x}}}", u32::from(letter));
            return;
        }
        _ => {
            out.push(letter);
            return;
        }
    };
    out.push_str(hidden);
}

/// Marks that change the direction of text or end a line: a name may lie with them.
pub(crate) fn turns(letter: char) -> bool {
    matches!(
        letter,
        '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{061c}'
            | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_commands_a_terminal_comes_through() {
        let cases = [
            ("plain über 漢字", "plain über 漢字"),
            ("\x1b[31mred\x07", "\\x1b[31mred\\x07"),
            ("a\r\nb\tc\0", "a\\r\\nb\\tc\\x00"),
            ("\u{7f}\u{9b}2J", "\\x7f\\u{9b}2J"),
            ("exe\u{202e}gpj", "exe\\u{202e}gpj"),
            ("line\u{2028}", "line\\u{2028}"),
        ];
        for (given, shown) in cases {
            assert_eq!(visible(given), shown);
        }
    }

    #[test]
    fn bytes_that_are_no_text_are_shown_one_by_one() {
        assert_eq!(visible_bytes(b"a\xff\xc3(\tb\x1b"), "a\\xff\\xc3(\tb\\x1b");
    }

    #[test]
    fn json_stays_the_same_document() {
        let hostile = "a\u{9b}2J\u{202e}\u{7f}\u{1b}\n";
        let text = serde_json::to_string(hostile).unwrap();
        let harmless = json(&text);
        assert!(harmless.is_ascii(), "{harmless}");
        assert_eq!(serde_json::from_str::<String>(&harmless).unwrap(), hostile);
    }

    #[test]
    fn no_control_character_of_unicode_comes_through() {
        for letter in (0..=0x2_ffff).filter_map(char::from_u32).filter(|letter| letter.is_control())
        {
            assert!(!visible(&letter.to_string()).contains(letter), "{:x}", u32::from(letter));
        }
    }
}
