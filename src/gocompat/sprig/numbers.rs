//! Numbers out of anything: spf13/cast v1.7.0 as sprig calls it, which turns what is no number into zero.

use crate::gocompat::template::strconv::{parse_float, parse_int as parse_any_base};
use crate::gocompat::template::{Context, Value};

/// A text that is not a number of the wanted size.
pub(super) struct NotANumber {
    /// What `strconv` returns beside the error: the nearest number if the text is one, else zero.
    pub nearest: i64,
}

/// `strconv.ParseInt` with a base other than zero.
pub(super) fn parse_int(text: &[u8], base: u32) -> Result<i64, NotANumber> {
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        all => (false, all),
    };
    if digits.is_empty() || !digits.iter().all(|d| char::from(*d).is_digit(base)) {
        return Err(NotANumber { nearest: 0 });
    }
    let mut value: i64 = 0;
    for digit in digits {
        let digit = i64::from(char::from(*digit).to_digit(base).unwrap_or(0));
        let digit = if negative { -digit } else { digit };
        let next = value.checked_mul(i64::from(base)).and_then(|v| v.checked_add(digit));
        value = next.ok_or(NotANumber { nearest: if negative { i64::MIN } else { i64::MAX } })?;
    }
    Ok(value)
}

/// cast's `ToInt64`, and `ToInt`, which has 64 bits too.
pub(super) fn to_int(value: &Value) -> i64 {
    match value {
        Value::Int(i, _) => *i,
        Value::Uint(u, _) => u.cast_signed(),
        Value::Float(f) => float_to_int(*f),
        Value::Str(s) | Value::JsonNumber(s) => {
            std::str::from_utf8(trim_zero_decimal(s)).ok().and_then(parse_any_base).unwrap_or(0)
        }
        Value::Bool(b) => i64::from(*b),
        _ => 0,
    }
}

/// cast's `ToFloat64`
pub(super) fn to_float(value: &Value) -> f64 {
    match value {
        #[expect(clippy::cast_precision_loss, reason = "as Go converts")]
        Value::Int(i, _) => *i as f64,
        #[expect(clippy::cast_precision_loss, reason = "as Go converts")]
        Value::Uint(u, _) => *u as f64,
        Value::Float(f) => *f,
        Value::Str(s) | Value::JsonNumber(s) => {
            std::str::from_utf8(s).ok().and_then(|text| special(text).or_else(|| parse_float(text))).unwrap_or(0.0)
        }
        Value::Bool(b) => f64::from(u8::from(*b)),
        _ => 0.0,
    }
}

/// The names that `strconv.ParseFloat` knows.
fn special(text: &str) -> Option<f64> {
    match text.to_ascii_lowercase().as_str() {
        "nan" => Some(f64::NAN),
        "inf" | "+inf" | "infinity" | "+infinity" => Some(f64::INFINITY),
        "-inf" | "-infinity" => Some(f64::NEG_INFINITY),
        _ => None,
    }
}

/// What amd64 makes of a float that does not fit: the smallest integer.
#[expect(clippy::cast_possible_truncation, reason = "the range is checked")]
pub(super) fn float_to_int(f: f64) -> i64 {
    const LIMIT: f64 = 9_223_372_036_854_775_808.0;
    if (-LIMIT..LIMIT).contains(&f) { f as i64 } else { i64::MIN }
}

/// cast takes `1.00` for 1, and only zeroes after the point.
fn trim_zero_decimal(text: &[u8]) -> &[u8] {
    let zeroes = text.iter().rev().take_while(|b| **b == b'0').count();
    match text.len().checked_sub(zeroes + 1) {
        Some(point) if zeroes > 0 && text[point] == b'.' => &text[..point],
        _ => text,
    }
}

/// A random number below `bound`, each as likely as the other.
pub(super) fn random_below(ctx: &mut Context, bound: u64) -> u64 {
    let whole = u64::MAX - u64::MAX % bound;
    loop {
        let number = ctx.random_u64();
        if number < whole {
            return number % bound;
        }
    }
}
