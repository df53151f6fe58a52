//! Several paths at a time: `{a,"name":b}` makes an object, `[a,b]` an array.

use super::Stop;
use super::modifiers::append_string;
use super::quotes::closing_quote;
use super::work::{Part, View, Work};
use crate::external_secret::document::Json;

/// A path, and the name of what it finds.
struct Selector<'p> {
    name: Option<&'p str>,
    path: &'p str,
}

/// Paths between brackets.
pub(super) struct Selectors<'p> {
    is_object: bool,
    all: Vec<Selector<'p>>,
}

impl<'p> Selectors<'p> {
    /// The paths that a path begins with, and what is behind them. Nothing if the brackets are not closed.
    pub(super) fn first(path: &'p str) -> Option<(Self, &'p str)> {
        let bytes = path.as_bytes();
        let mut all = vec![];
        let (mut in_modifier, mut colon, mut start, mut depth) = (false, None, 1, 1_usize);
        let mut at = 1;
        while let Some(&byte) = bytes.get(at) {
            let ends = match byte {
                b',' => depth == 1,
                b']' | b')' | b'}' => {
                    depth -= 1;
                    depth == 0
                }
                _ => false,
            };
            if ends {
                let name = colon.map(|colon| &path[start..colon]);
                all.push(Selector { name, path: &path[colon.map_or(start, |colon| colon + 1)..at] });
                if depth == 0 {
                    return Some((Self { is_object: bytes[0] == b'{', all }, &path[at + 1..]));
                }
                (in_modifier, colon, start) = (false, None, at + 1);
            }
            match byte {
                b'\\' => at += 1,
                b'@' => in_modifier |= matches!(bytes[at - 1], b'.' | b'|'),
                b':' if !in_modifier && colon.is_none() && depth == 1 => colon = Some(at),
                b'"' => at = closing_quote(bytes, at).0,
                b'[' | b'(' | b'{' => depth += 1,
                _ => {}
            }
            at += 1;
        }
        None
    }

    /// What the paths find in a part. What is not there is left out.
    pub(super) fn apply(&self, work: &mut Work<'_>, view: View<'_>) -> Result<Part<'static>, Stop> {
        let (open, close) = if self.is_object { ('{', '}') } else { ('[', ']') };
        let mut text = String::from(open);
        for selector in &self.all {
            let Some(found) = (work.get)(work, view, selector.path)? else { continue };
            work.check_room(text.len() + found.text.len())?;
            if text.len() > 1 {
                text.push(',');
            }
            if self.is_object {
                selector.append_name(&mut text);
                text.push(':');
            }
            text.push_str(&found.text);
        }
        text.push(close);
        work.made(text)
    }
}

impl Selector<'_> {
    fn append_name(&self, text: &mut String) {
        match self.name {
            Some(name) if name.starts_with('"') && Json::parse(name.as_bytes()).is_ok() => text.push_str(name),
            Some(name) if !name.is_empty() => append_string(text, name),
            _ => {
                let last = last_name(self.path);
                let is_simple = !last.chars().any(|c| c < ' ' || "[]{}()#|!".contains(c));
                append_string(text, if is_simple { last } else { "_" });
            }
        }
    }
}

/// The last component of a path.
fn last_name(path: &str) -> &str {
    let bytes = path.as_bytes();
    let separates = |at: &usize| matches!(bytes[*at], b'|' | b'.') && (*at == 0 || bytes[*at - 1] != b'\\');
    (0..bytes.len()).rev().find(separates).map_or(path, |at| &path[at + 1..])
}
