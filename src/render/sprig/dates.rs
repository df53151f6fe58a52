//! Durations, and the one date function that upstream allows.

use std::sync::Arc;
use std::time::UNIX_EPOCH;

use super::args::{Answer, any, bytes, function, lossy, string};
use super::layout;
use super::numbers::parse_int;
use super::time::Time;
use crate::render::template::{CallError, Context, Function, IntKind, Type, Value};

const S: Type = Type::String;
const A: Type = Type::Any;

const SECOND: i64 = 1_000_000_000;

pub(super) static FUNCTIONS: &[Function] = &[
    function!("ago", [A], ago),
    function!("duration", [A], |_, a| {
        let seconds = match any(a, 0) {
            Value::Str(text) => parse_int(text, 10).unwrap_or_else(|error| error.nearest),
            Value::Int(seconds, IntKind::Int64) => *seconds,
            _ => 0,
        };
        Ok(string(print(seconds.wrapping_mul(SECOND))))
    }),
    function!("durationRound", [A], |ctx, a| {
        let nanos = match any(a, 0) {
            Value::Str(text) => parse(text).unwrap_or(0),
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
        ctx.reserve(bytes(a, 0).len().saturating_add(bytes(a, 1).len()))?;
        let time = layout::parse(&lossy(bytes(a, 0)), &lossy(bytes(a, 1)))
            .map_err(|text| CallError::secret(text, "the text is not a date in this layout"))?;
        Ok(Value::Object(Arc::new(time)))
    }),
];

/// Nanoseconds from then until now, or as many as fit.
fn since(ctx: &Context<'_>, seconds: i64, nanos: u32) -> i64 {
    let now = ctx.now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let now = i128::try_from(now.as_nanos()).unwrap_or(0);
    let then = i128::from(seconds) * i128::from(SECOND) + i128::from(nanos);
    i64::try_from(now - then).unwrap_or(if now > then { i64::MAX } else { i64::MIN })
}

fn ago(ctx: &mut Context<'_>, args: &[Value]) -> Answer {
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
    Ok(string(print(rounded)))
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

/// `time.Duration.String`
pub(super) fn print(nanos: i64) -> String {
    let total = nanos.unsigned_abs();
    let sign = if nanos < 0 { "-" } else { "" };
    let fraction = |value: u64, unit: u64| {
        let digits = unit.ilog10() as usize;
        let rest = format!("{:0digits$}", value % unit);
        match rest.trim_end_matches('0') {
            "" => String::new(),
            rest => format!(".{rest}"),
        }
    };
    match total {
        0 => "0s".to_owned(),
        1..1_000 => format!("{sign}{total}ns"),
        1_000..1_000_000 => format!("{sign}{}{}µs", total / 1_000, fraction(total, 1_000)),
        1_000_000..1_000_000_000 => format!("{sign}{}{}ms", total / 1_000_000, fraction(total, 1_000_000)),
        _ => {
            let seconds = total / 1_000_000_000;
            let fraction = fraction(total, 1_000_000_000);
            let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
            match (hours, minutes) {
                (0, 0) => format!("{sign}{seconds}{fraction}s"),
                (0, _) => format!("{sign}{minutes}m{seconds}{fraction}s"),
                _ => format!("{sign}{hours}h{minutes}m{seconds}{fraction}s"),
            }
        }
    }
}

/// `time.ParseDuration`
fn parse(text: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(text).ok()?;
    let (negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Some(0);
    }
    if rest.is_empty() {
        return None;
    }
    let limit = 1u64 << 63;
    let mut total: u64 = 0;
    while !rest.is_empty() {
        let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
        let whole = digits(rest);
        let value: u64 = if whole == 0 { 0 } else { rest[..whole].parse().ok().filter(|v| *v <= limit)? };
        rest = &rest[whole..];
        let mut fraction = "";
        if let Some(after) = rest.strip_prefix('.') {
            let length = digits(after);
            if whole == 0 && length == 0 {
                return None;
            }
            (fraction, rest) = after.split_at(length);
        } else if whole == 0 {
            return None;
        }
        let end = rest.find(|c: char| c == '.' || c.is_ascii_digit()).unwrap_or(rest.len());
        let (name, after) = rest.split_at(end);
        rest = after;
        let unit: u64 = match name {
            "ns" => 1,
            "us" | "µs" | "μs" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            _ => return None,
        };
        let mut value = value.checked_mul(unit).filter(|v| *v <= limit)?;
        if !fraction.is_empty() {
            value = value.checked_add(part_of(fraction, unit)).filter(|v| *v <= limit)?;
        }
        total = total.checked_add(value).filter(|v| *v <= limit)?;
    }
    if negative { 0i64.checked_sub_unsigned(total) } else { i64::try_from(total).ok() }
}

/// The fraction of a unit, cut, as Go's floats have it.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "as Go converts"
)]
fn part_of(fraction: &str, unit: u64) -> u64 {
    let (mut digits, mut scale) = (0u64, 1.0f64);
    for digit in fraction.bytes() {
        let Some(next) = digits.checked_mul(10).and_then(|d| d.checked_add(u64::from(digit - b'0'))) else { break };
        if next > 1 << 63 {
            break;
        }
        digits = next;
        scale *= 10.0;
    }
    (digits as f64 * (unit as f64 / scale)) as u64
}
