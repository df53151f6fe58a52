//! JSON as it is written: a text is checked once, and its values are then read from the text.
//!
//! Numbers keep their digits and members their order, and nothing takes more memory than the text.

use std::borrow::Cow;

use serde_json::value::RawValue;

/// Lists and objects within each other.
pub const MAX_DEPTH: usize = 128;

/// Why a text is not taken. It quotes nothing of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JsonError {
    /// The text is not JSON.
    #[error("the value is not JSON")]
    Syntax,
    /// The text is nested too deeply.
    #[error("the JSON has more than {MAX_DEPTH} lists and objects within each other")]
    Depth,
}

/// What a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Has members.
    Object,
    /// Has elements.
    Array,
    /// A text.
    String,
    /// A number.
    Number,
    /// `true`
    True,
    /// `false`
    False,
    /// `null`
    Null,
}

/// What becomes of a half of a character, which `\u` can write.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Halves {
    /// U+FFFD, as `encoding/json` has it.
    Json,
    /// U+FFFD for it and for the `\u` that follows, as gjson has it.
    Gjson,
}

/// A value, without the blanks around it.
#[derive(Clone, Copy)]
pub struct Json<'t>(&'t str);

impl<'t> Json<'t> {
    /// Checks a text.
    ///
    /// # Errors
    /// The text is not one value, or is nested too deeply.
    pub fn parse(text: &'t [u8]) -> Result<Self, JsonError> {
        let raw: &RawValue = serde_json::from_slice(text).map_err(|_| JsonError::Syntax)?;
        let (bytes, mut at, mut depth) = (raw.get().as_bytes(), 0, 0_usize);
        while let Some(byte) = bytes.get(at) {
            match byte {
                b'"' => {
                    at = after_string(bytes, at);
                    continue;
                }
                b'{' | b'[' => depth += 1,
                b'}' | b']' => depth = depth.saturating_sub(1),
                _ => {}
            }
            if depth > MAX_DEPTH {
                return Err(JsonError::Depth);
            }
            at += 1;
        }
        Ok(Self(raw.get()))
    }

    /// A part of a checked text, or one that was made of such parts.
    pub(super) fn checked(raw: &'t str) -> Self {
        Self(raw)
    }

    /// The text.
    pub fn raw(self) -> &'t str {
        self.0
    }

    /// What the value is.
    pub fn kind(self) -> Kind {
        match self.0.as_bytes().first() {
            Some(b'{') => Kind::Object,
            Some(b'[') => Kind::Array,
            Some(b'"') => Kind::String,
            Some(b't') => Kind::True,
            Some(b'f') => Kind::False,
            // Beside `null` there is `nan` for gjson.
            Some(b'n') if matches!(self.0.as_bytes().get(1), None | Some(b'u')) => Kind::Null,
            _ => Kind::Number,
        }
    }

    /// The text of a string, or nothing.
    pub fn string(self, halves: Halves) -> Option<Cow<'t, str>> {
        let written = self.0.strip_prefix('"')?.strip_suffix('"')?;
        Some(unescape(written, halves))
    }

    /// Names, as they are written between quotes, and values of an object; of another value none.
    pub fn members(self) -> Members<'t> {
        Members { text: self.0, at: if self.kind() == Kind::Object { 1 } else { self.0.len() } }
    }

    /// The elements of an array; of another value none.
    pub fn elements(self) -> Elements<'t> {
        Elements { text: self.0, at: if self.kind() == Kind::Array { 1 } else { self.0.len() } }
    }
}

/// The members of an object, as they follow each other.
pub struct Members<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Iterator for Members<'t> {
    type Item = (&'t str, Json<'t>);

    fn next(&mut self) -> Option<Self::Item> {
        let bytes = self.text.as_bytes();
        let start = after_blanks(bytes, self.at);
        if bytes.get(start) != Some(&b'"') {
            return None;
        }
        let end = after_string(bytes, start);
        let value = after_blanks(bytes, end);
        self.at = after_value(bytes, value);
        Some((self.text.get(start + 1..end.saturating_sub(1))?, Json(self.text.get(value..self.at)?)))
    }
}

