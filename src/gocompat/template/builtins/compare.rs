//! `eq`, `lt` and their kin.

use super::super::format::sprintf;
use super::super::operand::Operand;
use super::super::strconv::to_text;
use super::super::value::{CallError, Context};
use super::super::value::{Object, Value};
use super::Result;
use std::sync::Arc;

/// Values compare by these, not by their types. (`basicKind`)
#[derive(Clone, Copy, PartialEq, Eq)]
enum Basic {
    None,
    Bool,
    Complex,
    Int,
    Float,
    String,
    Uint,
}

fn basic(value: &Value) -> Basic {
    match value {
        Value::Bool(_) => Basic::Bool,
        Value::Int(..) | Value::Duration(_) => Basic::Int,
        Value::Uint(..) => Basic::Uint,
        Value::Float(_) => Basic::Float,
        Value::Complex(..) => Basic::Complex,
        Value::Str(_) | Value::JsonNumber(_) => Basic::String,
        Value::Nil | Value::Bytes(_) | Value::List(_) | Value::Map(_) | Value::Object(_) => Basic::None,
    }
}

fn bad_type() -> CallError {
    CallError::new("invalid type for comparison")
}

fn incompatible(a: &Value, b: &Value) -> CallError {
    CallError::new(format!("incompatible types for comparison: {} and {}", a.type_name(), b.type_name()))
}

/// An error quotes no more of a value than this.
const MAX_QUOTED_BYTES: usize = 4096;

/// What Go prints of the value in an error text, which is never shown.
fn printed(context: &mut Context, format: &str, value: &Value) -> String {
    sprintf(context, format.as_bytes(), std::slice::from_ref(value))
        .map_or_else(|_| "...".to_owned(), |text| to_text(text.get(..MAX_QUOTED_BYTES).unwrap_or(&text)))
}

/// Whether the first is equal to any of the others.
pub(super) fn eq(context: &mut Context, args: &[Operand]) -> Result<bool> {
    let Some((first, others)) = args.split_first().filter(|(_, others)| !others.is_empty()) else {
        return Err(CallError::new("missing argument for comparison"));
    };
    for other in others {
        if equal(context, first.value(), other.value())? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn equal(context: &mut Context, a: &Value, b: &Value) -> Result<bool> {
    Ok(match (a, b) {
        (Value::Bool(a), Value::Bool(b)) => a == b,
        (Value::Int(a, _) | Value::Duration(a), Value::Int(b, _) | Value::Duration(b)) => a == b,
        (Value::Uint(a, _), Value::Uint(b, _)) => a == b,
        (Value::Float(a), Value::Float(b)) => a == b,
        (Value::Complex(a, ai), Value::Complex(b, bi)) => a == b && ai == bi,
        (Value::Str(a) | Value::JsonNumber(a), Value::Str(b) | Value::JsonNumber(b)) => a == b,
        (Value::Int(i, _) | Value::Duration(i), Value::Uint(u, _))
        | (Value::Uint(u, _), Value::Int(i, _) | Value::Duration(i)) => u64::try_from(*i).is_ok_and(|i| i == *u),
        _ if basic(a) != basic(b) => match (a, b) {
            (Value::Nil, _) | (_, Value::Nil) => false,
            _ => return Err(incompatible(a, b)),
        },
        (Value::Object(x), Value::Object(y)) if x.kind() == y.kind() => same_object(x, y),
        _ if a.kind() != b.kind() && !matches!(a, Value::Nil) && !matches!(b, Value::Nil) => {
            let (at, bt) = (a.type_name(), b.type_name());
            let text = format!(
                "non-comparable types {}: {at}, {bt}: {}",
                printed(context, "%s", a),
                printed(context, "%v", b)
            );
            return Err(CallError::secret(text, format!("non-comparable types {at}, {bt}")));
        }
        _ if a.is_nil() || b.is_nil() => a.is_nil() == b.is_nil(),
        _ => {
            let of = b.type_name();
            let text = format!("non-comparable type {}: {of}", printed(context, "%s", b));
            return Err(CallError::secret(text, format!("non-comparable type {of}")));
        }
    })
}

/// Pointers are equal if they point to one object.
fn same_object(a: &Arc<dyn Object>, b: &Arc<dyn Object>) -> bool {
    a.is_nil() && b.is_nil() || std::ptr::addr_eq(Arc::as_ptr(a), Arc::as_ptr(b))
}

/// The two arguments.
fn pair(args: &[Operand]) -> Result<(&Value, &Value)> {
    match args {
        [a, b] => Ok((a.value(), b.value())),
        _ => Err(CallError::new("missing argument for comparison")),
    }
}

pub(super) fn lt(args: &[Operand]) -> Result<bool> {
    let (a, b) = pair(args)?;
    if basic(a) == Basic::None || basic(b) == Basic::None {
        return Err(bad_type());
    }
    Ok(match (a, b) {
        (Value::Int(a, _) | Value::Duration(a), Value::Int(b, _) | Value::Duration(b)) => a < b,
        (Value::Uint(a, _), Value::Uint(b, _)) => a < b,
        (Value::Float(a), Value::Float(b)) => a < b,
        (Value::Str(a) | Value::JsonNumber(a), Value::Str(b) | Value::JsonNumber(b)) => a < b,
        (Value::Int(i, _) | Value::Duration(i), Value::Uint(u, _)) => u64::try_from(*i).map_or(true, |i| i < *u),
        (Value::Uint(u, _), Value::Int(i, _) | Value::Duration(i)) => u64::try_from(*i).is_ok_and(|i| *u < i),
        _ if basic(a) != basic(b) => return Err(incompatible(a, b)),
        _ => return Err(bad_type()),
    })
}

pub(super) fn le(context: &mut Context, args: &[Operand]) -> Result<bool> {
    Ok(lt(args)? || eq(context, args)?)
}

pub(super) fn gt(context: &mut Context, args: &[Operand]) -> Result<bool> {
    le(context, args).map(|le| !le)
}

pub(super) fn ge(args: &[Operand]) -> Result<bool> {
    lt(args).map(|lt| !lt)
}
