//! JSON in which numbers stay as they were written.
//!
//! `serde_json` keeps their digits but writes `1e21` as `1e+21`; Go's client, whose output has to be met byte for byte,
//! changes nothing.

use std::collections::BTreeMap;

use serde_json::value::RawValue;
use serde_json::{Map, Number, Value};

/// Parses JSON, numbers verbatim.
pub(super) fn parse(text: &str) -> serde_json::Result<Value> {
    let raw: &RawValue = serde_json::from_str(text)?;
    if !has_exponent(text) {
        return serde_json::from_str(text);
    }
    verbatim(raw)
}

/// False if no number of the text is written with an exponent; true also for text that only looks like one.
fn has_exponent(text: &str) -> bool {
    text.as_bytes().windows(2).any(|pair| pair[0].is_ascii_digit() && matches!(pair[1], b'e' | b'E'))
}

fn verbatim(raw: &RawValue) -> serde_json::Result<Value> {
    let text = raw.get();
    Ok(match text.as_bytes().first() {
        Some(b'{') => {
            let fields: BTreeMap<String, &RawValue> = serde_json::from_str(text)?;
            let fields = fields.into_iter().map(|(key, value)| Ok((key, verbatim(value)?)));
            Value::Object(fields.collect::<serde_json::Result<Map<_, _>>>()?)
        }
        Some(b'[') => {
            let items: Vec<&RawValue> = serde_json::from_str(text)?;
            Value::Array(items.into_iter().map(verbatim).collect::<serde_json::Result<_>>()?)
        }
        Some(b'-' | b'0'..=b'9') => Value::Number(Number::from_string_unchecked(text.to_owned())),
        _ => serde_json::from_str(text)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_they_were_read() {
        for text in [
            r#"{"a":1e21,"b":[1E5,-1.50e-3,{"c":2e+07}],"d":"1e5 x","e":12345678901234567890123,"f":null,"g":true}"#,
            "1.10",
            r#"{"n":10.0}"#,
        ] {
            assert_eq!(parse(text).unwrap().to_string(), text);
        }
        assert!(parse(r#"{"a":1e}"#).is_err());
        assert!(parse(r#"{"a":"#).is_err());
    }
}
