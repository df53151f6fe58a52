//! The parsed template (`text/template/parse/node.go`). Nodes print themselves as Go's do: error texts quote them.

use std::fmt;
use std::sync::Arc;

use super::strconv::{Unquoted, parse_float, parse_int, parse_uint, quote_text, unquote_char};
use super::value::Str;

/// A template of a set.
pub(super) struct Tree {
    pub name: Arc<str>,
    /// The name of the source that the template stands in, which may be that of another template.
    pub source: Arc<str>,
    /// The text of that source.
    pub text: Arc<str>,
    pub root: Vec<Node>,
}

impl Tree {
    /// Whether there is nothing but space: such a template does not replace another.
    pub fn is_empty(&self) -> bool {
        self.root.iter().all(|node| matches!(node, Node::Text(text) if text.trim_ascii().is_empty()))
    }
}

/// A piece of text, or an action.
pub(super) enum Node {
    Text(Str),
    Action(Pipe),
    Break,
    Continue,
    If(Box<Branch>),
    Range(Box<Branch>),
    With(Box<Branch>),
    Template(Box<Call>),
}

/// `if`, `range` or `with`.
pub(super) struct Branch {
    /// The first, and each `else if` or `else with`.
    pub arms: Vec<Arm>,
    pub else_list: Option<Vec<Node>>,
}

/// What is walked if the pipeline gives something that is true.
pub(super) struct Arm {
    pub pipe: Pipe,
    pub list: Vec<Node>,
}

/// `{{template "name" pipeline}}`
pub(super) struct Call {
    pub pos: usize,
    pub name: String,
    pub pipe: Option<Pipe>,
}

/// A pipeline, and the variables that it sets.
pub(super) struct Pipe {
    pub pos: usize,
    pub assign: bool,
    pub decl: Vec<String>,
    pub commands: Vec<Command>,
}

/// An operand and its arguments.
pub(super) struct Command {
    pub pos: usize,
    pub args: Vec<Operand>,
}

/// An operand, and where it stands.
pub(super) struct Operand {
    pub pos: usize,
    pub kind: OperandKind,
}

pub(super) enum OperandKind {
    Bool(bool),
    Dot,
    Nil,
    Number(Box<Number>),
    String { quoted: Box<str>, text: Str },
    Field(Vec<String>),
    Chain { operand: Box<Operand>, fields: Vec<String> },
    Identifier(Box<str>),
    Variable(Vec<String>),
    Pipe(Box<Pipe>),
}

impl Operand {
    /// Whether this is a constant, which can be neither called nor given a value.
    pub fn is_constant(&self) -> bool {
        use OperandKind::*;
        matches!(self.kind, Bool(_) | Dot | Nil | Number(_) | String { .. })
    }
}

/// A number constant, under every type that can hold it.
#[derive(Default)]
pub(super) struct Number {
    pub text: String,
    pub int: Option<i64>,
    pub uint: Option<u64>,
    pub float: Option<f64>,
    pub complex: Option<(f64, f64)>,
}

impl Number {
    /// `newNumber` of a character constant.
    pub fn character(text: &str) -> Result<Number, String> {
        let (c, rest) = unquote_char(&text[1..], b'\'').ok_or("invalid syntax")?;
        if rest != "'" {
            return Err(format!("malformed character constant: {text}"));
        }
        let c = match c {
            Unquoted::Char(c) => c as u32,
            Unquoted::Byte(b) => u32::from(b),
        };
        Ok(Number {
            text: text.to_owned(),
            int: Some(c.into()),
            uint: Some(c.into()),
            float: Some(c.into()),
            complex: None,
        })
    }

    /// `newNumber` of `1+2i`.
    pub fn complex(text: &str) -> Result<Number, String> {
        let bad = || "syntax error scanning complex number".to_owned();
        let digits = text.strip_suffix('i').ok_or_else(bad)?;
        // The sign between the parts is the last one that no exponent owns.
        let split = digits
            .char_indices()
            .rev()
            .find(|(i, c)| {
                matches!(c, '+' | '-')
                    && *i > 0
                    && (!digits[..*i].ends_with(['e', 'E', 'p', 'P']) || is_hex_mantissa(&digits[..*i]))
            })
            .map(|(i, _)| i)
            .ok_or_else(bad)?;
        let re = parse_float(&digits[..split]).ok_or_else(bad)?;
        let im = parse_float(&digits[split..]).ok_or_else(bad)?;
        Ok(Number::of_complex(text, re, im))
    }

