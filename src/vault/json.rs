//! The one parser for what a Vault server sends: with limits, in linear time, and with numbers as they were written.
//!
//! `serde_json` limits the depth, but neither the number of values nor the memory that they take, and it writes `1e21`
//! as `1e+21`; Go's client, whose output has to be met byte for byte, changes nothing.

use serde::de::DeserializeOwned;
use serde_json::{Map, Number, Value};

/// Lists and objects within each other. Go's clients allow 10,000, Vault itself 300; a Secret needs two.
const MAX_DEPTH: usize = 128;
/// Memory of the values of one answer. Text of 1 MiB, which is all that a Secret holds, takes little more than 1 MiB; a
/// list of small numbers takes up to 32 times its text, and objects with one member take 100 times theirs.
const MAX_MEMORY_BYTES: usize = 8 * 1024 * 1024;
/// What a value takes in a list: its own size, and the least that an allocation takes.
const VALUE_BYTES: usize = 64;
/// What an object takes that has at least one member: one node of a B-tree with room for eleven.
const OBJECT_BYTES: usize = 640;

/// Why a text is not taken. It quotes nothing of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JsonError {
    /// It is no JSON, or of another shape.
    #[error("the body is not the JSON that Vault sends")]
    Syntax,
    /// It is nested too deeply.
    #[error("the JSON has more than {MAX_DEPTH} lists and objects within each other")]
    Depth,
    /// The values would take too much memory.
    #[error("the JSON has too many values: they need more than {} MiB of memory", MAX_MEMORY_BYTES / (1024 * 1024))]
    Memory,
}

/// Parses one value, and nothing beside it.
///
/// # Errors
/// See [`JsonError`].
pub fn parse(text: &[u8]) -> Result<Value, JsonError> {
    let text = std::str::from_utf8(text).map_err(|_| JsonError::Syntax)?;
    let mut parser = Parser { text, at: 0, memory: 0 };
    let value = parser.value(0)?;
    match parser.peek() {
        None => Ok(value),
        Some(_) => Err(JsonError::Syntax),
    }
}

/// Parses into a type. Numbers of [`Value`] members lose their form.
pub(super) fn parse_as<T: DeserializeOwned>(text: &[u8]) -> Result<T, JsonError> {
    // The error of serde can quote the text.
    serde_json::from_value(parse(text)?).map_err(|_| JsonError::Syntax)
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    memory: usize,
}

impl<'a> Parser<'a> {
    /// The next byte that is no white space.
    fn peek(&mut self) -> Option<u8> {
        let rest = &self.text.as_bytes()[self.at..];
        let blanks = rest.iter().take_while(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r')).count();
        self.at += blanks;
        rest.get(blanks).copied()
    }

    /// Takes the next byte that is no white space.
    fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Some(byte)
    }

    fn charge(&mut self, bytes: usize) -> Result<(), JsonError> {
        self.memory += bytes;
        if self.memory > MAX_MEMORY_BYTES { Err(JsonError::Memory) } else { Ok(()) }
    }

    fn value(&mut self, depth: usize) -> Result<Value, JsonError> {
        self.charge(VALUE_BYTES)?;
        match self.peek().ok_or(JsonError::Syntax)? {
            b'{' | b'[' if depth == MAX_DEPTH => Err(JsonError::Depth),
            b'{' => self.object(depth + 1),
            b'[' => self.list(depth + 1),
            b'"' => self.string().map(Value::String),
            b'-' | b'0'..=b'9' => self.number(),
            _ => self.word(),
        }
    }

    fn object(&mut self, depth: usize) -> Result<Value, JsonError> {
        self.at += 1;
        let mut members = Map::new();
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(Value::Object(members));
        }
        self.charge(OBJECT_BYTES)?;
        loop {
            if self.peek() != Some(b'"') {
                return Err(JsonError::Syntax);
            }
            let key = self.string()?;
            if self.next() != Some(b':') {
                return Err(JsonError::Syntax);
            }
            let value = self.value(depth)?;
            members.insert(key, value);
            match self.next() {
                Some(b',') => {}
                Some(b'}') => return Ok(Value::Object(members)),
                _ => return Err(JsonError::Syntax),
            }
        }
    }

    fn list(&mut self, depth: usize) -> Result<Value, JsonError> {
        self.at += 1;
        let mut items = vec![];
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(Value::Array(items));
        }
        loop {
            items.push(self.value(depth)?);
            match self.next() {
                Some(b',') => {}
                Some(b']') => return Ok(Value::Array(items)),
                _ => return Err(JsonError::Syntax),
            }
        }
    }

    /// A string whose opening quote is next.
    fn string(&mut self) -> Result<String, JsonError> {
        let rest = &self.text.as_bytes()[self.at..];
        let mut end = 1;
        loop {
            match rest.get(end) {
                Some(b'"') => break,
                Some(b'\\') => end += 2,
                Some(_) => end += 1,
                None => return Err(JsonError::Syntax),
            }
        }
        let text = &self.text[self.at..=self.at + end];
        self.charge(text.len())?;
        self.at += text.len();
        serde_json::from_str(text).map_err(|_| JsonError::Syntax)
    }

    fn number(&mut self) -> Result<Value, JsonError> {
        let text = self.run(|byte| byte.is_ascii_digit() || b"+-.eE".contains(&byte));
        self.charge(text.len())?;
        // Its syntax is checked; the parsed number has another form.
        serde_json::from_str::<Number>(text).map_err(|_| JsonError::Syntax)?;
        Ok(Value::Number(Number::from_string_unchecked(text.to_owned())))
    }

    fn word(&mut self) -> Result<Value, JsonError> {
        match self.run(|byte| byte.is_ascii_lowercase()) {
            "null" => Ok(Value::Null),
            "true" => Ok(Value::Bool(true)),
            "false" => Ok(Value::Bool(false)),
            _ => Err(JsonError::Syntax),
        }
    }

    /// Takes the bytes up to the first that does not belong.
    fn run(&mut self, belongs: impl Fn(u8) -> bool) -> &'a str {
        let start = self.at;
        self.at += self.text.as_bytes()[start..].iter().take_while(|byte| belongs(**byte)).count();
        &self.text[start..self.at]
    }
}

#[cfg(test)]
mod tests;
