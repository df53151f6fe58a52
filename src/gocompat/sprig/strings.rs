//! Strings: taking apart, putting together, asking.

use std::collections::BTreeSet;

use super::args::{Answer, any, bytes, find, function, int, sprint, string, strings, strval};
use super::runes::{is_space, runes, trim_matches};
use crate::gocompat::template::format::sprintf;
use crate::gocompat::template::{CallError, Context, Function, List, Map, Str, Type, Value};

const S: Type = Type::String;
const I: Type = Type::INT;
const A: Type = Type::Any;

pub(super) static FUNCTIONS: &[Function] = &[
    function!("atoi", [S], |_, a| Ok(Value::int(
        super::numbers::parse_int(bytes(a, 0), 10).unwrap_or_else(|e| e.nearest)
    ))),
    function!("cat", [], ..A, cat),
    function!("contains", [S, S], |_, a| Ok(find(bytes(a, 1), bytes(a, 0)).is_some().into())),
    function!("hasPrefix", [S, S], |_, a| Ok(bytes(a, 1).starts_with(bytes(a, 0)).into())),
    function!("hasSuffix", [S, S], |_, a| Ok(bytes(a, 1).ends_with(bytes(a, 0)).into())),
    function!("join", [S, A], join),
    function!("nospace", [S], |_, a| Ok(string(no_space(bytes(a, 0))))),
    function!("plural", [S, S, I], |_, a| Ok(any(a, if int(a, 2) == 1 { 0 } else { 1 }).clone())),
    function!("quote", [], ..A, quote),
    function!("repeat", [I, S], |ctx, a| Ok(string(repeat(ctx, bytes(a, 1), int(a, 0))?))),
    function!("replace", [S, S, S], |ctx, a| Ok(string(replace(ctx, bytes(a, 2), bytes(a, 0), bytes(a, 1))?))),
    function!("shuffle", [S], shuffle).volatile(),
    function!("split", [S, S], |ctx, a| numbered(ctx, bytes(a, 1), bytes(a, 0), -1)),
    function!("splitList", [S, S], |ctx, a| {
        let parts = split(ctx, bytes(a, 1), bytes(a, 0), -1)?;
        strings(ctx, parts)
    }),
    function!("splitn", [S, I, S], |ctx, a| numbered(ctx, bytes(a, 2), bytes(a, 0), int(a, 1))),
    function!("squote", [], ..A, squote),
    function!("substr", [I, I, S], |_, a| substr(int(a, 0), int(a, 1), bytes(a, 2))),
    function!("toString", [A], |ctx, a| Ok(string(strval(ctx, any(a, 0))?))),
    function!("toStrings", [A], |ctx, a| Ok(Value::List(to_strings(ctx, any(a, 0))?))),
    function!("trim", [S], |_, a| Ok(string(trim_matches(bytes(a, 0), is_space)))),
    function!("trimAll", [S, S], |ctx, a| Ok(string(trim_all(ctx, bytes(a, 1), bytes(a, 0))?))),
    function!("trimall", [S, S], |ctx, a| Ok(string(trim_all(ctx, bytes(a, 1), bytes(a, 0))?))),
    function!("trimPrefix", [S, S], |_, a| {
        Ok(string(bytes(a, 1).strip_prefix(bytes(a, 0)).unwrap_or_else(|| bytes(a, 1))))
    }),
    function!("trimSuffix", [S, S], |_, a| {
        Ok(string(bytes(a, 1).strip_suffix(bytes(a, 0)).unwrap_or_else(|| bytes(a, 1))))
    }),
];

fn cat(ctx: &mut Context, args: &[Value]) -> Answer {
    let mut out = Vec::new();
    for value in args.iter().filter(|v| !matches!(v, Value::Nil)) {
        if !out.is_empty() || value_follows(args, value) {
            out.push(b' ');
        }
        out.extend(sprint(ctx, value)?);
    }
    Ok(string(out))
}

/// Whether `value` is not the first that is printed: the first may print as nothing, and the space follows all the
/// same.
fn value_follows(args: &[Value], value: &Value) -> bool {
    args.iter().find(|v| !matches!(v, Value::Nil)).is_some_and(|first| !std::ptr::eq(first, value))
}

