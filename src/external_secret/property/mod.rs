//! A part of a JSON document, by a path of the syntax of gjson 1.18 (`a.b.0`, `a.#.b`, `a.#(b=="c").d`, `a*`).
//!
//! What gjson has beyond that, modifiers, several paths at a time, literals and lines, is an error.

mod path;
mod query;
mod quotes;
mod search;
mod wildcard;

use std::borrow::Cow;

use super::document::{Halves, Json, JsonError, Kind};
use crate::gocompat::template::strconv::quote_text;
use crate::gocompat::template::{CallError, Context};

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
}

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
    let json =
        Json::parse(document).map_err(|cause| PropertyError::Document { property: property.to_owned(), cause })?;
    match search::get(context, json, property) {
        Ok(Some(found)) => Ok(text_of(Json::checked(&found)).into_owned().into_bytes()),
        Ok(None) => Err(PropertyError::Missing(property.to_owned())),
        Err(Stop::Unsupported(why)) => Err(unsupported(why)),
        Err(Stop::Limit(error)) => Err(limit(&error)),
    }
}

/// gjson's `Result.String`
fn text_of(value: Json<'_>) -> Cow<'_, str> {
    match value.kind() {
        Kind::String => value.string(Halves::Gjson).unwrap_or_default(),
        Kind::Null => Cow::Borrowed(""),
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

/// A number of a document.
fn number(written: &str) -> f64 {
    written.parse().unwrap_or(0.0)
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
