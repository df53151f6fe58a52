//! What a scalar means (goyaml's `resolve`).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::gocompat::template::strconv::{parse_float, parse_int, parse_uint};

/// What a scalar is.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Scalar {
    Null,
    Bool(bool),
    Int(i64),
    /// What is too large for [`Scalar::Int`].
    Uint(u64),
    Float(f64),
    Text(Vec<u8>),
}

/// The meaning of a scalar, or why there is none.
pub(super) fn resolve(text: &str, is_plain: bool, tag: Option<&str>) -> Result<Scalar, &'static str> {
    const KNOWN: [&str; 7] = ["!!str", "!!bool", "!!int", "!!float", "!!null", "!!timestamp", "!!binary"];
    let as_text = || Scalar::Text(text.as_bytes().to_vec());
    match tag {
        None if is_plain => Ok(plain(text)),
        None => Ok(as_text()),
        Some("!!binary") => {
            // Go's decoder skips line ends.
            let digits: Vec<u8> = text.bytes().filter(|b| !matches!(b, b'\n' | b'\r')).collect();
            STANDARD.decode(digits).map(Scalar::Text).map_err(|_| "!!binary value contains invalid base64 data")
        }
        Some("!!str" | "!!timestamp") => Ok(as_text()),
        Some(tag) if KNOWN.contains(&tag) => match (tag, plain(text)) {
            ("!!float", Scalar::Int(i)) => Ok(Scalar::Float(i as f64)),
            ("!!float", Scalar::Uint(u)) => Ok(Scalar::Float(u as f64)),
            ("!!bool", found @ Scalar::Bool(_))
            | ("!!int", found @ (Scalar::Int(_) | Scalar::Uint(_)))
            | ("!!float", found @ Scalar::Float(_))
            | ("!!null", found @ Scalar::Null) => Ok(found),
            _ => Err("a scalar is not what its tag says"),
        },
        Some(_) => Ok(as_text()),
    }
}

/// What a scalar without quotes means. The emitter asks too: a text that means something else is quoted.
pub(super) fn plain(text: &str) -> Scalar {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Scalar::Null,
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => return Scalar::Bool(true),
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => {
            return Scalar::Bool(false);
        }
        ".nan" | ".NaN" | ".NAN" => return Scalar::Float(f64::NAN),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => return Scalar::Float(f64::INFINITY),
        "-.inf" | "-.Inf" | "-.INF" => return Scalar::Float(f64::NEG_INFINITY),
        _ => {}
    }
    let number = match text.as_bytes().first() {
        Some(b'.') => parse_float(text).map(Scalar::Float),
        Some(b'0'..=b'9' | b'+' | b'-') if is_timestamp(text) => None,
        Some(b'0'..=b'9' | b'+' | b'-') => number(&text.replace('_', "")),
        _ => None,
    };
    number.unwrap_or_else(|| Scalar::Text(text.as_bytes().to_vec()))
}

fn number(text: &str) -> Option<Scalar> {
    if let Some(int) = parse_int(text) {
        return Some(Scalar::Int(int));
    }
    if let Some(uint) = parse_uint(text) {
        return Some(Scalar::Uint(uint));
    }
    if is_float(text) {
        return parse_float(text).map(Scalar::Float);
    }
    None
}

/// `^[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$`
fn is_float(text: &str) -> bool {
    let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
    let mut rest = text.strip_prefix(['-', '+']).unwrap_or(text);
    let whole = digits(rest);
    rest = &rest[whole..];
    if let Some(after) = rest.strip_prefix('.') {
        let fraction = digits(after);
        if whole == 0 && fraction == 0 {
            return false;
        }
        rest = &after[fraction..];
    } else if whole == 0 {
        return false;
    }
    if let Some(after) = rest.strip_prefix(['e', 'E']) {
        let after = after.strip_prefix(['-', '+']).unwrap_or(after);
        let exponent = digits(after);
        return exponent > 0 && exponent == after.len();
    }
    rest.is_empty()
}

