//! Defaults and conditions.

use super::args::{Answer, any, bytes, function, lossy};
use crate::gocompat::template::{CallError, Context, Function, Type, Value};

const A: Type = Type::Any;

pub(super) static FUNCTIONS: &[Function] = &[
    function!("all", [], ..A, |_, a| Ok((!a.iter().any(is_empty)).into())),
    function!("any", [], ..A, |_, a| Ok((!a.iter().all(is_empty)).into())),
    function!("coalesce", [], ..A, |_, a| Ok(a.iter().find(|v| !is_empty(v)).cloned().unwrap_or(Value::Nil))),
    function!("default", [A], ..A, |_, a| {
        Ok(a.get(1).filter(|given| !is_empty(given)).unwrap_or_else(|| any(a, 0)).clone())
    }),
    function!("empty", [A], |_, a| Ok(is_empty(any(a, 0)).into())),
    function!("fail", [Type::String], fail),
    function!("ternary", [A, A, Type::Bool], |_, a| {
        Ok(any(a, if matches!(any(a, 2), Value::Bool(true)) { 0 } else { 1 }).clone())
    }),
];

/// sprig's `empty`: the zero of its type, or without elements. Structs never are.
pub(super) fn is_empty(value: &Value) -> bool {
    !value.is_true()
}

/// Longest message of `fail` that is passed on.
const MAX_MESSAGE_BYTES: usize = 4096;

fn fail(ctx: &mut Context, args: &[Value]) -> Answer {
    let text = bytes(args, 0);
    let text = lossy(text.get(..MAX_MESSAGE_BYTES).unwrap_or(text));
    Err(if ctx.constant_arguments() {
        CallError::new(text)
    } else {
        CallError::secret(text, "the template failed with a message made of values")
    })
}
