//! The components of a path.

use std::borrow::Cow;

use super::literal::balanced;
use super::query::{Query, UNENDED};
use super::quotes::closing_quote;

/// Functions of gjson. A component after a dot that begins with `@` and one of the names is a call.
const MODIFIERS: [&str; 13] = [
    "pretty", "ugly", "reverse", "this", "flatten", "join", "valid", "keys", "values", "tostr", "fromstr", "group",
    "dig",
];

/// What follows a component.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Next<'p> {
    /// Nothing.
    End,
    /// A path into the value of the component.
    Path(&'p str),
    /// A path into the result of all that is before it.
    Pipe(&'p str),
}

impl<'p> Next<'p> {
    /// What follows a dot.
    fn after_dot(rest: &'p str) -> Self {
        if !rest.is_empty() && is_operator(rest) { Self::Pipe(rest) } else { Self::Path(rest) }
    }
}

/// Whether a component is a call or several paths.
fn is_operator(path: &str) -> bool {
    match path.strip_prefix('@') {
        Some(name) => is_modifier(name),
        None => path.starts_with(['[', '{']),
    }
}

/// Whether a text without its `@` begins with the name of a function.
pub(super) fn is_modifier(name: &str) -> bool {
    MODIFIERS.contains(&name.split(['.', '|', ':']).next().unwrap_or(name))
}

/// A component that is applied to an object.
pub(super) struct Name<'p> {
    pub(super) text: Cow<'p, str>,
    pub(super) wild: bool,
    pub(super) next: Next<'p>,
}

impl<'p> Name<'p> {
    pub(super) fn first(path: &'p str) -> Self {
        let bytes = path.as_bytes();
        let mut wild = false;
        // Copied from the first backslash on.
        let mut copy: Option<Vec<u8>> = None;
        let mut at = 0;
        let mut next = Next::End;
        let mut end = path.len();
        while let Some(&byte) = bytes.get(at) {
            match byte {
                b'.' | b'|' => {
                    end = at;
                    next = if byte == b'|' { Next::Pipe(&path[at + 1..]) } else { Next::after_dot(&path[at + 1..]) };
                    break;
                }
                b'\\' => {
                    let copy = copy.get_or_insert_with(|| bytes[..at].to_vec());
                    copy.extend(bytes.get(at + 1));
                    at += 2;
                    continue;
                }
                b'*' | b'?' => wild = true,
                _ => {}
            }
            if let Some(copy) = &mut copy {
                copy.push(byte);
            }
            at += 1;
        }
        // Only backslashes are left out, so the copy is UTF-8.
        let text = match copy {
            None => Cow::Borrowed(&path[..end]),
            Some(copy) => Cow::Owned(String::from_utf8_lossy(&copy).into_owned()),
        };
        Self { text, wild, next }
    }
}

/// A component that is applied to an array.
pub(super) enum Selection<'p> {
    /// An element.
    Index(Option<usize>),
    /// How many elements there are.
    Count,
    /// A path into each element.
    Each(&'p str),
    /// Elements of which something is true: the first, or all.
    Query { query: Query<'p>, all: bool },
    /// Nothing that an array has.
    Nothing,
}

/// A component that is applied to an array, and what follows it.
pub(super) struct Place<'p> {
    pub(super) selection: Selection<'p>,
    pub(super) next: Next<'p>,
}

impl<'p> Place<'p> {
    pub(super) fn first(path: &'p str) -> Self {
        let bytes = path.as_bytes();
        let (mut each, mut query, mut all, mut number_sign) = (None, None, false, false);
        let mut at = 0;
        let mut next = Next::End;
        let mut end = path.len();
        while let Some(&byte) = bytes.get(at) {
            match byte {
                b'|' => {
                    (end, next) = (at, Next::Pipe(&path[at + 1..]));
                    break;
                }
                b'.' => {
                    let rest = &path[at + 1..];
                    (end, next) = (at, if number_sign { Next::Path(rest) } else { Next::after_dot(rest) });
                    break;
                }
                b'#' => {
                    number_sign = true;
                    match bytes.get(1) {
                        Some(b'.') if at == 0 => each = Some(&path[2..]),
                        Some(b'[' | b'(') if at == 0 => {
                            let Some((found, length)) = Query::first(path) else {
                                query = Some(UNENDED);
                                break;
                            };
                            at = length - 1;
                            query = Some(found);
                            all = bytes.get(length) == Some(&b'#');
                        }
                        _ => {}
                    }
                }
                _ => {}
            }
            at += 1;
        }
        let part = &path[..end];
        let selection = match (query, each) {
            (Some(query), _) => Selection::Query { query, all },
            (None, Some(path)) => Selection::Each(path),
            (None, None) if part == "#" => Selection::Count,
            (None, None) if number_sign => Selection::Nothing,
            (None, None) => Selection::Index(index(part)),
        };
        Self { selection, next }
    }
}

/// A number without a sign. One that is too large begins again at zero, as in Go.
fn index(part: &str) -> Option<usize> {
    if part.is_empty() || !part.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let number =
        part.bytes().fold(0_u64, |number, digit| number.wrapping_mul(10).wrapping_add(u64::from(digit - b'0')));
    usize::try_from(number).ok()
}

/// A path within a component, and the path after its pipe.
pub(super) fn split_pipe(path: &str) -> Option<(&str, &str)> {
    let bytes = path.as_bytes();
    if !path.contains('|') {
        return None;
    }
    if path.starts_with('{') {
        return braces_and_pipe(path);
    }
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'\\' => at += 1,
            b'|' => return Some((&path[..at], &path[at + 1..])),
            b'.' if at + 1 == bytes.len() => return None,
            b'.' if bytes[at + 1] == b'#' => {
                at += 2;
                match bytes.get(at) {
                    None => return None,
                    Some(b'[') => at = after_brackets(bytes, at, b'[', b']'),
                    Some(b'(') => at = after_brackets(bytes, at, b'(', b')'),
                    Some(_) => {}
                }
            }
            _ => {}
        }
        at += 1;
    }
    None
}

/// Paths in braces, and the path after the pipe behind them.
fn braces_and_pipe(path: &str) -> Option<(&str, &str)> {
    let inner = path.strip_prefix('{')?;
    let length = balanced(inner);
    if length >= inner.len() {
        return None;
    }
    let (braces, rest) = path.split_at(length + 1);
    Some((braces, rest.strip_prefix('|')?))
}

/// The place of the bracket that closes the one at `at`.
fn after_brackets(bytes: &[u8], mut at: usize, open: u8, close: u8) -> usize {
    at += 1;
    let mut depth = 1;
    while let Some(&byte) = bytes.get(at) {
        if byte == b'\\' {
            at += 1;
        } else if byte == open {
            depth += 1;
        } else if byte == close {
            depth -= 1;
            if depth == 0 {
                break;
            }
        } else if byte == b'"' {
            at = closing_quote(bytes, at).0;
        }
        at += 1;
    }
    at
}