    fn of_complex(text: &str, re: f64, im: f64) -> Number {
        let float = (im == 0.0).then_some(re);
        Number {
            text: text.to_owned(),
            int: float.and_then(as_int),
            uint: float.and_then(as_uint),
            float,
            complex: Some((re, im)),
        }
    }

    /// `newNumber` of everything else.
    pub fn parse(text: &str) -> Result<Number, String> {
        if let Some(im) = text.strip_suffix('i').and_then(parse_float) {
            return Ok(Number::of_complex(text, 0.0, im));
        }
        let mut number =
            Number { text: text.to_owned(), int: parse_int(text), uint: parse_uint(text), ..Number::default() };
        if number.int == Some(0) {
            number.uint = Some(0);
        }
        number.float = match (number.int, number.uint) {
            (Some(i), _) => Some(i as f64),
            (None, Some(u)) => Some(u as f64),
            (None, None) => {
                let float = parse_float(text).ok_or_else(|| format!("illegal number syntax: {}", quote_text(text)))?;
                if !text.contains(['.', 'e', 'E', 'p', 'P']) {
                    return Err(format!("integer overflow: {}", quote_text(text)));
                }
                number.int = as_int(float);
                number.uint = as_uint(float);
                Some(float)
            }
        };
        Ok(number)
    }
}

fn is_hex_mantissa(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    lower.contains("0x") && !lower.ends_with('p')
}

fn as_int(float: f64) -> Option<i64> {
    (float.trunc() == float && (-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0).contains(&float))
        .then_some(float as i64)
}

fn as_uint(float: f64) -> Option<u64> {
    (float.trunc() == float && (0.0..18_446_744_073_709_551_616.0).contains(&float)).then_some(float as u64)
}

fn write_fields(f: &mut fmt::Formatter<'_>, fields: &[String]) -> fmt::Result {
    fields.iter().try_for_each(|field| write!(f, ".{field}"))
}

impl fmt::Display for Operand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            OperandKind::Bool(b) => write!(f, "{b}"),
            OperandKind::Dot => f.write_str("."),
            OperandKind::Nil => f.write_str("nil"),
            OperandKind::Number(number) => f.write_str(&number.text),
            OperandKind::String { quoted, .. } => f.write_str(quoted),
            OperandKind::Field(fields) => write_fields(f, fields),
            OperandKind::Chain { operand, fields } => {
                match &operand.kind {
                    OperandKind::Pipe(pipe) => write!(f, "({pipe})")?,
                    _ => write!(f, "{operand}")?,
                }
                write_fields(f, fields)
            }
            OperandKind::Identifier(name) => f.write_str(name),
            OperandKind::Variable(names) => f.write_str(&names.join(".")),
            OperandKind::Pipe(pipe) => write!(f, "{pipe}"),
        }
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, arg) in self.args.iter().enumerate() {
            if i > 0 {
                f.write_str(" ")?;
            }
            match &arg.kind {
                OperandKind::Pipe(pipe) => write!(f, "({pipe})")?,
                _ => write!(f, "{arg}")?,
            }
        }
        Ok(())
    }
}

impl fmt::Display for Pipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.decl.is_empty() {
            write!(f, "{} {} ", self.decl.join(", "), if self.assign { "=" } else { ":=" })?;
        }
        for (i, command) in self.commands.iter().enumerate() {
            write!(f, "{}{command}", if i > 0 { " | " } else { "" })?;
        }
        Ok(())
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{{{{template {}", quote_text(&self.name))?;
        if let Some(pipe) = &self.pipe {
            write!(f, " {pipe}")?;
        }
        f.write_str("}}")
    }
}
