//! Durations, and the one date function that VSO allows.

use std::sync::Arc;
use std::time::UNIX_EPOCH;

use super::args::{Answer, any, bytes, function, lossy, string};
use super::numbers::parse_int;
use super::time::Time;
use super::time::layout;
use crate::gocompat::duration::GoDuration;
use crate::gocompat::template::{CallError, Context, Function, IntKind, Type, Value};

const S: Type = Type::String;
const A: Type = Type::Any;

const SECOND: i64 = 1_000_000_000;

pub(super) static FUNCTIONS: &[Function] = &[
    function!("ago", [A], ago).volatile(),
    function!("duration", [A], |_, a| {
        let seconds = match any(a, 0) {
            Value::Str(text) => parse_int(text, 10).unwrap_or_else(|error| error.nearest),
            Value::Int(seconds, IntKind::Int64) => *seconds,
            _ => 0,
        };
        Ok(string(GoDuration(seconds.wrapping_mul(SECOND)).to_string()))
    }),
    // Not volatile, though it looks at the clock where it is given a time: what it prints is coarse, and a Secret that
    // shows it follows the clock.
    function!("durationRound", [A], |ctx, a| {
        let nanos = match any(a, 0) {
            Value::Str(text) => {
                std::str::from_utf8(text).ok().and_then(|text| GoDuration::parse(text).ok()).map_or(0, |d| d.0)
            }
            Value::Int(nanos, IntKind::Int64) => *nanos,
            Value::Object(object) => match object.as_any().downcast_ref::<Time>() {
                Some(time) => since(ctx, time.unix(), time.nanosecond()),
                None => 0,
            },
            _ => 0,
        };
        Ok(string(round(nanos.unsigned_abs())))
    }),
    function!("mustToDate", [S, S], |ctx, a| {
        let length = bytes(a, 0).len().saturating_add(bytes(a, 1).len());
        ctx.step_square(length)?;
        // An error quotes both texts.
        ctx.reserve(length.saturating_mul(24))?;
        let time = layout::parse(&lossy(bytes(a, 0)), &lossy(bytes(a, 1)))
            .map_err(|text| CallError::secret(text, "the text is not a date in this layout"))?;
        Ok(Value::Object(Arc::new(time)))
    }),
];

/// Nanoseconds from then until now, or as many as fit.
fn since(ctx: &Context, seconds: i64, nanos: u32) -> i64 {
    let now = ctx.now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let now = i128::try_from(now.as_nanos()).unwrap_or(0);
    let then = i128::from(seconds) * i128::from(SECOND) + i128::from(nanos);
    i64::try_from(now - then).unwrap_or(if now > then { i64::MAX } else { i64::MIN })
}

fn ago(ctx: &mut Context, args: &[Value]) -> Answer {
    let nanos = match any(args, 0) {
        Value::Int(seconds, IntKind::Int | IntKind::Int64) => since(ctx, *seconds, 0),
        Value::Object(object) => {
            object.as_any().downcast_ref::<Time>().map_or(0, |time| since(ctx, time.unix(), time.nanosecond()))
        }
        _ => 0,
    };
    // To the second, half away from zero.
    let rest = nanos % SECOND;
    let whole = nanos - rest;
    let rounded = if rest.unsigned_abs() * 2 >= SECOND.unsigned_abs() {
        whole.checked_add(SECOND * rest.signum()).unwrap_or(nanos)
    } else {
        whole
    };
    Ok(string(GoDuration(rounded).to_string()))
}

fn round(nanos: u64) -> String {
    const HOUR: u64 = 3600 * 1_000_000_000;
    let units = [
        ("y", HOUR * 24 * 365),
        ("mo", HOUR * 24 * 30),
        ("d", HOUR * 24),
        ("h", HOUR),
        ("m", HOUR / 60),
        ("s", HOUR / 3600),
    ];
    match units.iter().find(|(_, unit)| nanos > *unit) {
        Some((name, unit)) => format!("{}{name}", nanos / unit),
        None => "0s".to_owned(),
    }
}
