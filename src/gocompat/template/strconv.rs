//! Go's `strconv` and `unicode`, where Rust's own notions differ: number syntax, quoting, and what a letter is.

use super::unicode_tables::{DIGIT, LETTER, PRINT};

fn within(table: &[(u32, u32)], c: u32) -> bool {
    let after = table.partition_point(|(start, _)| *start <= c);
    after > 0 && c <= table[after - 1].1
}

/// `unicode.IsLetter`
pub fn is_letter(c: char) -> bool {
    if c.is_ascii() { c.is_ascii_alphabetic() } else { within(LETTER, c as u32) }
}

/// `unicode.IsDigit`
pub fn is_digit(c: char) -> bool {
    if c.is_ascii() { c.is_ascii_digit() } else { within(DIGIT, c as u32) }
}

/// `unicode.IsPrint`
pub fn is_print(c: char) -> bool {
    if c.is_ascii() { matches!(c, ' '..='~') } else { within(PRINT, c as u32) }
}

/// The first character of the bytes and its length. `None` with a length of one is a byte that is not UTF-8; the bytes
/// must not be empty. (`utf8.DecodeRune`)
pub fn decode(bytes: &[u8]) -> (Option<char>, usize) {
    let Some(&first) = bytes.first() else { return (None, 0) };
    if first.is_ascii() {
        return (Some(char::from(first)), 1);
    }
    let width = match first {
        0xc2..=0xdf => 2,
        0xe0..=0xef => 3,
        0xf0..=0xf4 => 4,
        _ => return (None, 1),
    };
    let c = bytes.get(..width).and_then(|b| std::str::from_utf8(b).ok()).and_then(|s| s.chars().next());
    (c, if c.is_some() { width } else { 1 })
}

/// How many characters; a byte that is not UTF-8 counts as one. (`utf8.RuneCount`)
pub fn rune_count(bytes: &[u8]) -> usize {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.chars().count(),
        Err(_) => bytes.utf8_chunks().map(|c| c.valid().chars().count() + c.invalid().len()).sum(),
    }
}

/// The bytes as text, with U+FFFD for each byte that is not UTF-8.
pub fn to_text(bytes: &[u8]) -> String {
    bytes.utf8_chunks().flat_map(|c| [c.valid().to_owned(), "\u{fffd}".repeat(c.invalid().len())]).collect()
}

/// `strconv.Quote`, or `strconv.QuoteToASCII`.
pub fn quote(bytes: &[u8], ascii_only: bool) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len() + 2);
    out.push(b'"');
    let mut rest = bytes;
    while let Some(&first) = rest.first() {
        let (c, width) = decode(rest);
        match c {
            Some(c) => quote_char(&mut out, c, '"', ascii_only),
            None => out.extend_from_slice(format!("\\x{first:02x}").as_bytes()),
        }
        rest = &rest[width..];
    }
    out.push(b'"');
    out
}

/// `%q` of a text whose quoted form is wanted as text, for error messages.
pub fn quote_text(text: &str) -> String {
    String::from_utf8_lossy(&quote(text.as_bytes(), false)).into_owned()
}

/// `strconv.QuoteRune`, or `strconv.QuoteRuneToASCII`.
pub fn quote_rune(c: char, ascii_only: bool) -> Vec<u8> {
    let mut out = vec![b'\''];
    quote_char(&mut out, c, '\'', ascii_only);
    out.push(b'\'');
    out
}

/// `appendEscapedRune`
fn quote_char(out: &mut Vec<u8>, c: char, quote: char, ascii_only: bool) {
    if c == quote || c == '\\' {
        out.extend_from_slice(&[b'\\', c as u8]);
        return;
    }
    if if ascii_only { c.is_ascii() && is_print(c) } else { is_print(c) } {
        out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
        return;
    }
    let escaped = match c {
        '\x07' => "\\a".to_owned(),
        '\x08' => "\\b".to_owned(),
        '\x0c' => "\\f".to_owned(),
        '\n' => "\\n".to_owned(),
        '\r' => "\\r".to_owned(),
        '\t' => "\\t".to_owned(),
        '\x0b' => "\\v".to_owned(),
        '\0'..' ' | '\x7f' => format!("\\x{:02x}", c as u32),
        '\u{80}'..'\u{10000}' => format!("\\u{:04x}", c as u32),
        _ => format!("\\U{:08x}", c as u32),
    };
    out.extend_from_slice(escaped.as_bytes());
}

