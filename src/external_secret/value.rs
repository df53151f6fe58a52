//! What a secret of a store holds, as bytes.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use serde_json::{Map, Value};

use super::Data;
use super::document::{Halves, Json, JsonError, Kind, unescape};
use super::property::{self, PropertyError};
use crate::gocompat::json::{self, Style};
use crate::gocompat::template::Context;

/// Why a text has no members.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExtractError {
    /// The text is not JSON.
    #[error(transparent)]
    Json(#[from] JsonError),
    /// The text is JSON, and no object.
    #[error("the value is not a JSON object")]
    NotAnObject,
}

/// A secret of Vault, read by any number of rows.
pub struct Fields {
    fields: Value,
    /// Made when the first row needs it.
    json: OnceLock<String>,
}

impl Fields {
    /// What Vault has answered.
    pub fn new(fields: Map<String, Value>) -> Self {
        Self { fields: Value::Object(fields), json: OnceLock::new() }
    }

    /// Whether it has no members.
    pub fn is_empty(&self) -> bool {
        self.fields.as_object().is_none_or(Map::is_empty)
    }

    /// About how much memory it takes.
    pub fn weight(&self) -> usize {
        weight(&self.fields)
    }

    /// All of it, as Go writes it.
    pub fn json(&self) -> &str {
        self.json.get_or_init(|| json::to_string(&self.fields))
    }

    /// A property, or all of it.
    ///
    /// # Errors
    /// See [`PropertyError`].
    pub fn get(&self, context: &mut Context, property: Option<&str>) -> Result<Vec<u8>, PropertyError> {
        let Some(property) = property else { return Ok(self.json().into()) };
        match self.fields.get(property) {
            Some(value) => Ok(of_member(value)),
            None => property::find(context, self.json().as_bytes(), property),
        }
    }
}

/// What a value takes besides its texts.
const VALUE_BYTES: usize = 64;

/// About how much memory a value takes. Values are nested no deeper than an answer may be.
fn weight(value: &Value) -> usize {
    let parts = match value {
        Value::Null | Value::Bool(_) => 0,
        Value::Number(number) => number.as_str().len(),
        Value::String(text) => text.len(),
        Value::Array(items) => items.iter().map(weight).sum(),
        Value::Object(members) => members.iter().map(|(name, value)| name.len() + weight(value)).sum(),
    };
    VALUE_BYTES + parts
}

/// A member of the object that Vault has answered.
pub fn of_member(value: &Value) -> Vec<u8> {
    match value {
        Value::Null => Vec::new(),
        Value::String(text) => text.clone().into_bytes(),
        Value::Number(number) => number.as_str().into(),
        value => json::to_string(value).into_bytes(),
    }
}

/// The members of a JSON object. `null` has none.
///
/// # Errors
/// The text is not a JSON object.
pub fn extract(text: &[u8]) -> Result<Data, ExtractError> {
    let members = members(Json::parse(text)?)?;
    Ok(members.into_iter().map(|(name, value)| (name, of_json(value))).collect())
}

/// The members of an object by name. The last of several with one name counts.
pub fn members(json: Json<'_>) -> Result<BTreeMap<String, Json<'_>>, ExtractError> {
    match json.kind() {
        Kind::Object | Kind::Null => {
            Ok(json.members().map(|(name, value)| (unescape(name, Halves::Json).into_owned(), value)).collect())
        }
        _ => Err(ExtractError::NotAnObject),
    }
}

/// A value without the form of JSON if it is a text or a number.
pub(super) fn of_json(value: Json<'_>) -> Vec<u8> {
    match value.kind() {
        Kind::Null => Vec::new(),
        Kind::String => value.string(Halves::Json).unwrap_or_default().into_owned().into_bytes(),
        Kind::Number => number(value.raw(), false).into_bytes(),
        _ => {
            let mut out = String::new();
            write(&mut out, value, Style::Html);
            out.into_bytes()
        }
    }
}

/// A value as Go writes it by way of floats, unless a number would lose digits. Values are nested no deeper than a
/// document may be.
pub(crate) fn write(out: &mut String, value: Json<'_>, style: Style) {
    match value.kind() {
        Kind::Object => {
            let members: BTreeMap<_, _> =
                value.members().map(|(name, value)| (unescape(name, Halves::Json), value)).collect();
            out.push('{');
            for (i, (name, value)) in members.into_iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                json::write_styled(out, &name, style);
                out.push(':');
                write(out, value, style);
            }
            out.push('}');
        }
        Kind::Array => {
            out.push('[');
            for (i, value) in value.elements().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                write(out, value, style);
            }
            out.push(']');
        }
        Kind::String => json::write_styled(out, &value.string(Halves::Json).unwrap_or_default(), style),
        Kind::Number => out.push_str(&number(value.raw(), true)),
        _ => out.push_str(value.raw()),
    }
}

/// A number as ESO writes it by way of a float: in plain decimals, within JSON with an exponent if it is very large or
/// small. A number that no float can hold stays as it is written.
fn number(written: &str, within_json: bool) -> String {
    let Some(float) = written.parse::<f64>().ok().filter(|float| float.is_finite()) else { return written.to_owned() };
    let size = float.abs();
    let text = if within_json && size != 0.0 && !(1e-6..1e21).contains(&size) {
        let text = format!("{float:e}");
        // Go writes the sign of every exponent.
        if text.contains("e-") { text } else { text.replace('e', "e+") }
    } else {
        float.to_string()
    };
    if decimal(&text) == decimal(written) { text } else { written.to_owned() }
}

