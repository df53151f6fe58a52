//! From values to YAML, as `yaml.Marshal` writes them by way of JSON (goyaml's emitter).

use std::rc::Rc;

use super::node::{Entry, Node, parse};
use super::number::format_float64;
use super::resolve::{Scalar, is_base_60, is_timestamp, plain};
use super::scalar::{Analysis, Form, is_break, is_printable};
use super::{DecodeError, sort};
use crate::gocompat::json::{self, EncodeError, Style};
use crate::gocompat::template::{CallError, Context, Value};

/// A line is broken behind this column.
const WIDTH: usize = 80;
const INDENT: usize = 2;
/// A key that is longer, in bytes, stands behind a `?`.
const SIMPLE_KEY_BYTES: usize = 128;

/// The value as YAML, with a line end. `None` where Go fails.
pub(crate) fn encode(ctx: &mut Context, value: &Value) -> Result<Option<Vec<u8>>, CallError> {
    let json = match json::encode(ctx, value, Style::Html) {
        Ok(json) => json,
        Err(EncodeError::Unsupported(_)) => return Ok(None),
        Err(EncodeError::Limit(error)) => return Err(error),
    };
    // What is written escaped takes four bytes and more.
    ctx.reserve(json.len().saturating_mul(4))?;
    ctx.step_bytes(json.len().saturating_mul(8))?;
    let json = String::from_utf8(json).unwrap_or_default();
    // What YAML forbids in a text, and JSON does not.
    if json.chars().any(|c| matches!(c, '\u{7f}'..='\u{84}' | '\u{86}'..='\u{9f}' | '\u{fffe}' | '\u{ffff}')) {
        return Ok(None);
    }
    // To YAML this is the end of a line.
    let json = json.replace('\u{85}', " ");
    let root = match parse(ctx, &json) {
        Ok(Some(root)) => root,
        Ok(None) | Err(DecodeError::Invalid(_)) => return Ok(None),
        Err(DecodeError::Limit(error)) => return Err(error),
    };
    let mut emitter = Emitter { ctx, out: String::new(), column: 0, indent: None, whitespace: true, indention: true };
    emitter.node(&root, Place::Root)?;
    emitter.write_indent()?;
    Ok(Some(emitter.out.into_bytes()))
}

/// What a node is to the one that holds it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Root,
    Item,
    SimpleKey,
    Key,
    Value,
}

struct Emitter<'e> {
    ctx: &'e mut Context,
    out: String,
    column: usize,
    /// None before the first collection.
    indent: Option<usize>,
    /// The last character was a space, or nothing is before.
    whitespace: bool,
    /// Only an indentation, with `-` or `?`, is on the line.
    indention: bool,
}

