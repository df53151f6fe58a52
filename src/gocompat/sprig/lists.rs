//! Lists: making and lengthening them, and what they hold.

use super::args::{Answer, any, elements, function};
use super::defaults::is_empty;
use super::equal::deep_equal;
use crate::gocompat::template::{CallError, Context, Function, List, Type, Value};

const A: Type = Type::Any;

pub(super) static FUNCTIONS: &[Function] = &[
    function!("append", [A, A], push),
    function!("compact", [A], compact),
    function!("concat", [], ..A, concat),
    function!("has", [A, A], has),
    function!("list", [], ..A, list),
    function!("mustAppend", [A, A], push),
    function!("mustCompact", [A], compact),
    function!("mustHas", [A, A], has),
    function!("mustPrepend", [A, A], prepend),
    function!("mustPush", [A, A], push),
    function!("mustUniq", [A], uniq),
    function!("mustWithout", [A], ..A, without),
    function!("prepend", [A, A], prepend),
    function!("push", [A, A], push),
    function!("tuple", [], ..A, list),
    function!("uniq", [A], uniq),
    function!("without", [A], ..A, without),
];

fn any_list(items: Vec<Value>) -> Answer {
    Ok(Value::List(List::any(items)))
}

fn list(ctx: &mut Context, args: &[Value]) -> Answer {
    ctx.reserve_items(args.len())?;
    any_list(args.to_vec())
}

fn push(ctx: &mut Context, args: &[Value]) -> Answer {
    let mut items = elements(ctx, any(args, 0), "Cannot push on type")?;
    ctx.reserve_items(items.len() + 1)?;
    items.push(any(args, 1).clone());
    any_list(items)
}

fn prepend(ctx: &mut Context, args: &[Value]) -> Answer {
    let items = elements(ctx, any(args, 0), "Cannot prepend on type")?;
    ctx.reserve_items(items.len() + 1)?;
    any_list(std::iter::once(any(args, 1).clone()).chain(items).collect())
}

fn concat(ctx: &mut Context, args: &[Value]) -> Answer {
    // What is copied first, and what it is added to.
    let length = args.iter().filter_map(Value::len).fold(0, usize::saturating_add);
    ctx.reserve_items(length.saturating_mul(2))?;
    let mut out = Vec::new();
    for list in args {
        if matches!(list, Value::Nil) {
            return Err(super::args::nil_dereference());
        }
        let Some(items) = list.elements() else {
            return Err(CallError::new(format!("Cannot concat type {} as list", list.kind().name())));
        };
        out.extend(items);
    }
    if out.is_empty() { Ok(Value::List(List::nil(A))) } else { any_list(out) }
}

fn compact(ctx: &mut Context, args: &[Value]) -> Answer {
    let items = elements(ctx, any(args, 0), "Cannot compact on type")?;
    any_list(items.into_iter().filter(|item| !is_empty(item)).collect())
}

fn contains(ctx: &mut Context, items: &[Value], wanted: &Value) -> Result<bool, CallError> {
    for item in items {
        if deep_equal(ctx, wanted, item)? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn has(ctx: &mut Context, args: &[Value]) -> Answer {
    if matches!(any(args, 1), Value::Nil) {
        return Ok(false.into());
    }
    let items = elements(ctx, any(args, 1), "Cannot find has on type")?;
    Ok(contains(ctx, &items, any(args, 0))?.into())
}

fn uniq(ctx: &mut Context, args: &[Value]) -> Answer {
    let items = elements(ctx, any(args, 0), "Cannot find uniq on type")?;
    ctx.reserve_items(items.len())?;
    let mut out = Vec::new();
    for item in items {
        if !contains(ctx, &out, &item)? {
            out.push(item);
        }
    }
    any_list(out)
}

fn without(ctx: &mut Context, args: &[Value]) -> Answer {
    let items = elements(ctx, any(args, 0), "Cannot find without on type")?;
    ctx.reserve_items(items.len())?;
    let mut out = Vec::new();
    for item in items {
        if !contains(ctx, args.get(1..).unwrap_or_default(), &item)? {
            out.push(item);
        }
    }
    any_list(out)
}