/// Whether it is a date, or a date with a time of day, which stays the text that it is: the forms that goyaml knows.
pub(super) fn is_timestamp(text: &str) -> bool {
    let Some((year, rest)) = text.split_once('-') else { return false };
    if year.len() != 4 || !year.bytes().all(|b| b.is_ascii_digit()) {
        return false;
    }
    let number = |text: &str, low: u32, high: u32| {
        (1..=2).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_digit())
            && text.parse().is_ok_and(|n: u32| (low..=high).contains(&n))
    };
    let Some((month, rest)) = rest.split_once('-') else { return false };
    let day_length = rest.bytes().take_while(u8::is_ascii_digit).count();
    let (day, rest) = rest.split_at(day_length);
    let year: i64 = year.parse().unwrap_or_default();
    if !number(month, 1, 12) || !number(day, 1, 31) {
        return false;
    }
    let (month, day): (u32, u32) = (month.parse().unwrap_or_default(), day.parse().unwrap_or_default());
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let last = match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    };
    if day > last {
        return false;
    }
    // A date alone has two digits of month or one; so has one with a time.
    if rest.is_empty() {
        return true;
    }
    let (time, spaced) = match rest.strip_prefix(['T', 't']) {
        Some(time) => (time, false),
        None => match rest.strip_prefix(' ') {
            Some(time) => (time, true),
            None => return false,
        },
    };
    let clock_length = time.bytes().take_while(|b| b.is_ascii_digit() || *b == b':').count();
    let (clock, rest) = time.split_at(clock_length);
    let parts: Vec<&str> = clock.split(':').collect();
    let [hour, minute, second] = parts[..] else { return false };
    if !number(hour, 0, 23) || !number(minute, 0, 59) || !number(second, 0, 59) {
        return false;
    }
    let rest = match rest.strip_prefix('.') {
        Some(fraction) => {
            let digits = fraction.bytes().take_while(u8::is_ascii_digit).count();
            if digits == 0 {
                return false;
            }
            &fraction[digits..]
        }
        None => rest,
    };
    match rest {
        // Without a zone only the form with a space is one.
        "" => spaced,
        "Z" => !spaced,
        _ => {
            let Some(zone) = rest.strip_prefix(['+', '-']).filter(|_| !spaced) else { return false };
            let Some((hours, minutes)) = zone.split_once(':') else { return false };
            hours.len() == 2 && minutes.len() == 2 && number(hours, 0, 24) && number(minutes, 0, 60)
        }
    }
}

/// `^[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+(?:\.[0-9_]*)?$`: what YAML 1.1 takes for a number to the base of 60.
pub(super) fn is_base_60(text: &str) -> bool {
    let text = text.strip_prefix(['-', '+']).unwrap_or(text);
    if !text.starts_with(|c: char| c.is_ascii_digit()) {
        return false;
    }
    let (digits, fraction) = text.split_once('.').unwrap_or((text, ""));
    let all = |text: &str| text.bytes().all(|b| b.is_ascii_digit() || b == b'_');
    let mut parts = digits.split(':');
    let first = parts.next().unwrap_or_default();
    let rest: Vec<&str> = parts.collect();
    let is_part = |part: &&str| match part.as_bytes() {
        [digit] => digit.is_ascii_digit(),
        [tens, digit] => matches!(tens, b'0'..=b'5') && digit.is_ascii_digit(),
        _ => false,
    };
    all(first) && all(fraction) && !rest.is_empty() && rest.iter().all(is_part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scalars_of_yaml_1_1() {
        for (text, expected) in [
            ("yes", Scalar::Bool(true)),
            ("Off", Scalar::Bool(false)),
            ("~", Scalar::Null),
            ("010", Scalar::Int(8)),
            ("0o17", Scalar::Int(15)),
            ("0x10", Scalar::Int(16)),
            ("-0b11", Scalar::Int(-3)),
            ("1_000", Scalar::Int(1000)),
            ("08", Scalar::Float(8.0)),
            ("1e3", Scalar::Float(1000.0)),
            (".5", Scalar::Float(0.5)),
            ("+.inf", Scalar::Float(f64::INFINITY)),
            ("12345678901234567890", Scalar::Uint(12_345_678_901_234_567_890)),
        ] {
            assert_eq!(plain(text), expected, "{text}");
        }
        for text in ["1:30", "2024-02-29", "1e400", "yEs", "0x", "1.2.3", "-", "+", ".", "..", "1e", "0b2", "<<", "="] {
            assert_eq!(plain(text), Scalar::Text(text.into()), "{text}");
        }
    }
}
