//! What the values of flags may look like.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use tracing::Level;

use crate::gocompat::GoDuration;

/// What Go's `strconv.ParseBool` takes.
pub(super) fn boolean(text: &str) -> Result<bool, String> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err("expected true or false".to_owned()),
    }
}

/// A number of any kind; `what` says which are valid.
pub(super) fn number<T: FromStr>(text: &str, what: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("expected {what}"))
}

/// A number that passes a test.
pub(super) fn number_where<T: FromStr>(text: &str, valid: fn(&T) -> bool, what: &str) -> Result<T, String> {
    number(text, what).and_then(|n| if valid(&n) { Ok(n) } else { Err(format!("expected {what}")) })
}

/// Zero or more.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let example = "expected a duration such as 5s or 1m30s";
    match GoDuration::parse(text) {
        Ok(GoDuration(nanos)) if nanos < 0 => Err(format!("a negative duration; {example}")),
        Ok(parsed) => Ok(parsed.as_std()),
        Err(error) => Err(format!("{error}; {example}")),
    }
}

/// More than zero.
pub(super) fn positive(text: &str) -> Result<Duration, String> {
    duration(text).and_then(|d| if d.is_zero() { Err("expected more than 0".to_owned()) } else { Ok(d) })
}

/// Whether a number or duration is zero.
pub(super) fn is_zero(text: &str) -> bool {
    text.parse() == Ok(0.0) || GoDuration::parse(text) == Ok(GoDuration(0))
}

/// One of a few words.
pub(super) fn one_of(text: &str, words: &[&str]) -> Result<(), String> {
    if words.contains(&text) { Ok(()) } else { Err(format!("expected one of {}", words.join(", "))) }
}

/// A list of options of which there is only one so far: whether it is in there.
pub(super) fn single_option(text: &str, option: &str) -> Result<bool, String> {
    match items(text).find(|item| *item != option) {
        Some(other) => Err(format!("unknown option {other:?}; expected {option}, or nothing")),
        None => Ok(items(text).next().is_some()),
    }
}

/// Names of namespaces. A typing error here would make the operator watch something that can never exist.
pub(super) fn namespace_list(text: &str) -> Result<BTreeSet<String>, String> {
    let namespace = |name: &str| {
        let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        let edge = name.starts_with('-') || name.ends_with('-');
        if name.len() <= 63 && name.chars().all(inner) && !edge {
            Ok(name.to_owned())
        } else {
            Err(format!("{name:?} cannot be the name of a namespace"))
        }
    };
    items(text).map(namespace).collect()
}

/// Absolute paths of directories.
pub(super) fn directory_list(text: &str) -> Result<Vec<PathBuf>, String> {
    let directory = |name: &str| {
        let path = PathBuf::from(name);
        if path.is_absolute() { Ok(path) } else { Err(format!("{name:?} is not an absolute path")) }
    };
    items(text).map(directory).collect()
}

/// The names of zap, and its numbers: the higher, the more is logged.
pub(super) fn level(text: &str) -> Result<Level, String> {
    match text.to_ascii_lowercase().as_str() {
        "panic" | "error" => Ok(Level::ERROR),
        "info" => Ok(Level::INFO),
        "debug" => Ok(Level::DEBUG),
        other => match other.parse::<u32>() {
            Ok(1..=5) => Ok(Level::DEBUG),
            Ok(6..) => Ok(Level::TRACE),
            _ => Err("expected error, info, debug, or a number above 0".to_owned()),
        },
    }
}

fn items(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|item| !item.is_empty())
}
