//! JSON as `json.Unmarshal` reads it into an `interface {}`: numbers are floats, the last of two equal keys wins,
//! what is not UTF-8 becomes U+FFFD; with its error texts.

use crate::gocompat::template::strconv::quote_text;
use crate::gocompat::template::{CallError, Context, List, MAX_NESTING, Map, Str, Value};

/// Why nothing was read.
pub(crate) enum DecodeError {
    /// Not JSON; Go's text.
    Syntax(String),
    /// The template's limits are reached.
    Limit(CallError),
}

/// The value, and Go's complaint about a number that no float can hold, in whose place there is nil.
pub(crate) fn decode(ctx: &mut Context, text: &[u8]) -> Result<(Value, Option<String>), DecodeError> {
    let mut reader = Reader { ctx, text, at: 0, complaint: None };
    reader.space();
    let value = reader.value(0)?;
    reader.space();
    match reader.text.get(reader.at) {
        None => Ok((value, reader.complaint)),
        Some(byte) => Err(unexpected(*byte, "after top-level value")),
    }
}

struct Reader<'r, 't> {
    ctx: &'r mut Context,
    text: &'t [u8],
    at: usize,
    complaint: Option<String>,
}

fn unexpected(byte: u8, place: &str) -> DecodeError {
    let quoted = match byte {
        b'\'' => r"'\''".to_owned(),
        b'"' => "'\"'".to_owned(),
        _ => {
            let text = quote_text(&char::from(byte).to_string());
            format!("'{}'", text.trim_matches('"'))
        }
    };
    DecodeError::Syntax(format!("invalid character {quoted} {place}"))
}

fn end() -> DecodeError {
    DecodeError::Syntax("unexpected end of JSON input".to_owned())
}

impl Reader<'_, '_> {
    fn space(&mut self) {
        while matches!(self.text.get(self.at), Some(b' ' | b'\t' | b'\r' | b'\n')) {
            self.at += 1;
        }
    }

    fn next(&mut self) -> Result<u8, DecodeError> {
        let byte = self.text.get(self.at).copied().ok_or_else(end)?;
        self.at += 1;
        Ok(byte)
    }

    /// The next byte of what the end of the text would break in two: Go sees a blank there.
    fn inner(&mut self) -> u8 {
        let byte = self.text.get(self.at).copied();
        self.at += 1;
        byte.unwrap_or(b' ')
    }

    fn value(&mut self, depth: usize) -> Result<Value, DecodeError> {
        if depth > MAX_NESTING {
            return Err(DecodeError::Limit(CallError::limit("exceeded max depth")));
        }
        self.ctx.reserve_texts(1).and_then(|()| self.ctx.step(1)).map_err(DecodeError::Limit)?;
        match self.next()? {
            b'{' => self.object(depth),
            b'[' => self.array(depth),
            b'"' => Ok(Value::Str(self.string()?)),
            b't' => self.literal("true", Value::Bool(true)),
            b'f' => self.literal("false", Value::Bool(false)),
            b'n' => self.literal("null", Value::Nil),
            byte @ (b'-' | b'0'..=b'9') => self.number(byte),
            byte => Err(unexpected(byte, "looking for beginning of value")),
        }
    }

    fn literal(&mut self, word: &str, value: Value) -> Result<Value, DecodeError> {
        for expected in word.bytes().skip(1) {
            let byte = self.inner();
            if byte != expected {
                let place = format!("in literal {word} (expecting '{}')", char::from(expected));
                return Err(unexpected(byte, &place));
            }
        }
        Ok(value)
    }

    fn object(&mut self, depth: usize) -> Result<Value, DecodeError> {
        // A container takes as much as a few texts, and an entry too.
        self.ctx.reserve_texts(2).map_err(DecodeError::Limit)?;
        let map = Map::any();
        self.space();
        if self.text.get(self.at) == Some(&b'}') {
            self.at += 1;
            return Ok(Value::Map(map));
        }
        loop {
            self.space();
            match self.next()? {
                b'"' => {}
                byte => return Err(unexpected(byte, "looking for beginning of object key string")),
            }
            let key = self.string()?;
            self.ctx.reserve_texts(2).map_err(DecodeError::Limit)?;
            self.space();
            match self.next()? {
                b':' => {}
                byte => return Err(unexpected(byte, "after object key")),
            }
            self.space();
            let value = self.value(depth + 1)?;
            map.insert(key, value);
            self.space();
            match self.next()? {
                b',' => {}
                b'}' => return Ok(Value::Map(map)),
                byte => return Err(unexpected(byte, "after object key:value pair")),
            }
        }
    }

