//! Documents as `json.Marshal` writes them.
//!
//! `_raw`, values that are not text, and the message of the MAC go through it in VSO, so every byte counts: members
//! sorted, no spaces, `<`, `>`, `&`, U+2028 and U+2029 escaped, numbers untouched. serde_json differs in the escapes.

use serde_json::Value;

use super::{Style, escape, unicode_escape};

/// What Go's `json.Marshal` makes of a document that was decoded with `UseNumber`.
///
/// Numbers come out as the [`serde_json::Number`] holds them. serde_json's own parser gives an exponent a sign (`1e21`
/// becomes `1e+21`); where numbers have to stay verbatim it takes a parser that leaves them alone.
pub fn to_string(value: &Value) -> String {
    let mut out = String::new();
    write_value(&mut out, value);
    out
}

fn write_value(out: &mut String, value: &Value) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(true) => out.push_str("true"),
        Value::Bool(false) => out.push_str("false"),
        Value::Number(number) => out.push_str(number.as_str()),
        Value::String(text) => write_str(out, text),
        Value::Array(items) => {
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                write_value(out, item);
            }
            out.push(']');
        }
        Value::Object(members) => {
            // Sorted here and not by the map: what order that keeps depends on a feature of serde_json that any crate
            // of the program can switch on.
            let mut members: Vec<_> = members.iter().collect();
            members.sort_unstable_by_key(|(name, _)| name.as_str());
            out.push('{');
            for (i, (name, value)) in members.into_iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                write_str(out, name);
                out.push(':');
                write_value(out, value);
            }
            out.push('}');
        }
    }
}

/// Appends `text` as a JSON string.
pub fn write_str(out: &mut String, text: &str) {
    write_styled(out, text, Style::Html);
}

/// Appends `text` as a JSON string of a style.
pub(crate) fn write_styled(out: &mut String, text: &str, style: Style) {
    out.push('"');
    escape(text, style, |part| out.push_str(part));
    out.push('"');
}

/// `json.HTMLEscape`: JSON that serde_json has written, with the escapes that Go puts into strings.
pub fn html_escape(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        match c {
            // Outside of strings JSON has none of them.
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => out.push_str(&unicode_escape(c)),
            _ => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    /// Outputs recorded from Go 1.26.
    #[test]
    fn writes_what_go_writes() {
        for (value, expected) in [
            (json!(null), "null"),
            (json!([]), "[]"),
            (json!({}), "{}"),
            (json!({"b": 1, "a": [true, false, null], "B": {}}), r#"{"B":{},"a":[true,false,null],"b":1}"#),
            (json!({"é": 1, "z": 2, "ｚ": 3, "😀": 4, "": 5}), r#"{"":5,"z":2,"é":1,"ｚ":3,"😀":4}"#),
            (json!("<a href=\"x\">&amp;</a>"), r#""\u003ca href=\"x\"\u003e\u0026amp;\u003c/a\u003e""#),
            (json!({"<k>": "\u{2028}\u{2029}"}), r#"{"\u003ck\u003e":"\u2028\u2029"}"#),
            (
                json!("\u{0}\u{1}\u{8}\u{9}\u{a}\u{b}\u{c}\u{d}\u{1f}\u{7f}\u{80}\u{fffd}\\/'"),
                "\"\\u0000\\u0001\\b\\t\\n\\u000b\\f\\r\\u001f\u{7f}\u{80}\u{fffd}\\\\/'\"",
            ),
        ] {
            assert_eq!(to_string(&value), expected);
        }
    }

    #[test]
    fn numbers_are_not_touched() {
        for text in [
            "0",
            "-0",
            "1.10",
            "-0.0",
            "12345678901234567890123",
            "1e+21",
            "1e-07",
            "0.1000000000000000055511151231257827",
        ] {
            assert_eq!(to_string(&serde_json::from_str(text).unwrap()), text);
        }
    }

    #[test]
    fn what_serde_writes_gets_the_escapes_of_go() {
        let value = json!({ "<k>": ["a&b\u{2028}\u{2029}", "\\\n\"", "é"] });
        assert_eq!(html_escape(&value.to_string()), to_string(&value));
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            "-?(0|[1-9][0-9]{0,30})(\\.[0-9]{1,20})?".prop_map(|n| serde_json::from_str(&n).unwrap()),
            ".{0,12}".prop_map(Value::from),
            "[\\x00-\\x7f\u{2027}-\u{202a}]{0,12}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 64, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                prop::collection::btree_map(".{0,6}", inner, 0..6)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn parses_back_to_the_same_value(value in any_json()) {
            prop_assert_eq!(serde_json::from_str::<Value>(&to_string(&value)).unwrap(), value);
        }

        #[test]
        fn is_safe_in_html_and_scripts(value in any_json()) {
            let unsafe_char = |c: char| matches!(c, '\0'..' ' | '<' | '>' | '&' | '\u{2028}' | '\u{2029}');
            prop_assert!(!to_string(&value).contains(unsafe_char));
        }
    }
}