/// `strconv.CanBackquote`
pub fn can_backquote(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    text.chars().all(|c| c == '\t' || c >= ' ' && !matches!(c, '\u{feff}' | '`' | '\x7f'))
}

/// A character or byte of a quoted constant, and what follows it. `quote` cannot stand unescaped. (`UnquoteChar`)
pub fn unquote_char(text: &str, quote: u8) -> Option<(Unquoted, &str)> {
    let mut chars = text.chars();
    let first = chars.next()?;
    if first == char::from(quote) {
        return None;
    }
    if first != '\\' {
        return Some((Unquoted::Char(first), chars.as_str()));
    }
    let escape = chars.next()?;
    let rest = chars.as_str();
    let digits = |count: usize, radix: u32| -> Option<(u32, &str)> {
        let digits = rest.get(..count).filter(|d| d.chars().all(|c| c.is_digit(radix)))?;
        Some((u32::from_str_radix(digits, radix).ok()?, &rest[count..]))
    };
    let simple = |byte: u8| Some((Unquoted::Char(char::from(byte)), rest));
    match escape {
        'a' => simple(7),
        'b' => simple(8),
        'f' => simple(12),
        'n' => simple(b'\n'),
        'r' => simple(b'\r'),
        't' => simple(b'\t'),
        'v' => simple(11),
        '\\' => simple(b'\\'),
        '\'' | '"' if escape == char::from(quote) => simple(quote),
        'x' => digits(2, 16).map(|(v, rest)| (Unquoted::Byte(v as u8), rest)),
        'u' => digits(4, 16).and_then(|(v, rest)| Some((Unquoted::Char(char::from_u32(v)?), rest))),
        'U' => digits(8, 16).and_then(|(v, rest)| Some((Unquoted::Char(char::from_u32(v)?), rest))),
        '0'..='7' => {
            let (low, rest) = digits(2, 8)?;
            let value = escape.to_digit(8)? << 6 | low;
            Some((Unquoted::Byte(u8::try_from(value).ok()?), rest))
        }
        _ => None,
    }
}

/// What an escape stands for: `\xff` is one byte, `\u00ff` a character of two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unquoted {
    /// A character.
    Char(char),
    /// A byte.
    Byte(u8),
}

/// The string that a quoted or raw string constant stands for. (`strconv.Unquote`)
pub fn unquote(text: &str) -> Option<Vec<u8>> {
    if let Some(raw) = text.strip_prefix('`') {
        return Some(raw.strip_suffix('`')?.bytes().filter(|b| *b != b'\r').collect());
    }
    let mut rest = text.strip_prefix('"')?;
    let mut out = Vec::with_capacity(rest.len());
    while !rest.starts_with('"') {
        if rest.starts_with('\n') {
            return None;
        }
        let (c, after) = unquote_char(rest, b'"')?;
        match c {
            Unquoted::Char(c) => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
            Unquoted::Byte(b) => out.push(b),
        }
        rest = after;
    }
    (rest == "\"").then_some(out)
}

/// `strconv.ParseUint(text, 0, 64)`
pub fn parse_uint(text: &str) -> Option<u64> {
    let lower = text.to_ascii_lowercase();
    let (radix, digits) = match lower.as_bytes() {
        [b'0', b'b', _, ..] => (2, &lower[2..]),
        [b'0', b'o', _, ..] => (8, &lower[2..]),
        [b'0', b'x', _, ..] => (16, &lower[2..]),
        [b'0', ..] => (8, &lower[1..]),
        [] => return None,
        _ => (10, lower.as_str()),
    };
    if digits.contains('_') && !underscores_ok(text) {
        return None;
    }
    // A lone 0 has no digits left.
    digits
        .chars()
        .filter(|c| *c != '_')
        .try_fold(0_u64, |n, c| n.checked_mul(u64::from(radix))?.checked_add(u64::from(c.to_digit(radix)?)))
}

