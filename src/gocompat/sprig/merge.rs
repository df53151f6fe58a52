//! `merge` and its relatives: mergo v1.0.1 on maps of any values.

use super::args::{Answer, map};
use super::defaults::is_empty;
use crate::gocompat::template::{CallError, Context, Kind, Map, Type, Value};

/// Merges the second and further maps into the first, which changes.
pub(super) fn merge(ctx: &mut Context, args: &[Value], overwrite: bool, must: bool) -> Answer {
    let mut into = map(args, 0);
    for i in 1..args.len() {
        let from = map(args, i);
        Value::Map(into.clone()).check_nesting(ctx)?;
        Value::Map(from.clone()).check_nesting(ctx)?;
        if into.is_nil() && !from.is_nil() {
            into = Map::new(Type::Any);
        }
        match deep_merge(ctx, &into, &from, overwrite) {
            Ok(()) => {}
            Err(Failure::Types) if !must => return Ok(Value::str("")),
            Err(Failure::Types) => return Err(CallError::new("src and dst must be of same type")),
            Err(Failure::Call(error)) => return Err(error),
        }
    }
    Ok(Value::Map(into))
}

enum Failure {
    /// Two values that mergo does not merge.
    Types,
    /// The template's limits, or a map that would hold itself.
    Call(CallError),
}

impl From<CallError> for Failure {
    fn from(error: CallError) -> Self {
        Failure::Call(error)
    }
}

/// A map of strings takes strings only.
fn assignable(into: &Map, value: Type) -> Result<(), CallError> {
    match into.elem() {
        Type::Any => Ok(()),
        elem if elem == value => Ok(()),
        elem => Err(CallError::new(format!(
            "reflect.Value.SetMapIndex: value of type {value} is not assignable to type {elem}"
        ))),
    }
}

fn deep_merge(ctx: &mut Context, into: &Map, from: &Map, overwrite: bool) -> Result<(), Failure> {
    if into.is_nil() || into.same(from) {
        return Ok(());
    }
    ctx.reserve_items(from.len().saturating_mul(2))?;
    for (key, source) in from.entries() {
        ctx.step(1)?;
        let target = into.get(&*key);
        if matches!(source, Value::Nil) {
            if overwrite {
                assignable(into, from.elem())?;
                ctx.set(into, key, source)?;
            }
            continue;
        }
        let kind = source.kind();
        if let Value::List(list) = &source {
            // mergo assigns the slice, old or new, in any case.
            assignable(into, list.go_type())?;
        }
        match (&source, &target) {
            (Value::Map(source), Some(Value::Map(target))) => deep_merge(ctx, target, source, overwrite)?,
            (Value::Map(_), Some(Value::Object(target))) if target.kind() == Kind::Ptr && !overwrite => {
                return Err(Failure::Types);
            }
            _ => {}
        }
        // Asked now: the map within may have become something.
        let filled = target.as_ref().is_some_and(|target| !is_empty(target));
        let target_is_map = matches!(target, Some(Value::Map(_)));
        if filled && (kind == Kind::Map && target_is_map || kind == Kind::Slice && !overwrite) {
            continue;
        }
        if overwrite || !filled {
            assignable(into, from.elem())?;
            ctx.set(into, key, source)?;
        }
    }
    Ok(())
}
