use std::sync::Arc;

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::render::{SourceData, TransformationCache};

/// Data as text, for reading.
fn text(data: &SecretData) -> BTreeMap<&str, &str> {
    let entries = data.as_map().iter();
    entries.map(|(k, v)| (k.as_str(), std::str::from_utf8(v).unwrap())).collect()
}

/// Where an answer has the keys.
type Shape = fn(&'static str, Arc<Value>) -> SourceData;
const FLAT: Shape = SourceData::flat;
const NESTED: Shape = SourceData::nested;

fn build(shape: Shape, data: &Value, exclude_raw: bool) -> Result<SecretData, RenderError> {
    let transformation = TransformationCache::default().get(&[], &[], &[]).unwrap();
    let source = shape("test", Arc::new(data.clone()));
    let input = Input { source: &source, exclude_raw, labels: None, annotations: None };
    super::build(&input, &transformation).map(|built| built.data)
}

fn built(shape: Shape, data: Value, exclude_raw: bool) -> SecretData {
    build(shape, &data, exclude_raw).unwrap()
}

#[test]
fn kv_v1_keys_become_keys() {
    let data = json!({ "user": "bob", "html": "<b>", "n": 10, "list": [1, "<"], "none": null, "ok": true, "o": { "b": 1, "a": 2 } });
    assert_eq!(
        text(&built(FLAT, data, false)),
        BTreeMap::from([
            (
                "_raw",
                r#"{"html":"\u003cb\u003e","list":[1,"\u003c"],"n":10,"none":null,"o":{"a":2,"b":1},"ok":true,"user":"bob"}"#
            ),
            ("html", "<b>"),
            ("list", r#"[1,"\u003c"]"#),
            ("n", "10"),
            ("none", "null"),
            ("o", r#"{"a":2,"b":1}"#),
            ("ok", "true"),
            ("user", "bob"),
        ])
    );
}

#[test]
fn kv_v2_keys_are_one_deeper_and_raw_has_the_metadata() {
    let data = json!({ "metadata": { "version": 3, "custom_metadata": null }, "data": { "a": "1" } });
    assert_eq!(
        text(&built(NESTED, data.clone(), false)),
        BTreeMap::from(
            [("_raw", r#"{"data":{"a":"1"},"metadata":{"custom_metadata":null,"version":3}}"#), ("a", "1"),]
        )
    );
    assert_eq!(text(&built(NESTED, data, true)), BTreeMap::from([("a", "1")]));
}

#[test]
fn without_source_there_is_only_raw() {
    let deleted = json!({ "data": null, "metadata": { "version": 2 } });
    assert_eq!(
        text(&built(NESTED, deleted.clone(), false)),
        BTreeMap::from([("_raw", r#"{"data":null,"metadata":{"version":2}}"#)])
    );
    assert_eq!(built(NESTED, deleted, true), SecretData::default());
    for shape in [FLAT, NESTED] {
        assert_eq!(text(&built(shape, json!(null), false)), BTreeMap::from([("_raw", "null")]));
    }
    let odd = json!({ "data": ["a"] });
    assert_eq!(built(NESTED, odd, true), SecretData::default());
}

#[test]
fn a_source_key_named_raw() {
    let v1 = json!({ "_raw": "mine" });
    let v2 = json!({ "data": { "_raw": { "b": 1 } } });
    for (shape, data) in [(FLAT, &v1), (NESTED, &v2)] {
        let error = build(shape, data, false).unwrap_err();
        assert_eq!(error.to_string(), "key '_raw' not permitted in Secret data");
    }
    assert_eq!(text(&built(FLAT, v1, true)), BTreeMap::from([("_raw", "mine")]));
    assert_eq!(text(&built(NESTED, v2, true)), BTreeMap::from([("_raw", r#"{"b":1}"#)]));
}

#[test]
fn keys_that_kubernetes_refuses_are_named_and_values_are_not() {
    let long = "k".repeat(254);
    for (key, expected) in [
        ("", r#"key "" cannot be a key of a Secret: it is empty"#),
        ("a b", r#"key "a b" cannot be a key of a Secret: only letters, digits, '-', '_' and '.' are allowed"#),
        ("a/b", r#"key "a/b" cannot be a key of a Secret: only letters, digits, '-', '_' and '.' are allowed"#),
        ("ä\n", r#"key "ä\n" cannot be a key of a Secret: only letters, digits, '-', '_' and '.' are allowed"#),
        (".", r#"key "." cannot be a key of a Secret: it must not be '.' nor start with '..'"#),
        ("..", r#"key ".." cannot be a key of a Secret: it must not be '.' nor start with '..'"#),
        ("..a", r#"key "..a" cannot be a key of a Secret: it must not be '.' nor start with '..'"#),
        (
            &long,
            &format!(
                "key \"{}\"... (254 bytes) cannot be a key of a Secret: it is longer than 253 characters",
                &long[..64]
            ),
        ),
    ] {
        let error = build(FLAT, &json!({ key: "hunter2" }), true).unwrap_err();
        assert_eq!(error.to_string(), expected);
        assert!(!format!("{error:?}").contains("hunter2"));
    }
    for key in ["a", ".a", "a..b", "-", "_", "A9._-", &long[..253]] {
        assert!(build(FLAT, &json!({ key: "" }), true).is_ok(), "{key}");
    }
}

#[test]
fn more_than_a_secret_holds() {
    let value = "x".repeat(MAX_DATA_LENGTH / 2);
    let fits = json!({ "a": value, "b": value });
    assert!(build(FLAT, &fits, true).is_ok());
    let error = build(FLAT, &json!({ "a": value, "b": value, "c": "x" }), true).unwrap_err();
    assert_eq!(error.to_string(), "the values are 1048577 bytes long together, a Secret holds 1048576");
    assert!(matches!(build(FLAT, &fits, false), Err(RenderError::TooLarge(_))));
}

#[test]
fn debug_shows_keys_only() {
    let data: SecretData = [("password".to_owned(), b"hunter2".to_vec())].into_iter().collect();
    assert_eq!(format!("{data:?}"), r#"SecretData{"password"}"#);
}

proptest! {
    #[test]
    fn text_arrives_unchanged(entries in prop::collection::btree_map("[-._a-zA-Z0-9]{1,9}", ".{0,9}", 0..9)) {
        prop_assume!(entries.keys().all(|k| k != "." && !k.starts_with("..") && k != "_raw"));
        let data = json!({ "data": entries, "metadata": {} });
        let built = built(NESTED, data.clone(), false);
        prop_assert_eq!(built.as_map().len(), entries.len() + 1);
        for (key, value) in &entries {
            prop_assert_eq!(built.get(key), Some(value.as_bytes()));
        }
        let raw: Value = serde_json::from_slice(built.get("_raw").unwrap()).unwrap();
        prop_assert_eq!(raw, data);
    }

    #[test]
    fn what_is_built_kubernetes_takes(key in ".{0,4}", value in ".{0,4}") {
        let built = build(FLAT, &json!({ key.as_str(): value }), true);
        let allowed = !key.is_empty()
            && key.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
            && key != "." && !key.starts_with("..");
        prop_assert_eq!(built.is_ok(), allowed);
    }
}