/// `strconv.ParseInt(text, 0, 64)`
pub fn parse_int(text: &str) -> Option<i64> {
    let (negative, digits) = match text.as_bytes() {
        [b'-', ..] => (true, &text[1..]),
        [b'+', ..] => (false, &text[1..]),
        _ => (false, text),
    };
    let magnitude = parse_uint(digits)?;
    if negative { 0_i64.checked_sub_unsigned(magnitude) } else { i64::try_from(magnitude).ok() }
}

/// `strconv.ParseFloat(text, 64)` of a number constant: no `Inf` or `NaN`, and none that overflows.
pub fn parse_float(text: &str) -> Option<f64> {
    if text.contains('_') && !underscores_ok(text) {
        return None;
    }
    let plain: String = text.chars().filter(|c| *c != '_').collect();
    let unsigned = plain.strip_prefix(['+', '-']).unwrap_or(&plain);
    let value = match unsigned.strip_prefix("0x").or_else(|| unsigned.strip_prefix("0X")) {
        Some(hex) => parse_hex_float(hex)?,
        None if unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.') => unsigned.parse().ok()?,
        None => return None,
    };
    let value = if plain.starts_with('-') { -value } else { value };
    value.is_finite().then_some(value)
}

fn parse_hex_float(text: &str) -> Option<f64> {
    let (mantissa, exponent) = text.split_once(['p', 'P'])?;
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits_ok = exponent.strip_prefix(['+', '-']).unwrap_or(exponent).bytes().all(|b| b.is_ascii_digit());
    if whole.len() + fraction.len() == 0 || !digits_ok || !exponent.ends_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    // Past any exponent that matters the sign is enough.
    let exponent = exponent.parse::<i64>().unwrap_or(if exponent.starts_with('-') { -100_000 } else { 100_000 });
    let mut scale = exponent.clamp(-100_000, 100_000) as i32;
    let mut value: u64 = 0;
    for (i, c) in whole.chars().chain(fraction.chars()).enumerate() {
        let digit = u64::from(c.to_digit(16)?);
        let in_fraction = i >= whole.len();
        if value >> 60 == 0 {
            value = value << 4 | digit;
            scale -= if in_fraction { 4 } else { 0 };
        } else {
            // No room: the digit only matters to rounding.
            value |= u64::from(digit != 0);
            scale += if in_fraction { 0 } else { 4 };
        }
    }
    let mut value = value as f64;
    while scale != 0 && value != 0.0 && value.is_finite() {
        let step = scale.clamp(-1000, 1000);
        value *= 2_f64.powi(step);
        scale -= step;
    }
    Some(value)
}

/// `underscoreOK`: underscores only between digits, or after the base prefix.
fn underscores_ok(text: &str) -> bool {
    let text = text.strip_prefix(['+', '-']).unwrap_or(text).to_ascii_lowercase();
    let prefixed = ["0b", "0o", "0x"].iter().any(|p| text.starts_with(p));
    let hex = text.starts_with("0x");
    let mut saw = if prefixed { '0' } else { '^' };
    for c in text.chars().skip(if prefixed { 2 } else { 0 }) {
        saw = match c {
            '0'..='9' => '0',
            'a'..='f' if hex => '0',
            '_' if saw == '0' => '_',
            '_' => return false,
            _ if saw == '_' => return false,
            _ => '!',
        };
    }
    saw != '_'
}

/// `%#U`: `U+0040 '@'`.
pub(super) fn unicode(c: Option<char>) -> String {
    match c {
        None => "U+FFFFFFFFFFFFFFFF".to_owned(),
        Some(c) if is_print(c) => format!("U+{:04X} '{c}'", c as u32),
        Some(c) => format!("U+{:04X}", c as u32),
    }
}
