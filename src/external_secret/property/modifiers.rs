//! Functions of a path: `@keys`, `@flatten:{"deep":true}`.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt::Write as _;

use super::literal::{balanced, value_of};
use super::path::is_modifier;
use super::pretty::{Options, pretty};
use super::work::{NOTHING, Part, View, Work};
use super::{NO_JSON, Stop, number, text_of};
use crate::external_secret::document::{Halves, Json, JsonError, Kind, unescape};

/// A call of a function.
pub(super) struct Call<'p> {
    name: &'p str,
    argument: &'p str,
}

impl<'p> Call<'p> {
    /// The call that a path begins with, and what is behind it.
    pub(super) fn first(path: &'p str) -> Option<(Self, &'p str)> {
        let text = path.strip_prefix('@')?;
        if !is_modifier(text) {
            return None;
        }
        let end = text.find(['.', '|', ':']).unwrap_or(text.len());
        let (name, rest) = text.split_at(end);
        let Some(rest) = rest.strip_prefix(':') else { return Some((Self { name, argument: "" }, rest)) };
        let length = match rest.as_bytes().first() {
            Some(b'{' | b'[' | b'"') => balanced(rest),
            _ => up_to_pipe(rest),
        };
        let (argument, rest) = rest.split_at(length);
        Some((Self { name, argument }, rest))
    }

    /// What the function makes of a part.
    pub(super) fn run<'t>(&self, work: &mut Work<'_>, view: View<'t>) -> Result<Part<'t>, Stop> {
        let text = view.text;
        work.context.step_bytes(text.len())?;
        let same = || Part::from(view);
        match self.name {
            "this" => return Ok(same()),
            "tostr" => {
                let mut made = String::new();
                append_string(&mut made, text);
                return work.made(made);
            }
            "valid" | "fromstr" if !view.is_json => {
                let is_too_deep = Json::parse(text.as_bytes()).is_err_and(|error| error == JsonError::Depth);
                return if is_too_deep { Err(NO_JSON) } else { Ok(NOTHING.into()) };
            }
            "valid" => return Ok(same()),
            "fromstr" => {
                let value = value_of(text).unwrap_or("");
                return work.made(text_of(Json::checked(value)).into_owned());
            }
            _ => {}
        }
        let value = value_of(text).map(Json::checked);
        let kind = value.map(Json::kind);
        if !view.is_json && matches!(kind, Some(Kind::Object | Kind::Array | Kind::String)) {
            return Err(NO_JSON);
        }
        let made = match (self.name, value, kind) {
            ("keys" | "values", None, _) => "[]".to_owned(),
            ("keys", Some(value), Some(Kind::Object)) => {
                list(value.members().map(|(name, _)| Cow::Owned(format!("\"{name}\""))))
            }
            ("keys", Some(value), Some(Kind::Array)) => list(value.elements().map(|_| Cow::Borrowed("null"))),
            ("keys", ..) => "[null]".to_owned(),
            ("values", Some(value), Some(Kind::Object)) => list(value.members().map(|(_, v)| Cow::Borrowed(v.raw()))),
            ("values", Some(value), kind) if kind != Some(Kind::Array) => list(std::iter::once(value.raw().into())),
            ("reverse", Some(value), Some(Kind::Array)) => {
                let elements: Vec<Json<'_>> = value.elements().collect();
                list(elements.into_iter().rev().map(|element| element.raw().into()))
            }
            ("reverse", Some(value), Some(Kind::Object)) => {
                let members: Vec<_> = value.members().collect();
                object(members.into_iter().rev())
            }
            ("flatten", Some(value), Some(Kind::Array)) => flattened(value, self.flag("deep")?),
            ("join", Some(value), Some(Kind::Array)) => joined(value, self.flag("preserve")?),
            ("group", Some(value), Some(Kind::Object)) => grouped(value),
            ("group", ..) => return Ok(NOTHING.into()),
            ("dig", value, _) => return self.dig(work, value),
            ("ugly", ..) => ugly(text),
            ("pretty", None, _) if !text.trim().is_empty() => return Err(NO_JSON),
            ("pretty", ..) => pretty(work, value, &self.options()?)?,
            _ => return Ok(same()),
        };
        work.made(made)
    }

