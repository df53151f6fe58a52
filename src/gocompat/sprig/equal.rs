//! `reflect.DeepEqual`

use std::sync::Arc;

use crate::gocompat::template::{CallError, Context, MAX_NESTING, Value};

pub(super) fn deep_equal(ctx: &mut Context, a: &Value, b: &Value) -> Result<bool, CallError> {
    a.check_nesting(ctx)?;
    b.check_nesting(ctx)?;
    equal(ctx, a, b, 0)
}

fn equal(ctx: &mut Context, a: &Value, b: &Value, depth: usize) -> Result<bool, CallError> {
    ctx.step(1)?;
    if depth > MAX_NESTING {
        return Err(CallError::limit("value is nested too deep"));
    }
    if a.go_type() != b.go_type() {
        return Ok(false);
    }
    Ok(match (a, b) {
        (Value::Nil, Value::Nil) => true,
        (Value::Bool(a), Value::Bool(b)) => a == b,
        (Value::Int(a, _), Value::Int(b, _)) | (Value::Duration(a), Value::Duration(b)) => a == b,
        (Value::Uint(a, _), Value::Uint(b, _)) => a == b,
        (Value::Float(a), Value::Float(b)) => a == b,
        (Value::Complex(a, ai), Value::Complex(b, bi)) => a == b && ai == bi,
        (Value::Str(a), Value::Str(b))
        | (Value::JsonNumber(a), Value::JsonNumber(b))
        | (Value::Bytes(a), Value::Bytes(b)) => {
            if a.len() == b.len() {
                ctx.step_bytes(a.len())?;
            }
            a == b
        }
        (Value::List(a), Value::List(b)) => {
            if a.is_nil() != b.is_nil() || a.len() != b.len() {
                return Ok(false);
            }
            ctx.step(a.len() as u64 / 8)?;
            for (a, b) in a.items().iter().zip(b.items().iter()) {
                if !equal(ctx, a, b, depth + 1)? {
                    return Ok(false);
                }
            }
            true
        }
        (Value::Map(a), Value::Map(b)) => {
            if a.is_nil() != b.is_nil() || a.len() != b.len() {
                return Ok(false);
            }
            if a.same(b) {
                return Ok(true);
            }
            ctx.step(a.len() as u64 / 4)?;
            for (key, a) in a.entries() {
                match b.get(&*key) {
                    Some(b) if equal(ctx, &a, &b, depth + 1)? => {}
                    _ => return Ok(false),
                }
            }
            true
        }
        (Value::Object(a), Value::Object(b)) => {
            if Arc::ptr_eq(a, b) {
                return Ok(true);
            }
            let (mine, theirs) = (a.fields(), b.fields());
            let bytes = mine.iter().chain(&theirs).filter_map(|(.., field)| field.len()).sum();
            ctx.step_bytes(bytes)?;
            for ((_, _, mine), (_, _, theirs)) in mine.iter().zip(&theirs) {
                if !equal(ctx, mine, theirs, depth + 1)? {
                    return Ok(false);
                }
            }
            true
        }
        _ => false,
    })
}