/// The elements of an array.
pub struct Elements<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Iterator for Elements<'t> {
    type Item = Json<'t>;

    fn next(&mut self) -> Option<Self::Item> {
        let bytes = self.text.as_bytes();
        let start = after_blanks(bytes, self.at);
        if matches!(bytes.get(start), None | Some(b']')) {
            return None;
        }
        self.at = after_value(bytes, start);
        Some(Json(self.text.get(start..self.at)?))
    }
}

/// Past white space, commas and colons.
fn after_blanks(bytes: &[u8], at: usize) -> usize {
    let rest = bytes.get(at..).unwrap_or_default();
    at + rest.iter().take_while(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | b',' | b':')).count()
}

/// Past the string that begins at `at`.
fn after_string(bytes: &[u8], at: usize) -> usize {
    let mut at = at + 1;
    while let Some(found) = bytes.get(at..).and_then(|rest| memchr::memchr2(b'"', b'\\', rest)) {
        at += found;
        if bytes[at] == b'"' {
            return at + 1;
        }
        at += 2;
    }
    bytes.len()
}

/// Past the value that begins at `at`.
fn after_value(bytes: &[u8], at: usize) -> usize {
    match bytes.get(at) {
        None => at,
        Some(b'"') => after_string(bytes, at),
        Some(b'{' | b'[') => {
            let (mut at, mut depth) = (at, 0_usize);
            while let Some(found) = bytes.get(at..).and_then(|rest| rest.iter().position(|b| b"\"{}[]".contains(b))) {
                at += found;
                match bytes[at] {
                    b'"' => {
                        at = after_string(bytes, at);
                        continue;
                    }
                    b'{' | b'[' => depth += 1,
                    _ => depth -= 1,
                }
                at += 1;
                if depth == 0 {
                    return at;
                }
            }
            bytes.len()
        }
        Some(_) => {
            let end = |byte: &u8| matches!(byte, b',' | b']' | b'}' | b' ' | b'\t' | b'\n' | b'\r');
            bytes[at..].iter().position(end).map_or(bytes.len(), |length| at + length)
        }
    }
}

/// What is written between quotes, read. Ends at an escape that JSON does not have.
pub fn unescape(written: &str, halves: Halves) -> Cow<'_, str> {
    if !written.contains('\\') {
        return Cow::Borrowed(written);
    }
    let mut out = String::with_capacity(written.len());
    let mut rest = written;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        let escaped = rest[at + 1..].chars().next();
        rest = rest.get(at + 2..).unwrap_or("");
        out.push(match escaped {
            Some(c @ ('"' | '\\' | '/')) => c,
            Some('b') => '\u{8}',
            Some('f') => '\u{c}',
            Some('n') => '\n',
            Some('r') => '\r',
            Some('t') => '\t',
            Some('u') => {
                let Some(unit) = unit(rest) else { return Cow::Owned(out) };
                rest = rest.get(4..).unwrap_or("");
                character(unit, &mut rest, halves)
            }
            _ => return Cow::Owned(out),
        });
    }
    out.push_str(rest);
    Cow::Owned(out)
}

/// Four hexadecimal digits.
fn unit(text: &str) -> Option<u32> {
    let digits = text.get(..4)?;
    digits.bytes().all(|byte| byte.is_ascii_hexdigit()).then(|| u32::from_str_radix(digits, 16).ok())?
}

