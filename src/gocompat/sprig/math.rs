//! Arithmetic: on `int64`, which wraps around, and on decimals.

use super::args::{Answer, any, bytes, function, int, sprint, string};
use super::decimal;
use super::numbers::{parse_int, random_below, to_float, to_int};
use crate::gocompat::template::{CallError, Context, Function, List, Type, Value};

const A: Type = Type::Any;
const I: Type = Type::INT;

pub(super) static FUNCTIONS: &[Function] = &[
    function!("add", [], ..A, |_, a| Ok(Value::int64(a.iter().fold(0, |sum, v| sum.wrapping_add(to_int(v)))))),
    function!("add1", [A], |_, a| Ok(Value::int64(to_int(any(a, 0)).wrapping_add(1)))),
    function!("add1f", [A], |ctx, a| decimal::fold(ctx, any(a, 0), &[Value::int(1)], decimal::add)),
    function!("addf", [], ..A, |ctx, a| decimal::fold(ctx, &Value::Float(0.0), a, decimal::add)),
    function!("biggest", [A], ..A, |_, a| Ok(extreme(a, i64::max))),
    function!("ceil", [A], |_, a| Ok(to_float(any(a, 0)).ceil().into())),
    function!("div", [A, A], |_, a| divide(a, i64::wrapping_div)),
    function!("divf", [A], ..A, |ctx, a| decimal::fold(ctx, any(a, 0), rest(a), decimal::div)),
    function!("float64", [A], |_, a| Ok(to_float(any(a, 0)).into())),
    function!("floor", [A], |_, a| Ok(to_float(any(a, 0)).floor().into())),
    function!("int", [A], |_, a| Ok(Value::int(to_int(any(a, 0))))),
    function!("int64", [A], |_, a| Ok(Value::int64(to_int(any(a, 0))))),
    function!("max", [A], ..A, |_, a| Ok(extreme(a, i64::max))),
    function!("maxf", [A], ..A, |_, a| Ok(extreme_float(a, max_float))),
    function!("min", [A], ..A, |_, a| Ok(extreme(a, i64::min))),
    function!("minf", [A], ..A, |_, a| Ok(extreme_float(a, min_float))),
    function!("mod", [A, A], |_, a| divide(a, i64::wrapping_rem)),
    function!("mul", [A], ..A, |_, a| Ok(Value::int64(a.iter().fold(1, |product, v| product.wrapping_mul(to_int(v)))))),
    function!("mulf", [A], ..A, |ctx, a| decimal::fold(ctx, any(a, 0), rest(a), decimal::mul)),
    function!("randInt", [I, I], rand_int).volatile(),
    function!("round", [A, I], ..Type::Float64, round),
    function!("seq", [], ..I, seq),
    function!("sub", [A, A], |_, a| Ok(Value::int64(to_int(any(a, 0)).wrapping_sub(to_int(any(a, 1)))))),
    function!("subf", [A], ..A, |ctx, a| decimal::fold(ctx, any(a, 0), rest(a), decimal::sub)),
    function!("toDecimal", [A], |ctx, a| {
        let text = Value::str(sprint(ctx, any(a, 0))?);
        Ok(Value::int64(parse_int(bytes(&[text], 0), 8).unwrap_or(0)))
    }),
    function!("until", [I], |ctx, a| until(ctx, 0, int(a, 0), if int(a, 0) < 0 { -1 } else { 1 })),
    function!("untilStep", [I, I, I], |ctx, a| until(ctx, int(a, 0), int(a, 1), int(a, 2))),
];

fn rest(args: &[Value]) -> &[Value] {
    args.get(1..).unwrap_or_default()
}

fn extreme(args: &[Value], choose: fn(i64, i64) -> i64) -> Value {
    Value::int64(args.iter().map(to_int).reduce(choose).unwrap_or(0))
}

fn extreme_float(args: &[Value], choose: fn(f64, f64) -> f64) -> Value {
    args.iter().map(to_float).reduce(choose).unwrap_or(0.0).into()
}

/// `math.Max`: NaN wins, unless there is an infinity.
fn max_float(a: f64, b: f64) -> f64 {
    if a == f64::INFINITY || b == f64::INFINITY {
        f64::INFINITY
    } else if a.is_nan() || b.is_nan() {
        f64::NAN
    } else if a == 0.0 && b == 0.0 {
        if a.is_sign_negative() { b } else { a }
    } else {
        a.max(b)
    }
}

/// `math.Min`
fn min_float(a: f64, b: f64) -> f64 {
    -max_float(-a, -b)
}

fn divide(args: &[Value], f: fn(i64, i64) -> i64) -> Answer {
    match (to_int(any(args, 0)), to_int(any(args, 1))) {
        (_, 0) => Err(CallError::new("runtime error: integer divide by zero")),
        (a, b) => Ok(Value::int64(f(a, b))),
    }
}

fn rand_int(ctx: &mut Context, args: &[Value]) -> Answer {
    let (min, max) = (int(args, 0), int(args, 1));
    match u64::try_from(max.wrapping_sub(min)) {
        Ok(bound) if bound > 0 => Ok(Value::int(min.wrapping_add_unsigned(random_below(ctx, bound)))),
        _ => Err(CallError::new("invalid argument to Intn")),
    }
}

fn round(_: &mut Context, args: &[Value]) -> Answer {
    let on = match args.get(2) {
        Some(Value::Float(on)) => *on,
        _ => 0.5,
    };
    let value = to_float(any(args, 0));
    let pow = decimal::pow10(int(args, 1));
    let digit = pow * value;
    // The fraction of an infinity is NaN to Go's Modf.
    let fraction = if digit.is_infinite() { f64::NAN } else { digit.fract() };
    let rounded = if fraction >= on { digit.ceil() } else { digit.floor() };
    Ok((rounded / pow).into())
}

/// How many steps it takes, at most.
fn count(start: i64, stop: i64, step: i64) -> u64 {
    if step == 0 || (stop > start) != (step > 0) || start == stop {
        return 0;
    }
    start.abs_diff(stop).div_ceil(step.unsigned_abs())
}

fn numbers(ctx: &mut Context, start: i64, stop: i64, step: i64) -> Result<Vec<i64>, CallError> {
    let count = usize::try_from(count(start, stop, step)).unwrap_or(usize::MAX);
    ctx.reserve_items(count)?;
    let mut out = Vec::with_capacity(count);
    let mut at = start;
    for _ in 0..count {
        out.push(at);
        at = at.wrapping_add(step);
    }
    Ok(out)
}

fn until(ctx: &mut Context, start: i64, stop: i64, step: i64) -> Answer {
    let items = numbers(ctx, start, stop, step)?.into_iter().map(Value::int).collect();
    Ok(Value::List(List::new(I, items)))
}

fn seq(ctx: &mut Context, args: &[Value]) -> Answer {
    let (start, step, end) = match args.len() {
        1 => (1, if int(args, 0) < 1 { -1 } else { 1 }, int(args, 0)),
        2 => (int(args, 0), if int(args, 1) < int(args, 0) { -1 } else { 1 }, int(args, 1)),
        3 => (int(args, 0), int(args, 1), int(args, 2)),
        _ => return Ok(string("")),
    };
    if end < start && step > 0 {
        return Ok(string(""));
    }
    let past = end.wrapping_add(if end < start { -1 } else { 1 });
    let numbers = numbers(ctx, start, past, step)?;
    ctx.reserve(numbers.len().saturating_mul(20))?;
    Ok(string(numbers.iter().map(i64::to_string).collect::<Vec<_>>().join(" ")))
}