    /// What the path of the argument finds in a value and in all that is within it.
    fn dig(&self, work: &mut Work<'_>, value: Option<Json<'_>>) -> Result<Part<'static>, Stop> {
        let mut text = String::from("[");
        let mut left = vec![value];
        while let Some(value) = left.pop() {
            let view = value.map_or(NOTHING, View::of);
            work.context.step_bytes(view.text.len())?;
            if let Some(found) = (work.get)(work, view, self.argument)? {
                work.check_room(text.len() + found.text.len())?;
                if text.len() > 1 {
                    text.push(',');
                }
                text.push_str(&found.text);
            }
            let Some(value) = value else { continue };
            let from = left.len();
            left.extend(value.members().map(|(_, value)| Some(value)));
            left.extend(value.elements().map(Some));
            left[from..].reverse();
        }
        text.push(']');
        work.made(text)
    }

    /// The members of the argument, if it is an object.
    fn members(&self) -> Result<impl Iterator<Item = (Cow<'p, str>, Json<'p>)>, Stop> {
        let value = value_of(self.argument).filter(|value| value.starts_with('{'));
        if value.is_some_and(|value| Json::parse(value.as_bytes()).is_err()) {
            return Err(Stop::Unsupported("the argument of a modifier is not JSON"));
        }
        let members = value.map(|value| Json::checked(value).members());
        let read = |(name, value): (&'p str, Json<'p>)| (unescape(name, Halves::Gjson), value);
        Ok(members.into_iter().flatten().map(read))
    }

    /// A setting that is off unless the argument says otherwise.
    fn flag(&self, name: &str) -> Result<bool, Stop> {
        Ok(self.members()?.filter(|(found, _)| found == name).last().is_some_and(|(_, value)| is_true(value)))
    }

    fn options(&self) -> Result<Options, Stop> {
        let mut options = Options::default();
        for (name, value) in self.members()? {
            let blanks = || text_of(value).chars().filter(|c| matches!(c, ' ' | '\t' | '\n' | '\r')).collect();
            match &*name {
                "sortKeys" => options.sort_keys = is_true(value),
                "indent" => options.indent = blanks(),
                "prefix" => options.prefix = blanks(),
                "width" => options.width = integer(value),
                _ => {}
            }
        }
        Ok(options)
    }
}

/// How long an argument is that is not JSON: it ends at a pipe that is in no brackets.
fn up_to_pipe(text: &str) -> usize {
    let bytes = text.as_bytes();
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'|' => break,
            b'{' | b'[' | b'"' | b'(' => at += balanced(&text[at..]),
            _ => at += 1,
        }
    }
    at
}

fn list<'t>(parts: impl Iterator<Item = Cow<'t, str>>) -> String {
    let mut text = String::from("[");
    for part in parts {
        if text.len() > 1 {
            text.push(',');
        }
        text.push_str(&part);
    }
    text.push(']');
    text
}

fn object<'t>(members: impl Iterator<Item = (&'t str, Json<'t>)>) -> String {
    let mut text = String::from("{");
    for (name, value) in members {
        if text.len() > 1 {
            text.push(',');
        }
        text.extend(["\"", name, "\":", value.raw()]);
    }
    text.push('}');
    text
}

/// What is between the brackets of a value.
fn unwrapped(value: Json<'_>) -> &str {
    let raw = value.raw();
    raw.get(1..raw.len() - 1).unwrap_or("")
}

