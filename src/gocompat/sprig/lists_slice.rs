//! Lists: their parts and their order.

use super::args::{Answer, any, elements, function, int, strval};
use super::numbers::{float_to_int, to_int};
use super::strings::to_strings;
use crate::gocompat::template::{CallError, Context, Function, List, Type, Value};

const A: Type = Type::Any;
const I: Type = Type::INT;

pub(super) static FUNCTIONS: &[Function] = &[
    function!("chunk", [I, A], chunk),
    function!("first", [A], first),
    function!("initial", [A], initial),
    function!("last", [A], last),
    function!("mustChunk", [I, A], chunk),
    function!("mustFirst", [A], first),
    function!("mustInitial", [A], initial),
    function!("mustLast", [A], last),
    function!("mustRest", [A], rest),
    function!("mustReverse", [A], reverse),
    function!("mustSlice", [A], ..A, slice),
    function!("rest", [A], rest),
    function!("reverse", [A], reverse),
    function!("slice", [A], ..A, slice),
    function!("sortAlpha", [A], sort_alpha),
];

/// A `[]interface {}`, the nil one if it comes from an empty list.
fn part(ctx: &mut Context, items: &[Value], of: &[Value]) -> Answer {
    ctx.reserve_items(items.len())?;
    Ok(Value::List(if of.is_empty() { List::nil(A) } else { List::any(items.to_vec()) }))
}

fn first(ctx: &mut Context, args: &[Value]) -> Answer {
    Ok(elements(ctx, any(args, 0), "Cannot find first on type")?.into_iter().next().unwrap_or(Value::Nil))
}

fn last(ctx: &mut Context, args: &[Value]) -> Answer {
    Ok(elements(ctx, any(args, 0), "Cannot find last on type")?.pop().unwrap_or(Value::Nil))
}

fn rest(ctx: &mut Context, args: &[Value]) -> Answer {
    let items = elements(ctx, any(args, 0), "Cannot find rest on type")?;
    part(ctx, items.get(1..).unwrap_or_default(), &items)
}

fn initial(ctx: &mut Context, args: &[Value]) -> Answer {
    let items = elements(ctx, any(args, 0), "Cannot find initial on type")?;
    part(ctx, &items[..items.len().saturating_sub(1)], &items)
}

fn reverse(ctx: &mut Context, args: &[Value]) -> Answer {
    let mut items = elements(ctx, any(args, 0), "Cannot find reverse on type")?;
    items.reverse();
    Ok(Value::List(List::any(items)))
}

/// Which sizes are out of range follows from floating-point arithmetic on zero and negative sizes.
fn chunk(ctx: &mut Context, args: &[Value]) -> Answer {
    let items = elements(ctx, any(args, 1), "Cannot chunk type")?;
    let out_of_range = || CallError::new("runtime error: makeslice: len out of range");
    let size = int(args, 0);
    #[expect(clippy::cast_precision_loss, reason = "as Go converts")]
    let (length, divisor) = (items.len() as f64, size as f64);
    let chunks = float_to_int(((length - 1.0) / divisor).floor() + 1.0);
    let chunks = usize::try_from(chunks).map_err(|_| out_of_range())?;
    let mut out = Vec::new();
    if chunks == 1 && items.len() == 1 && size < -1 {
        // The remainder of one by a negative size is one.
        out.push(Value::List(List::any(items)));
    } else if chunks > 0 {
        let size = usize::try_from(size).map_err(|_| out_of_range())?;
        // A chunk is a list of its own.
        ctx.reserve_items(chunks.saturating_mul(6).saturating_add(items.len()))?;
        out.extend(items.chunks(size.max(1)).map(|part| Value::List(List::any(part.to_vec()))));
    }
    Ok(Value::List(List::new(Type::ANY_LIST, out)))
}

fn slice(ctx: &mut Context, args: &[Value]) -> Answer {
    let list = any(args, 0);
    let items = elements(ctx, list, "list should be type of slice or array but")?;
    if items.is_empty() {
        return Ok(Value::Nil);
    }
    let start = args.get(1).map_or(0, to_int);
    let length = i64::try_from(items.len()).unwrap_or(i64::MAX);
    let end = args.get(2).map_or(length, to_int);
    if start < 0 || end < start || end > length {
        return Err(CallError::new("reflect.Value.Slice: slice index out of bounds"));
    }
    ctx.reserve_items(usize::try_from(end - start).unwrap_or(usize::MAX))?;
    let range = usize::try_from(start).unwrap_or(0)..usize::try_from(end).unwrap_or(0);
    Ok(match list {
        Value::List(list) => Value::List(List::new(list.elem(), items[range].to_vec())),
        other => Value::Bytes(other.as_bytes().unwrap_or_default()[range].into()),
    })
}

fn sort_alpha(ctx: &mut Context, args: &[Value]) -> Answer {
    let value = any(args, 0);
    if !matches!(value, Value::List(_) | Value::Bytes(_)) {
        return Ok(Value::List(List::strings([strval(ctx, value)?.into_owned()])));
    }
    let list = to_strings(ctx, value)?;
    ctx.reserve_items(list.len().saturating_mul(2))?;
    let mut items = list.items();
    // Each is compared with as many others as the length has digits.
    let bytes: usize = items.iter().filter_map(Value::len).fold(0, usize::saturating_add);
    let digits = items.len().checked_ilog2().unwrap_or(0) as usize + 1;
    ctx.step(items.len().saturating_mul(digits) as u64 / 4)?;
    ctx.step_bytes(bytes.saturating_mul(digits))?;
    items.sort_by(|a, b| a.as_bytes().cmp(&b.as_bytes()));
    // A `[]string` is sorted in place.
    list.replace(items);
    Ok(Value::List(list))
}