fn quote(ctx: &mut Context, args: &[Value]) -> Answer {
    let mut parts = Vec::new();
    for value in args.iter().filter(|v| !matches!(v, Value::Nil)) {
        let text = strval(ctx, value)?;
        ctx.reserve(text.len())?;
        let text = Value::str(text.into_owned());
        parts.push(sprintf(ctx, b"%q", &[text])?);
    }
    Ok(string(parts.join(&b' ')))
}

fn squote(ctx: &mut Context, args: &[Value]) -> Answer {
    let mut parts = Vec::new();
    for value in args.iter().filter(|v| !matches!(v, Value::Nil)) {
        parts.push(sprintf(ctx, b"'%v'", std::slice::from_ref(value))?);
    }
    Ok(string(parts.join(&b' ')))
}

/// `strings.Repeat`
pub(super) fn repeat(ctx: &mut Context, text: &[u8], count: i64) -> Result<Vec<u8>, CallError> {
    let Ok(count) = usize::try_from(count) else {
        return Err(CallError::new("strings: negative Repeat count"));
    };
    let length = text.len().checked_mul(count).filter(|n| isize::try_from(*n).is_ok());
    let Some(length) = length else {
        return Err(CallError::new("strings: Repeat output length overflow"));
    };
    ctx.reserve(length)?;
    Ok(text.repeat(if text.is_empty() { 0 } else { count }))
}

/// `strings.ReplaceAll`: an empty `old` is found before every rune and at the end.
pub(super) fn replace(ctx: &mut Context, text: &[u8], old: &[u8], new: &[u8]) -> Result<Vec<u8>, CallError> {
    let mut out = Vec::with_capacity(text.len());
    ctx.reserve(text.len())?;
    if old == new {
        out.extend_from_slice(text);
        return Ok(out);
    }
    if old.is_empty() {
        let mut at = 0;
        for (_, width) in runes(text) {
            ctx.step(1)?;
            ctx.reserve(new.len())?;
            out.extend_from_slice(new);
            out.extend_from_slice(&text[at..at + width]);
            at += width;
        }
        ctx.reserve(new.len())?;
        out.extend_from_slice(new);
        return Ok(out);
    }
    let finder = memchr::memmem::Finder::new(old);
    let mut rest = text;
    while let Some(at) = finder.find(rest) {
        ctx.step(1)?;
        ctx.reserve(new.len())?;
        out.extend_from_slice(&rest[..at]);
        out.extend_from_slice(new);
        rest = &rest[at + old.len()..];
    }
    out.extend_from_slice(rest);
    Ok(out)
}

/// `strings.SplitN`; nothing if `n == 0`.
fn split(ctx: &mut Context, text: &[u8], separator: &[u8], n: i64) -> Result<Vec<Str>, CallError> {
    let mut parts = Vec::new();
    if n == 0 {
        return Ok(parts);
    }
    let limit = usize::try_from(n).unwrap_or(usize::MAX);
    let mut rest = text;
    if separator.is_empty() {
        for (_, width) in runes(text) {
            if parts.len() + 1 == limit {
                break;
            }
            ctx.reserve_texts(1)?;
            let (head, tail) = rest.split_at(width);
            parts.push(head.into());
            rest = tail;
        }
        if !rest.is_empty() {
            parts.push(rest.into());
        }
        return Ok(parts);
    }
    let finder = memchr::memmem::Finder::new(separator);
    while parts.len() + 1 < limit
        && let Some(at) = finder.find(rest)
    {
        ctx.reserve_texts(1)?;
        parts.push(rest[..at].into());
        rest = &rest[at + separator.len()..];
    }
    parts.push(rest.into());
    Ok(parts)
}

fn numbered(ctx: &mut Context, text: &[u8], separator: &[u8], n: i64) -> Answer {
    let parts = split(ctx, text, separator, n)?;
    ctx.reserve_texts(parts.len().saturating_mul(2))?;
    let map = Map::new(S);
    for (i, part) in parts.into_iter().enumerate() {
        map.insert(format!("_{i}"), Value::Str(part));
    }
    Ok(Value::Map(map))
}

