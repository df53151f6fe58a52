//! Literals in a path (`!"x"`, `!5`, `!true`), and values at the beginning of a text.

use super::quotes::closing_quote;

/// The words that stand for themselves.
const WORDS: [&str; 5] = ["true", "false", "null", "nan", "inf"];

/// The literal that a path begins with behind its `!`, and the path behind it.
pub(super) fn first(path: &str) -> Option<(&str, &str)> {
    let name = path.strip_prefix('!')?;
    if name.starts_with(|c: char| "{[\"+-".contains(c) || c.is_ascii_digit()) {
        return Some(name.split_at(squashed(name.as_bytes())));
    }
    let end = name.find(['|', '.']).unwrap_or(name.len());
    let (word, rest) = name.split_at(end);
    WORDS.iter().any(|known| known.eq_ignore_ascii_case(word)).then_some((word, rest))
}

/// How long the part is up to the bracket that closes the first byte, whatever that is: all of it if none does.
fn squashed(bytes: &[u8]) -> usize {
    let (mut at, mut depth) = (1, 1_usize);
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'"' => at = closing_quote(bytes, at).0,
            b'{' | b'[' | b'(' => depth += 1,
            b'}' | b']' | b')' => {
                depth -= 1;
                if depth == 0 {
                    return at + 1;
                }
            }
            _ => {}
        }
        at += 1;
    }
    bytes.len()
}

/// How long the string, or the part in brackets, is that a text begins with. The first byte counts as an open bracket
/// if it is no quote.
pub(super) fn balanced(text: &str) -> usize {
    let bytes = text.as_bytes();
    match bytes.first() {
        Some(b'"') => (closing_quote(bytes, 0).0 + 1).min(bytes.len()),
        _ => squashed(bytes),
    }
}

/// The value that a text begins with, as gjson takes it without a look at what follows. An object or an array is all of
/// the text.
pub(super) fn value_of(text: &str) -> Option<&str> {
    let text = text.trim_start_matches(|c: char| c <= ' ');
    let bytes = text.as_bytes();
    let number_ends = |byte: &u8| *byte <= b' ' || b",]}".contains(byte);
    let until = |ends: &dyn Fn(&u8) -> bool| {
        let length = bytes.iter().skip(1).position(ends).map_or(bytes.len(), |length| length + 1);
        text.get(..length)
    };
    match bytes {
        [b'{' | b'[', ..] => Some(text),
        [b'"', ..] => text.get(..(closing_quote(bytes, 0).0 + 1).min(bytes.len())),
        [b'n', other, ..] if *other != b'u' => until(&number_ends),
        [b'+' | b'-' | b'0'..=b'9' | b'i' | b'I' | b'N', ..] => until(&number_ends),
        [b'n' | b't' | b'f', ..] => until(&|byte| !byte.is_ascii_lowercase()),
        _ => None,
    }
}
