//! Dictionaries. A function that changes a dictionary changes it for every holder, as in Go.

use std::sync::Arc;

use super::args::{Answer, any, bytes, function, map, strval};
use super::merge::merge;
use super::semver::Version;
use crate::gocompat::template::{CallError, Context, Function, List, Map, Str, Type, Value};

const S: Type = Type::String;
const A: Type = Type::Any;
const D: Type = Type::ANY_MAP;

pub(super) static FUNCTIONS: &[Function] = &[
    function!("deepCopy", [A], |ctx, a| {
        copy(ctx, any(a, 0)).map_err(|error| match error.go_text() {
            NIL_COPY => error,
            text => CallError::new(format!("deepCopy error: {text}")),
        })
    }),
    function!("dict", [], ..A, dict),
    function!("dig", [], ..A, dig),
    function!("get", [D, S], |_, a| Ok(map(a, 0).get(bytes(a, 1)).unwrap_or_else(|| Value::str("")))),
    function!("hasKey", [D, S], |_, a| Ok(map(a, 0).contains(bytes(a, 1)).into())),
    function!("keys", [], ..D, keys),
    function!("merge", [D], ..D, |ctx, a| merge(ctx, a, false, false)),
    function!("mergeOverwrite", [D], ..D, |ctx, a| merge(ctx, a, true, false)),
    function!("mustDeepCopy", [A], |ctx, a| copy(ctx, any(a, 0))),
    function!("mustMerge", [D], ..D, |ctx, a| merge(ctx, a, false, true)),
    function!("mustMergeOverwrite", [D], ..D, |ctx, a| merge(ctx, a, true, true)),
    function!("omit", [D], ..S, |ctx, a| filter(ctx, a, false)),
    function!("pick", [D], ..S, |ctx, a| filter(ctx, a, true)),
    function!("pluck", [S], ..D, |ctx, a| {
        ctx.reserve_items(a.len())?;
        let key = bytes(a, 0);
        let found = (1..a.len()).filter_map(|i| map(a, i).get(key)).collect();
        Ok(Value::List(List::any(found)))
    }),
    function!("set", [D, S, A], |ctx, a| {
        ctx.set(&map(a, 0), bytes(a, 1), any(a, 2).clone())?;
        Ok(any(a, 0).clone())
    }),
    function!("unset", [D, S], |_, a| {
        map(a, 0).remove(bytes(a, 1));
        Ok(Value::Map(map(a, 0)))
    }),
    function!("values", [D], |ctx, a| {
        ctx.reserve_items(map(a, 0).len().saturating_mul(3))?;
        let entries = map(a, 0).entries();
        Ok(Value::List(List::any(entries.into_iter().map(|(_, value)| value).collect())))
    }),
];

fn dict(ctx: &mut Context, args: &[Value]) -> Answer {
    ctx.reserve_items(args.len().saturating_mul(2))?;
    let map = Map::any();
    for pair in args.chunks(2) {
        let key = strval(ctx, any(pair, 0))?.into_owned();
        ctx.reserve(key.len())?;
        ctx.reserve_texts(1)?;
        map.insert(key, pair.get(1).cloned().unwrap_or_else(|| Value::str("")));
    }
    Ok(Value::Map(map))
}

/// Go's order of keys is random; here they are sorted, so that a Secret does not change from render to render.
fn keys(ctx: &mut Context, args: &[Value]) -> Answer {
    let mut keys: Vec<Str> = Vec::new();
    for i in 0..args.len() {
        ctx.reserve_items(map(args, i).len().saturating_mul(2))?;
        let more = map(args, i).keys();
        keys.extend(more);
    }
    Ok(Value::List(List::strings(keys)))
}

fn filter(ctx: &mut Context, args: &[Value], keep: bool) -> Answer {
    let names: std::collections::BTreeSet<&[u8]> = (1..args.len()).map(|i| bytes(args, i)).collect();
    ctx.reserve_items(args.len())?;
    ctx.reserve_items(map(args, 0).len().saturating_mul(6))?;
    let entries = map(args, 0).entries();
    let out = Map::any();
    for (key, value) in entries {
        if names.contains(&*key) == keep {
            out.insert(key, value);
        }
    }
    Ok(Value::Map(out))
}

/// What Go's run time says of a failed type assertion.
fn conversion(value: &Value, wanted: &str) -> CallError {
    let is = if matches!(value, Value::Nil) { "nil".to_owned() } else { value.type_name() };
    CallError::new(format!("interface conversion: interface {{}} is {is}, not {wanted}"))
}

fn dig(_: &mut Context, args: &[Value]) -> Answer {
    let [path @ .., default, last] = args else {
        return Err(CallError::new("dig needs at least three arguments"));
    };
    if path.is_empty() {
        return Err(CallError::new("dig needs at least three arguments"));
    }
    let as_map = |value: &Value| match value {
        Value::Map(map) if map.elem() == Type::Any => Ok(map.clone()),
        other => Err(conversion(other, "map[string]interface {}")),
    };
    let mut at = as_map(last)?;
    for key in path {
        if !matches!(key, Value::Str(_)) {
            return Err(conversion(key, "string"));
        }
    }
    for (i, key) in path.iter().enumerate() {
        match at.get(key.as_bytes().unwrap_or_default()) {
            None => break,
            Some(step) if i + 1 == path.len() => return Ok(step),
            Some(step) => at = as_map(&step)?,
        }
    }
    Ok(default.clone())
}

/// What copystructure comes to when it is given nil.
const NIL_COPY: &str = "reflect: call of reflect.Value.Type on zero Value";

fn copy(ctx: &mut Context, value: &Value) -> Answer {
    if matches!(value, Value::Nil) {
        return Err(CallError::new(NIL_COPY));
    }
    value.check_nesting(ctx)?;
    copy_value(ctx, value)
}

fn copy_value(ctx: &mut Context, value: &Value) -> Answer {
    Ok(match value {
        Value::List(list) if !list.is_nil() => {
            ctx.reserve_items(list.len().saturating_mul(2) + 4)?;
            let items = list.items().iter().map(|item| copy_value(ctx, item)).collect::<Result<_, _>>()?;
            Value::List(List::new(list.elem(), items))
        }
        Value::Map(map) if !map.is_nil() => {
            ctx.reserve_items(map.len().saturating_mul(6) + 4)?;
            let out = Map::new(map.elem());
            for (key, item) in map.entries() {
                out.insert(key, copy_value(ctx, &item)?);
            }
            Value::Map(out)
        }
        // The fields of a version are hidden from copystructure.
        Value::Object(object) if object.as_any().is::<Version>() => Value::Object(Arc::new(Version::default())),
        other => other.clone(),
    })
}
