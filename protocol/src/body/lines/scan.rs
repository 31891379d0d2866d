//! Where a value has what varies: the slots between the literals of its template.

use memchr::{memchr, memchr2};

use super::Slice;

/// How finely a value is taken apart.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Grain {
    /// Every leaf of a JSON object; of other values as `Token`.
    Leaf,
    /// What stands in quotation marks, and words with a digit in them, which spaces and brackets end.
    Token,
    /// Words of letters and digits, with a digit in them.
    Word,
    /// Digits.
    Digits,
    /// Not at all.
    Whole,
}

impl Grain {
    /// The next finer one.
    pub(super) fn finer(self) -> Self {
        match self {
            Self::Leaf => Self::Token,
            Self::Token => Self::Word,
            Self::Word => Self::Digits,
            Self::Digits | Self::Whole => Self::Whole,
        }
    }

    /// Appends the slots of a value, and gives a hash of its literals. Slots are in order and do not overlap.
    pub(super) fn slots(self, source: &[u8], value: Slice, slots: &mut Vec<Slice>) -> u64 {
        let text = value.of(source);
        let mut found = Found { from: value.from as usize, text, slots, hash: START, literal: 0 };
        match self {
            Self::Leaf if text.first() == Some(&b'{') && text.last() == Some(&b'}') => {
                leaves(&mut found);
            }
            Self::Leaf | Self::Token => tokens(&mut found),
            Self::Word => runs(&mut found, WORD),
            Self::Digits => runs(&mut found, DIGIT),
            Self::Whole => found.slot(0, text.len()),
        }
        found.finish()
    }
}

pub(super) const START: u64 = 0x9e37_79b9_7f4a_7c15;

/// Slots that were found so far.
struct Found<'a> {
    /// Where the text starts in its source.
    from: usize,
    text: &'a [u8],
    slots: &'a mut Vec<Slice>,
    hash: u64,
    /// Where the present literal starts.
    literal: usize,
}

impl Found<'_> {
    fn slot(&mut self, from: usize, to: usize) {
        self.hash = hash(self.hash, &self.text[self.literal..from]);
        self.slots.push(Slice::new(self.from + from, self.from + to));
        self.literal = to;
    }

    fn finish(self) -> u64 {
        hash(self.hash, &self.text[self.literal..])
    }
}

#[expect(clippy::cast_possible_truncation, reason = "both halves are taken")]
fn mix(hash: u64, word: u64) -> u64 {
    let product = u128::from(hash ^ word) * 0xa076_1d64_78bd_642f;
    product as u64 ^ (product >> 64) as u64
}

/// A hash of bytes after others.
pub(super) fn hash(before: u64, bytes: &[u8]) -> u64 {
    let (words, _) = bytes.as_chunks::<8>();
    let hash = words.iter().fold(before, |hash, word| mix(hash, u64::from_le_bytes(*word)));
    // The last bytes, some of which may be in a word already: copying a few of them would take longer.
    let last = match (bytes.last_chunk::<8>(), bytes.first_chunk::<4>(), bytes.last_chunk::<4>()) {
        (Some(last), ..) => u64::from_le_bytes(*last),
        (None, Some(first), Some(last)) => {
            u64::from(u32::from_le_bytes(*first)) << 32 | u64::from(u32::from_le_bytes(*last))
        }
        _ => bytes.iter().fold(0, |word, byte| word << 8 | u64::from(*byte)),
    };
    // The length tells texts apart that end in zeros.
    mix(hash, last ^ (bytes.len() as u64).wrapping_mul(START))
}

const DIGIT: u8 = 1;
const LETTER: u8 = 2;
const WORD: u8 = DIGIT | LETTER;
/// Ends a token.
const END: u8 = 4;

/// What each byte is.
const KINDS: [u8; 256] = {
    let mut kinds = [0; 256];
    let mut byte = 0_u8;
    loop {
        kinds[byte as usize] = match byte {
            b'0'..=b'9' => DIGIT,
            b'a'..=b'z' | b'A'..=b'Z' | 0x80.. => LETTER,
            b' ' | b'\t' | b',' | b';' | b'(' | b')' | b'[' | b']' | b'{' | b'}' | b'<' | b'>'
            | b'=' | b'|' | b'\'' | b'"' => END,
            _ => 0,
        };
        if byte == u8::MAX {
            break kinds;
        }
        byte += 1;
    }
};