fn flattened(value: Json<'_>, deep: bool) -> String {
    let mut text = String::from("[");
    let mut add = |raw: &str| {
        let raw = raw.trim();
        if !raw.is_empty() {
            if text.len() > 1 {
                text.push(',');
            }
            text.push_str(raw);
        }
    };
    let mut left = vec![value.elements()];
    while let Some(elements) = left.last_mut() {
        match elements.next() {
            None => drop(left.pop()),
            Some(element) if element.kind() != Kind::Array => add(element.raw()),
            Some(element) if deep => left.push(element.elements()),
            Some(element) => add(unwrapped(element)),
        }
    }
    text.push(']');
    text
}

fn joined(value: Json<'_>, preserve: bool) -> String {
    let objects = value.elements().filter(|element| element.kind() == Kind::Object);
    if preserve {
        let members: Vec<&str> = objects.map(unwrapped).collect();
        return format!("{{{}}}", members.join(","));
    }
    let mut places = HashMap::<Cow<'_, str>, usize>::new();
    let mut members: Vec<(&str, Json<'_>)> = vec![];
    for (name, value) in objects.flat_map(Json::members) {
        let place = *places.entry(unescape(name, Halves::Gjson)).or_insert(members.len());
        match members.get_mut(place) {
            Some((_, known)) => *known = value,
            None => members.push((name, value)),
        }
    }
    object(members.into_iter())
}

fn grouped(value: Json<'_>) -> String {
    let mut rows: Vec<Vec<(&str, Json<'_>)>> = vec![];
    for (name, value) in value.members() {
        for (i, element) in value.elements().enumerate() {
            if i == rows.len() {
                rows.push(vec![]);
            }
            rows[i].push((name, element));
        }
    }
    list(rows.into_iter().map(|row| object(row.into_iter()).into()))
}

/// Without the blanks between values.
fn ugly(text: &str) -> String {
    let (mut made, mut in_string, mut escaped) = (String::with_capacity(text.len()), false, false);
    for c in text.chars() {
        if !in_string && c <= ' ' {
            continue;
        }
        made.push(c);
        if in_string {
            in_string = escaped || c != '"';
            escaped = !escaped && c == '\\';
        } else {
            in_string = c == '"';
        }
    }
    made
}

/// A text as a string of JSON, as gjson writes it.
pub(super) fn append_string(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\\' => out.push_str("\\\\"),
            '"' => out.push_str("\\\""),
            '\0'..=' ' if c != ' ' => drop(write!(out, "\\u{:04x}", u32::from(c))),
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => drop(write!(out, "\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
}

/// gjson's `Result.Bool`
fn is_true(value: Json<'_>) -> bool {
    match value.kind() {
        Kind::True => true,
        Kind::String => ["1", "t", "true"].contains(&&*text_of(value).to_lowercase()),
        Kind::Number => number(value.raw()) != 0.0,
        _ => false,
    }
}

/// gjson's `Result.Int`
fn integer(value: Json<'_>) -> i64 {
    const MAX_SAFE: f64 = 9_007_199_254_740_991.0;
    let digits = |text: &str| {
        let unsigned = text.strip_prefix('-').unwrap_or(text);
        let is_number = !unsigned.is_empty() && unsigned.bytes().all(|byte| byte.is_ascii_digit());
        let fold = |n: i64, digit: u8| n.wrapping_mul(10).wrapping_add(i64::from(digit - b'0'));
        let n = is_number.then(|| unsigned.bytes().fold(0, fold))?;
        Some(if text.starts_with('-') { n.wrapping_neg() } else { n })
    };
    match value.kind() {
        Kind::True => 1,
        Kind::String => digits(&text_of(value)).unwrap_or(0),
        Kind::Number => {
            let float = number(value.raw());
            if (-MAX_SAFE..=MAX_SAFE).contains(&float) {
                return float as i64;
            }
            // What no integer holds is the smallest one, as on amd64.
            let is_too_large = float.is_nan() || float >= 9.3e18;
            digits(value.raw()).unwrap_or(if is_too_large { i64::MIN } else { float as i64 })
        }
        _ => 0,
    }
}