fn substr(start: i64, end: i64, text: &[u8]) -> Answer {
    let length = i64::try_from(text.len()).unwrap_or(i64::MAX);
    let out_of_range = |range: String| Err(CallError::new(format!("runtime error: slice bounds out of range {range}")));
    let (from, to) = if start < 0 {
        if end < 0 {
            return out_of_range(format!("[:{end}]"));
        } else if end > length {
            return out_of_range(format!("[:{end}] with length {length}"));
        }
        (0, end)
    } else if end < 0 || end > length {
        (start, length)
    } else {
        (start, end)
    };
    if from > to {
        return out_of_range(format!("[{from}:{to}]"));
    }
    // Both are within the text, so they fit.
    let (from, to) = (usize::try_from(from).unwrap_or(0), usize::try_from(to).unwrap_or(0));
    Ok(string(&text[from..to]))
}

fn trim_all<'t>(ctx: &mut Context, text: &'t [u8], cut: &[u8]) -> Result<&'t [u8], CallError> {
    ctx.step(cut.len() as u64 / 8)?;
    ctx.reserve(cut.len().saturating_mul(4))?;
    let cut: BTreeSet<char> = runes(cut).map(|(c, _)| c).collect();
    Ok(trim_matches(text, |c| cut.contains(&c)))
}

/// sprig's `strslice`: a `[]string` is given back itself, other slices lose their nils.
pub(super) fn to_strings(ctx: &mut Context, value: &Value) -> Result<List, CallError> {
    match value {
        Value::List(list) if list.elem() == Type::String => return Ok(list.clone()),
        Value::Nil => return Ok(List::strings(Vec::<Vec<u8>>::new())),
        _ => {}
    }
    if !matches!(value, Value::List(_) | Value::Bytes(_)) {
        return Ok(List::strings([strval(ctx, value)?.into_owned()]));
    }
    ctx.reserve_items(value.len().unwrap_or(0).saturating_mul(2))?;
    let items = value.elements().unwrap_or_default();
    let mut out: Vec<Str> = Vec::with_capacity(items.len());
    for item in items.iter().filter(|v| !matches!(v, Value::Nil)) {
        // A string is shared and not copied.
        let text = match item {
            Value::Str(text) => text.clone(),
            item => {
                let text = strval(ctx, item)?;
                ctx.reserve_texts(1)?;
                ctx.reserve(text.len())?;
                text.into_owned().into()
            }
        };
        out.push(text);
    }
    Ok(List::strings(out))
}

fn join(ctx: &mut Context, args: &[Value]) -> Answer {
    let parts = to_strings(ctx, any(args, 1))?;
    ctx.reserve_items(parts.len())?;
    let parts = parts.items();
    let separator = bytes(args, 0);
    let length: usize = parts.iter().filter_map(Value::len).sum();
    ctx.reserve(separator.len().saturating_mul(parts.len()).saturating_add(length))?;
    let parts: Vec<&[u8]> = parts.iter().filter_map(Value::as_bytes).collect();
    Ok(string(parts.join(separator)))
}

/// goutils looks at bytes and writes them as runes: what has a blank comes out garbled if it is not ASCII, what has
/// none is left alone.
fn no_space(text: &[u8]) -> Vec<u8> {
    if !text.iter().any(|b| is_space(char::from(*b))) {
        return text.to_vec();
    }
    let kept: String = text.iter().map(|b| char::from(*b)).filter(|c| !is_space(*c)).collect();
    kept.into_bytes()
}

fn shuffle(ctx: &mut Context, args: &[Value]) -> Answer {
    let text = bytes(args, 0);
    ctx.step(text.len() as u64)?;
    ctx.reserve(text.len().saturating_mul(size_of::<char>()))?;
    let mut letters: Vec<char> = runes(text).map(|(c, _)| c).collect();
    for i in (1..letters.len()).rev() {
        let other = super::numbers::random_below(ctx, i as u64 + 1);
        letters.swap(i, usize::try_from(other).unwrap_or(0));
    }
    Ok(string(letters.into_iter().collect::<String>()))
}
