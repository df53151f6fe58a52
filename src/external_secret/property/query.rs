//! What has to be true of an element: `#(name=="x")`.

use std::borrow::Cow;
use std::cmp::Ordering;

use super::quotes::closing_quote;
use super::{number, wildcard};
use crate::external_secret::document::{Halves, Json, Kind, unescape};
use crate::gocompat::template::{CallError, Context};

/// How a value is compared.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Operator {
    /// It only has to be there.
    Exists,
    /// Not at all: no value is accepted.
    Never,
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Like,
    NotLike,
}

impl Operator {
    /// The operator that a text begins with, and its length.
    fn first(text: &str) -> (Self, usize) {
        match text.as_bytes() {
            [b'!'] => (Self::Never, 1),
            [b'!', b'=', ..] => (Self::NotEqual, 2),
            [b'!', b'%', ..] => (Self::NotLike, 2),
            [b'<', b'=', ..] => (Self::LessOrEqual, 2),
            [b'>', b'=', ..] => (Self::GreaterOrEqual, 2),
            [b'=', b'=', ..] => (Self::Equal, 2),
            [b'<', ..] => (Self::Less, 1),
            [b'>', ..] => (Self::Greater, 1),
            [b'=', ..] => (Self::Equal, 1),
            [b'%', ..] => (Self::Like, 1),
            _ => (Self::Exists, 0),
        }
    }

    fn accepts(self, order: Option<Ordering>) -> bool {
        match self {
            Self::Equal => order == Some(Ordering::Equal),
            Self::NotEqual => order != Some(Ordering::Equal),
            Self::Less => order == Some(Ordering::Less),
            Self::LessOrEqual => matches!(order, Some(Ordering::Less | Ordering::Equal)),
            Self::Greater => order == Some(Ordering::Greater),
            Self::GreaterOrEqual => matches!(order, Some(Ordering::Greater | Ordering::Equal)),
            Self::Exists | Self::Never | Self::Like | Self::NotLike => false,
        }
    }
}

/// A condition on the elements of an array.
pub(super) struct Query<'p> {
    /// What of an element is looked at.
    pub(super) path: &'p str,
    operator: Operator,
    value: Cow<'p, str>,
}

/// What gjson makes of a query without an end.
pub(super) const UNENDED: Query<'static> = Query { path: "", operator: Operator::Exists, value: Cow::Borrowed("") };

fn trim(text: &str) -> &str {
    text.trim_matches(|c: char| c <= ' ')
}

impl<'p> Query<'p> {
    /// The query that a path begins with, and its length. Nothing if it does not end.
    pub(super) fn first(path: &'p str) -> Option<(Self, usize)> {
        let bytes = path.as_bytes();
        let (mut at, mut depth, mut escaped) = (2, 1, false);
        let mut operator = None;
        while let Some(&byte) = bytes.get(at) {
            if depth == 1 && operator.is_none() && b"!=<>%".contains(&byte) {
                operator = Some(at);
                at += 1;
                continue;
            }
            match byte {
                b'\\' => at += 1,
                b'[' | b'(' => depth += 1,
                b']' | b')' => {
                    depth -= 1;
                    if depth == 0 {
                        break;
                    }
                }
                b'"' => {
                    let (end, has_escape) = closing_quote(bytes, at);
                    at = end;
                    escaped |= has_escape;
                }
                _ => {}
            }
            at += 1;
        }
        if depth > 0 {
            return None;
        }
        let Some(start) = operator else {
            let query = Self { path: trim(&path[2..at]), operator: Operator::Exists, value: Cow::Borrowed("") };
            return Some((query, at + 1));
        };
        let comparison = trim(&path[start..at]);
        let (operator, length) = Operator::first(comparison);
        let mut value = Cow::Borrowed(trim(&comparison[length..]));
        if let Some(quoted) = quoted(&value) {
            value = if escaped { Cow::Owned(read(quoted)) } else { Cow::Owned(quoted.to_owned()) };
        }
        Some((Self { path: trim(&path[2..start]), operator, value }, at + 1))
    }

    /// Whether it is true of what was found.
    pub(super) fn is_true(&self, context: &mut Context, found: Option<Json<'_>>) -> Result<bool, CallError> {
        let (mut found, mut value) = (found.map(|json| (json.kind(), json)), &*self.value);
        if let Some(wanted) = value.strip_prefix('~') {
            let Some(so) = is_kind_of(found, wanted) else { return Ok(false) };
            found = Some(if so { (Kind::True, Json::checked("true")) } else { (Kind::False, Json::checked("false")) });
            value = "true";
        }
        let Some((kind, json)) = found else { return Ok(false) };
        if self.operator == Operator::Exists {
            return Ok(true);
        }
        Ok(match kind {
            Kind::String => {
                let text = json.string(Halves::Gjson).unwrap_or_default();
                match self.operator {
                    Operator::Like => wildcard::matches(context, &text, value)?,
                    Operator::NotLike => !wildcard::matches(context, &text, value)?,
                    operator => operator.accepts(Some((*text).cmp(value))),
                }
            }
            Kind::Number => self.operator.accepts(number(json.raw()).partial_cmp(&number(value))),
            Kind::True => match self.operator {
                Operator::Equal => value == "true",
                Operator::NotEqual => value != "true",
                Operator::Greater => value == "false",
                Operator::GreaterOrEqual => true,
                _ => false,
            },
            Kind::False => match self.operator {
                Operator::Equal => value == "false",
                Operator::NotEqual => value != "false",
                Operator::Less => value == "true",
                Operator::LessOrEqual => true,
                _ => false,
            },
            Kind::Object | Kind::Array | Kind::Null => false,
        })
    }
}

/// The text between quotes, if there are.
fn quoted(text: &str) -> Option<&str> {
    text.strip_prefix('"').and_then(|text| text.strip_suffix('"'))
}

/// What is written between quotes, up to a control character.
fn read(written: &str) -> String {
    let end = written.find(|c: char| c < ' ').unwrap_or(written.len());
    unescape(&written[..end], Halves::Gjson).into_owned()
}

/// Whether a value is what `~true`, `~false`, `~null` or `~*` asks for. Nothing for another word.
fn is_kind_of(found: Option<(Kind, Json<'_>)>, wanted: &str) -> Option<bool> {
    let truth = |yes: Kind, words: [&str; 3], is_zero: bool| match found {
        Some((kind, _)) if kind == yes => true,
        Some((Kind::String, json)) => {
            let text = json.string(Halves::Gjson).unwrap_or_default().to_lowercase();
            words.contains(&&*text)
        }
        Some((Kind::Number, json)) => (number(json.raw()) == 0.0) == is_zero,
        _ => false,
    };
    // To gjson what is not there is null.
    let null = found.is_none_or(|(kind, _)| kind == Kind::Null);
    Some(match wanted {
        "*" => found.is_some(),
        "null" => null,
        "true" => truth(Kind::True, ["1", "t", "true"], false),
        "false" => null || truth(Kind::False, ["0", "f", "false"], true),
        _ => return None,
    })
}
