//! `@pretty`: JSON in lines, as tidwall/pretty 1.2 writes it.

use std::cmp::Ordering;

use super::work::Work;
use super::{Stop, number};
use crate::external_secret::document::{Halves, Json, Kind, unescape};

/// What can be set.
pub(super) struct Options {
    /// An array that fits into so many columns is one line. Zero or less: none is.
    pub(super) width: i64,
    /// At the beginning of each line.
    pub(super) prefix: String,
    /// Of each level.
    pub(super) indent: String,
    pub(super) sort_keys: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { width: 80, prefix: String::new(), indent: "  ".to_owned(), sort_keys: false }
    }
}

/// A value in lines.
pub(super) fn pretty(work: &mut Work<'_>, value: Option<Json<'_>>, options: &Options) -> Result<String, Stop> {
    let mut lines = Lines { work, options, text: options.prefix.clone(), line: 0 };
    if let Some(value) = value {
        lines.value(value, 0)?;
    }
    if !lines.text.is_empty() {
        lines.text.push('\n');
    }
    Ok(lines.text)
}

struct Lines<'a, 'c> {
    work: &'a mut Work<'c>,
    options: &'a Options,
    text: String,
    /// About where the last line begins.
    line: usize,
}

/// A member of an object as it is written.
struct Member<'t> {
    name: &'t str,
    /// From its indentation on.
    text: String,
}

impl Lines<'_, '_> {
    fn value(&mut self, value: Json<'_>, level: usize) -> Result<(), Stop> {
        match value.kind() {
            Kind::Object => self.object(value, level),
            Kind::Array => self.array(value, level),
            _ => self.push(scalar(value)),
        }
    }

    fn push(&mut self, text: &str) -> Result<(), Stop> {
        self.work.check_room(self.text.len() + text.len())?;
        self.text.push_str(text);
        Ok(())
    }

    fn array(&mut self, array: Json<'_>, level: usize) -> Result<(), Stop> {
        if self.options.width > 0 {
            let left =
                self.options.width.saturating_sub_unsigned((self.text.len() - self.line.min(self.text.len())) as u64);
            if left > 3 {
                self.work.context.step_bytes(array.raw().len())?;
                let limit = usize::try_from(left).unwrap_or(usize::MAX);
                let mut line = String::new();
                if one_line(array, &mut line, limit) {
                    return self.push(&line);
                }
            }
        }
        self.push("[")?;
        let mut is_first = true;
        for element in array.elements() {
            if !is_first {
                self.push(if self.options.width == -1 { "," } else { ", " })?;
            }
            is_first = false;
            self.end_line();
            self.indent(level + 1)?;
            self.value(element, level + 1)?;
        }
        self.close(is_first, "]", level)
    }

    fn object(&mut self, object: Json<'_>, level: usize) -> Result<(), Stop> {
        self.push("{")?;
        let begin = self.text.len();
        let mut members: Vec<Member<'_>> = vec![];
        let mut is_first = true;
        for (name, value) in object.members() {
            if !is_first {
                self.push(",")?;
            }
            is_first = false;
            self.end_line();
            let from = self.text.len();
            self.indent(level + 1)?;
            for part in ["\"", name, "\": "] {
                self.push(part)?;
            }
            self.value(value, level + 1)?;
            if self.options.sort_keys {
                members.push(Member { name, text: self.text[from..].to_owned() });
            }
        }
        if members.len() > 1 {
            self.work.context.step_bytes(self.text.len() - begin)?;
            members.sort_by(Member::order);
            self.text.truncate(begin + 1);
            let sorted: Vec<&str> = members.iter().map(|member| member.text.as_str()).collect();
            self.text.push_str(&sorted.join(",\n"));
        }
        self.close(is_first, "}", level)
    }

    fn close(&mut self, is_empty: bool, bracket: &str, level: usize) -> Result<(), Stop> {
        if !is_empty {
            self.end_line();
            self.indent(level)?;
        }
        self.push(bracket)
    }

    /// A blank at the end of the line becomes its end.
    fn end_line(&mut self) {
        self.line = self.text.len();
        if self.text.ends_with(' ') {
            self.text.pop();
        }
        self.text.push('\n');
    }

    fn indent(&mut self, level: usize) -> Result<(), Stop> {
        let Options { prefix, indent, .. } = self.options;
        self.work.check_room(self.text.len() + prefix.len() + indent.len() * level)?;
        self.text.push_str(prefix);
        self.text.extend(std::iter::repeat_n(indent.as_str(), level));
        Ok(())
    }
}

/// Writes an array in one line of so many bytes. Objects are in none.
fn one_line(array: Json<'_>, line: &mut String, limit: usize) -> bool {
    line.push('[');
    let mut is_first = true;
    for element in array.elements() {
        if !is_first {
            line.push_str(", ");
        }
        is_first = false;
        let fits = match element.kind() {
            Kind::Object => false,
            Kind::Array => one_line(element, line, limit),
            _ => {
                line.push_str(scalar(element));
                true
            }
        };
        if !fits || line.len() > limit {
            return false;
        }
    }
    line.push(']');
    line.len() <= limit
}

fn scalar<'t>(value: Json<'t>) -> &'t str {
    match value.kind() {
        Kind::True => "true",
        Kind::False => "false",
        Kind::Null => "null",
        _ => value.raw(),
    }
}

impl Member<'_> {
    /// By name, members of one name by value.
    fn order(&self, other: &Self) -> Ordering {
        let name = |member: &Self| unescape(member.name, Halves::Json).into_owned();
        name(self).cmp(&name(other)).then_with(|| compare(self.value(), other.value()))
    }

    fn value(&self) -> &str {
        self.text.trim().get(self.name.len() + 3..).unwrap_or("").trim()
    }
}

fn compare(one: &str, other: &str) -> Ordering {
    let (one, other) = (Json::checked(one), Json::checked(other));
    let rank = |json: Json<'_>| match json.kind() {
        Kind::Null => 0,
        Kind::False => 1,
        Kind::Number => 2,
        Kind::String => 3,
        Kind::True => 4,
        Kind::Object | Kind::Array => 5,
    };
    let by_value = || match one.kind() {
        Kind::Number => number(one.raw()).partial_cmp(&number(other.raw())).unwrap_or(Ordering::Equal),
        Kind::String => {
            let text = |json: Json<'_>| json.string(Halves::Json).unwrap_or_default().into_owned();
            text(one).cmp(&text(other))
        }
        _ => one.raw().cmp(other.raw()),
    };
    rank(one).cmp(&rank(other)).then_with(by_value)
}