/// Each leaf of a JSON object is a slot: strings without their quotation marks, and everything else but names.
fn leaves(found: &mut Found<'_>) {
    let text = found.text;
    let mut at = 0;
    while at < text.len() {
        match text[at] {
            b'"' => {
                let Some(end) = end_of_string(text, at + 1) else { return };
                let next = text[end + 1..].iter().find(|byte| !byte.is_ascii_whitespace());
                if next != Some(&b':') {
                    found.slot(at + 1, end);
                }
                at = end + 1;
            }
            b'-' | b'0'..=b'9' | b'a'..=b'z' => {
                let is_end = |byte: &u8| matches!(byte, b',' | b'}' | b']' | b' ');
                let length = text[at..].iter().position(is_end).unwrap_or(text.len() - at);
                found.slot(at, at + length);
                at += length;
            }
            _ => at += 1,
        }
    }
}

/// Where a string of JSON ends, whose content starts at a byte; `None` if it does not.
fn end_of_string(text: &[u8], from: usize) -> Option<usize> {
    let mut at = from;
    loop {
        at += memchr2(b'"', b'\\', text.get(at..)?)?;
        if text[at] == b'"' {
            return Some(at);
        }
        at += 2;
    }
}

fn tokens(found: &mut Found<'_>) {
    let text = found.text;
    let mut at = 0;
    while at < text.len() {
        if text[at] == b'"'
            && let Some(length) = memchr(b'"', &text[at + 1..])
        {
            found.slot(at + 1, at + 1 + length);
            at += length + 2;
            continue;
        }
        let from = at;
        let mut all = 0;
        while at < text.len() {
            let kind = KINDS[usize::from(text[at])];
            if kind == END {
                break;
            }
            all |= kind;
            at += 1;
        }
        if all & DIGIT != 0 {
            let mut to = at;
            while to > from && matches!(text[to - 1], b':' | b'.' | b'!' | b'?') {
                to -= 1;
            }
            found.slot(from, to);
        }
        if at < text.len() && text[at] != b'"' || at == from {
            at += 1;
        }
    }
}

/// Each run of bytes of these kinds that has a digit in it is a slot.
fn runs(found: &mut Found<'_>, kinds: u8) {
    let text = found.text;
    let mut at = 0;
    while at < text.len() {
        let from = at;
        let mut all = 0;
        while at < text.len() && KINDS[usize::from(text[at])] & kinds != 0 {
            all |= KINDS[usize::from(text[at])];
            at += 1;
        }
        if all & DIGIT != 0 {
            found.slot(from, at);
        }
        at += usize::from(at == from);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slots(grain: Grain, text: &str) -> Vec<&str> {
        let mut slots = Vec::new();
        let _ = grain.slots(text.as_bytes(), Slice::new(0, text.len()), &mut slots);
        slots.into_iter().map(|slot| &text[slot.from as usize..slot.to as usize]).collect()
    }

    #[test]
    fn slots_are_what_varies_in_a_line() {
        let text = "10.0.0.1 - bob [21/Nov/2026:08:00:00 +0000] \"GET /a/7 HTTP/1.1\" 200 \"\" x";
        let tokens = ["10.0.0.1", "21/Nov/2026:08:00:00", "+0000", "GET /a/7 HTTP/1.1", "200", ""];
        assert_eq!(slots(Grain::Leaf, text), tokens);
        assert_eq!(slots(Grain::Token, "cron[17]: (u5) say \"no"), ["17", "u5"]);
        assert_eq!(slots(Grain::Token, "took 35ms."), ["35ms"]);
        assert_eq!(slots(Grain::Word, "/api/v1/items/77?s=a5"), ["v1", "77", "a5"]);
        assert_eq!(slots(Grain::Digits, "v1u22x"), ["1", "22"]);
        let json = r#"{"a":"x \" y","b" : -1.5e3,"c":[true,null,"z"],"d":{"e":""}}"#;
        let leaves = ["x \\\" y", "-1.5e3", "true", "null", "z", ""];
        assert_eq!(slots(Grain::Leaf, json), leaves);
    }

    #[test]
    fn malformed_json_has_slots_that_end() {
        for text in ["{", "{}", "{\"}", "{\"a\\}", "{\"\\\"}", "{\"a\":\"}", "{1}", "{\"a\"}"] {
            let _ = slots(Grain::Leaf, text);
        }
    }

    #[test]
    fn a_hash_tells_where_slots_are() {
        let of = |grain: Grain, text: &str| {
            grain.slots(text.as_bytes(), Slice::new(0, text.len()), &mut Vec::new())
        };
        assert_eq!(of(Grain::Token, "a 1 b"), of(Grain::Token, "a 22 b"));
        assert_ne!(of(Grain::Token, "a 1 b"), of(Grain::Token, "a b"));
        assert_ne!(of(Grain::Token, "a 1 b"), of(Grain::Token, "a 1  b"));
        assert_ne!(of(Grain::Token, "1 2"), of(Grain::Token, "1 2 3"));
    }
}
