//! Durations and dates. VSO allows one function that makes dates.

use std::sync::Arc;
use std::time::UNIX_EPOCH;

use super::args::{Answer, any, bytes, function, lossy, string};
use super::numbers::parse_int;
use super::time::Time;
use super::time::{TIME, layout};
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
        let time = to_date(ctx, a)?.map_err(|text| CallError::secret(text, "the text is not a date in this layout"))?;
        Ok(Value::Object(Arc::new(time)))
    }),
];

/// What ESO allows besides. What writes dates looks at the clock if it is given none.
pub(super) static MORE_FUNCTIONS: &[Function] = &[
    function!("date", [S, A], |ctx, a| written(ctx, bytes(a, 0), any(a, 1), b"Local")).volatile(),
    function!("dateInZone", [S, A, S], |ctx, a| written(ctx, bytes(a, 0), any(a, 1), bytes(a, 2))).volatile(),
    function!("dateModify", [S, TIME], date_modify),
    function!("date_in_zone", [S, A, S], |ctx, a| written(ctx, bytes(a, 0), any(a, 1), bytes(a, 2))).volatile(),
    function!("date_modify", [S, TIME], date_modify),
    function!("htmlDate", [A], |ctx, a| written(ctx, b"2006-01-02", any(a, 0), b"Local")).volatile(),
    function!("htmlDateInZone", [A, S], |ctx, a| written(ctx, b"2006-01-02", any(a, 0), bytes(a, 1))).volatile(),
    function!("mustDateModify", [S, TIME], must_date_modify),
    function!("must_date_modify", [S, TIME], must_date_modify),
    function!("now", [], |ctx, _| Ok(Value::Object(Arc::new(now(ctx))))).volatile(),
    function!("toDate", [S, S], |ctx, a| Ok(Value::Object(Arc::new(to_date(ctx, a)?.unwrap_or_default())))),
    function!("unixEpoch", [TIME], |_, a| Ok(string(time(any(a, 0)).unix().to_string()))),
];

/// The date that the second text is in the layout of the first, or Go's text of why it is none.
fn to_date(ctx: &mut Context, a: &[Value]) -> Result<Result<Time, String>, CallError> {
    let length = bytes(a, 0).len().saturating_add(bytes(a, 1).len());
    ctx.step_square(length)?;
    // An error quotes both texts.
    ctx.reserve(length.saturating_mul(24))?;
    Ok(layout::parse(&lossy(bytes(a, 0)), &lossy(bytes(a, 1))))
}

/// The time now, in the zone of the operator's container.
fn now(ctx: &Context) -> Time {
    let now = ctx.now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Time::new(i64::try_from(now.as_secs()).unwrap_or(i64::MAX), now.subsec_nanos(), 0, "UTC")
}

/// The date that a value is, if it is one.
fn time(value: &Value) -> Time {
    match value {
        Value::Object(object) => object.as_any().downcast_ref::<Time>().cloned().unwrap_or_default(),
        _ => Time::default(),
    }
}

fn written(ctx: &mut Context, layout: &[u8], date: &Value, zone: &[u8]) -> Answer {
    // An element is written with eight times its length at most.
    ctx.reserve(layout.len().saturating_mul(8))?;
    ctx.step_square(layout.len())?;
    let date = match date {
        Value::Object(object) => match object.as_any().downcast_ref::<Time>() {
            Some(time) => time.clone(),
            None => now(ctx),
        },
        Value::Int(seconds, _) => Time::new(*seconds, 0, 0, "UTC"),
        _ => now(ctx),
    };
    Ok(string(layout::format(&date.in_zone(&lossy(zone)), &lossy(layout))))
}

fn date_modify(_: &mut Context, a: &[Value]) -> Answer {
    let date = time(any(a, 1));
    Ok(Value::Object(Arc::new(match GoDuration::parse(&lossy(bytes(a, 0))) {
        Ok(duration) => date.plus(duration.0),
        Err(_) => date,
    })))
}

fn must_date_modify(_: &mut Context, a: &[Value]) -> Answer {
    let duration = GoDuration::parse(&lossy(bytes(a, 0)));
    let duration = duration.map_err(|error| CallError::secret(error.to_string(), "the text is not a duration"))?;
    Ok(Value::Object(Arc::new(time(any(a, 1)).plus(duration.0))))
}

/// Nanoseconds from then until now, or as many as fit.
fn since(ctx: &Context, seconds: i64, nanos: u32) -> i64 {
    let now = ctx.now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let now = i128::try_from(now.as_nanos()).unwrap_or(0);
    let then = i128::from(seconds) * i128::from(SECOND) + i128::from(nanos);
    i64::try_from(now - then).unwrap_or(if now > then { i64::MAX } else { i64::MIN })
}

fn ago(ctx: &mut Context, args: &[Value]) -> Answer {
    let nanos = match any(args, 0) {
        Value::Int(seconds, _) => since(ctx, *seconds, 0),
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
