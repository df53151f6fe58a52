//! What the functions share: taking arguments apart, and the texts of Go's run-time errors.

use std::borrow::Cow;

use crate::gocompat::template::{CallError, Context, List, Map, Str, Type, Value};

/// What a function gives.
pub(in crate::gocompat) type Answer = Result<Value, CallError>;

/// A row of the function table. The last parameter type may be variadic: `..Type`.
macro_rules! function {
    ($name:literal, [$($param:expr),*], $call:expr) => {
        $crate::gocompat::template::Function { name: $name, params: &[$($param),*], variadic: None, call: $call, volatile: false }
    };
    ($name:literal, [$($param:expr),*], .. $rest:expr, $call:expr) => {
        $crate::gocompat::template::Function { name: $name, params: &[$($param),*], variadic: Some($rest), call: $call, volatile: false }
    };
}
pub(in crate::gocompat) use function;

/// The bytes of the string argument at `index`. The executor has checked its type.
pub(in crate::gocompat) fn bytes(args: &[Value], index: usize) -> &[u8] {
    args.get(index).and_then(Value::as_bytes).unwrap_or_default()
}

/// The `int` argument at `index`.
pub(in crate::gocompat) fn int(args: &[Value], index: usize) -> i64 {
    match args.get(index) {
        Some(Value::Int(i, _)) => *i,
        _ => 0,
    }
}

/// The argument at `index`, whatever it is.
pub(in crate::gocompat) fn any(args: &[Value], index: usize) -> &Value {
    args.get(index).unwrap_or(&Value::Nil)
}

/// The `map[string]interface {}` argument at `index`.
pub(in crate::gocompat) fn map(args: &[Value], index: usize) -> Map {
    match args.get(index) {
        Some(Value::Map(map)) => map.clone(),
        _ => Map::nil(Type::Any),
    }
}

/// What Go's run time says when a function asks nil for its type.
pub(in crate::gocompat) fn nil_dereference() -> CallError {
    CallError::new("runtime error: invalid memory address or nil pointer dereference")
}

/// The elements of a slice argument, or sprig's complaint: `Cannot <what> <kind>`.
pub(in crate::gocompat) fn elements(ctx: &mut Context, value: &Value, what: &str) -> Result<Vec<Value>, CallError> {
    if matches!(value, Value::Nil) {
        return Err(nil_dereference());
    }
    ctx.reserve_items(value.len().unwrap_or(0))?;
    match value {
        Value::List(_) | Value::Bytes(_) => Ok(value.elements().unwrap_or_default()),
        other => Err(CallError::new(format!("{what} {}", other.kind().name()))),
    }
}

/// A string result.
pub(in crate::gocompat) fn string(bytes: impl Into<Vec<u8>>) -> Value {
    Value::str(bytes.into())
}

/// A `[]string` result. The texts have been counted.
pub(in crate::gocompat) fn strings(ctx: &mut Context, parts: Vec<Str>) -> Answer {
    ctx.reserve_items(parts.len())?;
    Ok(Value::List(List::strings(parts)))
}

/// What sprig's `strval` gives: the string itself, bytes as a string, anything else as `%v` prints it.
pub(in crate::gocompat) fn strval<'v>(ctx: &mut Context, value: &'v Value) -> Result<Cow<'v, [u8]>, CallError> {
    match value {
        Value::Str(s) | Value::Bytes(s) | Value::JsonNumber(s) => Ok(Cow::Borrowed(s)),
        Value::Object(object) => match object.string() {
            Some(text) => Ok(Cow::Owned(text)),
            None => Ok(Cow::Owned(sprint(ctx, value)?)),
        },
        other => Ok(Cow::Owned(sprint(ctx, other)?)),
    }
}

/// What `fmt.Sprint` gives for one value.
pub(in crate::gocompat) fn sprint(ctx: &mut Context, value: &Value) -> Result<Vec<u8>, CallError> {
    crate::gocompat::template::format::sprintf(ctx, b"%v", std::slice::from_ref(value))
}

/// The position of `needle` in `haystack`.
pub(in crate::gocompat) fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    match needle {
        [] => Some(0),
        [byte] => memchr::memchr(*byte, haystack),
        _ => memchr::memmem::find(haystack, needle),
    }
}

/// The position of the last `needle` in `haystack`.
pub(in crate::gocompat) fn rfind(haystack: &[u8], needle: u8) -> Option<usize> {
    haystack.iter().rposition(|b| *b == needle)
}

/// Text for an error message: what is not UTF-8 is replaced.
pub(in crate::gocompat) fn lossy(bytes: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(bytes)
}