    fn array(&mut self, depth: usize) -> Result<Value, DecodeError> {
        self.ctx.reserve_texts(2).map_err(DecodeError::Limit)?;
        let mut items = Vec::new();
        self.space();
        if self.text.get(self.at) == Some(&b']') {
            self.at += 1;
            return Ok(Value::List(List::any(items)));
        }
        loop {
            self.space();
            items.push(self.value(depth + 1)?);
            self.space();
            match self.next()? {
                b',' => {}
                b']' => return Ok(Value::List(List::any(items))),
                byte => return Err(unexpected(byte, "after array element")),
            }
        }
    }

    fn digits(&mut self) {
        while matches!(self.text.get(self.at), Some(b'0'..=b'9')) {
            self.at += 1;
        }
    }

    fn digit(&mut self, place: &str) -> Result<u8, DecodeError> {
        match self.inner() {
            byte @ b'0'..=b'9' => Ok(byte),
            byte => Err(unexpected(byte, place)),
        }
    }

    fn number(&mut self, first: u8) -> Result<Value, DecodeError> {
        let start = self.at - 1;
        let first = if first == b'-' { self.digit("in numeric literal")? } else { first };
        if first != b'0' {
            self.digits();
        }
        if self.text.get(self.at) == Some(&b'.') {
            self.at += 1;
            self.digit("after decimal point in numeric literal")?;
            self.digits();
        }
        if matches!(self.text.get(self.at), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.text.get(self.at), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digit("in exponent of numeric literal")?;
            self.digits();
        }
        let text = String::from_utf8_lossy(&self.text[start..self.at]);
        match text.parse::<f64>() {
            Ok(f) if f.is_finite() => Ok(Value::Float(f)),
            _ => {
                self.complaint.get_or_insert_with(|| {
                    format!("json: cannot unmarshal number {text} into Go value of type float64")
                });
                Ok(Value::Nil)
            }
        }
    }

    /// The rest of a string whose opening quote is read.
    fn string(&mut self) -> Result<Str, DecodeError> {
        let mut out = Vec::new();
        loop {
            match self.next()? {
                b'"' => break,
                b'\\' => self.escape(&mut out)?,
                byte @ 0..=0x1F => return Err(unexpected(byte, "in string literal")),
                byte => out.push(byte),
            }
        }
        // Each byte that is not UTF-8 becomes one U+FFFD.
        if std::str::from_utf8(&out).is_err() {
            self.ctx.reserve(out.len().saturating_mul(3)).map_err(DecodeError::Limit)?;
            let mut valid = String::with_capacity(out.len());
            for chunk in out.utf8_chunks() {
                valid.push_str(chunk.valid());
                valid.extend(std::iter::repeat_n(char::REPLACEMENT_CHARACTER, chunk.invalid().len()));
            }
            return Ok(valid.into_bytes().into());
        }
        Ok(out.into())
    }

    fn escape(&mut self, out: &mut Vec<u8>) -> Result<(), DecodeError> {
        out.push(match self.inner() {
            byte @ (b'"' | b'\\' | b'/') => byte,
            b'b' => 8,
            b'f' => 12,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'u' => {
                let mut unit = self.unit()?;
                // A high half and a low half are one letter; a half alone is none.
                if (0xD800..0xDC00).contains(&unit) && self.text[self.at..].starts_with(b"\\u") {
                    let back = self.at;
                    self.at += 2;
                    match self.unit()? {
                        low @ 0xDC00..=0xDFFF => unit = 0x10000 + ((unit - 0xD800) << 10) + (low - 0xDC00),
                        _ => self.at = back,
                    }
                }
                let c = char::from_u32(unit).unwrap_or('\u{FFFD}');
                out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                return Ok(());
            }
            byte => return Err(unexpected(byte, "in string escape code")),
        });
        Ok(())
    }

    fn unit(&mut self) -> Result<u32, DecodeError> {
        let mut unit = 0;
        for _ in 0..4 {
            let byte = self.inner();
            let Some(digit) = char::from(byte).to_digit(16) else {
                return Err(unexpected(byte, "in \\u hexadecimal character escape"));
            };
            unit = unit << 4 | digit;
        }
        Ok(unit)
    }
}