/// The character of a unit, with the unit that follows if both are one character.
fn character(first: u32, rest: &mut &str, halves: Halves) -> char {
    if (0xD800..0xE000).contains(&first)
        && let Some(second) = rest.strip_prefix("\\u").and_then(unit)
    {
        let whole = first < 0xDC00 && (0xDC00..0xE000).contains(&second);
        if whole || halves == Halves::Gjson {
            *rest = rest.get(6..).unwrap_or("");
        }
        if whole {
            let code = 0x10000 + ((first - 0xD800) << 10) + (second - 0xDC00);
            return char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER);
        }
    }
    char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn members(text: &str) -> Vec<(&str, &str)> {
        Json::parse(text.as_bytes()).unwrap().members().map(|(name, value)| (name, value.raw())).collect()
    }

    #[test]
    fn values_are_as_they_are_written() {
        let text = r#" { "a" : 1.50 , "b":[ 1,{"x":"]}"} ],"c\"":"q\\", "a":null,"e":{},"f":true } "#;
        assert_eq!(
            members(text),
            [
                ("a", "1.50"),
                ("b", r#"[ 1,{"x":"]}"} ]"#),
                ("c\\\"", r#""q\\""#),
                ("a", "null"),
                ("e", "{}"),
                ("f", "true")
            ]
        );
        let array = Json::parse(br#"[1e5, "a,b" ,[], {"k":[1]} ,-0]"#).unwrap();
        let elements: Vec<_> = array.elements().map(Json::raw).collect();
        assert_eq!(elements, ["1e5", r#""a,b""#, "[]", r#"{"k":[1]}"#, "-0"]);
        assert_eq!(Json::parse(b"7").unwrap().elements().count(), 0);
        assert_eq!(Json::parse(b"[]").unwrap().elements().count(), 0);
        assert_eq!(Json::parse(b"[1]").unwrap().members().count(), 0);
    }

    #[test]
    fn what_is_not_json_or_too_deep_is_not_taken() {
        for text in ["", " ", "{", "{\"a\":1} x", "nul", "\"\n\"", "[1,]", "01", "\"\\x\"", "{a:1}"] {
            assert!(matches!(Json::parse(text.as_bytes()), Err(JsonError::Syntax)), "{text}");
        }
        assert!(Json::parse(b"\"\xff\"").is_err());
        let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        assert!(Json::parse(nested(MAX_DEPTH).as_bytes()).is_ok());
        assert!(matches!(Json::parse(nested(MAX_DEPTH + 1).as_bytes()), Err(JsonError::Depth)));
        assert!(Json::parse(nested(1 << 20).as_bytes()).is_err());
    }

    #[test]
    fn escapes_are_read() {
        for (written, read) in [
            (r#"\"\\\/\b\f\n\r\t"#, "\"\\/\u{8}\u{c}\n\r\t"),
            (r"\u00e9\ud83d\ude00.", "é😀."),
            (r"a\ud800", "a\u{fffd}"),
            (r"\udc00\ud83d\ude00", "\u{fffd}😀"),
            (r"\ud800A", "\u{fffd}A"),
        ] {
            assert_eq!(unescape(written, Halves::Json), read);
        }
        assert_eq!(unescape(r"\ud800\u0041B", Halves::Json), "\u{fffd}AB");
        assert_eq!(unescape(r"\ud800\u0041B", Halves::Gjson), "\u{fffd}B");
        assert_eq!(unescape(r"ab\qcd", Halves::Gjson), "ab");
        assert_eq!(unescape("ab\\", Halves::Gjson), "ab");
        assert_eq!(unescape(r"ab\u12", Halves::Gjson), "ab");
        assert_eq!(unescape(r"ab\é", Halves::Gjson), "ab");
    }

    proptest! {
        #[test]
        fn strings_are_read_as_serde_reads_them(text in ".{0,20}") {
            let written = serde_json::to_string(&text).unwrap();
            let json = Json::parse(written.as_bytes()).unwrap();
            prop_assert_eq!(json.string(Halves::Json).unwrap(), text);
        }

        #[test]
        fn no_text_ends_the_process(text in "[\\[\\]{}\",:\\\\ua0-9 é]{0,40}") {
            if let Ok(json) = Json::parse(text.as_bytes()) {
                let _ = json.members().chain(json.elements().map(|e| ("", e))).map(|(n, v)| n.len() + v.raw().len()).sum::<usize>();
            }
            let _ = unescape(&text, Halves::Gjson);
        }
    }
}