/// Sign, digits without zeroes around them, and the power of ten of the last digit.
fn decimal(written: &str) -> Option<(bool, String, i64)> {
    let (mantissa, exponent) = written.split_once(['e', 'E']).unwrap_or((written, "0"));
    let (negative, mantissa) = mantissa.strip_prefix('-').map_or((false, mantissa), |rest| (true, rest));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    let significant = digits.trim_end_matches('0');
    let dropped = i64::try_from(digits.len() - significant.len()).ok()?;
    let power = exponent.parse::<i64>().ok()?.checked_add(dropped)?.checked_sub(i64::try_from(fraction.len()).ok()?)?;
    let significant = significant.trim_start_matches('0');
    Some((negative, significant.to_owned(), if significant.is_empty() { 0 } else { power }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gocompat::template::{Environment, Limits};

    fn context() -> Context {
        Context::new(&Limits::default(), &Environment::default())
    }

    fn fields(text: &str) -> Fields {
        Fields::new(serde_json::from_str(text).unwrap())
    }

    fn text(bytes: Vec<u8>) -> String {
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn all_of_a_secret_is_compact_sorted_and_escaped() {
        let fields = fields(r#"{ "b": 12345678901234567890, "a<": "x&y\u2028", "c": [1.50, null] }"#);
        let whole = r#"{"a\u003c":"x\u0026y\u2028","b":12345678901234567890,"c":[1.50,null]}"#;
        assert_eq!(text(fields.get(&mut context(), None).unwrap()), whole);
    }

    #[test]
    fn a_key_is_found_before_a_path() {
        let fields = fields(
            r#"{"a.b":"dots","a":{"b":"path","n":1.50,"f":1.25e2},"n":1.50,"z":null,"t":true,"o":{"b":"<","a":1},"s":"\"q\""}"#,
        );
        for (property, expected) in [
            ("a.b", "dots"),
            ("a\\.b", "dots"),
            ("a.n", "1.5"),
            ("a.f", "125"),
            ("n", "1.50"),
            ("z", ""),
            ("t", "true"),
            ("o", r#"{"a":1,"b":"\u003c"}"#),
            ("o.b", "<"),
            ("s", "\"q\""),
        ] {
            assert_eq!(text(fields.get(&mut context(), Some(property)).unwrap()), expected, "{property}");
        }
        let error = fields.get(&mut context(), Some("a.c")).unwrap_err();
        assert_eq!(error.to_string(), r#"cannot find secret data for key: "a.c""#);
    }

    #[test]
    fn extract_has_a_key_for_each_member() {
        let data = extract(
            br#" {"s":"t\n<","n":12345678901234567890123,"f":1.50,"e":1e21,"big":1e400,"b":false,"z":null,"o":{"y":"<","x":[1.0,{"k":1e5}]},"d":1,"d":2,"\u00e9":"\ud800"} "#,
        )
        .unwrap();
        let text = |key: &str| String::from_utf8(data[key].clone()).unwrap();
        assert_eq!(text("s"), "t\n<");
        assert_eq!(text("n"), "12345678901234567890123");
        assert_eq!(text("f"), "1.5");
        assert_eq!(text("e"), "1000000000000000000000");
        assert_eq!(text("big"), "1e400");
        assert_eq!(text("b"), "false");
        assert_eq!(text("z"), "");
        assert_eq!(text("o"), r#"{"x":[1,{"k":100000}],"y":"\u003c"}"#);
        assert_eq!(text("d"), "2");
        assert_eq!(text("é"), "\u{fffd}");
        assert_eq!(data.len(), 10);
        assert!(extract(b"null").unwrap().is_empty());
        for not_an_object in ["7", "[1]", "\"{}\"", "true"] {
            assert_eq!(extract(not_an_object.as_bytes()), Err(ExtractError::NotAnObject));
        }
        for not_json in ["", "hunter2", "{\"a\":1}x"] {
            let error = extract(not_json.as_bytes()).unwrap_err();
            assert_eq!(error.to_string(), "the value is not JSON");
        }
    }

    #[test]
    fn a_number_loses_no_digit() {
        for (written, expected) in [
            ("0", "0"),
            ("-0", "-0"),
            ("0.0", "0"),
            ("1e-7", "0.0000001"),
            ("-1.5e3", "-1500"),
            ("9007199254740993", "9007199254740993"),
            ("12345678901234567000", "12345678901234567000"),
            ("0.1000000000000000055511151231257827", "0.1000000000000000055511151231257827"),
            ("1e-400", "1e-400"),
            ("0e999999999999999999999", "0e999999999999999999999"),
        ] {
            assert_eq!(number(written, false), expected, "{written}");
        }
    }

    /// Recorded from Go 1.26.
    #[test]
    fn a_number_within_json_is_that_of_go() {
        for (written, expected) in [
            ("1e20", "100000000000000000000"),
            ("1e21", "1e+21"),
            ("-1.50E+300", "-1.5e+300"),
            ("0.000001", "0.000001"),
            ("0.0000001", "1e-7"),
            ("1.0", "1"),
            ("-0.0", "-0"),
            ("12345678901234567890", "12345678901234567890"),
        ] {
            assert_eq!(number(written, true), expected, "{written}");
        }
    }

    #[test]
    fn deep_and_wide_documents_end_the_process_not() {
        let deep = format!("{{\"k\":{}{}}}", "[".repeat(127), "]".repeat(127));
        assert_eq!(extract(deep.as_bytes()).unwrap()["k"].len(), 254);
        let wide = format!("{{\"k\":[{}1]}}", "{\"a\":1},".repeat(100_000));
        assert_eq!(extract(wide.as_bytes()).unwrap()["k"].len(), wide.len() - 6);
    }
}
