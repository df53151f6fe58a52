//! What a value is.

use super::args::{any, bytes, function, string};
use super::equal::deep_equal;
use crate::gocompat::template::{Function, Type, Value};

const S: Type = Type::String;
const A: Type = Type::Any;

pub(super) static FUNCTIONS: &[Function] = &[
    function!("deepEqual", [A, A], |ctx, a| Ok(deep_equal(ctx, any(a, 0), any(a, 1))?.into())),
    function!("kindIs", [S, A], |_, a| Ok((bytes(a, 0) == any(a, 1).kind().name().as_bytes()).into())),
    function!("kindOf", [A], |_, a| Ok(string(any(a, 0).kind().name()))),
    function!("typeIs", [S, A], |_, a| Ok((bytes(a, 0) == any(a, 1).type_name().as_bytes()).into())),
    function!("typeIsLike", [S, A], |_, a| {
        let name = any(a, 1).type_name();
        let like = |name: &str| bytes(a, 0) == name.as_bytes();
        Ok((like(&name) || name.strip_prefix('*').is_some_and(like)).into())
    }),
    function!("typeOf", [A], |_, a| Ok(match any(a, 0) {
        Value::Nil => string("<nil>"),
        value => string(value.type_name()),
    })),
];
