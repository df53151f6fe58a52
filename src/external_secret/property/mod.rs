//! A part of a JSON document, by a path of the syntax of gjson 1.18 (`a.b.0`, `a.#.b`, `a.#(b=="c").d`, `a*`,
//! `a.@keys`, `{a,"name":b.c}`, `!"x"`, `..0`).
//!
//! gjson looks for parts also in what is no JSON, which literals and some modifiers make. Here that is an error.

mod literal;
mod modifiers;
mod path;
mod pretty;
mod query;
mod quotes;
mod search;
mod selectors;
mod wildcard;
mod work;

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::document::{Halves, Json, JsonError, Kind};
use crate::gocompat::template::strconv::{self, quote_text};
use crate::gocompat::template::{CallError, Context};
use work::{View, Work};

/// Longest expression, in bytes.
const MAX_PATH_BYTES: usize = 1024;

/// Why there is no value. Its text quotes the expression, and nothing of the document.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PropertyError {
    /// The document has no such part.
    #[error("cannot find secret data for key: {}", quote_text(.0))]
    Missing(String),
    /// The document is not JSON, and has no parts.
    #[error("cannot find secret data for key: {}: {cause}", quote_text(.property))]
    Document {
        /// The expression.
        property: String,
        /// What is wrong with the document.
        cause: JsonError,
    },
    /// The expression has syntax of gjson that is not served.
    #[error("unsupported property expression: {}: {why}", quote_text(.property))]
    Unsupported {
        /// The expression.
        property: String,
        /// What is not served.
        why: &'static str,
    },
    /// The expression takes too long, or it did not finish in time.
    #[error("the property expression {} takes too long: {cause}", quote_text(.property))]
    Limit {
        /// The expression.
        property: String,
        /// The limit.
        cause: String,
    },
}

/// Why a search ended, before the expression is known.
enum Stop {
    Unsupported(&'static str),
    Limit(CallError),
    /// More is made than so many bytes.
    TooLarge(usize),
}

const NO_JSON: Stop = Stop::Unsupported("what a part of it makes is not JSON, or too deep, and has no parts");

impl From<CallError> for Stop {
    fn from(error: CallError) -> Self {
        Self::Limit(error)
    }
}

/// The part of a document, as bytes: a string without its quotes, a number in plain decimals unless it is an integer as
/// it is written, nothing for `null`, else JSON as it is written.
///
/// # Errors
/// See [`PropertyError`].
pub fn find(context: &mut Context, document: &[u8], property: &str) -> Result<Vec<u8>, PropertyError> {
    let unsupported = |why| PropertyError::Unsupported { property: property.to_owned(), why };
    if property.len() > MAX_PATH_BYTES {
        return Err(unsupported("the expression is longer than 1024 bytes"));
    }
    let limit =
        |error: &CallError| PropertyError::Limit { property: property.to_owned(), cause: error.shown().to_owned() };
    context.step_bytes(document.len()).map_err(|error| limit(&error))?;
    let no_document = |cause| PropertyError::Document { property: property.to_owned(), cause };
    let mut work = Work::new(context, search::get);
    let array;
    let found = match property.strip_prefix("..") {
        Some(path) => {
            array = lines(document).map_err(no_document)?;
            search::in_lines(&mut work, &array, path)
        }
        None => {
            Json::parse(document).map_err(no_document)?;
            // Modifiers see the blanks around it.
            let text = std::str::from_utf8(document).map_err(|_| no_document(JsonError::Syntax))?;
            search::get(&mut work, View { text, is_json: true }, property)
        }
    };
    match found {
        Ok(Some(found)) => Ok(text_of(Json::checked(&found.text)).into_owned().into_bytes()),
        Ok(None) => Err(PropertyError::Missing(property.to_owned())),
        Err(Stop::Unsupported(why)) => Err(unsupported(why)),
        Err(Stop::Limit(error)) => Err(limit(&error)),
        Err(Stop::TooLarge(limit)) => {
            let cause = format!("it makes more than {limit} bytes");
            Err(PropertyError::Limit { property: property.to_owned(), cause })
        }
    }
}

/// The documents that follow each other in a text, as an array.
fn lines(text: &[u8]) -> Result<String, JsonError> {
    let mut array = String::from("[");
    for document in serde_json::Deserializer::from_slice(text).into_iter::<&RawValue>() {
        if array.len() > 1 {
            array.push(',');
        }
        array.push_str(document.map_err(|_| JsonError::Syntax)?.get());
    }
    array.push(']');
    Json::parse(array.as_bytes())?;
    Ok(array)
}

/// gjson's `Result.String`
fn text_of(value: Json<'_>) -> Cow<'_, str> {
    match value.kind() {
        Kind::String => value.string(Halves::Gjson).unwrap_or_default(),
        Kind::Null => Cow::Borrowed(""),
        // A literal need not be the whole word.
        Kind::True => Cow::Borrowed("true"),
        Kind::False => Cow::Borrowed("false"),
        Kind::Number => {
            let written = value.raw();
            let digits = written.strip_prefix('-').unwrap_or(written);
            if digits.bytes().all(|byte| byte.is_ascii_digit()) {
                Cow::Borrowed(written)
            } else {
                Cow::Owned(plain(number(written)))
            }
        }
        _ => Cow::Borrowed(value.raw()),
    }
}

/// `strconv.ParseFloat`, with zero for what is no number.
fn number(written: &str) -> f64 {
    let digits = written.strip_prefix(['+', '-']).unwrap_or(written);
    if digits.starts_with("0x") || digits.starts_with("0X") {
        strconv::parse_float(written).unwrap_or(0.0)
    } else {
        written.parse().unwrap_or(0.0)
    }
}

/// `strconv.FormatFloat(float, 'f', -1, 64)`
fn plain(float: f64) -> String {
    if float.is_infinite() {
        if float > 0.0 { "+Inf".to_owned() } else { "-Inf".to_owned() }
    } else {
        float.to_string()
    }
}

#[cfg(test)]
mod tests;