impl Emitter<'_> {
    fn node(&mut self, node: &Node, place: Place) -> Result<(), CallError> {
        self.ctx.step(4)?;
        match node {
            Node::Scalar(scalar) => self.scalar(scalar, place),
            Node::List(items) if items.is_empty() => self.empty("[", "]"),
            Node::List(items) => self.list(items, place),
            Node::Map(entries) if entries.is_empty() => self.empty("{", "}"),
            Node::Map(entries) => self.map(entries),
        }
    }

    fn empty(&mut self, begin: &str, end: &str) -> Result<(), CallError> {
        self.indicator(begin, true, true, false)?;
        self.indicator(end, false, false, false)
    }

    fn list(&mut self, items: &[Rc<Node>], place: Place) -> Result<(), CallError> {
        // A list in a map stands as far left as its key.
        let in_map = matches!(place, Place::Value | Place::Key | Place::SimpleKey);
        let outer = self.indent;
        self.indent = Some(match outer {
            None => 0,
            Some(indent) if in_map && !self.indention => indent,
            Some(indent) => indent + INDENT,
        });
        for item in items {
            self.write_indent()?;
            self.indicator("-", true, false, true)?;
            self.node(item, Place::Item)?;
        }
        self.indent = outer;
        Ok(())
    }

    fn map(&mut self, entries: &[Entry]) -> Result<(), CallError> {
        let outer = self.indent;
        self.indent = Some(outer.map_or(0, |indent| indent + INDENT));
        let mut sorted: Vec<(String, &Entry)> = vec![];
        for entry in entries {
            let Node::Scalar(Scalar::Text(key)) = &*entry.key else { continue };
            let key = String::from_utf8_lossy(key).into_owned();
            self.ctx.step_bytes(key.len().saturating_mul(32))?;
            sorted.push((key, entry));
        }
        let levels = u64::from(usize::BITS - sorted.len().leading_zeros());
        self.ctx.step((sorted.len() as u64).saturating_mul(levels))?;
        for (key, entry) in sort::by(sorted, |a, b| sort::natural(&a.0, &b.0)) {
            self.write_indent()?;
            let is_simple = key.len() <= SIMPLE_KEY_BYTES && !Analysis::of(&key).multiline;
            if is_simple {
                self.node(&entry.key, Place::SimpleKey)?;
                self.indicator(":", false, false, false)?;
            } else {
                self.indicator("?", true, false, true)?;
                self.node(&entry.key, Place::Key)?;
                self.write_indent()?;
                self.indicator(":", true, false, true)?;
            }
            self.node(&entry.value, Place::Value)?;
        }
        self.indent = outer;
        Ok(())
    }

    fn scalar(&mut self, scalar: &Scalar, place: Place) -> Result<(), CallError> {
        let (text, wanted) = match scalar {
            Scalar::Null => ("null".to_owned(), Form::Plain),
            Scalar::Bool(b) => (b.to_string(), Form::Plain),
            Scalar::Int(i) => (i.to_string(), Form::Plain),
            Scalar::Uint(u) => (u.to_string(), Form::Plain),
            Scalar::Float(f) => (format_float64(*f), Form::Plain),
            Scalar::Text(text) => {
                let text = String::from_utf8_lossy(text).into_owned();
                let means_itself =
                    matches!(plain(&text), Scalar::Text(_)) && !is_timestamp(&text) && !is_base_60(&text);
                let wanted = if text.contains('\n') {
                    Form::Literal
                } else if means_itself {
                    Form::Plain
                } else {
                    Form::DoubleQuoted
                };
                (text, wanted)
            }
        };
        let breaks_allowed = place != Place::SimpleKey;
        let outer = self.indent;
        self.indent = Some(outer.map_or(INDENT, |indent| indent + INDENT));
        match Analysis::of(&text).form(&text, wanted, place == Place::SimpleKey) {
            Form::Plain => self.plain(&text, breaks_allowed)?,
            Form::SingleQuoted => self.single_quoted(&text, breaks_allowed)?,
            Form::DoubleQuoted => self.double_quoted(&text, breaks_allowed)?,
            Form::Literal => self.literal(&text)?,
        }
        self.indent = outer;
        Ok(())
    }

    fn put(&mut self, c: char) {
        self.out.push(c);
        self.column += 1;
    }

    fn put_break(&mut self) {
        self.out.push('\n');
        self.column = 0;
    }

    /// A break that stands in a text.
    fn copy_break(&mut self, c: char) {
        self.out.push(c);
        self.column = 0;
    }

    fn indicator(
        &mut self,
        text: &str,
        needs_whitespace: bool,
        is_whitespace: bool,
        is_indention: bool,
    ) -> Result<(), CallError> {
        self.ctx.step(1)?;
        if needs_whitespace && !self.whitespace {
            self.put(' ');
        }
        text.chars().for_each(|c| self.put(c));
        self.whitespace = is_whitespace;
        self.indention = self.indention && is_indention;
        Ok(())
    }

    fn write_indent(&mut self) -> Result<(), CallError> {
        let indent = self.indent.unwrap_or(0);
        // Indentation is not in proportion to what is written.
        self.ctx.reserve(indent)?;
        if !self.indention || self.column > indent || self.column == indent && !self.whitespace {
            self.put_break();
        }
        while self.column < indent {
            self.put(' ');
        }
        self.whitespace = true;
        self.indention = true;
        Ok(())
    }

    fn plain(&mut self, text: &str, breaks_allowed: bool) -> Result<(), CallError> {
        if !self.whitespace {
            self.put(' ');
        }
        self.folded(text, breaks_allowed, false)?;
        self.whitespace = false;
        self.indention = false;
        Ok(())
    }

    fn single_quoted(&mut self, text: &str, breaks_allowed: bool) -> Result<(), CallError> {
        self.indicator("'", true, false, false)?;
        self.folded(text, breaks_allowed, true)?;
        self.indicator("'", false, false, false)?;
        self.whitespace = false;
        self.indention = false;
        Ok(())
    }

    /// The text of a plain or single quoted scalar: lines are broken at single spaces.
    fn folded(&mut self, text: &str, breaks_allowed: bool, quoted: bool) -> Result<(), CallError> {
        let (mut spaces, mut breaks) = (false, false);
        let mut chars = text.chars().peekable();
        let mut first = true;
        while let Some(c) = chars.next() {
            if c == ' ' {
                let inside = !quoted || !first && chars.peek().is_some();
                let fold = breaks_allowed && !spaces && self.column > WIDTH && inside && chars.peek() != Some(&' ');
                if fold {
                    self.write_indent()?;
                } else {
                    self.put(c);
                }
                spaces = true;
            } else if is_break(c) {
                if !breaks && c == '\n' {
                    self.put_break();
                }
                self.copy_break(c);
                self.indention = true;
                breaks = true;
            } else {
                if breaks {
                    self.write_indent()?;
                }
                if quoted && c == '\'' {
                    self.put('\'');
                }
                self.put(c);
                self.indention = false;
                (spaces, breaks) = (false, false);
            }
            first = false;
        }
        Ok(())
    }

    fn double_quoted(&mut self, text: &str, breaks_allowed: bool) -> Result<(), CallError> {
        self.indicator("\"", true, false, false)?;
        // goyaml looks for a byte order mark at the begin of the text only, and then escapes all of it.
        let escape_all = text.starts_with('\u{feff}');
        let mut spaces = false;
        let mut chars = text.chars().peekable();
        let mut first = true;
        while let Some(c) = chars.next() {
            if !is_printable(c) || escape_all || is_break(c) || matches!(c, '"' | '\\') {
                self.escaped(c);
                spaces = false;
            } else if c == ' ' {
                if breaks_allowed && !spaces && self.column > WIDTH && !first && chars.peek().is_some() {
                    self.write_indent()?;
                    if chars.peek() == Some(&' ') {
                        self.put('\\');
                    }
                } else {
                    self.put(c);
                }
                spaces = true;
            } else {
                self.put(c);
                spaces = false;
            }
            first = false;
        }
        self.indicator("\"", false, false, false)?;
        self.whitespace = false;
        self.indention = false;
        Ok(())
    }

    fn escaped(&mut self, c: char) {
        let code = u32::from(c);
        let text = match c {
            '\0' => "\\0".to_owned(),
            '\u{7}' => "\\a".to_owned(),
            '\u{8}' => "\\b".to_owned(),
            '\t' => "\\t".to_owned(),
            '\n' => "\\n".to_owned(),
            '\u{b}' => "\\v".to_owned(),
            '\u{c}' => "\\f".to_owned(),
            '\r' => "\\r".to_owned(),
            '\u{1b}' => "\\e".to_owned(),
            '"' => "\\\"".to_owned(),
            '\\' => "\\\\".to_owned(),
            '\u{85}' => "\\N".to_owned(),
            '\u{a0}' => "\\_".to_owned(),
            '\u{2028}' => "\\L".to_owned(),
            '\u{2029}' => "\\P".to_owned(),
            _ if code <= 0xff => format!("\\x{code:02X}"),
            _ if code <= 0xffff => format!("\\u{code:04X}"),
            _ => format!("\\U{code:08X}"),
        };
        text.chars().for_each(|c| self.put(c));
    }

    fn literal(&mut self, text: &str) -> Result<(), CallError> {
        self.indicator("|", true, false, false)?;
        if text.starts_with(|c| c == ' ' || is_break(c)) {
            self.indicator(&INDENT.to_string(), false, false, false)?;
        }
        let mut from_end = text.chars().rev();
        let chomping = match (from_end.next().is_some_and(is_break), from_end.next()) {
            (false, _) => "-",
            (true, None) => "+",
            (true, Some(before)) if is_break(before) => "+",
            (true, Some(_)) => "",
        };
        if !chomping.is_empty() {
            self.indicator(chomping, false, false, false)?;
        }
        self.put_break();
        self.indention = true;
        self.whitespace = true;
        let mut breaks = true;
        for c in text.chars() {
            if is_break(c) {
                self.copy_break(c);
                self.indention = true;
                breaks = true;
            } else {
                if breaks {
                    self.write_indent()?;
                }
                self.put(c);
                self.indention = false;
                breaks = false;
            }
        }
        Ok(())
    }
}
